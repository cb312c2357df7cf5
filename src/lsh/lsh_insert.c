/*
 * lsh_insert.c
 *	  Adding a row to the trees, and splitting their nodes: README.md section 5.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/indexfsm.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "lsh/lsh.h"

/*
 * A page for a new node, locked: a free one, or one more.  Does not wait for
 * the lock of a page that somebody else uses.
 */
static Buffer
new_page(LshIndex *index)
{
	BlockNumber blkno;

	while ((blkno = GetFreeIndexPage(index->rel)) != InvalidBlockNumber)
	{
		Buffer		buf = ReadBuffer(index->rel, blkno);

		/* What the free space map says is a proposal. */
		if (ConditionalLockBuffer(buf))
		{
			if (AnnPageIsUnused(BufferGetPage(buf)))
				return buf;
			LockBuffer(buf, BUFFER_LOCK_UNLOCK);
		}
		ReleaseBuffer(buf);
	}
	return AnnExtend(index->rel, MAIN_FORKNUM);
}

/* Adds a row to a locked leaf that has room; unlocks it. */
static void
add_row(LshIndex *index, Buffer buf, int count, LshRow row)
{
	AnnEdit		edit;
	Page		page;

	AnnEditBegin(&edit, index->rel, false);
	page = AnnEditPage(&edit, buf);
	memcpy(LshNodeRow(index, LshPageNode(page), count), row, index->row_size);
	LshPageSetCount(page, index->row_size, count + 1);
	AnnEditCommit(&edit);
	AnnPoint("lsh W2");
}

/*
 * Splitting
 */

/*
 * Entries of a node that is being split, or of two leaves that share theirs, in
 * order: both kinds begin with a place.
 */
typedef struct Split
{
	Size		entry_size;
	int			count;
	LshPlace  **entries;
	int			middle;			/* the first that goes right */
	LshPlace	low;			/* of what goes right */
} Split;

static int
compare_entries(const void *a, const void *b)
{
	return LshPlaceCompare(*(LshPlace *const *) a, *(LshPlace *const *) b);
}

/*
 * Where to split rows: in the middle third, where keys differ in the earliest
 * digit; so leaves tend to be ranges of whole prefixes.  Both have room left.
 */
static int
choose_middle(const LshIndex *index, const Split *split)
{
	int			first = Max(split->count / 3, split->count - index->leaf_fill);
	int			last = split->count - first;
	int			best = split->count / 2;
	int			best_digit = LSH_KEY_BITS;

	for (int i = Max(first, 1); i <= Min(last, split->count - 1); i++)
	{
		uint32		differ = split->entries[i - 1]->key ^ split->entries[i]->key;
		int			digit = LSH_KEY_BITS;

		if (differ != 0)
			digit = (LSH_KEY_BITS - 1 - pg_leftmost_one_pos32(differ)) / index->hash.digit_bits;
		if (digit < best_digit ||
			(digit == best_digit && abs(2 * i - split->count) < abs(2 * best - split->count)))
		{
			best = i;
			best_digit = digit;
		}
	}
	return best;
}

/* Adds copies of the entries of a node. */
static void
copy_entries(Split *split, Page page)
{
	int			count = LshPageCount(page, split->entry_size);
	char	   *copies = palloc(split->entry_size * count);

	memcpy(copies, LshPageNode(page)->entries, split->entry_size * count);
	for (int i = 0; i < count; i++)
		split->entries[split->count++] = (LshPlace *) (copies + split->entry_size * i);
}

/*
 * Gets the entries of a node, perhaps those of its right sibling, and perhaps a
 * new row, ready to be split.
 */
static void
prepare_split(Split *split, const LshIndex *index, Page page, Page sibling, LshRow row)
{
	bool		leaf = LshPageNode(page)->level == 0;

	split->entry_size = LshEntrySize(index, LshPageNode(page));
	split->count = 0;
	split->entries = palloc(sizeof(LshPlace *) * (2 * LSH_MAX_ENTRIES + 1));
	copy_entries(split, page);
	if (sibling != NULL)
		copy_entries(split, sibling);
	if (row != NULL)
		split->entries[split->count++] = &row->place;
	if (leaf)
		qsort(split->entries, split->count, sizeof(LshPlace *), compare_entries);
	split->middle = leaf ? choose_middle(index, split) : split->count / 2;
	split->low = *split->entries[split->middle];
	split->low.error = 0;
}

/* Makes entries from one to before another all that a node has. */
static void
set_entries(Page page, const Split *split, int from, int to)
{
	LshNode		node = LshPageNode(page);

	for (int i = from; i < to; i++)
		memcpy(LshNodeEntry(node, split->entry_size, i - from), split->entries[i], split->entry_size);
	LshPageSetCount(page, split->entry_size, to - from);
}

/* Adds a downlink to a node that has room, behind the first so many. */
static void
add_downlink(Page page, int count, int behind, const LshPlace *low, BlockNumber child)
{
	LshNode		node = LshPageNode(page);
	LshDownlink *downlink = LshNodeDownlink(node, behind);

	memmove(downlink + 1, downlink, sizeof(LshDownlink) * (count - behind));
	downlink->low = *low;
	downlink->child = child;
	LshPageSetCount(page, sizeof(LshDownlink), count + 1);
}

/*
 * Splits a node that its parent's slot-th downlink names, with a row added to
 * it if it is a leaf.  Both are locked, and unlocked here; the parent has room.
 */
static void
split_node(LshIndex *index, Buffer parent_buf, int slot, Buffer buf, LshRow row)
{
	int			parent_count = LshPageCount(BufferGetPage(parent_buf), sizeof(LshDownlink));
	Buffer		right_buf = new_page(index);
	Split		split;
	AnnEdit		edit;
	Page		parent_page;
	Page		page;
	Page		right_page;
	LshNode		node;
	LshNode		right;

	prepare_split(&split, index, BufferGetPage(buf), NULL, row);

	AnnEditBegin(&edit, index->rel, false);
	parent_page = AnnEditPage(&edit, parent_buf);
	page = AnnEditPage(&edit, buf);
	right_page = AnnEditPage(&edit, right_buf);
	node = LshPageNode(page);
	right = LshPageNode(right_page);

	LshInitNode(right_page, node->table, node->level, &split.low);
	right->right = node->right;
	right->high = node->high;
	set_entries(right_page, &split, split.middle, split.count);

	node->right = BufferGetBlockNumber(right_buf);
	node->high = right->low;
	set_entries(page, &split, 0, split.middle);

	add_downlink(parent_page, parent_count, slot + 1, &right->low, node->right);
	AnnEditCommit(&edit);
	AnnPoint(row != NULL ? "lsh W3" : "lsh W4");
	AnnSessionCounters(RelationGetRelid(index->rel))->splits++;
}

/*
 * The right sibling of a full leaf that its parent's slot-th downlink names,
 * locked, if it has room enough to share the rows of both; or InvalidBuffer.
 */
static Buffer
find_room(LshIndex *index, Buffer parent_buf, int parent_count, int slot, LshNode node)
{
	LshNode		parent = LshPageNode(BufferGetPage(parent_buf));
	Buffer		buf;
	int			count;

	if (slot + 1 == parent_count)
		return InvalidBuffer;
	if (node->right != LshNodeDownlink(parent, slot + 1)->child)
		AnnCorrupted(index->rel, BufferGetBlockNumber(parent_buf), "Downlinks and siblings do not agree");

	buf = LshReadNode(index, node->right, node->table, 0, BUFFER_LOCK_EXCLUSIVE, &count);
	if (!BufferIsValid(buf))
		AnnCorrupted(index->rel, node->right, "The page is not the node that its parent takes it for");
	if (index->leaf_rows + 1 + count <= 2 * index->leaf_fill)
		return buf;
	UnlockReleaseBuffer(buf);
	return InvalidBuffer;
}

/*
 * Shares the rows of a full leaf, and one more, with its right sibling.  These and
 * the parent are locked, and unlocked here.
 */
static void
share_rows(LshIndex *index, Buffer parent_buf, int slot, Buffer buf, Buffer right_buf, LshRow row)
{
	Split		split;
	AnnEdit		edit;
	Page		parent_page;
	Page		page;
	Page		right_page;

	prepare_split(&split, index, BufferGetPage(buf), BufferGetPage(right_buf), row);

	AnnEditBegin(&edit, index->rel, false);
	parent_page = AnnEditPage(&edit, parent_buf);
	page = AnnEditPage(&edit, buf);
	right_page = AnnEditPage(&edit, right_buf);

	LshNodeDownlink(LshPageNode(parent_page), slot + 1)->low = split.low;
	LshPageNode(page)->high = split.low;
	LshPageNode(right_page)->low = split.low;
	set_entries(page, &split, 0, split.middle);
	set_entries(right_page, &split, split.middle, split.count);
	AnnEditCommit(&edit);
	AnnPoint("lsh W8");
}

/*
 * Moves what a root has to two new nodes.  The root is locked, and unlocked
 * here.
 */
static void
split_root(LshIndex *index, Buffer buf)
{
	Buffer		left_buf = new_page(index);
	Buffer		right_buf = new_page(index);
	Split		split;
	AnnEdit		edit;
	Page		page;
	Page		left_page;
	Page		right_page;
	LshNode		root;
	LshNode		left;

	prepare_split(&split, index, BufferGetPage(buf), NULL, NULL);

	AnnEditBegin(&edit, index->rel, false);
	page = AnnEditPage(&edit, buf);
	left_page = AnnEditPage(&edit, left_buf);
	right_page = AnnEditPage(&edit, right_buf);
	root = LshPageNode(page);
	left = LshPageNode(left_page);

	LshInitNode(left_page, root->table, root->level, &root->low);
	LshInitNode(right_page, root->table, root->level, &split.low);
	left->right = BufferGetBlockNumber(right_buf);
	left->high = LshPageNode(right_page)->low;
	set_entries(left_page, &split, 0, split.middle);
	set_entries(right_page, &split, split.middle, split.count);

	root->level++;
	LshPageSetCount(page, sizeof(LshDownlink), 0);
	add_downlink(page, 0, 0, &left->low, BufferGetBlockNumber(left_buf));
	add_downlink(page, 1, 1, &left->high, left->right);
	AnnEditCommit(&edit);
	AnnPoint("lsh W5");
}

/*
 * Adds a row to a table that is locked, so that nobody else changes its shape,
 * or makes room and returns false.
 */
static bool
add_row_or_split(LshIndex *index, int table, LshRow row)
{
	int			parent_count;
	Buffer		parent_buf = LshReadRoot(index, table, BUFFER_LOCK_EXCLUSIVE, &parent_count);

	if (parent_count == LSH_MAX_ENTRIES)
	{
		split_root(index, parent_buf);
		return false;
	}

	for (;;)
	{
		LshNode		parent = LshPageNode(BufferGetPage(parent_buf));
		int			slot = LshFindDownlink(parent, parent_count, &row->place);
		BlockNumber child = LshNodeDownlink(parent, slot)->child;
		int			count;
		Buffer		buf = LshReadNode(index, child, table, parent->level - 1,
									  BUFFER_LOCK_EXCLUSIVE, &count);
		LshNode		node;

		if (!BufferIsValid(buf))
			AnnCorrupted(index->rel, child, "The page is not the node that its parent takes it for");
		node = LshPageNode(BufferGetPage(buf));

		if (count == LshNodeCapacity(index, node))
		{
			bool		leaf = node->level == 0;
			Buffer		right_buf = leaf ?
				find_room(index, parent_buf, parent_count, slot, node) : InvalidBuffer;

			if (BufferIsValid(right_buf))
				share_rows(index, parent_buf, slot, buf, right_buf, row);
			else
				split_node(index, parent_buf, slot, buf, leaf ? row : NULL);
			return leaf;
		}

		UnlockReleaseBuffer(parent_buf);
		if (node->level == 0)
		{
			add_row(index, buf, count, row);
			return true;
		}
		parent_buf = buf;
		parent_count = count;
	}
}

static void
insert_row(LshIndex *index, int table, LshRow row)
{
	int			count;
	Buffer		buf = LshFindLeaf(index, table, &row->place, BUFFER_LOCK_EXCLUSIVE, &count);

	if (count < index->leaf_rows)
	{
		add_row(index, buf, count, row);
		return;
	}

	UnlockReleaseBuffer(buf);
	LockPage(index->rel, LshRoot(table), ExclusiveLock);
	while (!add_row_or_split(index, table, row))
		CHECK_FOR_INTERRUPTS();
	UnlockPage(index->rel, LshRoot(table), ExclusiveLock);
}

bool
lshinsert(Relation rel, Datum *values, bool *isnull, ItemPointer tid, Relation heap,
		  IndexUniqueCheck unique, bool unchanged, IndexInfo *info)
{
	MemoryContext context;
	MemoryContext oldcontext;
	LshIndex	index;
	LshRow		row;
	uint32		keys[LSH_MAX_TABLES];

	if (isnull[0])
		return false;

	context = AllocSetContextCreate(CurrentMemoryContext, "lsh insert", ALLOCSET_DEFAULT_SIZES);
	oldcontext = MemoryContextSwitchTo(context);

	LshOpen(&index, rel);
	if (LshPrepareRow(&index, values[0], &row, keys))
	{
		row->place.tid = *tid;
		for (int table = 0; table < index.hash.tables; table++)
		{
			row->place.key = keys[table];
			insert_row(&index, table, row);
		}
		AnnSessionCounters(RelationGetRelid(rel))->inserts++;
	}

	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
	return false;
}
