/*
 * kern_code.h
 *	  Template: the kernels on codes of 1 to 8 bits per dimension.
 *
 * Owns the layout of a code.  Its numbers, one per dimension and called
 * levels, are unsigned and of so many bits.  They are stored in blocks of 64
 * dimensions, 8 * bits bytes each.  A number of bits that is no power of two
 * is split: a block consists of a part of 4, one of 2 and one of 1 bits, those
 * it takes to make up the number, lowest bits of the levels first.  In a part
 * of p bits, which has 8 * p bytes, dimension i is found in byte i % (8 * p),
 * p * (i / (8 * p)) bits up.  So one shift and one mask turn a register full
 * of codes into one full of levels, with neighbouring dimensions side by side.
 *
 * Included by kern_level.h, or directly where a CPU multiplies bytes better
 * than others of its level.  The including file defines, besides what
 * kern_level.h and kern_bits.h ask for,
 *
 *	  CODE_NAME(name)	name of what this instance defines and uses
 *	  bits_shl			shift 64-bit lanes left
 *	  code_part			register number r of the levels in a part of a block
 *	  Ints				a register of 32-bit sums
 *	  ints_zero
 *	  CODE_NAME(ints_dot)	add products of unsigned and signed bytes to sums
 *	  ints_store			the totals of CODE_GROUP registers of sums
 *
 * CODE_NAME is undefined again at the end.
 */

#ifndef CODE_GROUP

/* Codes compared with a query side by side. */
#define CODE_GROUP 4

/* Levels in a register. */
#define CODE_LANES ((int) sizeof(Bits))

#endif

/* Register number r, of 64 / CODE_LANES, of the levels in a block. */
__attribute__((always_inline)) KERN_TARGET static inline Bits
CODE_NAME(levels) (int bits, const uint8 *block, int r)
{
	Bits		v = bits_zero();
	int			shift = 0;
	int			part;

	KERN_UNROLLED
	for (part = 8; part > 0; part /= 2)
		if (bits & part)
		{
			v = bits_or(v, bits_shl(code_part(part, block, r), shift));
			block += 8 * part;
			shift += part;
		}
	return v;
}

/* out[k] = sum of the products of query and codes[k], for k < ncodes. */
__attribute__((always_inline)) KERN_TARGET static inline void
CODE_NAME(dots_group) (int bits, int dim, const int8 *query,
					   const uint8 *const *codes, int ncodes, int32 out[CODE_GROUP])
{
	Ints		acc[CODE_GROUP];
	int			i;
	int			k;
	int			r;

	KERN_UNROLLED
	for (k = 0; k < CODE_GROUP; k++)
		acc[k] = ints_zero();

	for (i = 0; i < dim; i += ANN_CODE_BLOCK)
		KERN_UNROLLED
		for (r = 0; r < ANN_CODE_BLOCK / CODE_LANES; r++)
		{
			Bits		q = bits_load((const uint8 *) query + i + r * CODE_LANES);

			KERN_UNROLLED
			for (k = 0; k < ncodes; k++)
				acc[k] = CODE_NAME(ints_dot) (acc[k],
											  CODE_NAME(levels) (bits, codes[k] + i / 8 * bits, r),
											  q);
		}
	ints_store(out, acc);
}

__attribute__((always_inline)) KERN_TARGET static inline void
CODE_NAME(dots) (int bits, int dim, const int8 *query,
				 const uint8 *const *codes, int n, int32 *out)
{
	int			i;
	int			k;

	for (i = 0; i + CODE_GROUP <= n; i += CODE_GROUP)
	{
		for (k = i + CODE_GROUP; k < Min(n, i + 2 * CODE_GROUP); k++)
			prefetch(codes[k], dim / 8 * bits);
		CODE_NAME(dots_group) (bits, dim, query, codes + i, CODE_GROUP, out + i);
	}
	for (; i < n; i++)
	{
		int32		one[CODE_GROUP];

		CODE_NAME(dots_group) (bits, dim, query, codes + i, 1, one);
		out[i] = one[0];
	}
}

/* Where dots is inlined, the number of bits is a constant. */
KERN_TARGET static void
CODE_NAME(code_dots) (int bits, int dim, const int8 *query,
					  const uint8 *const *codes, int n, int32 *out)
{
	switch (bits)
	{
		case 1:
			CODE_NAME(dots) (1, dim, query, codes, n, out);
			break;
		case 2:
			CODE_NAME(dots) (2, dim, query, codes, n, out);
			break;
		case 3:
			CODE_NAME(dots) (3, dim, query, codes, n, out);
			break;
		case 4:
			CODE_NAME(dots) (4, dim, query, codes, n, out);
			break;
		case 5:
			CODE_NAME(dots) (5, dim, query, codes, n, out);
			break;
		case 6:
			CODE_NAME(dots) (6, dim, query, codes, n, out);
			break;
		case 7:
			CODE_NAME(dots) (7, dim, query, codes, n, out);
			break;
		case 8:
			CODE_NAME(dots) (8, dim, query, codes, n, out);
			break;
	}
}

#undef CODE_NAME
