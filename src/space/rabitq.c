/*
 * rabitq.c
 *	  RaBitQ: vectors as codes of 1 to 8 bits per dimension.
 *
 * Owns the numbers; the layout of codes belongs to the kernels.  Knows neither
 * PostgreSQL beyond c.h nor where codes and factors are stored.
 */
#include "c.h"

#include <float.h>
#include <math.h>

#include "kernels/kernels.h"
#include "space/rabitq.h"

/* Digits of a query are to this base, and from -64 to 63 but for the highest. */
#define DIGIT_BITS	7

/* The most codes compared in one call of the kernel. */
#define MAX_DOTS	64

/*
 * Half the width of a bound, in standard deviations; and in the fewest dimensions
 * there are, where vectors that are alike may err alike.
 */
#define DEVIATIONS	3.0
#define FEW_DIMS	64
#define FEW_DIMS_DEVIATIONS 4.0

/*
 * The same of what the rounding of the query adds.  It is so much because vectors
 * with few elements, rotated, are on a lattice, on which rounding may err in the
 * same direction again and again.
 */
#define ROUNDING_DEVIATIONS 12.0

/* The mean of the possible levels. */
static double
mean_level(int bits)
{
	return ((1 << bits) - 1) / 2.0;
}

/*
 * The distance between two points of the grid for a residual.
 *
 * The elements of a rotated vector are nearly normal.  Each number of bits has
 * a step that loses least of normal numbers; the last bits have to see to it
 * that what the grid does not reach costs no more than what it rounds.
 */
static float
grid_step(int dim, int bits, const float *r, float norm)
{
	static const float best_step[] = {1.0f, 0.9957f, 0.5860f, 0.3352f, 0.1881f, 0.1041f, 0.0569f};

	if (bits <= (int) lengthof(best_step))
		return best_step[bits - 1] * norm / sqrtf(dim);
	return ann_kernels.max_abs(dim, r) / (1 << (bits - 1));
}

void
AnnRabitqEncode(int dim, int bits, const float *r, const float *centre,
				uint8 *code, AnnRabitqFactors *factors)
{
	AnnCoded	coded = {.code = code};
	double		norm2 = ann_kernels.ip_f32(dim, r, r);
	float		step = grid_step(dim, bits, r, sqrt(norm2));
	double		loss;

	ann_kernels.code_encode(bits, dim, r, centre != NULL ? centre : r,
							norm2 > 0.0 ? 1.0f / step : 0.0f, &coded);

	memset(factors, 0, sizeof(*factors));
	if (norm2 == 0.0)
		return;

	factors->scale = norm2 / coded.with_x;
	factors->add = norm2;
	if (centre != NULL)
		factors->add = norm2 + 2.0 * factors->scale * coded.with_y;
	factors->norm = sqrt(norm2);

	/* 1 / cos^2(r, xhat) - 1; rounding may take it below zero. */
	loss = norm2 * coded.with_self / ((double) coded.with_x * coded.with_x) - 1.0;
	factors->error = sqrt(norm2 * Max(loss, 0.0) / (dim - 1));
}

void
AnnRabitqDecode(int dim, int bits, const uint8 *code, float scale, float *r)
{
	ann_kernels.code_decode(bits, dim, code, scale, r);
}

/*
 * What a rounding of q means for products, given |q - rounded q|^2: never more
 * than Cauchy and Schwarz say.
 */
static float
rounding_limit(int dim, double lost)
{
	return Min(ROUNDING_DEVIATIONS / sqrt(dim), 1.0) * sqrt(lost);
}

/*
 * Sets a block of the query, starting at dimension i, to integers of so many
 * digits as it has; a single one may be anything from -127 to 127.  Returns
 * the sum of the integers.
 */
static int32
set_block(AnnRabitqQuery *query, int i, const int16 *values)
{
	int8		low[ANN_CODE_BLOCK];
	int8		high[ANN_CODE_BLOCK];
	int32		sum = 0;
	int			j;

	for (j = 0; j < ANN_CODE_BLOCK; j++)
		sum += values[j];

	for (j = 0; j < ANN_CODE_BLOCK; j++)
	{
		high[j] = (values[j] + (1 << (DIGIT_BITS - 1))) >> DIGIT_BITS;
		low[j] = query->digits == 1 ? values[j] : values[j] - high[j] * (1 << DIGIT_BITS);
	}
	memcpy(query->digit + i, low, sizeof(low));
	if (query->digits == 2)
		memcpy(query->digit + query->dim + i, high, sizeof(high));
	return sum;
}

void
AnnRabitqPrepare(AnnRabitqQuery *query, int dim, int bits, const float *q)
{
	float		max = ann_kernels.max_abs(dim, q);
	int			limit;
	float		inv_step;
	int16		values[ANN_CODE_BLOCK];
	int64		sum = 0;
	double		lost = 0.0;
	int			i;
	int			j;

	/*
	 * The rounding error of one digit is a tenth of that of a 4-bit code.
	 * With two, what counts is that the high one is 63 at most: 64 times a
	 * level of 8 bits is all that the kernel can add up.
	 */
	query->dim = dim;
	query->bits = bits;
	query->digits = bits <= 4 ? 1 : 2;
	limit = query->digits == 1 ? 127 : 8127;
	query->step = max / limit;
	inv_step = Min(limit / max, FLT_MAX);

	for (i = 0; i < dim; i += ANN_CODE_BLOCK)
	{
		/* Round to nearest; conversion truncates, so keep it positive. */
		for (j = 0; j < ANN_CODE_BLOCK; j++)
			values[j] = (int) (q[i + j] * inv_step + (limit + 0.5f)) - limit;
		for (j = 0; j < ANN_CODE_BLOCK; j++)
		{
			double		error = q[i + j] - (double) query->step * values[j];

			lost += error * error;
		}
		sum += set_block(query, i, values);
	}
	query->rounding = rounding_limit(dim, lost);
	query->offset = mean_level(bits) * sum;
}

void
AnnRabitqPrepareCode(AnnRabitqQuery *query, int dim, int bits, const uint8 *code, float scale)
{
	/* xhat counts in halves; of 8 bits, rounded to a multiple of two. */
	query->dim = dim;
	query->bits = bits;
	query->digits = 1;
	query->step = bits == 8 ? scale * 2 : scale / 2;
	query->rounding = bits == 8 ? rounding_limit(dim, dim / 16.0 * query->step * query->step) : 0.0f;
	query->offset = mean_level(bits) * ann_kernels.code_digits(bits, dim, code, query->digit);
}

void
AnnRabitqDots(const AnnRabitqQuery *query, const uint8 *const *codes, int n, float *dots)
{
	int32		low[MAX_DOTS];
	int32		high[MAX_DOTS];
	int			i;
	int			j;

	for (i = 0; i < n; i += MAX_DOTS)
	{
		int			m = Min(n - i, MAX_DOTS);

		ann_kernels.code_dots(query->bits, query->dim, query->digit, codes + i, m, low);
		for (j = 0; j < m; j++)
			dots[i + j] = query->step * (low[j] - query->offset);

		if (query->digits == 1)
			continue;
		ann_kernels.code_dots(query->bits, query->dim, query->digit + query->dim,
							  codes + i, m, high);
		for (j = 0; j < m; j++)
			dots[i + j] += query->step * (1 << DIGIT_BITS) * high[j];
	}
}

/* Half the width of a bound for cosines, where they are zero. */
static double
cosine_error(const AnnRabitqQuery *query, double norm, double error)
{
	return (query->dim <= FEW_DIMS ? FEW_DIMS_DEVIATIONS : DEVIATIONS) * error / norm;
}

/* What the rounding adds is independent of what the code errs. */
static double
add_rounding(double width, double rounding)
{
	return width > 0.0 ? sqrt(width * width + rounding * rounding) : rounding;
}

AnnRabitqRange
AnnRabitqBounds(const AnnRabitqQuery *query, const AnnRabitqFactors *factors,
				double base, double estimate)
{
	double		norm = factors->norm;
	double		error = factors->error;
	double		product = sqrt(base) * norm;
	double		middle = base + norm * norm;
	double		rounding;
	double		lowest = 0.0;
	double		highest = 0.0;
	AnnRabitqRange range;

	if (product > 0.0)
	{
		/*
		 * By how much the cosine between q - c and r is misjudged depends on
		 * that cosine: e * sqrt(1 - cos^2) at most.  So the true one is
		 * between the solutions of (cos - estimate)^2 = e^2 (1 - cos^2), as
		 * in Wilson's interval for a proportion.
		 */
		double		cosine = (middle - estimate) / (2.0 * product);
		double		e = cosine_error(query, norm, error);
		double		width = e * sqrt(Max(1.0 + e * e - cosine * cosine, 0.0));

		lowest = Min(Max((cosine - width) / (1.0 + e * e), -1.0), 1.0);
		highest = Min(Max((cosine + width) / (1.0 + e * e), -1.0), 1.0);
	}

	/* The length of what the code stands for. */
	rounding = 2.0 * query->rounding * sqrt(norm * norm + (query->dim - 1) * error * error);

	range.lower = estimate - add_rounding(estimate - (middle - 2.0 * product * highest), rounding);
	range.upper = estimate + add_rounding(middle - 2.0 * product * lowest - estimate, rounding);
	return range;
}

AnnRabitqLimit
AnnRabitqPrepareLimit(const AnnRabitqQuery *query, double base)
{
	AnnRabitqLimit limit;

	limit.deviations = cosine_error(query, 1.0, 1.0);
	limit.reach = 2.0 * sqrt(base);
	limit.rounding = 2.0 * query->rounding;
	limit.root_dim = sqrt(query->dim);
	return limit;
}
