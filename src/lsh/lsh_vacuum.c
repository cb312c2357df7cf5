/*
 * lsh_vacuum.c
 *	  Removing dead rows: README.md section 8.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/index.h"
#include "commands/vacuum.h"
#include "storage/indexfsm.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/rel.h"

#include "am/am_visited.h"
#include "compat.h"
#include "lsh/lsh.h"

typedef struct LshVacuum
{
	LshIndex	index;
	IndexBulkDeleteResult *stats;
	IndexBulkDeleteCallback callback;
	void	   *arg;
} LshVacuum;

/* Collects the live rows of a leaf, and damaged ones; returns how many. */
static int
find_live(LshVacuum *vacuum, LshNode node, int count, int *live)
{
	int			n = 0;

	for (int i = 0; i < count; i++)
	{
		ItemPointer tid = &LshNodeRow(&vacuum->index, node, i)->place.tid;

		if (!ItemPointerIsValid(tid) || !vacuum->callback(tid, vacuum->arg))
			live[n++] = i;
	}
	return n;
}

/* Removes the dead rows of a leaf, which is locked, and unlocked here; returns how many are left. */
static int
vacuum_leaf(LshVacuum *vacuum, int table, Buffer buf, int count)
{
	LshIndex   *index = &vacuum->index;
	int			live[LSH_MAX_ENTRIES];
	int			n = find_live(vacuum, LshPageNode(BufferGetPage(buf)), count, live);
	AnnEdit		edit;
	Page		page;

	/* Rows are in all tables; they are counted in one. */
	if (table == 0)
	{
		vacuum->stats->num_index_tuples += n;
		vacuum->stats->tuples_removed += count - n;
	}

	if (n == count)
	{
		UnlockReleaseBuffer(buf);
		return n;
	}

	AnnEditBegin(&edit, index->rel, false);
	page = AnnEditPage(&edit, buf);
	for (int i = 0; i < n; i++)
		memmove(LshNodeRow(index, LshPageNode(page), i),
				LshNodeRow(index, LshPageNode(page), live[i]), index->row_size);
	LshPageSetCount(page, index->row_size, n);
	AnnEditCommit(&edit);
	AnnPoint("lsh W6");
	return n;
}

/*
 * Unlinking
 */

/* The parent of the leaf that a place belongs to, locked. */
static Buffer
find_parent(LshIndex *index, int table, const LshPlace *place, int *count)
{
	Buffer		buf = LshReadRoot(index, table, BUFFER_LOCK_EXCLUSIVE, count);
	LshNode		node = LshPageNode(BufferGetPage(buf));

	while (node->level > 1)
	{
		BlockNumber child = LshNodeDownlink(node, LshFindDownlink(node, *count, place))->child;
		int			level = node->level - 1;

		UnlockReleaseBuffer(buf);
		buf = LshReadNode(index, child, table, level, BUFFER_LOCK_EXCLUSIVE, count);
		if (!BufferIsValid(buf))
			AnnCorrupted(index->rel, child, "The page is not the node that its parent takes it for");
		node = LshPageNode(BufferGetPage(buf));
	}
	return buf;
}

/*
 * How many rows two leaves may have that become one; inserts are not to split it
 * at once.
 */
static int
most_to_join(const LshIndex *index)
{
	return index->leaf_rows * 2 / 3;
}

/* Gives the range of a leaf, and its rows, to its left sibling; all pages are unlocked here. */
static void
unlink_leaf(LshIndex *index, Buffer parent_buf, int count, int slot, Buffer left_buf, Buffer buf)
{
	BlockNumber blkno = BufferGetBlockNumber(buf);
	AnnEdit		edit;
	Page		parent_page;
	Page		left_page;
	Page		page;
	LshNode		left;
	LshDownlink *downlink;
	int			left_rows;
	int			rows;

	AnnEditBegin(&edit, index->rel, false);
	parent_page = AnnEditPage(&edit, parent_buf);
	left_page = AnnEditPage(&edit, left_buf);
	page = AnnEditPage(&edit, buf);

	left = LshPageNode(left_page);
	left_rows = LshPageCount(left_page, index->row_size);
	rows = LshPageCount(page, index->row_size);
	memcpy(LshNodeRow(index, left, left_rows), LshNodeRow(index, LshPageNode(page), 0),
		   index->row_size * rows);
	LshPageSetCount(left_page, index->row_size, left_rows + rows);

	left->right = LshPageNode(page)->right;
	left->high = LshPageNode(page)->high;
	downlink = LshNodeDownlink(LshPageNode(parent_page), slot);
	memmove(downlink, downlink + 1, sizeof(LshDownlink) * (count - slot - 1));
	LshPageSetCount(parent_page, sizeof(LshDownlink), count - 1);
	AnnInitPage(page, ANN_PAGE_FREE);
	AnnEditCommit(&edit);
	AnnPoint("lsh W7");

	RecordFreeIndexPage(index->rel, blkno);
}

/*
 * Unlinks a leaf that had few rows when last looked at, none of them dead, and
 * begins at a place, if it still has and can be.
 */
static void
try_to_unlink(LshVacuum *vacuum, int table, BlockNumber blkno, const LshPlace *place)
{
	LshIndex   *index = &vacuum->index;
	int			parent_count;
	Buffer		parent_buf;
	LshNode		parent;
	int			slot;
	int			left_count;
	int			count;
	Buffer		left_buf;
	Buffer		buf;

	LockPage(index->rel, LshRoot(table), ExclusiveLock);
	parent_buf = find_parent(index, table, place, &parent_count);
	parent = LshPageNode(BufferGetPage(parent_buf));
	slot = LshFindDownlink(parent, parent_count, place);

	/* The range of the first could only go to a child of another. */
	if (slot == 0 || LshNodeDownlink(parent, slot)->child != blkno)
		UnlockReleaseBuffer(parent_buf);
	else
	{
		BlockNumber left = LshNodeDownlink(parent, slot - 1)->child;

		left_buf = LshReadNode(index, left, table, 0, BUFFER_LOCK_EXCLUSIVE, &left_count);
		if (!BufferIsValid(left_buf) || LshPageNode(BufferGetPage(left_buf))->right != blkno)
			AnnCorrupted(index->rel, left, "The page is not the node that its parent takes it for");
		buf = LshReadNode(index, blkno, table, 0, BUFFER_LOCK_EXCLUSIVE, &count);
		if (!BufferIsValid(buf))
			AnnCorrupted(index->rel, blkno, "The page is not the node that its parent takes it for");

		if (count == 0 || left_count + count <= most_to_join(index))
		{
			unlink_leaf(index, parent_buf, parent_count, slot, left_buf, buf);
			vacuum->stats->pages_newly_deleted++;
		}
		else
		{
			UnlockReleaseBuffer(buf);
			UnlockReleaseBuffer(left_buf);
			UnlockReleaseBuffer(parent_buf);
		}
	}
	UnlockPage(index->rel, LshRoot(table), ExclusiveLock);
}

/*
 * Tells the free space map of pages that are in no tree: it is not logged, and
 * a crash may have lost them.
 */
static void
record_free_pages(LshVacuum *vacuum, AnnVisited *leaves, BlockNumber nblocks)
{
	Relation	rel = vacuum->index.rel;

	vacuum->stats->pages_free = vacuum->stats->pages_deleted = 0;
	for (BlockNumber blkno = ANN_METAPAGE_BLKNO + 1; blkno < nblocks; blkno++)
	{
		Buffer		buf;

		if (AnnVisitedHas(leaves, blkno))
			continue;
		AnnVacuumDelayPoint();
		buf = ReadBufferExtended(rel, MAIN_FORKNUM, blkno, RBM_NORMAL, vacuum->index.strategy);
		LockBuffer(buf, BUFFER_LOCK_SHARE);
		if (AnnPageIsUnused(BufferGetPage(buf)))
		{
			RecordFreeIndexPage(rel, blkno);
			vacuum->stats->pages_free++;
			vacuum->stats->pages_deleted++;
		}
		UnlockReleaseBuffer(buf);
	}
}

IndexBulkDeleteResult *
lshbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
			  IndexBulkDeleteCallback callback, void *arg)
{
	LshVacuum	vacuum = {.stats = stats,.callback = callback,.arg = arg};
	BlockNumber nblocks = RelationGetNumberOfBlocks(info->index);
	AnnVisited	leaves;

	if (stats == NULL)
		vacuum.stats = palloc0(sizeof(IndexBulkDeleteResult));
	vacuum.stats->num_index_tuples = 0;
	LshOpen(&vacuum.index, info->index);
	vacuum.index.strategy = info->strategy;
	AnnVisitedInit(&leaves, 1024);

	for (int table = 0; table < vacuum.index.hash.tables; table++)
	{
		LshWalk		walk;
		int			count;
		int			left = vacuum.index.leaf_rows;	/* rows of the leaf before */

		LshWalkBegin(&walk, &vacuum.index, table);
		while (LshWalkNext(&walk, BUFFER_LOCK_EXCLUSIVE, &count))
		{
			BlockNumber blkno = BufferGetBlockNumber(walk.buf);
			int			live = vacuum_leaf(&vacuum, table, walk.buf, count);

			AnnVisitedAdd(&leaves, blkno);
			if (live == 0 || left + live <= most_to_join(&vacuum.index))
			{
				try_to_unlink(&vacuum, table, blkno, &walk.from);
				live += left;
			}
			left = live;
			AnnVacuumDelayPoint();
		}
	}
	record_free_pages(&vacuum, &leaves, nblocks);
	pfree(leaves.slots);
	return vacuum.stats;
}

/*
 * Measures an index anew that has grown.  What other sessions have cached they learn to
 * be old when we commit; until then they go on with it.
 */
static void
recalibrate(Relation rel, BufferAccessStrategy strategy)
{
	LshIndex	index;
	LshSample	sample;
	Relation	heap;

	LshOpen(&index, rel);
	if (!LshHasGrown(&index))
		return;

	heap = table_open(rel->rd_index->indrelid, AccessShareLock);
	sample.space = index.space;
	LshDrawQueries(&sample, heap, rel, BuildIndexInfo(rel));
	LshCalibrate(heap, rel, &sample, false, strategy);
	table_close(heap, AccessShareLock);
	CacheInvalidateRelcache(rel);
}

IndexBulkDeleteResult *
lshvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	if (info->analyze_only)
		return stats;

	recalibrate(info->index, info->strategy);

	/* Without a bulk deletion there is nothing to report. */
	if (stats == NULL)
		return NULL;

	IndexFreeSpaceMapVacuum(info->index);
	stats->num_pages = RelationGetNumberOfBlocks(info->index);
	return stats;
}
