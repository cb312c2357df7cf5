/*
 * ivfflat_vacuum.c
 *	  Removing dead rows, and changing the lists that the table's changes have left
 *	  too long, too short, scattered, or around another centre: README.md section 8.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/index.h"
#include "commands/vacuum.h"
#include "common/hashfn.h"
#include "nodes/bitmapset.h"
#include "storage/freespace.h"
#include "utils/rel.h"

#include "compat.h"
#include "ivfflat/ivfflat.h"

/*
 * A list shorter than this share of what it is meant to be is merged; where there
 * are more lists than rows for them, one shorter than the other share.
 */
#define SHORT_SHARE 8
#define SHORT_SHARE_OF_MANY 2

/* Where more rows than this share have come, the centre is made again. */
#define CAME_SHARE 8

/* Holes for this share of its rows, or room for this one anywhere, make a list scattered. */
#define HOLES_SHARE 8
#define ROOM_SHARE 2

/* What the lists have. */
typedef struct ListCount
{
	uint32		list;
	uint32		rows;
	uint32		segments;
	uint32		room;			/* for more rows */
	uint32		holes;			/* of that, in segments other than the first */
	uint32		came;			/* of the rows, since the centre was their mean */
	ItemPointerData first;
	char		status;
} ListCount;

#define SH_PREFIX counts
#define SH_ELEMENT_TYPE ListCount
#define SH_KEY_TYPE uint32
#define SH_KEY list
#define SH_HASH_KEY(tb, key) murmurhash32(key)
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct IvfVacuum
{
	IvfIndex	index;
	IndexBulkDeleteResult *stats;
	IndexBulkDeleteCallback callback;	/* NULL: no row is dead */
	void	   *arg;
	BufferAccessStrategy strategy;
	uint32		first_new;		/* lists from this number on have come during this pass */
	counts_hash *counts;		/* of lists, as far as they have been counted */
	Bitmapset  *values;			/* pages of the store */
} IvfVacuum;

/*
 * Removing rows
 */

/* A damaged row is not: ann_check is to find it. */
static bool
is_dead(IvfVacuum *vacuum, IvfRow row)
{
	return vacuum->callback != NULL && ItemPointerIsValid(&row->tid) && vacuum->callback(&row->tid, vacuum->arg);
}

/* Is there anything on the page to be removed? */
static bool
has_dead(IvfVacuum *vacuum, Buffer buf)
{
	OffsetNumber count = PageGetMaxOffsetNumber(BufferGetPage(buf));

	for (OffsetNumber offset = FirstOffsetNumber; offset <= count; offset++)
	{
		int			capacity;
		IvfSegment	segment = IvfGetSegment(&vacuum->index, buf, offset, &capacity);

		if (segment == NULL)
			continue;
		if (counts_lookup(vacuum->counts, segment->list) == NULL)
			return true;
		for (int i = 0; i < segment->count; i++)
			if (is_dead(vacuum, IvfSegmentRow(segment, vacuum->index.row_size, i)))
				return true;
	}
	return false;
}

/* Removes dead rows of a segment, of the page of an Edit. */
static void
remove_rows(IvfVacuum *vacuum, IvfSegment segment)
{
	Size		row_size = vacuum->index.row_size;

	for (int i = segment->count - 1; i >= 0; i--)
		if (is_dead(vacuum, IvfSegmentRow(segment, row_size, i)))
		{
			IvfRemoveRow(segment, row_size, i);
			vacuum->stats->tuples_removed++;
		}
}

/* Removes what is dead from a locked page, which it lets go of. */
static void
remove_dead(IvfVacuum *vacuum, Buffer buf)
{
	IvfIndex   *index = &vacuum->index;
	OffsetNumber count = PageGetMaxOffsetNumber(BufferGetPage(buf));
	AnnEdit		edit;

	AnnEditBegin(&edit, index->rel, false);
	for (OffsetNumber offset = FirstOffsetNumber; offset <= count; offset++)
	{
		int			capacity;
		IvfSegment	segment = IvfGetSegment(index, buf, offset, &capacity);

		if (segment == NULL)
			continue;
		if (counts_lookup(vacuum->counts, segment->list) == NULL)
			AnnEditDeleteItem(&edit, buf, offset);
		else
			remove_rows(vacuum, AnnEditItem(&edit, buf, offset));
	}
	AnnEditFreeIfEmpty(&edit, buf);
	AnnEditCommit(&edit);
	AnnPoint("ivfflat W9");
}

static void
clear_count(ListCount *count, const ItemPointerData *first)
{
	count->rows = count->segments = count->room = count->holes = count->came = 0;
	count->first = *first;
}

/* Adds a segment to its list. */
static void
count_segment(ListCount *list, ItemPointer at, IvfSegment segment, int capacity)
{
	list->rows += segment->count;
	list->segments++;
	list->room += capacity - segment->count;
	list->came += IvfSegmentCame(segment);
	if (ItemPointerCompare(at, &list->first) != 0)
		list->holes += capacity - segment->count;
}

/* Adds the rows of a locked page to those of their lists. */
static void
count_rows(IvfVacuum *vacuum, Buffer buf)
{
	OffsetNumber count = PageGetMaxOffsetNumber(BufferGetPage(buf));

	for (OffsetNumber offset = FirstOffsetNumber; offset <= count; offset++)
	{
		int			capacity;
		IvfSegment	segment = IvfGetSegment(&vacuum->index, buf, offset, &capacity);
		ListCount  *list = segment == NULL ? NULL : counts_lookup(vacuum->counts, segment->list);
		ItemPointerData at;

		if (list == NULL)
			continue;
		ItemPointerSet(&at, BufferGetBlockNumber(buf), offset);
		count_segment(list, &at, segment, capacity);
		vacuum->stats->num_index_tuples += segment->count;
	}
}

/* What is on such a page, and its room, is not for VACUUM. */
static bool
has_centres(Page page)
{
	return AnnPageIs(page, IVF_PAGE_CENTRES) || AnnPageIs(page, IVF_PAGE_GROUPS);
}

static void
vacuum_page(IvfVacuum *vacuum, BlockNumber blkno)
{
	Relation	rel = vacuum->index.rel;
	Buffer		buf = ReadBufferExtended(rel, MAIN_FORKNUM, blkno, RBM_NORMAL, vacuum->strategy);
	Page		page = BufferGetPage(buf);
	Size		room;

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	if (AnnPageIs(page, ANN_PAGE_VALUES))
	{
		UnlockReleaseBuffer(buf);
		vacuum->values = bms_add_member(vacuum->values, (int) blkno);
		return;
	}
	if (!AnnPageIsUnused(page) && !has_centres(page))
	{
		AnnCheckPage(rel, buf, IVF_PAGE_LISTS);
		if (has_dead(vacuum, buf))
		{
			LockBuffer(buf, BUFFER_LOCK_UNLOCK);
			LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
			IncrBufferRefCount(buf);
			remove_dead(vacuum, buf);
			LockBuffer(buf, BUFFER_LOCK_SHARE);
		}
	}
	/* One that was freed in between may be the store's by now. */
	if (AnnPageIs(page, IVF_PAGE_LISTS))
		count_rows(vacuum, buf);

	room = has_centres(page) ? 0 : AnnPageRoom(page);
	UnlockReleaseBuffer(buf);
	AnnRecordFreeSpace(rel, blkno, room);
}

/* Removes rows from all pages, and segments of lists that do not exist. */
static void
vacuum_pages(IvfVacuum *vacuum)
{
	IvfQueue	queue;
	IvfList		list;

	vacuum->counts = counts_create(CurrentMemoryContext, 256, NULL);
	IvfQueueInit(&queue, &vacuum->index, NULL, IVF_SEARCH, 0);
	while (IvfQueueNext(&queue, &list))
	{
		bool		found;
		ListCount  *count = counts_insert(vacuum->counts, list.number, &found);

		clear_count(count, &list.first);
	}

	for (BlockNumber blkno = ANN_METAPAGE_BLKNO + 1;
		 blkno < RelationGetNumberOfBlocks(vacuum->index.rel); blkno++)
	{
		AnnVacuumDelayPoint();
		vacuum_page(vacuum, blkno);
	}

	/* As long as there is a row, there is its value. */
	for (int blkno = -1; (blkno = bms_next_member(vacuum->values, blkno)) >= 0;)
	{
		AnnVacuumDelayPoint();
		AnnStoreVacuum(&vacuum->index.store, blkno, vacuum->strategy, vacuum->callback, vacuum->arg);
	}
	bms_free(vacuum->values);
}

/*
 * Changing lists
 */

/*
 * Is a list to be merged with another?  It is meant to have what lists had when the
 * index was built, if that says anything.
 */
static bool
is_short(const IvfVacuum *vacuum, const IvfMetaPageData *meta, uint32 rows_per_list, const ListCount *count)
{
	uint32		meant = meta->rows_per_list > 1 ? meta->rows_per_list : rows_per_list;
	bool		many = vacuum->stats->num_index_tuples < (double) meta->lists * meant;

	return count->rows < meant / (many ? SHORT_SHARE_OF_MANY : SHORT_SHARE);
}

static bool
is_scattered(const IvfIndex *index, const ListCount *count)
{
	return count->segments > count->rows / index->rows_per_page + 1 ||
		count->holes > count->rows / HOLES_SHARE || count->room > count->rows / ROOM_SHARE;
}

/* Counts what a list has by reading it; false if it is gone. */
static bool
read_count(IvfIndex *index, const IvfList *list, ListCount *count)
{
	Buffer		buf;
	IvfCentre	centre = IvfLockCentre(index, list, BUFFER_LOCK_SHARE, &buf);
	IvfWalk		walk;

	if (centre == NULL)
		return false;
	clear_count(count, &centre->first);
	UnlockReleaseBuffer(buf);

	IvfWalkBegin(&walk, index, list->number, count->first, true);
	while (IvfWalkNext(&walk, BUFFER_LOCK_SHARE))
	{
		count_segment(count, &walk.at, walk.segment, walk.capacity);
		UnlockReleaseBuffer(walk.buf);
	}
	return true;
}

/* The same, unless it is known. */
static bool
get_count(IvfVacuum *vacuum, const IvfList *list, ListCount *count)
{
	bool		known;
	ListCount  *entry = counts_insert(vacuum->counts, list->number, &known);

	if (!known && !read_count(&vacuum->index, list, entry))
	{
		counts_delete(vacuum->counts, list->number);
		return false;
	}
	*count = *entry;
	return true;
}

/* Finds the other list whose centre is nearest to one's; false if there is none. */
static bool
find_nearest(IvfIndex *index, const IvfList *list, IvfList *nearest)
{
	IvfCentre	centre = palloc(index->centre_size);
	float	   *x = palloc(sizeof(float) * index->space.rotated_dim);
	IvfPoint	point;
	IvfQueue	queue;
	bool		found;

	if (!IvfCopyCentre(index, list, centre))
		return false;

	IvfDecodeCentre(index, centre, x);
	IvfPointOfVector(index, x, &point);
	IvfQueueInit(&queue, index, &point, IVF_ASSIGN, 2);
	do
		found = IvfQueueNext(&queue, nearest);
	while (found && nearest->number == list->number);
	return found;
}

/* Splits a list if it is too long. */
static bool
split_list(IvfVacuum *vacuum, Relation heap, const IvfList *list)
{
	ListCount	count;

	return get_count(vacuum, list, &count) &&
		IvfTooLong(IvfRowsPerList(&vacuum->index), list, count.rows) &&
		IvfChangeLists(&vacuum->index, heap, IVF_SPLIT, list);
}

/*
 * Makes the centre of a list the mean of its rows again, if many have come.  Those
 * that this makes have to wait for the next VACUUM.
 */
static bool
renew_list(IvfVacuum *vacuum, Relation heap, const IvfList *list)
{
	ListCount	count;

	return list->number < vacuum->first_new && get_count(vacuum, list, &count) &&
		count.rows > 0 && count.came > count.rows / CAME_SHARE &&
		IvfChangeLists(&vacuum->index, heap, IVF_RENEW, list);
}

/* Changes a list if its rows are too few, or scattered. */
static bool
mend_list(IvfVacuum *vacuum, Relation heap, const IvfList *list)
{
	IvfIndex   *index = &vacuum->index;
	uint32		rows_per_list = IvfRowsPerList(index);
	IvfList		lists[2] = {*list};
	IvfMetaPageData meta;
	ListCount	count;
	ListCount	other;

	if (!get_count(vacuum, list, &count))
		return false;

	IvfReadMeta(index, &meta);
	if (count.rows == 0)
		return meta.lists > 1 && IvfChangeLists(index, heap, IVF_DROP, lists);
	if (is_short(vacuum, &meta, rows_per_list, &count) && find_nearest(index, list, &lists[1]) &&
		read_count(index, &lists[1], &other) && count.rows + other.rows <= rows_per_list / 2 * 3)
		return IvfChangeLists(index, heap, IVF_MERGE, lists);
	return is_scattered(index, &count) && IvfChangeLists(index, heap, IVF_PACK, lists);
}

/* Does this to all lists, those that come meanwhile included. */
static void
visit_lists(IvfVacuum *vacuum, Relation heap,
			bool (*change) (IvfVacuum *vacuum, Relation heap, const IvfList *list))
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ivfflat vacuum",
												  ALLOCSET_DEFAULT_SIZES);
	bool		any = false;
	IvfMetaPageData meta;
	IvfQueue	queue;
	IvfList		list;

	IvfReadMeta(&vacuum->index, &meta);
	vacuum->first_new = meta.next_list;
	IvfQueueInit(&queue, &vacuum->index, NULL, IVF_SEARCH, 0);
	while (IvfQueueNext(&queue, &list))
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(context);

		AnnVacuumDelayPoint();
		IvfLockChanges(&vacuum->index, ExclusiveLock);
		any |= change(vacuum, heap, &list);
		IvfUnlockChanges(&vacuum->index, ExclusiveLock);
		MemoryContextSwitchTo(oldcontext);
		MemoryContextReset(context);
	}
	MemoryContextDelete(context);

	/* Some have lost rows to others. */
	if (any)
		counts_reset(vacuum->counts);
}

/* What takes rows from other lists comes first: it leaves holes there, and lists too long. */
static void
change_lists(IvfVacuum *vacuum)
{
	Relation	rel = vacuum->index.rel;
	Relation	heap = table_open(IndexGetRelation(RelationGetRelid(rel), false), AccessShareLock);

	visit_lists(vacuum, heap, split_list);
	visit_lists(vacuum, heap, renew_list);
	visit_lists(vacuum, heap, split_list);
	visit_lists(vacuum, heap, mend_list);
	table_close(heap, AccessShareLock);
}

/* Removes what is dead, if anything is, and changes the lists that need it. */
static IndexBulkDeleteResult *
vacuum_index(IvfVacuum *vacuum, IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));
	stats->num_index_tuples = 0;
	vacuum->stats = stats;
	vacuum->strategy = info->strategy;

	IvfOpen(&vacuum->index, info->index);
	IvfLockChanges(&vacuum->index, ExclusiveLock);
	IvfFinishTaking(&vacuum->index);
	vacuum_pages(vacuum);
	IvfUnlockChanges(&vacuum->index, ExclusiveLock);

	/* What is free now is for lists that change. */
	FreeSpaceMapVacuum(info->index);
	change_lists(vacuum);
	counts_destroy(vacuum->counts);
	return stats;
}

IndexBulkDeleteResult *
ivfflatbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
				  IndexBulkDeleteCallback callback, void *arg)
{
	IvfVacuum	vacuum = {.callback = callback,.arg = arg};

	return vacuum_index(&vacuum, info, stats);
}

IndexBulkDeleteResult *
ivfflatvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	if (info->analyze_only)
		return stats;

	/* Without a deletion, inserts may still have made work. */
	if (stats == NULL)
	{
		IvfVacuum	vacuum = {0};

		stats = vacuum_index(&vacuum, info, NULL);
	}
	FreeSpaceMapVacuum(info->index);
	stats->num_pages = RelationGetNumberOfBlocks(info->index);
	return stats;
}
