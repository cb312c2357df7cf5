/*
 * codes.c
 *	  Prints what comparing a query with 32 codes takes, and what rotating,
 *	  coding and preparing a vector takes: make -C test/unit bench
 */
#include "c.h"

#include <time.h>

#include "kernels/kernels.h"
#include "space/rabitq.h"
#include "space/rotate.h"

/* The server's printf is not linked. */
#undef printf

#define MAX_DIM	768
#define NCODES	32

static float raw[MAX_DIM];
static float x[MAX_DIM];
static uint8 codes[NCODES][MAX_DIM];
static const uint8 *pointers[NCODES];
static float dots[NCODES];
static int32 sums[NCODES];
static AnnRabitqFactors factors;
static double query_space[(sizeof(AnnRabitqQuery) + 2 * MAX_DIM) / sizeof(double) + 1];
static AnnRabitqQuery *query = (AnnRabitqQuery *) query_space;

static void
rotate(int dim, int bits)
{
	AnnRotate(dim, 1, raw, x);
}

static void
encode(int dim, int bits)
{
	AnnRabitqEncode(dim, bits, x, raw, codes[0], &factors);
}

static void
prepare(int dim, int bits)
{
	AnnRabitqPrepare(query, dim, bits, x);
}

static void
prepare_code(int dim, int bits)
{
	AnnRabitqPrepareCode(query, dim, bits, codes[0], 1.0f);
}

static void
dot(int dim, int bits)
{
	AnnRabitqDots(query, pointers, NCODES, dots);
}

static void
dot_kernel(int dim, int bits)
{
	ann_kernels.code_dots(bits, dim, query->digit, pointers, NCODES, sums);
}

/* Nanoseconds of one call, the best of some repetitions. */
static double
measure(void (*work) (int dim, int bits), int dim, int bits)
{
	double		best = 1e9;
	int			repeat;
	int			i;

	for (repeat = 0; repeat < 20; repeat++)
	{
		struct timespec start;
		struct timespec end;

		clock_gettime(CLOCK_MONOTONIC, &start);
		for (i = 0; i < 500; i++)
			work(dim, bits);
		clock_gettime(CLOCK_MONOTONIC, &end);
		best = Min(best, ((end.tv_sec - start.tv_sec) * 1e9 + end.tv_nsec - start.tv_nsec) / 500);
	}
	return best;
}

int
main(void)
{
	static const int dims[] = {128, 768};
	int			level;
	int			i;
	int			bits;

	for (i = 0; i < MAX_DIM; i++)
		raw[i] = (i * 7919 % 1000) / 500.0f - 1.0f;
	for (i = 0; i < NCODES; i++)
		pointers[i] = codes[i];

	for (level = ANN_SIMD_SCALAR; level <= ANN_SIMD_NEON; level++)
	{
		if (!ann_simd_supported(level))
			continue;
		ann_simd_select(level);
		for (i = 0; i < (int) lengthof(dims); i++)
		{
			printf("%s, %d dimensions: rotate %.0f ns\n", ann_kernels.level, dims[i],
				   measure(rotate, dims[i], 0));
			for (bits = 1; bits <= 8; bits++)
			{
				double		encoding = measure(encode, dims[i], bits);
				double		preparing = measure(prepare, dims[i], bits);

				printf("  %d bits: 32 codes %.0f ns, kernel %.0f; encode %.0f, prepare %.0f, prepare a code %.0f\n",
					   bits, measure(dot, dims[i], bits), measure(dot_kernel, dims[i], bits),
					   encoding, preparing, measure(prepare_code, dims[i], bits));
			}
		}
	}
	return 0;
}
