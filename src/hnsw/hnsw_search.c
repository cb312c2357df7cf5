/*
 * hnsw_search.c
 *	  The search: best first, with a beam, resumable.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "hnsw/hnsw_graph.h"

/* How many of the frontier to ask for; the first few of a heap are among its best. */
#define PREFETCH 4

/* How many ways down are kept on the levels above. */
#define WAYS		3

/* The same where they are estimates, which cost nothing. */
#define ESTIMATED_WAYS 16

/*
 * How many nodes are expanded on level 1 at least.  Clusters that are far apart need
 * not be linked on level 0, where the neighbours of a node are those of its own; a
 * search that comes down in the wrong one stays there.
 */
#define LEAST_EXPANDED 6

void
HnswSearchInit(HnswSearch *search, HnswGraph *graph, const AnnQuery *query)
{
	search->graph = graph;
	search->query = query;
	search->resumable = false;
	search->routing = false;
	AnnVisitedInit(&search->visited, 1024);
	AnnVisitedInit(&search->estimated, 2048);
	hnsw_step_heap_init(&search->frontier, 256);
	hnsw_candidate_heap_init(&search->found, 128);
	hnsw_distance_heap_init(&search->beam, 128);
	search->max_later = 256;
	search->later = palloc(sizeof(HnswStep) * search->max_later);
	search->nlater = 0;
	search->scored = 0;
}

Size
HnswSearchMemory(const HnswSearch *search)
{
	return AnnVisitedMemory(&search->visited) + AnnVisitedMemory(&search->estimated) +
		sizeof(HnswCandidate) * (Size) search->found.capacity +
		sizeof(HnswStep) * ((Size) search->frontier.capacity + search->max_later);
}

/* Is a distance too great for a beam of ef? */
static inline bool
beyond_beam(const HnswSearch *search, double distance, int ef)
{
	return search->beam.count >= ef && !(distance < search->beam.elements[0]);
}

/* Adds a distance that is not beyond the beam. */
static inline void
add_to_beam(HnswSearch *search, double distance, int ef)
{
	if (search->beam.count < ef)
		hnsw_distance_heap_push(&search->beam, &distance);
	else
		hnsw_distance_heap_replace_top(&search->beam, &distance);
}

static inline bool
is_result(const HnswSearch *search, const HnswCandidate *candidate)
{
	return search->routing || !(candidate->flags & HNSW_DEAD);
}

static inline HnswStep
make_step(const HnswCandidate *candidate)
{
	HnswStep	step;

	step.distance = HnswOrdered(candidate->distance);
	step.node = candidate->node;
	step.links = candidate->links;
	return step;
}

void
HnswSearchBegin(HnswSearch *search, int level, const HnswCandidate *from, int n)
{
	search->level = level;
	AnnVisitedReset(&search->visited);
	AnnVisitedReset(&search->estimated);
	hnsw_step_heap_reset(&search->frontier);
	hnsw_candidate_heap_reset(&search->found);
	search->nlater = 0;

	for (int i = 0; i < n; i++)
	{
		HnswStep	step = make_step(&from[i]);

		hnsw_step_heap_push(&search->frontier, &step);
		if (search->graph->expands)
			continue;
		AnnVisitedAdd(&search->visited, from[i].node);
		if (is_result(search, &from[i]))
			hnsw_candidate_heap_push(&search->found, &from[i]);
	}
}

/*
 * The beam of a search begun or resumed: the best that is known.  Where nodes
 * are evaluated before they are expanded that is what has been found, else it
 * has yet to be found.
 */
static void
start_beam(HnswSearch *search, int ef)
{
	bool		expands = search->graph->expands;
	int			n = expands ? search->frontier.count : search->found.count;

	hnsw_distance_heap_reset(&search->beam);
	AnnVisitedReset(&search->estimated);
	for (int i = 0; i < n; i++)
	{
		double		distance = expands ? search->frontier.elements[i].distance :
			HnswOrdered(search->found.elements[i].distance);

		if (!beyond_beam(search, distance, ef) &&
			(!expands || AnnVisitedAdd(&search->estimated, search->frontier.elements[i].node)))
			add_to_beam(search, distance, ef);
	}
}

/*
 * What is too far for this beam may do for a later one: it is put aside, which
 * costs less than to keep it in order.
 */
static inline void
put_aside(HnswSearch *search, const HnswStep *step)
{
	if (!search->resumable)
		return;

	if (search->nlater == search->max_later)
	{
		search->max_later *= 2;
		search->later = repalloc_huge(search->later, sizeof(HnswStep) * (Size) search->max_later);
	}
	search->later[search->nlater++] = *step;
}

/* Brings back what was put aside, but for what was visited before or since. */
static void
resume(HnswSearch *search)
{
	for (int i = 0; i < search->nlater; i++)
		if (!search->graph->expands || !AnnVisitedHas(&search->visited, search->later[i].node))
			hnsw_step_heap_push(&search->frontier, &search->later[i]);
	search->nlater = 0;
}

/* Evaluates the neighbours of a node that were not visited before. */
static void
visit_neighbours(HnswSearch *search, const HnswStep *from, int ef)
{
	HnswNode	nodes[2 * HNSW_MAX_M];
	HnswCandidate neighbours[2 * HNSW_MAX_M];
	int			n = HnswNeighbours(search->graph, from, search->level, nodes);
	int			unvisited = 0;

	for (int i = 0; i < n; i++)
		if (AnnVisitedAdd(&search->visited, nodes[i]))
			nodes[unvisited++] = nodes[i];

	n = HnswEvaluate(search->graph, search->query, nodes, unvisited, neighbours);
	search->scored += n;

	for (int i = 0; i < n; i++)
	{
		HnswStep	step = make_step(&neighbours[i]);
		bool		beyond = beyond_beam(search, step.distance, ef);

		if (beyond)
			put_aside(search, &step);
		else
			hnsw_step_heap_push(&search->frontier, &step);
		if (!is_result(search, &neighbours[i]) || (beyond && !search->resumable))
			continue;
		hnsw_candidate_heap_push(&search->found, &neighbours[i]);
		if (!beyond)
			add_to_beam(search, step.distance, ef);
	}
}

/*
 * Asks for what will be visited next, unless the node at hand leads to something
 * better; and while storage is slow, for what may come after it.
 */
static void
prefetch(HnswSearch *search, int ef)
{
	int			most = Min(search->frontier.count, PREFETCH);

	for (int i = 0; i < most; i++)
		if (beyond_beam(search, search->frontier.elements[i].distance, ef) ||
			!HnswPrefetch(search->graph, search->frontier.elements[i].node))
			break;
}

/*
 * Visits a node, and estimates its neighbours.  Several nodes may estimate the
 * same one; all estimates go to the frontier, for each is another chance to be
 * right about it, but the beam counts a node once.
 */
static void
visit(HnswSearch *search, const HnswStep *step, int ef)
{
	HnswCandidate candidate;
	HnswStep	neighbours[2 * HNSW_MAX_M];
	int			n;

	if (!AnnVisitedAdd(&search->visited, step->node))
		return;

	prefetch(search, ef);
	candidate.node = step->node;
	n = HnswExpand(search->graph, search->query, search->level, &candidate, neighbours);
	search->scored += n + 1;
	if (n >= 0 && is_result(search, &candidate))
		hnsw_candidate_heap_push(&search->found, &candidate);

	for (int i = 0; i < n; i++)
	{
		/* Most are, of the nodes visited before too; these are known when their turn comes. */
		if (beyond_beam(search, neighbours[i].distance, ef))
			put_aside(search, &neighbours[i]);
		else if (!AnnVisitedHas(&search->visited, neighbours[i].node))
		{
			hnsw_step_heap_push(&search->frontier, &neighbours[i]);
			if (AnnVisitedAdd(&search->estimated, neighbours[i].node))
				add_to_beam(search, neighbours[i].distance, ef);
		}
	}
}

int
HnswSearchNext(HnswSearch *search, int ef, HnswCandidate *out)
{
	int			n = 0;

	resume(search);
	start_beam(search, ef);

	while (search->frontier.count > 0)
	{
		HnswStep	nearest;

		if (search->beam.count >= ef &&
			hnsw_step_heap_top(&search->frontier)->distance > *hnsw_distance_heap_top(&search->beam))
			break;

		CHECK_FOR_INTERRUPTS();
		nearest = hnsw_step_heap_pop(&search->frontier);
		if (search->graph->expands)
			visit(search, &nearest, ef);
		else
			visit_neighbours(search, &nearest, ef);
	}

	if (search->graph->expands)
		HnswRelease(search->graph);

	while (n < ef && search->found.count > 0)
		out[n++] = hnsw_candidate_heap_pop(&search->found);
	return n;
}

/*
 * The nearest that a greedy search of a level of estimates finds, expanded or not,
 * into ways[ESTIMATED_WAYS]; returns how many.
 */
static int
estimate_ways(HnswSearch *search, HnswCandidate *ways)
{
	int			least = search->level == 1 ? LEAST_EXPANDED : 1;
	int			n = 0;

	start_beam(search, ESTIMATED_WAYS);
	while (search->frontier.count > 0 &&
		   (search->found.count < least ||
			hnsw_step_heap_top(&search->frontier)->distance <
			hnsw_candidate_heap_top(&search->found)->distance))
	{
		HnswStep	nearest = hnsw_step_heap_pop(&search->frontier);

		CHECK_FOR_INTERRUPTS();
		visit(search, &nearest, ESTIMATED_WAYS);
	}

	while (n < ESTIMATED_WAYS && search->found.count > 0)
		ways[n++] = hnsw_candidate_heap_pop(&search->found);
	while (n < ESTIMATED_WAYS && search->frontier.count > 0)
	{
		HnswStep	step = hnsw_step_heap_pop(&search->frontier);

		if (AnnVisitedAdd(&search->visited, step.node))
			ways[n++] = (HnswCandidate) {.distance = step.distance, .node = step.node,
			.links = step.links};
	}
	return n;
}

void
HnswSearchDescend(HnswSearch *search, const HnswCandidate *entry, int from, int to)
{
	bool		resumable = search->resumable;
	HnswCandidate ways[ESTIMATED_WAYS] = {*entry};
	int			n = 1;

	search->resumable = false;
	search->routing = true;
	for (int level = from; level > to; level--)
	{
		HnswCandidate found[ESTIMATED_WAYS];
		int			count;

		HnswSearchBegin(search, level, ways, n);
		count = search->graph->expands ? estimate_ways(search, found) :
			HnswSearchNext(search, WAYS, found);
		if (count == 0)
			continue;
		n = count;
		memcpy(ways, found, sizeof(HnswCandidate) * n);
	}
	search->routing = false;
	search->resumable = resumable;

	HnswSearchBegin(search, to, ways, n);
}
