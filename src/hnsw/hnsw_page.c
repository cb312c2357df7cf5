/*
 * hnsw_page.c
 *	  Reading the pages of an hnsw index, and its metapage.
 *
 * Every item goes through the checks here before anybody looks into it, so
 * that damage is an error and nothing worse.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "am/am_edit.h"
#include "hnsw/hnsw.h"

/*
 * Metapage
 */

/* What rd_amcache holds: the fixed part of the metapage, and two hints. */
typedef struct HnswCache
{
	HnswMetaPageData meta;
	BlockNumber node_target;
	BlockNumber links_target;
} HnswCache;

/* Item numbers per page: how many of the smallest items go there. */
static uint32
count_slots(const AnnSpace *space, int m)
{
	Size		smallest = HnswElementSize(space->code_size);

	smallest = Min(smallest, HnswLinksSize(m, 0));
	smallest = Min(smallest, HnswPostingsSize(HNSW_MIN_POSTINGS));

	return ANN_PAGE_ROOM / (MAXALIGN(smallest) + sizeof(ItemIdData));
}

void
HnswMakeMeta(HnswMetaPageData *meta, const AnnSpace *space, int m, int ef_construction)
{
	memset(meta, 0, sizeof(HnswMetaPageData));
	meta->header.magic = HNSW_MAGIC;
	meta->header.version = HNSW_VERSION;
	meta->dim = space->dim;
	meta->m = m;
	meta->ef_construction = ef_construction;
	meta->slots = count_slots(space, m);
	meta->entry = HNSW_NO_ITEM;
	meta->entry_level = 0;
}

void
HnswCreateMetaPage(Relation rel, ForkNumber fork, const HnswMetaPageData *meta)
{
	Buffer		buf = AnnExtend(rel, fork);

	Assert(BufferGetBlockNumber(buf) == ANN_METAPAGE_BLKNO);
	AnnInitMetaPage(BufferGetPage(buf), meta, sizeof(HnswMetaPageData));
	MarkBufferDirty(buf);
	UnlockReleaseBuffer(buf);
}

void
HnswOpen(HnswIndex *index, Relation rel)
{
	HnswCache  *cache = rel->rd_amcache;

	index->rel = rel;
	index->nblocks = RelationGetNumberOfBlocks(rel);
	index->build_lock = NULL;

	if (cache == NULL)
	{
		Buffer		buf = AnnReadMeta(rel, HNSW_MAGIC, HNSW_VERSION, BUFFER_LOCK_SHARE);
		HnswMetaPageData meta = *(HnswMetaPageData *) AnnMetaContents(BufferGetPage(buf));
		int			typmod;

		UnlockReleaseBuffer(buf);

		/* ALTER TABLE may take the column's dimensions away, but not change them. */
		typmod = TupleDescAttr(rel->rd_att, 0)->atttypmod;
		AnnSpaceOpen(&index->space, rel, meta.dim, 0);
		if ((typmod >= 0 && typmod != meta.dim) || meta.dim < 1 || meta.dim > index->space.metric->max_dim ||
			meta.m < HNSW_MIN_M || meta.m > HNSW_MAX_M ||
			meta.ef_construction < HNSW_MIN_EF_CONSTRUCTION ||
			meta.ef_construction > HNSW_MAX_EF_CONSTRUCTION ||
			meta.slots != count_slots(&index->space, meta.m))
			AnnCorrupted(rel, ANN_METAPAGE_BLKNO, "The metapage does not agree with the definition of the index");

		cache = MemoryContextAlloc(rel->rd_indexcxt, sizeof(HnswCache));
		cache->meta = meta;
		cache->node_target = cache->links_target = InvalidBlockNumber;
		rel->rd_amcache = cache;
	}

	AnnSpaceOpen(&index->space, rel, cache->meta.dim, 0);
	index->m = cache->meta.m;
	index->ef_construction = cache->meta.ef_construction;
	index->slots = cache->meta.slots;
	index->node_target = cache->node_target;
	index->links_target = cache->links_target;
}

void
HnswRememberTargets(const HnswIndex *index)
{
	HnswCache  *cache = index->rel->rd_amcache;

	/* A relcache reset may have taken it away. */
	if (cache == NULL)
		return;
	cache->node_target = index->node_target;
	cache->links_target = index->links_target;
}

bool
HnswReadEntry(const HnswIndex *index, HnswNode *entry, int *level)
{
	Buffer		buf = AnnReadMeta(index->rel, HNSW_MAGIC, HNSW_VERSION, BUFFER_LOCK_SHARE);
	HnswMetaPageData *meta = AnnMetaContents(BufferGetPage(buf));

	*entry = meta->entry;
	*level = meta->entry_level;
	UnlockReleaseBuffer(buf);

	if (*entry != HNSW_NO_ITEM && (*level < 0 || *level > HnswMaxLevel(index->m)))
		AnnCorrupted(index->rel, ANN_METAPAGE_BLKNO, "The level of the entry point is out of range");
	return *entry != HNSW_NO_ITEM;
}

void
HnswWriteEntry(const HnswIndex *index, HnswNode entry, int level)
{
	Buffer		buf = AnnReadMeta(index->rel, HNSW_MAGIC, HNSW_VERSION, BUFFER_LOCK_EXCLUSIVE);
	HnswMetaPageData *meta;
	AnnEdit		edit;

	AnnEditBegin(&edit, index->rel, index->build_lock != NULL);
	meta = AnnMetaContents(AnnEditPage(&edit, buf));
	meta->entry = entry;
	meta->entry_level = level;
	AnnEditCommit(&edit);
}

/*
 * The graph lock
 */

void
HnswLockGraph(const HnswIndex *index, bool exclusive)
{
	if (index->build_lock != NULL)
		LWLockAcquire(index->build_lock, exclusive ? LW_EXCLUSIVE : LW_SHARED);
	else
		LockPage(index->rel, ANN_METAPAGE_BLKNO, exclusive ? ExclusiveLock : ShareLock);
}

void
HnswUnlockGraph(const HnswIndex *index, bool exclusive)
{
	if (index->build_lock != NULL)
		LWLockRelease(index->build_lock);
	else
		UnlockPage(index->rel, ANN_METAPAGE_BLKNO, exclusive ? ExclusiveLock : ShareLock);
}

/*
 * Items
 */

HnswItem
HnswItemNumber(const HnswIndex *index, BlockNumber blkno, OffsetNumber offset)
{
	uint64		number = (uint64) blkno * index->slots + (offset - FirstOffsetNumber);

	/* It would be taken for an item of the next page. */
	if (offset - FirstOffsetNumber >= index->slots)
		AnnCorrupted(index->rel, blkno, "The page has too many items");

	if (number >= HNSW_NO_ITEM)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("index \"%s\" is too large", RelationGetRelationName(index->rel)),
				 errdetail("Items are known by numbers of 32 bits."),
				 errhint("Partition the table.")));
	return (HnswItem) number;
}

Buffer
HnswPinItemPage(HnswIndex *index, HnswItem item)
{
	BlockNumber blkno = HnswItemBlock(index, item);

	/* The size of the index costs a system call. */
	if (blkno >= index->nblocks)
		index->nblocks = RelationGetNumberOfBlocks(index->rel);

	if (blkno == ANN_METAPAGE_BLKNO || blkno >= index->nblocks)
		AnnCorrupted(index->rel, blkno, "A link leads to a block that has no items");
	return ReadBuffer(index->rel, blkno);
}

Buffer
HnswReadItemPage(HnswIndex *index, HnswItem item, int lockmode)
{
	Buffer		buf = HnswPinItemPage(index, item);

	LockBuffer(buf, lockmode);
	AnnCheckPage(index->rel, buf, HNSW_PAGE_ITEMS);
	return buf;
}

/* An item of a kind; its size is at least that of the kind's fixed part. */
static void *
get_item(const HnswIndex *index, Page page, HnswItem item, HnswItemKind kind, Size fixed, Size *size)
{
	BlockNumber blkno = HnswItemBlock(index, item);
	OffsetNumber offset = HnswItemOffset(index, item);
	ItemId		id;
	HnswItemData *data;

	if (AnnPageIsUnused(page) || offset > PageGetMaxOffsetNumber(page))
		return NULL;

	id = PageGetItemId(page, offset);
	if (!ItemIdIsNormal(id))
		return NULL;

	*size = ItemIdGetLength(id);
	if (ItemIdGetOffset(id) < SizeOfPageHeaderData ||
		ItemIdGetOffset(id) + *size > BLCKSZ - MAXALIGN(sizeof(AnnPageOpaqueData)) ||
		*size < sizeof(HnswItemData))
		AnnCorrupted(index->rel, blkno, "An item lies outside its page");

	data = (HnswItemData *) PageGetItem(page, id);
	if (data->kind != kind)
		return NULL;
	if (*size < fixed)
		AnnCorrupted(index->rel, blkno, "An item is too short");
	return data;
}

HnswElement
HnswGetElement(const HnswIndex *index, Page page, HnswItem item, Size *code_size)
{
	const AnnSpace *space = &index->space;
	Size		size;
	HnswElement element = get_item(index, page, item, HNSW_ELEMENT,
								   HnswElementSize(space->code_size), &size);

	if (element == NULL)
		return NULL;

	*code_size = size - HnswElementSize(0);
	if (element->level > HnswMaxLevel(index->m) ||
		(space->code_size > 0 ? *code_size != space->code_size :
		 !AnnSpaceValid(space, element->code, *code_size)))
		AnnCorrupted(index->rel, HnswItemBlock(index, item), "An element is damaged");
	return element;
}

HnswLinks
HnswGetLinks(const HnswIndex *index, Page page, HnswItem item)
{
	Size		size;
	HnswLinks	links = get_item(index, page, item, HNSW_LINKS, HnswLinksSize(index->m, 0), &size);

	if (links != NULL && size != HnswLinksSize(index->m, links->level))
		AnnCorrupted(index->rel, HnswItemBlock(index, item), "The links of a node are damaged");
	return links;
}

HnswPostings
HnswGetPostings(const HnswIndex *index, Page page, HnswItem item, int *capacity)
{
	Size		size;
	HnswPostings postings = get_item(index, page, item, HNSW_POSTINGS, HnswPostingsSize(1), &size);

	if (postings == NULL)
		return NULL;

	*capacity = HnswPostingsCapacity(size);
	if (postings->count > *capacity)
		AnnCorrupted(index->rel, HnswItemBlock(index, item), "The heap TIDs of a node are damaged");
	return postings;
}

HnswItem
HnswGetTids(HnswIndex *index, HnswNode node, HnswItem first, HnswTids *tids)
{
	uint64		most = (uint64) index->nblocks * index->slots;
	HnswItem	item = first;

	tids->count = 0;
	while (item != HNSW_NO_ITEM)
	{
		Buffer		buf;
		HnswPostings postings;
		int			room;

		CHECK_FOR_INTERRUPTS();
		buf = HnswReadItemPage(index, item, BUFFER_LOCK_SHARE);
		postings = HnswGetPostings(index, BufferGetPage(buf), item, &room);
		if (postings == NULL || postings->owner != node)
		{
			UnlockReleaseBuffer(buf);
			return item;
		}

		if (most-- == 0 || tids->count > PG_INT32_MAX / 2 - postings->count)
			AnnCorrupted(index->rel, HnswItemBlock(index, first), "Heap TIDs of a node are in a circle");

		while (tids->count + postings->count > tids->capacity)
		{
			tids->capacity *= 2;
			tids->tids = repalloc_huge(tids->tids, sizeof(ItemPointerData) * (Size) tids->capacity);
		}
		memcpy(tids->tids + tids->count, postings->tids, sizeof(ItemPointerData) * postings->count);
		tids->count += postings->count;
		item = postings->next;
		UnlockReleaseBuffer(buf);
	}
	return HNSW_NO_ITEM;
}
