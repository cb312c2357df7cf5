/*
 * test_kmeans.c
 *	  k-means: what it finds in data whose clusters are known, and what it does
 *	  with data that has fewer, at every level of instructions.
 */
#include "c.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/kernels.h"
#include "space/kmeans.h"
#include "unit.h"

#define DIM			24
#define MAX_ROWS	6000
#define MAX_CENTRES 200

static float rows[MAX_ROWS * DIM];
static float centres[MAX_CENTRES * DIM];
static float others[MAX_CENTRES * DIM];
static int	pauses;

static void
count_pause(void)
{
	pauses++;
}

static int
run(int nrows, int k, bool spherical, uint64 seed, float *out)
{
	AnnKmeans	problem = {.dim = DIM,.nrows = nrows,.rows = rows,
		.spherical = spherical,.seed = seed,.pause = count_pause};
	Size		size = AnnKmeansScratch(&problem, k);
	Buffer		scratch;
	int			found;

	/* Its last byte is before a page without access. */
	make_buffer(&scratch, size);
	found = AnnKmeansRun(&problem, k, out, scratch.end - size);
	munmap(scratch.start, scratch.end - scratch.start);
	return found;
}

static double
distance(const float *a, const float *b)
{
	double		sum = 0.0;
	int			d;

	for (d = 0; d < DIM; d++)
		sum += ((double) a[d] - b[d]) * ((double) a[d] - b[d]);
	return sum;
}

/* Rows around so many corners of a grid, far from each other. */
static void
make_clusters(int n, int clusters, float spread)
{
	int			i;
	int			d;

	for (i = 0; i < n; i++)
		for (d = 0; d < DIM; d++)
			rows[i * DIM + d] = ((i % clusters) >> (d % 8) & 1) * 10.0f + spread * random_unit();
}

/* The mean squared distance of rows from their nearest centres. */
static double
cost(int n, const float *c, int k)
{
	double		sum = 0.0;
	int			i;
	int			j;

	for (i = 0; i < n; i++)
	{
		double		best = INFINITY;

		for (j = 0; j < k; j++)
			best = Min(best, distance(rows + i * DIM, c + j * DIM));
		sum += best;
	}
	return sum / n;
}

/* Four times as many centres as clusters: each cluster has one, flat or not. */
static bool
test_clusters(void)
{
	double		within = DIM / 3.0 * 0.1 * 0.1;
	int			clusters;

	for (clusters = 4; clusters <= 32; clusters *= 2)
	{
		int			k = 4 * clusters;
		int			found;

		make_clusters(MAX_ROWS, clusters, 0.1f);
		found = run(MAX_ROWS, k, false, clusters, centres);
		if (found < k / 2 || found > k || cost(MAX_ROWS, centres, found) > 1.01 * within)
		{
			printf("# %d of %d centres, cost %g, %g within clusters\n",
				   found, k, cost(MAX_ROWS, centres, found), within);
			return false;
		}
	}
	return true;
}

/* Each centre is the mean of the rows it is nearest to, once rows stop moving. */
static bool
test_means(void)
{
	double		sums[4 * DIM] = {0};
	int			counts[4] = {0};
	int			i;
	int			j;
	int			d;

	make_clusters(1000, 4, 0.1f);
	if (run(1000, 4, false, 3, centres) != 4)
		return false;

	for (i = 0; i < 1000; i++)
	{
		int			best = 0;

		for (j = 1; j < 4; j++)
			if (distance(rows + i * DIM, centres + j * DIM) < distance(rows + i * DIM, centres + best * DIM))
				best = j;
		counts[best]++;
		for (d = 0; d < DIM; d++)
			sums[best * DIM + d] += rows[i * DIM + d];
	}
	for (j = 0; j < 4; j++)
		for (d = 0; d < DIM; d++)
			if (fabs(sums[j * DIM + d] / counts[j] - centres[j * DIM + d]) > 1e-4)
				return false;
	return true;
}

/* Rows of all lengths in two directions: by angle they are two clusters. */
static bool
test_spherical(void)
{
	int			i;
	int			j;
	int			d;

	for (i = 0; i < 1000; i++)
		for (d = 0; d < DIM; d++)
			rows[i * DIM + d] = (1 + i % 100) * ((d % 2 == i % 2) + 0.05f * random_unit());

	if (run(1000, 2, true, 1, centres) != 2)
		return false;
	for (j = 0; j < 2; j++)
	{
		int			axis = centres[j * DIM] > centres[j * DIM + 1] ? 0 : 1;

		for (d = 0; d < DIM; d++)
			if ((d % 2 == axis) != (centres[j * DIM + d] > 10.0f))
				return false;
	}
	return centres[0] * centres[DIM] + centres[1] * centres[DIM + 1] <
		0.2 * (centres[0] * centres[0] + centres[1] * centres[1]);
}

/* The same seed, the same centres; another, others. */
static bool
test_seed(void)
{
	int			found;

	make_clusters(2000, 16, 5.0f);
	found = run(2000, 100, false, 7, centres);
	if (run(2000, 100, false, 7, others) != found ||
		memcmp(centres, others, sizeof(float) * DIM * found) != 0)
		return false;
	return run(2000, 100, false, 8, others) != found ||
		memcmp(centres, others, sizeof(float) * DIM * found) != 0;
}

/* No more centres than different rows; and they are those. */
static bool
test_few(void)
{
	int			k;

	make_clusters(300, 3, 0.0f);
	for (k = 1; k <= 150; k += 7)
	{
		int			found = run(300, k, false, k, centres);

		if (found < 1 || found > Min(k, 3) || (k >= 50 && found != 3))
			return false;
		if (found == 3 && cost(300, centres, 3) > 1e-9)
			return false;
	}
	return run(0, 5, false, 0, centres) == 0 && run(1, 5, false, 0, centres) == 1 &&
		run(2, 100, false, 0, centres) == 2;
}

/* A long run can be interrupted. */
static bool
test_pause(void)
{
	pauses = 0;
	make_clusters(MAX_ROWS, 16, 5.0f);
	run(MAX_ROWS, 100, false, 1, centres);
	return pauses > 50;
}

static const struct
{
	const char *name;
	bool		(*run) (void);
}			tests[] =
{
	{"finds clusters", test_clusters},
	{"centres are means", test_means},
	{"directions", test_spherical},
	{"seed", test_seed},
	{"few different rows", test_few},
	{"can be interrupted", test_pause}
};

int
main(void)
{
	int			level;
	int			i;

	for (level = ANN_SIMD_SCALAR; level <= ANN_SIMD_NEON; level++)
	{
		if (!ann_simd_supported(level))
			continue;
		ann_simd_select(level);
		for (i = 0; i < (int) lengthof(tests); i++)
			report(tests[i].run(), ann_kernels.level, tests[i].name);
	}
	printf("1..%d\n", tests_run);
	return all_ok ? 0 : 1;
}
