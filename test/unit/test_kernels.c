/*
 * test_kernels.c
 *	  Compares every table of kernels this CPU can run with plain arithmetic
 *	  in double precision, and tests the contract in kernels.h.
 *
 * Prints TAP: one line for each table and kernel.  Inputs are put against
 * pages without access, so that reading past either end crashes.
 */
#include "c.h"

#include <float.h>
#include <math.h>

#include "kernels/kernels.h"
#include "unit.h"

#define MAX_DIM		16000
#define MAX_BATCH	9

typedef enum Op
{
	L2SQ,
	IP,
	L1
} Op;

typedef enum Elem
{
	F32,
	F16
} Elem;

/* Kinds of numbers to compute with. */
typedef enum Kind
{
	INTEGERS,					/* so small that sums are exact */
	UNIT,						/* in [-1, 1] */
	MIXED,						/* of very different magnitude */
	SUBNORMAL,
	LARGE,						/* squares are close to overflow, or beyond */
	ZERO,
	NUM_KINDS
} Kind;

/* Where in a buffer an array lies. */
typedef enum Place
{
	AT_START,
	ONE_OFF,					/* one element after a page boundary */
	AT_END,
	NUM_PLACES
} Place;

typedef struct Table
{
	const char *name;
	const AnnKernels *kernels;
	bool		runs_here;
} Table;

typedef struct Test
{
	const char *name;
	bool		(*run) (const AnnKernels *k, Op op, Elem elem);
	Op			op;
	Elem		elem;
} Test;

static const int dims[] = {
	100, 125, 128, 256, 384, 512, 768, 960, 1000, 1024, 1536, 2000, 3072, 4096,
	MAX_DIM
};

static Buffer buffer_a;
static Buffer buffer_b;
static Buffer batch_buffers[MAX_BATCH];

/* What is in the buffers, exactly. */
static float values_a[MAX_DIM];
static float values_b[MAX_DIM];

/* The i'th dimension tested, or -1: 0 to 70, then those in dims. */
static int
nth_dim(int i)
{
	if (i <= 70)
		return i;
	return i - 71 < (int) lengthof(dims) ? dims[i - 71] : -1;
}

static bool
same_bits(float x, float y)
{
	return memcmp(&x, &y, sizeof(x)) == 0 || (isnan(x) && isnan(y));
}

/*
 * Buffers
 */

static void *
place_array(const Buffer *buffer, Place place, size_t elem_size, int n)
{
	if (place == AT_END)
		return buffer->end - elem_size * n;
	return buffer->start + (place == ONE_OFF ? elem_size : 0);
}

static size_t
elem_size(Elem elem)
{
	return elem == F32 ? sizeof(float) : sizeof(AnnHalf);
}

/*
 * Halves, by the book
 */

static double half_values[65536];

static void
make_half_values(void)
{
	int			i;

	for (i = 0; i < 65536; i++)
	{
		int			exponent = (i >> 10) & 0x1F;
		int			mantissa = i & 0x3FF;
		double		value;

		if (exponent == 0x1F)
			value = mantissa ? NAN : INFINITY;
		else if (exponent == 0)
			value = ldexp(mantissa, -24);
		else
			value = ldexp(0x400 + mantissa, exponent - 25);
		half_values[i] = i & 0x8000 ? -value : value;
	}
}

/* The nearest half to a number, and among two the even one. */
static AnnHalf
nearest_half(float x)
{
	AnnHalf		sign = signbit(x) ? 0x8000 : 0;
	double		magnitude = fabs((double) x);
	int			low = 0;
	int			high = 0x7C00;
	double		below;
	double		above;

	if (isnan(x))
		return 0x7E00;

	/* Halves are ordered as their bits are. */
	while (high - low > 1)
	{
		int			middle = (low + high) / 2;

		if (half_values[middle] <= magnitude)
			low = middle;
		else
			high = middle;
	}

	/* An infinity stands where the next finite number would have been. */
	below = magnitude - half_values[low];
	above = (high == 0x7C00 ? 65536.0 : half_values[high]) - magnitude;
	if (below < above || (below == above && low % 2 == 0))
		return sign | low;
	return sign | high;
}

/*
 * Vectors
 */

static float
random_value(Kind kind, Elem elem)
{
	switch (kind)
	{
		case INTEGERS:
			return (int) (random_bits() % 17) - 8;
		case UNIT:
			return random_unit();
		case MIXED:
			return ldexp(random_unit(), (int) (random_bits() % 20) - 10);
		case SUBNORMAL:
			return ldexp(random_unit(), elem == F32 ? -127 : -15);
		case LARGE:
			return ldexp(random_unit(), elem == F32 ? 64 : 15);
		default:
			return random_bits() % 2 ? 0.0 : -0.0;
	}
}

/* Write element i of an array, and tell what was written. */
static float
put(void *array, Elem elem, int i, float value)
{
	if (elem == F32)
		((float *) array)[i] = value;
	else
	{
		((AnnHalf *) array)[i] = nearest_half(value);
		value = half_values[nearest_half(value)];
	}
	return value;
}

static void
fill(void *array, float *values, Kind kind, Elem elem, int dim)
{
	int			i;

	for (i = 0; i < dim; i++)
		values[i] = put(array, elem, i, random_value(kind, elem));
}

static float
call(const AnnKernels *k, Op op, Elem elem, int dim, const void *a, const void *b)
{
	if (elem == F32)
		return (op == L2SQ ? k->l2sq_f32 : op == IP ? k->ip_f32 : k->l1_f32) (dim, a, b);
	return (op == L2SQ ? k->l2sq_f16 : op == IP ? k->ip_f16 : k->l1_f16) (dim, a, b);
}

static void
call_cosine(const AnnKernels *k, Elem elem, int dim, const void *a, const void *b, float *out)
{
	if (elem == F32)
		k->cosine_f32(dim, a, b, out);
	else
		k->cosine_f16(dim, a, b, out);
}

/* Is a result right for values_a and values_b, as far as floats can be? */
static bool
is_right(Op op, int dim, float result)
{
	double		sum = 0;
	double		magnitude = 0;
	double		tolerance;
	bool		integral = true;
	int			i;

	for (i = 0; i < dim; i++)
	{
		double		a = values_a[i];
		double		b = values_b[i];
		double		term = op == IP ? a * b : op == L1 ? fabs(a - b) : (a - b) * (a - b);

		sum += term;
		magnitude += fabs(term);
		integral = integral && a == rint(a) && b == rint(b);
	}
	if (integral && magnitude < 16777216)
		return result == sum;

	/* If only some orders of summation overflow, anything may come out. */
	if (magnitude > FLT_MAX)
		return fabs(sum) < magnitude || isinf(result);

	/* Each of four partial sums rounds dim / 4 times. */
	tolerance = magnitude * (dim / 4 + 8) * 0x1p-24 + dim * 0x1p-149;
	return fabs(result - sum) <= tolerance;
}

/* One number that is not finite, anywhere, must show in the result. */
static bool
passes_nonfinite(const AnnKernels *k, Op op, Elem elem, int dim)
{
	void	   *a = place_array(&buffer_a, AT_END, elem_size(elem), dim);
	void	   *b = place_array(&buffer_b, AT_END, elem_size(elem), dim);
	int			i;

	for (i = 0; i < dim; i++)
	{
		put(a, elem, i, 1.0);
		put(b, elem, i, 2.0);
	}
	for (i = 0; i < dim; i += 1 + dim / 20)
	{
		put(a, elem, i, INFINITY);
		if (call(k, op, elem, dim, a, b) != INFINITY)
			return false;
		put(b, elem, i, op == IP ? 0.0 : INFINITY);
		if (!isnan(call(k, op, elem, dim, a, b)))
			return false;
		put(b, elem, i, 2.0);
		put(a, elem, i, NAN);
		if (!isnan(call(k, op, elem, dim, a, b)))
			return false;
		put(a, elem, i, 1.0);
	}
	return true;
}

static bool
test_distance(const AnnKernels *k, Op op, Elem elem)
{
	int			i;
	int			dim;
	int			kind;
	int			place;

	for (i = 0; (dim = nth_dim(i)) >= 0; i++)
	{
		for (kind = 0; kind < NUM_KINDS; kind++)
		{
			for (place = 0; place < NUM_PLACES; place++)
			{
				void	   *a = place_array(&buffer_a, place, elem_size(elem), dim);
				void	   *b = place_array(&buffer_b, (place + kind) % NUM_PLACES,
											elem_size(elem), dim);
				float		result;

				fill(a, values_a, kind, elem, dim);
				fill(b, values_b, kind, elem, dim);
				result = call(k, op, elem, dim, a, b);
				if (!is_right(op, dim, result) ||
					!same_bits(result, call(k, op, elem, dim, b, a)))
				{
					printf("# dim %d, kind %d, place %d: %g\n", dim, kind, place, result);
					return false;
				}
			}
		}
		if (!passes_nonfinite(k, op, elem, dim))
		{
			printf("# dim %d: NaN or infinity lost\n", dim);
			return false;
		}
	}
	return true;
}

static bool
test_cosine(const AnnKernels *k, Op op, Elem elem)
{
	int			i;
	int			dim;
	int			kind;

	for (i = 0; (dim = nth_dim(i)) >= 0; i++)
	{
		for (kind = 0; kind < NUM_KINDS; kind++)
		{
			void	   *a = place_array(&buffer_a, AT_END, elem_size(elem), dim);
			void	   *b = place_array(&buffer_b, AT_END, elem_size(elem), dim);
			float		out[4] = {0, 0, 0, 42};

			fill(a, values_a, kind, elem, dim);
			fill(b, values_b, kind, elem, dim);
			call_cosine(k, elem, dim, a, b, out);
			if (!same_bits(out[0], call(k, op, elem, dim, a, b)) ||
				!same_bits(out[1], call(k, op, elem, dim, a, a)) ||
				!same_bits(out[2], call(k, op, elem, dim, b, b)) ||
				out[3] != 42)
			{
				printf("# dim %d, kind %d: %g %g %g\n", dim, kind, out[0], out[1], out[2]);
				return false;
			}
		}
	}
	return true;
}

static void
call_batch(const AnnKernels *k, Op op, Elem elem, int dim, const void *query,
		   void *const *x, int n, float *out)
{
	const float *x_f32[MAX_BATCH];
	const AnnHalf *x_f16[MAX_BATCH];
	int			i;

	for (i = 0; i < n; i++)
	{
		x_f32[i] = x[i];
		x_f16[i] = x[i];
	}
	if (elem == F32)
		(op == L2SQ ? k->l2sq_f32_batch : k->ip_f32_batch) (dim, query, x_f32, n, out);
	else
		(op == L2SQ ? k->l2sq_f16_batch : k->ip_f16_batch) (dim, query, x_f16, n, out);
}

static bool
test_batch(const AnnKernels *k, Op op, Elem elem)
{
	int			i;
	int			j;
	int			n;
	int			dim;

	for (i = 0; (dim = nth_dim(i)) >= 0; i++)
	{
		void	   *query = place_array(&buffer_a, AT_END, elem_size(elem), dim);
		void	   *x[MAX_BATCH];

		fill(query, values_a, UNIT, elem, dim);
		for (j = 0; j < MAX_BATCH; j++)
		{
			x[j] = place_array(&batch_buffers[j], AT_END, elem_size(elem), dim);
			fill(x[j], values_b, UNIT, elem, dim);
		}
		for (n = 0; n <= MAX_BATCH; n++)
		{
			float		out[MAX_BATCH + 1];

			out[n] = 42;
			call_batch(k, op, elem, dim, query, x, n, out);
			for (j = 0; j < n; j++)
			{
				if (!same_bits(out[j], call(k, op, elem, dim, query, x[j])))
				{
					printf("# dim %d, %d of %d: %g\n", dim, j, n, out[j]);
					return false;
				}
			}
			if (out[n] != 42)
				return false;
		}
	}
	return true;
}

/*
 * Conversions
 */

static bool
test_f16_to_f32(const AnnKernels *k, Op op, Elem elem)
{
	static AnnHalf halves[65536];
	static float floats[65536];
	int			i;
	int			n;

	for (i = 0; i < 65536; i++)
		halves[i] = i;
	k->f16_to_f32(65536, halves, floats);
	for (i = 0; i < 65536; i++)
	{
		if (!same_bits(floats[i], half_values[i]))
		{
			printf("# %04x: %g\n", i, floats[i]);
			return false;
		}
	}

	for (n = 0; n <= 70; n++)
	{
		AnnHalf    *src = place_array(&buffer_a, AT_END, sizeof(AnnHalf), n);
		float	   *dst = place_array(&buffer_b, AT_END, sizeof(float), n);

		dst[-1] = 42;
		for (i = 0; i < n; i++)
			src[i] = 0x3C00 + i;
		k->f16_to_f32(n, src, dst);
		for (i = 0; i < n; i++)
		{
			if (dst[i] != half_values[src[i]])
				return false;
		}
		if (dst[-1] != 42)
			return false;
	}
	return true;
}

static bool
converts_to_half(const AnnKernels *k, float x)
{
	AnnHalf		want = nearest_half(x);
	AnnHalf		got;

	k->f32_to_f16(1, &x, &got);
	if (got == want || (isnan(x) && isnan(half_values[got])))
		return true;
	printf("# %a: %04x instead of %04x\n", x, got, want);
	return false;
}

static bool
test_f32_to_f16(const AnnKernels *k, Op op, Elem elem)
{
	static const float others[] = {
		65519.996f, 65520.0f, 65536.0f, 1e10f, FLT_MAX, FLT_MIN, 1e-40f,
		0x1p-149f, 0x1p-25f, INFINITY, NAN
	};
	int			i;
	int			n;

	/* Every half, what is between it and the next one, and next to that. */
	for (i = 0; i < 0x7BFF; i++)
	{
		float		exact = half_values[i];
		float		tie = (half_values[i] + half_values[i + 1]) / 2;

		if (!converts_to_half(k, exact) || !converts_to_half(k, -exact) ||
			!converts_to_half(k, tie) || !converts_to_half(k, -tie) ||
			!converts_to_half(k, nextafterf(tie, 0)) ||
			!converts_to_half(k, nextafterf(tie, INFINITY)))
			return false;
	}
	for (i = 0; i < (int) lengthof(others); i++)
	{
		if (!converts_to_half(k, others[i]) || !converts_to_half(k, -others[i]))
			return false;
	}

	for (n = 0; n <= 70; n++)
	{
		float	   *src = place_array(&buffer_a, AT_END, sizeof(float), n);
		AnnHalf    *dst = place_array(&buffer_b, AT_END, sizeof(AnnHalf), n);

		dst[-1] = 42;
		for (i = 0; i < n; i++)
			src[i] = ldexp(random_unit(), i - 30);
		k->f32_to_f16(n, src, dst);
		for (i = 0; i < n; i++)
		{
			if (dst[i] != nearest_half(src[i]))
				return false;
		}
		if (dst[-1] != 42)
			return false;
	}
	return true;
}

/*
 * Bits
 */

typedef struct BitCounts
{
	uint64		differ;
	uint64		both;
	uint64		either;
} BitCounts;

static BitCounts
count_bits(const uint8 *a, const uint8 *b, int nbytes)
{
	BitCounts	counts = {0};
	int			i;

	for (i = 0; i < 8 * nbytes; i++)
	{
		int			in_a = (a[i / 8] >> (i % 8)) & 1;
		int			in_b = (b[i / 8] >> (i % 8)) & 1;

		counts.differ += in_a != in_b;
		counts.both += in_a && in_b;
		counts.either += in_a || in_b;
	}
	return counts;
}

/*
 * Call check for strings of all lengths: first random ones, then the sparsest
 * and the densest.
 */
static bool
for_bit_strings(const AnnKernels *k,
				bool (*check) (const AnnKernels *k, const uint8 *a, const uint8 *b, int n))
{
	int			i;
	int			j;
	int			n;
	int			place;

	for (i = 0; (n = nth_dim(i)) >= 0; i++)
	{
		for (place = 0; place < NUM_PLACES; place++)
		{
			uint8	   *a = place_array(&buffer_a, place, 1, n);
			uint8	   *b = place_array(&buffer_b, (place + i) % NUM_PLACES, 1, n);

			for (j = 0; j < n; j++)
			{
				a[j] = random_bits();
				b[j] = random_bits();
			}
			if (!check(k, a, b, n))
				return false;
			memset(a, 0xFF, n);
			memset(b, 0x00, n);
			if (!check(k, a, b, n) || !check(k, b, a, n) || !check(k, a, a, n))
				return false;
		}
	}
	return true;
}

static bool
check_hamming(const AnnKernels *k, const uint8 *a, const uint8 *b, int n)
{
	uint64		differ = k->hamming(n, a, b);

	if (differ == count_bits(a, b, n).differ)
		return true;
	printf("# %d bytes: %d\n", n, (int) differ);
	return false;
}

static bool
check_jaccard(const AnnKernels *k, const uint8 *a, const uint8 *b, int n)
{
	BitCounts	want = count_bits(a, b, n);
	uint64		both;
	uint64		either;

	k->jaccard(n, a, b, &both, &either);
	if (both == want.both && either == want.either)
		return true;
	printf("# %d bytes: %d %d\n", n, (int) both, (int) either);
	return false;
}

static bool
test_hamming(const AnnKernels *k, Op op, Elem elem)
{
	return for_bit_strings(k, check_hamming);
}

static bool
test_jaccard(const AnnKernels *k, Op op, Elem elem)
{
	return for_bit_strings(k, check_jaccard);
}

/*
 * The choice of a level
 */

static bool
select_puts_in_force(AnnSimdLevel level, const char *name)
{
	ann_simd_select(level);
	return strcmp(ann_kernels.level, name) == 0 &&
		ann_kernels.l2sq_f32 != NULL && ann_kernels.jaccard != NULL;
}

static bool
test_select(void)
{
	static const char *const names[] = {"auto", "scalar", "avx2", "avx512", "neon"};
	const char *best = NULL;
	int			level;

	for (level = ANN_SIMD_SCALAR; level <= ANN_SIMD_NEON; level++)
	{
		if (!ann_simd_supported(level))
			continue;
		best = names[level];
		if (!select_puts_in_force(level, best))
			return false;
	}

	/* Down again, too. */
	return select_puts_in_force(ANN_SIMD_AUTO, best) &&
		select_puts_in_force(ANN_SIMD_SCALAR, "scalar") &&
		ann_kernels.l2sq_f32 == ann_kernels_scalar.l2sq_f32 &&
		!(ann_simd_supported(ANN_SIMD_AVX2) && ann_simd_supported(ANN_SIMD_NEON));
}

static const Test tests[] = {
	{"l2sq_f32", test_distance, L2SQ, F32},
	{"ip_f32", test_distance, IP, F32},
	{"l1_f32", test_distance, L1, F32},
	{"cosine_f32", test_cosine, IP, F32},
	{"l2sq_f16", test_distance, L2SQ, F16},
	{"ip_f16", test_distance, IP, F16},
	{"l1_f16", test_distance, L1, F16},
	{"cosine_f16", test_cosine, IP, F16},
	{"l2sq_f32_batch", test_batch, L2SQ, F32},
	{"ip_f32_batch", test_batch, IP, F32},
	{"l2sq_f16_batch", test_batch, L2SQ, F16},
	{"ip_f16_batch", test_batch, IP, F16},
	{"f16_to_f32", test_f16_to_f32, L2SQ, F16},
	{"f32_to_f16", test_f32_to_f16, L2SQ, F16},
	{"hamming", test_hamming, L2SQ, F32},
	{"jaccard", test_jaccard, L2SQ, F32}
};

/* Only the bit kernels need, or use, VPOPCNTDQ. */
#define NUM_BIT_TESTS 2

static void
run_tests(const Table *table, int first)
{
	int			i;

	for (i = first; i < (int) lengthof(tests); i++)
	{
		const Test *test = &tests[i];

		if (table->runs_here)
			report(test->run(table->kernels, test->op, test->elem), table->name, test->name);
		else
			printf("ok %d - %s %s # SKIP not on this CPU\n",
				   ++tests_run, table->name, test->name);
	}
}

int
main(void)
{
	Table		tables[] = {
		{"scalar", &ann_kernels_scalar, true},
#if defined(__x86_64__)
		{"avx2", &ann_kernels_avx2, ann_simd_supported(ANN_SIMD_AVX2)},
		{"avx512", &ann_kernels_avx512, ann_simd_supported(ANN_SIMD_AVX512)},
#elif defined(__aarch64__)
		{"neon", &ann_kernels_neon, ann_simd_supported(ANN_SIMD_NEON)},
#endif
	};
	int			i;

	make_half_values();
	make_buffer(&buffer_a, MAX_DIM * sizeof(float));
	make_buffer(&buffer_b, MAX_DIM * sizeof(float));
	for (i = 0; i < MAX_BATCH; i++)
		make_buffer(&batch_buffers[i], MAX_DIM * sizeof(float));

	for (i = 0; i < (int) lengthof(tables); i++)
		run_tests(&tables[i], 0);

#if defined(__x86_64__)
	{
		Table		table = {"avx512_vpopcntdq", &ann_kernels_avx512_vpopcntdq, false};

		/* It has no level to ask for; but where it runs, it is in force. */
		ann_simd_select(ANN_SIMD_AUTO);
		table.runs_here = ann_kernels.hamming == table.kernels->hamming;
		run_tests(&table, lengthof(tests) - NUM_BIT_TESTS);
	}
#endif

	report(test_select(), "any", "ann_simd_select");
	printf("1..%d\n", tests_run);
	return all_ok ? 0 : 1;
}
