/*
 * kern_neon.c
 *	  The kernels for NEON, which every 64-bit Arm has.
 */
#include "c.h"

#include "kernels/kernels.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#define KERN_LEVEL neon
#define KERN_TARGET
#define KERN_LANES 4
#define KERN_GROUP 4

typedef float32x4_t Vec;
typedef uint8x16_t Bits;
typedef int32x4_t Ints;

static inline Vec
vec_zero(void)
{
	return vdupq_n_f32(0.0f);
}

static inline Vec
vec_add(Vec a, Vec b)
{
	return vaddq_f32(a, b);
}

static inline Vec
vec_sub(Vec a, Vec b)
{
	return vsubq_f32(a, b);
}

static inline Vec
vec_set1(float x)
{
	return vdupq_n_f32(x);
}

static inline Vec
vec_mul(Vec a, Vec b)
{
	return vmulq_f32(a, b);
}

static inline Vec
vec_min(Vec a, Vec b)
{
	return vminq_f32(a, b);
}

static inline Vec
vec_max(Vec a, Vec b)
{
	return vmaxq_f32(a, b);
}

static inline Vec
vec_abs(Vec a)
{
	return vabsq_f32(a);
}

static inline Vec
vec_fma(Vec a, Vec b, Vec c)
{
	return vfmaq_f32(c, a, b);
}

static inline Vec
vec_trunc(Vec a)
{
	return vrndq_f32(a);
}

static inline Vec
vec_flip(Vec a, uint64 lanes)
{
	const int32x4_t up = {31, 30, 29, 28};
	uint32x4_t	sign = vshlq_u32(vdupq_n_u32((uint32) lanes), up);

	sign = vandq_u32(sign, vdupq_n_u32(0x80000000));
	return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(a), sign));
}

static inline Vec
vec_swap(Vec a, int h)
{
	return h == 1 ? vrev64q_f32(a) : vextq_f32(a, a, 2);
}

static inline float
vec_sum(Vec a)
{
	return vaddvq_f32(a);
}

static inline Vec
load_f32(const float *p)
{
	return vld1q_f32(p);
}

static inline Vec
load_f16(const AnnHalf *p)
{
	return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}

static inline Vec
load_some_f32(const float *p, int n)
{
	float		padded[KERN_LANES] = {0};

	memcpy(padded, p, n * sizeof(float));
	return load_f32(padded);
}

static inline Vec
load_some_f16(const AnnHalf *p, int n)
{
	AnnHalf		padded[KERN_LANES] = {0};

	memcpy(padded, p, n * sizeof(AnnHalf));
	return load_f16(padded);
}

static inline void
store_f32(float *p, Vec v)
{
	vst1q_f32(p, v);
}

static inline void
store_f16(AnnHalf *p, Vec v)
{
	vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v)));
}

static inline void
store_u8(uint8 *p, Vec v)
{
	uint16x4_t	shorts = vmovn_u32(vcvtq_u32_f32(v));
	uint8x8_t	bytes = vmovn_u16(vcombine_u16(shorts, shorts));
	uint32		four = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);

	memcpy(p, &four, sizeof(four));
}

static inline Bits
bits_zero(void)
{
	return vdupq_n_u8(0);
}

static inline Bits
bits_load(const uint8 *p)
{
	return vld1q_u8(p);
}

static inline Bits
bits_load_some(const uint8 *p, int n)
{
	uint8		padded[sizeof(Bits)] = {0};

	memcpy(padded, p, n);
	return bits_load(padded);
}

static inline Bits
bits_xor(Bits a, Bits b)
{
	return veorq_u8(a, b);
}

static inline Bits
bits_and(Bits a, Bits b)
{
	return vandq_u8(a, b);
}

static inline Bits
bits_or(Bits a, Bits b)
{
	return vorrq_u8(a, b);
}

static inline Bits
bits_shl(Bits a, int n)
{
	return vreinterpretq_u8_u64(vshlq_u64(vreinterpretq_u64_u8(a), vdupq_n_s64(n)));
}

/* Keeps the counts in four 32-bit sums. */
static inline Bits
bits_count(Bits acc, Bits v)
{
	uint16x8_t	count = vpaddlq_u8(vcntq_u8(v));

	return vreinterpretq_u8_u32(vpadalq_u16(vreinterpretq_u32_u8(acc), count));
}

static inline uint64
bits_total(Bits acc)
{
	return vaddlvq_u32(vreinterpretq_u32_u8(acc));
}

/* Shifts bytes, not words: no mask is needed on top. */
static inline Bits
code_part(int part, const uint8 *block, int r)
{
	Bits		v;
	int			down;			/* by how many bits */

	if (part == 1)
	{
		const int8x16_t by_half = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};

		v = vcombine_u8(vld1_u8(block), vld1_u8(block));
		v = vshlq_u8(v, vsubq_s8(vdupq_n_s8(-2 * r), by_half));
	}
	else
	{
		down = part * (r * (int) sizeof(Bits) / (8 * part));
		v = bits_load(block + r * sizeof(Bits) % (8 * part));
		v = vshlq_u8(v, vdupq_n_s8(-down));
	}
	return vandq_u8(v, vdupq_n_u8(0xFF >> (8 - part)));
}

static inline Ints
ints_zero(void)
{
	return vdupq_n_s32(0);
}

static inline int16x8_t
widen_levels(uint8x8_t levels)
{
	return vreinterpretq_s16_u16(vmovl_u8(levels));
}

/* Bytes of different signedness cannot be multiplied. */
static inline Ints
ints_dot(Ints acc, Bits levels, Bits query)
{
	int8x16_t	q = vreinterpretq_s8_u8(query);
	int16x8_t	low = vmulq_s16(widen_levels(vget_low_u8(levels)), vmovl_s8(vget_low_s8(q)));
	int16x8_t	sums = vmlaq_s16(low, widen_levels(vget_high_u8(levels)),
								 vmovl_s8(vget_high_s8(q)));

	return vpadalq_s16(acc, sums);
}

static inline void
ints_store(int32 *out, const Ints *acc)
{
	vst1q_s32(out, vpaddq_s32(vpaddq_s32(acc[0], acc[1]), vpaddq_s32(acc[2], acc[3])));
}

#include "kernels/kern_level.h"

#endif							/* __aarch64__ */
