/*
 * vector.h
 *	  The type vector: single-precision elements.
 */
#ifndef ANN_VECTOR_H
#define ANN_VECTOR_H

#include "fmgr.h"

#define VECTOR_MAX_DIM 16000

/* On disk; elements are finite. */
typedef struct Vector
{
	int32		vl_len_;		/* varlena header (do not touch directly!) */
	int16		dim;			/* number of dimensions */
	int16		unused;			/* always zero */
	float		x[FLEXIBLE_ARRAY_MEMBER];
} Vector;

static inline Size
VectorSize(int dim)
{
	return offsetof(Vector, x) + sizeof(float) * dim;
}

/* Copies only what is toasted or has a short header. */
static inline Vector *
DatumGetVector(Datum d)
{
	return (Vector *) PG_DETOAST_DATUM(d);
}

#endif							/* ANN_VECTOR_H */
