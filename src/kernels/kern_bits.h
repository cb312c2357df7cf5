/*
 * kern_bits.h
 *	  Template: the kernels on strings of bits.
 *
 * Included by kern_level.h, or directly where a CPU counts bits better than
 * others of its level.  The including file defines
 *
 *	  BITS_NAME(name)	name of what this instance defines and uses
 *	  KERN_TARGET		as in kern_level.h
 *	  Bits				a register of bits, or of counts of them
 *	  bits_zero, bits_xor, bits_and, bits_or
 *	  bits_load			read sizeof(Bits) bytes
 *	  bits_load_some	read n < sizeof(Bits) bytes and no further; the others
 *						are zero
 *	  BITS_NAME(bits_count)		add the population counts of v, in parts that
 *								do not overflow, to the counts acc
 *	  bits_total				the sum of all counts
 *
 * and gets BITS_NAME(hamming) and BITS_NAME(jaccard).  BITS_NAME is undefined
 * again at the end.
 */

KERN_TARGET static uint64
BITS_NAME(hamming) (int nbytes, const uint8 *a, const uint8 *b)
{
	Bits		differ = bits_zero();
	int			i;

	for (i = 0; i + (int) sizeof(Bits) <= nbytes; i += sizeof(Bits))
		differ = BITS_NAME(bits_count) (differ, bits_xor(bits_load(a + i),
														 bits_load(b + i)));
	if (i < nbytes)
		differ = BITS_NAME(bits_count) (differ, bits_xor(bits_load_some(a + i, nbytes - i),
														 bits_load_some(b + i, nbytes - i)));
	return bits_total(differ);
}

KERN_TARGET static void
BITS_NAME(jaccard) (int nbytes, const uint8 *a, const uint8 *b,
					uint64 *both, uint64 *either)
{
	Bits		in_both = bits_zero();
	Bits		in_either = bits_zero();
	Bits		va;
	Bits		vb;
	int			i;

	for (i = 0; i + (int) sizeof(Bits) <= nbytes; i += sizeof(Bits))
	{
		va = bits_load(a + i);
		vb = bits_load(b + i);
		in_both = BITS_NAME(bits_count) (in_both, bits_and(va, vb));
		in_either = BITS_NAME(bits_count) (in_either, bits_or(va, vb));
	}
	if (i < nbytes)
	{
		va = bits_load_some(a + i, nbytes - i);
		vb = bits_load_some(b + i, nbytes - i);
		in_both = BITS_NAME(bits_count) (in_both, bits_and(va, vb));
		in_either = BITS_NAME(bits_count) (in_either, bits_or(va, vb));
	}
	*both = bits_total(in_both);
	*either = bits_total(in_either);
}

#undef BITS_NAME
