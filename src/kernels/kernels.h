/*
 * kernels.h
 *	  SIMD arithmetic on arrays of numbers and bits (layer 0).
 *
 * A const table of functions exists per instruction set (kern_*.c).  At load
 * the tables are overlaid, from the scalar one upwards, into ann_kernels;
 * callers call through it.  Nothing here allocates, raises errors or knows
 * PostgreSQL beyond c.h.
 *
 * Contract of every kernel:
 * - Pointers need no alignment beyond that of the element (float 4, half 2,
 *	 bytes 1).  Dimensions may be anything from 0 up; no byte past the end is
 *	 read.
 * - Sums are accumulated in float, as pgvector does; they are exact as long
 *	 as all partial sums are (small integers).  Non-finite results are passed
 *	 on, never trapped.
 * - At one level, a batch form returns bit-identical results to the single
 *	 form; l2sq, l1 and ip are symmetric in their arguments, to the bit; and
 *	 the three sums of cosine equal ip(a,b), ip(a,a) and ip(b,b) to the bit
 *	 (the order of results by an index must be the order by the operator).
 * - Levels, dot products of codes, and the steps of a rotation are the same
 *	 to the bit at every level (indexes outlive the machine).
 */
#ifndef ANN_KERNELS_H
#define ANN_KERNELS_H

/* An IEEE 754 binary16 number, as bits. */
typedef uint16 AnnHalf;

/*
 * The dimensions of codes, and of what is rotated, come in blocks: where it
 * says "blocks", a number of dimensions is a multiple of this.
 */
#define ANN_CODE_BLOCK 64

/* What code_encode writes; xhat is the levels less their mean possible value. */
typedef struct AnnCoded
{
	uint8	   *code;			/* dim / 8 * bits bytes of the caller's */
	float		with_x;			/* x . xhat */
	float		with_y;			/* y . xhat */
	float		with_self;		/* xhat . xhat */
} AnnCoded;

typedef struct AnnKernels
{
	/* The name ann_simd() shows: scalar, avx2, avx512, neon. */
	const char *level;

	/* Dense float vectors: squared L2, inner product, L1. */
	float		(*l2sq_f32) (int dim, const float *a, const float *b);
	float		(*ip_f32) (int dim, const float *a, const float *b);
	float		(*l1_f32) (int dim, const float *a, const float *b);
	/* out[0] = a.b, out[1] = a.a, out[2] = b.b */
	void		(*cosine_f32) (int dim, const float *a, const float *b, float out[3]);

	/* The same on halves, converted to float before any arithmetic. */
	float		(*l2sq_f16) (int dim, const AnnHalf *a, const AnnHalf *b);
	float		(*ip_f16) (int dim, const AnnHalf *a, const AnnHalf *b);
	float		(*l1_f16) (int dim, const AnnHalf *a, const AnnHalf *b);
	void		(*cosine_f16) (int dim, const AnnHalf *a, const AnnHalf *b, float out[3]);

	/* One query against n vectors: out[i] = f(query, x[i]). */
	void		(*l2sq_f32_batch) (int dim, const float *query, const float *const *x, int n, float *out);
	void		(*ip_f32_batch) (int dim, const float *query, const float *const *x, int n, float *out);
	void		(*l2sq_f16_batch) (int dim, const AnnHalf *query, const AnnHalf *const *x, int n, float *out);
	void		(*ip_f16_batch) (int dim, const AnnHalf *query, const AnnHalf *const *x, int n, float *out);

	/*
	 * Conversions.  f32_to_f16 rounds to nearest even, keeps subnormals, and
	 * turns what is too large into an infinity (the caller checks).
	 */
	void		(*f16_to_f32) (int n, const AnnHalf *src, float *dst);
	void		(*f32_to_f16) (int n, const float *src, AnnHalf *dst);

	/* Bits: popcount(a ^ b); and popcounts of a & b and of a | b. */
	uint64		(*hamming) (int nbytes, const uint8 *a, const uint8 *b);
	void		(*jaccard) (int nbytes, const uint8 *a, const uint8 *b, uint64 *both, uint64 *either);

	/* The greatest absolute value; 0 of no dimensions. */
	float		(*max_abs) (int dim, const float *x);

	/*
	 * Codes of 1 to 8 bits per dimension; dim in blocks.  kern_code.h has the
	 * layout.
	 *
	 * code_encode: level[i] = x[i] * inv_step + 2^(bits - 1) in floats,
	 * rounded down, and the nearest possible where that is out of range.
	 *
	 * code_decode: out[i] = scale * (level of dimension i - the mean of all
	 * levels there are).
	 *
	 * code_digits: the same for a scale of 2, as a code_dots query; of 8 bits, for
	 * a scale of 1/2 and rounded to the nearest.  Returns the sum.
	 *
	 * code_dots: out[i] = sum over dimensions of query * level of codes[i].
	 * No query[j] * (2^bits - 1) may exceed 16383 in magnitude.
	 */
	void		(*code_encode) (int bits, int dim, const float *x, const float *y,
								float inv_step, AnnCoded *coded);
	void		(*code_decode) (int bits, int dim, const uint8 *code, float scale, float *out);
	int32		(*code_digits) (int bits, int dim, const uint8 *code, int8 *digits);
	void		(*code_dots) (int bits, int dim, const int8 *query, const uint8 *const *codes,
							  int n, int32 *out);

	/*
	 * Steps of a rotation, in place; n in blocks.
	 *
	 * flip_signs: x[i] *= scale, negated if bit i % 64 of signs[i / 64] is
	 * set.
	 *
	 * hadamard: x = H x, not normalized; n is a power of two.
	 *
	 * rotate_pairs: (x[i], y[i]) = (x[i] + y[i], x[i] - y[i]) / sqrt(2); here
	 * n may end with half a block.
	 */
	void		(*flip_signs) (int n, const uint64 *signs, float scale, float *x);
	void		(*hadamard) (int n, float *x);
	void		(*rotate_pairs) (int n, float *x, float *y);
} AnnKernels;

/* The levels, in ascending order; a machine knows one family of them. */
typedef enum AnnSimdLevel
{
	ANN_SIMD_AUTO,
	ANN_SIMD_SCALAR,
	ANN_SIMD_AVX2,
	ANN_SIMD_AVX512,
	ANN_SIMD_NEON
} AnnSimdLevel;

/* The table in force; empty until ann_simd_select. */
extern AnnKernels ann_kernels;

/* The per-level tables; NULL members are holes to be filled from below. */
extern const AnnKernels ann_kernels_scalar;
#if defined(__x86_64__)
extern const AnnKernels ann_kernels_avx2;
extern const AnnKernels ann_kernels_avx512;
extern const AnnKernels ann_kernels_avx512_vpopcntdq;	/* for CPUs that have it */
extern const AnnKernels ann_kernels_avx512_vnni;	/* for CPUs that have it */
#elif defined(__aarch64__)
extern const AnnKernels ann_kernels_neon;
#endif

/* Can this CPU (and operating system) run the level? */
extern bool ann_simd_supported(AnnSimdLevel level);

/*
 * Put a level in force; ANN_SIMD_AUTO is the best one supported.  The level
 * must be supported.
 */
extern void ann_simd_select(AnnSimdLevel level);

#endif							/* ANN_KERNELS_H */
