/*
 * vector.c
 *	  The type vector: an instance of the dense template, and the casts to
 *	  it.
 */
#include "postgres.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "utils/float.h"
#include "utils/varbit.h"

#include "compat.h"
#include "kernels/kernels.h"
#include "types/distance.h"
#include "types/halfvec.h"
#include "types/sparsevec.h"
#include "types/vec_array.h"
#include "types/vec_check.h"
#include "types/vector.h"
#include "types/wire.h"

static inline void
copy_floats(int n, const float *src, float *dst)
{
	memcpy(dst, src, sizeof(float) * n);
}

#define DENSE_NAME vector
#define DENSE_TYPE Vector
#define DENSE_ELEM float
#define DENSE_SIZE VectorSize
#define DENSE_GET DatumGetVector
#define DENSE_MAX_DIM VECTOR_MAX_DIM
#define DENSE_LIMIT INFINITY
#define DENSE_KERNEL(op) ann_kernels.op##_f32
#define DENSE_FLOAT(e) (e)
#define DENSE_FLOATS(v) ((v)->x)
#define DENSE_STORE copy_floats
#include "types/dense_template.h"

ANN_FUNCTION(ann_vector_from_halfvec)
{
	HalfVector *v = DatumGetHalfVector(PG_GETARG_DATUM(0));

	PG_RETURN_POINTER(vector_from_floats(v->dim, HalfVectorFloats(v), PG_GETARG_INT32(1)));
}

ANN_FUNCTION(ann_vector_from_sparsevec)
{
	SparseVector *v = DatumGetSparseVector(PG_GETARG_DATUM(0));
	float	   *x;

	vector_check_dim(v->dim, NULL);
	x = palloc(sizeof(float) * v->dim);
	SparseVectorToFloats(v, x);
	PG_RETURN_POINTER(vector_from_floats(v->dim, x, PG_GETARG_INT32(1)));
}
