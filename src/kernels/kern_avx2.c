/*
 * kern_avx2.c
 *	  The kernels for AVX2, with FMA and F16C (Haswell, Zen and later).
 */
#include "c.h"

#include "kernels/kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define KERN_LEVEL avx2
#define KERN_TARGET __attribute__((target("avx2,fma,f16c")))
#define KERN_LANES 8
#define KERN_GROUP 2

typedef __m256 Vec;
typedef __m256i Bits;

KERN_TARGET static inline Vec
vec_zero(void)
{
	return _mm256_setzero_ps();
}

KERN_TARGET static inline Vec
vec_add(Vec a, Vec b)
{
	return _mm256_add_ps(a, b);
}

KERN_TARGET static inline Vec
vec_sub(Vec a, Vec b)
{
	return _mm256_sub_ps(a, b);
}

KERN_TARGET static inline Vec
vec_abs(Vec a)
{
	return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}

KERN_TARGET static inline Vec
vec_fma(Vec a, Vec b, Vec c)
{
	return _mm256_fmadd_ps(a, b, c);
}

KERN_TARGET static inline float
vec_sum(Vec a)
{
	__m128		sum = _mm_add_ps(_mm256_castps256_ps128(a),
								 _mm256_extractf128_ps(a, 1));

	sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
	sum = _mm_add_ss(sum, _mm_movehdup_ps(sum));
	return _mm_cvtss_f32(sum);
}

KERN_TARGET static inline Vec
load_f32(const float *p)
{
	return _mm256_loadu_ps(p);
}

KERN_TARGET static inline Vec
load_f16(const AnnHalf *p)
{
	return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) p));
}

KERN_TARGET static inline Vec
load_some_f32(const float *p, int n)
{
	__m256i		lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

	return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane));
}

KERN_TARGET static inline Vec
load_some_f16(const AnnHalf *p, int n)
{
	__m128i		lane = _mm_setr_epi32(0, 1, 2, 3);
	__m128i		end = _mm_set1_epi32(n / 2);
	__m128i		v = _mm_maskload_epi32((const int *) p, _mm_cmpgt_epi32(end, lane));

	/* The mask is one of pairs of halves. */
	if (n % 2 != 0)
		v = _mm_or_si128(v, _mm_and_si128(_mm_cmpeq_epi32(end, lane),
										  _mm_set1_epi32(p[n - 1])));
	return _mm256_cvtph_ps(v);
}

KERN_TARGET static inline void
store_f32(float *p, Vec v)
{
	_mm256_storeu_ps(p, v);
}

KERN_TARGET static inline void
store_f16(AnnHalf *p, Vec v)
{
	_mm_storeu_si128((__m128i *) p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

KERN_TARGET static inline Bits
bits_zero(void)
{
	return _mm256_setzero_si256();
}

KERN_TARGET static inline Bits
bits_load(const uint8 *p)
{
	return _mm256_loadu_si256((const __m256i *) p);
}

KERN_TARGET static inline Bits
bits_load_some(const uint8 *p, int n)
{
	__m256i		lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
	__m256i		end = _mm256_set1_epi32(n / 4);
	__m256i		v = _mm256_maskload_epi32((const int *) p, _mm256_cmpgt_epi32(end, lane));
	uint32		last = 0;

	/* The mask is one of words of four bytes. */
	for (; n % 4 != 0; n--)
		last = last << 8 | p[n - 1];
	return _mm256_or_si256(v, _mm256_and_si256(_mm256_cmpeq_epi32(end, lane),
											   _mm256_set1_epi32(last)));
}

KERN_TARGET static inline Bits
bits_xor(Bits a, Bits b)
{
	return _mm256_xor_si256(a, b);
}

KERN_TARGET static inline Bits
bits_and(Bits a, Bits b)
{
	return _mm256_and_si256(a, b);
}

KERN_TARGET static inline Bits
bits_or(Bits a, Bits b)
{
	return _mm256_or_si256(a, b);
}

/* Counts by looking up nibbles, and keeps them in four 64-bit sums. */
KERN_TARGET static inline Bits
bits_count(Bits acc, Bits v)
{
	__m256i		table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
										 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
	__m256i		nibble = _mm256_set1_epi8(0x0F);
	__m256i		low = _mm256_and_si256(v, nibble);
	__m256i		high = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
	__m256i		count = _mm256_add_epi8(_mm256_shuffle_epi8(table, low),
										_mm256_shuffle_epi8(table, high));

	return _mm256_add_epi64(acc, _mm256_sad_epu8(count, _mm256_setzero_si256()));
}

KERN_TARGET static inline uint64
bits_total(Bits acc)
{
	__m128i		sum = _mm_add_epi64(_mm256_castsi256_si128(acc),
									_mm256_extracti128_si256(acc, 1));

	return _mm_cvtsi128_si64(sum) + _mm_extract_epi64(sum, 1);
}

#include "kernels/kern_level.h"

#endif							/* __x86_64__ */
