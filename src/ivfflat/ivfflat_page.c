/*
 * ivfflat_page.c
 *	  Reading and writing the items of an ivfflat index, and its metapage.
 *
 * Every item goes through the checks here before anybody looks into it, so that
 * damage is an error and nothing worse.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/rel.h"

#include "ivfflat/ivfflat.h"

/*
 * Metapage
 */

/* As many bits per dimension as fit a page: eight up to some 8000 dimensions. */
static int
choose_centre_bits(const AnnSpace *space)
{
	int			room = (ANN_MAX_ITEM_SIZE - offsetof(IvfCentreData, levels)) * BITS_PER_BYTE;

	return Min(room / space->rotated_dim, 8);
}

/* All of an index that follows from its space. */
static void
init_index(IvfIndex *index, Relation rel, const AnnSpace *space)
{
	int			dim = space->rotated_dim;
	Size		data_size = space->code_size;

	memset(index, 0, sizeof(IvfIndex));
	index->rel = rel;
	index->space = *space;
	index->bits = space->bits;
	index->centre_bits = choose_centre_bits(space);
	index->centre_size = offsetof(IvfCentreData, levels) + AnnRabitqCodeSize(dim, index->centre_bits);
	if (index->bits > 0)
		data_size = offsetof(IvfCodeData, levels) + AnnRabitqCodeSize(dim, index->bits);
	index->row_size = INTALIGN(offsetof(IvfRowData, data) + data_size);
	index->centres_per_page = ANN_PAGE_ROOM / (MAXALIGN(index->centre_size) + sizeof(ItemIdData));
	index->rows_per_page = IvfSegmentCapacity(index->row_size, ANN_MAX_ITEM_SIZE);
	index->target = InvalidBlockNumber;
	index->scratch = palloc(sizeof(float) * 2 * dim);
}

void
IvfPrepare(IvfIndex *index, Relation rel, const AnnSpace *space)
{
	init_index(index, rel, space);
	index->building = true;

	/* What was cached is that of the index before a TRUNCATE. */
	IvfForget(rel);
}

/* Opens the space; an error if the metapage does not agree with it. */
static void
open_space(AnnSpace *space, Relation rel, const IvfMetaPageData *meta)
{
	/* ALTER TABLE may take the column's dimensions away, but not change them. */
	int			typmod = TupleDescAttr(rel->rd_att, 0)->atttypmod;

	if ((typmod < 0 || typmod == meta->dim) && meta->bits <= 8 &&
		meta->dim >= 1 && meta->dim <= ANN_MAX_QUANTIZED_DIM)
	{
		AnnSpaceOpen(space, rel, meta->dim, meta->bits, 0);
		if (meta->centre_bits == choose_centre_bits(space) &&
			(meta->bits > 0 || meta->dim <= space->metric->max_dim))
			return;
	}
	AnnCorrupted(rel, ANN_METAPAGE_BLKNO, "The metapage does not agree with the definition of the index");
}

static void
read_meta(Relation rel, IvfMetaPageData *meta)
{
	Buffer		buf = AnnReadMeta(rel, IVF_MAGIC, IVF_VERSION, BUFFER_LOCK_SHARE);

	*meta = *(IvfMetaPageData *) AnnMetaContents(BufferGetPage(buf));
	UnlockReleaseBuffer(buf);
}

void
IvfOpen(IvfIndex *index, Relation rel)
{
	IvfMetaPageData meta;
	BlockNumber target;
	AnnSpace	space;

	if (!IvfRecall(rel, &meta, &target))
	{
		read_meta(rel, &meta);
		target = InvalidBlockNumber;
		open_space(&space, rel, &meta);
		IvfRemember(rel, &meta);
	}

	AnnSpaceOpen(&space, rel, meta.dim, meta.bits, 0);
	init_index(index, rel, &space);
	index->nblocks = RelationGetNumberOfBlocks(rel);
	index->target = target;
}

void
IvfReadMeta(const IvfIndex *index, IvfMetaPageData *meta)
{
	read_meta(index->rel, meta);
}

void
IvfCreate(const IvfIndex *index, ForkNumber fork, const char *centres, int n)
{
	IvfMetaPageData meta = {0};
	Buffer		buf = AnnExtend(index->rel, fork);
	BlockNumber blkno;

	meta.header.magic = IVF_MAGIC;
	meta.header.version = IVF_VERSION;
	meta.dim = index->space.dim;
	meta.bits = index->bits;
	meta.centre_bits = index->centre_bits;
	meta.first_centres = ANN_METAPAGE_BLKNO + 1;
	meta.lists = meta.next_list = n;
	AnnInitMetaPage(BufferGetPage(buf), &meta, sizeof(IvfMetaPageData));
	MarkBufferDirty(buf);
	UnlockReleaseBuffer(buf);

	for (int i = 0; i < n; i += index->centres_per_page)
	{
		int			end = Min(n, i + index->centres_per_page);

		CHECK_FOR_INTERRUPTS();
		buf = AnnExtend(index->rel, fork);
		blkno = BufferGetBlockNumber(buf);
		AnnInitPage(BufferGetPage(buf), IVF_PAGE_CENTRES);
		AnnPageGetOpaque(BufferGetPage(buf))->next = end < n ? blkno + 1 : InvalidBlockNumber;
		for (int j = i; j < end; j++)
			if (PageAddItem(BufferGetPage(buf), (Item) (centres + index->centre_size * j),
							index->centre_size, InvalidOffsetNumber, false, false) == InvalidOffsetNumber)
				elog(ERROR, "could not add a centre to index \"%s\"", RelationGetRelationName(index->rel));
		MarkBufferDirty(buf);
		UnlockReleaseBuffer(buf);
	}
}

/*
 * The change lock
 */

void
IvfLockChanges(const IvfIndex *index, LOCKMODE mode)
{
	LockPage(index->rel, ANN_METAPAGE_BLKNO, mode);
}

bool
IvfTryLockChanges(const IvfIndex *index)
{
	return ConditionalLockPage(index->rel, ANN_METAPAGE_BLKNO, ExclusiveLock);
}

void
IvfUnlockChanges(const IvfIndex *index, LOCKMODE mode)
{
	UnlockPage(index->rel, ANN_METAPAGE_BLKNO, mode);
}

/*
 * Items
 */

/* An item of a locked page, of that size at least; NULL if there is none. */
static inline void *
get_item(const IvfIndex *index, Buffer buf, OffsetNumber offset, Size least, Size *size)
{
	Page		page = BufferGetPage(buf);
	ItemId		id;

	if (AnnPageIsUnused(page) || offset < FirstOffsetNumber || offset > PageGetMaxOffsetNumber(page))
		return NULL;

	id = PageGetItemId(page, offset);
	if (!ItemIdIsNormal(id))
		return NULL;

	*size = ItemIdGetLength(id);
	if (ItemIdGetOffset(id) < SizeOfPageHeaderData || *size < least ||
		ItemIdGetOffset(id) != MAXALIGN(ItemIdGetOffset(id)) ||
		ItemIdGetOffset(id) + *size > BLCKSZ - MAXALIGN(sizeof(AnnPageOpaqueData)))
		AnnCorrupted(index->rel, BufferGetBlockNumber(buf), "An item is cut off, or outside its page");
	return PageGetItem(page, id);
}

IvfCentre
IvfGetCentre(const IvfIndex *index, Buffer buf, OffsetNumber offset)
{
	Size		size;

	return get_item(index, buf, offset, index->centre_size, &size);
}

int
IvfGetCentres(const IvfIndex *index, Buffer buf, const IvfCentreData **centres, OffsetNumber *offsets)
{
	OffsetNumber count = PageGetMaxOffsetNumber(BufferGetPage(buf));
	int			n = 0;

	if (count > index->centres_per_page)
		AnnCorrupted(index->rel, BufferGetBlockNumber(buf), "A page has too many centres");

	for (OffsetNumber offset = FirstOffsetNumber; offset <= count; offset++)
	{
		Size		size;

		centres[n] = get_item(index, buf, offset, index->centre_size, &size);
		offsets[n] = offset;
		n += centres[n] != NULL;
	}
	return n;
}

IvfSegment
IvfGetSegment(const IvfIndex *index, Buffer buf, OffsetNumber offset, int *capacity)
{
	Size		size;
	IvfSegment	segment = get_item(index, buf, offset, IvfSegmentSize(index->row_size, 1), &size);

	if (segment == NULL)
		return NULL;

	*capacity = IvfSegmentCapacity(index->row_size, size);
	if (segment->count > *capacity)
		AnnCorrupted(index->rel, BufferGetBlockNumber(buf), "A segment has more rows than room for them");
	return segment;
}

void *
IvfEditItem(AnnEdit *edit, Buffer buf, OffsetNumber offset)
{
	Page		page = AnnEditPage(edit, buf);

	return PageGetItem(page, PageGetItemId(page, offset));
}

OffsetNumber
IvfAddItem(const IvfIndex *index, AnnEdit *edit, Buffer buf, uint16 kind, void *item, Size size)
{
	Page		page = AnnEditPage(edit, buf);
	OffsetNumber offset;

	if (AnnPageIsUnused(page))
		AnnInitPage(page, kind);
	offset = PageAddItem(page, (Item) item, size, InvalidOffsetNumber, false, false);
	if (offset == InvalidOffsetNumber)
		elog(ERROR, "could not add an item to block %u of index \"%s\"",
			 BufferGetBlockNumber(buf), RelationGetRelationName(index->rel));
	return offset;
}

void
IvfDeleteItem(AnnEdit *edit, Buffer buf, OffsetNumber offset)
{
	Page		page = AnnEditPage(edit, buf);

	PageIndexTupleDeleteNoCompact(page, offset);
	PageSetHasFreeLinePointers(page);

	/* A segment may need all of a page. */
	while (PageGetMaxOffsetNumber(page) > 0 &&
		   !ItemIdIsUsed(PageGetItemId(page, PageGetMaxOffsetNumber(page))))
		((PageHeader) page)->pd_lower -= sizeof(ItemIdData);
}

bool
IvfReadSegment(IvfIndex *index, const ItemPointerData *at, uint32 list, int lockmode,
			   Buffer *buf, IvfSegment *segment, int *capacity)
{
	BlockNumber blkno = ItemPointerGetBlockNumberNoCheck(at);

	/* The size of the index costs a system call. */
	if (blkno >= index->nblocks)
		index->nblocks = RelationGetNumberOfBlocks(index->rel);
	if (blkno == ANN_METAPAGE_BLKNO || blkno >= index->nblocks)
		AnnCorrupted(index->rel, blkno, "A link leads to a block that has no segments");

	*buf = AnnReadBuffer(index->rel, blkno, IVF_PAGE_LISTS, NULL, lockmode);
	*segment = IvfGetSegment(index, *buf, ItemPointerGetOffsetNumberNoCheck(at), capacity);
	if (*segment != NULL && (*segment)->list == list)
		return true;
	UnlockReleaseBuffer(*buf);
	return false;
}

void
IvfWalkBegin(IvfWalk *walk, IvfIndex *index, uint32 list, ItemPointerData first, bool stable)
{
	walk->index = index;
	walk->list = list;
	walk->stable = stable;
	walk->count = 0;
	walk->next = first;
	walk->gone = false;
}

/* Has the walk come to more segments than there can be? */
static bool
in_circle(IvfWalk *walk)
{
	IvfIndex   *index = walk->index;
	int			per_page = ANN_PAGE_ROOM / IvfSegmentSize(index->row_size, 1) + 1;

	if (++walk->count <= (uint64) index->nblocks * per_page)
		return false;
	index->nblocks = RelationGetNumberOfBlocks(index->rel);
	return walk->count > (uint64) index->nblocks * per_page;
}

bool
IvfWalkNext(IvfWalk *walk, int lockmode)
{
	CHECK_FOR_INTERRUPTS();
	if (!ItemPointerIsValid(&walk->next))
		return false;

	walk->at = walk->next;
	walk->gone = !IvfReadSegment(walk->index, &walk->at, walk->list, lockmode,
								 &walk->buf, &walk->segment, &walk->capacity);
	if ((walk->gone && walk->stable) || in_circle(walk))
		AnnCorrupted(walk->index->rel, ItemPointerGetBlockNumberNoCheck(&walk->at),
					 "The segments of a list are not a chain");
	if (walk->gone)
		return false;

	walk->next = walk->segment->next;
	return true;
}

/*
 * Writes rows to one segment, with room for more, in front of *first, which it
 * becomes.
 */
static void
write_segment(IvfIndex *index, uint32 list, const IvfRow *rows, int n, int capacity,
			  ItemPointerData *first)
{
	Size		size = IvfSegmentSize(index->row_size, capacity);
	IvfSegment	segment = palloc0(size);
	BlockNumber none = InvalidBlockNumber;
	BlockNumber *target = capacity == index->rows_per_page ? &none : &index->target;
	Buffer		buf;
	OffsetNumber offset;
	AnnEdit		edit;

	segment->list = list;
	segment->next = *first;
	segment->count = n;
	for (int i = 0; i < n; i++)
		memcpy(IvfSegmentRow(segment, index->row_size, i), rows[i], index->row_size);

	buf = AnnAllocate(index->rel, IVF_PAGE_LISTS, MAXALIGN(size) + sizeof(ItemIdData), target);
	AnnEditBegin(&edit, index->rel, index->building);
	offset = IvfAddItem(index, &edit, buf, IVF_PAGE_LISTS, segment, size);
	ItemPointerSet(first, BufferGetBlockNumber(buf), offset);
	AnnEditCommit(&edit);
	AnnPoint("ivfflat W5");
	pfree(segment);
}

/* Full pages first: inserts find what is on the last. */
void
IvfWriteRows(IvfIndex *index, uint32 list, const IvfRow *rows, int n, ItemPointerData *first)
{
	int			room = index->building ? 0 : n;

	for (int i = 0; i < n; i += index->rows_per_page)
	{
		int			count = Min(n - i, index->rows_per_page);

		CHECK_FOR_INTERRUPTS();
		write_segment(index, list, rows + i, count, Min(count + room, index->rows_per_page), first);
	}
}
