/*
 * lsh_info.c
 *	  What ann_index_info says of an lsh index.
 *
 * Reads all pages once, in their order.  What is inserted or split meanwhile
 * shows or does not.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "lsh/lsh.h"

/* Leaves are counted by how full they are, in tenths. */
#define FILLS 10

typedef struct Survey
{
	LshIndex	index;
	int64		leaves;
	int64		inner;
	int64		unused;
	int64		rows[LSH_MAX_TABLES];
	int64		by_fill[FILLS];
	int			depth;			/* levels of the highest tree */
} Survey;

static void
count_node(Survey *survey, Buffer buf)
{
	LshNode		node = LshPageNode(BufferGetPage(buf));
	BlockNumber blkno = BufferGetBlockNumber(buf);
	int			count;

	if (node->table >= survey->index.hash.tables)
		AnnCorrupted(survey->index.rel, blkno, "A node belongs to no table");

	count = LshCountEntries(&survey->index, blkno, BufferGetPage(buf));
	survey->depth = Max(survey->depth, node->level + 1);
	if (node->level > 0)
	{
		survey->inner++;
		return;
	}
	survey->leaves++;
	survey->rows[node->table] += count;
	survey->by_fill[Min(count * FILLS / survey->index.leaf_rows, FILLS - 1)]++;
}

static void
count_page(Survey *survey, BlockNumber blkno, BufferAccessStrategy strategy)
{
	Buffer		buf = ReadBufferExtended(survey->index.rel, MAIN_FORKNUM, blkno, RBM_NORMAL, strategy);
	Page		page = BufferGetPage(buf);

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	if (AnnPageIsUnused(page))
		survey->unused++;
	else
	{
		AnnCheckPage(survey->index.rel, buf, LSH_PAGE_NODE);
		count_node(survey, buf);
	}
	UnlockReleaseBuffer(buf);
}

void
LshInfo(Relation rel, AnnInfo *info)
{
	Survey	   *survey = palloc0(sizeof(Survey));
	LshIndex   *index = &survey->index;
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	int64		rows = 0;

	LshOpen(index, rel);
	for (BlockNumber blkno = ANN_METAPAGE_BLKNO + 1; blkno < info->nblocks; blkno++)
	{
		CHECK_FOR_INTERRUPTS();
		count_page(survey, blkno, strategy);
	}
	FreeAccessStrategy(strategy);
	for (int table = 0; table < index->hash.tables; table++)
		rows += survey->rows[table];

	/* All tables have the same rows, but for those of an insert that failed. */
	info->dim = index->space.dim;
	info->bits = index->space.bits;
	info->rows = survey->rows[0];
	AnnInfoAdd(info, "tables", "%d", index->hash.tables);
	AnnInfoAdd(info, "depth", "%d", survey->depth);
	AnnInfoAdd(info, "centre", "%s", index->centre != NULL ? "true" : "false");
	AnnInfoAdd(info, "leaf_fill", "%.2f",
			   (double) rows / Max(survey->leaves * index->leaf_rows, 1));
	AnnInfoAddArray(info, "leaves_by_fill", survey->by_fill, FILLS);
	for (int i = 0; i < LSH_RECALLS; i++)
		AnnInfoAdd(info, psprintf("patience_%g", lsh_recalls[i]), "%g", index->patience[i]);
	AnnInfoAdd(info, "leaf_pages", INT64_FORMAT, survey->leaves);
	AnnInfoAdd(info, "inner_pages", INT64_FORMAT, survey->inner);
	AnnInfoAdd(info, "unused_pages", INT64_FORMAT, survey->unused);
	pfree(survey);
}
