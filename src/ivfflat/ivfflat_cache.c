/*
 * ivfflat_cache.c
 *	  What a backend remembers of an index from one search or insert to the next: the
 *	  fixed part of the metapage, where there was room, and the centres.
 *
 * All of it is one chunk, rd_amcache, which may be gone at the next call.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "ivfflat/ivfflat.h"

/* A centre that is remembered, and where it is. */
typedef struct CachedCentre
{
	uint32		list;
	ItemPointerData first;		/* then; segments may have come before it since */
	OffsetNumber offset;
	BlockNumber blkno;
	float		norm2;
	float		scale;
	IvfTerms	terms;			/* for IVF_ASSIGN, of a dot product of levels */
} CachedCentre;

typedef struct IvfCache
{
	IvfMetaPageData meta;
	IvfTargets	targets;

	/* Centres as of so many changes, and behind them their levels. */
	uint32		changes;
	int			count;			/* 0: there are none */
	CachedCentre centres[FLEXIBLE_ARRAY_MEMBER];
} IvfCache;

bool
IvfRecall(Relation rel, IvfMetaPageData *meta, IvfTargets *targets)
{
	IvfCache   *cache = rel->rd_amcache;

	if (cache == NULL)
		return false;
	*meta = cache->meta;
	*targets = cache->targets;
	return true;
}

void
IvfRemember(Relation rel, const IvfMetaPageData *meta)
{
	IvfCache   *cache = MemoryContextAllocZero(rel->rd_indexcxt, sizeof(IvfCache));

	cache->meta = *meta;
	cache->targets.lists = cache->targets.values = InvalidBlockNumber;
	rel->rd_amcache = cache;
}

void
IvfRememberTargets(const IvfIndex *index)
{
	IvfCache   *cache = index->rel->rd_amcache;

	if (cache == NULL)
		return;
	cache->targets.lists = index->target;
	cache->targets.values = index->store.target;
}

static Size
levels_size(const IvfIndex *index)
{
	return index->centre_size - offsetof(IvfCentreData, levels);
}

/* The levels of the first of so many centres. */
static uint8 *
get_levels(IvfCache *cache, int count)
{
	return (uint8 *) (cache->centres + count);
}

static Size
cache_size(const IvfIndex *index, uint32 count)
{
	return offsetof(IvfCache, centres) + (Size) count * (sizeof(CachedCentre) + levels_size(index));
}

/* Copies a centre to a place of the cache, which has room for so many. */
static void
add_centre(const IvfIndex *index, IvfCache *cache, int room, const IvfCentrePage *page, int i)
{
	const IvfCentreData *centre = page->centres[i];
	CachedCentre *copy = &cache->centres[cache->count];

	copy->list = centre->list;
	copy->first = centre->first;
	copy->offset = page->offsets[i];
	copy->blkno = page->blkno;
	copy->norm2 = centre->norm2;
	copy->scale = centre->scale;
	copy->terms = IvfScoreTerms(index, IVF_ASSIGN, centre->norm2);
	copy->terms.factor *= centre->scale;
	memcpy(get_levels(cache, room) + levels_size(index) * cache->count, centre->levels, levels_size(index));
	cache->count++;
}

/*
 * Reads all centres into a new cache.  If lists are replaced meanwhile some may be
 * missing, but then it is out of date the next time.
 */
static void
read_centres(IvfIndex *index, const IvfMetaPageData *meta)
{
	Relation	rel = index->rel;
	IvfCache   *cache = MemoryContextAllocHuge(rel->rd_indexcxt, cache_size(index, meta->lists));
	ivf_list_heap groups;
	IvfCentrePage page;

	cache->meta = *meta;
	cache->targets.lists = index->target;
	cache->targets.values = index->store.target;
	/* until all are there: this may be interrupted */
	cache->changes = meta->changes - 1;
	cache->count = 0;
	AnnForgetCache(rel);
	rel->rd_amcache = cache;

	ivf_list_heap_init(&groups, 64);
	IvfReadGroups(index, meta, NULL, IVF_ASSIGN, &groups);
	while (groups.count > 0 && IvfReadCentres(index, ivf_list_heap_pop(&groups).blkno, IVF_PAGE_CENTRES, &page))
	{
		for (int i = 0; i < page.count && cache->count < meta->lists; i++)
			add_centre(index, cache, meta->lists, &page, i);
		UnlockReleaseBuffer(page.buf);
	}
	cache->changes = meta->changes;
}

/* The centres as the metapage says they are; NULL if they take more than work_mem. */
static IvfCache *
get_centres(IvfIndex *index, const IvfMetaPageData *meta)
{
	IvfCache   *cache = index->rel->rd_amcache;

	if (meta->lists == 0 || cache_size(index, meta->lists) > work_mem * (Size) 1024)
		return NULL;
	if (cache == NULL || cache->count == 0 || cache->changes != meta->changes)
		read_centres(index, meta);

	cache = index->rel->rd_amcache;
	return cache != NULL && cache->count == meta->lists ? cache : NULL;
}

/* Compares a point with centres from one on, ANN_BATCH at most; returns how many. */
static int
compare_centres(const IvfIndex *index, IvfCache *cache, const IvfPoint *point, int first, float *dots)
{
	int			n = Min(cache->count - first, ANN_BATCH);
	const uint8 *levels[ANN_BATCH];

	for (int i = 0; i < n; i++)
		levels[i] = get_levels(cache, cache->count) + levels_size(index) * (first + i);
	AnnRabitqDots(point->prepared, levels, n, dots);
	return n;
}

bool
IvfFindCached(IvfIndex *index, const IvfPoint *point, const IvfMetaPageData *meta,
			  IvfList *list)
{
	IvfCache   *cache = get_centres(index, meta);
	float		dots[ANN_BATCH];
	float		best_score = INFINITY;
	int			best = 0;
	int			n;

	if (cache == NULL)
		return false;

	for (int first = 0; first < cache->count; first += n)
	{
		n = compare_centres(index, cache, point, first, dots);
		for (int i = 0; i < n; i++)
		{
			IvfTerms	terms = cache->centres[first + i].terms;
			float		score = terms.offset + terms.factor * dots[i];

			if (score < best_score)
			{
				best_score = score;
				best = first + i;
			}
		}
	}
	list->number = cache->centres[best].list;
	list->blkno = cache->centres[best].blkno;
	list->offset = cache->centres[best].offset;
	return true;
}

bool
IvfListCached(IvfIndex *index, const IvfPoint *point, const IvfMetaPageData *meta,
			  ivf_list_heap *lists)
{
	IvfCache   *cache = get_centres(index, meta);
	float		dots[ANN_BATCH];
	int			n;

	if (cache == NULL)
		return false;

	for (int first = 0; first < cache->count; first += n)
	{
		n = compare_centres(index, cache, point, first, dots);
		for (int i = 0; i < n; i++)
		{
			const CachedCentre *centre = &cache->centres[first + i];
			IvfTerms	terms = IvfScoreTerms(index, IVF_SCAN, centre->norm2);
			double		dot = (double) centre->scale * dots[i];
			IvfList		list = {.number = centre->list,.first = centre->first,
			.blkno = centre->blkno,.offset = centre->offset};

			list.base = Max(point->norm2 + centre->norm2 - 2 * dot, 0);
			list.score = terms.offset + terms.factor * dot;
			ivf_list_heap_push(lists, &list);
		}
	}
	return true;
}
