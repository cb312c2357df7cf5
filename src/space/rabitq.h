/*
 * rabitq.h
 *	  RaBitQ: vectors as codes of 1 to 8 bits per dimension, without training,
 *	  with unbiased estimates of distances and bounds of their errors.
 *
 * Gao and Long, "RaBitQ: Quantizing High-Dimensional Vectors with a
 * Theoretical Error Bound for Approximate Nearest Neighbor Search", SIGMOD
 * 2024 (1 bit); Gao et al., "Practical and Asymptotically Optimal
 * Quantization of High-Dimensional Vectors in Euclidean Space for Approximate
 * Nearest Neighbor Search", SIGMOD 2025 (more bits).
 *
 * All vectors here are rotated (rotate.h), by one rotation; dim is D, a
 * multiple of 64, and bits is from 1 to 8.  A vector x is coded by its
 * residual r = x - c from a centre c, which may be the origin, a centroid or
 * another vector, a different one for each code.  The residual is rounded to a
 * grid: r is about scale * xhat, where each xhat[i] = level - (2^bits - 1) / 2
 * and level, of bits bits, is what the code stores.  With
 *
 *	  scale = r.r / r.xhat
 *
 * q.r is estimated by scale * q.xhat, without bias: what the grid loses has a
 * random direction.  Hence, with
 *
 *	  add = r.r + 2 scale * c.xhat
 *
 *	  |q - x|^2  is about  |q - c|^2 + add - 2 scale * q.xhat
 *
 * q.xhat is a dot product of integers, and that of q itself: one preparation
 * of the query serves all centres.
 *
 * Inner products need no other formula: if |x|^2 is subtracted from add, and
 * |q|^2 from |q - c|^2, the same estimate is one of -2 q.x.
 *
 * The standard deviation of the estimate of q.r is about
 *
 *	  |q - c| |r| sin(q - c, r) s / sqrt(dim)
 *
 * where s is, for 1 to 8 bits, .756, .367, .197, .108, .059, .032, .017 and
 * .008.  The rounding of the query adds, independently and at any angle, s =
 * .01 * |q| / |q - c| up to 4 bits, and next to nothing from 5 on.  So where
 * all vectors are far from the origin, compared with their distances, subtract
 * a common vector from them first.
 */
#ifndef ANN_RABITQ_H
#define ANN_RABITQ_H

/*
 * What belongs to a code.  Where no bound is asked for, the first two are
 * enough to keep.
 */
typedef struct AnnRabitqFactors
{
	float		add;
	float		scale;
	float		norm;			/* |r| */
	float		error;			/* standard deviation of the estimate of q.r,
								 * if |q - c| is 1 and at a right angle to r */
} AnnRabitqFactors;

/* A prepared query; its size is AnnRabitqQuerySize. */
typedef struct AnnRabitqQuery
{
	int			dim;
	int			bits;
	float		step;			/* what a unit of its integers means */
	float		rounding;		/* by how much, almost certainly at most, this
								 * changes products with vectors of length 1 */
	double		offset;			/* q.xhat = step * (q.level - offset) */
	int			digits;			/* of one byte, for each dimension */
	int8		digit[FLEXIBLE_ARRAY_MEMBER];	/* dim lowest, dim next */
} AnnRabitqQuery;

typedef struct AnnRabitqRange
{
	double		lower;
	double		upper;
} AnnRabitqRange;

/* Bytes of a code. */
static inline Size
AnnRabitqCodeSize(int dim, int bits)
{
	return (Size) dim / 8 * bits;
}

/* Bytes of a query, at most. */
static inline Size
AnnRabitqQuerySize(int dim)
{
	return offsetof(AnnRabitqQuery, digit) + 2 * (Size) dim;
}

/*
 * Writes the code and the factors of residual r from a centre; NULL for the
 * origin.  A zero residual has zero factors.
 */
extern void AnnRabitqEncode(int dim, int bits, const float *r, const float *centre,
							uint8 *code, AnnRabitqFactors *factors);

/*
 * The residual a code stands for: r = scale * xhat.
 *
 * It is longer than the original.  The squared distance of a query from c + r
 * as decoded, exact but for the rounding of the query, is the estimate plus
 * (dim - 1) * error^2.
 */
extern void AnnRabitqDecode(int dim, int bits, const uint8 *code, float scale, float *r);

/* Prepares a query, to be compared with codes of so many bits. */
extern void AnnRabitqPrepare(AnnRabitqQuery *query, int dim, int bits, const float *q);

/*
 * The same from a code: query = scale * xhat.  Of two codes from one centre,
 * the squared distance is then AnnRabitqEstimate(a.norm^2, b.norm^2, b.scale,
 * dot).  Up to 7 bits it is symmetric up to the rounding of floats; a query of 8
 * bits is rounded to 7, which is what one digit holds.
 */
extern void AnnRabitqPrepareCode(AnnRabitqQuery *query, int dim, int bits,
								 const uint8 *code, float scale);

/* dots[i] = q.xhat of codes[i], for i < n. */
extern void AnnRabitqDots(const AnnRabitqQuery *query, const uint8 *const *codes, int n,
						  float *dots);

/* Estimate of |q - x|^2, which may be below zero; base is |q - c|^2. */
static inline double
AnnRabitqEstimate(double base, float add, float scale, float dot)
{
	return base + add - 2.0 * scale * dot;
}

/*
 * Where |q - x|^2 lies with a probability of 99.7 %, given its estimate and
 * base = |q - c|^2.  It is a statement about random rotations: never take it
 * for certain.
 */
extern AnnRabitqRange AnnRabitqBounds(const AnnRabitqQuery *query,
									  const AnnRabitqFactors *factors,
									  double base, double estimate);

/*
 * By how much the lower bound is below the estimate at most, whatever that is, or
 * a little more; takes a fraction of the time.  The error is given relative to the
 * norm.
 */
typedef struct AnnRabitqLimit
{
	double		deviations;
	double		reach;			/* 2 |q - c| */
	double		rounding;
	double		root_dim;
} AnnRabitqLimit;

extern AnnRabitqLimit AnnRabitqPrepareLimit(const AnnRabitqQuery *query, double base);

static inline double
AnnRabitqErrorLimit(const AnnRabitqLimit *limit, double norm, double relative)
{
	double		e = limit->deviations * relative;

	/* The cosine is misjudged by e if it is zero, and by e^2 more if it is negative. */
	return norm * (limit->reach * e * (1.0 + e) +
				   limit->rounding * (1.0 + limit->root_dim * relative));
}

#endif							/* ANN_RABITQ_H */
