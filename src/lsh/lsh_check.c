/*
 * lsh_check.c
 *	  The verifier: README.md section 3, invariant by invariant.
 *
 * Reads the trees page by page with the lock of a reader; inserts and VACUUM go
 * on.  The shape of a tree is checked with the table locked against changes of
 * it.  A row may be in some tables only, because an insert or VACUUM is under
 * way or was interrupted, or be met twice, because a heap TID was freed and used
 * again; so this is damage only if our snapshot sees the row.
 */
#include "postgres.h"

#include <math.h>

#include "access/table.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "am/am_fetch.h"
#include "am/am_tids.h"
#include "lsh/lsh.h"

/* A heap TID, and the tables that have it, once or twice. */
typedef struct SeenTid
{
	uint64		tid;
	uint32		tables;
	uint32		twice;
	char		status;
} SeenTid;

#define SH_PREFIX seen
#define SH_ELEMENT_TYPE SeenTid
#define SH_KEY_TYPE uint64
#define SH_KEY tid
#define SH_HASH_KEY(tb, key) ((uint32) AnnMix(key))
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct LshVerifier
{
	LshIndex	index;
	AnnCheck   *check;
	seen_hash  *tids;
	PGAlignedBlock copy;		/* the page being looked at */
	BlockNumber blkno;
	int			table;
	bool		sound;			/* nothing was reported of the table */
} LshVerifier;

static void
report(LshVerifier *verifier, const char *invariant, int entry, const char *what)
{
	verifier->sound = false;
	AnnCheckReport(verifier->check, invariant, verifier->blkno,
				   entry < 0 ? InvalidOffsetNumber : entry + 1, "%s", what);
}

/*
 * Copies a page; reports it and returns NULL if it is not a node of the table's
 * level (any but 0 if level is -1).
 */
static LshNode
look_at(LshVerifier *verifier, BlockNumber blkno, int level, int *count)
{
	LshIndex   *index = &verifier->index;
	Page		page = (Page) verifier->copy.data;
	LshNode		node = LshPageNode(page);
	Size		start = offsetof(LshNodeData, entries) + ((char *) node - (char *) page);
	Size		lower;
	Buffer		buf;

	verifier->blkno = blkno;
	if (blkno == ANN_METAPAGE_BLKNO || blkno >= RelationGetNumberOfBlocks(index->rel))
	{
		report(verifier, "I4", -1, "a link leads to a block that is not a node's");
		return NULL;
	}

	buf = ReadBufferExtended(index->rel, MAIN_FORKNUM, blkno, RBM_NORMAL, index->strategy);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	memcpy(page, BufferGetPage(buf), BLCKSZ);
	UnlockReleaseBuffer(buf);

	if (!AnnPageIs(page, LSH_PAGE_NODE) || node->table != verifier->table ||
		(level < 0 ? node->level == 0 : node->level != level))
	{
		report(verifier, "I2", -1, "the page is not a node of its table and level");
		return NULL;
	}

	lower = ((PageHeader) page)->pd_lower;
	*count = LshPageCount(page, LshEntrySize(index, node));
	if (lower < start || *count > LshNodeCapacity(index, node) ||
		lower != start + *count * LshEntrySize(index, node) || (node->level > 0 && *count == 0))
	{
		report(verifier, "I2", -1, "the node has an impossible number of entries");
		return NULL;
	}
	return node;
}

/* Is a place in a node's range? */
static bool
covers(LshNode node, const LshPlace *place)
{
	return LshPlaceCompare(place, &node->low) >= 0 && !LshNodeEndsBefore(node, place);
}

/*
 * Shape
 */

/* Downlinks of a level, from left to right: what the nodes below should be. */
typedef struct Level
{
	LshDownlink *nodes;
	int64		count;
	int64		capacity;
} Level;

static void
add_downlinks(LshVerifier *verifier, Level *below, LshNode node, int count)
{
	for (int i = 0; i < count; i++)
	{
		LshDownlink *downlink = LshNodeDownlink(node, i);

		if (i == 0 ? LshPlaceCompare(&downlink->low, &node->low) != 0 :
			LshPlaceCompare(&downlink->low, &downlink[-1].low) <= 0 || !covers(node, &downlink->low))
			report(verifier, "I4", i, "the downlink is out of order");

		if (below->count == below->capacity)
		{
			below->capacity *= 2;
			below->nodes = repalloc_huge(below->nodes, sizeof(LshDownlink) * below->capacity);
		}
		below->nodes[below->count++] = *downlink;
	}
}

/*
 * Checks the nodes of a level against the downlinks to them, and collects those
 * they have.
 */
static void
check_level(LshVerifier *verifier, const Level *level, int number, Level *below)
{
	for (int64 i = 0; i < level->count; i++)
	{
		bool		last = i + 1 == level->count;
		int			count;
		LshNode		node;

		CHECK_FOR_INTERRUPTS();
		node = look_at(verifier, level->nodes[i].child, number, &count);
		if (node == NULL)
			return;

		if (LshPlaceCompare(&node->low, &level->nodes[i].low) != 0)
			report(verifier, "I4", -1, "the node does not begin where its parent says");
		if (last ? BlockNumberIsValid(node->right) :
			node->right != level->nodes[i + 1].child ||
			LshPlaceCompare(&node->high, &level->nodes[i + 1].low) != 0)
			report(verifier, "I3", -1, "the node does not end where the next one begins");
		if (number > 0)
			add_downlinks(verifier, below, node, count);
	}
}

static void
init_level(Level *level)
{
	level->capacity = 64;
	level->count = 0;
	level->nodes = palloc(sizeof(LshDownlink) * level->capacity);
}

/* Checks the shape of a table, which is locked. */
static void
check_shape(LshVerifier *verifier)
{
	Level		level;
	int			count;
	LshNode		root = look_at(verifier, LshRoot(verifier->table), -1, &count);
	LshPlace	first = LshFirstPlace(0);
	int			number;

	if (root == NULL)
		return;
	if (BlockNumberIsValid(root->right) || LshPlaceCompare(&root->low, &first) != 0)
		report(verifier, "I3", -1, "the root does not cover all places");

	number = root->level;
	init_level(&level);
	add_downlinks(verifier, &level, root, count);

	/* What is wrong above would only be found again below. */
	while (verifier->sound && number-- > 0)
	{
		Level		below;

		init_level(&below);
		check_level(verifier, &level, number, &below);
		pfree(level.nodes);
		level = below;
	}
	pfree(level.nodes);
}

/*
 * Rows
 */

/* Is this a code that a vector could have? */
static bool
is_valid_code(const LshIndex *index, LshRow row)
{
	const LshCodeData *code = (LshCodeData *) row->code;

	if (index->space.bits == 0)
		return AnnSpaceValid(&index->space, row->code, index->space.code_size);
	return isfinite(code->norm2) && code->norm2 >= 0 && isfinite(code->scale) && code->scale >= 0;
}

/* Is the key, of a value stored whole, the value's? */
static bool
is_valid_key(const LshIndex *index, int table, LshRow row, void *hashed)
{
	uint32		keys[LSH_MAX_TABLES];

	if (index->space.bits > 0)
		return true;
	LshHashValue(&index->hash, row->code, hashed);
	LshHashKeys(&index->hash, hashed, keys);
	return keys[table] == row->place.key;
}

static void
check_row(LshVerifier *verifier, LshNode node, int i, const LshPlace *from, void *hashed)
{
	LshIndex   *index = &verifier->index;
	LshRow		row = LshNodeRow(index, node, i);
	uint32		bit = UINT32_C(1) << verifier->table;
	bool		found;
	SeenTid    *seen;

	/* Met before, in a leaf that has been given this one's range. */
	if (LshPlaceCompare(&row->place, from) < 0 && covers(node, &row->place))
		return;

	if (!covers(node, &row->place))
		report(verifier, "I5", i, "the row does not belong to the leaf");
	if (!is_valid_code(index, row))
		report(verifier, "I6", i, "the code is not that of a value");
	else if (!is_valid_key(index, verifier->table, row, hashed))
		report(verifier, "I6", i, "the key is not that of the value");

	if (verifier->table == 0)
		AnnCheckTid(verifier->check, &row->place.tid);
	seen = seen_insert(verifier->tids, AnnTidNumber(&row->place.tid), &found);
	if (!found)
		seen->tables = seen->twice = 0;
	seen->twice |= seen->tables & bit;
	seen->tables |= bit;
}

static void
check_rows(LshVerifier *verifier)
{
	void	   *hashed = palloc(LshHashedSize(&verifier->index.hash));
	LshWalk		walk;
	int			count;

	LshWalkBegin(&walk, &verifier->index, verifier->table);
	while (LshWalkNext(&walk, BUFFER_LOCK_SHARE, &count))
	{
		verifier->blkno = BufferGetBlockNumber(walk.buf);
		memcpy(verifier->copy.data, BufferGetPage(walk.buf), BLCKSZ);
		UnlockReleaseBuffer(walk.buf);
		for (int i = 0; i < count; i++)
			check_row(verifier, LshPageNode(verifier->copy.data), i, &walk.from, hashed);
	}
	pfree(hashed);
}

/*
 * Reports rows that we can see and that are not in all tables, once.
 */
static void
check_tables(LshVerifier *verifier)
{
	uint32		all = PG_UINT32_MAX >> (LSH_MAX_TABLES - verifier->index.hash.tables);
	Relation	heap = table_open(verifier->index.rel->rd_index->indrelid, NoLock);
	AnnFetch   *fetch = AnnFetchBegin(heap, verifier->index.rel, NULL);
	BlockNumber nblocks = RelationGetNumberOfBlocks(heap);
	seen_iterator iterator;
	SeenTid    *seen;

	seen_start_iterate(verifier->tids, &iterator);
	while ((seen = seen_iterate(verifier->tids, &iterator)) != NULL)
	{
		BlockNumber blkno;
		OffsetNumber offset;
		ItemPointerData tid;
		Datum		value;

		if (seen->tables == all && seen->twice == 0)
			continue;
		CHECK_FOR_INTERRUPTS();
		AnnTidOfNumber(seen->tid, &tid);
		blkno = ItemPointerGetBlockNumberNoCheck(&tid);
		offset = ItemPointerGetOffsetNumberNoCheck(&tid);
		if (!ItemPointerIsValid(&tid) || blkno >= nblocks ||
			AnnFetchValue(fetch, &tid, GetActiveSnapshot(), &value))
			AnnCheckReport(verifier->check, "I7", ANN_METAPAGE_BLKNO, InvalidOffsetNumber,
						   seen->twice != 0 ? "heap TID (%u,%u) is in a table twice" :
						   "heap TID (%u,%u) is not in all tables", blkno, offset);
	}
	AnnFetchEnd(fetch);
	table_close(heap, NoLock);
}

void
LshCheckIndex(Relation rel, AnnCheck *check)
{
	LshVerifier *verifier = palloc(sizeof(LshVerifier));
	bool		all_sound = true;

	/* I1, as an error */
	LshOpen(&verifier->index, rel);
	verifier->check = check;
	verifier->index.strategy = GetAccessStrategy(BAS_BULKREAD);
	verifier->tids = seen_create(CurrentMemoryContext, 1024, NULL);

	for (verifier->table = 0; verifier->table < verifier->index.hash.tables; verifier->table++)
	{
		LOCKMODE	lockmode = RecoveryInProgress() ? NoLock : ExclusiveLock;

		verifier->sound = true;
		if (lockmode != NoLock)
			LockPage(rel, LshRoot(verifier->table), lockmode);
		check_shape(verifier);
		if (lockmode != NoLock)
			UnlockPage(rel, LshRoot(verifier->table), lockmode);

		if (verifier->sound)
			check_rows(verifier);
		all_sound = all_sound && verifier->sound;
	}
	if (all_sound)
		check_tables(verifier);

	seen_destroy(verifier->tids);
	FreeAccessStrategy(verifier->index.strategy);
	pfree(verifier);
}
