/*
 * ivfflat_insert.c
 *	  Adding a row to its list: README.md section 5.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "ivfflat/ivfflat.h"

/* The fewest rows that a new segment has room for. */
#define MIN_CAPACITY 16

/*
 * An insert has to wait for a split, which moves all rows of a list.  So it leaves
 * the list to VACUUM unless it is as many times too long.
 */
#define PATIENCE 2

/*
 * Adds a row to the first segment of a list, as it was found; false if that takes
 * no more.  *count is how many rows it has.
 */
static bool
append(IvfIndex *index, const IvfList *list, IvfRow row, int *count)
{
	Buffer		buf;
	IvfSegment	segment;
	int			capacity;
	AnnEdit		edit;

	*count = 0;
	if (!ItemPointerIsValid(&list->first) ||
		!IvfReadSegment(index, &list->first, list->number, BUFFER_LOCK_EXCLUSIVE,
						&buf, &segment, &capacity))
		return false;

	*count = segment->count;
	if (segment->count == capacity || (segment->flags & IVF_CLOSED))
	{
		UnlockReleaseBuffer(buf);
		return false;
	}

	AnnEditBegin(&edit, index->rel, false);
	segment = AnnEditItem(&edit, buf, ItemPointerGetOffsetNumber(&list->first));
	memcpy(IvfSegmentRow(segment, index->row_size, segment->count++), row, index->row_size);
	IvfSegmentAddCame(segment, 1);
	AnnEditCommit(&edit);
	AnnPoint("ivfflat W2");
	return true;
}

/*
 * The page of what was the first segment of a list, which now learns what comes before
 * it; or the metapage, which makes those who remember that there was none forget it.
 */
static Buffer
lock_successor(IvfIndex *index, const IvfList *list)
{
	Buffer		buf;
	IvfSegment	segment;
	int			capacity;

	if (!ItemPointerIsValid(&list->first))
		return AnnReadMeta(index->rel, IVF_MAGIC, IVF_VERSION, BUFFER_LOCK_EXCLUSIVE);
	if (!IvfReadSegment(index, &list->first, list->number, BUFFER_LOCK_EXCLUSIVE,
						&buf, &segment, &capacity))
		AnnCorrupted(index->rel, ItemPointerGetBlockNumber(&list->first),
					 "The first segment of a list is missing");
	return buf;
}

/*
 * Puts a new segment, with one row, in front of a list.  buf is the page of the
 * centre, of which it gives up the lock.
 */
static void
prepend(IvfIndex *index, IvfList *list, Buffer buf, IvfRow row)
{
	int			capacity = Min(Max(list->rows / IVF_SPARE_SHARE, MIN_CAPACITY), index->rows_per_page);
	Size		size = IvfSegmentSize(index->row_size, capacity);
	IvfSegment	segment = palloc0(size);
	Buffer		successor = lock_successor(index, list);
	Size		room = MAXALIGN(size) + sizeof(ItemIdData);
	Buffer		other;
	IvfCentre	centre;
	ItemPointerData at;
	AnnEdit		edit;

	/* To AnnAllocate the page that we have locked would be somebody else's. */
	if (ItemPointerIsValid(&list->first) && AnnPageRoom(BufferGetPage(successor)) >= room)
		other = successor;
	else
		other = AnnAllocate(index->rel, IVF_PAGE_LISTS, room, &index->target);

	segment->list = list->number;
	segment->next = list->first;
	ItemPointerSetInvalid(&segment->previous);
	segment->count = 1;
	IvfSegmentAddCame(segment, 1);
	memcpy(IvfSegmentRow(segment, index->row_size, 0), row, index->row_size);

	AnnEditBegin(&edit, index->rel, false);
	ItemPointerSet(&at, BufferGetBlockNumber(other),
				   AnnEditAddItem(&edit, other, IVF_PAGE_LISTS, segment, size));
	if (ItemPointerIsValid(&list->first))
		((IvfSegment) AnnEditItem(&edit, successor, ItemPointerGetOffsetNumber(&list->first)))->previous = at;
	else
		((IvfMetaPageData *) AnnMetaContents(AnnEditPage(&edit, successor)))->changes++;
	centre = AnnEditItem(&edit, buf, list->offset);
	centre->first = at;
	centre->rows = list->rows;
	AnnEditCommit(&edit);
	AnnPoint("ivfflat W3");
	pfree(segment);
}

/*
 * Adds a row to a list; false if the list no longer exists, or
 * its centre has moved.  Sets *grown if it
 * has a new segment; then list->rows is how many are in the others.
 */
static bool
add_row(IvfIndex *index, IvfList *list, IvfRow row, bool *grown)
{
	int			count;

	*grown = false;
	while (!append(index, list, row, &count))
	{
		Buffer		buf;
		IvfCentre	centre = IvfLockCentre(index, list, BUFFER_LOCK_EXCLUSIVE, &buf);

		if (centre == NULL)
			return false;

		list->rows = centre->rows;
		list->limit = centre->limit;
		if (ItemPointerCompare(&centre->first, &list->first) == 0)
		{
			list->rows += count;
			prepend(index, list, buf, row);
			*grown = true;
			return true;
		}

		list->first = centre->first;
		UnlockReleaseBuffer(buf);
		CHECK_FOR_INTERRUPTS();
	}
	return true;
}

/* Splits a list if it is far too long and nobody is changing lists. */
static void
split_if_too_long(IvfIndex *index, Relation heap, const IvfList *list)
{
	if (!IvfTooLong(IvfRowsPerList(index) * PATIENCE, list, list->rows + 1) || !IvfTryLockChanges(index))
		return;
	IvfChangeLists(index, heap, IVF_SPLIT, list);
	IvfUnlockChanges(index, ExclusiveLock);
}

static void
insert(IvfIndex *index, Relation heap, const AnnQuery *value, const ItemPointerData *tid)
{
	IvfCentre	centre = palloc(index->centre_size);
	IvfRow		row = palloc0(index->row_size);
	ItemPointerData place;
	const void *kept = IvfKeepValue(index, value, tid, &place);
	IvfPoint	point;
	IvfList		list;
	bool		grown;

	IvfPointOfValue(index, value, &point);
	do
	{
		CHECK_FOR_INTERRUPTS();
		IvfFindList(index, &point, &list, centre);
		IvfEncodeRow(index, centre, &point, kept, tid, row);
	} while (!add_row(index, &list, row, &grown));

	if (grown)
		split_if_too_long(index, heap, &list);
}

bool
ivfflatinsert(Relation rel, Datum *values, bool *isnull, ItemPointer tid, Relation heap,
			  IndexUniqueCheck unique, bool unchanged, IndexInfo *info)
{
	MemoryContext context;
	MemoryContext oldcontext;
	IvfIndex	index;
	AnnQuery	value;

	if (isnull[0])
		return false;

	context = AllocSetContextCreate(CurrentMemoryContext, "ivfflat insert", ALLOCSET_DEFAULT_SIZES);
	oldcontext = MemoryContextSwitchTo(context);

	IvfOpen(&index, rel);
	if (AnnQueryRotate(&value, &index.space, values[0]))
	{
		insert(&index, heap, &value, tid);
		IvfRememberTargets(&index);
		AnnSessionCounters(RelationGetRelid(rel))->inserts++;
	}

	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
	return false;
}
