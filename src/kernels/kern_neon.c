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
vec_abs(Vec a)
{
	return vabsq_f32(a);
}

static inline Vec
vec_fma(Vec a, Vec b, Vec c)
{
	return vfmaq_f32(c, a, b);
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

#include "kernels/kern_level.h"

#endif							/* __aarch64__ */
