/*
 * sparsevec.h
 *	  The type sparsevec: single-precision elements, zeros left out.
 */
#ifndef ANN_SPARSEVEC_H
#define ANN_SPARSEVEC_H

#include "fmgr.h"

#define SPARSEVEC_MAX_DIM 1000000000
#define SPARSEVEC_MAX_NNZ 16000

/*
 * On disk.  Indices count from 0 (in text from 1), ascend and are unique; the
 * nnz values, finite and not zero, follow them.
 */
typedef struct SparseVector
{
	int32		vl_len_;		/* varlena header (do not touch directly!) */
	int32		dim;			/* number of dimensions */
	int32		nnz;			/* number of elements that are not zero */
	int32		unused;			/* always zero */
	int32		indices[FLEXIBLE_ARRAY_MEMBER];
} SparseVector;

static inline Size
SparseVectorSize(int nnz)
{
	return offsetof(SparseVector, indices) + (sizeof(int32) + sizeof(float)) * nnz;
}

static inline float *
SparseVectorValues(const SparseVector *v)
{
	return (float *) (v->indices + v->nnz);
}

/* Copies only what is toasted or has a short header. */
static inline SparseVector *
DatumGetSparseVector(Datum d)
{
	return (SparseVector *) PG_DETOAST_DATUM(d);
}

/* All elements, zeros included, into x[dim]. */
extern void SparseVectorToFloats(const SparseVector *v, float *x);

/*
 * Squared L2, inner product and L1 of vectors with equal dimensions.  As with
 * the kernels sums are taken in float, are symmetric to the bit, and those of
 * cosine (a.b, a.a, b.b) equal sparse_ip.
 */
extern double sparse_l2sq(const SparseVector *a, const SparseVector *b);
extern double sparse_ip(const SparseVector *a, const SparseVector *b);
extern double sparse_l1(const SparseVector *a, const SparseVector *b);
extern void sparse_cosine(const SparseVector *a, const SparseVector *b, float out[3]);

#endif							/* ANN_SPARSEVEC_H */
