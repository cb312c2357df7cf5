/*
 * lsh_scan.c
 *	  What lsh brings to a scan: README.md section 4.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "lsh/lsh.h"
#include "utils/rel.h"

/* How many rows the first batch is to have. */
#define FIRST_BATCH 10

typedef struct LshScanState
{
	LshIndex	index;
	LshValue	value;
	LshSearch  *search;
	bool		complete;		/* all rows were looked at */
	bool		capped;			/* by lsh.max_probes */
} LshScanState;

static void
lsh_scan_open(Relation rel, AnnSpace *space)
{
	LshIndex	index;

	LshOpen(&index, rel);
	*space = index.space;
}

static void
lsh_scan_begin(AnnScan *scan)
{
	LshScanState *state = palloc0(sizeof(LshScanState));

	scan->state = state;
	LshOpen(&state->index, scan->index);
	LshPrepareSearch(&state->value, &state->index, &scan->query);
	state->search = LshSearchBegin(&state->index, &state->value, FIRST_BATCH);
}

/*
 * Searches until the k best are likely to be what they should be.
 */
static void
search_on(LshScanState *state)
{
	double		patience = LshPatience(&state->index);
	uint32		leaves = state->index.nblocks / state->index.hash.tables;

	while (!state->complete && !state->capped &&
		   (LshSearchReads(state->search) == 0 || LshSearchWaited(state->search) < patience))
	{
		if (lsh_max_probes > 0 && LshSearchReads(state->search) >= lsh_max_probes)
			state->capped = true;

		/* From here on it is less work to read one table. */
		else if (LshSearchReads(state->search) >= leaves || !LshSearchStep(state->search))
		{
			LshSearchAll(state->search);
			state->complete = true;
		}
	}
}

/* Adds a row between two bounds of its distance; if values are stored whole, they are it. */
static void
add_row(AnnScan *scan, double lower, double upper, const ItemPointerData *tid)
{
	double		error = scan->space.bits > 0 ? (upper - lower) / 2 + DBL_MIN : 0;

	AnnScanAdd(scan, lower + error, error, tid, 1, NULL);
}

static bool
lsh_scan_next_batch(AnnScan *scan)
{
	LshScanState *state = scan->state;
	int64		before = LshSearchScored(state->search);
	const LshFound *row;

	if (scan->begun &&
		(state->capped || isinf(scan->horizon) || !LshSearchMore(state->search)))
		return false;

	search_on(state);
	scan->counters.scored += LshSearchScored(state->search) - before;
	scan->horizon = LshSearchBound(state->search);
	while ((row = LshSearchNext(state->search)) != NULL)
		add_row(scan, row->lower, row->upper, &row->tid);
	return true;
}

/* Adds all rows of a leaf, a copy. */
static void
add_leaf(AnnScan *scan, LshIndex *index, LshNode node, int count)
{
	LshScanState *state = scan->state;

	scan->counters.scored += count;
	for (int i = 0; i < count; i++)
	{
		LshRow		row = LshNodeRow(index, node, i);
		AnnRabitqRange range;
		double		distance;

		if (scan->unordered)
		{
			AnnScanAdd(scan, 0, 0, &row->place.tid, 1, NULL);
			continue;
		}
		LshDistances(&state->value, &row, 1, &distance);
		range = LshBounds(&state->value, row, distance);
		add_row(scan, range.lower, range.upper, &row->place.tid);
	}
}

static void
lsh_scan_all(AnnScan *scan)
{
	PGAlignedBlock *copy = palloc(sizeof(PGAlignedBlock));
	LshIndex	index;
	LshWalk		walk;
	int			count;

	LshOpen(&index, scan->index);
	index.strategy = GetAccessStrategy(BAS_BULKREAD);
	LshWalkBegin(&walk, &index, 0);
	while (LshWalkNext(&walk, BUFFER_LOCK_SHARE, &count))
	{
		memcpy(copy->data, BufferGetPage(walk.buf), BLCKSZ);
		UnlockReleaseBuffer(walk.buf);
		add_leaf(scan, &index, LshPageNode(copy->data), count);
	}
	FreeAccessStrategy(index.strategy);
	pfree(copy);
}

static bool
lsh_scan_strict(void)
{
	return true;
}

const AnnScanMethods lsh_scan_methods = {
	.open = lsh_scan_open,
	.begin = lsh_scan_begin,
	.next_batch = lsh_scan_next_batch,
	.all = lsh_scan_all,
	.strict = lsh_scan_strict
};
