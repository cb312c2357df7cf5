/*
 * ivfflat_check.c
 *	  The verifier: README.md section 3, invariant by invariant.
 *
 * Holds the change lock shared, so that lists are not replaced meanwhile; rows
 * are still inserted.  First it walks all lists and remembers their segments,
 * then it reads all pages and looks for what it has not met.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/rel.h"

#include "am/am_tids.h"
#include "ivfflat/ivfflat.h"

/* A list as its centre says. */
typedef struct SeenList
{
	uint32		list;
	ItemPointerData first;
	BlockNumber blkno;
	OffsetNumber offset;
	char		status;
} SeenList;

#define SH_PREFIX lists
#define SH_ELEMENT_TYPE SeenList
#define SH_KEY_TYPE uint32
#define SH_KEY list
#define SH_HASH_KEY(tb, key) murmurhash32(key)
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct IvfVerifier
{
	IvfIndex	index;
	AnnCheck   *check;
	IvfMetaPageData meta;
	BlockNumber nblocks;		/* at the beginning */
	lists_hash *lists;
	ann_tids_hash  *segments;		/* places of those in chains */
	AnnVisited	centre_pages;	/* and those of groups */
	PGAlignedBlock page;		/* a copy of the one being checked */
} IvfVerifier;

/* Copies a page; false if it is not of that kind, or was never written. */
static bool
copy_page(IvfVerifier *verifier, BlockNumber blkno, uint16 kind)
{
	Page		page = (Page) verifier->page.data;
	Buffer		buf;

	CHECK_FOR_INTERRUPTS();
	/* Lists that we walk may have come to pages that inserts have added since. */
	if (blkno == ANN_METAPAGE_BLKNO ||
		(blkno >= verifier->nblocks && blkno >= RelationGetNumberOfBlocks(verifier->index.rel)))
		return false;

	buf = ReadBuffer(verifier->index.rel, blkno);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	memcpy(page, BufferGetPage(buf), BLCKSZ);
	UnlockReleaseBuffer(buf);

	return AnnPageIs(page, kind);
}

/* An item of the copy, of that size at least; NULL if it is free or damaged. */
static void *
get_item(IvfVerifier *verifier, OffsetNumber offset, Size least, Size *size, bool *damaged)
{
	return AnnPageGetItem((Page) verifier->page.data, offset, least, size, damaged);
}

/*
 * Lists
 */

static void
check_centre(IvfVerifier *verifier, BlockNumber blkno, OffsetNumber offset)
{
	Size		size;
	bool		damaged;
	bool		found;
	IvfCentre	centre = get_item(verifier, offset, verifier->index.centre_size, &size, &damaged);
	SeenList   *list;

	if (damaged || (centre != NULL && size != verifier->index.centre_size))
		AnnCheckReport(verifier->check, "I2", blkno, offset, "the size of a centre is wrong");
	if (centre == NULL)
		return;

	list = lists_insert(verifier->lists, centre->list, &found);
	if (found)
	{
		AnnCheckReport(verifier->check, "I3", blkno, offset, "list %u has another centre", centre->list);
		return;
	}
	list->first = centre->first;
	list->blkno = blkno;
	list->offset = offset;

	if (centre->list >= verifier->meta.next_list)
		AnnCheckReport(verifier->check, "I1", blkno, offset,
					   "list %u is not below the next number, %u", centre->list, verifier->meta.next_list);
	if (!(centre->norm2 >= 0) || !(centre->scale >= 0))
		AnnCheckReport(verifier->check, "I7", blkno, offset, "the code of a centre is damaged");
}

/* Checks the page of a group. */
static void
check_group(IvfVerifier *verifier, BlockNumber blkno)
{
	if (!AnnVisitedAdd(&verifier->centre_pages, blkno) || !copy_page(verifier, blkno, IVF_PAGE_CENTRES))
	{
		AnnCheckReport(verifier->check, "I3", blkno, InvalidOffsetNumber,
					   "a group leads here, which is no page of centres, or another's");
		return;
	}
	for (OffsetNumber offset = FirstOffsetNumber;
		 offset <= PageGetMaxOffsetNumber((Page) verifier->page.data); offset++)
		check_centre(verifier, blkno, offset);
}

/* Walks the chain of group pages. */
static void
check_groups(IvfVerifier *verifier)
{
	Page		page = (Page) verifier->page.data;
	BlockNumber blkno = verifier->meta.first_groups;

	while (blkno != InvalidBlockNumber)
	{
		BlockNumber next;
		BlockNumber blocks[MaxOffsetNumber];
		int			n = 0;

		if (!AnnVisitedAdd(&verifier->centre_pages, blkno) ||
			!copy_page(verifier, blkno, IVF_PAGE_GROUPS))
		{
			AnnCheckReport(verifier->check, "I3", blkno, InvalidOffsetNumber,
						   "the chain of group pages is broken here");
			break;
		}
		for (OffsetNumber offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(page); offset++)
		{
			Size		size;
			bool		damaged;
			IvfCentre	group = get_item(verifier, offset, verifier->index.centre_size, &size, &damaged);

			if (damaged || (group != NULL && size != verifier->index.centre_size))
				AnnCheckReport(verifier->check, "I2", blkno, offset, "the size of a group is wrong");
			if (group == NULL)
				continue;
			if (!(group->norm2 >= 0) || !(group->scale >= 0))
				AnnCheckReport(verifier->check, "I7", blkno, offset, "the code of a group is damaged");
			blocks[n++] = ItemPointerGetBlockNumberNoCheck(&group->first);
		}
		next = AnnPageGetOpaque(page)->next;
		for (int i = 0; i < n; i++)
			check_group(verifier, blocks[i]);
		blkno = next;
	}

	if (verifier->lists->members != verifier->meta.lists)
		AnnCheckReport(verifier->check, "I1", ANN_METAPAGE_BLKNO, InvalidOffsetNumber,
					   "there are %u lists, not %u", verifier->lists->members, verifier->meta.lists);
}

/*
 * Walks the chain of a list from its first segment, and remembers the segments;
 * false if it comes to what is no segment of the list, or in a circle.
 */
static bool
walk_list(IvfVerifier *verifier, uint32 list, ItemPointerData at)
{
	ItemPointerData before;

	ItemPointerSetInvalid(&before);
	while (ItemPointerIsValid(&at))
	{
		BlockNumber blkno = ItemPointerGetBlockNumberNoCheck(&at);
		OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&at);
		IvfSegment	segment = NULL;
		bool		damaged;
		Size		size;

		if (copy_page(verifier, blkno, IVF_PAGE_LISTS))
			segment = get_item(verifier, offset, IvfSegmentSize(verifier->index.row_size, 1), &size, &damaged);
		if (segment == NULL || segment->list != list)
			return false;
		if (ItemPointerIsValid(&segment->previous) && ItemPointerCompare(&segment->previous, &before) != 0)
			return false;
		if (!AnnTidsAdd(verifier->segments, &at))
			return false;
		before = at;
		at = segment->next;
	}
	return true;
}

static void
check_chains(IvfVerifier *verifier)
{
	lists_iterator iterator;
	SeenList   *list;

	lists_start_iterate(verifier->lists, &iterator);
	while ((list = lists_iterate(verifier->lists, &iterator)) != NULL)
		if (!walk_list(verifier, list->list, list->first))
			AnnCheckReport(verifier->check, "I4", list->blkno, list->offset,
						   "the segments of list %u are not a chain", list->list);
}

/*
 * Pages
 */

static void
check_row(IvfVerifier *verifier, BlockNumber blkno, OffsetNumber offset, IvfRow row)
{
	AnnPlace	place = IvfRowPlace(&verifier->index, row);

	if (!IvfRowValid(&verifier->index, row))
		AnnCheckReport(verifier->check, "I7", blkno, offset, "the code of a row is damaged");

	if (verifier->index.stored && !AnnStoreSound(&verifier->index.store, &place, NULL))
		AnnCheckReport(verifier->check, "I9", blkno, offset, "the value of a row is not where it should be");

	if (!AnnCheckTid(verifier->check, &row->tid) && verifier->meta.taker == 0)
		AnnCheckReport(verifier->check, "I8", blkno, offset, "heap TID (%u,%u) occurs twice",
					   ItemPointerGetBlockNumberNoCheck(&row->tid),
					   ItemPointerGetOffsetNumberNoCheck(&row->tid));
}

/* Has a segment come to its list since we walked it? */
static bool
is_new(IvfVerifier *verifier, uint32 list, const ItemPointerData *at)
{
	SeenList   *seen = lists_lookup(verifier->lists, list);
	PGAlignedBlock saved = verifier->page;
	IvfCentre	centre = NULL;
	ann_tids_hash  *segments = verifier->segments;
	bool		damaged;
	bool		result;
	Size		size;

	if (copy_page(verifier, seen->blkno, IVF_PAGE_CENTRES))
		centre = get_item(verifier, seen->offset, verifier->index.centre_size, &size, &damaged);
	verifier->segments = ann_tids_create(CurrentMemoryContext, 64, NULL);
	result = centre != NULL && walk_list(verifier, list, centre->first) &&
		AnnTidsHave(verifier->segments, at);
	ann_tids_destroy(verifier->segments);
	verifier->segments = segments;
	verifier->page = saved;
	return result;
}

static void
check_segment(IvfVerifier *verifier, BlockNumber blkno, OffsetNumber offset)
{
	Size		row_size = verifier->index.row_size;
	Size		size;
	bool		damaged;
	IvfSegment	segment = get_item(verifier, offset, IvfSegmentSize(row_size, 1), &size, &damaged);
	ItemPointerData at;

	if (damaged)
		AnnCheckReport(verifier->check, "I2", blkno, offset, "the size of a segment is wrong");
	if (segment == NULL)
		return;

	if (segment->count > IvfSegmentCapacity(row_size, size))
	{
		AnnCheckReport(verifier->check, "I6", blkno, offset, "a segment has more rows than room for them");
		return;
	}

	/* left by a change that was interrupted */
	if (lists_lookup(verifier->lists, segment->list) == NULL)
		return;

	ItemPointerSet(&at, blkno, offset);
	if (!AnnTidsHave(verifier->segments, &at) && !is_new(verifier, segment->list, &at))
		AnnCheckReport(verifier->check, "I5", blkno, offset, "list %u does not lead to its segment", segment->list);

	for (int i = 0; i < segment->count; i++)
		check_row(verifier, blkno, offset, IvfSegmentRow(segment, row_size, i));
}

/* Values whose rows are gone are no damage: an insert was interrupted. */
static void
check_values(IvfVerifier *verifier, BlockNumber blkno)
{
	for (OffsetNumber offset = FirstOffsetNumber;
		 offset <= PageGetMaxOffsetNumber((Page) verifier->page.data); offset++)
	{
		Size		size;
		bool		damaged;

		get_item(verifier, offset, sizeof(AnnStoredData) + 1, &size, &damaged);
		if (damaged)
			AnnCheckReport(verifier->check, "I2", blkno, offset, "the size of a value is wrong");
	}
}

static void
check_page(IvfVerifier *verifier, BlockNumber blkno)
{
	Page		page = (Page) verifier->page.data;

	if (copy_page(verifier, blkno, IVF_PAGE_LISTS))
	{
		for (OffsetNumber offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(page); offset++)
			check_segment(verifier, blkno, offset);
		return;
	}
	if (copy_page(verifier, blkno, ANN_PAGE_VALUES))
	{
		check_values(verifier, blkno);
		return;
	}

	if (AnnPageIsUnused(page) || AnnVisitedHas(&verifier->centre_pages, blkno))
		return;
	if (copy_page(verifier, blkno, IVF_PAGE_CENTRES) || copy_page(verifier, blkno, IVF_PAGE_GROUPS))
		AnnCheckReport(verifier->check, "I3", blkno, InvalidOffsetNumber,
					   "no group leads to this page of centres, or no chain to this page of groups");
	else
		AnnCheckReport(verifier->check, "I2", blkno, InvalidOffsetNumber, "the page is of no known kind");
}

void
IvfCheckIndex(Relation rel, AnnCheck *check)
{
	IvfVerifier *verifier = palloc0(sizeof(IvfVerifier));

	verifier->check = check;
	IvfOpen(&verifier->index, rel);
	verifier->lists = lists_create(CurrentMemoryContext, 256, NULL);
	verifier->segments = ann_tids_create(CurrentMemoryContext, 256, NULL);
	AnnVisitedInit(&verifier->centre_pages, 64);

	IvfLockChanges(&verifier->index, ShareLock);
	verifier->nblocks = RelationGetNumberOfBlocks(rel);
	IvfReadMeta(&verifier->index, &verifier->meta);
	check_groups(verifier);
	check_chains(verifier);
	for (BlockNumber blkno = ANN_METAPAGE_BLKNO + 1; blkno < verifier->nblocks; blkno++)
		check_page(verifier, blkno);
	IvfUnlockChanges(&verifier->index, ShareLock);

	ann_tids_destroy(verifier->segments);
	lists_destroy(verifier->lists);
	pfree(verifier);
}
