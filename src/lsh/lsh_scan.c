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

/* Only to reach a greater recall than this are near rows not handed out at once. */
#define NEAR_TARGET 0.98

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
 * The distance up to which rows can be handed out although the search is not at its
 * end.  That is to miss few rows in comparison with those that patience misses.
 */
static double
near_distance(const LshScanState *state)
{
	double		leaves = (double) LshSearchScored(state->search) / state->index.leaf_fill;
	double		share = LshNearness(&state->index, leaves);

	if (share < 0 || lsh_target_recall > NEAR_TARGET)
		return -INFINITY;
	return LshNearDistance(&state->value, share);
}

/* Are the k best likely to be what they should be, or is there nothing more to do for it? */
static bool
is_settled(const LshScanState *state)
{
	return state->complete || state->capped ||
		(LshSearchReads(state->search) > 0 &&
		 LshSearchWaited(state->search) >= LshPatience(&state->index));
}

/*
 * Searches until the k best are settled, or there is a row so near that no nearer one
 * is likely to be found.  Returns up to what distance rows can be handed out.
 */
static double
search_on(AnnScan *scan)
{
	LshScanState *state = scan->state;
	uint32		leaves = state->index.nblocks / state->index.hash.tables;

	while (!is_settled(state))
	{
		double		near;

		if (lsh_max_probes > 0 && LshSearchReads(state->search) >= lsh_max_probes)
			state->capped = true;

		/* From here on it is less work to read one table. */
		else if (LshSearchReads(state->search) >= leaves || !LshSearchStep(state->search))
		{
			LshSearchAll(state->search);
			state->complete = true;
		}

		/*
		 * The shell has those that were not near enough before.  Where they are many
		 * they may be equal, and more than a leaf holds.
		 */
		near = near_distance(state);
		if (!is_settled(state) && scan->handed < FIRST_BATCH &&
			(LshSearchNearest(state->search) <= near ||
			 (scan->hits.count > 0 && scan->hits.elements[0].distance <= near)))
			return near;
	}
	return LshSearchBound(state->search);
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
	double		limit;

	if (scan->begun && is_settled(state) &&
		(state->capped || isinf(scan->horizon) || !LshSearchMore(state->search)))
		return false;

	limit = search_on(scan);
	scan->counters.scored += LshSearchScored(state->search) - before;
	scan->horizon = scan->begun ? Max(scan->horizon, limit) : limit;
	while ((row = LshSearchNext(state->search, limit)) != NULL)
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
