/*
 * hnsw_search.c
 *	  The search: best first, with a beam, resumable.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "hnsw/hnsw_graph.h"

void
HnswSearchInit(HnswSearch *search, HnswGraph *graph, const AnnQuery *query)
{
	search->graph = graph;
	search->query = query;
	search->resumable = false;
	search->routing = false;
	AnnVisitedInit(&search->visited, 4096);
	hnsw_candidate_heap_init(&search->frontier, 1024);
	hnsw_candidate_heap_init(&search->found, 1024);
	hnsw_distance_heap_init(&search->beam, 128);
}

Size
HnswSearchMemory(const HnswSearch *search)
{
	return AnnVisitedMemory(&search->visited) +
		sizeof(HnswCandidate) * ((Size) search->frontier.capacity + search->found.capacity);
}

/* Adds a distance to the beam, if it is among the ef best. */
static inline void
add_to_beam(HnswSearch *search, double distance, int ef)
{
	if (search->beam.count < ef)
		hnsw_distance_heap_push(&search->beam, &distance);
	else if (distance < *hnsw_distance_heap_top(&search->beam))
		hnsw_distance_heap_replace_top(&search->beam, &distance);
}

static inline bool
is_result(const HnswSearch *search, const HnswCandidate *candidate)
{
	return search->routing || !(candidate->flags & HNSW_DEAD);
}

void
HnswSearchBegin(HnswSearch *search, int level, const HnswCandidate *from, int n)
{
	search->level = level;
	AnnVisitedReset(&search->visited);
	hnsw_candidate_heap_reset(&search->frontier);
	hnsw_candidate_heap_reset(&search->found);
	hnsw_distance_heap_reset(&search->beam);

	for (int i = 0; i < n; i++)
	{
		AnnVisitedAdd(&search->visited, from[i].node);
		hnsw_candidate_heap_push(&search->frontier, &from[i]);
		if (is_result(search, &from[i]))
			hnsw_candidate_heap_push(&search->found, &from[i]);
	}
}

/* The beam of a search begun or resumed: the best of what has been found. */
static void
start_beam(HnswSearch *search, int ef, HnswCandidate *best)
{
	int			n = 0;

	hnsw_distance_heap_reset(&search->beam);
	while (n < ef && search->found.count > 0)
	{
		best[n] = hnsw_candidate_heap_pop(&search->found);
		add_to_beam(search, best[n++].distance, ef);
	}
	while (n > 0)
		hnsw_candidate_heap_push(&search->found, &best[--n]);
}

/* Evaluates the neighbours of a candidate that were not visited before. */
static void
expand(HnswSearch *search, const HnswCandidate *candidate, int ef)
{
	HnswNode	nodes[2 * HNSW_MAX_M];
	HnswCandidate neighbours[2 * HNSW_MAX_M];
	int			n = HnswNeighbours(search->graph, candidate, search->level, nodes);
	int			unvisited = 0;

	for (int i = 0; i < n; i++)
		if (AnnVisitedAdd(&search->visited, nodes[i]))
			nodes[unvisited++] = nodes[i];

	n = HnswEvaluate(search->graph, search->query, nodes, unvisited, neighbours);

	for (int i = 0; i < n; i++)
	{
		HnswCandidate *neighbour = &neighbours[i];

		if (!search->resumable && search->beam.count >= ef &&
			neighbour->distance >= *hnsw_distance_heap_top(&search->beam))
			continue;

		hnsw_candidate_heap_push(&search->frontier, neighbour);
		if (is_result(search, neighbour))
		{
			hnsw_candidate_heap_push(&search->found, neighbour);
			add_to_beam(search, neighbour->distance, ef);
		}
	}
}

int
HnswSearchNext(HnswSearch *search, int ef, HnswCandidate *out)
{
	int			n = 0;

	start_beam(search, ef, out);

	while (search->frontier.count > 0)
	{
		HnswCandidate nearest;

		if (search->beam.count >= ef &&
			hnsw_candidate_heap_top(&search->frontier)->distance > *hnsw_distance_heap_top(&search->beam))
			break;

		CHECK_FOR_INTERRUPTS();
		nearest = hnsw_candidate_heap_pop(&search->frontier);
		expand(search, &nearest, ef);
	}

	while (n < ef && search->found.count > 0)
		out[n++] = hnsw_candidate_heap_pop(&search->found);
	return n;
}

void
HnswSearchDescend(HnswSearch *search, HnswCandidate *nearest, int from, int to)
{
	bool		resumable = search->resumable;

	search->resumable = false;
	search->routing = true;
	for (int level = from; level > to; level--)
	{
		HnswCandidate next;

		HnswSearchBegin(search, level, nearest, 1);
		if (HnswSearchNext(search, 1, &next) > 0)
			*nearest = next;
	}
	search->routing = false;
	search->resumable = resumable;
}
