/*
 * am_store.c
 *	  The store: putting values on pages of an index, reading and removing them.
 *
 * Knows nothing of who points to them.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "am/am_edit.h"
#include "am/am_point.h"
#include "am/am_store.h"

#define PART_HEADER offsetof(AnnStoredData, data)

/* The most bytes of a value on one page. */
#define MAX_PART (ANN_MAX_ITEM_SIZE - PART_HEADER)

typedef enum Finding
{
	FOUND,
	GONE,
	DAMAGED
} Finding;

static relopt_enum_elt_def reranks[] = {
	{"heap", ANN_RERANK_HEAP},
	{"index", ANN_RERANK_INDEX},
	{NULL}
};

void
AnnStoreAddOption(relopt_kind kind)
{
	add_enum_reloption(kind, "rerank", "Where the values are that a search compares in the end",
					   reranks, ANN_RERANK_HEAP,
					   "Valid values are \"heap\" and \"index\".", AccessExclusiveLock);
}

void
AnnStoreInit(AnnStore *store, Relation index, const AnnSpace *space, bool building)
{
	store->index = index;
	store->space = space;
	store->building = building;
	store->nblocks = 0;
	store->target = InvalidBlockNumber;
}

Size
AnnStoredSize(const AnnSpace *space)
{
	return PART_HEADER + Min(space->metric->code_size(space->dim), MAX_PART);
}

/* The last part first, so that each knows the next. */
void
AnnStorePut(AnnStore *store, const AnnQuery *query, const ItemPointerData *owner, ItemPointerData *at)
{
	AnnStored	part = palloc(PART_HEADER + Min(query->value_size, MAX_PART));
	Size		end = query->value_size;

	ItemPointerSetInvalid(at);
	while (end > 0)
	{
		Size		start = (end - 1) / MAX_PART * MAX_PART;
		Size		size = PART_HEADER + end - start;
		BlockNumber none = InvalidBlockNumber;
		BlockNumber *target = end - start == MAX_PART ? &none : &store->target;
		OffsetNumber offset;
		Buffer		buf;
		AnnEdit		edit;

		/* One that fills a page does not begin it for others. */
		part->owner = *owner;
		part->next = *at;
		part->size = query->value_size - start;
		memcpy(part->data, (const char *) query->value + start, end - start);

		buf = AnnAllocate(store->index, ANN_PAGE_VALUES, MAXALIGN(size) + sizeof(ItemIdData), target);
		AnnEditBegin(&edit, store->index, store->building);
		offset = AnnEditAddItem(&edit, buf, ANN_PAGE_VALUES, part, size);
		ItemPointerSet(at, BufferGetBlockNumber(buf), offset);
		AnnEditCommit(&edit);
		AnnPoint("value put");
		end = start;
	}
	pfree(part);
}

void
AnnStoreOwn(AnnStore *store, const AnnPlace *place)
{
	ItemPointerData at = place->at;

	while (ItemPointerIsValid(&at))
	{
		Buffer		buf = AnnReadBuffer(store->index, ItemPointerGetBlockNumber(&at), ANN_PAGE_VALUES,
										NULL, BUFFER_LOCK_EXCLUSIVE);
		AnnStored	part;
		AnnEdit		edit;

		AnnEditBegin(&edit, store->index, store->building);
		part = AnnEditItem(&edit, buf, ItemPointerGetOffsetNumber(&at));
		part->owner = place->owner;
		at = part->next;
		AnnEditCommit(&edit);
	}
}

/* Can a value be so large? */
static bool
is_size(const AnnStore *store, Size size)
{
	Size		code_size = store->space->metric->code_size(store->space->dim);

	return code_size == 0 ? AllocSizeIsValid(size) : size == code_size;
}

/* A value as far as it was read. */
typedef struct Reading
{
	ItemPointerData at;			/* of the next part */
	char	   *value;
	Size		size;
	Size		done;
} Reading;

/* Reads what an item has of a value. */
static Finding
copy_part(const AnnStore *store, AnnStored part, Size size, Reading *reading)
{
	if (reading->value == NULL)
	{
		if (!is_size(store, part->size))
			return DAMAGED;
		reading->size = part->size;
		reading->value = palloc(reading->size);
	}
	if (part->size != reading->size - reading->done || size > part->size)
		return DAMAGED;

	memcpy(reading->value + reading->done, part->data, size);
	reading->done += size;
	reading->at = part->next;
	return FOUND;
}

static Finding
read_part(AnnStore *store, const ItemPointerData *owner, Reading *reading)
{
	BlockNumber blkno = ItemPointerGetBlockNumberNoCheck(&reading->at);
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&reading->at);
	Finding		finding = GONE;
	AnnStored	part;
	bool		damaged;
	Size		size;
	Buffer		buf;

	/* The size of the index costs a system call. */
	if (blkno >= store->nblocks)
		store->nblocks = RelationGetNumberOfBlocks(store->index);
	if (blkno >= store->nblocks)
		return DAMAGED;

	buf = ReadBuffer(store->index, blkno);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	if (AnnPageIs(BufferGetPage(buf), ANN_PAGE_VALUES))
	{
		part = AnnPageGetItem(BufferGetPage(buf), offset, PART_HEADER + 1, &size, &damaged);
		if (damaged)
			finding = DAMAGED;
		else if (part != NULL && memcmp(&part->owner, owner, sizeof(ItemPointerData)) == 0)
			finding = copy_part(store, part, size - PART_HEADER, reading);
	}
	UnlockReleaseBuffer(buf);
	return finding;
}

static Finding
read_value(AnnStore *store, const AnnPlace *place, Reading *reading)
{
	const AnnSpace *space = store->space;
	Finding		finding;

	reading->at = place->at;
	reading->value = NULL;
	reading->size = reading->done = 0;
	do
		finding = read_part(store, &place->owner, reading);
	while (finding == FOUND && reading->done < reading->size);

	if (finding == FOUND && !space->metric->valid(space->dim, reading->value, reading->size))
		finding = DAMAGED;
	if (finding != FOUND && reading->value != NULL)
		pfree(reading->value);
	return finding;
}

void *
AnnStoreRead(AnnStore *store, const AnnPlace *place)
{
	Reading		reading;
	Finding		finding = read_value(store, place, &reading);

	if (finding == DAMAGED)
		AnnCorrupted(store->index, ItemPointerGetBlockNumberNoCheck(&reading.at),
					 "A stored value is not what it should be");
	return finding == FOUND ? reading.value : NULL;
}

bool
AnnStoreSound(AnnStore *store, const AnnPlace *place, const void *code)
{
	Reading		reading;
	bool		sound;

	if (read_value(store, place, &reading) != FOUND)
		return false;
	sound = code == NULL || AnnSpaceCodes(store->space, code, reading.value, reading.size);
	pfree(reading.value);
	return sound;
}

/* The part at an offset of a page, if its owner is dead. */
static bool
is_dead(AnnStore *store, Buffer buf, OffsetNumber offset, IndexBulkDeleteCallback callback, void *arg)
{
	Size		size;
	bool		damaged;
	AnnStored	part = AnnPageGetItem(BufferGetPage(buf), offset, PART_HEADER + 1, &size, &damaged);

	if (damaged)
		AnnCorrupted(store->index, BufferGetBlockNumber(buf), "An item is cut off, or outside its page");
	/* what is damaged may own nothing, of which PostgreSQL must not be asked */
	return part != NULL && ItemPointerIsValid(&part->owner) && callback(&part->owner, arg);
}

void
AnnStoreVacuum(AnnStore *store, BlockNumber blkno, BufferAccessStrategy strategy,
			   IndexBulkDeleteCallback callback, void *arg)
{
	Buffer		buf = AnnReadBuffer(store->index, blkno, ANN_PAGE_VALUES, strategy, BUFFER_LOCK_EXCLUSIVE);
	Page		page = BufferGetPage(buf);
	OffsetNumber count = PageGetMaxOffsetNumber(page);
	OffsetNumber dead[MaxOffsetNumber];
	int			ndead = 0;
	Size		room;
	AnnEdit		edit;

	for (OffsetNumber offset = FirstOffsetNumber; offset <= count && callback != NULL; offset++)
		if (is_dead(store, buf, offset, callback, arg))
			dead[ndead++] = offset;

	if (ndead == 0)
	{
		room = AnnPageRoom(page);
		UnlockReleaseBuffer(buf);
	}
	else
	{
		AnnEditBegin(&edit, store->index, store->building);
		for (int i = 0; i < ndead; i++)
			AnnEditDeleteItem(&edit, buf, dead[i]);
		room = AnnEditFreeIfEmpty(&edit, buf);
		AnnEditCommit(&edit);
		AnnPoint("values removed");
	}
	AnnRecordFreeSpace(store->index, blkno, room);
}
