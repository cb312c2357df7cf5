/*
 * ivfflat_take.c
 *	  What new centres take from neighbouring lists: rows that are nearer to them
 *	  than to their own.
 *
 * They are written to the new lists first, and removed from the old when the new
 * have their centres.  In between they are in two lists; the metapage says so,
 * for whoever comes next to finish it after a crash.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "am/am_tids.h"
#include "ivfflat/ivfflat_change.h"

/* How many lists rows are taken from. */
#define NEIGHBOURS 32

/* A centre that rows are compared with by their codes. */
typedef struct Rival
{
	IvfPoint	point;
	float	   *x;
	double		base;			/* squared distance to the centre of the rows' list */
	IvfTerms	terms;
	AnnRabitqQuery *prepared;	/* for codes of rows; NULL where rows are whole */
	IvfSquare	squares[ANN_BATCH];
} Rival;

/* New centres, and that of the list the rows are in. */
typedef struct Contest
{
	IvfChange  *change;
	const IvfCentreData *centres[IVF_MAX_CHANGED + 1];
	Rival		rivals[IVF_MAX_CHANGED + 1];
	float	   *x;				/* room for a vector */
	char	   *rows;			/* room for those of a segment */
} Contest;

/* Prepares a centre to be compared with rows. */
static void
prepare_rival(Contest *contest, int i, const IvfCentreData *centre)
{
	IvfIndex   *index = contest->change->index;
	int			dim = index->space.rotated_dim;
	Rival	   *rival = &contest->rivals[i];

	contest->centres[i] = centre;
	if (index->bits == 0)
		return;
	if (rival->x == NULL)
	{
		rival->x = palloc(sizeof(float) * dim);
		rival->prepared = palloc(AnnRabitqQuerySize(dim));
	}
	else
		pfree(rival->point.prepared);
	IvfDecodeCentre(index, centre, rival->x);
	IvfPointOfVector(index, rival->x, &rival->point);
	AnnRabitqPrepare(rival->prepared, dim, index->bits, rival->x);
	rival->terms = IvfScoreTerms(index, IVF_ASSIGN, centre->norm2);
}

/* Makes the rivals ready for rows of the list around a centre, which becomes the last of them. */
static void
meet_list(Contest *contest, const IvfCentreData *own)
{
	IvfIndex   *index = contest->change->index;
	int			n = contest->change->nto;

	prepare_rival(contest, n, own);
	for (int i = 0; i <= n && index->bits > 0; i++)
	{
		IvfList		seen;

		IvfCompare(index, &contest->rivals[i].point, IVF_ASSIGN, &own, 1, &seen);
		contest->rivals[i].base = seen.base;
	}
}

/* The score with a centre of a row of the batch that was compared. */
static double
estimate_score(const IvfIndex *index, const Rival *rival, int i)
{
	double		length = index->space.metric->form == ANN_FORM_COSINE ? 1 : 0;

	return rival->terms.offset +
		rival->terms.factor * (rival->point.norm2 + length - rival->squares[i].estimate) / 2;
}

/*
 * Is a row of the batch that was compared likely to be nearer to a new centre
 * than to its own?
 */
static bool
is_candidate(const Contest *contest, int i)
{
	const IvfIndex *index = contest->change->index;
	int			n = contest->change->nto;
	double		own;

	if (index->bits == 0)
		return true;

	own = estimate_score(index, &contest->rivals[n], i);
	for (int j = 0; j < n; j++)
		if (estimate_score(index, &contest->rivals[j], i) < own)
			return true;
	return false;
}

/* Adds a row to the new list whose centre is nearest, if none is its own. */
static void
take_row(Contest *contest, IvfRow row)
{
	IvfChange  *change = contest->change;
	IvfIndex   *index = change->index;
	int			n = change->nto;
	IvfList		lists[IVF_MAX_CHANGED + 1];
	int			best = n;
	IvfPoint	point;

	IvfReadVector(change, row, contest->centres[n], contest->x);
	IvfPointOfVector(index, contest->x, &point);
	IvfCompare(index, &point, IVF_ASSIGN, contest->centres, n + 1, lists);
	for (int i = 0; i < n; i++)
		if (lists[i].score < lists[best].score)
			best = i;

	if (best < n)
	{
		IvfReserveRows(change, 1);
		IvfEncodeRow(index, contest->centres[best], &point, IvfRowValue(index, row), &row->tid,
					 IvfChangeRow(change, change->count));
		change->new[change->count++] = best;
		AnnTidsAdd(change->taken, &row->tid);
	}
	pfree(point.prepared);
}

static void
take_from_rows(Contest *contest, int count)
{
	const IvfIndex *index = contest->change->index;

	for (int first = 0; first < count; first += ANN_BATCH)
	{
		char	   *rows = contest->rows + index->row_size * first;
		int			n = Min(count - first, ANN_BATCH);

		for (int i = 0; i <= contest->change->nto && index->bits > 0; i++)
			IvfEstimateRows(index, contest->rivals[i].prepared, contest->rivals[i].base, rows, n,
							contest->rivals[i].squares);

		for (int i = 0; i < n; i++)
			if (is_candidate(contest, i))
				take_row(contest, (IvfRow) (rows + index->row_size * i));
	}
}

static void
take_from_list(Contest *contest, const IvfList *list)
{
	IvfChange  *change = contest->change;
	IvfIndex   *index = change->index;
	IvfCentre	own = palloc(index->centre_size);
	IvfWalk		walk;

	if (!IvfCopyCentre(index, list, own))
		AnnCorrupted(index->rel, list->blkno, "The centre of a list is missing");
	meet_list(contest, own);

	IvfWalkBegin(&walk, index, list->number, list->first, true);
	while (IvfWalkNext(&walk, BUFFER_LOCK_SHARE))
	{
		int			count = walk.segment->count;

		memcpy(contest->rows, walk.segment->rows, index->row_size * count);
		UnlockReleaseBuffer(walk.buf);
		take_from_rows(contest, count);
	}
	pfree(own);
}

void
IvfTakeRows(IvfChange *change)
{
	IvfIndex   *index = change->index;
	int			dim = index->space.rotated_dim;
	Contest    *contest = palloc0(sizeof(Contest));
	IvfPoint	point;
	IvfQueue	queue;
	IvfList		list;

	contest->change = change;
	contest->x = palloc(sizeof(float) * dim);
	contest->rows = palloc(index->row_size * index->rows_per_page);
	for (int i = 0; i < change->nto; i++)
		prepare_rival(contest, i, change->to[i].centre);

	IvfDecodeCentre(index, change->nto == 1 ? change->to[0].centre : change->from[0].centre, contest->x);
	IvfPointOfVector(index, contest->x, &point);
	IvfQueueInit(&queue, index, &point, IVF_ASSIGN, NEIGHBOURS + 1);
	change->taken = ann_tids_create(CurrentMemoryContext, 64, NULL);
	change->neighbours = palloc(sizeof(IvfList) * NEIGHBOURS);
	for (int seen = 0; seen < NEIGHBOURS && IvfQueueNext(&queue, &list);)
	{
		int			before = change->count;

		if (list.number == change->from[0].list.number)
			continue;
		seen++;
		take_from_list(contest, &list);
		if (change->count > before)
			change->neighbours[change->nneighbours++] = list;
	}

	if (change->taken->members == 0)
		change->taken = NULL;
}

/* Removes rows that were taken from a list, which may have new segments before. */
static void
remove_from_list(IvfIndex *index, ann_tids_hash *taken, const IvfList *list)
{
	Size		row_size = index->row_size;
	IvfWalk		walk;

	IvfWalkBegin(&walk, index, list->number, list->first, true);
	while (IvfWalkNext(&walk, BUFFER_LOCK_EXCLUSIVE))
	{
		bool		any = false;
		IvfSegment	segment;
		AnnEdit		edit;

		for (int i = 0; i < walk.segment->count && !any; i++)
			any = AnnTidsHave(taken, &IvfSegmentRow(walk.segment, row_size, i)->tid);
		if (!any)
		{
			UnlockReleaseBuffer(walk.buf);
			continue;
		}

		AnnEditBegin(&edit, index->rel, false);
		segment = AnnEditItem(&edit, walk.buf, ItemPointerGetOffsetNumber(&walk.at));
		for (int i = segment->count - 1; i >= 0; i--)
			if (AnnTidsHave(taken, &IvfSegmentRow(segment, row_size, i)->tid))
				IvfRemoveRow(segment, row_size, i);
		AnnEditCommit(&edit);
		AnnPoint("ivfflat W7");
	}
}

/* All rows are in one list again. */
static void
forget_taker(IvfIndex *index)
{
	Buffer		buf = AnnReadMeta(index->rel, IVF_MAGIC, IVF_VERSION, BUFFER_LOCK_EXCLUSIVE);
	AnnEdit		edit;

	AnnEditBegin(&edit, index->rel, false);
	((IvfMetaPageData *) AnnMetaContents(AnnEditPage(&edit, buf)))->taker = 0;
	AnnEditCommit(&edit);
	AnnPoint("ivfflat W14");
}

void
IvfRemoveTaken(IvfChange *change)
{
	for (int i = 0; i < change->nneighbours; i++)
		remove_from_list(change->index, change->taken, &change->neighbours[i]);
	forget_taker(change->index);
}

/* Adds the heap TIDs of a list. */
static void
note_rows(IvfIndex *index, ann_tids_hash *taken, const IvfList *list)
{
	IvfWalk		walk;

	IvfWalkBegin(&walk, index, list->number, list->first, true);
	while (IvfWalkNext(&walk, BUFFER_LOCK_SHARE))
	{
		for (int i = 0; i < walk.segment->count; i++)
			AnnTidsAdd(taken, &IvfSegmentRow(walk.segment, index->row_size, i)->tid);
		UnlockReleaseBuffer(walk.buf);
	}
}

/* Where one list takes rows, no list has the next number: nothing else changes before it is done. */
static bool
is_taker(const IvfMetaPageData *meta, const IvfList *list)
{
	return list->number == meta->taker || list->number == meta->taker + 1;
}

void
IvfFinishTaking(IvfIndex *index)
{
	ann_tids_hash *taken;
	IvfMetaPageData meta;

	IvfReadMeta(index, &meta);
	if (meta.taker == 0)
		return;

	taken = ann_tids_create(CurrentMemoryContext, 256, NULL);
	for (int pass = 0; pass < 2; pass++)
	{
		IvfQueue	queue;
		IvfList		list;

		IvfQueueInit(&queue, index, NULL, IVF_SEARCH, 0);
		while (IvfQueueNext(&queue, &list))
		{
			if (pass == 0 && is_taker(&meta, &list))
				note_rows(index, taken, &list);
			if (pass == 1 && !is_taker(&meta, &list))
				remove_from_list(index, taken, &list);
		}
	}
	ann_tids_destroy(taken);
	forget_taker(index);
}
