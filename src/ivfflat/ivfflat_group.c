/*
 * ivfflat_group.c
 *	  Groups: the centres of a page, and the centre of these by which a search
 *	  finds the page.
 *
 * A page of centres that is full is divided between itself and a new one, as
 * compact as two halves can be.  A build makes the same division from the top.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/rel.h"

#include "am/am_point.h"
#include "ivfflat/ivfflat.h"
#include "kernels/kernels.h"
#include "space/kmeans.h"

/* A build leaves this share of a page to centres that are to come. */
#define SPARE_SHARE 8

/* A vector, in the order of a division. */
typedef struct Ranked
{
	float		rank;
	int			row;
} Ranked;

static void
pause_training(void)
{
	CHECK_FOR_INTERRUPTS();
}

static int
compare_ranked(const void *a, const void *b)
{
	const Ranked *x = a;
	const Ranked *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->row - y->row;
}

/*
 * Orders n vectors such that, wherever they are divided, those on one side are
 * near each other: by how much nearer they are to one of two centres.
 */
static Ranked *
rank_vectors(const IvfIndex *index, const float *x, int n)
{
	int			dim = index->space.rotated_dim;
	AnnKmeans	problem = {.dim = dim,.nrows = n,.rows = x,.spherical = IvfSpherical(index),
	.seed = ann_seed,.pause = pause_training};
	void	   *scratch = palloc_extended(AnnKmeansScratch(&problem, 2), MCXT_ALLOC_HUGE);
	float	   *means = palloc(sizeof(float) * dim * 2);
	Ranked	   *ranked = palloc_extended(sizeof(Ranked) * (Size) n, MCXT_ALLOC_HUGE);
	bool		found = AnnKmeansRun(&problem, 2, means, scratch) == 2;

	for (int i = 0; i < dim; i++)
		means[i] -= found ? means[dim + i] : means[i];
	for (int i = 0; i < n; i++)
	{
		ranked[i].rank = ann_kernels.ip_f32(dim, means, x + (Size) i * dim);
		ranked[i].row = i;
	}
	qsort(ranked, n, sizeof(Ranked), compare_ranked);
	pfree(means);
	pfree(scratch);
	return ranked;
}

/*
 * Building
 */

/* How many pages centres are put on, and the first centre of one of them. */
static int
count_pages(const IvfIndex *index, int n)
{
	int			per_page = index->centres_per_page - index->centres_per_page / SPARE_SHARE;

	return (n + per_page - 1) / per_page;
}

static int
first_of_page(int page, int pages, int n)
{
	return (int) ((int64) n * page / pages);
}

/* Puts vectors in the order that was found for them. */
static void
reorder(float *x, int dim, Ranked *ranked, int n)
{
	float	   *spare = palloc(sizeof(float) * dim);

	for (int i = 0; i < n; i++)
	{
		int			to = i;

		memcpy(spare, x + (Size) i * dim, sizeof(float) * dim);
		while (ranked[to].row != i)
		{
			int			from = ranked[to].row;

			memcpy(x + (Size) to * dim, x + (Size) from * dim, sizeof(float) * dim);
			ranked[to].row = to;
			to = from;
		}
		memcpy(x + (Size) to * dim, spare, sizeof(float) * dim);
		ranked[to].row = to;
	}
	pfree(spare);
}

/* Arranges what goes to the pages from first to before end. */
static void
arrange_pages(const IvfIndex *index, float *x, int n, int first, int end)
{
	int			dim = index->space.rotated_dim;
	int			pages = count_pages(index, n);
	int			begin = first_of_page(first, pages, n);
	int			count = first_of_page(end, pages, n) - begin;
	float	   *part = x + (Size) begin * dim;
	Ranked	   *ranked;

	if (end - first < 2)
		return;
	ranked = rank_vectors(index, part, count);
	reorder(part, dim, ranked, count);
	pfree(ranked);
	arrange_pages(index, x, n, first, (first + end) / 2);
	arrange_pages(index, x, n, (first + end) / 2, end);
}

void
IvfArrange(const IvfIndex *index, float *x, int n)
{
	arrange_pages(index, x, n, 0, count_pages(index, n));
}

/* Makes the group of a page from its centres. */
static void
make_group(const IvfIndex *index, const IvfCentreData *const *centres, int n, BlockNumber blkno,
		   IvfCentre group)
{
	int			dim = index->space.rotated_dim;
	float	   *mean = palloc0(sizeof(float) * dim);
	float	   *x = palloc(sizeof(float) * dim);

	for (int i = 0; i < n; i++)
	{
		IvfDecodeCentre(index, centres[i], x);
		for (int j = 0; j < dim; j++)
			mean[j] += x[j] / n;
	}
	IvfMakeCentre(index, 0, mean, group);
	ItemPointerSet(&group->first, blkno, InvalidOffsetNumber);
	pfree(mean);
	pfree(x);
}

/* Adds a page with n items of the size of centres to a new index. */
static BlockNumber
write_page(const IvfIndex *index, ForkNumber fork, uint16 kind, const char *items, int n, bool last)
{
	Buffer		buf = AnnExtend(index->rel, fork);
	BlockNumber blkno = BufferGetBlockNumber(buf);
	Page		page = BufferGetPage(buf);

	CHECK_FOR_INTERRUPTS();
	AnnInitPage(page, kind);
	AnnPageGetOpaque(page)->next = last ? InvalidBlockNumber : blkno + 1;
	for (int i = 0; i < n; i++)
		if (PageAddItem(page, (Item) (items + index->centre_size * i), index->centre_size,
						InvalidOffsetNumber, false, false) == InvalidOffsetNumber)
			elog(ERROR, "could not add a centre to index \"%s\"", RelationGetRelationName(index->rel));
	MarkBufferDirty(buf);
	UnlockReleaseBuffer(buf);
	return blkno;
}

void
IvfCreate(const IvfIndex *index, ForkNumber fork, const char *centres, int n)
{
	int			pages = count_pages(index, n);
	char	   *groups = palloc_extended(index->centre_size * (Size) pages, MCXT_ALLOC_HUGE);
	const IvfCentreData **ours = palloc(sizeof(void *) * index->centres_per_page);
	IvfMetaPageData meta = {0};
	Buffer		buf = AnnExtend(index->rel, fork);

	meta.header.magic = IVF_MAGIC;
	meta.header.version = IVF_VERSION;
	meta.dim = index->space.dim;
	meta.bits = index->bits;
	meta.centre_bits = index->centre_bits;
	meta.stored = index->stored;
	meta.first_groups = ANN_METAPAGE_BLKNO + 1 + pages;
	meta.lists = meta.next_list = n;
	AnnInitMetaPage(BufferGetPage(buf), &meta, sizeof(IvfMetaPageData));
	MarkBufferDirty(buf);
	UnlockReleaseBuffer(buf);

	for (int i = 0; i < pages; i++)
	{
		int			first = first_of_page(i, pages, n);
		int			count = first_of_page(i + 1, pages, n) - first;
		const char *items = centres + index->centre_size * first;

		for (int j = 0; j < count; j++)
			ours[j] = (const IvfCentreData *) (items + index->centre_size * j);
		make_group(index, ours, count, write_page(index, fork, IVF_PAGE_CENTRES, items, count, true),
				   (IvfCentre) (groups + index->centre_size * i));
	}
	for (int i = 0; i < pages; i += index->centres_per_page)
		write_page(index, fork, IVF_PAGE_GROUPS, groups + index->centre_size * i,
				   Min(pages - i, index->centres_per_page), i + index->centres_per_page >= pages);
	pfree(groups);
	pfree(ours);
}

/*
 * Reading
 */

/* The page of group pages after one, which it lets go of.  *pages counts them. */
static BlockNumber
next_groups(IvfIndex *index, const IvfCentrePage *page, BlockNumber *pages)
{
	BlockNumber next = AnnPageGetOpaque(BufferGetPage(page->buf))->next;

	if (++*pages > index->nblocks)
		index->nblocks = RelationGetNumberOfBlocks(index->rel);
	if (*pages > index->nblocks)
		AnnCorrupted(index->rel, page->blkno, "Pages of groups are in a circle");
	UnlockReleaseBuffer(page->buf);
	CHECK_FOR_INTERRUPTS();
	return next;
}

/* Reads and locks a page of groups. */
static void
read_groups(IvfIndex *index, BlockNumber blkno, IvfCentrePage *page)
{
	if (!IvfReadCentres(index, blkno, IVF_PAGE_GROUPS, page))
		AnnCorrupted(index->rel, blkno, "A page of groups is missing");
}

void
IvfReadGroups(IvfIndex *index, const IvfMetaPageData *meta, const IvfPoint *point,
			  IvfPurpose purpose, ivf_list_heap *groups)
{
	IvfList    *lists = palloc0(sizeof(IvfList) * index->centres_per_page);
	BlockNumber pages = 0;
	IvfCentrePage page;

	for (BlockNumber blkno = meta->first_groups; blkno != InvalidBlockNumber;
		 blkno = next_groups(index, &page, &pages))
	{
		read_groups(index, blkno, &page);
		if (point != NULL)
			IvfCompare(index, point, purpose, page.centres, page.count, lists);
		for (int i = 0; i < page.count; i++)
		{
			lists[i].blkno = ItemPointerGetBlockNumberNoCheck(&page.centres[i]->first);
			ivf_list_heap_push(groups, &lists[i]);
		}
	}
	pfree(lists);
}

/*
 * Changing
 */

/* Finds the group of a page of centres. */
static void
find_group(IvfIndex *index, BlockNumber wanted, BlockNumber *blkno, OffsetNumber *offset)
{
	BlockNumber pages = 0;
	IvfMetaPageData meta;
	IvfCentrePage page;

	IvfReadMeta(index, &meta);
	for (*blkno = meta.first_groups; *blkno != InvalidBlockNumber; *blkno = next_groups(index, &page, &pages))
	{
		read_groups(index, *blkno, &page);
		for (int i = 0; i < page.count; i++)
			if (ItemPointerGetBlockNumberNoCheck(&page.centres[i]->first) == wanted)
			{
				*offset = page.offsets[i];
				UnlockReleaseBuffer(page.buf);
				return;
			}
	}
	AnnCorrupted(index->rel, wanted, "A page of centres is in no group");
}

/* Removes a page without centres, and its group. */
static void
drop_group(IvfIndex *index, BlockNumber centres, BlockNumber groups, OffsetNumber offset)
{
	Buffer		buf = AnnReadBuffer(index->rel, centres, IVF_PAGE_CENTRES, NULL, BUFFER_LOCK_EXCLUSIVE);
	Buffer		group_buf = AnnReadBuffer(index->rel, groups, IVF_PAGE_GROUPS, NULL, BUFFER_LOCK_EXCLUSIVE);
	Buffer		meta_buf = AnnReadMeta(index->rel, IVF_MAGIC, IVF_VERSION, BUFFER_LOCK_EXCLUSIVE);
	Size		room;
	AnnEdit		edit;

	AnnEditBegin(&edit, index->rel, false);
	room = AnnEditFreeIfEmpty(&edit, buf);
	AnnEditDeleteItem(&edit, group_buf, offset);
	((IvfMetaPageData *) AnnMetaContents(AnnEditPage(&edit, meta_buf)))->changes++;
	AnnEditCommit(&edit);
	AnnPoint("ivfflat W17");
	AnnRecordFreeSpace(index->rel, centres, room);
}

void
IvfUpdateGroup(IvfIndex *index, BlockNumber blkno)
{
	IvfCentre	group = palloc(index->centre_size);
	BlockNumber group_blkno;
	OffsetNumber offset;
	IvfCentrePage page;
	bool		empty;
	Buffer		buf;
	AnnEdit		edit;

	if (!IvfReadCentres(index, blkno, IVF_PAGE_CENTRES, &page))
		AnnCorrupted(index->rel, blkno, "A page of centres is missing");
	empty = page.count == 0;
	make_group(index, page.centres, page.count, blkno, group);
	UnlockReleaseBuffer(page.buf);

	find_group(index, blkno, &group_blkno, &offset);
	if (empty)
	{
		drop_group(index, blkno, group_blkno, offset);
		return;
	}
	buf = AnnReadBuffer(index->rel, group_blkno, IVF_PAGE_GROUPS, NULL, BUFFER_LOCK_EXCLUSIVE);
	AnnEditBegin(&edit, index->rel, false);
	memcpy(AnnEditItem(&edit, buf, offset), group, index->centre_size);
	AnnEditCommit(&edit);
	AnnPoint("ivfflat W16");
	pfree(group);
}

/* Adds a group to the first page of groups, or to a new one in front of it. */
static Buffer
find_room(IvfIndex *index, BlockNumber first)
{
	Buffer		buf = AnnReadBuffer(index->rel, first, IVF_PAGE_GROUPS, NULL, BUFFER_LOCK_EXCLUSIVE);

	if (PageGetFreeSpace(BufferGetPage(buf)) >= MAXALIGN(index->centre_size))
		return buf;
	UnlockReleaseBuffer(buf);
	return AnnExtend(index->rel, MAIN_FORKNUM);
}

/*
 * Moves the centres at some offsets of a list's page to a new one, and adds the
 * group of that; if the list's is among them, the list comes to know.
 */
static BlockNumber
move_centres(IvfIndex *index, IvfList *list, const OffsetNumber *moved, int n, IvfCentre group)
{
	IvfMetaPageData *meta;
	IvfMetaPageData now;
	Buffer		old = AnnReadBuffer(index->rel, list->blkno, IVF_PAGE_CENTRES, NULL, BUFFER_LOCK_EXCLUSIVE);
	Buffer		new = AnnExtend(index->rel, MAIN_FORKNUM);
	BlockNumber blkno = BufferGetBlockNumber(new);
	OffsetNumber place = InvalidOffsetNumber;
	Buffer		group_buf;
	Buffer		meta_buf;
	bool		first;
	AnnEdit		edit;

	IvfReadMeta(index, &now);
	group_buf = find_room(index, now.first_groups);
	first = AnnPageIsUnused(BufferGetPage(group_buf));
	meta_buf = AnnReadMeta(index->rel, IVF_MAGIC, IVF_VERSION, BUFFER_LOCK_EXCLUSIVE);

	AnnEditBegin(&edit, index->rel, false);
	AnnEditPage(&edit, old);
	AnnInitPage(AnnEditPage(&edit, new), IVF_PAGE_CENTRES);
	for (int i = 0; i < n; i++)
	{
		OffsetNumber offset = AnnEditAddItem(&edit, new, IVF_PAGE_CENTRES,
											 AnnEditItem(&edit, old, moved[i]), index->centre_size);

		if (moved[i] == list->offset)
			place = offset;
		AnnEditDeleteItem(&edit, old, moved[i]);
	}

	ItemPointerSet(&group->first, blkno, InvalidOffsetNumber);
	AnnEditAddItem(&edit, group_buf, IVF_PAGE_GROUPS, group, index->centre_size);
	meta = AnnMetaContents(AnnEditPage(&edit, meta_buf));
	if (first)
	{
		AnnPageGetOpaque(AnnEditPage(&edit, group_buf))->next = meta->first_groups;
		meta->first_groups = BufferGetBlockNumber(group_buf);
	}
	meta->changes++;
	AnnEditCommit(&edit);
	AnnPoint("ivfflat W15");

	if (place != InvalidOffsetNumber)
	{
		list->blkno = blkno;
		list->offset = place;
	}
	return blkno;
}

BlockNumber
IvfMakeRoom(IvfIndex *index, IvfList *list)
{
	int			dim = index->space.rotated_dim;
	IvfCentre	group = palloc(index->centre_size);
	const IvfCentreData *halves[MaxOffsetNumber];
	OffsetNumber moved[MaxOffsetNumber];
	BlockNumber old = list->blkno;
	BlockNumber new;
	IvfCentrePage page;
	Ranked	   *ranked;
	int			half;
	float	   *x;

	if (!IvfReadCentres(index, old, IVF_PAGE_CENTRES, &page))
		AnnCorrupted(index->rel, old, "A page of centres is missing");
	if (PageGetFreeSpace(BufferGetPage(page.buf)) >= MAXALIGN(index->centre_size))
	{
		UnlockReleaseBuffer(page.buf);
		return old;
	}

	x = palloc(sizeof(float) * dim * page.count);
	for (int i = 0; i < page.count; i++)
		IvfDecodeCentre(index, page.centres[i], x + (Size) i * dim);
	ranked = rank_vectors(index, x, page.count);
	half = page.count / 2;
	for (int i = 0; i < half; i++)
	{
		halves[i] = page.centres[ranked[i].row];
		moved[i] = page.offsets[ranked[i].row];
	}
	make_group(index, halves, half, old, group);
	UnlockReleaseBuffer(page.buf);

	new = move_centres(index, list, moved, half, group);
	if (half > 0)
		IvfUpdateGroup(index, old);
	pfree(x);

	/* Where a page has one centre only, the new page is where there is room. */
	return half > 0 ? list->blkno : new;
}
