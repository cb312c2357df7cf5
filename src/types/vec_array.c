/*
 * vec_array.c
 *	  SQL arrays that become vectors and vectors that become arrays: casts,
 *	  and the state of avg().
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"

#include "compat.h"
#include "types/vec_array.h"
#include "types/vec_check.h"

int
AnnArrayLength(ArrayType *array)
{
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("array must be 1-D")));
	if (ARR_HASNULL(array) && array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array must not contain nulls")));

	return ARR_NDIM(array) == 0 ? 0 : ARR_DIMS(array)[0];
}

static void
numeric_to_floats(ArrayType *array, int n, float *x)
{
	Datum	   *elements;
	int			count;

	deconstruct_array(array, NUMERICOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	Assert(count == n);
	for (int i = 0; i < n; i++)
		x[i] = DatumGetFloat4(DirectFunctionCall1(numeric_float4, elements[i]));
	pfree(elements);
}

float *
AnnArrayToFloats(ArrayType *array, int n)
{
	const void *data = ARR_DATA_PTR(array);
	float	   *x = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(float) * n);

	switch (ARR_ELEMTYPE(array))
	{
		case INT2OID:
			for (int i = 0; i < n; i++)
				x[i] = ((const int16 *) data)[i];
			break;
		case INT4OID:
			for (int i = 0; i < n; i++)
				x[i] = ((const int32 *) data)[i];
			break;
		case INT8OID:
			for (int i = 0; i < n; i++)
				x[i] = ((const int64 *) data)[i];
			break;
		case FLOAT4OID:
			memcpy(x, data, sizeof(float) * n);
			break;
		case FLOAT8OID:
			for (int i = 0; i < n; i++)
				x[i] = ((const double *) data)[i];
			break;
		case NUMERICOID:
			numeric_to_floats(array, n, x);
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("unsupported array type")));
	}
	return x;
}

/*
 * A new array of n numbers of fixed size, all zero.
 */
static ArrayType *
new_array(Oid elemtype, int elemsize, int n)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + (Size) elemsize * n;
	ArrayType  *array = palloc0(size);

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = elemtype;
	ARR_DIMS(array)[0] = n;
	ARR_LBOUND(array)[0] = 1;
	return array;
}

ArrayType *
AnnArrayFromFloats(int n, const float *x)
{
	ArrayType  *array = new_array(FLOAT4OID, sizeof(float), n);

	memcpy(ARR_DATA_PTR(array), x, sizeof(float) * n);
	return array;
}

/*
 * The numbers of a state of avg(), and the dimensions of its sums.
 */
static double *
avg_state(ArrayType *state, const char *caller, int *dim)
{
	if (ARR_NDIM(state) != 1 || ARR_DIMS(state)[0] < 1 ||
		ARR_HASNULL(state) || ARR_ELEMTYPE(state) != FLOAT8OID)
		elog(ERROR, "%s: expected state array", caller);

	*dim = ARR_DIMS(state)[0] - 1;
	return (double *) ARR_DATA_PTR(state);
}

/*
 * A state that the caller may change: in an aggregate the state itself, which
 * the executor lets us modify in place.
 */
static ArrayType *
writable_state(FunctionCallInfo fcinfo, ArrayType *state)
{
	ArrayType  *copy;

	if (AggCheckCallContext(fcinfo, NULL))
		return state;

	copy = palloc(VARSIZE(state));
	memcpy(copy, state, VARSIZE(state));
	return copy;
}

static inline double
add_checked(double a, double b)
{
	double		sum = a + b;

	if (unlikely(isinf(sum)))
		float_overflow_error();
	return sum;
}

Datum
AnnAvgAccum(FunctionCallInfo fcinfo, const char *caller, int dim, const float *x)
{
	ArrayType  *state = PG_GETARG_ARRAYTYPE_P(0);
	int			state_dim;
	double	   *values = avg_state(state, caller, &state_dim);

	if (state_dim == 0)
	{
		double		n = values[0];

		state = new_array(FLOAT8OID, sizeof(double), dim + 1);
		values = avg_state(state, caller, &state_dim);
		values[0] = n;
	}
	else
	{
		AnnCheckTypmod(state_dim, dim, NULL);
		state = writable_state(fcinfo, state);
		values = avg_state(state, caller, &state_dim);
	}

	values[0]++;
	for (int i = 0; i < dim; i++)
		values[i + 1] = add_checked(values[i + 1], x[i]);

	PG_RETURN_ARRAYTYPE_P(state);
}

/*
 * The combine function of avg(), whatever the type.
 */
ANN_FUNCTION(ann_avg_combine)
{
	ArrayType  *a = PG_GETARG_ARRAYTYPE_P(0);
	ArrayType  *b = PG_GETARG_ARRAYTYPE_P(1);
	int			dim;
	int			bdim;
	double	   *values = avg_state(a, "vector_combine", &dim);
	double	   *bvalues = avg_state(b, "vector_combine", &bdim);

	if (values[0] == 0)
		PG_RETURN_ARRAYTYPE_P(b);
	if (bvalues[0] == 0)
		PG_RETURN_ARRAYTYPE_P(a);

	AnnCheckTypmod(dim, bdim, NULL);
	a = writable_state(fcinfo, a);
	values = avg_state(a, "vector_combine", &dim);
	for (int i = 0; i <= dim; i++)
		values[i] = add_checked(values[i], bvalues[i]);

	PG_RETURN_ARRAYTYPE_P(a);
}

float *
AnnAvgFinal(ArrayType *state, const char *caller, int *dim)
{
	double	   *values = avg_state(state, caller, dim);
	float	   *x;

	if (values[0] == 0)
		return NULL;

	x = palloc(sizeof(float) * *dim);
	for (int i = 0; i < *dim; i++)
		x[i] = values[i + 1] / values[0];
	return x;
}
