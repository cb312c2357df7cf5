/*
 * metric.c
 *	  The metrics: every distance an index can be built for.
 *
 * Distances are the arithmetic of the operators in types/, so that an index
 * returns rows in the very order an exact search would; only the square root
 * of L2, which changes no order, is left out.
 */
#include "postgres.h"

#include <math.h>

#include "utils/varbit.h"

#include "kernels/kernels.h"
#include "space/metric.h"
#include "types/distance.h"
#include "types/halfvec.h"
#include "types/sparsevec.h"
#include "types/vec_check.h"
#include "types/vector.h"

static bool
half_is_finite(AnnHalf h)
{
	return (h & 0x7C00) != 0x7C00;
}

static void
copy_floats(int n, const float *x, float *out)
{
	memcpy(out, x, sizeof(float) * n);
}

#define DENSE_PREFIX vector
#define DENSE_TYPE Vector
#define DENSE_ELEM float
#define DENSE_GET DatumGetVector
#define DENSE_KERNEL(op) ann_kernels.op##_f32
#define DENSE_BATCH(op) ann_kernels.op##_f32_batch
#define DENSE_MAX_DIM 2000
#define DENSE_FINITE isfinite
#define DENSE_FLOATS copy_floats
#include "space/metric_dense.h"

#define DENSE_PREFIX halfvec
#define DENSE_TYPE HalfVector
#define DENSE_ELEM AnnHalf
#define DENSE_GET DatumGetHalfVector
#define DENSE_KERNEL(op) ann_kernels.op##_f16
#define DENSE_BATCH(op) ann_kernels.op##_f16_batch
#define DENSE_MAX_DIM 4000
#define DENSE_FINITE half_is_finite
#define DENSE_FLOATS ann_kernels.f16_to_f32
#include "space/metric_dense.h"

/*
 * sparsevec
 */

/* The most non-zero elements of a code; dimensions are not limited. */
#define SPARSEVEC_CODE_MAX_NNZ 1000

static Size
sparsevec_code_size(int dim)
{
	return 0;
}

static int
sparsevec_dimensions(Datum value)
{
	return DatumGetSparseVector(value)->dim;
}

static void
sparsevec_mismatch(int dim, int other)
{
	AnnDimMismatch("sparsevec", dim, other);
}

static void *
sparsevec_encode(Datum value, bool stored, Size *size)
{
	SparseVector *v = DatumGetSparseVector(value);
	void	   *code;

	if (stored && v->nnz > SPARSEVEC_CODE_MAX_NNZ)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("sparsevec cannot have more than %d non-zero elements for hnsw index",
						SPARSEVEC_CODE_MAX_NNZ)));

	*size = VARSIZE(v);
	code = palloc(*size);
	memcpy(code, v, *size);
	return code;
}

static void *
sparsevec_cosine_encode(Datum value, bool stored, Size *size)
{
	SparseVector *v = DatumGetSparseVector(value);

	if (sparse_ip(v, v) == 0)
		return NULL;

	return sparsevec_encode(value, stored, size);
}

static bool
sparsevec_valid(int dim, const void *code, Size size)
{
	const SparseVector *v = code;

	if (size < offsetof(SparseVector, indices) || v->dim != dim ||
		v->nnz < 0 || v->nnz > SPARSEVEC_CODE_MAX_NNZ ||
		size != SparseVectorSize(v->nnz))
		return false;

	for (int i = 0; i < v->nnz; i++)
	{
		if (v->indices[i] >= dim || v->indices[i] < (i == 0 ? 0 : v->indices[i - 1] + 1))
			return false;
		if (!isfinite(SparseVectorValues(v)[i]))
			return false;
	}
	return true;
}

static double
sparsevec_l2(int dim, const void *a, const void *b)
{
	return sparse_l2sq(a, b);
}

static double
sparsevec_ip(int dim, const void *a, const void *b)
{
	return -sparse_ip(a, b);
}

static double
sparsevec_cosine(int dim, const void *a, const void *b)
{
	return AnnCosineDistance(sparse_ip(a, b),
						   sparse_ip(a, a),
						   sparse_ip(b, b));
}

static double
sparsevec_l1(int dim, const void *a, const void *b)
{
	return sparse_l1(a, b);
}

const AnnMetric ann_metric_sparsevec_l2 = {
	.max_dim = SPARSEVEC_MAX_DIM,
	.code_size = sparsevec_code_size,
	.dimensions = sparsevec_dimensions,
	.mismatch = sparsevec_mismatch,
	.encode = sparsevec_encode,
	.valid = sparsevec_valid,
	.distance = sparsevec_l2
};

const AnnMetric ann_metric_sparsevec_ip = {
	.max_dim = SPARSEVEC_MAX_DIM,
	.code_size = sparsevec_code_size,
	.dimensions = sparsevec_dimensions,
	.mismatch = sparsevec_mismatch,
	.encode = sparsevec_encode,
	.valid = sparsevec_valid,
	.distance = sparsevec_ip
};

const AnnMetric ann_metric_sparsevec_cosine = {
	.max_dim = SPARSEVEC_MAX_DIM,
	.code_size = sparsevec_code_size,
	.dimensions = sparsevec_dimensions,
	.mismatch = sparsevec_mismatch,
	.encode = sparsevec_cosine_encode,
	.valid = sparsevec_valid,
	.distance = sparsevec_cosine
};

const AnnMetric ann_metric_sparsevec_l1 = {
	.max_dim = SPARSEVEC_MAX_DIM,
	.code_size = sparsevec_code_size,
	.dimensions = sparsevec_dimensions,
	.mismatch = sparsevec_mismatch,
	.encode = sparsevec_encode,
	.valid = sparsevec_valid,
	.distance = sparsevec_l1
};

/*
 * bit
 */

static Size
bit_code_size(int dim)
{
	return (dim + BITS_PER_BYTE - 1) / BITS_PER_BYTE;
}

static int
bit_dimensions(Datum value)
{
	return VARBITLEN(DatumGetVarBitP(value));
}

static void
bit_mismatch(int dim, int other)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("different bit lengths %d and %d", dim, other)));
}

static void *
bit_encode(Datum value, bool stored, Size *size)
{
	VarBit	   *v = DatumGetVarBitP(value);
	void	   *code;

	*size = VARBITBYTES(v);
	code = palloc(*size);
	memcpy(code, VARBITS(v), *size);
	return code;
}

/* The Hamming distance is that of L2 between vectors of zeros and ones. */
static void
bit_floats(int dim, const void *code, float *out)
{
	const uint8 *bytes = code;

	for (int i = 0; i < dim; i++)
		out[i] = (bytes[i / BITS_PER_BYTE] >> (BITS_PER_BYTE - 1 - i % BITS_PER_BYTE)) & 1;
}

static bool
bit_valid(int dim, const void *code, Size size)
{
	return size == bit_code_size(dim);
}

static double
bit_hamming(int dim, const void *a, const void *b)
{
	return ann_kernels.hamming(bit_code_size(dim), a, b);
}

static double
bit_jaccard(int dim, const void *a, const void *b)
{
	uint64		both;
	uint64		either;

	ann_kernels.jaccard(bit_code_size(dim), a, b, &both, &either);
	return both == 0 ? 1 : 1 - (double) both / (double) either;
}

const AnnMetric ann_metric_bit_hamming = {
	.form = ANN_FORM_L2,
	.floats = bit_floats,
	.max_dim = 64000,
	.code_size = bit_code_size,
	.dimensions = bit_dimensions,
	.mismatch = bit_mismatch,
	.encode = bit_encode,
	.valid = bit_valid,
	.distance = bit_hamming
};

const AnnMetric ann_metric_bit_jaccard = {
	.max_dim = 64000,
	.code_size = bit_code_size,
	.dimensions = bit_dimensions,
	.mismatch = bit_mismatch,
	.encode = bit_encode,
	.valid = bit_valid,
	.distance = bit_jaccard
};
