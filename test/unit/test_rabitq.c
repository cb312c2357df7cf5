/*
 * test_rabitq.c
 *	  Tests the rotation and the quantizer against double precision and against
 *	  theory, and that every level of instructions agrees to the bit.
 *
 * Prints TAP.
 */
#include "c.h"

#include <float.h>
#include <math.h>

#include "kernels/kernels.h"
#include "space/rabitq.h"
#include "space/rotate.h"
#include "unit.h"

#define MAX_DIM		16000
#define MAX_PADDED	16000
#define MAX_CODES	9

static const int dims[] = {100, 128, 768, 1536, 4096, MAX_DIM};

/* Standard deviation of a cosine, times the root of the dimensions. */
static const double theory[] = {.756, .367, .197, .108, .0592, .0323, .0174, .0094};

static Buffer float_buffer;
static Buffer query_buffer;
static Buffer level_buffer;
static Buffer code_buffers[MAX_CODES];

static double query_space[(sizeof(AnnRabitqQuery) + 2 * MAX_PADDED) / sizeof(double) + 1];
static AnnRabitqQuery *const query = (AnnRabitqQuery *) query_space;

/* Inputs and rotated vectors. */
static float in[2][MAX_DIM];
static float q[MAX_PADDED];
static float x[MAX_PADDED];
static float c[MAX_PADDED];
static float r[MAX_PADDED];
static float decoded[MAX_PADDED];
static uint8 code[MAX_PADDED];

/* The i'th dimension tested, or -1: 1 to 70, then those in dims. */
static int
nth_dim(int i)
{
	if (i < 70)
		return i + 1;
	return i - 70 < (int) lengthof(dims) ? dims[i - 70] : -1;
}

/* Normal numbers to draw from; to make each anew takes most of the time. */
static float normals[65536];

static void
make_normals(void)
{
	int			i;

	for (i = 0; i < (int) lengthof(normals); i++)
	{
		double		u = (random_bits() + 0.5) / 4294967296.0;

		normals[i] = sqrt(-2.0 * log(u)) * cos(M_PI * random_unit());
	}
}

static void
fill_normal(float *v, int dim, double scale)
{
	int			i;

	for (i = 0; i < dim; i++)
		v[i] = scale * normals[random_bits() % lengthof(normals)];
}

static double
inner(const float *a, const float *b, int dim)
{
	double		sum = 0.0;
	int			i;

	for (i = 0; i < dim; i++)
		sum += (double) a[i] * b[i];
	return sum;
}

static double
l2sq(const float *a, const float *b, int dim)
{
	double		sum = 0.0;
	int			i;

	for (i = 0; i < dim; i++)
		sum += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
	return sum;
}

/*
 * Rotation
 */

/* Are lengths and angles as they were? */
static bool
rotation_keeps(int dim, const float *a, const float *b)
{
	int			padded = AnnRotatedDim(dim);
	double		tolerance = 2e-6 * sqrt(inner(a, a, dim) * inner(b, b, dim));

	AnnRotate(dim, 42, a, q);
	AnnRotate(dim, 42, b, x);
	if (fabs(inner(q, x, padded) - inner(a, b, dim)) <= tolerance &&
		fabs(inner(q, q, padded) - inner(a, a, dim)) <= 2e-6 * inner(a, a, dim))
		return true;
	printf("# %d dimensions: %g for %g\n", dim, inner(q, x, padded), inner(a, b, dim));
	return false;
}

static bool
test_orthogonal(void)
{
	int			dim;
	int			i;
	int			j;
	int			k;

	for (i = 0; (dim = nth_dim(i)) > 0; i++)
	{
		for (j = 0; j < 10; j++)
		{
			fill_normal(in[0], dim, 1.0);
			fill_normal(in[1], dim, 1.0);
			if (!rotation_keeps(dim, in[0], in[1]))
				return false;
		}

		/* Pairs of axes; all of them where there are few. */
		for (j = 0; j < Min(dim, 70); j += dim <= 70 ? 1 : 7)
			for (k = 0; k <= j; k += dim <= 70 ? 1 : 7)
			{
				memset(in, 0, sizeof(in));
				in[0][j] = 1.0f;
				in[1][dim - 1 - k] = 1.0f;
				if (!rotation_keeps(dim, in[0], in[1]))
					return false;
			}
	}
	return true;
}

/* FNV-1a of the bits. */
static uint64
checksum(const float *v, int dim)
{
	uint64		sum = UINT64CONST(0xCBF29CE484222325);
	int			i;

	for (i = 0; i < dim; i++)
	{
		uint32		bits;

		memcpy(&bits, &v[i], sizeof(bits));
		sum = (sum ^ bits) * UINT64CONST(0x100000001B3);
	}
	return sum;
}

/* What a seed means must never change: it is in indexes. */
static bool
test_seed(void)
{
	static const struct
	{
		int			dim;
		uint64		seed;
		uint64		sum;
	}			known[] = {
		{3, 1, UINT64CONST(0x4FB00119635A6625)},
		{128, 1, UINT64CONST(0xA4CCA5ABD034673F)},
		{768, 1, UINT64CONST(0xA950D3CBE01BBB5D)},
		{768, UINT64CONST(0xFFFFFFFFFFFFFFFF), UINT64CONST(0xA83C4938BBC668E8)}
	};
	int			i;

	for (i = 0; i < MAX_DIM; i++)
		in[0][i] = (i * 7919 % 1000) / 512.0f - 1.0f;
	for (i = 0; i < (int) lengthof(known); i++)
	{
		uint64		sum;

		AnnRotate(known[i].dim, known[i].seed, in[0], x);
		sum = checksum(x, AnnRotatedDim(known[i].dim));
		if (sum != known[i].sum)
		{
			printf("# %d dimensions: %08X%08X\n", known[i].dim,
				   (uint32) (sum >> 32), (uint32) sum);
			return false;
		}
	}
	return true;
}

/*
 * Kernels
 */

static bool
same_floats(const float *a, const float *b, int dim)
{
	return memcmp(a, b, dim * sizeof(float)) == 0;
}

/* The array of so many floats that ends where access does. */
static float *
floats_at_end(const Buffer *buffer, int n, const float *values)
{
	float	   *p = (float *) (buffer->end - n * sizeof(float));

	memcpy(p, values, n * sizeof(float));
	return p;
}

static bool
test_rotation_kernels(const AnnKernels *k)
{
	static float want[MAX_PADDED];
	uint64		signs[MAX_PADDED / 64];
	float	   *got;
	int			n;
	int			i;

	for (i = 0; i < (int) lengthof(signs); i++)
		signs[i] = (uint64) random_bits() << 32 | random_bits();

	for (n = 64; n <= MAX_PADDED; n += n < 512 ? 64 : n)
	{
		fill_normal(x, n, 1.0);

		got = floats_at_end(&float_buffer, n, x);
		k->flip_signs(n, signs, 0.3f, got);
		memcpy(want, x, n * sizeof(float));
		ann_kernels_scalar.flip_signs(n, signs, 0.3f, want);
		if (!same_floats(got, want, n))
			return false;

		got = floats_at_end(&float_buffer, n, x);
		k->rotate_pairs(n / 2, got, got + n / 2);
		memcpy(want, x, n * sizeof(float));
		ann_kernels_scalar.rotate_pairs(n / 2, want, want + n / 2);
		if (!same_floats(got, want, n))
			return false;

		if ((n & (n - 1)) != 0)
			continue;
		got = floats_at_end(&float_buffer, n, x);
		k->hadamard(n, got);
		memcpy(want, x, n * sizeof(float));
		ann_kernels_scalar.hadamard(n, want);
		if (!same_floats(got, want, n))
			return false;
	}
	return true;
}

/* By the definition of the matrix, for the scalar kernel too. */
static bool
test_hadamard(const AnnKernels *k)
{
	int			n;
	int			i;
	int			j;

	for (n = 64; n <= 1024; n *= 2)
	{
		for (i = 0; i < n; i++)
			x[i] = (int) (random_bits() % 17) - 8;
		memcpy(q, x, n * sizeof(float));
		k->hadamard(n, q);
		for (i = 0; i < n; i++)
		{
			float		sum = 0.0f;

			for (j = 0; j < n; j++)
				sum += __builtin_parity(i & j) ? -x[j] : x[j];
			if (sum != q[i])
				return false;
		}
	}
	return true;
}

static bool
test_max_abs(const AnnKernels *k)
{
	int			dim;

	for (dim = 0; dim <= 70; dim++)
	{
		float		want = 0.0f;
		int			i;

		fill_normal(x, dim, 1.0);
		for (i = 0; i < dim; i++)
			want = Max(want, fabsf(x[i]));
		if (k->max_abs(dim, floats_at_end(&float_buffer, dim, x)) != want)
			return false;
	}
	return true;
}

/* What a code is decoded to, to the end of a buffer, as levels. */
static void
get_levels(const AnnKernels *k, int bits, int dim, const uint8 *code, uint8 *levels)
{
	float	   *decoded = (float *) float_buffer.end - dim;
	int			i;

	k->code_decode(bits, dim, code, 2.0f, decoded);
	for (i = 0; i < dim; i++)
		levels[i] = (decoded[i] + ((1 << bits) - 1)) / 2.0f;
}

/* Are the digits of a code those of its levels? */
static bool
digits_agree(const AnnKernels *k, int bits, int dim, const uint8 *code, const uint8 *levels)
{
	int8	   *digits = (int8 *) query_buffer.end - dim;
	int32		sum = k->code_digits(bits, dim, code, digits);
	int			i;

	for (i = 0; i < dim; i++)
	{
		double		middle = levels[i] - ((1 << bits) - 1) / 2.0;

		if (digits[i] != (bits == 8 ? floor(middle / 2 + 0.5) : 2 * middle))
			return false;
		sum -= digits[i];
	}
	return sum == 0;
}

/* Levels by the book, and back from what they are packed to. */
static bool
encodes(const AnnKernels *k, int bits, int dim)
{
	Size		size = AnnRabitqCodeSize(dim, bits);
	AnnCoded	coded = {.code = (uint8 *) code_buffers[0].end - size};
	uint8	   *levels = (uint8 *) level_buffer.end - dim;
	float	   *at_end;
	double		with_x = 0.0;
	double		with_y = 0.0;
	double		with_self = 0.0;
	double		norm;
	int			i;

	fill_normal(x, dim, 1.0);
	fill_normal(c, dim, 1.0);
	at_end = floats_at_end(&float_buffer, dim, x);
	k->code_encode(bits, dim, at_end, c, 1.7f, &coded);
	get_levels(k, bits, dim, coded.code, levels);
	if (!digits_agree(k, bits, dim, coded.code, levels))
		return false;

	for (i = 0; i < dim; i++)
	{
		int			mean = 1 << (bits - 1);
		volatile float product = x[i] * 1.7f;	/* not to be contracted */
		int			want = floorf(product + mean);
		double		xhat = levels[i] - (mean - 0.5);

		if (levels[i] != Min(Max(want, 0), 2 * mean - 1))
			return false;
		with_x += x[i] * xhat;
		with_y += c[i] * xhat;
		with_self += xhat * xhat;
	}

	norm = sqrt(with_self * dim);
	return fabs(coded.with_x - with_x) < 1e-5 * norm &&
		fabs(coded.with_y - with_y) < 1e-5 * norm &&
		fabs(coded.with_self - with_self) < 1e-5 * with_self;
}

static bool
test_encode(const AnnKernels *k)
{
	int			bits;
	int			dim;

	for (bits = 1; bits <= 8; bits++)
		for (dim = 64; dim <= MAX_PADDED; dim += dim < 512 ? 64 : dim)
			if (!encodes(k, bits, dim))
			{
				printf("# %d bits, %d dimensions\n", bits, dim);
				return false;
			}
	return true;
}

/* Products of random, or the greatest possible, numbers. */
static bool
multiplies(const AnnKernels *k, int bits, int dim, int n, bool extreme)
{
	Size		size = AnnRabitqCodeSize(dim, bits);
	int8	   *digits = (int8 *) query_buffer.end - dim;
	const uint8 *codes[MAX_CODES];
	uint8	   *levels = (uint8 *) level_buffer.end - dim;
	int32		sums[MAX_CODES + 1];
	int			limit = Min(127, 16383 / ((1 << bits) - 1));
	int			i;
	int			j;

	for (j = 0; j < dim; j++)
		digits[j] = extreme ? -limit : (int) (random_bits() % (2 * limit + 1)) - limit;
	for (i = 0; i < n; i++)
	{
		codes[i] = (uint8 *) code_buffers[i].end - size;
		for (j = 0; j < (int) size; j++)
			code_buffers[i].end[j - (int) size] = extreme ? 0xFF : random_bits();
	}

	sums[n] = 1234;
	k->code_dots(bits, dim, digits, codes, n, sums);
	for (i = 0; i < n; i++)
	{
		int32		want = 0;

		get_levels(k, bits, dim, codes[i], levels);
		for (j = 0; j < dim; j++)
			want += digits[j] * levels[j];
		if (sums[i] != want)
			return false;
	}
	return sums[n] == 1234;
}

static bool
test_dots(const AnnKernels *k)
{
	int			bits;
	int			dim;
	int			n;

	for (bits = 1; bits <= 8; bits++)
		for (dim = 64; dim <= MAX_PADDED; dim += dim < 512 ? 64 : dim)
			for (n = 0; n <= MAX_CODES; n++)
				if (!multiplies(k, bits, dim, n, false) ||
					!multiplies(k, bits, dim, n, true))
				{
					printf("# %d bits, %d dimensions, %d codes\n", bits, dim, n);
					return false;
				}
	return true;
}

/*
 * Estimates
 */

/* Estimates |q - x|^2, with a centre, from a code of so many bits. */
static double
estimate(int dim, int bits, const float *centre, AnnRabitqFactors *factors, AnnRabitqRange *range)
{
	const uint8 *codes[1] = {code};
	double		base;
	double		result;
	float		dot;
	int			i;

	for (i = 0; i < dim; i++)
		r[i] = x[i] - centre[i];
	AnnRabitqEncode(dim, bits, r, centre, code, factors);
	AnnRabitqPrepare(query, dim, bits, q);
	AnnRabitqDots(query, codes, 1, &dot);

	base = l2sq(q, centre, dim);
	result = AnnRabitqEstimate(base, factors->add, factors->scale, dot);
	*range = AnnRabitqBounds(query, factors, base, result);
	return result;
}

/*
 * Makes a query and a vector of norm 1 each from the centre, the cosine
 * between which is the one given.
 */
static void
make_pair(int dim, double cosine)
{
	double		norm;
	double		along;
	int			i;

	fill_normal(c, dim, 2.0 / sqrt(dim));
	fill_normal(r, dim, 1.0);
	fill_normal(decoded, dim, 1.0);

	norm = sqrt(inner(r, r, dim));
	for (i = 0; i < dim; i++)
		r[i] /= norm;
	along = inner(r, decoded, dim);
	for (i = 0; i < dim; i++)
		decoded[i] -= along * r[i];
	norm = sqrt(inner(decoded, decoded, dim));
	for (i = 0; i < dim; i++)
	{
		q[i] = c[i] + cosine * r[i] + sqrt(1.0 - cosine * cosine) * decoded[i] / norm;
		x[i] = c[i] + r[i];
	}
}

/* Errors of estimates of q.r, in the unit of the table of theory. */
static bool
error_is_that_of_theory(int bits, double cosine)
{
	const int	dim = 768;
	const int	n = 2000;
	double		expected = theory[bits - 1] * sqrt(1.0 - cosine * cosine);
	double		rounding = bits <= 4 ? .0095 * sqrt(5.0 + 4.0 * cosine) : 0.0;
	double		sum = 0.0;
	double		sum_squares = 0.0;
	double		sd;
	int			i;

	for (i = 0; i < n; i++)
	{
		AnnRabitqFactors factors;
		AnnRabitqRange range;
		double		error;

		make_pair(dim, cosine);
		error = (l2sq(q, x, dim) - estimate(dim, bits, c, &factors, &range)) / 2.0 * sqrt(dim);
		sum += error;
		sum_squares += error * error;
	}
	sd = sqrt(sum_squares / n);
	printf("# %d bits, cosine %.2f: mean error %.4f, standard deviation %.4f, in theory %.4f\n",
		   bits, cosine, sum / n, sd, expected);

	/* With 8 bits the grid reaches just as far as it has to. */
	expected = sqrt(expected * expected + rounding * rounding);
	return fabs(sum / n) < 4.0 * sd / sqrt(n) &&
		sd < 1.08 * expected && sd > (bits == 8 ? 0.7 : 0.9) * expected;
}

static bool
test_theory(void)
{
	bool		ok = true;
	int			bits;

	for (bits = 1; bits <= 8; bits++)
		if (!error_is_that_of_theory(bits, 0.0) || !error_is_that_of_theory(bits, 0.8))
			ok = false;
	return ok;
}

/* The same for vectors nothing like normal, over many rotations. */
static bool
test_any_data(void)
{
	const int	n = 4000;
	const int	dim = 100;
	const int	padded = AnnRotatedDim(dim);
	bool		ok = true;
	int			bits;

	memset(in, 0, sizeof(in));
	in[0][17] = 1.0f;
	in[1][17] = 0.6f;
	in[1][18] = 0.8f;
	memset(c, 0, sizeof(c));
	for (bits = 1; bits <= 8; bits *= 2)
	{
		double		expected = theory[bits - 1] * 0.8;
		double		sum = 0.0;
		double		sum_squares = 0.0;
		double		sd;
		int			i;

		for (i = 0; i < n; i++)
		{
			AnnRabitqFactors factors;
			AnnRabitqRange range;
			double		error;

			AnnRotate(dim, i, in[0], q);
			AnnRotate(dim, i, in[1], x);
			error = (0.8 - estimate(padded, bits, c, &factors, &range)) / 2.0 * sqrt(padded);
			sum += error;
			sum_squares += error * error;
		}
		sd = sqrt(sum_squares / n);
		printf("# %d bits, axes: mean error %.4f, standard deviation %.4f, in theory %.4f\n",
			   bits, sum / n, sd, expected);
		if (fabs(sum / n) > 4.0 * sd / sqrt(n) || sd > 1.15 * expected)
			ok = false;
	}
	return ok;
}

static bool
test_bounds(void)
{
	static const int bound_dims[] = {64, 128, 768};
	static const double cosines[] = {-0.5, 0.0, 0.5, 0.9, 0.99, 0.9999};
	const int	n = 1000;
	bool		ok = true;
	int			d;
	int			bits;
	int			i;
	int			j;

	for (d = 0; d < (int) lengthof(bound_dims); d++)
		for (bits = 1; bits <= 8; bits *= 2)
		{
			int			violations = 0;
			double		width = 0.0;

			for (j = 0; j < (int) lengthof(cosines); j++)
				for (i = 0; i < n; i++)
				{
					AnnRabitqFactors factors;
					AnnRabitqRange range;
					double		exact;

					make_pair(bound_dims[d], cosines[j]);
					estimate(bound_dims[d], bits, c, &factors, &range);
					exact = l2sq(q, x, bound_dims[d]);
					violations += exact < range.lower || exact > range.upper;
					if (j == 1)
						width += (range.upper - range.lower) / 4.0 / n;
				}
			printf("# %d dimensions, %d bits: %.2f %% out of bounds, +- %.4f at a right angle\n",
				   bound_dims[d], bits, 100.0 * violations / (n * (double) lengthof(cosines)), width);
			if (violations > 0.004 * n * lengthof(cosines) ||
				width > 4.5 * sqrt((theory[bits - 1] * theory[bits - 1] + .021 * .021) / bound_dims[d]))
				ok = false;
		}
	return ok;
}

/*
 * Bounds of what is nothing like normal, in any number of dimensions
 */

static const char *const classes[] = {"one element", "two elements", "constant", "ramp", "normal"};

/* A member of a class. */
static void
fill_class(float *v, int dim, int class)
{
	float		size = 8 + random_bits() % 25;
	int			i;

	memset(v, 0, dim * sizeof(float));
	switch (class)
	{
		case 0:
			v[random_bits() % dim] = size;
			break;
		case 1:
			v[random_bits() % dim] = size;
			v[random_bits() % dim] = 8 + random_bits() % 25;
			break;
		case 2:
			for (i = 0; i < dim; i++)
				v[i] = size;
			break;
		case 3:
			for (i = 0; i < dim; i++)
				v[i] = size - i;
			break;
		default:
			fill_normal(v, dim, size);
	}
}

/*
 * Is the squared distance between in[0], which is coded, and in[1] within its
 * bounds?  Both are relative to the centre.
 */
static bool
is_within_bounds(int dim, int bits, uint64 seed, const float *centre)
{
	int			padded = AnnRotatedDim(dim);
	AnnRabitqFactors factors;
	AnnRabitqRange range;
	double		exact;
	double		slack;
	int			i;

	AnnRotate(dim, seed, in[0], x);
	AnnRotate(dim, seed, in[1], q);
	for (i = 0; i < padded; i++)
	{
		x[i] += centre[i];
		q[i] += centre[i];
	}
	estimate(padded, bits, centre, &factors, &range);
	exact = l2sq(q, x, padded);

	/* of floats */
	slack = 1e-6 * (inner(x, x, padded) + inner(q, q, padded));
	return exact >= range.lower - slack && exact <= range.upper + slack;
}

static bool
test_classes(void)
{
	static const int more_dims[] = {128, 256, 768};
	static float centre[MAX_PADDED];
	const int	n = 200;
	bool		ok = true;
	int			class;
	int			bits;
	int			d;
	int			i;

	for (class = 0; class < (int) lengthof(classes); class++)
		for (bits = 1; bits <= 8; bits *= 2)
		{
			int			tried = 0;
			int			violations = 0;
			int			strangers = 0;

			for (d = 0; d < 64 + (int) lengthof(more_dims); d++)
			{
				int			dim = d < 64 ? d + 1 : more_dims[d - 64];

				for (i = 0; i < n; i++, tried++)
				{
					uint64		seed = random_bits();

					fill_normal(centre, AnnRotatedDim(dim), i % 2 == 0 ? 0.0 : 8.0);
					fill_class(in[0], dim, class);
					fill_class(in[1], dim, class);
					violations += !is_within_bounds(dim, bits, seed, centre);
					memcpy(in[1], in[0], dim * sizeof(float));
					strangers += !is_within_bounds(dim, bits, seed, centre);
				}
			}
			printf("# %s, %d bits: %.3f %% out of bounds, %.3f %% from themselves\n", classes[class],
				   bits, 100.0 * violations / tried, 100.0 * strangers / tried);
			if (violations > 0.001 * tried || strangers > 0)
				ok = false;
		}
	return ok;
}

/* What a code decodes to is where the header says it is. */
static bool
test_decode(void)
{
	const int	dim = 192;
	int			bits;
	int			i;

	for (bits = 1; bits <= 8; bits++)
	{
		AnnRabitqFactors factors;
		AnnRabitqRange range;
		double		estimated;
		double		exact;

		make_pair(dim, 0.5);
		estimated = estimate(dim, bits, c, &factors, &range);
		AnnRabitqDecode(dim, bits, code, factors.scale, decoded);

		/* r - decoded is at a right angle to r, and as long as it must be. */
		exact = (dim - 1) * (double) factors.error * factors.error;
		if (fabs(inner(decoded, r, dim) - 1.0) > 1e-5 ||
			fabs(l2sq(decoded, r, dim) - exact) > 1e-5)
			return false;

		/* The query as it was rounded. */
		for (i = 0; i < dim; i++)
		{
			int			digit = query->digit[i];

			if (query->digits == 2)
				digit += 128 * query->digit[dim + i];
			if (fabs(digit * query->step - q[i]) > 0.501 * query->step)
				return false;
			decoded[i] += c[i];
		}
		exact = l2sq(q, decoded, dim);
		if (fabs(estimated + (dim - 1) * (double) factors.error * factors.error - exact) >
			8.0 * query->step * sqrt(1.0 + dim * (double) factors.error * factors.error))
		{
			printf("# %d bits: %g for %g\n", bits, estimated, exact);
			return false;
		}
	}
	return true;
}

static bool
test_inner_product(void)
{
	const int	dim = 768;
	int			bits;

	for (bits = 1; bits <= 8; bits++)
	{
		AnnRabitqFactors factors;
		AnnRabitqRange range;
		const uint8 *codes[1] = {code};
		double		base;
		double		want;
		float		dot;

		make_pair(dim, 0.5);
		want = estimate(dim, bits, c, &factors, &range) - inner(q, q, dim) - inner(x, x, dim);
		base = l2sq(q, c, dim) - inner(q, q, dim);
		factors.add -= inner(x, x, dim);
		AnnRabitqDots(query, codes, 1, &dot);
		if (fabs(AnnRabitqEstimate(base, factors.add, factors.scale, dot) - want) > 1e-5 ||
			fabs(want + 2.0 * inner(q, x, dim)) > 12.0 * (theory[bits - 1] + .03) / sqrt(dim))
			return false;
	}
	return true;
}

/* Two codes from one centre, one of them as the query. */
static bool
test_symmetric(void)
{
	const int	dim = 320;
	static uint8 other[320];
	int			bits;

	for (bits = 1; bits <= 8; bits++)
	{
		const uint8 *a[1] = {code};
		const uint8 *b[1] = {other};
		AnnRabitqFactors fa;
		AnnRabitqFactors fb;
		/* the query is rounded to 7 bits */
		double		tolerance = bits == 8 ? 1.5 : 1e-4;
		double		want;
		float		ab;
		float		ba;

		fill_normal(q, dim, 1.0);
		fill_normal(x, dim, 1.0);
		AnnRabitqEncode(dim, bits, q, NULL, code, &fa);
		AnnRabitqEncode(dim, bits, x, NULL, other, &fb);

		AnnRabitqPrepareCode(query, dim, bits, code, fa.scale);
		AnnRabitqDots(query, b, 1, &ab);
		AnnRabitqPrepareCode(query, dim, bits, other, fb.scale);
		AnnRabitqDots(query, a, 1, &ba);

		AnnRabitqDecode(dim, bits, code, fa.scale, r);
		AnnRabitqDecode(dim, bits, other, fb.scale, decoded);
		want = inner(r, decoded, dim);
		if (fabs(ab * fb.scale - want) > tolerance || fabs(ba * fa.scale - want) > tolerance)
			return false;

		want = AnnRabitqEstimate(fa.norm * fa.norm, fb.norm * fb.norm, fb.scale, ab);
		if (fabs(want - l2sq(q, x, dim)) > 12.0 * sqrt(dim) * theory[bits - 1])
			return false;
	}
	return true;
}

/*
 * The whole way, for any number of dimensions and vectors of any size: the
 * answer is finite; and within five times the bound, of numbers that have one.
 */
static bool
goes_the_whole_way(int dim, int bits, double scale, double centre_scale)
{
	int			padded = AnnRotatedDim(dim);
	AnnRabitqFactors factors;
	AnnRabitqRange range;
	double		estimated;
	double		exact;
	double		slack;

	fill_normal(in[0], dim, scale);
	AnnRotate(dim, dim, in[0], q);
	fill_normal(in[0], dim, scale);
	AnnRotate(dim, dim, in[0], x);
	fill_normal(in[0], dim, centre_scale);
	AnnRotate(dim, dim, in[0], c);

	estimated = estimate(padded, bits, c, &factors, &range);
	exact = l2sq(q, x, padded);
	slack = 2.0 * (range.upper - range.lower) +
		1e-6 * padded * (scale * scale + centre_scale * centre_scale);
	return isfinite(estimated) && isfinite(factors.add) && isfinite(factors.scale) &&
		isfinite(factors.norm) && isfinite(factors.error) &&
		isfinite(range.lower) && isfinite(range.upper) && range.lower <= range.upper &&
		fabs(exact - estimated) <= slack + 1e-30;
}

static bool
test_dimensions(void)
{
	int			i;
	int			dim;
	int			bits;

	for (i = 0; (dim = nth_dim(i)) > 0; i++)
		for (bits = 1; bits <= 8; bits++)
			if (!goes_the_whole_way(dim, bits, 1.0, 1.0))
			{
				printf("# %d bits, %d dimensions\n", bits, dim);
				return false;
			}
	return true;
}

static bool
test_magnitudes(void)
{
	static const double scales[] = {0.0, 1e-44, 1e-39, 1e-36, 1e-22, 1e-18, 1e10, 1e18, 1e30, 1e37, FLT_MAX / 16};
	int			bits;
	int			i;
	int			j;

	for (bits = 1; bits <= 8; bits++)
		for (i = 0; i < (int) lengthof(scales); i++)
			for (j = 0; j < (int) lengthof(scales); j++)
				if (!goes_the_whole_way(100, bits, scales[i], scales[j]))
				{
					printf("# %d bits, %g, centre %g\n", bits, scales[i], scales[j]);
					return false;
				}
	return true;
}

/* Batches of any size are those one by one. */
static bool
test_batch(void)
{
	enum
	{
		N = 131
	};
	const int	dim = 128;
	static uint8 codes[N][128];
	const uint8 *pointers[N];
	float		dots[N + 1];
	int			bits;
	int			n;
	int			i;

	for (bits = 1; bits <= 8; bits++)
	{
		for (i = 0; i < N; i++)
		{
			AnnRabitqFactors factors;

			fill_normal(r, dim, 1.0);
			AnnRabitqEncode(dim, bits, r, NULL, codes[i], &factors);
			pointers[i] = codes[i];
		}
		fill_normal(q, dim, 1.0);
		AnnRabitqPrepare(query, dim, bits, q);
		for (n = 0; n <= N; n++)
		{
			dots[n] = 1234.0f;
			AnnRabitqDots(query, pointers, n, dots);
			if (dots[n] != 1234.0f)
				return false;
			for (i = 0; i < n; i++)
			{
				float		one;

				AnnRabitqDots(query, pointers + i, 1, &one);
				if (one != dots[i])
					return false;
			}
		}
	}
	return true;
}

/*
 * What there is to run
 */

static const struct
{
	const char *name;
	bool		(*run) (const AnnKernels *k);
}			kernel_tests[] =
{
	{"rotation as scalar", test_rotation_kernels},
	{"hadamard", test_hadamard},
	{"max_abs", test_max_abs},
	{"code_encode", test_encode},
	{"code_dots", test_dots}
};

static const struct
{
	const char *name;
	bool		(*run) (void);
}			level_tests[] =
{
	{"rotation is orthogonal", test_orthogonal},
	{"rotation by a known seed", test_seed},
	{"any number of dimensions", test_dimensions},
	{"any magnitude", test_magnitudes},
	{"batch", test_batch},
	{"decode", test_decode},
	{"inner product", test_inner_product},
	{"symmetric distance", test_symmetric}
};

/* The kernels in force. */
static void
run_tests(const char *name)
{
	int			i;

	for (i = 0; i < (int) lengthof(kernel_tests); i++)
		report(kernel_tests[i].run(&ann_kernels), name, kernel_tests[i].name);
	for (i = 0; i < (int) lengthof(level_tests); i++)
		report(level_tests[i].run(), name, level_tests[i].name);
}

int
main(void)
{
	int			level;
	int			i;

	make_normals();
	make_buffer(&float_buffer, MAX_PADDED * sizeof(float));
	make_buffer(&query_buffer, MAX_PADDED);
	make_buffer(&level_buffer, MAX_PADDED);
	for (i = 0; i < MAX_CODES; i++)
		make_buffer(&code_buffers[i], MAX_PADDED);

	for (level = ANN_SIMD_SCALAR; level <= ANN_SIMD_NEON; level++)
	{
		if (!ann_simd_supported(level))
			continue;
		ann_simd_select(level);
		run_tests(ann_kernels.level);
	}

#if defined(__x86_64__)
	/* Where VNNI is in force, what other CPUs use has not run yet. */
	if (ann_simd_supported(ANN_SIMD_AVX512))
		report(test_dots(&ann_kernels_avx512), "avx512 without VNNI", "code_dots");
#endif

	ann_simd_select(ANN_SIMD_AUTO);
	report(test_theory(), "any", "errors are those of theory");
	report(test_any_data(), "any", "errors do not depend on the data");
	report(test_bounds(), "any", "bounds");
	report(test_classes(), "any", "bounds of all kinds of vectors");

	printf("1..%d\n", tests_run);
	return all_ok ? 0 : 1;
}
