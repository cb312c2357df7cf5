/*
 * vec_array.h
 *	  SQL arrays that become vectors and vectors that become arrays: casts,
 *	  and the state of avg().
 */
#ifndef ANN_VEC_ARRAY_H
#define ANN_VEC_ARRAY_H

#include "fmgr.h"
#include "utils/array.h"

/* The length of an array, which must have one dimension and no nulls. */
extern int	AnnArrayLength(ArrayType *array);

/*
 * The elements of such an array of numbers, of any type that has a cast to
 * the vector types, as floats in a new array.  Doubles too large for a float
 * become infinite.
 */
extern float *AnnArrayToFloats(ArrayType *array, int n);

/* A new real[]. */
extern ArrayType *AnnArrayFromFloats(int n, const float *x);

/*
 * The state of avg() is a double precision[]: the number of vectors, and the
 * sum of each of their elements once there was one.
 */

/* The transition function: adds x[dim] to the state in argument 0. */
extern Datum AnnAvgAccum(FunctionCallInfo fcinfo, const char *caller,
						 int dim, const float *x);

/*
 * The averages in a new array of *dim floats, infinite where too large; NULL
 * if there were no vectors.
 */
extern float *AnnAvgFinal(ArrayType *state, const char *caller, int *dim);

#endif							/* ANN_VEC_ARRAY_H */
