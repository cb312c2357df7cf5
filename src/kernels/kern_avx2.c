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
typedef __m256i Ints;

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
vec_set1(float x)
{
	return _mm256_set1_ps(x);
}

KERN_TARGET static inline Vec
vec_mul(Vec a, Vec b)
{
	return _mm256_mul_ps(a, b);
}

KERN_TARGET static inline Vec
vec_min(Vec a, Vec b)
{
	return _mm256_min_ps(a, b);
}

KERN_TARGET static inline Vec
vec_max(Vec a, Vec b)
{
	return _mm256_max_ps(a, b);
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

KERN_TARGET static inline Vec
vec_trunc(Vec a)
{
	return _mm256_round_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
}

KERN_TARGET static inline Vec
vec_flip(Vec a, uint64 lanes)
{
	__m256i		up = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
	__m256		sign = _mm256_castsi256_ps(_mm256_sllv_epi32(_mm256_set1_epi32((int) lanes), up));

	return _mm256_xor_ps(a, _mm256_and_ps(sign, _mm256_set1_ps(-0.0f)));
}

KERN_TARGET static inline Vec
vec_swap(Vec a, int h)
{
	if (h == 1)
		return _mm256_permute_ps(a, _MM_SHUFFLE(2, 3, 0, 1));
	if (h == 2)
		return _mm256_permute_ps(a, _MM_SHUFFLE(1, 0, 3, 2));
	return _mm256_permute2f128_ps(a, a, 1);
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

KERN_TARGET static inline void
store_u8(uint8 *p, Vec v)
{
	__m256i		ints = _mm256_cvtps_epi32(v);
	__m128i		shorts = _mm_packs_epi32(_mm256_castsi256_si128(ints),
										 _mm256_extracti128_si256(ints, 1));

	_mm_storel_epi64((__m128i *) p, _mm_packus_epi16(shorts, shorts));
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

KERN_TARGET static inline Bits
bits_shl(Bits a, int n)
{
	return _mm256_slli_epi64(a, n);
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

KERN_TARGET static inline Bits
code_part(int part, const uint8 *block, int r)
{
	__m256i		v;
	__m256i		up;				/* by how many bits, in the first register */
	int64		word;

	switch (part)
	{
		case 8:
			return bits_load(block + r * sizeof(Bits));
		case 4:
			v = bits_load(block);
			up = _mm256_setzero_si256();
			break;
		case 2:
			v = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *) block));
			up = _mm256_setr_epi64x(0, 0, 2, 2);
			break;
		default:
			memcpy(&word, block, sizeof(word));
			v = _mm256_set1_epi64x(word);
			up = _mm256_setr_epi64x(0, 1, 2, 3);
	}
	v = _mm256_srlv_epi64(v, _mm256_add_epi64(up, _mm256_set1_epi64x(4 * r)));
	return _mm256_and_si256(v, _mm256_set1_epi8((1 << part) - 1));
}

KERN_TARGET static inline Ints
ints_zero(void)
{
	return _mm256_setzero_si256();
}

KERN_TARGET static inline Ints
ints_dot(Ints acc, Bits levels, Bits query)
{
	__m256i		pairs = _mm256_maddubs_epi16(levels, query);

	return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

KERN_TARGET static inline void
ints_store(int32 *out, const Ints *acc)
{
	__m256i		sums = _mm256_hadd_epi32(_mm256_hadd_epi32(acc[0], acc[1]),
										 _mm256_hadd_epi32(acc[2], acc[3]));

	_mm_storeu_si128((__m128i *) out,
					 _mm_add_epi32(_mm256_castsi256_si128(sums),
								   _mm256_extracti128_si256(sums, 1)));
}

#include "kernels/kern_level.h"

#endif							/* __x86_64__ */
