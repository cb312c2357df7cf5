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
#include "am/am_recent.h"
#include "hnsw/hnsw.h"

/*
 * Metapage
 */

/* What rd_amcache holds: hints, and the fixed part of the metapage. */
typedef struct HnswCache
{
	BlockNumber node_target;
	BlockNumber links_target;
	BlockNumber value_target;
	HnswMetaPageData meta;
} HnswCache;

/* Bytes of a metapage's contents. */
static inline Size
meta_size(const HnswMetaPageData *meta)
{
	return offsetof(HnswMetaPageData, centre) + meta->centre_size;
}

static Size
longest_code(const HnswShape *shape)
{
	return shape->code_size > 0 ? shape->code_size : ANN_MAX_CODE_SIZE;
}

int
HnswNodesPerPage(const HnswShape *shape)
{
	return ANN_PAGE_ROOM / (HnswItemRoom(HnswElementSize(shape, 0, longest_code(shape))) +
							shape->parts[0] * HnswLinksRoom(shape, 0));
}

/*
 * What is looked at together is kept together: the element with the links of
 * level 0, and those of the levels above while the node takes no more of a page than
 * one without them, or a third.
 */
int
HnswCountBeside(const HnswShape *shape, int level, Size element_size)
{
	Size		share = ANN_PAGE_ROOM / Max(1, Min(3, HnswNodesPerPage(shape)));
	Size		room = HnswItemRoom(element_size);
	int			n;

	for (n = 0; n < HnswCountLinks(shape, level); n++)
	{
		room += HnswLinksRoom(shape, level);
		if (room > (n >= HnswParts(shape, level) ? share : ANN_PAGE_ROOM))
			break;
	}
	return n;
}

/* Pages that a node takes, at most. */
static int
count_pages(const HnswShape *shape, int level)
{
	Size		element_size = HnswElementSize(shape, level, longest_code(shape));
	Size		room = 0;
	int			pages = 1;

	for (int i = HnswCountBeside(shape, level, element_size); i < HnswCountLinks(shape, level); i++)
	{
		Size		next = HnswLinksRoom(shape, level);

		if (room < next)
		{
			room = ANN_PAGE_ROOM;
			pages++;
		}
		room -= next;
	}
	return pages;
}

/* Sets how many neighbours a list has, at most, and the parts it is divided into. */
static void
set_most(HnswShape *shape, bool above, int most)
{
	int			parts = 1;

	while (HnswLinksSize(shape, most / parts) > ANN_MAX_ITEM_SIZE)
		parts++;
	shape->parts[above] = parts;
	shape->places[above] = most / parts;
	shape->most[above] = parts * shape->places[above];
}

/*
 * With codes of neighbours, lists take most of a page, and up to an eighth of the
 * places is given up where one more node then fits.
 */
static void
fill_pages(HnswShape *shape)
{
	int			all = shape->most[0];
	int			best = all;
	int			fewest = all - all / 8;
	int			nodes = HnswNodesPerPage(shape);

	for (int most = all - 1; most >= fewest; most--)
	{
		set_most(shape, false, most);
		if (HnswNodesPerPage(shape) > nodes)
		{
			nodes = HnswNodesPerPage(shape);
			best = most;
		}
	}
	set_most(shape, false, best);
}

/* The highest level whose nodes can be written at once. */
static int
find_max_level(const HnswShape *shape)
{
	int			level = 0;

	while (level < HNSW_MAX_LEVEL &&
		   HnswElementSize(shape, level + 1, longest_code(shape)) <= ANN_MAX_ITEM_SIZE &&
		   count_pages(shape, level + 1) <= ANN_MAX_EDIT_PAGES)
		level++;
	return level;
}

void
HnswMakeShape(HnswShape *shape, const AnnSpace *space, int m, bool stored, bool near)
{
	shape->m = m;
	shape->stored = stored;
	shape->code_size = space->code_size;
	shape->near_size = near ? AnnNearSize(space) : 0;
	set_most(shape, false, 2 * m);
	set_most(shape, true, m);
	if (near)
		fill_pages(shape);
	shape->max_level = find_max_level(shape);

	if (near && (shape->max_level < HNSW_MIN_MAX_LEVEL || shape->parts[0] > HNSW_MAX_PARTS ||
				 shape->places[0] == 0 || shape->places[1] == 0))
		HnswMakeShape(shape, space, m, stored, false);
}

/* Item numbers per page: how many of the smallest items go there. */
static uint32
count_slots(const HnswShape *shape, const AnnSpace *space)
{
	Size		smallest = HnswElementSize(shape, 0, shape->code_size);

	if (shape->stored)
		smallest = Min(smallest, AnnStoredSize(space));

	smallest = Min(smallest, HnswLinksSize(shape, shape->places[0]));
	smallest = Min(smallest, HnswLinksSize(shape, shape->places[1]));
	smallest = Min(smallest, HnswPostingsSize(HNSW_MIN_POSTINGS));
	return ANN_PAGE_ROOM / HnswItemRoom(smallest);
}

HnswMetaPage
HnswMakeMeta(Relation rel)
{
	HnswMetaPage meta = palloc0(ANN_PAGE_ROOM);
	AnnSpace	space;
	HnswShape	shape;
	int			m;
	int			ef_construction;
	bool		stored;

	HnswGetOptions(rel, &space, &m, &ef_construction, &stored);
	HnswMakeShape(&shape, &space, m, stored, space.near_bits > 0);

	meta->header.magic = HNSW_MAGIC;
	meta->header.version = HNSW_VERSION;
	meta->dim = space.dim;
	meta->m = m;
	meta->stored = stored;
	meta->ef_construction = ef_construction;
	meta->bits = space.bits;
	meta->near_bits = shape.near_size > 0 ? space.near_bits : 0;
	meta->slots = count_slots(&shape, &space);
	meta->entry = HNSW_NO_ITEM;
	meta->entry_level = 0;
	return meta;
}

void
HnswSetCentre(HnswMetaPage meta, const AnnSpace *space, const float *centre)
{
	Size		size = AnnCentreSize(space);

	if (offsetof(HnswMetaPageData, centre) + size > ANN_PAGE_ROOM)
		return;
	AnnCentreEncode(space, centre, meta->centre);
	meta->centre_size = size;
}

/*
 * Space and shape of an index from its metapage; false if that is not one this
 * index could have.
 */
static bool
apply_meta(HnswIndex *index, const HnswMetaPageData *meta)
{
	/* ALTER TABLE may take the column's dimensions away, but not change them. */
	int			typmod = TupleDescAttr(index->rel->rd_att, 0)->atttypmod;

	AnnSpaceOpen(&index->space, index->rel, 1, 0, 0);
	if ((typmod >= 0 && typmod != meta->dim) || meta->dim < 1 ||
		meta->m < HNSW_MIN_M || meta->m > HNSW_MAX_M ||
		meta->ef_construction < HNSW_MIN_EF_CONSTRUCTION ||
		meta->ef_construction > HNSW_MAX_EF_CONSTRUCTION ||
		meta->bits > 8 || meta->near_bits > ANN_MAX_NEAR_BITS || (meta->bits == 0 && meta->near_bits > 0) ||
		(meta->bits > 0 && !index->space.metric->quantizes) ||
		meta->stored > 1 || (meta->bits == 0 && meta->stored) ||
		meta->dim > (meta->bits > 0 ? ANN_MAX_QUANTIZED_DIM : index->space.metric->max_dim))
		return false;

	AnnSpaceOpen(&index->space, index->rel, meta->dim, meta->bits, meta->near_bits);
	if (meta->centre_size > 0)
	{
		float	   *centre;

		if (meta->bits == 0 || meta->centre_size != AnnCentreSize(&index->space) ||
			!AnnCentreValid(meta->centre))
			return false;
		centre = palloc(sizeof(float) * index->space.rotated_dim);
		AnnCentreDecode(&index->space, meta->centre, centre);
		index->space.centre = centre;
	}
	HnswMakeShape(&index->shape, &index->space, meta->m, meta->stored, meta->near_bits > 0);
	index->ef_construction = meta->ef_construction;
	index->slots = meta->slots;
	return index->slots == count_slots(&index->shape, &index->space);
}

void
HnswCreateMetaPage(Relation rel, ForkNumber fork, const HnswMetaPageData *meta)
{
	Buffer		buf = AnnExtend(rel, fork);

	Assert(BufferGetBlockNumber(buf) == ANN_METAPAGE_BLKNO);
	AnnInitMetaPage(BufferGetPage(buf), meta, meta_size(meta));
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
		HnswMetaPage meta = palloc(ANN_PAGE_ROOM);

		memcpy(meta, AnnMetaContents(BufferGetPage(buf)), ANN_PAGE_ROOM);
		UnlockReleaseBuffer(buf);
		if (!apply_meta(index, meta))
			AnnCorrupted(rel, ANN_METAPAGE_BLKNO, "The metapage does not agree with the definition of the index");

		cache = MemoryContextAlloc(rel->rd_indexcxt, offsetof(HnswCache, meta) + meta_size(meta));
		memcpy(&cache->meta, meta, meta_size(meta));
		pfree(meta);
		cache->node_target = cache->links_target = cache->value_target = InvalidBlockNumber;
		rel->rd_amcache = cache;
	}
	else
		apply_meta(index, &cache->meta);

	AnnStoreInit(&index->store, rel, &index->space, false);
	index->node_target = cache->node_target;
	index->links_target = cache->links_target;
	index->store.target = cache->value_target;
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
	cache->value_target = index->store.target;
}

bool
HnswReadEntry(const HnswIndex *index, HnswNode *entry, int *level)
{
	Buffer		buf = AnnReadMeta(index->rel, HNSW_MAGIC, HNSW_VERSION, BUFFER_LOCK_SHARE);
	HnswMetaPageData *meta = AnnMetaContents(BufferGetPage(buf));

	*entry = meta->entry;
	*level = meta->entry_level;
	UnlockReleaseBuffer(buf);

	if (*entry != HNSW_NO_ITEM && (*level < 0 || *level > index->shape.max_level))
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
	return AnnReadRecent(index->rel, blkno);
}

Buffer
HnswReadItemPage(HnswIndex *index, HnswItem item, int lockmode)
{
	Buffer		buf = HnswPinItemPage(index, item);

	LockBuffer(buf, lockmode);
	AnnCheckPage(index->rel, buf, HNSW_PAGE_ITEMS);
	return buf;
}

Buffer
HnswReadPage(const HnswIndex *index, BlockNumber blkno, BufferAccessStrategy strategy, int lockmode)
{
	Buffer		buf = ReadBufferExtended(index->rel, MAIN_FORKNUM, blkno, RBM_NORMAL, strategy);

	LockBuffer(buf, lockmode);
	if (!HnswHasValues(index, BufferGetPage(buf)))
		AnnCheckPage(index->rel, buf, HNSW_PAGE_ITEMS);
	return buf;
}

AnnPlace
HnswValuePlace(const HnswIndex *index, HnswItem value, HnswNode node)
{
	AnnPlace	place;

	ItemPointerSet(&place.owner, HnswItemBlock(index, node), HnswItemOffset(index, node));
	if (value == HNSW_NO_ITEM)
		ItemPointerSetInvalid(&place.at);
	else
		ItemPointerSet(&place.at, HnswItemBlock(index, value), HnswItemOffset(index, value));
	return place;
}

HnswItem
HnswPlaceItem(const HnswIndex *index, const ItemPointerData *place)
{
	BlockNumber blkno = ItemPointerGetBlockNumberNoCheck(place);
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(place);

	if (offset < FirstOffsetNumber || offset - FirstOffsetNumber >= index->slots ||
		blkno >= HNSW_NO_ITEM / index->slots)
		return HNSW_NO_ITEM;
	return HnswItemNumber(index, blkno, offset);
}

/* An item of a kind; its size is at least that of the kind's fixed part. */
static void *
get_item(const HnswIndex *index, Page page, HnswItem item, HnswItemKind kind, Size fixed, Size *size)
{
	BlockNumber blkno = HnswItemBlock(index, item);
	OffsetNumber offset = HnswItemOffset(index, item);
	ItemId		id;
	HnswItemData *data;

	if (!AnnPageIs(page, HNSW_PAGE_ITEMS) || offset > PageGetMaxOffsetNumber(page))
		return NULL;

	id = PageGetItemId(page, offset);
	if (!ItemIdIsNormal(id))
		return NULL;

	*size = ItemIdGetLength(id);
	if (ItemIdGetOffset(id) < ((PageHeader) page)->pd_upper ||
		ItemIdGetOffset(id) != MAXALIGN(ItemIdGetOffset(id)) ||
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
HnswGetElement(const HnswIndex *index, Page page, HnswItem item)
{
	const HnswShape *shape = &index->shape;
	Size		size;
	HnswElement element = get_item(index, page, item, HNSW_ELEMENT,
								   HnswElementSize(shape, 0, shape->code_size), &size);

	if (element != NULL &&
		(element->level > shape->max_level ||
		 size < HnswElementSize(shape, element->level, shape->code_size) ||
		 (shape->code_size > 0 && size > HnswElementSize(shape, element->level, shape->code_size))))
		AnnCorrupted(index->rel, HnswItemBlock(index, item), "An element is damaged");
	return element;
}

void *
HnswGetCode(const HnswIndex *index, Page page, HnswItem item, HnswElement element, Size *size)
{
	void	   *code = HnswElementCode(&index->shape, element);
	Size		code_size = index->shape.code_size;

	if (code_size == 0)
	{
		code_size = ItemIdGetLength(PageGetItemId(page, HnswItemOffset(index, item))) -
			HnswElementSize(&index->shape, element->level, 0);
		if (!AnnSpaceValid(&index->space, code, code_size))
			AnnCorrupted(index->rel, HnswItemBlock(index, item), "An element is damaged");
	}
	if (size != NULL)
		*size = code_size;
	return code;
}

HnswLinks
HnswGetLinks(const HnswIndex *index, Page page, HnswItem item)
{
	const HnswShape *shape = &index->shape;
	Size		size;
	HnswLinks	links = get_item(index, page, item, HNSW_LINKS, HnswLinksSize(shape, 0), &size);

	if (links != NULL &&
		(links->level > shape->max_level || size != HnswLinksSize(shape, links->places) ||
		 links->count > links->places ||
		 (links->places != shape->places[0] && links->places != shape->places[1])))
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

/* Makes room for more TIDs. */
static void
need_tids(HnswTids *tids, int more)
{
	while (tids->count + more > tids->capacity)
	{
		tids->capacity *= 2;
		tids->tids = repalloc_huge(tids->tids, sizeof(ItemPointerData) * (Size) tids->capacity);
	}
}

void
HnswAppendTid(HnswTids *tids, const ItemPointerData *tid)
{
	need_tids(tids, 1);
	tids->tids[tids->count++] = *tid;
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

		need_tids(tids, postings->count);
		memcpy(tids->tids + tids->count, postings->tids, sizeof(ItemPointerData) * postings->count);
		tids->count += postings->count;
		item = postings->next;
		UnlockReleaseBuffer(buf);
	}
	return HNSW_NO_ITEM;
}
