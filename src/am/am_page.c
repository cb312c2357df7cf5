/*
 * am_page.c
 *	  Pages of an index: reading with checks, initialising, finding room.
 *
 * Knows nothing of what the access methods keep on their pages, and writes
 * nothing to the log: that is am_edit.c's.
 */
#include "postgres.h"

#include "storage/freespace.h"
#include "storage/lmgr.h"
#include "utils/rel.h"

#include "am/am_page.h"
#include "am/am_point.h"

void
AnnCorrupted(Relation index, BlockNumber blkno, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" is damaged at block %u", RelationGetRelationName(index), blkno),
			 errdetail("%s.", what),
			 errhint("Please REINDEX it.")));
}

bool
AnnPageIs(Page page, uint16 kind)
{
	return !PageIsNew(page) &&
		PageGetSpecialSize(page) == MAXALIGN(sizeof(AnnPageOpaqueData)) &&
		AnnPageGetOpaque(page)->page_id == ANN_PAGE_ID && AnnPageGetOpaque(page)->kind == kind;
}

void *
AnnPageGetItem(Page page, OffsetNumber offset, Size least, Size *size, bool *damaged)
{
	ItemId		id;

	*damaged = false;
	if (AnnPageIsUnused(page) || offset < FirstOffsetNumber || offset > PageGetMaxOffsetNumber(page))
		return NULL;

	id = PageGetItemId(page, offset);
	if (!ItemIdIsUsed(id))
		return NULL;

	*size = ItemIdGetLength(id);
	*damaged = !ItemIdIsNormal(id) || *size < least || ItemIdGetOffset(id) < SizeOfPageHeaderData ||
		ItemIdGetOffset(id) != MAXALIGN(ItemIdGetOffset(id)) ||
		ItemIdGetOffset(id) + *size > BLCKSZ - MAXALIGN(sizeof(AnnPageOpaqueData));
	return *damaged ? NULL : PageGetItem(page, id);
}

void
AnnInitPage(Page page, uint16 kind)
{
	AnnPageOpaque opaque;

	PageInit(page, BLCKSZ, sizeof(AnnPageOpaqueData));
	opaque = AnnPageGetOpaque(page);
	opaque->kind = kind;
	opaque->page_id = ANN_PAGE_ID;
}

void
AnnInitMetaPage(Page page, const void *contents, Size size)
{
	AnnInitPage(page, ANN_PAGE_META);
	memcpy(AnnMetaContents(page), contents, size);

	/* What lies below pd_lower survives the compression of page images. */
	((PageHeader) page)->pd_lower = (char *) AnnMetaContents(page) + size - (char *) page;
}

void
AnnForgetCache(Relation index)
{
	if (index->rd_amcache != NULL)
		pfree(index->rd_amcache);
	index->rd_amcache = NULL;
}

/*
 * Is it a page of ours at all?  Where pgvector was migrated, its indexes stay
 * behind; the special space of their pages has the size of ours.
 */
static void
check_page_id(Relation index, Buffer buf)
{
	Page		page = BufferGetPage(buf);

	if (PageGetSpecialSize(page) == MAXALIGN(sizeof(AnnPageOpaqueData)))
	{
		uint16		page_id = AnnPageGetOpaque(page)->page_id;

		if (page_id == ANN_PAGE_ID)
			return;
		if (page_id == PGVECTOR_HNSW_PAGE_ID || page_id == PGVECTOR_IVFFLAT_PAGE_ID)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("index \"%s\" was built by pgvector", RelationGetRelationName(index)),
					 errhint("Please REINDEX it.")));
	}
	AnnCorrupted(index, BufferGetBlockNumber(buf), "The page is not one of this index's");
}

void
AnnCheckPage(Relation index, Buffer buf, uint16 kind)
{
	Page		page = BufferGetPage(buf);

	if (AnnPageIsUnused(page) && kind != ANN_PAGE_META)
		return;

	check_page_id(index, buf);
	if (AnnPageGetOpaque(page)->kind != kind)
		AnnCorrupted(index, BufferGetBlockNumber(buf), "The page is not of the kind expected here");
}

Buffer
AnnReadBuffer(Relation index, BlockNumber blkno, uint16 kind,
			  BufferAccessStrategy strategy, int lockmode)
{
	Buffer		buf = ReadBufferExtended(index, MAIN_FORKNUM, blkno, RBM_NORMAL, strategy);

	LockBuffer(buf, lockmode);
	AnnCheckPage(index, buf, kind);
	return buf;
}

Buffer
AnnReadMeta(Relation index, uint32 magic, uint32 version, int lockmode)
{
	Buffer		buf = AnnReadBuffer(index, ANN_METAPAGE_BLKNO, ANN_PAGE_META, NULL, lockmode);
	AnnMetaHeaderData *header = AnnMetaContents(BufferGetPage(buf));

	if (header->magic != magic)
		AnnCorrupted(index, ANN_METAPAGE_BLKNO, "The metapage is not that of this access method");

	if (header->version != version)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("index \"%s\" has format version %u, but this version of ann reads version %u",
						RelationGetRelationName(index), header->version, version),
				 errhint("Please REINDEX it.")));
	return buf;
}

Buffer
AnnExtend(Relation index, ForkNumber fork)
{
	Buffer		buf;

	/* Locked before others can see it: they look at the last page for room. */
	LockRelationForExtension(index, ExclusiveLock);
	buf = ReadBufferExtended(index, fork, P_NEW, RBM_ZERO_AND_LOCK, NULL);
	UnlockRelationForExtension(index, ExclusiveLock);
	AnnPoint("new page");
	return buf;
}

void
AnnRecordFreeSpace(Relation index, BlockNumber blkno, Size room)
{
	RecordPageWithFreeSpace(index, blkno, room);
}

/* Pages with room of another kind that are looked at before a new one is taken. */
#define MAX_STRANGERS 16

/*
 * Locks a page if nobody has it, we ourselves included.  The lock of a local buffer
 * can be had always; but who works on it has it pinned.
 */
static bool
try_lock(Buffer buf)
{
	return BufferIsLocal(buf) ? ConditionalLockBufferForCleanup(buf) : ConditionalLockBuffer(buf);
}

/*
 * Can this page take so much?  If so it is returned pinned and locked;
 * InvalidBuffer if not.  Sets *room to what the page has, or to the size asked
 * for if somebody holds the lock; and *stranger if it is of another kind.
 */
static Buffer
try_page(Relation index, BlockNumber blkno, uint16 kind, Size size, Size *room, bool *stranger)
{
	Buffer		buf = ReadBuffer(index, blkno);
	Page		page = BufferGetPage(buf);

	*room = size;
	*stranger = false;
	if (!try_lock(buf))
	{
		ReleaseBuffer(buf);
		return InvalidBuffer;
	}

	*room = AnnPageRoom(page);
	if (!AnnPageIsUnused(page))
	{
		check_page_id(index, buf);
		*stranger = AnnPageGetOpaque(page)->kind != kind;
	}
	if (*room >= size && !*stranger)
		return buf;

	UnlockReleaseBuffer(buf);
	return InvalidBuffer;
}

/*
 * Like a heap insertion: the page used last, then what the free space map
 * proposes, then the last page of all, then a new page.  The map may be wrong (it is not logged); what
 * the page says counts, and corrects it.  It does not know kinds of pages, but proposes another one each
 * time.  A page somebody else works on is
 * left to him, and a new one taken: that is how inserters drift apart.
 */
Buffer
AnnAllocate(Relation index, uint16 kind, Size size, BlockNumber *target)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(index);
	BlockNumber blkno = *target;
	Buffer		buf = InvalidBuffer;
	int			strangers = 0;
	bool		stranger;
	Size		room = 0;

	if (blkno != InvalidBlockNumber && blkno < nblocks)
		buf = try_page(index, blkno, kind, size, &room, &stranger);

	if (!BufferIsValid(buf))
	{
		if (blkno != InvalidBlockNumber && blkno < nblocks && room < size)
			blkno = RecordAndGetPageWithFreeSpace(index, blkno, room, size);
		else
			blkno = GetPageWithFreeSpace(index, size);

		while (blkno != InvalidBlockNumber && strangers < MAX_STRANGERS)
		{
			/* beyond the end: left over from before a truncation */
			room = 0;
			stranger = false;
			if (blkno < nblocks)
				buf = try_page(index, blkno, kind, size, &room, &stranger);
			if (BufferIsValid(buf) || (room >= size && !stranger))
				break;
			strangers += stranger;
			blkno = RecordAndGetPageWithFreeSpace(index, blkno, room, size);
		}
	}

	if (!BufferIsValid(buf) && *target == InvalidBlockNumber && nblocks - 1 > ANN_METAPAGE_BLKNO)
		buf = try_page(index, nblocks - 1, kind, size, &room, &stranger);
	if (!BufferIsValid(buf))
		buf = AnnExtend(index, MAIN_FORKNUM);

	*target = BufferGetBlockNumber(buf);
	return buf;
}
