/*
 * rotate.c
 *	  A random rotation that is a seed, not a matrix.
 *
 * Knows neither PostgreSQL beyond c.h nor what is done with rotated vectors.
 */
#include "c.h"

#include <math.h>

#include "kernels/kernels.h"
#include "space/random.h"
#include "space/rotate.h"

#define ROUNDS		4

/* Draws n random words; the state is advanced. */
static void
random_words(uint64 *state, int n, uint64 *words)
{
	int			i;

	for (i = 0; i < n; i++)
		words[i] = AnnRandom(state);
}

/* The largest power of two that is not above a multiple of 64. */
static int
leading_power(int padded)
{
	int			power = 64;

	while (power <= padded / 2)
		power *= 2;
	return power;
}

/* Some rounds, in place. */
static void
rotate_rounds(int padded, uint64 seed, int rounds, float *out)
{
	uint64		signs[ANN_ROTATE_MAX_DIM / 64];
	uint64		state = AnnMix(seed);
	int			power = leading_power(padded);
	int			rest = padded - power;
	int			round;

	for (round = 0; round < rounds; round++)
	{
		/* Alternate between the leading and the trailing dimensions. */
		int			start = round % 2 == 0 ? 0 : rest;
		int			rest_start = round % 2 == 0 ? power : 0;

		random_words(&state, padded / 64, signs);

		/* Normalized before, not after: sums stay below the norm of x. */
		ann_kernels.flip_signs(power, signs + start / 64, 1.0f / sqrtf(power), out + start);
		ann_kernels.hadamard(power, out + start);

		if (rest > 0)
		{
			ann_kernels.flip_signs(rest, signs + rest_start / 64, 1.0f, out + rest_start);
			ann_kernels.rotate_pairs(padded / 2, out, out + padded / 2);
		}
	}
}

void
AnnRotate(int dim, uint64 seed, const float *x, float *out)
{
	int			padded = AnnRotatedDim(dim);
	int			i;

	for (i = 0; i < dim; i++)
	{
		float		v = Min(x[i], ANN_ROTATE_MAX_ELEMENT);

		out[i] = Max(v, -ANN_ROTATE_MAX_ELEMENT);
	}
	memset(out + dim, 0, (padded - dim) * sizeof(float));
	rotate_rounds(padded, seed, ROUNDS, out);
}

void
AnnRotateAgain(int dim, uint64 seed, const float *x, float *out)
{
	memcpy(out, x, dim * sizeof(float));
	rotate_rounds(dim, seed, leading_power(dim) == dim ? 1 : 2, out);
}
