/*
 * hnsw_vacuum.c
 *	  Removing dead rows: README.md section 8.
 */
#include "postgres.h"

#include "commands/vacuum.h"
#include "miscadmin.h"
#include "storage/freespace.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "am/am_edit.h"
#include "am/am_point.h"
#include "am/am_visited.h"
#include "compat.h"
#include "hnsw/hnsw.h"

typedef struct HnswVacuum
{
	HnswIndex	index;
	IndexBulkDeleteResult *stats;
	IndexBulkDeleteCallback callback;
	void	   *arg;
	BufferAccessStrategy strategy;
	BlockNumber nblocks;		/* pages added later have no dead rows */
	MemoryContext page_context; /* reset after each page */

	/* Dead elements of this round, and the blocks they are on. */
	AnnVisited	dead;
	AnnVisited	dead_blocks;

	/* The highest live node seen, should the entry point die. */
	HnswNode	highest;
	int			highest_level;
} HnswVacuum;

/*
 * Locks the page of an item along with that of its element, which is locked.
 * Two such pairs may be the same pages the other way round, so this never waits
 * while holding the first: if it would have to, it lets go of both, waits, and
 * returns false, for the caller to begin again.
 */
static bool
lock_too(HnswIndex *index, Buffer element_buf, HnswItem item, Buffer *buf)
{
	*buf = element_buf;
	if (HnswItemBlock(index, item) == BufferGetBlockNumber(element_buf))
		return true;

	*buf = HnswPinItemPage(index, item);
	if (ConditionalLockBuffer(*buf))
	{
		AnnCheckPage(index->rel, *buf, HNSW_PAGE_ITEMS);
		return true;
	}

	UnlockReleaseBuffer(element_buf);
	LockBuffer(*buf, BUFFER_LOCK_SHARE);
	UnlockReleaseBuffer(*buf);
	return false;
}

static bool
is_dead_tid(HnswVacuum *vacuum, ItemPointer tid)
{
	return ItemPointerIsValid(tid) && vacuum->callback(tid, vacuum->arg);
}

/*
 * Removes an item from a page of an Edit.  The numbers of others stay, and its
 * own may be used again.
 */
static void
delete_item(HnswIndex *index, Page page, HnswItem item)
{
	PageIndexTupleDeleteNoCompact(page, HnswItemOffset(index, item));
	PageSetHasFreeLinePointers(page);
	AnnRecordFreeSpace(index->rel, HnswItemBlock(index, item), AnnPageRoom(page));
}

static void
note_dead(HnswVacuum *vacuum, HnswNode node)
{
	AnnVisitedAdd(&vacuum->dead, node);
	AnnVisitedAdd(&vacuum->dead_blocks, HnswItemBlock(&vacuum->index, node));
}

static void
note_live(HnswVacuum *vacuum, HnswNode node, int level)
{
	if (level > vacuum->highest_level)
	{
		vacuum->highest = node;
		vacuum->highest_level = level;
	}
}

/*
 * Pass 1: mark
 */

/* Removes dead TIDs from one postings item; returns the next one's number. */
static HnswItem
vacuum_postings(HnswVacuum *vacuum, HnswItem item)
{
	HnswIndex  *index = &vacuum->index;
	Buffer		buf = HnswReadItemPage(index, item, BUFFER_LOCK_EXCLUSIVE);
	int			capacity;
	HnswPostings postings = HnswGetPostings(index, BufferGetPage(buf), item, &capacity);
	ItemPointerData *live;
	HnswItem	next;
	int			n = 0;
	AnnEdit		edit;

	if (postings == NULL)
		AnnCorrupted(index->rel, HnswItemBlock(index, item), "Heap TIDs of a node are missing");

	next = postings->next;
	live = palloc(sizeof(ItemPointerData) * (postings->count + 1));
	for (int i = 0; i < postings->count; i++)
		if (!is_dead_tid(vacuum, &postings->tids[i]))
			live[n++] = postings->tids[i];

	vacuum->stats->tuples_removed += postings->count - n;
	vacuum->stats->num_index_tuples += n;

	if (n == postings->count)
		UnlockReleaseBuffer(buf);
	else
	{
		AnnEditBegin(&edit, index->rel, false);
		postings = HnswGetPostings(index, AnnEditPage(&edit, buf), item, &capacity);
		memcpy(postings->tids, live, sizeof(ItemPointerData) * n);
		postings->count = n;
		AnnEditCommit(&edit);
		AnnPoint("hnsw W6");
	}
	pfree(live);
	return next;
}

/*
 * Removes the first postings of an element if they are empty; if that leaves it
 * without any TID, the element is dead.  Returns whether there may be more to
 * remove.
 */
static bool
drop_first_postings(HnswVacuum *vacuum, HnswNode node)
{
	HnswIndex  *index = &vacuum->index;
	Buffer		buf = HnswReadItemPage(index, node, BUFFER_LOCK_EXCLUSIVE);
	HnswElement element = HnswGetElement(index, BufferGetPage(buf), node);
	HnswItem	item = element == NULL ? HNSW_NO_ITEM : element->postings;
	Buffer		other;
	HnswPostings postings;
	HnswItem	next;
	int			capacity;
	AnnEdit		edit;

	if (item == HNSW_NO_ITEM)
	{
		UnlockReleaseBuffer(buf);
		return false;
	}

	if (!lock_too(index, buf, item, &other))
		return true;
	postings = HnswGetPostings(index, BufferGetPage(other), item, &capacity);
	if (postings == NULL)
		AnnCorrupted(index->rel, HnswItemBlock(index, item), "Heap TIDs of a node are missing");

	if (postings->count > 0)
	{
		note_live(vacuum, node, element->level);
		if (other != buf)
			UnlockReleaseBuffer(other);
		UnlockReleaseBuffer(buf);
		return false;
	}

	next = postings->next;
	AnnEditBegin(&edit, index->rel, false);
	delete_item(index, AnnEditPage(&edit, other), item);
	element = HnswGetElement(index, AnnEditPage(&edit, buf), node);
	element->postings = next;
	if (next == HNSW_NO_ITEM && !ItemPointerIsValid(&element->tid))
	{
		element->flags |= HNSW_DEAD;
		note_dead(vacuum, node);
	}
	else if (next == HNSW_NO_ITEM)
		note_live(vacuum, node, element->level);
	AnnEditCommit(&edit);
	AnnPoint("hnsw W6");
	return next != HNSW_NO_ITEM;
}

/*
 * Looks at the elements of a locked page: does one of them have a dead TID of
 * its own?
 */
static bool
has_dead_tids(HnswVacuum *vacuum, Page page, BlockNumber blkno)
{
	HnswIndex  *index = &vacuum->index;
	int			count = HnswCountItems(page);

	for (OffsetNumber offset = FirstOffsetNumber; offset <= count; offset++)
	{
		HnswElement element = HnswGetElement(index, page, HnswItemNumber(index, blkno, offset));

		if (element != NULL && is_dead_tid(vacuum, &element->tid))
			return true;
	}
	return false;
}

/*
 * Removes dead TIDs from the elements of a page, and makes dead those that have
 * no other.  The page may be an Edit's.
 */
static void
remove_dead_tids(HnswVacuum *vacuum, Page page, BlockNumber blkno)
{
	HnswIndex  *index = &vacuum->index;
	int			count = HnswCountItems(page);

	for (OffsetNumber offset = FirstOffsetNumber; offset <= count; offset++)
	{
		HnswElement element = HnswGetElement(index, page, HnswItemNumber(index, blkno, offset));

		if (element != NULL && is_dead_tid(vacuum, &element->tid))
		{
			ItemPointerSetInvalid(&element->tid);
			if (element->postings == HNSW_NO_ITEM)
				element->flags |= HNSW_DEAD;
			vacuum->stats->tuples_removed++;
		}
	}
}

/*
 * Notes the dead and the live elements of a locked page, and collects those
 * that have postings; returns how many of these there are.
 */
static int
note_elements(HnswVacuum *vacuum, Page page, BlockNumber blkno, HnswNode *with_postings,
			  HnswItem *postings)
{
	HnswIndex  *index = &vacuum->index;
	int			count = HnswCountItems(page);
	int			n = 0;

	for (OffsetNumber offset = FirstOffsetNumber; offset <= count; offset++)
	{
		HnswNode	node = HnswItemNumber(index, blkno, offset);
		HnswElement element = HnswGetElement(index, page, node);

		if (element == NULL)
			continue;
		if (ItemPointerIsValid(&element->tid))
		{
			vacuum->stats->num_index_tuples++;
			note_live(vacuum, node, element->level);
		}
		if (element->postings != HNSW_NO_ITEM)
		{
			with_postings[n] = node;
			postings[n++] = element->postings;
		}
		else if (element->flags & HNSW_DEAD)
			note_dead(vacuum, node);
	}
	return n;
}

static void
mark_page(HnswVacuum *vacuum, BlockNumber blkno)
{
	HnswIndex  *index = &vacuum->index;
	HnswNode	nodes[MaxOffsetNumber];
	HnswItem	postings[MaxOffsetNumber];
	Buffer		buf = HnswReadPage(index, blkno, vacuum->strategy, BUFFER_LOCK_SHARE);
	int			n;

	/* Values go with their nodes, when it is known which are dead. */
	if (HnswHasValues(index, BufferGetPage(buf)))
	{
		UnlockReleaseBuffer(buf);
		return;
	}

	if (has_dead_tids(vacuum, BufferGetPage(buf), blkno))
	{
		AnnEdit		edit;

		LockBuffer(buf, BUFFER_LOCK_UNLOCK);
		LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
		AnnEditBegin(&edit, index->rel, false);
		remove_dead_tids(vacuum, AnnEditPage(&edit, buf), blkno);
		AnnEditCommit(&edit);
		AnnPoint("hnsw W6");
		buf = HnswReadPage(index, blkno, vacuum->strategy, BUFFER_LOCK_SHARE);
	}
	n = note_elements(vacuum, BufferGetPage(buf), blkno, nodes, postings);
	AnnRecordFreeSpace(index->rel, blkno, AnnPageRoom(BufferGetPage(buf)));
	UnlockReleaseBuffer(buf);

	for (int i = 0; i < n; i++)
	{
		uint64		most = (uint64) index->nblocks * index->slots;

		for (HnswItem item = postings[i]; item != HNSW_NO_ITEM; item = vacuum_postings(vacuum, item))
		{
			CHECK_FOR_INTERRUPTS();
			if (most-- == 0)
				AnnCorrupted(index->rel, blkno, "Heap TIDs of a node are in a circle");
		}
		while (drop_first_postings(vacuum, nodes[i]))
			CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Marks dead elements from a page on, until memory for them is used up; returns
 * the page to go on with.
 */
static BlockNumber
mark(HnswVacuum *vacuum, BlockNumber blkno)
{
	do
	{
		AnnVacuumDelayPoint();
		mark_page(vacuum, blkno++);
		MemoryContextReset(vacuum->page_context);
	} while (blkno < vacuum->nblocks &&
			 AnnVisitedMemory(&vacuum->dead) < (Size) maintenance_work_mem * 1024 / 4);
	return blkno;
}

/*
 * Pass 2: wait, and replace the entry point
 */

/* Any live element at all. */
static HnswNode
find_live(HnswVacuum *vacuum, int *level)
{
	HnswIndex  *index = &vacuum->index;
	BlockNumber nblocks = RelationGetNumberOfBlocks(index->rel);
	HnswNode	found = HNSW_NO_ITEM;

	for (BlockNumber blkno = ANN_METAPAGE_BLKNO + 1; blkno < nblocks && found == HNSW_NO_ITEM; blkno++)
	{
		Buffer		buf = HnswReadPage(index, blkno, vacuum->strategy, BUFFER_LOCK_SHARE);
		Page		page = BufferGetPage(buf);
		int			count = HnswCountItems(page);

		for (OffsetNumber offset = FirstOffsetNumber; offset <= count; offset++)
		{
			HnswNode	node = HnswItemNumber(index, blkno, offset);
			HnswElement element = HnswGetElement(index, page, node);

			if (element != NULL && !(element->flags & HNSW_DEAD))
			{
				found = node;
				*level = element->level;
				break;
			}
		}
		UnlockReleaseBuffer(buf);
		CHECK_FOR_INTERRUPTS();
	}
	return found;
}

static void
wait_for_inserts(HnswVacuum *vacuum)
{
	HnswIndex  *index = &vacuum->index;
	HnswNode	entry;
	int			level;

	HnswLockGraph(index, true);
	if (HnswReadEntry(index, &entry, &level) && AnnVisitedHas(&vacuum->dead, entry))
	{
		entry = vacuum->highest;
		level = vacuum->highest_level;
		if (entry == HNSW_NO_ITEM)
			entry = find_live(vacuum, &level);
		HnswWriteEntry(index, entry, entry == HNSW_NO_ITEM ? 0 : level);
		AnnPoint("hnsw W8");
	}
	HnswUnlockGraph(index, true);
}

/*
 * Pass 4: free
 */

/* Links of an element, on a locked page, must be its own, and named once. */
static void
check_links(const HnswIndex *index, Page page, HnswNode node, HnswElement element, int i)
{
	HnswItem	item = element->links[i];
	HnswLinks	links = HnswGetLinks(index, page, item);
	bool		own = links != NULL && links->owner == node;

	for (int j = 0; j < i; j++)
		own &= element->links[j] != item;
	if (!own)
		AnnCorrupted(index->rel, HnswItemBlock(index, item), "The links of a node are missing");
}

/*
 * Removes a dead element, or first one of its links that are on other pages;
 * true if there is nothing more to do.
 */
static bool
free_node(HnswVacuum *vacuum, HnswNode node)
{
	HnswIndex  *index = &vacuum->index;
	const HnswShape *shape = &index->shape;
	Buffer		buf = HnswReadItemPage(index, node, BUFFER_LOCK_EXCLUSIVE);
	HnswElement element = HnswGetElement(index, BufferGetPage(buf), node);
	int			nlinks;
	int			there = -1;		/* links elsewhere */
	Buffer		other = buf;
	AnnEdit		edit;
	Page		page;

	if (element == NULL || !(element->flags & HNSW_DEAD))
	{
		UnlockReleaseBuffer(buf);
		return true;
	}

	nlinks = HnswCountLinks(shape, element->level);
	for (int i = 0; i < nlinks; i++)
		if (element->links[i] != HNSW_NO_ITEM &&
			HnswItemBlock(index, element->links[i]) != HnswItemBlock(index, node))
			there = i;
	if (there >= 0 && !lock_too(index, buf, element->links[there], &other))
		return false;

	for (int i = 0; i < nlinks; i++)
		if (element->links[i] != HNSW_NO_ITEM && (there < 0 || i == there))
			check_links(index, BufferGetPage(other), node, element, i);

	AnnEditBegin(&edit, index->rel, false);
	page = AnnEditPage(&edit, buf);
	element = HnswGetElement(index, page, node);
	if (there >= 0)
	{
		delete_item(index, AnnEditPage(&edit, other), element->links[there]);
		element->links[there] = HNSW_NO_ITEM;
	}
	else
	{
		HnswItem	items[(HNSW_MAX_LEVEL + 1) * HNSW_MAX_PARTS];

		memcpy(items, element->links, nlinks * sizeof(HnswItem));
		delete_item(index, page, node);
		for (int i = 0; i < nlinks; i++)
			if (items[i] != HNSW_NO_ITEM)
				delete_item(index, page, items[i]);
	}
	AnnEditCommit(&edit);
	AnnPoint(there < 0 ? "hnsw W10" : "hnsw W9");
	return there < 0;
}

static void
free_page(HnswVacuum *vacuum, BlockNumber blkno)
{
	HnswIndex  *index = &vacuum->index;

	for (OffsetNumber offset = FirstOffsetNumber; offset - FirstOffsetNumber < index->slots; offset++)
	{
		HnswNode	node = HnswItemNumber(index, blkno, offset);

		if (AnnVisitedHas(&vacuum->dead, node))
			while (!free_node(vacuum, node))
				CHECK_FOR_INTERRUPTS();
	}
}

static void
free_dead(HnswVacuum *vacuum)
{
	for (BlockNumber blkno = ANN_METAPAGE_BLKNO + 1; blkno < vacuum->nblocks; blkno++)
		if (AnnVisitedHas(&vacuum->dead_blocks, blkno))
		{
			AnnVacuumDelayPoint();
			free_page(vacuum, blkno);
		}
}

IndexBulkDeleteResult *
hnswbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
			   IndexBulkDeleteCallback callback, void *arg)
{
	HnswVacuum *vacuum = palloc(sizeof(HnswVacuum));
	BlockNumber next = ANN_METAPAGE_BLKNO + 1;
	MemoryContext oldcontext;

	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));
	stats->num_index_tuples = 0;

	HnswOpen(&vacuum->index, info->index);
	vacuum->stats = stats;
	vacuum->callback = callback;
	vacuum->arg = arg;
	vacuum->strategy = info->strategy;
	vacuum->nblocks = RelationGetNumberOfBlocks(info->index);
	vacuum->page_context = AllocSetContextCreate(CurrentMemoryContext, "hnsw vacuum",
												 ALLOCSET_DEFAULT_SIZES);
	vacuum->highest = HNSW_NO_ITEM;
	vacuum->highest_level = -1;

	while (next < vacuum->nblocks)
	{
		AnnVisitedInit(&vacuum->dead, 1024);
		AnnVisitedInit(&vacuum->dead_blocks, 1024);

		oldcontext = MemoryContextSwitchTo(vacuum->page_context);
		next = mark(vacuum, next);
		MemoryContextSwitchTo(oldcontext);
		if (vacuum->dead.count > 0)
		{
			wait_for_inserts(vacuum);
			HnswRepair(&vacuum->index, &vacuum->dead, vacuum->strategy);
			free_dead(vacuum);
		}
		pfree(vacuum->dead.slots);
		pfree(vacuum->dead_blocks.slots);
	}

	MemoryContextDelete(vacuum->page_context);
	pfree(vacuum);
	return stats;
}

IndexBulkDeleteResult *
hnswvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	if (info->analyze_only)
		return stats;

	/* Without a bulk deletion there is nothing to report, and nothing to do. */
	if (stats == NULL)
		return NULL;

	FreeSpaceMapVacuum(info->index);
	stats->num_pages = RelationGetNumberOfBlocks(info->index);
	return stats;
}
