/*
 * hnsw_repair.c
 *	  Giving lists other neighbours in place of dead ones: README.md section 8,
 *	  step 3.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "am/am_point.h"
#include "am/am_visited.h"
#include "compat.h"
#include "hnsw/hnsw.h"

/* To how many neighbours a node is offered that a dead one led to. */
#define OFFERS 4

typedef struct Repair
{
	HnswIndex  *index;
	const AnnVisited *dead;
	BufferAccessStrategy strategy;

	HnswPageGraph graph;
	HnswSearch	search;
	AnnQuery	owner;			/* of the list that is repaired */
	hnsw_step_heap heirs;		/* neighbours of the list's dead */
	HnswChoice *choices;
	AnnVisited	seen;
	bool		bereft;			/* one of the list's dead had the owner in its own */
} Repair;

/*
 * Adds a node to choices[n], unless it is dead or the owner, or was seen; returns
 * the new n.
 */
static int
add_choice(Repair *repair, HnswNode node, HnswChoice *choices, int n)
{
	const void *code;
	Size		size;

	if (!AnnVisitedAdd(&repair->seen, node) || AnnVisitedHas(repair->dead, node))
		return n;
	code = HnswNodeCode(&repair->graph, node, &size);
	if (code == NULL)
		return n;
	choices[n].distance = AnnQueryDistance(&repair->owner, code);
	choices[n].node = node;
	choices[n].code = code;
	choices[n].size = size;
	return n + 1;
}

/* A copy of a part of a node's links on a level, or NULL if there is none. */
static HnswLinks
read_part(Repair *repair, HnswNode node, int level, int part)
{
	HnswItem	item = HnswFindLinks(repair->index, node, level, part);

	return item == HNSW_NO_ITEM ? NULL : HnswReadLinks(repair->index, item, node);
}

/*
 * The neighbours of a dead node on a level, into out, and how far they are from
 * the owner; returns how many.  Where there are codes of neighbours, these are
 * estimates, and no other page is read.
 */
static int
get_heirs(Repair *repair, HnswNode node, int level, HnswStep *out)
{
	HnswGraph  *graph = &repair->graph.base;
	HnswLinks	links;
	int			n;

	if (graph->expands)
	{
		HnswCandidate dead = {.node = node};

		n = HnswExpand(graph, &repair->owner, level, &dead, out);
		HnswRelease(graph);
		return n;
	}

	links = read_part(repair, node, level, 0);
	for (n = 0; links != NULL && n < links->count; n++)
	{
		const void *code;

		out[n].node = HnswViewLinks(links).nodes[n];
		code = HnswNodeCode(&repair->graph, out[n].node, NULL);
		out[n].distance = code == NULL ? INFINITY : HnswOrdered(AnnQueryDistance(&repair->owner, code));
	}
	return n;
}

/* Adds what a search finds near the owner to choices[n]; returns the new n. */
static int
add_found(Repair *repair, int level, HnswChoice *choices, int n)
{
	HnswIndex  *index = repair->index;
	HnswCandidate *found = palloc(sizeof(HnswCandidate) * index->ef_construction);
	HnswNode	entry;
	int			entry_level;
	int			count;

	if (!HnswReadEntry(index, &entry, &entry_level) || entry_level < level ||
		HnswEvaluate(&repair->graph.base, &repair->owner, &entry, 1, found) == 0)
		return n;

	HnswSearchDescend(&repair->search, found, entry_level, level);
	count = HnswSearchNext(&repair->search, index->ef_construction, found);
	for (int i = 0; i < count; i++)
		n = add_choice(repair, found[i].node, choices, n);
	pfree(found);
	return n;
}

/* Adds those whom the heuristic had chosen for a dead node to choices[n]; returns the new n. */
static int
add_chosen(Repair *repair, HnswNode node, int level, HnswChoice *choices, int n)
{
	const HnswShape *shape = &repair->index->shape;

	/* No node's lists have more parts than those of level 0. */
	for (int part = 0; part < HnswParts(shape, 0); part++)
	{
		HnswLinks	links = read_part(repair, node, level, part);
		HnswLinksView view;

		if (links == NULL)
			continue;
		view = HnswViewLinks(links);
		for (int i = 0; i < links->count; i++)
			if (HnswIsChosen(&view, i))
				n = add_choice(repair, view.nodes[i], choices, n);
	}
	return n;
}

/*
 * Adds neighbours of a list's dead to choices[n]; returns the new n.  On level 0,
 * where nearly all lists are, these are the nearest, three times as many as there
 * are dead, and of those dead that had been chosen whom they had chosen: others
 * would hardly be selected.  The few lists above lead from cluster to cluster, and
 * get to choose from all.  The nearest of each dead one that had been chosen is a
 * bridge, too.
 */
static int
add_heirs(Repair *repair, const HnswLinksData *links, HnswChoice *choices, int n,
		  HnswNode *bridges, int *nbridges)
{
	HnswLinksView view = HnswViewLinks((HnswLinks) links);
	HnswStep	heirs[2 * HNSW_MAX_M];
	int			wanted = 0;

	hnsw_step_heap_reset(&repair->heirs);
	*nbridges = 0;
	for (int i = 0; i < links->count; i++)
	{
		const HnswStep *nearest = NULL;
		int			before = n;
		int			count;

		if (!AnnVisitedHas(repair->dead, view.nodes[i]))
			continue;

		count = get_heirs(repair, view.nodes[i], links->level, heirs);
		wanted += links->level > 0 ? count : 3;
		for (int j = 0; j < count; j++)
		{
			repair->bereft |= heirs[j].node == links->owner;
			if (AnnVisitedHas(&repair->seen, heirs[j].node) || AnnVisitedHas(repair->dead, heirs[j].node))
				continue;
			hnsw_step_heap_push(&repair->heirs, &heirs[j]);
			if (nearest == NULL || heirs[j].distance < nearest->distance)
				nearest = &heirs[j];
		}

		if (!HnswIsChosen(&view, i))
			continue;
		if (nearest != NULL)
			n = add_choice(repair, nearest->node, choices, n);
		if (n > before)
			bridges[(*nbridges)++] = choices[before].node;
		n = add_chosen(repair, view.nodes[i], links->level, choices, n);
	}

	for (int last = n + wanted; n < last && repair->heirs.count > 0;)
		n = add_choice(repair, hnsw_step_heap_pop(&repair->heirs).node, choices, n);
	return n;
}

/*
 * Who has a place in a list before whom.  Who is there and lives stays, for the list
 * may be the only one that leads there.
 *
 * A dead neighbour that was chosen may have been the only way to a cluster: then
 * its bridge is now.  The heuristic may not choose it, for some other is a little
 * nearer to it than the owner; but that does not lead there.
 */
typedef enum Claim
{
	CLAIM_THERE,
	CLAIM_BRIDGE,
	CLAIM_CHOSEN,
	CLAIM_NONE
} Claim;

/*
 * Reduces choices[n], which are in order of distance, to max by their claims; returns
 * how many are left, in that order.  Bridges count as chosen.
 */
static int
keep_claims(Repair *repair, const HnswLinksData *old, HnswChoice *choices, int n, int max,
			const HnswNode *bridges, int nbridges)
{
	HnswLinksView view = HnswViewLinks((HnswLinks) old);
	Claim	   *claims = palloc(sizeof(Claim) * (n + 1));
	bool	   *keep = palloc0(sizeof(bool) * (n + 1));
	int			left = max;
	int			kept = 0;

	for (int i = 0; i < n; i++)
	{
		if (HnswIsAmong(view.nodes, old->count, choices[i].node))
			claims[i] = CLAIM_THERE;
		else if (HnswIsAmong(bridges, nbridges, choices[i].node))
			claims[i] = CLAIM_BRIDGE;
		else
			claims[i] = choices[i].chosen ? CLAIM_CHOSEN : CLAIM_NONE;
		choices[i].chosen |= claims[i] == CLAIM_BRIDGE;
	}

	for (Claim claim = CLAIM_THERE; claim <= CLAIM_NONE; claim++)
		for (int i = 0; i < n && left > 0; i++)
			if (claims[i] == claim)
			{
				keep[i] = true;
				left--;
			}

	for (int i = 0; i < n; i++)
		if (keep[i])
			choices[kept++] = choices[i];
	pfree(claims);
	pfree(keep);
	return kept;
}

/*
 * Offers the owner of a list, which a dead neighbour had in its own, to those that
 * are nearest of the neighbours chosen[n] it has now; the nearest takes it in any
 * case if no other does.
 */
static void
offer_owner(Repair *repair, HnswNode owner, int level, const HnswChoice *choices, int n)
{
	bool		linked = false;

	for (int i = 0; i < Min(n, OFFERS); i++)
		linked |= HnswLinkBack(&repair->graph, choices[i].node, level, owner, &repair->owner, false);
	for (int i = 0; i < n && !linked; i++)
		linked = HnswLinkBack(&repair->graph, choices[i].node, level, owner, &repair->owner, true);
}

static void
repair_links(Repair *repair, HnswItem item, HnswNode owner)
{
	HnswIndex  *index = repair->index;
	HnswChoice *choices = repair->choices;
	HnswLinks	old;
	HnswLinks	links;
	int			n;

	do
	{
		HnswLinksView view;
		const void *code;
		void	   *copy;
		Size		size;
		HnswNode	bridges[2 * HNSW_MAX_M];
		int			nbridges;
		int			max;
		int			live;

		CHECK_FOR_INTERRUPTS();
		HnswTrimCodes(&repair->graph);
		code = HnswNodeCode(&repair->graph, owner, &size);
		old = HnswReadLinks(index, item, owner);
		if (code == NULL || old == NULL)
			return;

		/* Offers to others let go of what is kept of codes. */
		copy = palloc(size);
		memcpy(copy, code, size);
		AnnQuerySetCode(&repair->owner, copy, size);
		if (repair->graph.base.expands)
			AnnQueryPrepareNear(&repair->owner);

		view = HnswViewLinks(old);
		max = old->places;
		AnnVisitedReset(&repair->seen);
		AnnVisitedAdd(&repair->seen, owner);
		repair->bereft = false;
		n = 0;
		for (int i = 0; i < old->count; i++)
			n = add_choice(repair, view.nodes[i], choices, n);
		live = n;
		n = add_heirs(repair, old, choices, n, bridges, &nbridges);

		/* If most are dead, what they knew is not what is near any more. */
		if (live < old->count / 2 || n < max)
			n = add_found(repair, old->level, choices, n);
		n = HnswSelect(&index->space, choices, n, n);
		n = keep_claims(repair, old, choices, n, max, bridges, nbridges);
		links = HnswMakeLinks(index, owner, old->level, old->places, HnswDecodeHost(index, copy),
							  choices, n, old);
	} while (!HnswReplaceLinks(index, item, old, links));
	AnnPoint("hnsw W7");

	if (repair->bereft)
		offer_owner(repair, owner, links->level, choices, n);
}

static bool
is_dead_owner(ItemPointer owner, void *arg)
{
	Repair	   *repair = arg;

	return AnnVisitedHas(repair->dead, HnswPlaceItem(repair->index, owner));
}

/*
 * Collects the links of a page that have a dead neighbour, and repairs them; or
 * removes the values of the dead.
 */
static void
repair_page(Repair *repair, BlockNumber blkno)
{
	typedef struct Broken
	{
		HnswItem	links;
		HnswNode	owner;
	} Broken;

	HnswIndex  *index = repair->index;
	Buffer		buf = HnswReadPage(index, blkno, repair->strategy, BUFFER_LOCK_SHARE);
	Page		page = BufferGetPage(buf);
	bool		values = HnswHasValues(index, page);
	int			count = HnswCountItems(page);
	Broken	   *broken = palloc(sizeof(Broken) * (count + 1));
	int			n = 0;

	for (OffsetNumber offset = FirstOffsetNumber; offset <= count; offset++)
	{
		HnswItem	item = HnswItemNumber(index, blkno, offset);
		HnswLinks	links = HnswGetLinks(index, page, item);
		HnswLinksView view;

		if (links == NULL || AnnVisitedHas(repair->dead, links->owner))
			continue;
		view = HnswViewLinks(links);
		for (int i = 0; i < links->count; i++)
			if (AnnVisitedHas(repair->dead, view.nodes[i]))
			{
				broken[n++] = (Broken) {item, links->owner};
				break;
			}
	}
	UnlockReleaseBuffer(buf);

	if (values)
		AnnStoreVacuum(&index->store, blkno, repair->strategy, is_dead_owner, repair);
	for (int i = 0; i < n; i++)
		repair_links(repair, broken[i].links, broken[i].owner);
}

void
HnswRepair(HnswIndex *index, const AnnVisited *dead, BufferAccessStrategy strategy)
{
	Repair		repair = {.index = index, .dead = dead, .strategy = strategy};
	BlockNumber nblocks = RelationGetNumberOfBlocks(index->rel);
	int			most = HnswMost(&index->shape, 0);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "hnsw repair",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext page_context = AllocSetContextCreate(context, "hnsw repair of a page",
													   ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcontext = MemoryContextSwitchTo(context);

	HnswPageGraphInit(&repair.graph, index, (Size) maintenance_work_mem * 1024 / 2);
	AnnQueryInit(&repair.owner, &index->space);
	HnswSearchInit(&repair.search, &repair.graph.base, &repair.owner);
	AnnVisitedInit(&repair.seen, 1024);
	hnsw_step_heap_init(&repair.heirs, 256);
	repair.choices = palloc(sizeof(HnswChoice) * (index->ef_construction + (most + 1) * most));

	MemoryContextSwitchTo(page_context);
	for (BlockNumber blkno = ANN_METAPAGE_BLKNO + 1; blkno < nblocks; blkno++)
	{
		AnnVacuumDelayPoint();
		repair_page(&repair, blkno);
		MemoryContextReset(page_context);
	}

	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
}
