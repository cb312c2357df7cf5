/*
 * ivfflat_scan.c
 *	  What ivfflat brings to a scan: README.md section 4.
 */
#include "postgres.h"

#include <float.h>

#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "ivfflat/ivfflat.h"

/* Of the rows of the lists read, the nearest, this share of them, are handed out. */
#define HANDED_SHARE 32

typedef struct IvfScanState
{
	IvfIndex	index;
	IvfPoint	point;
	IvfQueue	queue;
	int			probes;			/* lists that may still be looked into */
	int64		found;			/* rows of lists read */
} IvfScanState;

static void
ivf_scan_open(Relation rel, AnnSpace *space)
{
	IvfIndex	index;

	IvfOpen(&index, rel);
	*space = index.space;
}

static void
ivf_scan_begin(AnnScan *scan)
{
	IvfScanState *state = palloc(sizeof(IvfScanState));

	scan->state = state;
	IvfOpen(&state->index, scan->index);
	IvfPointOfValue(&state->index, &scan->query, &state->point);
	IvfQueueInit(&state->queue, &state->index, &state->point, IVF_SEARCH, ivfflat_probes);
	state->probes = ivfflat_iterative_scan == IVF_ITERATIVE_SCAN_OFF ?
		ivfflat_probes : Max(ivfflat_probes, ivfflat_max_probes);
	state->found = 0;
}

/* Adds the rows of a segment by their codes. */
static void
add_codes(AnnScan *scan, const IvfIndex *index, const IvfList *list, IvfSegment segment)
{
	AnnForm		form = scan->space.metric->form;
	double		unit = form == ANN_FORM_L2 ? 1 : 0.5;
	double		left_out = form == ANN_FORM_IP ? scan->query.norm2 : 0;

	for (int first = 0; first < segment->count; first += ANN_BATCH)
	{
		int			n = Min(segment->count - first, ANN_BATCH);
		char	   *rows = segment->rows + index->row_size * first;
		IvfSquare	squares[ANN_BATCH];

		IvfEstimateRows(index, scan->query.prepared, list->base, rows, n, squares);
		for (int i = 0; i < n; i++)
		{
			IvfRow		row = IvfSegmentRow(segment, index->row_size, first + i);
			AnnPlace	place = IvfRowPlace(index, row);

			/* Even the row that is the centre has to be looked at: 0 would say it is exact. */
			AnnScanAdd(scan, (squares[i].estimate - left_out) * unit, squares[i].error * unit + DBL_MIN,
					   &row->tid, 1, &place);
		}
	}
}

/* Adds the rows of a segment that has whole values. */
static void
add_values(AnnScan *scan, const IvfIndex *index, IvfSegment segment)
{
	for (int first = 0; first < segment->count; first += ANN_BATCH)
	{
		int			n = Min(segment->count - first, ANN_BATCH);
		const void *values[ANN_BATCH];
		double		distances[ANN_BATCH];

		for (int i = 0; i < n; i++)
			values[i] = IvfSegmentRow(segment, index->row_size, first + i)->data;
		AnnQueryDistances(&scan->query, values, n, distances);

		for (int i = 0; i < n; i++)
			AnnScanAdd(scan, distances[i], 0,
					   &IvfSegmentRow(segment, index->row_size, first + i)->tid, 1, NULL);
	}
}

/* Adds the rows of a segment without saying how far they are. */
static void
add_tids(AnnScan *scan, const IvfIndex *index, IvfSegment segment)
{
	for (int i = 0; i < segment->count; i++)
		AnnScanAdd(scan, 0, 0, &IvfSegmentRow(segment, index->row_size, i)->tid, 1, NULL);
}

/*
 * Adds the rows of a list; false if it was replaced meanwhile.  Of segments there
 * are copies, as the shell may take its time, with temporary files even.
 */
static bool
add_list(AnnScan *scan, IvfIndex *index, const IvfList *list)
{
	PGAlignedBlock copy;
	IvfSegment	segment = (IvfSegment) copy.data;
	IvfWalk		walk;

	IvfWalkBegin(&walk, index, list->number, list->first, false);
	while (IvfWalkNext(&walk, BUFFER_LOCK_SHARE))
	{
		memcpy(segment, walk.segment, IvfSegmentSize(index->row_size, walk.segment->count));
		UnlockReleaseBuffer(walk.buf);
		if (scan->unordered)
			add_tids(scan, index, segment);
		else if (index->bits == 0)
			add_values(scan, index, segment);
		else
			add_codes(scan, index, list, segment);
		scan->counters.scored += segment->count;
	}
	return !walk.gone;
}

/*
 * Takes the next lists, so many or all there are, and asks for the first page of
 * each; returns how many.
 */
static int
take_lists(IvfScanState *state, IvfList *lists, int wanted)
{
	int			n = 0;

	while (n < wanted && IvfQueueNext(&state->queue, &lists[n]))
		n++;
	for (int i = 0; i < n; i++)
	{
		BlockNumber blkno = ItemPointerGetBlockNumberNoCheck(&lists[i].first);

		if (blkno < state->index.nblocks)
			PrefetchBuffer(state->index.rel, MAIN_FORKNUM, blkno);
	}
	return n;
}

static bool
ivf_scan_next_batch(AnnScan *scan)
{
	IvfScanState *state = scan->state;
	int64		before = scan->counters.scored;
	int			wanted = Min(ivfflat_probes, state->probes);
	IvfList    *lists;

	if (wanted == 0)
		return false;

	lists = palloc(sizeof(IvfList) * wanted);
	state->probes -= wanted;
	while (wanted > 0)
	{
		int			n = take_lists(state, lists, wanted);

		if (n < wanted)
			state->probes = 0;

		/* The rows of one that is gone are in lists not in the queue yet. */
		wanted = 0;
		for (int i = 0; i < n; i++)
			if (!add_list(scan, &state->index, &lists[i]))
				wanted++;
		if (wanted > 0)
			IvfQueueRefresh(&state->queue);
	}
	pfree(lists);

	/* Of the rows that are nearest, the more are elsewhere the more there are. */
	state->found += scan->counters.scored - before;
	scan->due = state->probes > 0 ? state->found / HANDED_SHARE : PG_INT64_MAX;
	return true;
}

static void
ivf_scan_all(AnnScan *scan)
{
	IvfIndex	index;
	IvfPoint	point;
	IvfQueue	queue;
	IvfList		list;

	IvfOpen(&index, scan->index);
	if (!scan->unordered)
		IvfPointOfValue(&index, &scan->query, &point);
	IvfQueueInit(&queue, &index, scan->unordered ? NULL : &point, IVF_SEARCH, 0);
	while (IvfQueueNext(&queue, &list))
		if (!add_list(scan, &index, &list))
			IvfQueueRefresh(&queue);
}

static bool
ivf_scan_strict(void)
{
	return ivfflat_iterative_scan != IVF_ITERATIVE_SCAN_RELAXED;
}

const AnnScanMethods ivf_scan_methods = {
	.open = ivf_scan_open,
	.begin = ivf_scan_begin,
	.next_batch = ivf_scan_next_batch,
	.all = ivf_scan_all,
	.strict = ivf_scan_strict
};
