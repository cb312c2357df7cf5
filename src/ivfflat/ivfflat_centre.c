/*
 * ivfflat_centre.c
 *	  Centres: making them, comparing with them, and visiting the lists they
 *	  stand for.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/rel.h"

#include "ivfflat/ivfflat.h"
#include "kernels/kernels.h"
#include "space/rotate.h"

/*
 * Points
 */

void
IvfPointOfVector(const IvfIndex *index, const float *x, IvfPoint *point)
{
	int			dim = index->space.rotated_dim;

	point->x = x;
	point->norm2 = ann_kernels.ip_f32(dim, x, x);
	point->prepared = palloc(AnnRabitqQuerySize(dim));
	AnnRabitqPrepare(point->prepared, dim, index->centre_bits, x);
}

void
IvfPointOfValue(const IvfIndex *index, const AnnQuery *value, IvfPoint *point)
{
	const AnnSpace *space = &index->space;
	float	   *elements;
	float	   *rotated;

	/* A space of codes has rotated it already. */
	if (value->rotated != NULL)
	{
		IvfPointOfVector(index, value->rotated, point);
		return;
	}

	elements = palloc(sizeof(float) * space->dim);
	rotated = palloc(sizeof(float) * space->rotated_dim);
	space->metric->floats(space->dim, value->value, elements);
	AnnRotate(space->dim, ANN_ROTATION_SEED, elements, rotated);
	pfree(elements);
	IvfPointOfVector(index, rotated, point);
}

/*
 * Centres
 */

void
IvfDecodeCentre(const IvfIndex *index, const IvfCentreData *centre, float *x)
{
	AnnRabitqDecode(index->space.rotated_dim, index->centre_bits, centre->levels, centre->scale, x);
}

void
IvfMakeCentre(const IvfIndex *index, uint32 list, const float *x, IvfCentre centre)
{
	int			dim = index->space.rotated_dim;
	AnnRabitqFactors factors;

	memset(centre, 0, index->centre_size);
	centre->list = list;
	ItemPointerSetInvalid(&centre->first);
	AnnRabitqEncode(dim, index->centre_bits, x, NULL, centre->levels, &factors);
	centre->scale = factors.scale;
	IvfDecodeCentre(index, centre, index->scratch);
	centre->norm2 = ann_kernels.ip_f32(dim, index->scratch, index->scratch);
}

/*
 * A direction has no length, so where it counts that of the centre is divided
 * out; but in search of large inner products, lists of long vectors are worth
 * more.
 */
IvfTerms
IvfScoreTerms(const IvfIndex *index, IvfPurpose purpose, float norm2)
{
	AnnForm		form = index->space.metric->form;

	if (form == ANN_FORM_L2)
		return (IvfTerms) {norm2, -2};
	if (form == ANN_FORM_IP && purpose != IVF_ASSIGN)
		return (IvfTerms) {0, -1};
	return (IvfTerms) {0, norm2 > 0 ? -1 / sqrtf(norm2) : 0};
}

void
IvfCompare(const IvfIndex *index, const IvfPoint *point, IvfPurpose purpose,
		   const IvfCentreData *const *centres, int n, IvfList *lists)
{
	for (int first = 0; first < n; first += ANN_BATCH)
	{
		int			count = Min(n - first, ANN_BATCH);
		const uint8 *levels[ANN_BATCH];
		float		dots[ANN_BATCH];

		for (int i = 0; i < count; i++)
			levels[i] = centres[first + i]->levels;
		AnnRabitqDots(point->prepared, levels, count, dots);

		for (int i = 0; i < count; i++)
		{
			const IvfCentreData *centre = centres[first + i];
			IvfList    *list = &lists[first + i];
			IvfTerms	terms = IvfScoreTerms(index, purpose, centre->norm2);
			double		dot = (double) centre->scale * dots[i];

			list->base = Max(point->norm2 + centre->norm2 - 2 * dot, 0);
			list->score = terms.offset + terms.factor * dot;
		}
	}
}

bool
IvfReadCentres(IvfIndex *index, BlockNumber blkno, uint16 kind, IvfCentrePage *page)
{
	page->blkno = blkno;
	if (!IvfReadPage(index, blkno, kind, BUFFER_LOCK_SHARE, &page->buf))
		return false;
	page->count = IvfGetCentres(index, page->buf, page->centres, page->offsets);
	return true;
}

/* What a centre says of its list. */
static void
describe_list(const IvfCentreData *centre, IvfList *list)
{
	list->number = centre->list;
	list->rows = centre->rows;
	list->limit = centre->limit;
	list->first = centre->first;
}

void
IvfFindByGroups(IvfIndex *index, const IvfPoint *point, IvfList *list)
{
	IvfQueue	queue;

	IvfQueueInit(&queue, index, point, IVF_ASSIGN, 1);
	if (!IvfQueueNext(&queue, list))
		AnnCorrupted(index->rel, ANN_METAPAGE_BLKNO, "There are no lists");
}

void
IvfFindList(IvfIndex *index, const IvfPoint *point, IvfList *list, IvfCentre centre)
{
	IvfMetaPageData meta;

	/* A centre that has gone since the metapage was read is seen the next time. */
	do
	{
		CHECK_FOR_INTERRUPTS();
		IvfReadMeta(index, &meta);
		if (!IvfFindCached(index, point, &meta, list))
			IvfFindByGroups(index, point, list);
	} while (!IvfCopyCentre(index, list, centre));
	describe_list(centre, list);
}

/*
 * Queues
 */

/*
 * Centres are remembered where a search would see more than this share of them: it
 * takes less time to look at all, and none of them has to be read again.
 */
#define CACHED_SHARE 4

/*
 * How many centres are seen before one is taken for the nearest: so many for each
 * list that is wanted, and so many for the root of the number of lists.  With
 * that the nearest are hardly ever in another group.
 */
#define SEEN_PER_LIST 16
#define SEEN_PER_ROOT 8

uint32
IvfCentresSeen(uint32 lists, uint32 wanted)
{
	return (uint32) Min((double) SEEN_PER_LIST * wanted + SEEN_PER_ROOT * sqrt(lists), lists);
}

void
IvfQueueInit(IvfQueue *queue, IvfIndex *index, const IvfPoint *point, IvfPurpose purpose, uint32 wanted)
{
	queue->index = index;
	queue->point = point;
	queue->purpose = purpose;
	queue->wanted = wanted;
	ivf_list_heap_init(&queue->groups, 64);
	ivf_list_heap_init(&queue->lists, 256);
	AnnVisitedInit(&queue->visited, 64);
	IvfQueueRefresh(queue);
}

void
IvfQueueRefresh(IvfQueue *queue)
{
	IvfMetaPageData meta;

	IvfReadMeta(queue->index, &meta);
	queue->changes = meta.changes;
	queue->nlists = meta.lists;
	ivf_list_heap_reset(&queue->lists);
	ivf_list_heap_reset(&queue->groups);

	queue->seen = meta.lists;
	if (queue->purpose == IVF_SCAN && queue->point != NULL &&
		IvfCentresSeen(meta.lists, queue->wanted) > meta.lists / CACHED_SHARE &&
		IvfListCached(queue->index, queue->point, &meta, &queue->lists))
		return;

	queue->seen = 0;
	IvfReadGroups(queue->index, &meta, queue->point, queue->purpose, &queue->groups);
}

/* Reads the nearest group; if that is gone, so it is with its lists. */
static void
read_group(IvfQueue *queue)
{
	IvfIndex   *index = queue->index;
	IvfList    *lists = palloc0(sizeof(IvfList) * index->centres_per_page);
	BlockNumber blkno = ivf_list_heap_pop(&queue->groups).blkno;
	IvfCentrePage page;

	CHECK_FOR_INTERRUPTS();
	if (!IvfReadCentres(index, blkno, IVF_PAGE_CENTRES, &page))
	{
		IvfMetaPageData meta;

		IvfReadMeta(index, &meta);
		if (meta.changes == queue->changes)
			AnnCorrupted(index->rel, blkno, "A page of centres is missing");
		return;
	}

	if (queue->point != NULL)
		IvfCompare(index, queue->point, queue->purpose, page.centres, page.count, lists);
	for (int i = 0; i < page.count; i++)
	{
		describe_list(page.centres[i], &lists[i]);
		lists[i].blkno = blkno;
		lists[i].offset = page.offsets[i];
		ivf_list_heap_push(&queue->lists, &lists[i]);
	}
	queue->seen += page.count;
	UnlockReleaseBuffer(page.buf);
	pfree(lists);
}

/* Is the nearest list seen so far good enough? */
static bool
is_enough(const IvfQueue *queue)
{
	return queue->lists.count > 0 &&
		(queue->point == NULL ||
		 queue->seen >= IvfCentresSeen(queue->nlists, Max(queue->visited.count + 1, queue->wanted)));
}

/* Lists that were replaced since the groups were read may have been missed. */
bool
IvfQueueNext(IvfQueue *queue, IvfList *list)
{
	for (;;)
	{
		IvfMetaPageData meta;

		while (queue->groups.count > 0 && !is_enough(queue))
			read_group(queue);
		if (queue->lists.count > 0)
		{
			*list = ivf_list_heap_pop(&queue->lists);
			if (AnnVisitedAdd(&queue->visited, list->number))
				return true;
			continue;
		}

		IvfReadMeta(queue->index, &meta);
		if (meta.changes == queue->changes)
			return false;
		IvfQueueRefresh(queue);
	}
}
