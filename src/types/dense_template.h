/*
 * dense_template.h
 *	  Template: the SQL functions of a dense vector type, in the manner of
 *	  lib/simplehash.h.
 *
 * The including file defines
 *
 *	  DENSE_NAME		name of the type in SQL, and prefix of the functions
 *	  DENSE_TYPE		the varlena struct, with members dim, unused and x
 *	  DENSE_ELEM		type of an element
 *	  DENSE_SIZE		function: size of the struct for so many dimensions
 *	  DENSE_GET			function: Datum to detoasted DENSE_TYPE *
 *	  DENSE_MAX_DIM		most dimensions
 *	  DENSE_LIMIT		floats of this magnitude or more do not fit an element
 *	  DENSE_KERNEL(op)	member of ann_kernels for an operation on elements
 *	  DENSE_FLOAT(e)	an element as a float
 *	  DENSE_FLOATS(v)	all elements as a const float *
 *	  DENSE_STORE		function (n, src, dst): floats that fit, to elements
 *
 * and gets the functions ann_<name>_in, ann_<name>_out and so forth, and, for
 * casts, static DENSE_TYPE *<name>_from_floats(dim, x, typmod).
 *
 * An including file also includes what the functions need; see vector.c.
 */

#define DENSE_PASTE_(a, b) a##_##b
#define DENSE_PASTE(a, b) DENSE_PASTE_(a, b)
#define DENSE_FN(name) DENSE_PASTE(DENSE_NAME, name)
#define DENSE_FUNCTION_(name) ANN_FUNCTION(name)
#define DENSE_FUNCTION(name) DENSE_FUNCTION_(DENSE_PASTE(ann, DENSE_FN(name)))
#define DENSE_STRING CppAsString2(DENSE_NAME)
#define DENSE_GETARG(n) DENSE_GET(PG_GETARG_DATUM(n))

/*
 * Rules and constructors
 */

static inline bool
DENSE_FN(check_dim) (int dim, Node *escontext)
{
	return AnnCheckDim(DENSE_STRING, DENSE_MAX_DIM, dim, escontext);
}

static inline void
DENSE_FN(check_same_dim) (const DENSE_TYPE *a, const DENSE_TYPE *b)
{
	if (unlikely(a->dim != b->dim))
		AnnDimMismatch(DENSE_STRING, a->dim, b->dim);
}

/* A new value of valid dimensions, its elements still to be set. */
static DENSE_TYPE *
DENSE_FN(new) (int dim)
{
	DENSE_TYPE *v = palloc(DENSE_SIZE(dim));

	SET_VARSIZE(v, DENSE_SIZE(dim));
	v->dim = dim;
	v->unused = 0;
	return v;
}

/* A new value from numbers of other origin, subject to all checks. */
static DENSE_TYPE *
DENSE_FN(from_floats) (int dim, const float *x, int32 typmod)
{
	DENSE_TYPE *v;

	DENSE_FN(check_dim) (dim, NULL);
	AnnCheckTypmod(typmod, dim, NULL);
	AnnCheckFinite(DENSE_STRING, dim, x);
	for (int i = 0; i < dim; i++)
	{
		if (unlikely(fabsf(x[i]) >= DENSE_LIMIT))
		{
			char		number[FLOAT_SHORTEST_DECIMAL_LEN];

			float_to_shortest_decimal_buf(x[i], number);
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("\"%s\" is out of range for type %s", number, DENSE_STRING)));
		}
	}

	v = DENSE_FN(new) (dim);
	DENSE_STORE(dim, x, v->x);
	return v;
}

/* A new value from the result of arithmetic on values of this type. */
static DENSE_TYPE *
DENSE_FN(from_result) (int dim, const float *x)
{
	DENSE_TYPE *v = DENSE_FN(new) (dim);

	for (int i = 0; i < dim; i++)
	{
		if (unlikely(fabsf(x[i]) >= DENSE_LIMIT))
			float_overflow_error();
	}
	DENSE_STORE(dim, x, v->x);
	return v;
}

/*
 * Input, output and coercion
 */

DENSE_FUNCTION(in)
{
	const char *text = PG_GETARG_CSTRING(0);
	int32		typmod = PG_GETARG_INT32(2);
	float		x[DENSE_MAX_DIM];
	int			dim;
	AnnParseError error;
	DENSE_TYPE *result;

	if (!AnnParseDense(text, DENSE_LIMIT, DENSE_MAX_DIM, x, &dim, &error))
	{
		AnnReportParse(DENSE_STRING, text, &error, fcinfo->context);
		return (Datum) 0;
	}
	if (!DENSE_FN(check_dim) (dim, fcinfo->context) ||
		!AnnCheckTypmod(typmod, dim, fcinfo->context))
		return (Datum) 0;

	result = DENSE_FN(new) (dim);
	DENSE_STORE(dim, x, result->x);
	PG_RETURN_POINTER(result);
}

DENSE_FUNCTION(out)
{
	DENSE_TYPE *v = DENSE_GETARG(0);
	const float *x = DENSE_FLOATS(v);
	char	   *text = palloc(FLOAT_SHORTEST_DECIMAL_LEN * v->dim + 3);
	char	   *p = text;

	*p++ = '[';
	for (int i = 0; i < v->dim; i++)
	{
		if (i > 0)
			*p++ = ',';
		p += float_to_shortest_decimal_bufn(x[i], p);
	}
	*p++ = ']';
	*p = '\0';

	PG_RETURN_CSTRING(text);
}

DENSE_FUNCTION(typmod_in)
{
	PG_RETURN_INT32(AnnTypmodIn(DENSE_STRING, DENSE_MAX_DIM, PG_GETARG_ARRAYTYPE_P(0)));
}

DENSE_FUNCTION(recv)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int32		typmod = PG_GETARG_INT32(2);
	int16		dim = pq_getmsgint(buf, sizeof(int16));
	int16		unused = pq_getmsgint(buf, sizeof(int16));
	DENSE_TYPE *result;

	DENSE_FN(check_dim) (dim, NULL);
	AnnCheckTypmod(typmod, dim, NULL);
	AnnCheckUnused(unused);

	result = DENSE_FN(new) (dim);
	AnnGetNumbers(buf, result->x, dim, sizeof(DENSE_ELEM));
	AnnCheckFinite(DENSE_STRING, dim, DENSE_FLOATS(result));
	PG_RETURN_POINTER(result);
}

DENSE_FUNCTION(send)
{
	DENSE_TYPE *v = DENSE_GETARG(0);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendint16(&buf, v->dim);
	pq_sendint16(&buf, 0);
	AnnSendNumbers(&buf, v->x, v->dim, sizeof(DENSE_ELEM));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* The cast to the type itself, which checks the type modifier. */
DENSE_FUNCTION(coerce)
{
	DENSE_TYPE *v = DENSE_GETARG(0);

	AnnCheckTypmod(PG_GETARG_INT32(1), v->dim, NULL);
	PG_RETURN_POINTER(v);
}

DENSE_FUNCTION(from_array)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	int			dim = AnnArrayLength(array);

	DENSE_FN(check_dim) (dim, NULL);
	PG_RETURN_POINTER(DENSE_FN(from_floats) (dim, AnnArrayToFloats(array, dim),
											 PG_GETARG_INT32(1)));
}

DENSE_FUNCTION(to_array)
{
	DENSE_TYPE *v = DENSE_GETARG(0);

	PG_RETURN_ARRAYTYPE_P(AnnArrayFromFloats(v->dim, DENSE_FLOATS(v)));
}

/*
 * Comparison
 */

/*
 * Compares arguments 0 and 1 as PostgreSQL compares arrays: elements first,
 * then dimensions.  Leaves no copies behind, as a btree demands.
 */
static int
DENSE_FN(compare) (FunctionCallInfo fcinfo)
{
	DENSE_TYPE *a = DENSE_GETARG(0);
	DENSE_TYPE *b = DENSE_GETARG(1);
	int			dim = Min(a->dim, b->dim);
	int			result = a->dim - b->dim;

	for (int i = 0; i < dim; i++)
	{
		float		ax = DENSE_FLOAT(a->x[i]);
		float		bx = DENSE_FLOAT(b->x[i]);

		if (ax != bx)
		{
			result = ax < bx ? -1 : 1;
			break;
		}
	}

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

DENSE_FUNCTION(lt)
{
	PG_RETURN_BOOL(DENSE_FN(compare) (fcinfo) < 0);
}

DENSE_FUNCTION(le)
{
	PG_RETURN_BOOL(DENSE_FN(compare) (fcinfo) <= 0);
}

DENSE_FUNCTION(eq)
{
	PG_RETURN_BOOL(DENSE_FN(compare) (fcinfo) == 0);
}

DENSE_FUNCTION(ne)
{
	PG_RETURN_BOOL(DENSE_FN(compare) (fcinfo) != 0);
}

DENSE_FUNCTION(ge)
{
	PG_RETURN_BOOL(DENSE_FN(compare) (fcinfo) >= 0);
}

DENSE_FUNCTION(gt)
{
	PG_RETURN_BOOL(DENSE_FN(compare) (fcinfo) > 0);
}

DENSE_FUNCTION(cmp)
{
	int			cmp = DENSE_FN(compare) (fcinfo);

	PG_RETURN_INT32((cmp > 0) - (cmp < 0));
}

/*
 * Distances.  An exact search calls these once per row: nothing is copied
 * that is not toasted, and what is goes with the row's memory context.
 */

DENSE_FUNCTION(l2_distance)
{
	DENSE_TYPE *a = DENSE_GETARG(0);
	DENSE_TYPE *b = DENSE_GETARG(1);

	DENSE_FN(check_same_dim) (a, b);
	PG_RETURN_FLOAT8(sqrt((double) DENSE_KERNEL(l2sq) (a->dim, a->x, b->x)));
}

DENSE_FUNCTION(l2_squared_distance)
{
	DENSE_TYPE *a = DENSE_GETARG(0);
	DENSE_TYPE *b = DENSE_GETARG(1);

	DENSE_FN(check_same_dim) (a, b);
	PG_RETURN_FLOAT8(DENSE_KERNEL(l2sq) (a->dim, a->x, b->x));
}

DENSE_FUNCTION(inner_product)
{
	DENSE_TYPE *a = DENSE_GETARG(0);
	DENSE_TYPE *b = DENSE_GETARG(1);

	DENSE_FN(check_same_dim) (a, b);
	PG_RETURN_FLOAT8(DENSE_KERNEL(ip) (a->dim, a->x, b->x));
}

DENSE_FUNCTION(negative_inner_product)
{
	DENSE_TYPE *a = DENSE_GETARG(0);
	DENSE_TYPE *b = DENSE_GETARG(1);

	DENSE_FN(check_same_dim) (a, b);
	PG_RETURN_FLOAT8(-DENSE_KERNEL(ip) (a->dim, a->x, b->x));
}

DENSE_FUNCTION(cosine_distance)
{
	DENSE_TYPE *a = DENSE_GETARG(0);
	DENSE_TYPE *b = DENSE_GETARG(1);
	float		sums[3];

	DENSE_FN(check_same_dim) (a, b);
	DENSE_KERNEL(cosine) (a->dim, a->x, b->x, sums);
	PG_RETURN_FLOAT8(AnnCosineDistance(sums[0], sums[1], sums[2]));
}

DENSE_FUNCTION(l1_distance)
{
	DENSE_TYPE *a = DENSE_GETARG(0);
	DENSE_TYPE *b = DENSE_GETARG(1);

	DENSE_FN(check_same_dim) (a, b);
	PG_RETURN_FLOAT8(DENSE_KERNEL(l1) (a->dim, a->x, b->x));
}

/* The angle between unit vectors, as a part of pi. */
DENSE_FUNCTION(spherical_distance)
{
	DENSE_TYPE *a = DENSE_GETARG(0);
	DENSE_TYPE *b = DENSE_GETARG(1);

	DENSE_FN(check_same_dim) (a, b);
	PG_RETURN_FLOAT8(acos(AnnClampUnit(DENSE_KERNEL(ip) (a->dim, a->x, b->x))) / M_PI);
}

/*
 * Functions of one vector
 */

DENSE_FUNCTION(dims)
{
	PG_RETURN_INT32(DENSE_GETARG(0)->dim);
}

DENSE_FUNCTION(norm)
{
	DENSE_TYPE *v = DENSE_GETARG(0);

	PG_RETURN_FLOAT8(AnnNorm(v->dim, DENSE_FLOATS(v)));
}

/* A zero vector stays one. */
DENSE_FUNCTION(l2_normalize)
{
	DENSE_TYPE *v = DENSE_GETARG(0);
	const float *x = DENSE_FLOATS(v);
	double		norm = AnnNorm(v->dim, x);
	float	   *r = palloc0(sizeof(float) * v->dim);

	if (norm > 0)
	{
		for (int i = 0; i < v->dim; i++)
			r[i] = x[i] / norm;
	}
	PG_RETURN_POINTER(DENSE_FN(from_result) (v->dim, r));
}

DENSE_FUNCTION(binary_quantize)
{
	DENSE_TYPE *v = DENSE_GETARG(0);
	const float *x = DENSE_FLOATS(v);
	VarBit	   *result = palloc0(VARBITTOTALLEN(v->dim));
	bits8	   *bits = VARBITS(result);

	SET_VARSIZE(result, VARBITTOTALLEN(v->dim));
	VARBITLEN(result) = v->dim;
	for (int i = 0; i < v->dim; i++)
		bits[i / BITS_PER_BYTE] |= (x[i] > 0) << (BITS_PER_BYTE - 1 - i % BITS_PER_BYTE);

	PG_RETURN_VARBIT_P(result);
}

/* Counts from 1, and is cut off at the ends, like substring(). */
DENSE_FUNCTION(subvector)
{
	DENSE_TYPE *v = DENSE_GETARG(0);
	int64		start = PG_GETARG_INT32(1);
	int64		end = Min(start + PG_GETARG_INT32(2), v->dim + 1);
	int			dim;
	DENSE_TYPE *result;

	start = Max(start, 1);
	dim = Max(end - start, 0);
	DENSE_FN(check_dim) (dim, NULL);

	result = DENSE_FN(new) (dim);
	memcpy(result->x, v->x + start - 1, sizeof(DENSE_ELEM) * dim);
	PG_RETURN_POINTER(result);
}

/*
 * Arithmetic
 */

DENSE_FUNCTION(add)
{
	DENSE_TYPE *a = DENSE_GETARG(0);
	DENSE_TYPE *b = DENSE_GETARG(1);
	const float *ax = DENSE_FLOATS(a);
	const float *bx = DENSE_FLOATS(b);
	float	   *r = palloc(sizeof(float) * a->dim);

	DENSE_FN(check_same_dim) (a, b);
	for (int i = 0; i < a->dim; i++)
		r[i] = ax[i] + bx[i];
	PG_RETURN_POINTER(DENSE_FN(from_result) (a->dim, r));
}

DENSE_FUNCTION(sub)
{
	DENSE_TYPE *a = DENSE_GETARG(0);
	DENSE_TYPE *b = DENSE_GETARG(1);
	const float *ax = DENSE_FLOATS(a);
	const float *bx = DENSE_FLOATS(b);
	float	   *r = palloc(sizeof(float) * a->dim);

	DENSE_FN(check_same_dim) (a, b);
	for (int i = 0; i < a->dim; i++)
		r[i] = ax[i] - bx[i];
	PG_RETURN_POINTER(DENSE_FN(from_result) (a->dim, r));
}

DENSE_FUNCTION(mul)
{
	DENSE_TYPE *a = DENSE_GETARG(0);
	DENSE_TYPE *b = DENSE_GETARG(1);
	const float *ax = DENSE_FLOATS(a);
	const float *bx = DENSE_FLOATS(b);
	float	   *r = palloc(sizeof(float) * a->dim);
	DENSE_TYPE *result;

	DENSE_FN(check_same_dim) (a, b);
	for (int i = 0; i < a->dim; i++)
		r[i] = ax[i] * bx[i];
	result = DENSE_FN(from_result) (a->dim, r);

	for (int i = 0; i < a->dim; i++)
	{
		if (unlikely(DENSE_FLOAT(result->x[i]) == 0 && ax[i] != 0 && bx[i] != 0))
			float_underflow_error();
	}
	PG_RETURN_POINTER(result);
}

DENSE_FUNCTION(concat)
{
	DENSE_TYPE *a = DENSE_GETARG(0);
	DENSE_TYPE *b = DENSE_GETARG(1);
	int			dim = a->dim + b->dim;
	DENSE_TYPE *result;

	DENSE_FN(check_dim) (dim, NULL);
	result = DENSE_FN(new) (dim);
	memcpy(result->x, a->x, sizeof(DENSE_ELEM) * a->dim);
	memcpy(result->x + a->dim, b->x, sizeof(DENSE_ELEM) * b->dim);
	PG_RETURN_POINTER(result);
}

/*
 * Aggregates; sum() is made of add, and avg() combines in vec_array.c
 */

DENSE_FUNCTION(accum)
{
	DENSE_TYPE *v = DENSE_GETARG(1);

	return AnnAvgAccum(fcinfo, DENSE_STRING "_accum", v->dim, DENSE_FLOATS(v));
}

DENSE_FUNCTION(avg)
{
	int			dim;
	float	   *x = AnnAvgFinal(PG_GETARG_ARRAYTYPE_P(0), DENSE_STRING "_avg", &dim);

	if (x == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(DENSE_FN(from_floats) (dim, x, -1));
}

#undef DENSE_PASTE_
#undef DENSE_PASTE
#undef DENSE_FN
#undef DENSE_FUNCTION_
#undef DENSE_FUNCTION
#undef DENSE_STRING
#undef DENSE_GETARG
#undef DENSE_NAME
#undef DENSE_TYPE
#undef DENSE_ELEM
#undef DENSE_SIZE
#undef DENSE_GET
#undef DENSE_MAX_DIM
#undef DENSE_LIMIT
#undef DENSE_KERNEL
#undef DENSE_FLOAT
#undef DENSE_FLOATS
#undef DENSE_STORE
