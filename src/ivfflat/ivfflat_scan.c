/*
 * ivfflat_scan.c
 *	  What ivfflat brings to a scan: README.md section 4.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "ivfflat/ivfflat.h"

/* Of the rows of the lists read, the nearest, this share of them, are handed out. */
#define HANDED_SHARE 32

/* So many of the nearest rows found, or up to 16 times as many, are given to the shell at once. */
#define PORTION 32

/* Rows are divided into near and far ones when so many may be near. */
#define MAX_NEAR (16 * PORTION)

/* A row found, which the shell does not know yet. */
typedef struct Found
{
	double		least;			/* the distance it has at least, almost certainly */
	float		error;			/* half the interval above it; 0: it is the distance */
	ItemPointerData tid;
	ItemPointerData place;		/* of its value in the store, or invalid */
} Found;

/*
 * The rows found.  Most are farther than any that will be returned: all that
 * happens to these is that they are put aside.  Those at bar or beyond it are far.
 */
typedef struct FoundSet
{
	Found	   *near;
	int			nnear;
	Found	   *far;
	int64		nfar;
	int64		room;			/* for far ones */
	double		bar;
	int64		portion;		/* of far ones that become near ones next */
} FoundSet;

typedef struct IvfScanState
{
	IvfIndex	index;
	IvfPoint	point;
	IvfQueue	queue;
	int			probes;			/* lists that may still be looked into */
	int64		seen;			/* rows of lists read */
	FoundSet	found;
} IvfScanState;

/*
 * Rows found
 */

static void
init_found(FoundSet *set)
{
	set->near = palloc(sizeof(Found) * MAX_NEAR);
	set->nnear = 0;
	set->room = 2 * MAX_NEAR;
	set->far = palloc(sizeof(Found) * set->room);
	set->nfar = 0;
	set->bar = INFINITY;
	set->portion = PORTION;
}

/*
 * Puts the k nearest of n rows before the others, and the nearest of these behind
 * them; k < n.
 */
static void
select_nearest(Found *rows, int64 n, int64 k)
{
	int64		first = 0;
	int64		last = n - 1;

	while (first < last)
	{
		double		pivot = rows[first + (last - first) / 2].least;
		int64		i = first - 1;
		int64		j = last + 1;

		for (;;)
		{
			Found		swap;

			while (rows[++i].least < pivot)
				;
			while (rows[--j].least > pivot)
				;
			if (i >= j)
				break;
			swap = rows[i];
			rows[i] = rows[j];
			rows[j] = swap;
		}
		if (k <= j)
			last = j;
		else
			first = j + 1;
	}
}

/* Makes room for so many rows more. */
static void
make_room(FoundSet *set, int n)
{
	/* Near ones may become far, too. */
	while (set->nfar + MAX_NEAR + n > set->room)
	{
		set->room *= 2;
		set->far = repalloc_huge(set->far, sizeof(Found) * set->room);
	}
}

/* Leaves no more near rows than the shell is given at least. */
static void
divide_near(FoundSet *set)
{
	int			n = set->nnear - PORTION;

	select_nearest(set->near, set->nnear, PORTION);
	set->bar = set->near[PORTION].least;
	memcpy(set->far + set->nfar, set->near + PORTION, sizeof(Found) * n);
	set->nfar += n;
	set->nnear = PORTION;
}

/* Adds a row; there is room for it. */
static inline void
add_found(FoundSet *set, double least, float error, const ItemPointerData *tid, ItemPointerData place)
{
	Found	   *row;

	if (set->nnear == MAX_NEAR)
		divide_near(set);
	row = least < set->bar ? &set->near[set->nnear++] : &set->far[set->nfar++];
	row->least = least;
	row->error = error;
	row->tid = *tid;
	row->place = place;
}

static void
give(AnnScan *scan, const Found *rows, int64 n)
{
	for (int64 i = 0; i < n; i++)
	{
		AnnPlace	place = {.at = rows[i].place,.owner = rows[i].tid};

		AnnScanAdd(scan, rows[i].least + rows[i].error, rows[i].error, &rows[i].tid, 1, &place);
	}
}

/* Gives the near ones to the shell. */
static void
give_near(AnnScan *scan, FoundSet *set)
{
	give(scan, set->near, set->nnear);
	set->nnear = 0;
	scan->horizon = set->nfar > 0 ? set->bar : INFINITY;
}

/* Gives it the nearest of the far ones, twice as many each time. */
static void
give_far(AnnScan *scan, FoundSet *set)
{
	int64		n = set->nfar;

	set->bar = INFINITY;
	if (n > set->portion)
	{
		n = set->portion;
		select_nearest(set->far, set->nfar, n);
		set->bar = set->far[n].least;
		set->portion *= 2;
	}
	give(scan, set->far, n);
	set->nfar -= n;
	memmove(set->far, set->far + n, sizeof(Found) * set->nfar);
	scan->horizon = set->bar;
}

/* Gives it all. */
static void
give_all(AnnScan *scan, FoundSet *set)
{
	give_near(scan, set);
	give(scan, set->far, set->nfar);
	set->nfar = 0;
	set->bar = scan->horizon = INFINITY;
}

/*
 * Reading lists
 */

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
	IvfQueueInit(&state->queue, &state->index, &state->point, IVF_SCAN, ivfflat_probes);
	state->probes = ivfflat_iterative_scan == IVF_ITERATIVE_SCAN_OFF ?
		ivfflat_probes : Max(ivfflat_probes, ivfflat_max_probes);
	state->seen = 0;
	init_found(&state->found);
}

/* Adds the rows of a segment by their codes. */
static void
add_codes(AnnScan *scan, const IvfIndex *index, FoundSet *set, const IvfList *list, IvfSegment segment)
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

			/* Even the row that is the centre has to be looked at: 0 would say it is exact. */
			float		error = squares[i].error * unit + FLT_MIN;
			double		least = (squares[i].estimate - left_out) * unit - error;

			add_found(set, isnan(least) ? -INFINITY : least, error, &row->tid, IvfRowPlace(index, row).at);
		}
	}
}

/* Adds the rows of a segment that has whole values. */
static void
add_values(AnnScan *scan, const IvfIndex *index, FoundSet *set, IvfSegment segment)
{
	ItemPointerData nowhere = {0};

	for (int first = 0; first < segment->count; first += ANN_BATCH)
	{
		int			n = Min(segment->count - first, ANN_BATCH);
		const void *values[ANN_BATCH];
		double		distances[ANN_BATCH];

		for (int i = 0; i < n; i++)
			values[i] = IvfRowValue(index, IvfSegmentRow(segment, index->row_size, first + i));
		AnnQueryDistances(&scan->query, values, n, distances);

		for (int i = 0; i < n; i++)
			add_found(set, isnan(distances[i]) ? INFINITY : distances[i], 0,
					  &IvfSegmentRow(segment, index->row_size, first + i)->tid, nowhere);
	}
}

/* Adds the rows of a segment without saying how far they are. */
static void
add_tids(const IvfIndex *index, FoundSet *set, IvfSegment segment)
{
	ItemPointerData nowhere = {0};

	for (int i = 0; i < segment->count; i++)
		add_found(set, 0, 0, &IvfSegmentRow(segment, index->row_size, i)->tid, nowhere);
}

/*
 * Finds the rows of a list; false if it was replaced meanwhile.  What work_mem has no
 * room for is given to the shell, which may take its time, with temporary files
 * even, when no page is locked.
 */
static bool
add_list(AnnScan *scan, IvfIndex *index, FoundSet *set, const IvfList *list)
{
	IvfWalk		walk;

	IvfWalkBegin(&walk, index, list->number, list->first, false);
	while (IvfWalkNext(&walk, BUFFER_LOCK_SHARE))
	{
		scan->counters.scored += walk.segment->count;
		make_room(set, walk.segment->count);
		if (scan->unordered)
			add_tids(index, set, walk.segment);
		else if (index->bits == 0)
			add_values(scan, index, set, walk.segment);
		else
			add_codes(scan, index, set, list, walk.segment);
		UnlockReleaseBuffer(walk.buf);
		if (sizeof(Found) * set->nfar > work_mem * (Size) 1024 / 2)
			give_all(scan, set);
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

	if (state->found.nfar > 0 && scan->handed < scan->due)
	{
		give_far(scan, &state->found);
		return true;
	}
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
			if (!add_list(scan, &state->index, &state->found, &lists[i]))
				wanted++;
		if (wanted > 0)
			IvfQueueRefresh(&state->queue);
	}
	pfree(lists);
	give_near(scan, &state->found);

	/* Of the rows that are nearest, the more are elsewhere the more there are. */
	state->seen += scan->counters.scored - before;
	scan->due = state->probes > 0 ? state->seen / HANDED_SHARE : PG_INT64_MAX;
	return true;
}

static void
ivf_scan_all(AnnScan *scan)
{
	IvfIndex	index;
	IvfPoint	point;
	IvfQueue	queue;
	IvfList		list;
	FoundSet	set;

	IvfOpen(&index, scan->index);
	if (!scan->unordered)
		IvfPointOfValue(&index, &scan->query, &point);
	IvfQueueInit(&queue, &index, scan->unordered ? NULL : &point, IVF_SEARCH, 0);
	init_found(&set);
	while (IvfQueueNext(&queue, &list))
		if (!add_list(scan, &index, &set, &list))
			IvfQueueRefresh(&queue);
	give_all(scan, &set);
	pfree(set.near);
	pfree(set.far);
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
