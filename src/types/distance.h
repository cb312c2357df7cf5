/*
 * distance.h
 *	  The arithmetic around the kernels that all vector types share.
 */
#ifndef ANN_DISTANCE_H
#define ANN_DISTANCE_H

#include <math.h>

/* Into [-1, 1]; NaN stays what it is. */
static inline double
AnnClampUnit(double x)
{
	if (x > 1)
		return 1;
	if (x < -1)
		return -1;
	return x;
}

/*
 * Cosine distance from a.b, a.a and b.b; NaN if one of the vectors is zero.
 * One root of the product is more exact than the product of two roots.
 */
static inline double
AnnCosineDistance(float ab, float aa, float bb)
{
	return 1 - AnnClampUnit(ab / sqrt((double) aa * (double) bb));
}

/* L2 norm, summed in double. */
static inline double
AnnNorm(int n, const float *x)
{
	double		sum = 0;

	for (int i = 0; i < n; i++)
		sum += (double) x[i] * (double) x[i];
	return sqrt(sum);
}

#endif							/* ANN_DISTANCE_H */
