/*
 * hnsw_info.c
 *	  What ann_index_info says of an hnsw index.
 *
 * Reads all pages once to count what is on them; and then those with nodes that
 * have been reached from the entry point, in rounds, until no round reaches more.
 * So the graph is walked in the order of its pages, with a few bits of memory per
 * item.  What inserts and VACUUM do meanwhile shows or does not.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "hnsw/hnsw.h"

typedef struct Survey
{
	HnswIndex	index;
	BlockNumber nblocks;
	BufferAccessStrategy strategy;
	PGAlignedBlock page;		/* a copy of the one being looked at */

	int64		rows;
	int64		nodes;			/* live */
	int64		dead;
	int64		by_level[HNSW_MAX_LEVEL + 1];
	int64		links;			/* on level 0 */
	int64		value_pages;
	int64		unused_pages;
	int64		free_bytes;

	/* Of items: have they been reached, and what they link to? */
	uint8	   *reached;
	uint8	   *expanded;
	/* Of pages: nodes that were reached, and not expanded. */
	uint16	   *pending;
	int64		reached_live;
} Survey;

static inline bool
test_bit(const uint8 *bits, HnswItem i)
{
	return (bits[i / 8] >> (i % 8)) & 1;
}

static inline void
set_bit(uint8 *bits, HnswItem i)
{
	bits[i / 8] |= 1 << (i % 8);
}

/* Copies a page; returns the number of its items. */
static int
copy_page(Survey *survey, BlockNumber blkno)
{
	Buffer		buf;

	CHECK_FOR_INTERRUPTS();
	buf = HnswReadPage(&survey->index, blkno, survey->strategy, BUFFER_LOCK_SHARE);
	memcpy(survey->page.data, BufferGetPage(buf), BLCKSZ);
	UnlockReleaseBuffer(buf);

	return HnswCountItems((Page) survey->page.data);
}

/*
 * Counting
 */

static void
count_item(Survey *survey, HnswItem item)
{
	HnswIndex  *index = &survey->index;
	Page		page = (Page) survey->page.data;
	HnswElement element = HnswGetElement(index, page, item);
	HnswLinks	links;
	HnswPostings postings;
	int			capacity;

	if (element != NULL)
	{
		if (element->flags & HNSW_DEAD)
		{
			survey->dead++;
			return;
		}
		survey->nodes++;
		survey->by_level[element->level]++;
		survey->rows += ItemPointerIsValid(&element->tid);
	}
	else if ((links = HnswGetLinks(index, page, item)) != NULL)
		survey->links += links->level == 0 ? links->count : 0;
	else if ((postings = HnswGetPostings(index, page, item, &capacity)) != NULL)
		survey->rows += postings->count;
}

static void
count_pages(Survey *survey)
{
	for (BlockNumber blkno = ANN_METAPAGE_BLKNO + 1; blkno < survey->nblocks; blkno++)
	{
		int			count = copy_page(survey, blkno);
		bool		values = HnswHasValues(&survey->index, (Page) survey->page.data);

		for (OffsetNumber offset = FirstOffsetNumber; offset <= count; offset++)
			count_item(survey, HnswItemNumber(&survey->index, blkno, offset));
		survey->value_pages += values;
		survey->unused_pages += count == 0 && !values;
		survey->free_bytes += AnnPageRoom((Page) survey->page.data);
	}
}

/*
 * Reaching
 */

static void
reach(Survey *survey, HnswNode node)
{
	BlockNumber blkno = HnswItemBlock(&survey->index, node);

	/* Pages have come since. */
	if (blkno >= survey->nblocks || test_bit(survey->reached, node))
		return;
	set_bit(survey->reached, node);
	survey->pending[blkno]++;
}

/* Reaches what an item of a node's links names; it is in the copy, or elsewhere. */
static void
follow_links(Survey *survey, HnswNode node, HnswItem item)
{
	HnswIndex  *index = &survey->index;
	bool		beside = HnswItemBlock(index, item) == HnswItemBlock(index, node);
	HnswLinks	links = beside ? HnswGetLinks(index, (Page) survey->page.data, item) :
		HnswReadLinks(index, item, node);

	if (links != NULL && links->owner == node)
		for (int i = 0; i < links->count; i++)
			reach(survey, HnswViewLinks(links).nodes[i]);
	if (links != NULL && !beside)
		pfree(links);
}

static void
expand(Survey *survey, HnswNode node)
{
	const HnswShape *shape = &survey->index.shape;
	HnswElement element = HnswGetElement(&survey->index, (Page) survey->page.data, node);

	set_bit(survey->expanded, node);
	survey->pending[HnswItemBlock(&survey->index, node)]--;
	if (element == NULL)
		return;

	survey->reached_live += !(element->flags & HNSW_DEAD);
	for (int i = 0; i < HnswCountLinks(shape, element->level); i++)
		if (element->links[i] != HNSW_NO_ITEM)
			follow_links(survey, node, element->links[i]);
}

/* Looks at all pages where something is pending; false if there is none. */
static bool
walk_round(Survey *survey)
{
	bool		found = false;

	for (BlockNumber blkno = ANN_METAPAGE_BLKNO + 1; blkno < survey->nblocks; blkno++)
	{
		if (survey->pending[blkno] == 0)
			continue;
		found = true;
		copy_page(survey, blkno);
		for (uint32 slot = 0; slot < survey->index.slots; slot++)
		{
			HnswNode	node = HnswItemNumber(&survey->index, blkno, slot + FirstOffsetNumber);

			if (test_bit(survey->reached, node) && !test_bit(survey->expanded, node))
				expand(survey, node);
		}
	}
	return found;
}

static void
walk_graph(Survey *survey, HnswNode entry)
{
	Size		bytes = ((Size) survey->nblocks * survey->index.slots + 7) / 8;

	survey->reached = palloc_extended(bytes, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	survey->expanded = palloc_extended(bytes, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	survey->pending = palloc_extended(sizeof(uint16) * (Size) survey->nblocks,
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	reach(survey, entry);
	while (walk_round(survey))
		;
	pfree(survey->reached);
	pfree(survey->expanded);
	pfree(survey->pending);
}

static const char *
layout_name(const HnswIndex *index)
{
	return index->shape.near_size > 0 ? "fast" :
		index->space.bits > 0 ? "compact" : "full precision";
}

void
HnswInfo(Relation rel, AnnInfo *info)
{
	Survey	   *survey = palloc0(sizeof(Survey));
	HnswIndex  *index = &survey->index;
	HnswNode	entry;
	int			level;
	bool		has_entry;

	HnswOpen(index, rel);
	survey->nblocks = info->nblocks;
	survey->strategy = GetAccessStrategy(BAS_BULKREAD);
	count_pages(survey);
	has_entry = HnswReadEntry(index, &entry, &level);
	if (has_entry)
		walk_graph(survey, entry);
	FreeAccessStrategy(survey->strategy);

	info->dim = index->space.dim;
	info->bits = index->space.bits;
	info->rows = survey->rows;
	AnnInfoAdd(info, "layout", "%s", layout_name(index));
	AnnInfoAdd(info, "neighbor_bits", "%d", index->space.near_bits);
	AnnInfoAdd(info, "m", "%d", index->shape.m);
	AnnInfoAdd(info, "ef_construction", "%d", index->ef_construction);
	AnnInfoAdd(info, "centre", "%s", index->space.centre != NULL ? "true" : "false");
	AnnInfoAdd(info, "nodes", INT64_FORMAT, survey->nodes);
	AnnInfoAdd(info, "dead_nodes", INT64_FORMAT, survey->dead);
	AnnInfoAdd(info, "unreachable_nodes", INT64_FORMAT, Max(survey->nodes - survey->reached_live, 0));
	AnnInfoAddArray(info, "nodes_by_level", survey->by_level, has_entry ? level + 1 : 0);
	AnnInfoAdd(info, "links_per_node", "%.1f", (double) survey->links / Max(survey->nodes, 1));
	if (has_entry)
		AnnInfoAdd(info, "entry_point", "(%u,%u)", HnswItemBlock(index, entry),
				   HnswItemOffset(index, entry));
	AnnInfoAdd(info, "item_pages", INT64_FORMAT,
			   (int64) survey->nblocks - 1 - survey->value_pages - survey->unused_pages);
	AnnInfoAdd(info, "value_pages", INT64_FORMAT, survey->value_pages);
	AnnInfoAdd(info, "unused_pages", INT64_FORMAT, survey->unused_pages);
	AnnInfoAdd(info, "free_bytes", INT64_FORMAT, survey->free_bytes);
	pfree(survey);
}
