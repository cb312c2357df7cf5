/*
 * sparsevec.c
 *	  The type sparsevec: input and output, casts, comparison, distances.
 */
#include "postgres.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "utils/builtins.h"

#include "compat.h"
#include "types/distance.h"
#include "types/halfvec.h"
#include "types/parse.h"
#include "types/sparsevec.h"
#include "types/vec_array.h"
#include "types/vec_check.h"
#include "types/vector.h"
#include "types/wire.h"

/* Digits and sign of an int32. */
#define INT32_DECIMAL_LEN 11

/*
 * Rules and constructors
 */

static inline bool
check_dim(int dim, Node *escontext)
{
	return AnnCheckDim("sparsevec", SPARSEVEC_MAX_DIM, dim, escontext);
}

static inline void
check_same_dim(const SparseVector *a, const SparseVector *b)
{
	if (unlikely(a->dim != b->dim))
		AnnDimMismatch("sparsevec", a->dim, b->dim);
}

static bool
check_nnz(int nnz, Node *escontext)
{
	if (nnz > SPARSEVEC_MAX_NNZ)
		ereturn(escontext, false,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("sparsevec cannot have more than %d non-zero elements",
						SPARSEVEC_MAX_NNZ)));
	return true;
}

static bool
check_indices(const SparseVector *v, Node *escontext)
{
	for (int i = 0; i < v->nnz; i++)
	{
		int32		index = v->indices[i];

		if (index < 0 || index >= v->dim)
			ereturn(escontext, false,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("sparsevec index out of bounds")));
		if (i > 0 && index < v->indices[i - 1])
			ereturn(escontext, false,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("sparsevec indices must be in ascending order")));
		if (i > 0 && index == v->indices[i - 1])
			ereturn(escontext, false,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("sparsevec indices must not contain duplicates")));
	}
	return true;
}

/* A new value of valid size, its indices and values still to be set. */
static SparseVector *
new_sparsevec(int dim, int nnz)
{
	SparseVector *v = palloc(SparseVectorSize(nnz));

	SET_VARSIZE(v, SparseVectorSize(nnz));
	v->dim = dim;
	v->nnz = nnz;
	v->unused = 0;
	return v;
}

/*
 * A new value from n numbers, subject to all checks.  Number i has the index
 * indices[i], or i if indices is NULL.
 */
static SparseVector *
from_floats(int dim, int n, const int32 *indices, const float *x)
{
	SparseVector *v;
	float	   *values;
	int			nnz = 0;

	for (int i = 0; i < n; i++)
		nnz += (x[i] != 0);
	check_nnz(nnz, NULL);

	v = new_sparsevec(dim, nnz);
	values = SparseVectorValues(v);
	nnz = 0;
	for (int i = 0; i < n; i++)
	{
		if (x[i] != 0)
		{
			v->indices[nnz] = indices ? indices[i] : i;
			values[nnz] = x[i];
			nnz++;
		}
	}
	AnnCheckFinite("sparsevec", nnz, values);
	return v;
}

static SparseVector *
from_dense(int dim, const float *x, int32 typmod)
{
	AnnCheckTypmod(typmod, dim, NULL);
	return from_floats(dim, dim, NULL, x);
}

void
SparseVectorToFloats(const SparseVector *v, float *x)
{
	const float *values = SparseVectorValues(v);

	memset(x, 0, sizeof(float) * v->dim);
	for (int i = 0; i < v->nnz; i++)
		x[v->indices[i]] = values[i];
}

/*
 * Input, output and coercion
 */

static int
compare_elements(const void *a, const void *b)
{
	int32		x = ((const AnnSparseElement *) a)->index;
	int32		y = ((const AnnSparseElement *) b)->index;

	return (x > y) - (x < y);
}

ANN_FUNCTION(ann_sparsevec_in)
{
	const char *text = PG_GETARG_CSTRING(0);
	int32		typmod = PG_GETARG_INT32(2);
	AnnSparseElement elements[SPARSEVEC_MAX_NNZ];
	int			nnz;
	int32		dim;
	AnnParseError error;
	SparseVector *result;
	float	   *values;

	if (!AnnParseSparse(text, SPARSEVEC_MAX_NNZ, elements, &nnz, &dim, &error))
	{
		AnnReportParse("sparsevec", text, &error, fcinfo->context);
		return (Datum) 0;
	}
	if (!check_nnz(nnz, fcinfo->context) ||
		!check_dim(dim, fcinfo->context) ||
		!AnnCheckTypmod(typmod, dim, fcinfo->context))
		return (Datum) 0;

	qsort(elements, nnz, sizeof(AnnSparseElement), compare_elements);

	result = new_sparsevec(dim, nnz);
	values = SparseVectorValues(result);
	for (int i = 0; i < nnz; i++)
	{
		result->indices[i] = elements[i].index;
		values[i] = elements[i].value;
	}
	if (!check_indices(result, fcinfo->context))
		return (Datum) 0;
	PG_RETURN_POINTER(result);
}

ANN_FUNCTION(ann_sparsevec_out)
{
	SparseVector *v = DatumGetSparseVector(PG_GETARG_DATUM(0));
	const float *values = SparseVectorValues(v);
	char	   *text = palloc((INT32_DECIMAL_LEN + 1 + FLOAT_SHORTEST_DECIMAL_LEN) * v->nnz +
							  INT32_DECIMAL_LEN + 4);
	char	   *p = text;

	*p++ = '{';
	for (int i = 0; i < v->nnz; i++)
	{
		if (i > 0)
			*p++ = ',';
		p += pg_ltoa(v->indices[i] + 1, p);
		*p++ = ':';
		p += float_to_shortest_decimal_bufn(values[i], p);
	}
	*p++ = '}';
	*p++ = '/';
	pg_ltoa(v->dim, p);

	PG_RETURN_CSTRING(text);
}

ANN_FUNCTION(ann_sparsevec_typmod_in)
{
	PG_RETURN_INT32(AnnTypmodIn("sparsevec", SPARSEVEC_MAX_DIM, PG_GETARG_ARRAYTYPE_P(0)));
}

ANN_FUNCTION(ann_sparsevec_recv)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int32		typmod = PG_GETARG_INT32(2);
	int32		dim = pq_getmsgint(buf, sizeof(int32));
	int32		nnz = pq_getmsgint(buf, sizeof(int32));
	int32		unused = pq_getmsgint(buf, sizeof(int32));
	SparseVector *result;
	float	   *values;

	check_dim(dim, NULL);
	if (nnz < 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("sparsevec cannot have negative number of elements")));
	check_nnz(nnz, NULL);
	if (nnz > dim)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("sparsevec cannot have more elements than dimensions")));
	AnnCheckTypmod(typmod, dim, NULL);
	AnnCheckUnused(unused);

	result = new_sparsevec(dim, nnz);
	values = SparseVectorValues(result);
	AnnGetNumbers(buf, result->indices, nnz, sizeof(int32));
	check_indices(result, NULL);
	AnnGetNumbers(buf, values, nnz, sizeof(float));
	AnnCheckFinite("sparsevec", nnz, values);
	for (int i = 0; i < nnz; i++)
	{
		if (values[i] == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("binary representation of sparsevec cannot contain zero values")));
	}
	PG_RETURN_POINTER(result);
}

ANN_FUNCTION(ann_sparsevec_send)
{
	SparseVector *v = DatumGetSparseVector(PG_GETARG_DATUM(0));
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendint32(&buf, v->dim);
	pq_sendint32(&buf, v->nnz);
	pq_sendint32(&buf, 0);
	AnnSendNumbers(&buf, v->indices, v->nnz, sizeof(int32));
	AnnSendNumbers(&buf, SparseVectorValues(v), v->nnz, sizeof(float));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* The cast to the type itself, which checks the type modifier. */
ANN_FUNCTION(ann_sparsevec_coerce)
{
	SparseVector *v = DatumGetSparseVector(PG_GETARG_DATUM(0));

	AnnCheckTypmod(PG_GETARG_INT32(1), v->dim, NULL);
	PG_RETURN_POINTER(v);
}

ANN_FUNCTION(ann_sparsevec_from_array)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	int			dim = AnnArrayLength(array);

	check_dim(dim, NULL);
	PG_RETURN_POINTER(from_dense(dim, AnnArrayToFloats(array, dim), PG_GETARG_INT32(1)));
}

ANN_FUNCTION(ann_sparsevec_from_vector)
{
	Vector	   *v = DatumGetVector(PG_GETARG_DATUM(0));

	PG_RETURN_POINTER(from_dense(v->dim, v->x, PG_GETARG_INT32(1)));
}

ANN_FUNCTION(ann_sparsevec_from_halfvec)
{
	HalfVector *v = DatumGetHalfVector(PG_GETARG_DATUM(0));

	PG_RETURN_POINTER(from_dense(v->dim, HalfVectorFloats(v), PG_GETARG_INT32(1)));
}

/*
 * Comparison
 */

/*
 * Compares as if the zeros were there: elements first, then dimensions.
 * Where a vector has no further element its dimensions stand for the index.
 */
static int
compare_values(const SparseVector *a, const SparseVector *b)
{
	const float *ax = SparseVectorValues(a);
	const float *bx = SparseVectorValues(b);

	for (int i = 0;; i++)
	{
		int			ai = i < a->nnz ? a->indices[i] : a->dim;
		int			bi = i < b->nnz ? b->indices[i] : b->dim;

		if (ai < bi)
			return i == a->nnz || ax[i] < 0 ? -1 : 1;
		if (ai > bi)
			return i == b->nnz || bx[i] < 0 ? 1 : -1;
		if (i == a->nnz || i == b->nnz)
			return (i < a->nnz) - (i < b->nnz);
		if (ax[i] != bx[i])
			return ax[i] < bx[i] ? -1 : 1;
	}
}

/* Compares arguments 0 and 1; leaves no copies behind, as a btree demands. */
static int
compare(FunctionCallInfo fcinfo)
{
	SparseVector *a = DatumGetSparseVector(PG_GETARG_DATUM(0));
	SparseVector *b = DatumGetSparseVector(PG_GETARG_DATUM(1));
	int			result = compare_values(a, b);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

ANN_FUNCTION(ann_sparsevec_lt)
{
	PG_RETURN_BOOL(compare(fcinfo) < 0);
}

ANN_FUNCTION(ann_sparsevec_le)
{
	PG_RETURN_BOOL(compare(fcinfo) <= 0);
}

ANN_FUNCTION(ann_sparsevec_eq)
{
	PG_RETURN_BOOL(compare(fcinfo) == 0);
}

ANN_FUNCTION(ann_sparsevec_ne)
{
	PG_RETURN_BOOL(compare(fcinfo) != 0);
}

ANN_FUNCTION(ann_sparsevec_ge)
{
	PG_RETURN_BOOL(compare(fcinfo) >= 0);
}

ANN_FUNCTION(ann_sparsevec_gt)
{
	PG_RETURN_BOOL(compare(fcinfo) > 0);
}

ANN_FUNCTION(ann_sparsevec_cmp)
{
	PG_RETURN_INT32(compare(fcinfo));
}

/*
 * Distances
 */

static inline float
square_of_difference(float a, float b)
{
	return (a - b) * (a - b);
}

static inline float
product(float a, float b)
{
	return a * b;
}

static inline float
absolute_difference(float a, float b)
{
	return fabsf(a - b);
}

/*
 * The sum, in the order of indices, of f over all pairs of elements that are
 * not both zero.  Inlined, so that f is not called through a pointer.
 */
static pg_attribute_always_inline float
sum_pairs(const SparseVector *a, const SparseVector *b, float (*f) (float, float))
{
	const float *ax = SparseVectorValues(a);
	const float *bx = SparseVectorValues(b);
	float		sum = 0;
	int			i = 0;
	int			j = 0;

	while (i < a->nnz && j < b->nnz)
	{
		int			ai = a->indices[i];
		int			bi = b->indices[j];

		sum += f(ai <= bi ? ax[i] : 0, bi <= ai ? bx[j] : 0);
		i += (ai <= bi);
		j += (bi <= ai);
	}
	for (; i < a->nnz; i++)
		sum += f(ax[i], 0);
	for (; j < b->nnz; j++)
		sum += f(0, bx[j]);
	return sum;
}

double
sparse_l2sq(const SparseVector *a, const SparseVector *b)
{
	return sum_pairs(a, b, square_of_difference);
}

double
sparse_ip(const SparseVector *a, const SparseVector *b)
{
	return sum_pairs(a, b, product);
}

double
sparse_l1(const SparseVector *a, const SparseVector *b)
{
	return sum_pairs(a, b, absolute_difference);
}

void
sparse_cosine(const SparseVector *a, const SparseVector *b, float out[3])
{
	out[0] = sparse_ip(a, b);
	out[1] = sparse_ip(a, a);
	out[2] = sparse_ip(b, b);
}

ANN_FUNCTION(ann_sparsevec_l2_distance)
{
	SparseVector *a = DatumGetSparseVector(PG_GETARG_DATUM(0));
	SparseVector *b = DatumGetSparseVector(PG_GETARG_DATUM(1));

	check_same_dim(a, b);
	PG_RETURN_FLOAT8(sqrt(sparse_l2sq(a, b)));
}

ANN_FUNCTION(ann_sparsevec_l2_squared_distance)
{
	SparseVector *a = DatumGetSparseVector(PG_GETARG_DATUM(0));
	SparseVector *b = DatumGetSparseVector(PG_GETARG_DATUM(1));

	check_same_dim(a, b);
	PG_RETURN_FLOAT8(sparse_l2sq(a, b));
}

ANN_FUNCTION(ann_sparsevec_inner_product)
{
	SparseVector *a = DatumGetSparseVector(PG_GETARG_DATUM(0));
	SparseVector *b = DatumGetSparseVector(PG_GETARG_DATUM(1));

	check_same_dim(a, b);
	PG_RETURN_FLOAT8(sparse_ip(a, b));
}

ANN_FUNCTION(ann_sparsevec_negative_inner_product)
{
	SparseVector *a = DatumGetSparseVector(PG_GETARG_DATUM(0));
	SparseVector *b = DatumGetSparseVector(PG_GETARG_DATUM(1));

	check_same_dim(a, b);
	PG_RETURN_FLOAT8(-sparse_ip(a, b));
}

ANN_FUNCTION(ann_sparsevec_cosine_distance)
{
	SparseVector *a = DatumGetSparseVector(PG_GETARG_DATUM(0));
	SparseVector *b = DatumGetSparseVector(PG_GETARG_DATUM(1));
	float		sums[3];

	check_same_dim(a, b);
	sparse_cosine(a, b, sums);
	PG_RETURN_FLOAT8(AnnCosineDistance(sums[0], sums[1], sums[2]));
}

ANN_FUNCTION(ann_sparsevec_l1_distance)
{
	SparseVector *a = DatumGetSparseVector(PG_GETARG_DATUM(0));
	SparseVector *b = DatumGetSparseVector(PG_GETARG_DATUM(1));

	check_same_dim(a, b);
	PG_RETURN_FLOAT8(sparse_l1(a, b));
}

/*
 * Functions of one vector
 */

ANN_FUNCTION(ann_sparsevec_dims)
{
	PG_RETURN_INT32(DatumGetSparseVector(PG_GETARG_DATUM(0))->dim);
}

ANN_FUNCTION(ann_sparsevec_norm)
{
	SparseVector *v = DatumGetSparseVector(PG_GETARG_DATUM(0));

	PG_RETURN_FLOAT8(AnnNorm(v->nnz, SparseVectorValues(v)));
}

/* A zero vector stays one; elements too small for a float vanish. */
ANN_FUNCTION(ann_sparsevec_l2_normalize)
{
	SparseVector *v = DatumGetSparseVector(PG_GETARG_DATUM(0));
	const float *values = SparseVectorValues(v);
	double		norm = AnnNorm(v->nnz, values);
	float	   *x = palloc(sizeof(float) * v->nnz);

	for (int i = 0; i < v->nnz; i++)
		x[i] = values[i] / norm;
	PG_RETURN_POINTER(from_floats(v->dim, v->nnz, v->indices, x));
}
