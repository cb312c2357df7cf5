/*
 * kern_scalar.c
 *	  The kernels in portable C: registers of one number, words of 64 bits.
 *
 * Works everywhere and defines the right answer; owns the conversion of
 * halves in software.
 */
#include "c.h"

#include <math.h>

#include "kernels/kernels.h"

#define KERN_LEVEL scalar
#define KERN_TARGET
#define KERN_LANES 1
#define KERN_GROUP 1

typedef float Vec;
typedef uint64 Bits;
typedef int32 Ints;

static inline Vec
vec_zero(void)
{
	return 0.0f;
}

static inline Vec
vec_add(Vec a, Vec b)
{
	return a + b;
}

static inline Vec
vec_sub(Vec a, Vec b)
{
	return a - b;
}

static inline Vec
vec_set1(float x)
{
	return x;
}

static inline Vec
vec_mul(Vec a, Vec b)
{
	return a * b;
}

static inline Vec
vec_min(Vec a, Vec b)
{
	return a < b ? a : b;
}

static inline Vec
vec_max(Vec a, Vec b)
{
	return a > b ? a : b;
}

static inline Vec
vec_abs(Vec a)
{
	return fabsf(a);
}

static inline Vec
vec_fma(Vec a, Vec b, Vec c)
{
	return a * b + c;
}

static inline float
vec_sum(Vec a)
{
	return a;
}

static inline uint32
float_bits(float x)
{
	uint32		bits;

	memcpy(&bits, &x, sizeof(bits));
	return bits;
}

static inline float
float_from_bits(uint32 bits)
{
	float		x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

static inline Vec
vec_trunc(Vec a)
{
	return (int32) a;
}

static inline Vec
vec_flip(Vec a, uint64 lanes)
{
	return float_from_bits(float_bits(a) ^ (uint32) lanes << 31);
}

/* There is no other lane. */
static inline Vec
vec_swap(Vec a, int h)
{
	return a;
}

static inline Vec
load_f32(const float *p)
{
	return *p;
}

static inline Vec
load_f16(const AnnHalf *p)
{
	uint32		sign = (uint32) (*p & 0x8000) << 16;
	uint32		magnitude = (uint32) (*p & 0x7FFF) << 13;

	/*
	 * With exponent and mantissa in place, what is wrong is the bias of the
	 * exponent, 15 and not 127.  A multiplication corrects it, and normalizes
	 * subnormals; infinities and NaNs need the greatest exponent, though.
	 */
	if (magnitude >= 0x7C00 << 13)
		return float_from_bits(sign | 0x7F800000 | magnitude);
	return float_from_bits(sign | float_bits(float_from_bits(magnitude) * 0x1p112f));
}

/* One lane is filled by one element, so there is never a rest. */
static inline Vec
load_some_f32(const float *p, int n)
{
	return n > 0 ? load_f32(p) : 0.0f;
}

static inline Vec
load_some_f16(const AnnHalf *p, int n)
{
	return n > 0 ? load_f16(p) : 0.0f;
}

static inline void
store_f32(float *p, Vec v)
{
	*p = v;
}

static inline void
store_f16(AnnHalf *p, Vec v)
{
	AnnHalf		sign = (float_bits(v) >> 16) & 0x8000;
	uint32		magnitude = float_bits(v) & 0x7FFFFFFF;

	if (magnitude > 0x7F800000)
	{
		/* Keep a NaN one, and quiet, whatever bits of it are lost. */
		*p = sign | 0x7E00 | ((magnitude >> 13) & 0x3FF);
	}
	else if (magnitude >= float_bits(65536.0f))
		*p = sign | 0x7C00;
	else if (magnitude < float_bits(0x1p-14f))
	{
		/*
		 * Subnormal.  In [0.5, 1) a float counts in units of 2^-24, as
		 * subnormal halves do; so the addition rounds, and leaves the answer
		 * in the lowest bits.
		 */
		*p = sign | (float_bits(float_from_bits(magnitude) + 0.5f) - float_bits(0.5f));
	}
	else
	{
		/* Correct the bias of the exponent, and round to nearest even. */
		magnitude -= (127 - 15) << 23;
		magnitude += 0xFFF + ((magnitude >> 13) & 1);
		*p = sign | (magnitude >> 13);
	}
}

static inline void
store_u8(uint8 *p, Vec v)
{
	*p = (uint8) v;
}

static inline Bits
bits_zero(void)
{
	return 0;
}

static inline Bits
bits_load(const uint8 *p)
{
	Bits		v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline Bits
bits_load_some(const uint8 *p, int n)
{
	Bits		v = 0;

	memcpy(&v, p, n);
	return v;
}

static inline Bits
bits_xor(Bits a, Bits b)
{
	return a ^ b;
}

static inline Bits
bits_and(Bits a, Bits b)
{
	return a & b;
}

static inline Bits
bits_or(Bits a, Bits b)
{
	return a | b;
}

static inline Bits
bits_shl(Bits a, int n)
{
	return a << n;
}

static inline Bits
bits_count(Bits acc, Bits v)
{
	/* Sums of neighbouring bits, pairs and nibbles; then of all bytes. */
	v -= (v >> 1) & UINT64CONST(0x5555555555555555);
	v = (v & UINT64CONST(0x3333333333333333)) +
		((v >> 2) & UINT64CONST(0x3333333333333333));
	v = (v + (v >> 4)) & UINT64CONST(0x0F0F0F0F0F0F0F0F);
	return acc + ((v * UINT64CONST(0x0101010101010101)) >> 56);
}

static inline uint64
bits_total(Bits acc)
{
	return acc;
}

static inline Bits
code_part(int part, const uint8 *block, int r)
{
	Bits		mask = UINT64CONST(0x0101010101010101) * (0xFF >> (8 - part));

	return (bits_load(block + r % part * sizeof(Bits)) >> (part * (r / part))) & mask;
}

static inline Ints
ints_zero(void)
{
	return 0;
}

static inline Ints
ints_dot(Ints acc, Bits levels, Bits query)
{
	uint8		a[sizeof(Bits)];
	int8		b[sizeof(Bits)];
	int			i;

	memcpy(a, &levels, sizeof(a));
	memcpy(b, &query, sizeof(b));
	for (i = 0; i < (int) sizeof(Bits); i++)
		acc += a[i] * b[i];
	return acc;
}

static inline void
ints_store(int32 *out, const Ints *acc)
{
	memcpy(out, acc, 4 * sizeof(Ints));
}

#include "kernels/kern_level.h"
