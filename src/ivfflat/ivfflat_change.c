/*
 * ivfflat_change.c
 *	  Replacing lists: splitting, merging, renewing, packing and dropping them, as
 *	  README.md section 6 says.
 *
 * The change lock is held throughout, so there is one change at a time, centres
 * stay where they are, and rows are removed by nobody else.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/freespace.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "ivfflat/ivfflat_change.h"
#include "space/kmeans.h"

/* A split leaves neither side less than this share of the rows. */
#define MIN_SHARE 32

uint32
IvfRowsPerList(const IvfIndex *index)
{
	IvfMetaPageData meta;

	IvfReadMeta(index, &meta);
	return Max(Max(meta.rows_per_list, meta.lists / 4), IVF_MIN_ROWS_PER_LIST);
}

bool
IvfTooLong(uint32 rows_per_list, const IvfList *list, uint32 rows)
{
	return rows > 2 * rows_per_list && rows >= list->limit;
}

/*
 * Gathering rows
 */

void
IvfReserveRows(IvfChange *change, int n)
{
	if (change->count + n <= change->capacity)
		return;
	change->capacity = 2 * (change->count + n);
	change->rows = repalloc_huge(change->rows, change->index->row_size * change->capacity);
	change->old = repalloc_huge(change->old, change->capacity);
	change->new = repalloc_huge(change->new, change->capacity);
}

static void
gather_segment(IvfChange *change, int old, IvfSegment segment)
{
	Size		row_size = change->index->row_size;

	IvfReserveRows(change, segment->count);
	memcpy(IvfChangeRow(change, change->count), segment->rows, row_size * segment->count);
	memset(change->old + change->count, old, segment->count);
	change->count += segment->count;
	change->came += IvfSegmentCame(segment);
}

/*
 * Gathers the rows of segments not gathered yet, and closes these, so that no
 * more rows come to them.  *first is the first.
 */
static void
gather(IvfChange *change, int old, ItemPointerData first)
{
	IvfIndex   *index = change->index;
	IvfOldList *from = &change->from[old];
	IvfWalk		walk;

	IvfWalkBegin(&walk, index, from->list.number, first, true);
	while (ItemPointerCompare(&walk.next, &from->gathered) != 0 &&
		   IvfWalkNext(&walk, BUFFER_LOCK_EXCLUSIVE))
	{
		AnnEdit		edit;

		gather_segment(change, old, walk.segment);
		if (walk.segment->count == walk.capacity || (walk.segment->flags & IVF_CLOSED))
		{
			UnlockReleaseBuffer(walk.buf);
			continue;
		}
		AnnEditBegin(&edit, index->rel, false);
		((IvfSegment) AnnEditItem(&edit, walk.buf, ItemPointerGetOffsetNumber(&walk.at)))->flags |= IVF_CLOSED;
		AnnEditCommit(&edit);
		AnnPoint("ivfflat W4");
	}
	from->gathered = first;
}

/* Gathers what there is to gather; false if a list is gone. */
static bool
gather_all(IvfChange *change)
{
	for (int i = 0; i < change->nfrom; i++)
	{
		IvfOldList *from = &change->from[i];

		if (!IvfCopyCentre(change->index, &from->list, from->centre))
			return false;
		gather(change, i, from->centre->first);
	}
	return true;
}

/*
 * Vectors
 */

void
IvfReadVector(IvfChange *change, IvfRow row, const IvfCentreData *centre, float *x)
{
	IvfIndex   *index = change->index;
	Datum		value;
	bool		found = false;

	CHECK_FOR_INTERRUPTS();
	if (IvfReadStored(index, row, x))
		return;
	if (change->fetch != NULL && AnnFetchValue(change->fetch, &row->tid, &change->snapshot, &value))
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(AnnFetchContext(change->fetch));
		AnnQuery	query;

		found = AnnQueryRotate(&query, &index->space, value);
		if (found)
			memcpy(x, query.rotated, sizeof(float) * index->space.rotated_dim);
		MemoryContextSwitchTo(oldcontext);
	}
	if (!found)
		IvfDecodeRow(index, centre, row, x);
}

static void
read_vector(IvfChange *change, int i, float *x)
{
	IvfReadVector(change, IvfChangeRow(change, i), change->from[change->old[i]].centre, x);
}

/* The vector of a row; good until the next call. */
static const float *
get_vector(IvfChange *change, int i)
{
	if (i < change->nvectors)
		return change->vectors + (Size) i * change->index->space.rotated_dim;
	read_vector(change, i, change->vector);
	return change->vector;
}

/* Reads as many vectors as work_mem allows: to choose centres by. */
static void
read_vectors(IvfChange *change)
{
	int			dim = change->index->space.rotated_dim;
	Size		most = Max(work_mem * (Size) 1024 / (sizeof(float) * dim), IVF_MIN_ROWS_PER_LIST);
	int			n = Min((Size) change->count, most);

	change->vectors = palloc_extended(sizeof(float) * dim * (Size) n, MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
		read_vector(change, i, change->vectors + (Size) i * dim);
	change->nvectors = n;
}

static void
pause_training(void)
{
	CHECK_FOR_INTERRUPTS();
}

/* Makes the centres of the new lists; false if there are not that many. */
static bool
choose_centres(IvfChange *change)
{
	IvfIndex   *index = change->index;
	int			dim = index->space.rotated_dim;
	AnnKmeans	problem = {.dim = dim,.spherical = IvfSpherical(index),.pause = pause_training};
	float	   *means = palloc(sizeof(float) * dim * IVF_MAX_CHANGED);
	int			found;

	problem.rows = change->vectors;
	problem.nrows = change->nvectors;
	problem.seed = ann_seed + (uint64) change->from[0].list.number;
	found = AnnKmeansRun(&problem, change->nto, means,
						 palloc(AnnKmeansScratch(&problem, change->nto)));
	if (found < change->nto)
		return false;
	for (int i = 0; i < change->nto; i++)
		IvfMakeCentre(index, 0, means + (Size) i * dim, change->to[i].centre);
	pfree(means);
	return true;
}

/* Decides where rows from one on go, and makes them rows of that list. */
static void
assign_rows(IvfChange *change, int first)
{
	IvfIndex   *index = change->index;
	const IvfCentreData *centres[IVF_MAX_CHANGED];
	IvfRow		row;

	if (change->kind == IVF_PACK)
	{
		memset(change->new + first, 0, change->count - first);
		return;
	}

	row = palloc0(index->row_size);
	for (int i = 0; i < change->nto; i++)
		centres[i] = change->to[i].centre;

	for (int i = first; i < change->count; i++)
	{
		IvfRow		old = IvfChangeRow(change, i);
		IvfList		lists[IVF_MAX_CHANGED];
		IvfPoint	point;

		IvfPointOfVector(index, get_vector(change, i), &point);
		IvfCompare(index, &point, IVF_ASSIGN, centres, change->nto, lists);
		change->new[i] = change->nto > 1 && lists[1].score < lists[0].score;
		IvfEncodeRow(index, centres[change->new[i]], &point, IvfRowValue(index, old), &old->tid, row);
		memcpy(old, row, index->row_size);
		pfree(point.prepared);
	}
	pfree(row);
}

/*
 * Writing
 */

/* Takes numbers for the new lists. */
static void
number_lists(IvfChange *change)
{
	Relation	rel = change->index->rel;
	Buffer		buf = AnnReadMeta(rel, IVF_MAGIC, IVF_VERSION, BUFFER_LOCK_EXCLUSIVE);
	IvfMetaPageData *meta;
	AnnEdit		edit;

	AnnEditBegin(&edit, rel, false);
	meta = AnnMetaContents(AnnEditPage(&edit, buf));
	for (int i = 0; i < change->nto; i++)
		change->to[i].centre->list = meta->next_list++;
	AnnEditCommit(&edit);
	AnnPoint("ivfflat W12");
}

/* Writes the rows from one on to their lists. */
static void
write_lists(IvfChange *change, int first)
{
	IvfIndex   *index = change->index;
	IvfRow	   *rows = palloc_extended(sizeof(IvfRow) * (Size) (change->count - first + 1), MCXT_ALLOC_HUGE);

	for (int i = 0; i < change->nto; i++)
	{
		IvfNewList *to = &change->to[i];
		int			n = 0;
		int			came = 0;
		int			room;

		for (int j = first; j < change->count; j++)
			if (change->new[j] == i)
			{
				rows[n++] = IvfChangeRow(change, j);
				came += j >= change->settled;
			}
		if (n == 0)
			continue;

		/* A list that had to be split is growing. */
		room = n / IVF_SPARE_SHARE * (change->kind == IVF_SPLIT ? 2 : 1);
		IvfWriteRows(index, to->centre->list, rows, n, came, room, &to->first);
		to->rows += n;
		to->last = (n - 1) % index->rows_per_page + 1;
	}
	pfree(rows);
}

/*
 * Locks the pages of the old centres, if no segments have come to them since they
 * were gathered.  The two may be on one page.
 */
static bool
lock_centres(IvfChange *change, Buffer *bufs)
{
	IvfIndex   *index = change->index;
	bool		unchanged = true;

	for (int i = 0; i < change->nfrom; i++)
	{
		IvfOldList *from = &change->from[i];
		IvfCentre	centre;

		if (i > 0 && from->list.blkno == change->from[0].list.blkno)
			bufs[i] = bufs[0];
		else
			bufs[i] = AnnReadBuffer(index->rel, from->list.blkno, IVF_PAGE_CENTRES, NULL,
									BUFFER_LOCK_EXCLUSIVE);
		centre = IvfGetCentre(index, bufs[i], from->list.offset);
		if (centre == NULL || centre->list != from->list.number)
			AnnCorrupted(index->rel, from->list.blkno, "The centre of a list is missing");
		unchanged &= ItemPointerCompare(&centre->first, &from->gathered) == 0;
	}

	if (unchanged)
		return true;
	for (int i = 0; i < change->nfrom; i++)
		if (i == 0 || bufs[i] != bufs[0])
			UnlockReleaseBuffer(bufs[i]);
	return false;
}

/* Puts the new centres in place of the old; false if more rows are to be gathered. */
static bool
replace_centres(IvfChange *change)
{
	IvfIndex   *index = change->index;
	int			both = Min(change->nfrom, change->nto);
	Buffer		bufs[IVF_MAX_CHANGED];
	Buffer		other = InvalidBuffer;
	Buffer		meta_buf;
	IvfMetaPageData *meta;
	AnnEdit		edit;

	for (int i = 0; i < change->nto; i++)
	{
		change->to[i].centre->first = change->to[i].first;
		change->to[i].centre->rows = change->to[i].rows - change->to[i].last;
	}

	if (!lock_centres(change, bufs))
		return false;
	if (change->kind == IVF_SPLIT && change->room == change->from[0].list.blkno)
		other = bufs[0];
	else if (change->kind == IVF_SPLIT)
		other = AnnReadBuffer(index->rel, change->room, IVF_PAGE_CENTRES, NULL, BUFFER_LOCK_EXCLUSIVE);
	meta_buf = AnnReadMeta(index->rel, IVF_MAGIC, IVF_VERSION, BUFFER_LOCK_EXCLUSIVE);

	AnnEditBegin(&edit, index->rel, false);
	meta = AnnMetaContents(AnnEditPage(&edit, meta_buf));
	for (int i = 0; i < both; i++)
		memcpy(AnnEditItem(&edit, bufs[i], change->from[i].list.offset),
			   change->to[i].centre, index->centre_size);
	for (int i = both; i < change->nfrom; i++)
		AnnEditDeleteItem(&edit, bufs[i], change->from[i].list.offset);
	for (int i = both; i < change->nto; i++)
		AnnEditAddItem(&edit, other, IVF_PAGE_CENTRES, change->to[i].centre, index->centre_size);
	meta->lists += change->nto - change->nfrom;
	meta->changes++;
	if (change->taken != NULL)
		meta->taker = change->to[0].centre->list;
	AnnEditCommit(&edit);
	AnnPoint("ivfflat W6");
	return true;
}

/* The pages where centres have been replaced, each once, are other groups now. */
static void
update_groups(IvfChange *change)
{
	BlockNumber first = change->from[0].list.blkno;

	IvfUpdateGroup(change->index, first);
	if (change->nfrom > 1 && change->from[1].list.blkno != first)
		IvfUpdateGroup(change->index, change->from[1].list.blkno);
	if (change->kind == IVF_SPLIT && change->room != first)
		IvfUpdateGroup(change->index, change->room);
}

/* Removes the segments of an old list, which nobody can find any more. */
static void
free_list(IvfChange *change, const IvfOldList *from)
{
	IvfIndex   *index = change->index;
	IvfWalk		walk;

	IvfWalkBegin(&walk, index, from->list.number, from->gathered, true);
	while (IvfWalkNext(&walk, BUFFER_LOCK_EXCLUSIVE))
	{
		BlockNumber blkno = ItemPointerGetBlockNumber(&walk.at);
		Size		room;
		AnnEdit		edit;

		AnnEditBegin(&edit, index->rel, false);
		AnnEditDeleteItem(&edit, walk.buf, ItemPointerGetOffsetNumber(&walk.at));
		room = AnnEditFreeIfEmpty(&edit, walk.buf);
		AnnEditCommit(&edit);
		AnnPoint("ivfflat W8");

		/* The next list is to find it; a search of the map begins at its upper levels. */
		AnnRecordFreeSpace(index->rel, blkno, room);
		FreeSpaceMapVacuumRange(index->rel, blkno, blkno + 1);
	}
}

/* Notes that a list is not to be split before it is half as long again. */
static void
note_failure(IvfChange *change)
{
	IvfIndex   *index = change->index;
	const IvfList *list = &change->from[0].list;
	Buffer		buf = AnnReadBuffer(index->rel, list->blkno, IVF_PAGE_CENTRES, NULL, BUFFER_LOCK_EXCLUSIVE);
	AnnEdit		edit;

	AnnEditBegin(&edit, index->rel, false);
	((IvfCentre) AnnEditItem(&edit, buf, list->offset))->limit = (uint32) change->count / 2 * 3;
	AnnEditCommit(&edit);
	AnnPoint("ivfflat W13");
}

/* Have both halves of a split enough rows? */
static bool
is_balanced(const IvfChange *change)
{
	int			second = 0;

	for (int i = 0; i < change->count; i++)
		second += change->new[i];
	return Min(second, change->count - second) >= Max(change->count / MIN_SHARE, 1);
}

/* Gathers rows and makes them rows of new lists; false if that cannot be. */
static bool
prepare(IvfChange *change)
{
	if (!gather_all(change))
		return false;
	if (change->kind == IVF_DROP)
		return change->count == 0;

	if (change->kind == IVF_PACK)
	{
		memcpy(change->to[0].centre, change->from[0].centre, change->index->centre_size);
		change->settled = Max(change->count - change->came, 0);
		assign_rows(change, 0);
		return true;
	}

	/* Centres count what VACUUM has removed since, or splits have taken: it may be not too long. */
	if (change->kind == IVF_SPLIT &&
		!IvfTooLong(IvfRowsPerList(change->index), &change->from[0].list, change->count))
	{
		change->kind = IVF_RENEW;
		change->nto = 1;
	}
	read_vectors(change);
	if (!choose_centres(change))
		return false;
	if (change->kind == IVF_RENEW)
		change->to[0].centre->limit = change->from[0].centre->limit;
	change->settled = change->count;
	assign_rows(change, 0);
	return change->kind != IVF_SPLIT || is_balanced(change);
}

static bool
run(IvfChange *change)
{
	int			written = 0;

	if (!prepare(change))
	{
		if (change->kind == IVF_SPLIT && change->count > 0)
			note_failure(change);
		return false;
	}

	if (change->kind == IVF_SPLIT)
		change->room = IvfMakeRoom(change->index, &change->from[0].list);
	if (change->kind == IVF_SPLIT || change->kind == IVF_RENEW)
		IvfTakeRows(change);
	number_lists(change);
	for (;;)
	{
		write_lists(change, written);
		written = change->count;
		if (replace_centres(change))
			break;
		if (!gather_all(change) || change->kind == IVF_DROP)
			return false;
		assign_rows(change, written);
	}

	update_groups(change);
	if (change->taken != NULL)
		IvfRemoveTaken(change);
	for (int i = 0; i < change->nfrom; i++)
		free_list(change, &change->from[i]);
	return true;
}

bool
IvfChangeLists(IvfIndex *index, Relation heap, IvfChangeKind kind, const IvfList *from)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ivfflat change",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcontext = MemoryContextSwitchTo(context);
	IvfChange	change = {.index = index,.kind = kind,.capacity = 256};
	bool		changed;

	change.nfrom = kind == IVF_MERGE ? 2 : 1;
	change.nto = kind == IVF_DROP ? 0 : kind == IVF_SPLIT ? 2 : 1;
	for (int i = 0; i < change.nfrom; i++)
	{
		change.from[i].list = from[i];
		change.from[i].centre = palloc(index->centre_size);
		ItemPointerSetInvalid(&change.from[i].gathered);
	}
	for (int i = 0; i < change.nto; i++)
	{
		change.to[i].centre = palloc(index->centre_size);
		ItemPointerSetInvalid(&change.to[i].first);
	}
	change.rows = palloc_extended(index->row_size * change.capacity, MCXT_ALLOC_HUGE);
	change.old = palloc(change.capacity);
	change.new = palloc(change.capacity);
	change.vector = palloc(sizeof(float) * index->space.rotated_dim);
	if (index->bits > 0)
		change.fetch = AnnFetchBegin(heap, index->rel, NULL);
	InitDirtySnapshot(change.snapshot);

	IvfFinishTaking(index);
	changed = run(&change);
	if (changed && change.kind == IVF_SPLIT)
		AnnSessionCounters(RelationGetRelid(index->rel))->splits++;

	if (change.fetch != NULL)
		AnnFetchEnd(change.fetch);
	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
	return changed;
}
