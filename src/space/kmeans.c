/*
 * kmeans.c
 *	  k-means.
 *
 * Knows neither PostgreSQL beyond c.h nor what the rows are; what it allocates
 * is of the caller's.
 */
#include "c.h"

#include <math.h>

#include "kernels/kernels.h"
#include "space/kmeans.h"
#include "space/random.h"

#define ROUNDS		10

/* The most centres that are found in one step. */
#define MAX_FLAT	48

/* Rows between two calls of pause. */
#define PAUSE_INTERVAL	1024

/* Arrays in scratch memory. */
typedef struct Work
{
	const AnnKmeans *problem;
	uint64		random;
	uint32	   *order;			/* rows, by group */
	uint32	   *sorted;			/* another order, while it is made */
	uint32	   *owner;			/* the centre of each row */
	/* Of each centre: */
	uint32	   *counts;
	uint32	   *starts;
	const float **x;
	float	   *offsets;		/* score = offset + factor * dot product */
	float	   *factors;
	float	   *dots;
	float	   *groups;			/* centres of the groups */
} Work;

static int
number_of_groups(int k)
{
	return k <= MAX_FLAT ? 0 : (int) ceil(sqrt(k));
}

static Size
aligned(Size size)
{
	return (size + 7) & ~(Size) 7;
}

/* Divides memory among the arrays; returns how much that takes. */
static Size
lay_out(Work *work, const AnnKmeans *problem, int k, char *memory)
{
	char	   *p = memory;
	Size		rows = aligned(sizeof(uint32) * (Size) problem->nrows);
	Size		each = aligned(sizeof(uint32) * ((Size) k + 1));

	work->problem = problem;
	work->order = (uint32 *) p;
	p += rows;
	work->sorted = (uint32 *) p;
	p += rows;
	work->owner = (uint32 *) p;
	p += rows;
	work->counts = (uint32 *) p;
	p += each;
	work->starts = (uint32 *) p;
	p += each;
	work->offsets = (float *) p;
	p += each;
	work->factors = (float *) p;
	p += each;
	work->dots = (float *) p;
	p += each;
	work->x = (const float **) p;
	p += sizeof(float *) * (Size) k;
	work->groups = (float *) p;
	p += aligned(sizeof(float) * (Size) number_of_groups(k) * problem->dim);
	return p - memory;
}

Size
AnnKmeansScratch(const AnnKmeans *problem, int k)
{
	Work		work;

	return lay_out(&work, problem, k, NULL);
}

static const float *
get_row(const Work *work, uint32 row)
{
	return work->problem->rows + (Size) row * work->problem->dim;
}

/* Starts with different rows, drawn at random, as centres. */
static void
draw_centres(Work *work, uint32 *order, int n, int k, float *centres)
{
	int			dim = work->problem->dim;
	int			i;

	for (i = 0; i < k; i++)
	{
		int			j = i + (int) AnnRandomBelow(&work->random, n - i);
		uint32		row = order[j];

		order[j] = order[i];
		order[i] = row;
		memcpy(centres + (Size) i * dim, get_row(work, row), sizeof(float) * dim);
	}
}

/* Gives each row to the best centre; returns how many changed theirs. */
static int
assign(Work *work, const uint32 *order, int n, int k, const float *centres)
{
	int			dim = work->problem->dim;
	int			changes = 0;
	int			i;
	int			j;

	for (j = 0; j < k; j++)
	{
		float		norm2;

		work->x[j] = centres + (Size) j * dim;
		norm2 = ann_kernels.ip_f32(dim, work->x[j], work->x[j]);
		work->offsets[j] = work->problem->spherical ? 0.0f : norm2;
		work->factors[j] = !work->problem->spherical ? -2.0f :
			norm2 > 0.0f ? -1.0f / sqrtf(norm2) : 0.0f;
	}

	for (i = 0; i < n; i++)
	{
		uint32		best = 0;
		float		best_score = INFINITY;

		ann_kernels.ip_f32_batch(dim, get_row(work, order[i]), work->x, k, work->dots);
		for (j = 0; j < k; j++)
		{
			float		score = work->offsets[j] + work->factors[j] * work->dots[j];

			if (score < best_score)
			{
				best_score = score;
				best = j;
			}
		}
		changes += work->owner[order[i]] != best;
		work->owner[order[i]] = best;
		if (i % PAUSE_INTERVAL == 0)
			work->problem->pause();
	}
	return changes;
}

/* Makes a centre without rows one of the rows of the largest. */
static void
reseed(Work *work, const uint32 *order, int n, int k, int centre, float *centres)
{
	int			dim = work->problem->dim;
	uint32		largest = 0;
	int			nth;
	int			i;
	int			j;

	for (j = 1; j < k; j++)
		if (work->counts[j] > work->counts[largest])
			largest = j;

	nth = (int) AnnRandomBelow(&work->random, work->counts[largest]);
	for (i = 0; i < n; i++)
		if (work->owner[order[i]] == largest && nth-- == 0)
			memcpy(centres + (Size) centre * dim, get_row(work, order[i]), sizeof(float) * dim);
}

/* Moves each centre to the mean of its rows, and counts these. */
static void
move_centres(Work *work, const uint32 *order, int n, int k, float *centres)
{
	int			dim = work->problem->dim;
	int			i;
	int			j;
	int			d;

	memset(work->counts, 0, sizeof(uint32) * k);
	memset(centres, 0, sizeof(float) * (Size) k * dim);
	for (i = 0; i < n; i++)
	{
		const float *row = get_row(work, order[i]);
		float	   *sum = centres + (Size) work->owner[order[i]] * dim;

		work->counts[work->owner[order[i]]]++;
		for (d = 0; d < dim; d++)
			sum[d] += row[d];
	}

	for (j = 0; j < k; j++)
		for (d = 0; d < dim && work->counts[j] > 0; d++)
			centres[(Size) j * dim + d] /= work->counts[j];
}

/* Finds centres for some rows in one step; returns how many have any. */
static int
find_flat(Work *work, uint32 *order, int n, int k, float *centres)
{
	int			dim = work->problem->dim;
	int			found = 0;
	int			round;
	int			j;

	draw_centres(work, order, n, k, centres);
	for (round = 0; round < ROUNDS; round++)
	{
		int			changes = assign(work, order, n, k, centres);

		move_centres(work, order, n, k, centres);
		if (round > 0 && changes == 0)
			break;
		if (round < ROUNDS - 1)
			for (j = 0; j < k; j++)
				if (work->counts[j] == 0)
					reseed(work, order, n, k, j, centres);
	}

	for (j = 0; j < k; j++)
		if (work->counts[j] > 0)
		{
			memmove(centres + (Size) found * dim, centres + (Size) j * dim, sizeof(float) * dim);
			found++;
		}
	return found;
}

/* Puts the rows in the order of their groups; group g's begin at starts[g]. */
static void
sort_by_group(Work *work, int ngroups)
{
	int			n = work->problem->nrows;
	int			i;
	int			g;

	memset(work->starts, 0, sizeof(uint32) * (ngroups + 1));
	for (i = 0; i < n; i++)
		work->starts[work->owner[i] + 1]++;
	for (g = 0; g < ngroups; g++)
		work->starts[g + 1] += work->starts[g];
	for (i = 0; i < n; i++)
		work->sorted[work->starts[work->owner[work->order[i]]]++] = work->order[i];
	for (g = ngroups; g > 0; g--)
		work->starts[g] = work->starts[g - 1];
	work->starts[0] = 0;
	memcpy(work->order, work->sorted, sizeof(uint32) * n);
}

int
AnnKmeansRun(const AnnKmeans *problem, int k, float *centres, void *scratch)
{
	int			n = problem->nrows;
	int			ngroups = number_of_groups(k);
	int			found = 0;
	Work		work;
	int			i;
	int			g;

	lay_out(&work, problem, k, scratch);
	work.random = AnnMix(problem->seed);
	for (i = 0; i < n; i++)
		work.order[i] = i;
	memset(work.owner, 0, sizeof(uint32) * n);

	if (ngroups == 0 || n <= k)
		return n == 0 ? 0 : find_flat(&work, work.order, n, Min(n, k), centres);

	ngroups = find_flat(&work, work.order, n, ngroups, work.groups);
	assign(&work, work.order, n, ngroups, work.groups);
	sort_by_group(&work, ngroups);

	/* Each group gets its share of the centres; rounding carries over. */
	for (g = 0; g < ngroups; g++)
	{
		int			first = work.starts[g];
		int			size = (int) work.starts[g + 1] - first;
		int			share = (int) ((double) k * (first + size) / n + 0.5) -
			(int) ((double) k * first / n + 0.5);

		share = Min(Max(share, 1), Min(size, k - found));
		if (share > 0)
			found += find_flat(&work, work.order + first, size, share,
							   centres + (Size) found * problem->dim);
	}
	return found;
}
