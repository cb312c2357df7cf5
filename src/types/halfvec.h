/*
 * halfvec.h
 *	  The type halfvec: half-precision elements.
 */
#ifndef ANN_HALFVEC_H
#define ANN_HALFVEC_H

#include "fmgr.h"

#include "kernels/kernels.h"

#define HALFVEC_MAX_DIM 16000

/* On disk; elements are finite. */
typedef struct HalfVector
{
	int32		vl_len_;		/* varlena header (do not touch directly!) */
	int16		dim;			/* number of dimensions */
	int16		unused;			/* always zero */
	AnnHalf		x[FLEXIBLE_ARRAY_MEMBER];
} HalfVector;

static inline Size
HalfVectorSize(int dim)
{
	return offsetof(HalfVector, x) + sizeof(AnnHalf) * dim;
}

/* Copies only what is toasted or has a short header. */
static inline HalfVector *
DatumGetHalfVector(Datum d)
{
	return (HalfVector *) PG_DETOAST_DATUM(d);
}

/* The elements as floats, in a new array. */
extern float *HalfVectorFloats(const HalfVector *v);

#endif							/* ANN_HALFVEC_H */
