/*
 * rotate.h
 *	  A random rotation that is a seed, not a matrix.
 *
 * What a quantizer needs is that no direction is special; then what it loses
 * does not depend on the data.  Four rounds of random signs, a Hadamard
 * transform of the leading or trailing power of two of the dimensions, and a
 * rotation by 45 degrees of each dimension of the first half with its
 * counterpart in the second where the transform does not reach all.  This is
 * FhtKac of the RaBitQ library; for the first part see Ailon and Chazelle,
 * "The Fast Johnson-Lindenstrauss Transform" (2009), for the second Kac's walk.
 * It takes O(D log D) time and no memory, and is orthogonal up to rounding.
 */
#ifndef ANN_ROTATE_H
#define ANN_ROTATE_H

/* The most dimensions that can be rotated. */
#define ANN_ROTATE_MAX_DIM 65536

/* The largest element, in magnitude, that is not cut off. */
#define ANN_ROTATE_MAX_ELEMENT 0x1p55f

/* The dimensions D of a rotated vector: dim, padded to a multiple of 64. */
static inline int
AnnRotatedDim(int dim)
{
	return (dim + 63) / 64 * 64;
}

/*
 * Rotates x, of dim finite elements, into out, of AnnRotatedDim(dim).  The
 * same seed always means the same rotation, on every machine to the bit.
 *
 * Elements beyond ANN_ROTATE_MAX_ELEMENT are taken to be that, so that no square of
 * a distance between two results overflows a float.
 */
extern void AnnRotate(int dim, uint64 seed, const float *x, float *out);

/*
 * Rotates what was rotated before, by another seed, and is of a multiple of 64
 * dimensions: as random as that was, in a quarter to half the time.
 */
extern void AnnRotateAgain(int dim, uint64 seed, const float *x, float *out);

#endif							/* ANN_ROTATE_H */
