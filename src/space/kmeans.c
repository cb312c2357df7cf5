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

/* Rows that the groups are found from, for each. */
#define ROWS_PER_GROUP 128

/* What those who work on a problem share, at the beginning of scratch memory. */
typedef struct AnnKmeansShared
{
	int			ngroups;		/* 0: the problem is solved in one step */
	int			nparts;
} AnnKmeansShared;

/* Rows of a part: a step for which nobody is interrupted. */
#define PART_SIZE	PAUSE_INTERVAL

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

/* Takes so much of memory; with *p NULL at first, counts. */
static void *
take(char **p, Size size)
{
	char	   *taken = *p;

	*p += aligned(size);
	return taken;
}

/* Divides the memory that is shared among its arrays; returns how much it is. */
static Size
lay_out_shared(AnnKmeansWork *work, const AnnKmeans *problem, int k, char *memory)
{
	char	   *p = memory;
	Size		rows = sizeof(uint32) * (Size) problem->nrows;
	Size		groups = (Size) number_of_groups(k);

	work->shared = take(&p, sizeof(AnnKmeansShared));
	work->order = take(&p, rows);
	work->sorted = take(&p, rows);
	work->owner = take(&p, rows);
	work->starts = take(&p, sizeof(uint32) * (groups + 1));
	work->found = take(&p, sizeof(uint32) * (groups + 1));
	work->groups = take(&p, sizeof(float) * groups * problem->dim);
	return p - memory;
}

/* The same of the memory that everybody has for himself. */
static Size
lay_out_own(AnnKmeansWork *work, int k, char *memory)
{
	char	   *p = memory;

	work->counts = take(&p, sizeof(uint32) * (Size) k);
	work->offsets = take(&p, sizeof(float) * (Size) k);
	work->factors = take(&p, sizeof(float) * (Size) k);
	work->dots = take(&p, sizeof(float) * (Size) k);
	work->x = take(&p, sizeof(float *) * (Size) k);
	return p - memory;
}

Size
AnnKmeansSharedScratch(const AnnKmeans *problem, int k)
{
	AnnKmeansWork work;

	return lay_out_shared(&work, problem, k, NULL);
}

Size
AnnKmeansOwnScratch(int k)
{
	AnnKmeansWork work;

	return lay_out_own(&work, k, NULL);
}

Size
AnnKmeansScratch(const AnnKmeans *problem, int k)
{
	return AnnKmeansSharedScratch(problem, k) + AnnKmeansOwnScratch(k);
}

static const float *
get_row(const AnnKmeansWork *work, uint32 row)
{
	return work->problem->rows + (Size) row * work->problem->dim;
}

/* Puts different rows, drawn at random, in front of the others. */
static void
shuffle(AnnKmeansWork *work, uint32 *order, int n, int drawn)
{
	int			i;

	for (i = 0; i < drawn; i++)
	{
		int			j = i + (int) AnnRandomBelow(&work->random, n - i);
		uint32		row = order[j];

		order[j] = order[i];
		order[i] = row;
	}
}

/* Gives each row to the best centre; returns how many changed theirs. */
static int
assign(AnnKmeansWork *work, const uint32 *order, int n, int k, const float *centres)
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
reseed(AnnKmeansWork *work, const uint32 *order, int n, int k, int centre, float *centres)
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
move_centres(AnnKmeansWork *work, const uint32 *order, int n, int k, float *centres)
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
find_flat(AnnKmeansWork *work, uint32 *order, int n, int k, float *centres)
{
	int			dim = work->problem->dim;
	int			found = 0;
	int			round;
	int			j;

	shuffle(work, order, n, k);
	for (j = 0; j < k; j++)
		memcpy(centres + (Size) j * dim, get_row(work, order[j]), sizeof(float) * dim);
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

void
AnnKmeansAttach(AnnKmeansWork *work, const AnnKmeans *problem, int k, float *centres, void *shared, void *own)
{
	work->problem = problem;
	work->k = k;
	work->centres = centres;
	lay_out_shared(work, problem, k, shared);
	lay_out_own(work, k, own);
}

void
AnnKmeansBegin(AnnKmeansWork *work)
{
	int			n = work->problem->nrows;
	int			ngroups = number_of_groups(work->k);
	int			sample = Min(n, ngroups * ROWS_PER_GROUP);
	int			i;

	work->random = AnnMix(work->problem->seed);
	for (i = 0; i < n; i++)
		work->order[i] = i;
	memset(work->owner, 0, sizeof(uint32) * n);

	work->shared->ngroups = work->shared->nparts = 0;
	if (ngroups == 0 || n <= work->k)
	{
		work->found[0] = n == 0 ? 0 : find_flat(work, work->order, n, Min(n, work->k), work->centres);
		return;
	}

	shuffle(work, work->order, n, sample);
	work->shared->ngroups = find_flat(work, work->order, sample, ngroups, work->groups);
	work->shared->nparts = (n + PART_SIZE - 1) / PART_SIZE;
}

int
AnnKmeansParts(const AnnKmeansWork *work)
{
	return work->shared->nparts;
}

void
AnnKmeansAssign(AnnKmeansWork *work, int part)
{
	int			first = part * PART_SIZE;

	assign(work, work->order + first, Min(work->problem->nrows - first, PART_SIZE),
		   work->shared->ngroups, work->groups);
}

/* Puts the rows in the order of their groups; group g's begin at starts[g]. */
void
AnnKmeansSort(AnnKmeansWork *work)
{
	int			n = work->problem->nrows;
	int			ngroups = work->shared->ngroups;
	int			i;
	int			g;

	if (ngroups == 0)
		return;
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
AnnKmeansGroups(const AnnKmeansWork *work)
{
	return work->shared->ngroups;
}

/* The place of a group's first centre, in proportion to the rows before it. */
static int
first_centre(const AnnKmeansWork *work, int group)
{
	return (int) ((double) work->k * work->starts[group] / work->problem->nrows + 0.5);
}

void
AnnKmeansFind(AnnKmeansWork *work, int group)
{
	uint32		first = work->starts[group];
	int			size = (int) (work->starts[group + 1] - first);
	int			place = first_centre(work, group);
	int			share = Min(first_centre(work, group + 1) - place, size);

	work->random = AnnMix(work->problem->seed + 1 + group);
	work->found[group] = share == 0 ? 0 :
		find_flat(work, work->order + first, size, share, work->centres + (Size) place * work->problem->dim);
}

int
AnnKmeansEnd(AnnKmeansWork *work)
{
	int			dim = work->problem->dim;
	int			found = 0;
	int			g;

	if (work->shared->ngroups == 0)
		return work->found[0];
	for (g = 0; g < work->shared->ngroups; g++)
	{
		memmove(work->centres + (Size) found * dim, work->centres + (Size) first_centre(work, g) * dim,
				sizeof(float) * dim * (Size) work->found[g]);
		found += work->found[g];
	}
	return found;
}

int
AnnKmeansRun(const AnnKmeans *problem, int k, float *centres, void *scratch)
{
	AnnKmeansWork work;
	int			i;

	AnnKmeansAttach(&work, problem, k, centres, scratch,
					(char *) scratch + AnnKmeansSharedScratch(problem, k));
	AnnKmeansBegin(&work);
	for (i = 0; i < AnnKmeansParts(&work); i++)
		AnnKmeansAssign(&work, i);
	AnnKmeansSort(&work);
	for (i = 0; i < AnnKmeansGroups(&work); i++)
		AnnKmeansFind(&work, i);
	return AnnKmeansEnd(&work);
}

double
AnnKmeansComparisons(double nrows, int k)
{
	double		groups = number_of_groups(k);

	if (groups == 0)
		return ROUNDS * nrows * k;
	return ROUNDS * ROWS_PER_GROUP * groups * groups + nrows * groups + ROUNDS * nrows * k / groups;
}
