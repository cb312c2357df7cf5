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

/*
 * Reads a page of centres, to which it adds a pin and a lock: the lists, as seen
 * from a point if there is one.  Returns how many.
 */
static int
read_page(IvfIndex *index, BlockNumber blkno, const IvfPoint *point, IvfPurpose purpose,
		  Buffer *buf, IvfList *lists)
{
	const IvfCentreData *centres[MaxOffsetNumber];
	Page		page;
	OffsetNumber count;
	int			n = 0;

	if (blkno >= index->nblocks)
		index->nblocks = RelationGetNumberOfBlocks(index->rel);
	if (blkno == ANN_METAPAGE_BLKNO || blkno >= index->nblocks)
		AnnCorrupted(index->rel, blkno, "A link leads to a block that has no centres");

	*buf = AnnReadBuffer(index->rel, blkno, IVF_PAGE_CENTRES, NULL, BUFFER_LOCK_SHARE);
	page = BufferGetPage(*buf);
	if (AnnPageIsUnused(page))
		AnnCorrupted(index->rel, blkno, "A page of centres is empty");

	count = PageGetMaxOffsetNumber(page);
	if (count > index->centres_per_page)
		AnnCorrupted(index->rel, blkno, "A page has too many centres");

	for (OffsetNumber offset = FirstOffsetNumber; offset <= count; offset++)
	{
		IvfCentre	centre = IvfGetCentre(index, *buf, offset);

		if (centre == NULL)
			continue;
		lists[n].score = lists[n].base = 0;
		lists[n].number = centre->list;
		lists[n].rows = centre->rows;
		lists[n].limit = centre->limit;
		lists[n].first = centre->first;
		lists[n].blkno = blkno;
		lists[n].offset = offset;
		centres[n++] = centre;
	}
	if (point != NULL)
		IvfCompare(index, point, purpose, centres, n, lists);
	return n;
}

/* The page after one that is locked; lets go of it. */
static BlockNumber
next_page(IvfIndex *index, Buffer buf, BlockNumber *pages)
{
	BlockNumber next = AnnPageGetOpaque(BufferGetPage(buf))->next;

	if (++*pages > index->nblocks)
		index->nblocks = RelationGetNumberOfBlocks(index->rel);
	if (*pages > index->nblocks)
		AnnCorrupted(index->rel, BufferGetBlockNumber(buf), "Pages of centres are in a circle");
	UnlockReleaseBuffer(buf);
	CHECK_FOR_INTERRUPTS();
	return next;
}

void
IvfFindList(IvfIndex *index, const IvfPoint *point, IvfList *list, IvfCentre centre)
{
	IvfList    *lists = palloc(sizeof(IvfList) * index->centres_per_page);
	BlockNumber pages = 0;
	IvfMetaPageData meta;
	bool		found = false;
	Buffer		buf;

	IvfReadMeta(index, &meta);
	for (BlockNumber blkno = meta.first_centres; blkno != InvalidBlockNumber;
		 blkno = next_page(index, buf, &pages))
	{
		int			n = read_page(index, blkno, point, IVF_ASSIGN, &buf, lists);
		IvfList    *best = NULL;

		for (int i = 0; i < n; i++)
			if (best == NULL || lists[i].score < best->score)
				best = &lists[i];
		if (best != NULL && (!found || best->score < list->score))
		{
			found = true;
			*list = *best;
			memcpy(centre, IvfGetCentre(index, buf, best->offset), index->centre_size);
		}
	}
	pfree(lists);

	if (!found)
		AnnCorrupted(index->rel, meta.first_centres, "There are no lists");
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
	IvfList    *lists = palloc(sizeof(IvfList) * index->centres_per_page);
	IvfMetaPageData meta;

	IvfReadMeta(index, &meta);
	do
	{
		BlockNumber pages = 0;
		Buffer		buf;

		queue->changes = meta.changes;
		ivf_list_heap_reset(&queue->lists);
		for (BlockNumber blkno = meta.first_centres; blkno != InvalidBlockNumber;
			 blkno = next_page(index, buf, &pages))
		{
			int			n = read_page(index, blkno, queue->point, IVF_SEARCH, &buf, lists);

			for (int i = 0; i < n; i++)
				if (!AnnVisitedHas(&queue->visited, lists[i].number))
					ivf_list_heap_push(&queue->lists, &lists[i]);
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
