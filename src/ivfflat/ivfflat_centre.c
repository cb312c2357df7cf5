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
IvfScoreTerms(const IvfIndex *index, IvfPurpose purpose, const IvfCentreData *centre)
{
	AnnForm		form = index->space.metric->form;

	if (form == ANN_FORM_L2)
		return (IvfTerms) {centre->norm2, -2};
	if (form == ANN_FORM_IP && purpose == IVF_SEARCH)
		return (IvfTerms) {0, -1};
	return (IvfTerms) {0, centre->norm2 > 0 ? -1 / sqrtf(centre->norm2) : 0};
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
			IvfTerms	terms = IvfScoreTerms(index, purpose, centre);
			double		dot = (double) centre->scale * dots[i];

			list->base = Max(point->norm2 + centre->norm2 - 2 * dot, 0);
			list->score = terms.offset + terms.factor * dot;
		}
	}
}

void
IvfReadCentres(IvfIndex *index, BlockNumber blkno, IvfCentrePage *page)
{
	if (blkno >= index->nblocks)
		index->nblocks = RelationGetNumberOfBlocks(index->rel);
	if (blkno == ANN_METAPAGE_BLKNO || blkno >= index->nblocks)
		AnnCorrupted(index->rel, blkno, "A link leads to a block that has no centres");

	page->blkno = blkno;
	page->buf = AnnReadBuffer(index->rel, blkno, IVF_PAGE_CENTRES, NULL, BUFFER_LOCK_SHARE);
	if (AnnPageIsUnused(BufferGetPage(page->buf)))
		AnnCorrupted(index->rel, blkno, "A page of centres is empty");
	page->count = IvfGetCentres(index, page->buf, page->centres, page->offsets);
}

/* What a centre of a page says of its list. */
static void
describe_list(const IvfCentrePage *page, int i, IvfList *list)
{
	const IvfCentreData *centre = page->centres[i];

	list->number = centre->list;
	list->rows = centre->rows;
	list->limit = centre->limit;
	list->first = centre->first;
	list->blkno = page->blkno;
	list->offset = page->offsets[i];
}

BlockNumber
IvfNextCentres(IvfIndex *index, const IvfCentrePage *page, BlockNumber *pages)
{
	BlockNumber next = AnnPageGetOpaque(BufferGetPage(page->buf))->next;

	if (++*pages > index->nblocks)
		index->nblocks = RelationGetNumberOfBlocks(index->rel);
	if (*pages > index->nblocks)
		AnnCorrupted(index->rel, page->blkno, "Pages of centres are in a circle");
	UnlockReleaseBuffer(page->buf);
	CHECK_FOR_INTERRUPTS();
	return next;
}

/* The centre of a page that a point belongs to; less is better. */
static int
find_best(const IvfIndex *index, const IvfPoint *point, const IvfCentrePage *page, double *best_score)
{
	int			best = -1;

	for (int first = 0; first < page->count; first += ANN_BATCH)
	{
		int			count = Min(page->count - first, ANN_BATCH);
		const uint8 *levels[ANN_BATCH];
		float		dots[ANN_BATCH];

		for (int i = 0; i < count; i++)
			levels[i] = page->centres[first + i]->levels;
		AnnRabitqDots(point->prepared, levels, count, dots);

		for (int i = 0; i < count; i++)
		{
			const IvfCentreData *centre = page->centres[first + i];
			IvfTerms	terms = IvfScoreTerms(index, IVF_ASSIGN, centre);
			double		score = terms.offset + terms.factor * (double) centre->scale * dots[i];

			if (score < *best_score || (best < 0 && *best_score == INFINITY))
			{
				*best_score = score;
				best = first + i;
			}
		}
	}
	return best;
}

/* Finds the list a point belongs to by reading all centres. */
static void
find_on_pages(IvfIndex *index, const IvfPoint *point, const IvfMetaPageData *meta,
			  IvfList *list, IvfCentre centre)
{
	IvfCentrePage page;
	BlockNumber pages = 0;
	double		score = INFINITY;
	bool		found = false;

	for (BlockNumber blkno = meta->first_centres; blkno != InvalidBlockNumber;
		 blkno = IvfNextCentres(index, &page, &pages))
	{
		int			best;

		IvfReadCentres(index, blkno, &page);
		best = find_best(index, point, &page, &score);
		if (best < 0)
			continue;
		found = true;
		describe_list(&page, best, list);
		memcpy(centre, page.centres[best], index->centre_size);
	}

	if (!found)
		AnnCorrupted(index->rel, meta->first_centres, "There are no lists");
}

/* Reads one centre; false if it is not that of the list any more. */
static bool
read_centre(IvfIndex *index, const IvfCachedCentre *cached, IvfList *list, IvfCentre centre)
{
	Buffer		buf = AnnReadBuffer(index->rel, cached->blkno, IVF_PAGE_CENTRES, NULL,
									BUFFER_LOCK_SHARE);
	IvfCentre	item = IvfGetCentre(index, buf, cached->offset);
	bool		found = item != NULL && item->list == cached->list;

	if (found)
	{
		memcpy(centre, item, index->centre_size);
		list->number = centre->list;
		list->rows = centre->rows;
		list->limit = centre->limit;
		list->first = centre->first;
		list->blkno = cached->blkno;
		list->offset = cached->offset;
	}
	UnlockReleaseBuffer(buf);
	return found;
}

void
IvfFindList(IvfIndex *index, const IvfPoint *point, IvfList *list, IvfCentre centre)
{
	IvfMetaPageData meta;
	IvfCachedCentre cached;

	/* A centre that has gone since the metapage was read is seen the next time. */
	do
	{
		CHECK_FOR_INTERRUPTS();
		IvfReadMeta(index, &meta);
		if (!IvfFindCached(index, point, &meta, &cached))
		{
			find_on_pages(index, point, &meta, list, centre);
			return;
		}
	} while (!read_centre(index, &cached, list, centre));
}

/*
 * Queues
 */

void
IvfQueueInit(IvfQueue *queue, IvfIndex *index, const IvfPoint *point)
{
	queue->index = index;
	queue->point = point;
	ivf_list_heap_init(&queue->lists, 256);
	AnnVisitedInit(&queue->visited, 64);
	IvfQueueRefresh(queue);
}

/* Lists that are replaced while we read may be missed, so that is done again. */
void
IvfQueueRefresh(IvfQueue *queue)
{
	IvfIndex   *index = queue->index;
	IvfList    *lists = palloc0(sizeof(IvfList) * index->centres_per_page);
	IvfCentrePage	page;
	IvfMetaPageData meta;

	IvfReadMeta(index, &meta);
	do
	{
		BlockNumber pages = 0;

		queue->changes = meta.changes;
		ivf_list_heap_reset(&queue->lists);
		for (BlockNumber blkno = meta.first_centres; blkno != InvalidBlockNumber;
			 blkno = IvfNextCentres(index, &page, &pages))
		{
			IvfReadCentres(index, blkno, &page);
			if (queue->point != NULL)
				IvfCompare(index, queue->point, IVF_SEARCH, page.centres, page.count, lists);
			for (int i = 0; i < page.count; i++)
			{
				describe_list(&page, i, &lists[i]);
				if (!AnnVisitedHas(&queue->visited, lists[i].number))
					ivf_list_heap_push(&queue->lists, &lists[i]);
			}
		}
		IvfReadMeta(index, &meta);
	} while (meta.changes != queue->changes);
	pfree(lists);
}

bool
IvfQueueNext(IvfQueue *queue, IvfList *list)
{
	while (queue->lists.count == 0)
	{
		IvfMetaPageData meta;

		IvfReadMeta(queue->index, &meta);
		if (meta.changes == queue->changes)
			return false;
		IvfQueueRefresh(queue);
	}

	*list = ivf_list_heap_pop(&queue->lists);
	AnnVisitedAdd(&queue->visited, list->number);
	return true;
}
