/*
 * halfvec.c
 *	  The type halfvec: an instance of the dense template, and the casts to
 *	  it.
 *
 * Arithmetic is done in float and rounded back.
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

/*
 * The middle between the largest finite half, 65504, and the power of two
 * after it; what is not below it rounds to infinity.
 */
#define HALF_LIMIT 65520.0f

static inline float
half_to_float(AnnHalf h)
{
	float		f;

	ann_kernels.f16_to_f32(1, &h, &f);
	return f;
}

float *
HalfVectorFloats(const HalfVector *v)
{
	float	   *x = palloc(sizeof(float) * v->dim);

	ann_kernels.f16_to_f32(v->dim, v->x, x);
	return x;
}

#define DENSE_NAME halfvec
#define DENSE_TYPE HalfVector
#define DENSE_ELEM AnnHalf
#define DENSE_SIZE HalfVectorSize
#define DENSE_GET DatumGetHalfVector
#define DENSE_MAX_DIM HALFVEC_MAX_DIM
#define DENSE_LIMIT HALF_LIMIT
#define DENSE_KERNEL(op) ann_kernels.op##_f16
#define DENSE_FLOAT(e) half_to_float(e)
#define DENSE_FLOATS(v) HalfVectorFloats(v)
#define DENSE_STORE ann_kernels.f32_to_f16
#include "types/dense_template.h"

ANN_FUNCTION(ann_halfvec_from_vector)
{
	Vector	   *v = DatumGetVector(PG_GETARG_DATUM(0));

	PG_RETURN_POINTER(halfvec_from_floats(v->dim, v->x, PG_GETARG_INT32(1)));
}

ANN_FUNCTION(ann_halfvec_from_sparsevec)
{
	SparseVector *v = DatumGetSparseVector(PG_GETARG_DATUM(0));
	float	   *x;

	halfvec_check_dim(v->dim, NULL);
	x = palloc(sizeof(float) * v->dim);
	SparseVectorToFloats(v, x);
	PG_RETURN_POINTER(halfvec_from_floats(v->dim, x, PG_GETARG_INT32(1)));
}
