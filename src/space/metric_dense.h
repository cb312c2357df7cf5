/*
 * metric_dense.h
 *	  Template: the four metrics of a dense vector type (lib/simplehash.h
 *	  style).
 *
 * The including file defines
 *
 *	  DENSE_PREFIX		prefix of the generated names (vector)
 *	  DENSE_TYPE		the varlena struct, with members dim and x
 *	  DENSE_ELEM		type of an element
 *	  DENSE_GET			function from Datum to DENSE_TYPE *
 *	  DENSE_KERNEL(op)	member of ann_kernels for an operation on elements
 *	  DENSE_BATCH(op)	its batch form
 *	  DENSE_MAX_DIM		dimensions that fit a page
 *	  DENSE_FINITE		function: is this element finite?
 *	  DENSE_FLOATS		function: elements to floats (n, source, out)
 *
 * and gets const AnnMetric ann_metric_<prefix>_{l2,ip,cosine,l1}.
 */

#define DENSE_MAKE_NAME_(a, b) a##_##b
#define DENSE_MAKE_NAME(a, b) DENSE_MAKE_NAME_(a, b)
#define DENSE_NAME(name) DENSE_MAKE_NAME(DENSE_PREFIX, name)
#define DENSE_METRIC_(prefix, name) ann_metric_##prefix##_##name
#define DENSE_METRIC(prefix, name) DENSE_METRIC_(prefix, name)
#define DENSE_STRING_(x) #x
#define DENSE_STRING(x) DENSE_STRING_(x)

static Size
DENSE_NAME(code_size) (int dim)
{
	return dim * sizeof(DENSE_ELEM);
}

static Size
DENSE_NAME(cosine_code_size) (int dim)
{
	return DENSE_NAME(code_size) (dim) + sizeof(float);
}

/* The squared norm at the end of a code for cosine. */
static float
DENSE_NAME(sumsq) (int dim, const void *code)
{
	float		sumsq;

	memcpy(&sumsq, (const char *) code + DENSE_NAME(code_size) (dim), sizeof(float));
	return sumsq;
}

static int
DENSE_NAME(dimensions) (Datum value)
{
	return DENSE_GET(value)->dim;
}

static void
DENSE_NAME(mismatch) (int dim, int other)
{
	AnnDimMismatch(DENSE_STRING(DENSE_PREFIX), dim, other);
}

static void *
DENSE_NAME(encode) (Datum value, bool stored, Size *size)
{
	DENSE_TYPE *v = DENSE_GET(value);
	void	   *code;

	*size = DENSE_NAME(code_size) (v->dim);
	code = palloc(*size);
	memcpy(code, v->x, *size);
	return code;
}

static void *
DENSE_NAME(cosine_encode) (Datum value, bool stored, Size *size)
{
	DENSE_TYPE *v = DENSE_GET(value);
	Size		elements = DENSE_NAME(code_size) (v->dim);
	float		sumsq = DENSE_KERNEL(ip) (v->dim, v->x, v->x);
	void	   *code;

	/* The square of a tiny norm vanishes, like that of zero. */
	if (sumsq == 0)
		return NULL;

	*size = elements + sizeof(float);
	code = palloc(*size);
	memcpy(code, v->x, elements);
	memcpy((char *) code + elements, &sumsq, sizeof(float));
	return code;
}

static void
DENSE_NAME(floats) (int dim, const void *code, float *out)
{
	DENSE_FLOATS(dim, code, out);
}

static void
DENSE_NAME(cosine_floats) (int dim, const void *code, float *out)
{
	float		inv_norm = 1 / sqrtf(DENSE_NAME(sumsq) (dim, code));

	DENSE_FLOATS(dim, code, out);
	for (int i = 0; i < dim; i++)
		out[i] *= inv_norm;
}

static bool
DENSE_NAME(all_finite) (int dim, const DENSE_ELEM *x)
{
	for (int i = 0; i < dim; i++)
		if (!DENSE_FINITE(x[i]))
			return false;
	return true;
}

static bool
DENSE_NAME(valid) (int dim, const void *code, Size size)
{
	return size == DENSE_NAME(code_size) (dim) && DENSE_NAME(all_finite) (dim, code);
}

static bool
DENSE_NAME(cosine_valid) (int dim, const void *code, Size size)
{
	return size == DENSE_NAME(cosine_code_size) (dim) &&
		DENSE_NAME(all_finite) (dim, code) && DENSE_NAME(sumsq) (dim, code) > 0;
}

static double
DENSE_NAME(l2) (int dim, const void *a, const void *b)
{
	return DENSE_KERNEL(l2sq) (dim, a, b);
}

static void
DENSE_NAME(l2_many) (int dim, const void *a, const void *const *b, int n, double *out)
{
	float		d[ANN_BATCH];

	Assert(n <= ANN_BATCH);
	DENSE_BATCH(l2sq) (dim, a, (const DENSE_ELEM *const *) b, n, d);
	for (int i = 0; i < n; i++)
		out[i] = d[i];
}

static double
DENSE_NAME(ip) (int dim, const void *a, const void *b)
{
	return -DENSE_KERNEL(ip) (dim, a, b);
}

static void
DENSE_NAME(ip_many) (int dim, const void *a, const void *const *b, int n, double *out)
{
	float		d[ANN_BATCH];

	Assert(n <= ANN_BATCH);
	DENSE_BATCH(ip) (dim, a, (const DENSE_ELEM *const *) b, n, d);
	for (int i = 0; i < n; i++)
		out[i] = -d[i];
}

static double
DENSE_NAME(cosine) (int dim, const void *a, const void *b)
{
	return AnnCosineDistance(DENSE_KERNEL(ip) (dim, a, b),
							 DENSE_NAME(sumsq) (dim, a), DENSE_NAME(sumsq) (dim, b));
}

static void
DENSE_NAME(cosine_many) (int dim, const void *a, const void *const *b, int n, double *out)
{
	float		sumsq = DENSE_NAME(sumsq) (dim, a);
	float		d[ANN_BATCH];

	Assert(n <= ANN_BATCH);
	DENSE_BATCH(ip) (dim, a, (const DENSE_ELEM *const *) b, n, d);
	for (int i = 0; i < n; i++)
		out[i] = AnnCosineDistance(d[i], sumsq, DENSE_NAME(sumsq) (dim, b[i]));
}

static double
DENSE_NAME(l1) (int dim, const void *a, const void *b)
{
	return DENSE_KERNEL(l1) (dim, a, b);
}

const AnnMetric DENSE_METRIC(DENSE_PREFIX, l2) = {
	.form = ANN_FORM_L2,
	.quantizes = true,
	.floats = DENSE_NAME(floats),
	.max_dim = DENSE_MAX_DIM,
	.code_size = DENSE_NAME(code_size),
	.dimensions = DENSE_NAME(dimensions),
	.mismatch = DENSE_NAME(mismatch),
	.encode = DENSE_NAME(encode),
	.valid = DENSE_NAME(valid),
	.distance = DENSE_NAME(l2),
	.distances = DENSE_NAME(l2_many)
};

const AnnMetric DENSE_METRIC(DENSE_PREFIX, ip) = {
	.form = ANN_FORM_IP,
	.quantizes = true,
	.floats = DENSE_NAME(floats),
	.max_dim = DENSE_MAX_DIM,
	.code_size = DENSE_NAME(code_size),
	.dimensions = DENSE_NAME(dimensions),
	.mismatch = DENSE_NAME(mismatch),
	.encode = DENSE_NAME(encode),
	.valid = DENSE_NAME(valid),
	.distance = DENSE_NAME(ip),
	.distances = DENSE_NAME(ip_many)
};

const AnnMetric DENSE_METRIC(DENSE_PREFIX, cosine) = {
	.form = ANN_FORM_COSINE,
	.quantizes = true,
	.floats = DENSE_NAME(cosine_floats),
	.max_dim = DENSE_MAX_DIM,
	.code_size = DENSE_NAME(cosine_code_size),
	.dimensions = DENSE_NAME(dimensions),
	.mismatch = DENSE_NAME(mismatch),
	.encode = DENSE_NAME(cosine_encode),
	.valid = DENSE_NAME(cosine_valid),
	.distance = DENSE_NAME(cosine),
	.distances = DENSE_NAME(cosine_many)
};

const AnnMetric DENSE_METRIC(DENSE_PREFIX, l1) = {
	.max_dim = DENSE_MAX_DIM,
	.code_size = DENSE_NAME(code_size),
	.dimensions = DENSE_NAME(dimensions),
	.mismatch = DENSE_NAME(mismatch),
	.encode = DENSE_NAME(encode),
	.valid = DENSE_NAME(valid),
	.distance = DENSE_NAME(l1)
};

#undef DENSE_MAKE_NAME_
#undef DENSE_MAKE_NAME
#undef DENSE_NAME
#undef DENSE_METRIC_
#undef DENSE_METRIC
#undef DENSE_STRING_
#undef DENSE_STRING
#undef DENSE_PREFIX
#undef DENSE_TYPE
#undef DENSE_ELEM
#undef DENSE_GET
#undef DENSE_KERNEL
#undef DENSE_BATCH
#undef DENSE_MAX_DIM
#undef DENSE_FINITE
#undef DENSE_FLOATS
