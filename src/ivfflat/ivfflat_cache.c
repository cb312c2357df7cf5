/*
 * ivfflat_cache.c
 *	  What a backend remembers of an index from one insert to the next: the fixed
 *	  part of the metapage, where there was room, and the centres.
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
	BlockNumber blkno;
	OffsetNumber offset;
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
	copy->blkno = page->blkno;
	copy->offset = page->offsets[i];
	copy->terms = IvfScoreTerms(index, IVF_ASSIGN, centre);
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
	cache->changes = meta->changes;
	cache->count = 0;
	AnnForgetCache(rel);
	rel->rd_amcache = cache;

	ivf_list_heap_init(&groups, 64);
	IvfReadGroups(index, NULL, IVF_ASSIGN, &groups);
	while (groups.count > 0 && IvfReadCentres(index, ivf_list_heap_pop(&groups).blkno, IVF_PAGE_CENTRES, &page))
	{
		for (int i = 0; i < page.count && cache->count < meta->lists; i++)
			add_centre(index, cache, meta->lists, &page, i);
		UnlockReleaseBuffer(page.buf);
	}
}

bool
IvfFindCached(IvfIndex *index, const IvfPoint *point, const IvfMetaPageData *meta,
			  IvfList *list)
{
	IvfCache   *cache = index->rel->rd_amcache;
	float		best_score = INFINITY;
	int			best = 0;

	if (meta->lists == 0 || cache_size(index, meta->lists) > work_mem * (Size) 1024)
		return false;
	if (cache == NULL || cache->count == 0 || cache->changes != meta->changes)
		read_centres(index, meta);

	cache = index->rel->rd_amcache;
	if (cache == NULL || cache->count < meta->lists)
		return false;

	for (int first = 0; first < cache->count; first += ANN_BATCH)
	{
		int			n = Min(cache->count - first, ANN_BATCH);
		const uint8 *levels[ANN_BATCH];
		float		dots[ANN_BATCH];

		for (int i = 0; i < n; i++)
			levels[i] = get_levels(cache, cache->count) + levels_size(index) * (first + i);
		AnnRabitqDots(point->prepared, levels, n, dots);

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
