/*
 * ivfflat_info.c
 *	  What ann_index_info says of an ivfflat index.
 *
 * Holds the change lock shared, so that lists are not replaced meanwhile, and
 * reads all pages once, in their order.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "ivfflat/ivfflat.h"

typedef struct ListSize
{
	uint32		list;
	char		status;
	int64		rows;
} ListSize;

#define SH_PREFIX sizes
#define SH_ELEMENT_TYPE ListSize
#define SH_KEY_TYPE uint32
#define SH_KEY list
#define SH_HASH_KEY(tb, key) murmurhash32(key)
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct Survey
{
	IvfIndex	index;
	sizes_hash *lists;
	int64		centre_pages;
	int64		group_pages;
	int64		list_pages;
	int64		value_pages;
	int64		unused_pages;
	int64		segments;
	int64		capacity;		/* rows that segments have room for */
	int64		leftover;		/* rows of lists there no longer are */
} Survey;

/* The lists there are, none with any rows. */
static void
read_lists(Survey *survey)
{
	IvfIndex   *index = &survey->index;
	IvfMetaPageData meta;
	ivf_list_heap groups;

	ivf_list_heap_init(&groups, 64);
	IvfReadMeta(index, &meta);
	IvfReadGroups(index, &meta, NULL, IVF_ASSIGN, &groups);
	while (groups.count > 0)
	{
		IvfCentrePage page;

		CHECK_FOR_INTERRUPTS();
		if (!IvfReadCentres(index, ivf_list_heap_pop(&groups).blkno, IVF_PAGE_CENTRES, &page))
			continue;
		for (int i = 0; i < page.count; i++)
		{
			bool		found;

			sizes_insert(survey->lists, page.centres[i]->list, &found)->rows = 0;
		}
		UnlockReleaseBuffer(page.buf);
	}
}

static void
count_segment(Survey *survey, IvfSegment segment, int capacity)
{
	ListSize   *size = sizes_lookup(survey->lists, segment->list);

	survey->segments++;
	survey->capacity += capacity;
	if (size != NULL)
		size->rows += segment->count;
	else
		survey->leftover += segment->count;
}

static void
count_segments(Survey *survey, Buffer buf)
{
	Page		page = BufferGetPage(buf);

	AnnCheckPage(survey->index.rel, buf, IVF_PAGE_LISTS);
	for (OffsetNumber offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(page); offset++)
	{
		int			capacity;
		IvfSegment	segment = IvfGetSegment(&survey->index, buf, offset, &capacity);

		if (segment != NULL)
			count_segment(survey, segment, capacity);
	}
	survey->list_pages++;
}

static void
count_page(Survey *survey, BlockNumber blkno, BufferAccessStrategy strategy)
{
	Buffer		buf = ReadBufferExtended(survey->index.rel, MAIN_FORKNUM, blkno, RBM_NORMAL, strategy);

	Page		page = BufferGetPage(buf);

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	if (AnnPageIsUnused(page))
		survey->unused_pages++;
	else if (AnnPageIs(page, ANN_PAGE_VALUES))
		survey->value_pages++;
	else if (AnnPageIs(page, IVF_PAGE_CENTRES))
		survey->centre_pages++;
	else if (AnnPageIs(page, IVF_PAGE_GROUPS))
		survey->group_pages++;
	else
		count_segments(survey, buf);
	UnlockReleaseBuffer(buf);
}

static int
compare_rows(const void *a, const void *b)
{
	int64		left = *(const int64 *) a;
	int64		right = *(const int64 *) b;

	return (left > right) - (left < right);
}

/* Says how long lists are: least, quartiles, most. */
static void
add_sizes(Survey *survey, AnnInfo *info)
{
	int64		n = survey->lists->members;
	int64	   *rows = palloc_extended(sizeof(int64) * Max(n, 1), MCXT_ALLOC_HUGE);
	int64		quartiles[5];
	int64		empty = 0;
	sizes_iterator iterator;
	ListSize   *size;

	n = 0;
	sizes_start_iterate(survey->lists, &iterator);
	while ((size = sizes_iterate(survey->lists, &iterator)) != NULL)
	{
		rows[n++] = size->rows;
		info->rows += size->rows;
		empty += size->rows == 0;
	}
	qsort(rows, n, sizeof(int64), compare_rows);
	for (int i = 0; i < 5; i++)
		quartiles[i] = n > 0 ? rows[(n - 1) * i / 4] : 0;
	pfree(rows);

	AnnInfoAdd(info, "lists", INT64_FORMAT, n);
	AnnInfoAdd(info, "empty_lists", INT64_FORMAT, empty);
	AnnInfoAddArray(info, "list_rows_quartiles", quartiles, 5);
}

void
IvfInfo(Relation rel, AnnInfo *info)
{
	Survey		survey = {{0}};
	IvfIndex   *index = &survey.index;
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	IvfMetaPageData meta;

	IvfOpen(index, rel);
	IvfLockChanges(index, ShareLock);
	info->nblocks = RelationGetNumberOfBlocks(rel);
	IvfReadMeta(index, &meta);
	survey.lists = sizes_create(CurrentMemoryContext, Max(meta.lists, 16), NULL);
	read_lists(&survey);
	for (BlockNumber blkno = ANN_METAPAGE_BLKNO + 1; blkno < info->nblocks; blkno++)
	{
		CHECK_FOR_INTERRUPTS();
		count_page(&survey, blkno, strategy);
	}
	IvfUnlockChanges(index, ShareLock);
	FreeAccessStrategy(strategy);

	info->dim = index->space.dim;
	info->bits = index->bits;
	info->quantizer = index->bits == IVF_SQ8_BITS ? "sq8" : NULL;
	add_sizes(&survey, info);
	AnnInfoAdd(info, "rows_per_list", "%u", meta.rows_per_list);
	AnnInfoAdd(info, "segments", INT64_FORMAT, survey.segments);
	AnnInfoAdd(info, "fill", "%.2f", (double) info->rows / Max(survey.capacity, 1));
	AnnInfoAdd(info, "leftover_rows", INT64_FORMAT, survey.leftover);
	AnnInfoAdd(info, "changes", "%u", meta.changes);
	AnnInfoAdd(info, "centre_pages", INT64_FORMAT, survey.centre_pages);
	AnnInfoAdd(info, "group_pages", INT64_FORMAT, survey.group_pages);
	AnnInfoAdd(info, "list_pages", INT64_FORMAT, survey.list_pages);
	AnnInfoAdd(info, "value_pages", INT64_FORMAT, survey.value_pages);
	AnnInfoAdd(info, "unused_pages", INT64_FORMAT, survey.unused_pages);
	sizes_destroy(survey.lists);
}
