/*
 * hnsw_scan.c
 *	  What hnsw brings to a scan: README.md section 4.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/float.h"
#include "utils/rel.h"

#include "hnsw/hnsw.h"

typedef struct HnswScanState
{
	HnswIndex	index;
	HnswPageGraph graph;
	HnswSearch	search;
	int			ef;				/* of the next batch; 0: there will be none */
	int64		found;			/* in all batches so far */
} HnswScanState;

/*
 * Estimates from neighbours' codes of few bits per dimension err so much that the
 * beam must be wider by so many to find what one of exact distances does; for its
 * farthest places are where they go wrong.
 */
static int
first_beam(const AnnSpace *space)
{
	static const int margins[ANN_MAX_NEAR_BITS + 1] = {0, 10, 4};

	return hnsw_ef_search + margins[space->near_bits];
}

/* The distance of an element on a locked page. */
static void
evaluate(AnnScan *scan, const HnswIndex *index, Page page, HnswElement element,
		 HnswCandidate *candidate)
{
	const void *code;

	candidate->distance = 0;
	candidate->error = 0;
	if (scan->unordered)
		return;

	code = HnswGetCode(index, page, candidate->node, element, NULL);
	candidate->distance = AnnQueryDistance(&scan->query, code);
	candidate->error = AnnQueryError(&scan->query, code, candidate->distance);
}

static void
hnsw_scan_open(Relation rel, AnnSpace *space)
{
	HnswIndex	index;

	HnswOpen(&index, rel);
	*space = index.space;
}

static void
hnsw_scan_begin(AnnScan *scan)
{
	HnswScanState *state = palloc(sizeof(HnswScanState));
	HnswCandidate top;
	HnswNode	entry;
	int			level;

	scan->state = state;
	HnswOpen(&state->index, scan->index);
	HnswPageGraphInit(&state->graph, &state->index, 0);
	HnswSearchInit(&state->search, &state->graph.base, &scan->query);
	state->search.resumable = hnsw_iterative_scan != HNSW_ITERATIVE_SCAN_OFF;
	state->ef = 0;
	state->found = 0;

	if (!HnswReadEntry(&state->index, &entry, &level) ||
		HnswEvaluate(&state->graph.base, &scan->query, &entry, 1, &top) == 0)
		return;

	HnswSearchDescend(&state->search, &top, level, 0);
	scan->counters.scored += 1 + state->search.scored;
	state->ef = first_beam(&state->index.space);
}

/* Adds rows of a node. */
static void
add_rows(AnnScan *scan, const HnswIndex *index, const HnswCandidate *candidate,
		 const ItemPointerData *tids, uint32 n)
{
	AnnPlace	place = HnswValuePlace(index, candidate->value, candidate->node);

	AnnScanAdd(scan, candidate->distance, candidate->error, tids, n, &place);
}

/*
 * Adds the rows of a node that has postings.  It is read again, for postings
 * come and go; if meanwhile another node has taken its place, its rows are not
 * ours, and to our snapshot not visible either.
 */
static void
add_all_tids(AnnScan *scan, HnswIndex *index, const HnswCandidate *candidate)
{
	HnswNode	node = candidate->node;
	HnswCandidate now = *candidate;
	HnswTids	tids = {.tids = palloc(sizeof(ItemPointerData) * 64),.capacity = 64};
	HnswItem	missing = HNSW_NO_ITEM;
	HnswItem	before;
	ItemPointerData tid;

	do
	{
		Buffer		buf = HnswReadItemPage(index, node, BUFFER_LOCK_SHARE);
		HnswElement element = HnswGetElement(index, BufferGetPage(buf), node);
		HnswItem	first = HNSW_NO_ITEM;

		ItemPointerSetInvalid(&tid);
		if (element != NULL)
		{
			evaluate(scan, index, BufferGetPage(buf), element, &now);

			/* overflow can make a distance NaN */
			if (float8_eq(now.distance, candidate->distance))
			{
				tid = element->tid;
				first = element->postings;
			}
		}
		UnlockReleaseBuffer(buf);

		before = missing;
		missing = HnswGetTids(index, node, first, &tids);

		/* VACUUM does not remove postings that something still names. */
		if (missing != HNSW_NO_ITEM && missing == before)
			AnnCorrupted(index->rel, HnswItemBlock(index, missing), "Heap TIDs of a node are missing");
	} while (missing != HNSW_NO_ITEM);

	if (ItemPointerIsValid(&tid))
		HnswAppendTid(&tids, &tid);
	if (tids.count > 0)
		add_rows(scan, index, candidate, tids.tids, tids.count);
	pfree(tids.tids);
}

static void
add_candidate(AnnScan *scan, HnswIndex *index, const HnswCandidate *candidate)
{
	if (candidate->flags & HNSW_CANDIDATE_MORE)
		add_all_tids(scan, index, candidate);
	else if (ItemPointerIsValid(&candidate->tid))
		add_rows(scan, index, candidate, &candidate->tid, 1);
}

static bool
hnsw_scan_next_batch(AnnScan *scan)
{
	HnswScanState *state = scan->state;
	int64		before = state->search.scored;
	HnswCandidate *found;
	int			n;

	if (state->ef == 0)
		return false;

	found = palloc_extended(sizeof(HnswCandidate) * (Size) state->ef, MCXT_ALLOC_HUGE);
	n = HnswSearchNext(&state->search, state->ef, found);
	scan->counters.scored += state->search.scored - before;

	/*
	 * All that can be reached is less than one beam.  There may be more that
	 * cannot; nothing has been returned yet, so reading everything is both
	 * complete and in order.
	 */
	if (HnswSearchExhausted(&state->search) && !scan->begun)
		n = 0;

	for (int i = 0; i < n; i++)
		add_candidate(scan, &state->index, &found[i]);

	/*
	 * What is found last is found in part, and of what is nearer something is
	 * still missing: half of all may be handed out.
	 */
	state->found += n;
	scan->due = state->search.resumable ? state->found / 2 : PG_INT64_MAX;
	pfree(found);

	if (HnswSearchExhausted(&state->search) || !state->search.resumable ||
		state->search.visited.count >= hnsw_max_scan_tuples ||
		HnswSearchMemory(&state->search) > work_mem * 1024.0 * hnsw_scan_mem_multiplier)
		state->ef = 0;
	else
		state->ef = (int) Min(state->found, PG_INT32_MAX);
	return true;
}

/* Adds all rows of a page, which is unlocked before they are handed on. */
static void
add_page(AnnScan *scan, HnswIndex *index, BlockNumber blkno, BufferAccessStrategy strategy)
{
	Buffer		buf = HnswReadPage(index, blkno, strategy, BUFFER_LOCK_SHARE);
	Page		page = BufferGetPage(buf);
	int			count = HnswCountItems(page);
	HnswCandidate found[MaxOffsetNumber];
	int			n = 0;

	for (OffsetNumber offset = FirstOffsetNumber; offset <= count; offset++)
	{
		HnswNode	node = HnswItemNumber(index, blkno, offset);
		HnswElement element = HnswGetElement(index, page, node);

		if (element == NULL || (element->flags & HNSW_DEAD))
			continue;
		found[n].node = node;
		evaluate(scan, index, page, element, &found[n]);
		found[n].tid = element->tid;
		found[n].value = HnswElementValue(&index->shape, element);
		found[n].flags = element->postings == HNSW_NO_ITEM ? 0 : HNSW_CANDIDATE_MORE;
		n++;
	}
	UnlockReleaseBuffer(buf);

	scan->counters.scored += n;
	for (int i = 0; i < n; i++)
		add_candidate(scan, index, &found[i]);
}

static void
hnsw_scan_all(AnnScan *scan)
{
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	BlockNumber nblocks = RelationGetNumberOfBlocks(scan->index);
	HnswIndex	index;

	HnswOpen(&index, scan->index);
	for (BlockNumber blkno = ANN_METAPAGE_BLKNO + 1; blkno < nblocks; blkno++)
	{
		CHECK_FOR_INTERRUPTS();
		add_page(scan, &index, blkno, strategy);
	}
	FreeAccessStrategy(strategy);
}

static bool
hnsw_scan_strict(void)
{
	return hnsw_iterative_scan != HNSW_ITERATIVE_SCAN_RELAXED;
}

const AnnScanMethods hnsw_scan_methods = {
	.open = hnsw_scan_open,
	.begin = hnsw_scan_begin,
	.next_batch = hnsw_scan_next_batch,
	.all = hnsw_scan_all,
	.strict = hnsw_scan_strict
};
