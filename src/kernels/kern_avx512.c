/*
 * kern_avx512.c
 *	  The kernels for AVX-512 F, BW, VL and DQ (Skylake servers, Zen 4 and
 *	  later).
 *
 * Also owns the table of what CPUs with VPOPCNTDQ (Ice Lake, Zen 4) do
 * better; they make no level of their own.
 */
#include "c.h"

#include "kernels/kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define KERN_LEVEL avx512
#define KERN_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define KERN_LANES 16
#define KERN_GROUP 4

typedef __m512 Vec;
typedef __m512i Bits;

KERN_TARGET static inline Vec
vec_zero(void)
{
	return _mm512_setzero_ps();
}

KERN_TARGET static inline Vec
vec_add(Vec a, Vec b)
{
	return _mm512_add_ps(a, b);
}

KERN_TARGET static inline Vec
vec_sub(Vec a, Vec b)
{
	return _mm512_sub_ps(a, b);
}

KERN_TARGET static inline Vec
vec_abs(Vec a)
{
	return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a);
}

KERN_TARGET static inline Vec
vec_fma(Vec a, Vec b, Vec c)
{
	return _mm512_fmadd_ps(a, b, c);
}

KERN_TARGET static inline float
vec_sum(Vec a)
{
	return _mm512_reduce_add_ps(a);
}

KERN_TARGET static inline Vec
load_f32(const float *p)
{
	return _mm512_loadu_ps(p);
}

KERN_TARGET static inline Vec
load_f16(const AnnHalf *p)
{
	return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) p));
}

KERN_TARGET static inline Vec
load_some_f32(const float *p, int n)
{
	return _mm512_maskz_loadu_ps((1U << n) - 1, p);
}

KERN_TARGET static inline Vec
load_some_f16(const AnnHalf *p, int n)
{
	return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16((1U << n) - 1, p));
}

KERN_TARGET static inline void
store_f32(float *p, Vec v)
{
	_mm512_storeu_ps(p, v);
}

KERN_TARGET static inline void
store_f16(AnnHalf *p, Vec v)
{
	_mm256_storeu_si256((__m256i *) p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

KERN_TARGET static inline Bits
bits_zero(void)
{
	return _mm512_setzero_si512();
}

KERN_TARGET static inline Bits
bits_load(const uint8 *p)
{
	return _mm512_loadu_si512(p);
}

KERN_TARGET static inline Bits
bits_load_some(const uint8 *p, int n)
{
	return _mm512_maskz_loadu_epi8((UINT64CONST(1) << n) - 1, p);
}

KERN_TARGET static inline Bits
bits_xor(Bits a, Bits b)
{
	return _mm512_xor_si512(a, b);
}

KERN_TARGET static inline Bits
bits_and(Bits a, Bits b)
{
	return _mm512_and_si512(a, b);
}

KERN_TARGET static inline Bits
bits_or(Bits a, Bits b)
{
	return _mm512_or_si512(a, b);
}

/* Counts by looking up nibbles, and keeps them in eight 64-bit sums. */
KERN_TARGET static inline Bits
bits_count(Bits acc, Bits v)
{
	__m512i		table = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3,
															 1, 2, 2, 3, 2, 3, 3, 4));
	__m512i		nibble = _mm512_set1_epi8(0x0F);
	__m512i		low = _mm512_and_si512(v, nibble);
	__m512i		high = _mm512_and_si512(_mm512_srli_epi16(v, 4), nibble);
	__m512i		count = _mm512_add_epi8(_mm512_shuffle_epi8(table, low),
										_mm512_shuffle_epi8(table, high));

	return _mm512_add_epi64(acc, _mm512_sad_epu8(count, _mm512_setzero_si512()));
}

KERN_TARGET static inline uint64
bits_total(Bits acc)
{
	return _mm512_reduce_add_epi64(acc);
}

#include "kernels/kern_level.h"

#undef KERN_TARGET
#define KERN_TARGET \
	__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq")))

KERN_TARGET static inline Bits
bits_count_vpopcntdq(Bits acc, Bits v)
{
	return _mm512_add_epi64(acc, _mm512_popcnt_epi64(v));
}

#define BITS_NAME(name) name##_vpopcntdq
#include "kernels/kern_bits.h"

const AnnKernels ann_kernels_avx512_vpopcntdq =
{
	.level = "avx512",

	.hamming = hamming_vpopcntdq,
	.jaccard = jaccard_vpopcntdq
};

#endif							/* __x86_64__ */
