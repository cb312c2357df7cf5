/*
 * kern_avx512.c
 *	  The kernels for AVX-512 F, BW, VL and DQ (Skylake servers, Zen 4 and
 *	  later).
 *
 * Also owns the tables of what CPUs with VNNI (Cascade Lake, Zen 4) and with
 * VPOPCNTDQ (Ice Lake, Zen 4) do better; they make no levels of their own.
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
typedef __m512i Ints;

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
vec_set1(float x)
{
	return _mm512_set1_ps(x);
}

KERN_TARGET static inline Vec
vec_mul(Vec a, Vec b)
{
	return _mm512_mul_ps(a, b);
}

KERN_TARGET static inline Vec
vec_min(Vec a, Vec b)
{
	return _mm512_min_ps(a, b);
}

KERN_TARGET static inline Vec
vec_max(Vec a, Vec b)
{
	return _mm512_max_ps(a, b);
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

KERN_TARGET static inline Vec
vec_trunc(Vec a)
{
	return _mm512_roundscale_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
}

KERN_TARGET static inline Vec
vec_flip(Vec a, uint64 lanes)
{
	return _mm512_mask_xor_ps(a, (__mmask16) lanes, a, _mm512_set1_ps(-0.0f));
}

KERN_TARGET static inline Vec
vec_swap(Vec a, int h)
{
	if (h == 1)
		return _mm512_permute_ps(a, _MM_SHUFFLE(2, 3, 0, 1));
	if (h == 2)
		return _mm512_permute_ps(a, _MM_SHUFFLE(1, 0, 3, 2));
	if (h == 4)
		return _mm512_shuffle_f32x4(a, a, _MM_SHUFFLE(2, 3, 0, 1));
	return _mm512_shuffle_f32x4(a, a, _MM_SHUFFLE(1, 0, 3, 2));
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

KERN_TARGET static inline void
store_u8(uint8 *p, Vec v)
{
	_mm_storeu_si128((__m128i *) p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
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

KERN_TARGET static inline Bits
bits_shl(Bits a, int n)
{
	return _mm512_slli_epi64(a, n);
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

/* A block of levels is one register. */
KERN_TARGET static inline Bits
code_part(int part, const uint8 *block, int r)
{
	__m512i		v;
	__m512i		up;				/* by how many bits */
	int64		word;

	switch (part)
	{
		case 8:
			return bits_load(block);
		case 4:
			v = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *) block));
			up = _mm512_setr_epi64(0, 0, 0, 0, 4, 4, 4, 4);
			break;
		case 2:
			v = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *) block));
			up = _mm512_setr_epi64(0, 0, 2, 2, 4, 4, 6, 6);
			break;
		default:
			memcpy(&word, block, sizeof(word));
			v = _mm512_set1_epi64(word);
			up = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
	}
	return _mm512_and_si512(_mm512_srlv_epi64(v, up), _mm512_set1_epi8((1 << part) - 1));
}

KERN_TARGET static inline Ints
ints_zero(void)
{
	return _mm512_setzero_si512();
}

KERN_TARGET static inline Ints
ints_dot(Ints acc, Bits levels, Bits query)
{
	__m512i		pairs = _mm512_maddubs_epi16(levels, query);

	return _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}

/* Halves the registers, one of each pair beside the other, until one is left. */
KERN_TARGET static inline void
ints_store(int32 *out, const Ints *acc)
{
	__m512i		ab = _mm512_add_epi32(_mm512_unpacklo_epi32(acc[0], acc[1]),
									  _mm512_unpackhi_epi32(acc[0], acc[1]));
	__m512i		cd = _mm512_add_epi32(_mm512_unpacklo_epi32(acc[2], acc[3]),
									  _mm512_unpackhi_epi32(acc[2], acc[3]));
	__m512i		abcd = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd),
										_mm512_unpackhi_epi64(ab, cd));
	__m256i		sums = _mm256_add_epi32(_mm512_castsi512_si256(abcd),
										_mm512_extracti64x4_epi64(abcd, 1));

	_mm_storeu_si128((__m128i *) out,
					 _mm_add_epi32(_mm256_castsi256_si128(sums),
								   _mm256_extracti128_si256(sums, 1)));
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

#undef KERN_TARGET
#define KERN_TARGET \
	__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))

KERN_TARGET static inline Ints
ints_dot_vnni(Ints acc, Bits levels, Bits query)
{
	return _mm512_dpbusd_epi32(acc, levels, query);
}

#define CODE_NAME(name) name##_vnni
#include "kernels/kern_code.h"

const AnnKernels ann_kernels_avx512_vnni =
{
	.level = "avx512",

	.code_dots = code_dots_vnni
};

#endif							/* __x86_64__ */
