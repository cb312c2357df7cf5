/*
 * lsh_page.c
 *	  The pages of an lsh index: making an empty one, opening it, and finding
 *	  the way through its trees.
 *
 * Changes nothing in an index that exists but what LshMeasured has; lsh_insert.c
 * and lsh_vacuum.c change trees, lsh_build.c fills them.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/rel.h"

#include "lsh/lsh.h"

/* How often a way through a tree may change under a descent. */
#define MAX_DESCENTS 1000

/* The patience of an index that has not been measured: this / (1 - recall). */
#define DEFAULT_PATIENCE 5

const double lsh_recalls[LSH_RECALLS] = {0.5, 0.8, 0.9, 0.95, 0.99};
const double lsh_nears[LSH_NEARS] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6};

/*
 * Making an index
 */

static LshFamily
choose_family(const AnnMetric *metric)
{
	if (metric == &ann_metric_bit_hamming)
		return LSH_BIT_SAMPLING;
	if (metric == &ann_metric_bit_jaccard)
		return LSH_MIN_HASH;
	return LSH_CROSS_POLYTOPE;
}

int
LshBits(const AnnSpace *space)
{
	if (choose_family(space->metric) != LSH_CROSS_POLYTOPE)
		return 0;
	/* In few dimensions the bounds of short codes do not hold often enough. */
	if (space->dim < 8)
		return 8;
	return space->rotated_dim <= 64 ? 4 : space->rotated_dim < 512 ? 2 : 1;
}

static Size
meta_size(const LshMetaPageData *meta)
{
	return offsetof(LshMetaPageData, centre) + meta->centre_size;
}

LshMetaPage
LshMakeMeta(const AnnSpace *space, int tables)
{
	LshMetaPage meta = palloc0(BLCKSZ);

	meta->header.magic = LSH_MAGIC;
	meta->header.version = LSH_VERSION;
	meta->dim = space->dim;
	meta->bits = space->bits;
	meta->tables = tables;
	for (int i = 0; i < LSH_RECALLS; i++)
		meta->patience[i] = DEFAULT_PATIENCE / (1 - lsh_recalls[i]);
	meta->seed = (uint64) ann_seed;
	return meta;
}

void
LshSetCentre(LshMetaPage meta, const AnnSpace *space, const float *centre)
{
	meta->centre_size = AnnCentreSize(space);
	AnnCentreEncode(space, centre, meta->centre);
}

void
LshInitNode(Page page, int table, int level, const LshPlace *low)
{
	LshNode		node = LshPageNode(page);

	AnnInitPage(page, LSH_PAGE_NODE);
	memset(node, 0, offsetof(LshNodeData, entries));
	node->table = table;
	node->level = level;
	node->right = InvalidBlockNumber;
	node->low = *low;
	LshPageSetCount(page, 1, 0);
}

/* An empty tree: a root and a leaf, in this order. */
static void
write_tree(Relation rel, ForkNumber fork, int table)
{
	LshPlace	low = LshFirstPlace(0);
	Buffer		buf = AnnExtend(rel, fork);
	Buffer		leaf_buf = AnnExtend(rel, fork);
	LshDownlink *downlink = LshNodeDownlink(LshPageNode(BufferGetPage(buf)), 0);

	LshInitNode(BufferGetPage(leaf_buf), table, 0, &low);
	LshInitNode(BufferGetPage(buf), table, 1, &low);
	downlink->low = low;
	downlink->child = BufferGetBlockNumber(leaf_buf);
	LshPageSetCount(BufferGetPage(buf), sizeof(LshDownlink), 1);
	MarkBufferDirty(buf);
	MarkBufferDirty(leaf_buf);
	UnlockReleaseBuffer(leaf_buf);
	UnlockReleaseBuffer(buf);
}

void
LshCreate(Relation rel, ForkNumber fork, const LshMetaPageData *meta)
{
	Buffer		buf = AnnExtend(rel, fork);

	Assert(BufferGetBlockNumber(buf) == ANN_METAPAGE_BLKNO);
	AnnInitMetaPage(BufferGetPage(buf), meta, meta_size(meta));
	MarkBufferDirty(buf);
	UnlockReleaseBuffer(buf);

	for (int table = 0; table < meta->tables; table++)
		write_tree(rel, fork, table);

	/* What was cached is that of the index before a TRUNCATE. */
	AnnForgetCache(rel);
}

void
LshWriteMeasured(Relation rel, const LshMeasured *measured, bool building)
{
	Buffer		buf = AnnReadMeta(rel, LSH_MAGIC, LSH_VERSION, BUFFER_LOCK_EXCLUSIVE);
	AnnEdit		edit;
	LshMetaPage meta;

	AnnEditBegin(&edit, rel, building);
	meta = AnnMetaContents(AnnEditPage(&edit, buf));
	memcpy(meta->patience, measured->patience, sizeof(meta->patience));
	memcpy(meta->near, measured->near, sizeof(meta->near));
	meta->leaves = measured->leaves;
	AnnEditCommit(&edit);
	if (!building)
		AnnPoint("lsh W9");
}

/*
 * Opening an index
 */

static void
check_meta(Relation rel, const LshMetaPageData *meta, Size size)
{
	/* ALTER TABLE may take the column's dimensions away, but not change them. */
	int			typmod = TupleDescAttr(rel->rd_att, 0)->atttypmod;
	AnnSpace	space;
	int			max_dim;
	bool		sound = true;

	for (int i = 0; i < LSH_RECALLS; i++)
		sound = sound && meta->patience[i] > 0;
	for (int i = 0; i < LSH_NEARS; i++)
		sound = sound && meta->near[i] >= 0;

	AnnSpaceOpen(&space, rel, meta->dim, 0, 0);
	max_dim = LshBits(&space) == 0 ? space.metric->max_dim : ANN_MAX_QUANTIZED_DIM;
	if (!sound || size < offsetof(LshMetaPageData, centre) || size != meta_size(meta) ||
		(typmod >= 0 && typmod != meta->dim) || meta->dim < 1 || meta->dim > max_dim ||
		meta->bits != LshBits(&space) ||
		meta->tables < 1 || meta->tables > LSH_MAX_TABLES ||
		!(meta->norm >= 0) || !isfinite(meta->lift) ||
		(meta->centre_size > 0 && (meta->bits == 0 || meta->centre_size != AnnCentreSize(&space))))
		AnnCorrupted(rel, ANN_METAPAGE_BLKNO, "The metapage does not agree with the definition of the index");
}

/* What rd_amcache holds: copies of the metapage and of some roots. */
typedef struct LshCache
{
	PGAlignedBlock meta;		/* contents */
	PGAlignedBlock roots[FLEXIBLE_ARRAY_MEMBER];	/* new pages where there are none */
} LshCache;

static LshCache *
read_meta(Relation rel)
{
	Buffer		buf = AnnReadMeta(rel, LSH_MAGIC, LSH_VERSION, BUFFER_LOCK_SHARE);
	Page		page = BufferGetPage(buf);
	PGAlignedBlock copy;
	Size		size = ((PageHeader) page)->pd_lower - ((char *) AnnMetaContents(page) - (char *) page);
	LshMetaPage meta = (LshMetaPage) copy.data;
	LshCache   *cache;

	memcpy(copy.data, AnnMetaContents(page), ANN_PAGE_ROOM);
	UnlockReleaseBuffer(buf);

	check_meta(rel, meta, size);
	cache = MemoryContextAllocZero(rel->rd_indexcxt, offsetof(LshCache, roots) +
								   sizeof(PGAlignedBlock) * meta->tables);
	memcpy(cache->meta.data, meta, size);
	return cache;
}

void
LshOpen(LshIndex *index, Relation rel)
{
	LshMetaPage meta;
	AnnSpace   *space = &index->space;

	index->rel = rel;
	index->nblocks = RelationGetNumberOfBlocks(rel);
	index->strategy = NULL;
	if (rel->rd_amcache == NULL)
		rel->rd_amcache = read_meta(rel);
	meta = (LshMetaPage) ((LshCache *) rel->rd_amcache)->meta.data;

	memcpy(index->patience, meta->patience, sizeof(index->patience));
	memcpy(index->near, meta->near, sizeof(index->near));
	index->measured_leaves = meta->leaves;
	index->norm = meta->norm;
	index->lift = meta->lift;
	AnnSpaceOpen(space, rel, meta->dim, meta->bits, 0);
	LshHashInit(&index->hash, choose_family(space->metric),
				space->bits > 0 ? space->rotated_dim : space->dim,
				meta->tables, meta->seed);
	index->row_size = LshRowSize(space);
	index->leaf_rows = LshLeafRows(space);
	index->leaf_fill = LshLeafFill(space);

	index->centre = NULL;
	if (meta->centre_size > 0)
	{
		index->centre = palloc(sizeof(float) * space->rotated_dim);
		AnnCentreDecode(space, meta->centre, index->centre);
	}

	/* Inner products are not between points, so their queries have no centre. */
	if (space->metric->form != ANN_FORM_IP)
		space->centre = index->centre;
}

/*
 * Reading nodes
 */

int
LshCountEntries(const LshIndex *index, BlockNumber blkno, Page page)
{
	LshNode		node = LshPageNode(page);
	Size		entry_size = LshEntrySize(index, node);
	LocationIndex lower = ((PageHeader) page)->pd_lower;
	Size		start = node->entries - (char *) page;

	if (lower < start || (lower - start) % entry_size != 0 ||
		(lower - start) / entry_size > LshNodeCapacity(index, node) ||
		(node->level > 0 && lower == start))
		AnnCorrupted(index->rel, blkno, "A node has an impossible number of entries");
	if (BlockNumberIsValid(node->right) && LshPlaceCompare(&node->low, &node->high) >= 0)
		AnnCorrupted(index->rel, blkno, "A node ends before it begins");
	return (lower - start) / entry_size;
}

/* Reads and locks a page that is, or was, a node. */
static Buffer
read_page(LshIndex *index, BlockNumber blkno, int level, int lockmode)
{
	Buffer		buf;

	/* The size of the index costs a system call. */
	if (blkno >= index->nblocks)
		index->nblocks = RelationGetNumberOfBlocks(index->rel);
	if (blkno == ANN_METAPAGE_BLKNO || blkno >= index->nblocks)
		AnnCorrupted(index->rel, blkno, "A link leads to a block that is not a node's");

	buf = ReadBufferExtended(index->rel, MAIN_FORKNUM, blkno, RBM_NORMAL,
							 level == 0 ? index->strategy : NULL);
	LockBuffer(buf, lockmode);
	return buf;
}

static bool
is_node(LshIndex *index, Buffer buf)
{
	AnnCheckPage(index->rel, buf, LSH_PAGE_NODE);
	return !AnnPageIsUnused(BufferGetPage(buf));
}

Buffer
LshReadNode(LshIndex *index, BlockNumber blkno, int table, int level, int lockmode, int *count)
{
	Buffer		buf = read_page(index, blkno, level, lockmode);
	LshNode		node = LshPageNode(BufferGetPage(buf));

	if (!is_node(index, buf) || node->table != table || node->level != level)
	{
		UnlockReleaseBuffer(buf);
		return InvalidBuffer;
	}
	*count = LshCountEntries(index, blkno, BufferGetPage(buf));
	return buf;
}

Buffer
LshReadRoot(LshIndex *index, int table, int lockmode, int *count)
{
	BlockNumber blkno = LshRoot(table);
	Buffer		buf = read_page(index, blkno, 1, lockmode);
	LshNode		node = LshPageNode(BufferGetPage(buf));

	if (!is_node(index, buf) || node->table != table || node->level == 0 ||
		BlockNumberIsValid(node->right))
		AnnCorrupted(index->rel, blkno, "The page is not a root");
	*count = LshCountEntries(index, blkno, BufferGetPage(buf));
	return buf;
}

/*
 * Nodes above the leaves are never removed and their ranges never grow.  So an
 * old copy of a root leads to them still, though perhaps by way of their left
 * siblings; an old copy of their parent would do for ever.
 */
void
LshCopyRoot(LshIndex *index, int table, Page copy, int *count)
{
	LshCache   *cache = index->rel->rd_amcache;
	Buffer		buf;

	if (cache != NULL && !PageIsNew((Page) cache->roots[table].data))
	{
		memcpy(copy, cache->roots[table].data, BLCKSZ);
		*count = LshPageCount(copy, sizeof(LshDownlink));
		return;
	}

	buf = LshReadRoot(index, table, BUFFER_LOCK_SHARE, count);
	memcpy(copy, BufferGetPage(buf), BLCKSZ);
	UnlockReleaseBuffer(buf);

	/* Leaves do come and go.  The cache may be another one, or gone. */
	cache = index->rel->rd_amcache;
	if (cache != NULL && LshPageNode(copy)->level > 1)
		memcpy(cache->roots[table].data, copy, BLCKSZ);
}

void
LshForgetRoot(LshIndex *index, int table)
{
	LshCache   *cache = index->rel->rd_amcache;

	if (cache != NULL)
		memset(cache->roots[table].data, 0, SizeOfPageHeaderData);
}

int
LshFindDownlink(LshNode node, int count, const LshPlace *place)
{
	int			low = 0;
	int			high = count;

	/* The last one that does not lie beyond the place. */
	while (high - low > 1)
	{
		int			middle = (low + high) / 2;

		if (LshPlaceCompare(&LshNodeDownlink(node, middle)->low, place) <= 0)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/*
 * One descent; InvalidBuffer if the tree changed under it.
 */
static Buffer
descend(LshIndex *index, int table, const LshPlace *place, int lockmode, int *count)
{
	Buffer		buf = LshReadRoot(index, table, BUFFER_LOCK_SHARE, count);
	int			level = LshPageNode(BufferGetPage(buf))->level;
	bool		came_right = false;
	LshPlace	begin;

	for (;;)
	{
		LshNode		node = LshPageNode(BufferGetPage(buf));
		BlockNumber next;

		/* It must begin here; or, if we came from the left, exactly there. */
		if (LshPlaceCompare(place, &node->low) < 0 ||
			(came_right && LshPlaceCompare(&begin, &node->low) != 0))
		{
			UnlockReleaseBuffer(buf);
			return InvalidBuffer;
		}

		came_right = LshNodeEndsBefore(node, place);
		begin = node->high;
		if (came_right)
			next = node->right;
		else if (level == 0)
			return buf;
		else
		{
			next = LshNodeDownlink(node, LshFindDownlink(node, *count, place))->child;
			level--;
		}
		UnlockReleaseBuffer(buf);
		CHECK_FOR_INTERRUPTS();

		buf = LshReadNode(index, next, table, level, level == 0 ? lockmode : BUFFER_LOCK_SHARE, count);
		if (!BufferIsValid(buf))
			return InvalidBuffer;
	}
}

Buffer
LshFindLeaf(LshIndex *index, int table, const LshPlace *place, int lockmode, int *count)
{
	for (int i = 0; i < MAX_DESCENTS; i++)
	{
		Buffer		buf = descend(index, table, place, lockmode, count);

		if (BufferIsValid(buf))
			return buf;
		CHECK_FOR_INTERRUPTS();
	}
	AnnCorrupted(index->rel, LshRoot(table), "A link leads to the wrong node");
}

void
LshWalkBegin(LshWalk *walk, LshIndex *index, int table)
{
	LshPlace	first = LshFirstPlace(0);

	LshWalkFrom(walk, index, table, &first, InvalidBlockNumber);
}

void
LshWalkFrom(LshWalk *walk, LshIndex *index, int table, const LshPlace *from, BlockNumber blkno)
{
	walk->index = index;
	walk->table = table;
	walk->from = *from;
	walk->high = *from;
	walk->next = blkno;
	walk->done = false;
}

bool
LshWalkNext(LshWalk *walk, int lockmode, int *count)
{
	Buffer		buf = InvalidBuffer;
	LshNode		node;

	if (walk->done)
		return false;

	CHECK_FOR_INTERRUPTS();
	walk->from = walk->high;
	if (BlockNumberIsValid(walk->next))
	{
		buf = LshReadNode(walk->index, walk->next, walk->table, 0, lockmode, count);
		if (BufferIsValid(buf) &&
			LshPlaceCompare(&LshPageNode(BufferGetPage(buf))->low, &walk->from) != 0)
		{
			UnlockReleaseBuffer(buf);
			buf = InvalidBuffer;
		}
	}
	if (!BufferIsValid(buf))
		buf = LshFindLeaf(walk->index, walk->table, &walk->from, lockmode, count);

	node = LshPageNode(BufferGetPage(buf));
	walk->next = node->right;
	walk->done = !BlockNumberIsValid(node->right);
	walk->high = node->high;
	if (!walk->done && LshPlaceCompare(&walk->high, &walk->from) <= 0)
		AnnCorrupted(walk->index->rel, BufferGetBlockNumber(buf), "The leaves of a table are out of order");
	walk->buf = buf;
	return true;
}
