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

#include "am/am_recent.h"
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

Size
IvfCodedSize(const AnnSpace *space)
{
	return offsetof(IvfRowData, data) + offsetof(IvfCodeData, levels) +
		AnnRabitqCodeSize(space->rotated_dim, space->bits);
}

/* Where in a row its value is, or the place of that, after the code. */
static Size
value_offset(const AnnSpace *space)
{
	return space->bits > 0 ? IvfCodedSize(space) : INTALIGN(offsetof(IvfRowData, data));
}

static Size
value_size(const AnnSpace *space, bool stored)
{
	if (space->bits == 0)
		return space->code_size;
	return stored ? sizeof(ItemPointerData) : 0;
}

static Size
row_size(const AnnSpace *space, bool stored)
{
	Size		size = value_offset(space) + value_size(space, stored);

	/* Of what is in a code, nothing is aligned. */
	return space->bits > 0 ? SHORTALIGN(size) : INTALIGN(size);
}

bool
IvfRowFits(const AnnSpace *space, bool stored)
{
	return IvfSegmentSize(row_size(space, stored), 1) <= ANN_MAX_ITEM_SIZE;
}

/* All of an index that follows from its space. */
static void
init_index(IvfIndex *index, Relation rel, const AnnSpace *space, bool stored)
{
	int			dim = space->rotated_dim;

	memset(index, 0, sizeof(IvfIndex));
	index->rel = rel;
	index->space = *space;
	index->bits = space->bits;
	index->centre_bits = choose_centre_bits(space);
	index->centre_size = offsetof(IvfCentreData, levels) + AnnRabitqCodeSize(dim, index->centre_bits);
	index->stored = stored;
	index->value_offset = value_offset(space);
	index->value_size = value_size(space, stored);
	index->row_size = row_size(space, stored);
	index->centres_per_page = ANN_PAGE_ROOM / (MAXALIGN(index->centre_size) + sizeof(ItemIdData));
	index->rows_per_page = IvfSegmentCapacity(index->row_size, ANN_MAX_ITEM_SIZE);
	index->target = InvalidBlockNumber;
	index->scratch = palloc(sizeof(float) * 2 * dim);
	AnnStoreInit(&index->store, rel, &index->space, false);
}

void
IvfPrepare(IvfIndex *index, Relation rel, const AnnSpace *space, bool stored)
{
	init_index(index, rel, space, stored);
	index->building = true;

	/* What was cached is that of the index before a TRUNCATE. */
	AnnForgetCache(rel);
}

/* Opens the space; an error if the metapage does not agree with it. */
static void
open_space(AnnSpace *space, Relation rel, const IvfMetaPageData *meta)
{
	/* ALTER TABLE may take the column's dimensions away, but not change them. */
	int			typmod = TupleDescAttr(rel->rd_att, 0)->atttypmod;

	if ((typmod < 0 || typmod == meta->dim) && meta->bits <= 8 && meta->stored <= 1 &&
		meta->dim >= 1 && meta->dim <= ANN_MAX_QUANTIZED_DIM)
	{
		AnnSpaceOpen(space, rel, meta->dim, meta->bits, 0);
		if (meta->centre_bits == choose_centre_bits(space) && IvfRowFits(space, meta->stored) &&
			(meta->bits > 0 || (meta->dim <= space->metric->max_dim && !meta->stored)))
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
	IvfTargets	targets;
	AnnSpace	space;

	if (!IvfRecall(rel, &meta, &targets))
	{
		read_meta(rel, &meta);
		targets.lists = targets.values = InvalidBlockNumber;
		open_space(&space, rel, &meta);
		IvfRemember(rel, &meta);
	}

	AnnSpaceOpen(&space, rel, meta.dim, meta.bits, 0);
	init_index(index, rel, &space, meta.stored);
	index->nblocks = RelationGetNumberOfBlocks(rel);
	index->target = targets.lists;
	index->store.target = targets.values;
}

void
IvfReadMeta(const IvfIndex *index, IvfMetaPageData *meta)
{
	read_meta(index->rel, meta);
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
	bool		damaged;
	void	   *item = AnnPageGetItem(BufferGetPage(buf), offset, least, size, &damaged);

	if (damaged)
		AnnCorrupted(index->rel, BufferGetBlockNumber(buf), "An item is cut off, or outside its page");
	return item;
}

IvfCentre
IvfGetCentre(const IvfIndex *index, Buffer buf, OffsetNumber offset)
{
	Size		size;

	return get_item(index, buf, offset, index->centre_size, &size);
}

IvfCentre
IvfLockCentre(IvfIndex *index, const IvfList *list, int lockmode, Buffer *buf)
{
	IvfCentre	centre;

	if (!IvfReadPage(index, list->blkno, IVF_PAGE_CENTRES, lockmode, buf))
		return NULL;
	centre = IvfGetCentre(index, *buf, list->offset);
	if (centre != NULL && centre->list == list->number)
		return centre;
	UnlockReleaseBuffer(*buf);
	return NULL;
}

bool
IvfCopyCentre(IvfIndex *index, const IvfList *list, IvfCentre copy)
{
	Buffer		buf;
	IvfCentre	centre = IvfLockCentre(index, list, BUFFER_LOCK_SHARE, &buf);

	if (centre == NULL)
		return false;
	memcpy(copy, centre, index->centre_size);
	UnlockReleaseBuffer(buf);
	return true;
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

bool
IvfReadPage(IvfIndex *index, BlockNumber blkno, uint16 kind, int lockmode, Buffer *buf)
{
	Page		page;

	/* The size of the index costs a system call. */
	if (blkno >= index->nblocks)
		index->nblocks = RelationGetNumberOfBlocks(index->rel);
	if (blkno == ANN_METAPAGE_BLKNO || blkno >= index->nblocks)
		AnnCorrupted(index->rel, blkno, "A link leads to a block that cannot be what is looked for");

	*buf = AnnReadRecent(index->rel, blkno);
	LockBuffer(*buf, lockmode);
	page = BufferGetPage(*buf);
	if (AnnPageIs(page, kind))
		return true;
	if (!AnnPageIsUnused(page) && !AnnPageIs(page, ANN_PAGE_VALUES) && !AnnPageIs(page, IVF_PAGE_LISTS))
		AnnCheckPage(index->rel, *buf, kind);
	UnlockReleaseBuffer(*buf);
	return false;
}

bool
IvfReadSegment(IvfIndex *index, const ItemPointerData *at, uint32 list, int lockmode,
			   Buffer *buf, IvfSegment *segment, int *capacity)
{
	if (!IvfReadPage(index, ItemPointerGetBlockNumberNoCheck(at), IVF_PAGE_LISTS, lockmode, buf))
		return false;
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
	walk->back = false;
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

	/* Then to those that have come since we heard of the first. */
	if (!ItemPointerIsValid(&walk->next) && !walk->stable && !walk->back && walk->count > 0)
	{
		walk->back = true;
		walk->next = walk->previous;
	}
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

	if (walk->count == 1)
		walk->previous = walk->segment->previous;
	walk->next = walk->back ? walk->segment->previous : walk->segment->next;
	return true;
}

/*
 * Writes rows to one segment, with room for more, in front of *first, which it
 * becomes.
 */
static void
write_segment(IvfIndex *index, uint32 list, const IvfRow *rows, int n, int came, int capacity,
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
	ItemPointerSetInvalid(&segment->previous);
	segment->count = n;
	IvfSegmentAddCame(segment, came);
	for (int i = 0; i < n; i++)
		memcpy(IvfSegmentRow(segment, index->row_size, i), rows[i], index->row_size);

	buf = AnnAllocate(index->rel, IVF_PAGE_LISTS, MAXALIGN(size) + sizeof(ItemIdData), target);
	AnnEditBegin(&edit, index->rel, index->building);
	offset = AnnEditAddItem(&edit, buf, IVF_PAGE_LISTS, segment, size);
	ItemPointerSet(first, BufferGetBlockNumber(buf), offset);
	AnnEditCommit(&edit);
	AnnPoint("ivfflat W5");
	pfree(segment);
}

/*
 * How many rows a segment with n has room for: so many more, unless fewer such
 * segments would fit a page.
 */
static int
choose_capacity(const IvfIndex *index, int n, int room)
{
	int			per_page = ANN_PAGE_ROOM / (MAXALIGN(IvfSegmentSize(index->row_size, n)) + sizeof(ItemIdData));
	Size		most = MAXALIGN_DOWN(ANN_PAGE_ROOM / per_page - sizeof(ItemIdData));

	return Min(n + room, IvfSegmentCapacity(index->row_size, most));
}

/* Full pages first: inserts find what is on the last. */
void
IvfWriteRows(IvfIndex *index, uint32 list, const IvfRow *rows, int n, int came, int room,
			 ItemPointerData *first)
{
	for (int i = 0; i < n; i += index->rows_per_page)
	{
		int			count = Min(n - i, index->rows_per_page);

		CHECK_FOR_INTERRUPTS();
		write_segment(index, list, rows + i, count, i == 0 ? came : 0,
					  choose_capacity(index, count, room), first);
	}
}
