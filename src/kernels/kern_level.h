/*
 * kern_level.h
 *	  Template: the table of kernels of one level (lib/simplehash.h style).
 *
 * The algorithms are written here and in the other templates (kern_elem.h,
 * kern_bits.h, kern_code.h, kern_quant.h), once for all instruction sets; a
 * kern_<level>.c holds only what an instruction set looks like.  Before it
 * includes this file, it defines
 *
 *	  KERN_LEVEL		name of the level (avx2)
 *	  KERN_TARGET		function attribute that admits the instructions
 *	  KERN_LANES		floats in a register
 *	  KERN_GROUP		vectors a batch compares with the query side by side,
 *						as many as the registers allow
 *	  Vec				a register of KERN_LANES floats
 *	  vec_zero, vec_set1, vec_add, vec_sub, vec_mul, vec_min, vec_max, vec_abs
 *	  vec_fma			a * b + c
 *	  vec_trunc			round towards zero; for small numbers
 *	  vec_flip			negate the lanes whose bits are set
 *	  vec_swap			exchange lanes whose numbers differ by the bit h
 *	  vec_sum			the sum of the lanes; the only horizontal one
 *	  load_f32, load_f16				read KERN_LANES elements as floats
 *	  load_some_f32, load_some_f16		read n < KERN_LANES elements and no
 *										further; the other lanes are zero
 *	  store_f32, store_f16				write KERN_LANES elements
 *	  store_u8							write integers from 0 to 255 as bytes
 *
 * and what kern_bits.h and kern_code.h ask for; it gets const AnnKernels
 * ann_kernels_<level>.
 *
 * All functions that take sums end in one loop (sums in kern_elem.h), so the
 * same numbers are added in the same order whatever the form of the call.
 * The operation and the number of pairs are constants wherever that loop is
 * inlined.
 */

#define KERN_CONCAT_(a, b) a##_##b
#define KERN_CONCAT(a, b) KERN_CONCAT_(a, b)

/* Independent accumulators per sum, to hide the latency of vec_fma. */
#define KERN_ACCUMULATORS 4

/*
 * Marks the loops over accumulators.  These must disappear, for the
 * accumulators to be kept in registers.
 */
#if defined(__clang__)
#define KERN_UNROLLED _Pragma("unroll")
#else
#define KERN_UNROLLED _Pragma("GCC unroll 8")
#endif

/*
 * What a batch fetches of each vector it will compare next.  Further lines
 * are left to the hardware, which has recognised the stream by then.
 */
#define KERN_PREFETCH_LINES 4
#define KERN_CACHE_LINE 64

typedef enum KernOp
{
	KERN_L2SQ,
	KERN_IP,
	KERN_L1
} KernOp;

/* Add the terms of one register of elements to an accumulator. */
KERN_TARGET static inline Vec
add_terms(KernOp op, Vec acc, Vec a, Vec b)
{
	Vec			diff;

	if (op == KERN_IP)
		return vec_fma(a, b, acc);

	diff = vec_sub(a, b);
	if (op == KERN_L2SQ)
		return vec_fma(diff, diff, acc);
	return vec_add(acc, vec_abs(diff));
}

/* Begin to fetch a vector of the given number of bytes. */
static inline void
prefetch(const void *x, int nbytes)
{
	const char *p = x;
	int			end = Min(nbytes, KERN_PREFETCH_LINES * KERN_CACHE_LINE);
	int			i;

	for (i = 0; i < end; i += KERN_CACHE_LINE)
		__builtin_prefetch(p + i);
}

#define ELEM_TYPE float
#define ELEM_NAME(name) name##_f32
#include "kernels/kern_elem.h"

#define ELEM_TYPE AnnHalf
#define ELEM_NAME(name) name##_f16
#include "kernels/kern_elem.h"

KERN_TARGET static void
f16_to_f32(int n, const AnnHalf *src, float *dst)
{
	int			i;

	for (i = 0; i + KERN_LANES <= n; i += KERN_LANES)
		store_f32(dst + i, load_f16(src + i));

	if (i < n)
	{
		float		rest[KERN_LANES];

		store_f32(rest, load_some_f16(src + i, n - i));
		memcpy(dst + i, rest, (n - i) * sizeof(float));
	}
}

KERN_TARGET static void
f32_to_f16(int n, const float *src, AnnHalf *dst)
{
	int			i;

	for (i = 0; i + KERN_LANES <= n; i += KERN_LANES)
		store_f16(dst + i, load_f32(src + i));

	if (i < n)
	{
		AnnHalf		rest[KERN_LANES];

		store_f16(rest, load_some_f32(src + i, n - i));
		memcpy(dst + i, rest, (n - i) * sizeof(AnnHalf));
	}
}

#define BITS_NAME(name) name
#include "kernels/kern_bits.h"

#define CODE_NAME(name) name
#include "kernels/kern_code.h"

#include "kernels/kern_quant.h"

#define KERN_STRING_(x) #x
#define KERN_STRING(x) KERN_STRING_(x)

const AnnKernels KERN_CONCAT(ann_kernels, KERN_LEVEL) =
{
	.level = KERN_STRING(KERN_LEVEL),

	.l2sq_f32 = l2sq_f32,
	.ip_f32 = ip_f32,
	.l1_f32 = l1_f32,
	.cosine_f32 = cosine_f32,

	.l2sq_f16 = l2sq_f16,
	.ip_f16 = ip_f16,
	.l1_f16 = l1_f16,
	.cosine_f16 = cosine_f16,

	.l2sq_f32_batch = l2sq_batch_f32,
	.ip_f32_batch = ip_batch_f32,
	.l2sq_f16_batch = l2sq_batch_f16,
	.ip_f16_batch = ip_batch_f16,

	.f16_to_f32 = f16_to_f32,
	.f32_to_f16 = f32_to_f16,

	.hamming = hamming,
	.jaccard = jaccard,

	.max_abs = max_abs,

	.code_encode = code_encode,
	.code_decode = code_decode,
	.code_digits = code_digits,
	.code_dots = code_dots,

	.flip_signs = flip_signs,
	.hadamard = hadamard,
	.rotate_pairs = rotate_pairs
};
