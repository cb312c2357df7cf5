/*
 * hnsw_select.c
 *	  Which of many candidates a node gets as neighbours.
 */
#include "postgres.h"

#include "hnsw/hnsw_graph.h"

static int
compare_choices(const void *a, const void *b)
{
	const HnswChoice *ca = a;
	const HnswChoice *cb = b;

	if (ca->distance != cb->distance)
		return ca->distance < cb->distance ? -1 : 1;
	return ca->node < cb->node ? -1 : ca->node > cb->node;
}

/*
 * The heuristic of the HNSW paper (algorithm 4): a candidate is chosen unless
 * one chosen before is nearer to it than the owner is, for then a search gets
 * there anyway.  Places that this leaves free are filled with the nearest of
 * the others, as the paper's keepPrunedConnections does: a page read for a list
 * is paid for, full or not.
 */
int
HnswSelect(const AnnSpace *space, HnswChoice *choices, int n, int max)
{
	int			chosen = 0;
	int			fillers;
	int			kept = 0;
	AnnQuery	query;

	AnnQueryInit(&query, space);
	qsort(choices, n, sizeof(HnswChoice), compare_choices);

	for (int i = 0; i < n; i++)
	{
		choices[i].chosen = chosen < max;
		if (choices[i].chosen)
			AnnQuerySetCode(&query, choices[i].code, choices[i].size);
		for (int j = 0; j < i && choices[i].chosen; j++)
			if (choices[j].chosen && AnnQueryDistance(&query, choices[j].code) < choices[i].distance)
				choices[i].chosen = false;
		chosen += choices[i].chosen;
	}

	fillers = Min(n, max) - chosen;
	for (int i = 0; i < n; i++)
	{
		if (!choices[i].chosen && fillers-- <= 0)
			continue;
		choices[kept++] = choices[i];
	}
	return kept;
}

/*
 * As in HnswSelect, but step by step: the new neighbour is chosen if no chosen
 * one that is nearer to the owner is nearer to it than the owner; if it is, the
 * farther ones to which it is nearer than the owner no longer are.  The farthest
 * filler gives way, or if there is none the farthest of all.
 */
int
HnswOffer(HnswPlace *places, int n, int max, double distance, bool must, bool *chosen)
{
	int			victim = 0;

	*chosen = true;
	for (int i = 0; i < n && !must; i++)
		if (places[i].chosen && places[i].distance <= distance && places[i].from_new < distance)
			*chosen = false;

	for (int i = 0; i < n && *chosen; i++)
		if (places[i].chosen && places[i].distance > distance &&
			places[i].from_new < places[i].distance)
			places[i].chosen = false;

	if (n < max)
		return n;

	for (int i = 1; i < n; i++)
		if (places[i].chosen < places[victim].chosen ||
			(places[i].chosen == places[victim].chosen &&
			 places[i].distance > places[victim].distance))
			victim = i;

	if (must || *chosen > places[victim].chosen ||
		(*chosen == places[victim].chosen && distance < places[victim].distance))
		return victim;
	return -1;
}
