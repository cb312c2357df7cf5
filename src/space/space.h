/*
 * space.h
 *	  What "distance" means to one index: a metric, a number of dimensions, and
 *	  how precisely values are stored.
 *
 * A Space turns values into codes and compares codes; a Query is the right
 * hand side of an ORDER BY, prepared to be compared with many codes.  Values
 * never go past this layer.
 *
 * A code is the value at full precision (metric.h), or, if the space has a
 * number of bits, quantized: the RaBitQ code of the value, rotated (rabitq.h).
 * The distance to a quantized code is an estimate in the unit of the metric.
 */
#ifndef ANN_SPACE_H
#define ANN_SPACE_H

#include "utils/relcache.h"

#include "space/metric.h"
#include "space/rabitq.h"

/* The most dimensions of quantized codes; only bit has more than 16,000. */
#define ANN_MAX_QUANTIZED_DIM 64000

/* The seed of the rotation: the same everywhere, so that codes can be compared. */
#define ANN_ROTATION_SEED UINT64CONST(0x616E6E726F746174)

/* A quantized code. */
typedef struct AnnQuantized
{
	float		norm2;			/* |x|^2 */
	float		scale;			/* see AnnRabitqFactors */
	float		error;
	uint32		hash[2];		/* of the value, so that codes are equal only if
								 * values are */
	uint8		levels[FLEXIBLE_ARRAY_MEMBER];
} AnnQuantized;

StaticAssertDecl(offsetof(AnnQuantized, levels) == 20, "quantized codes are on disk");

/*
 * A near code is the code, of few bits, of a vector relative to another, its host,
 * as the host's own code is decoded.  It ends with its factors add and scale
 * (AnnRabitqFactors), as so many high bytes of a float: what they lose is little
 * beside what so few bits do.
 */
#define ANN_MAX_NEAR_BITS 4
#define ANN_NEAR_ADD_SIZE 3
#define ANN_NEAR_SCALE_SIZE 2

typedef struct AnnSpace
{
	const AnnMetric *metric;
	int			dim;
	/* Bits per dimension of a quantized code; 0: full precision. */
	int			bits;
	/* Bits per dimension of a near code; 0: there are none. */
	int			near_bits;
	/* Dimensions once rotated, if that makes sense for the metric. */
	int			rotated_dim;
	/* Size of every code; 0 if it differs between values */
	Size		code_size;
	/*
	 * What is subtracted from all rotated vectors, so that codes do not spend
	 * their precision on what all have in common; or NULL.
	 */
	const float *centre;
} AnnSpace;

typedef struct AnnQuery
{
	const AnnSpace *space;

	/*
	 * The query as a code.  A quantized space does without, unless the query
	 * is to be stored or was made of a code.
	 */
	const void *code;
	Size		size;

	/* At full precision; NULL if the query was made of a code. */
	const void *value;
	Size		value_size;

	/* In a quantized space: rotated (NULL if it was made of a code). */
	float	   *rotated;
	double		norm2;
	double		excess;			/* by how much the square of a code's norm is more,
								 * decoded */
	AnnRabitqQuery *prepared;
	AnnRabitqQuery *near;		/* see AnnQueryPrepareNear */
} AnnQuery;

/*
 * The space of an index to be built, at full precision, from its operator
 * class and column type.  Raises the errors of a column that cannot be indexed.
 */
extern void AnnSpaceCreate(AnnSpace *space, Relation index);

/*
 * Settles on the precision of a space made by AnnSpaceCreate, and raises an
 * error if codes of the index's values cannot be stored with it.
 */
extern void AnnSpaceSetBits(AnnSpace *space, Relation index, int bits, int near_bits);

/* The space of an index that was built with so many dimensions and bits. */
extern void AnnSpaceOpen(AnnSpace *space, Relation index, int dim, int bits, int near_bits);

/*
 * A centre as it is stored.  It need not be exact, but always the same.
 */
extern Size AnnCentreSize(const AnnSpace *space);
extern void AnnCentreEncode(const AnnSpace *space, const float *centre, void *stored);
extern void AnnCentreDecode(const AnnSpace *space, const void *stored, float *centre);

/* Is a stored centre one? */
extern bool AnnCentreValid(const void *stored);

/* Is this, as found on disk, a code of the space? */
extern bool AnnSpaceValid(const AnnSpace *space, const void *code, Size size);

/*
 * Makes a query of a non-null value, in the current memory context.  False if
 * it has no distance to anything (a zero vector under cosine).  A value that is
 * to be stored may be refused with an error, and gets a code.
 */
extern bool AnnQueryPrepare(AnnQuery *query, const AnnSpace *space, Datum value, bool stored);

/*
 * The same of a value that is not to be compared with quantized codes, nor stored
 * as one: takes less time.
 */
extern bool AnnQueryRotate(AnnQuery *query, const AnnSpace *space, Datum value);

/*
 * Makes a query that can be set to one code after another; set again, it
 * forgets the one before.  The code must stay where it is.
 */
extern void AnnQueryInit(AnnQuery *query, const AnnSpace *space);
extern void AnnQuerySetCode(AnnQuery *query, const void *code, Size size);

/* Is a quantized code that of this value at full precision? */
extern bool AnnSpaceCodes(const AnnSpace *space, const void *code, const void *value, Size size);

/* Do two codes stand for the same value? */
extern bool AnnSpaceEqual(const AnnSpace *space, const void *a, Size a_size,
						  const void *b, Size b_size);

/*
 * The rotated vector that a code of a quantized space stands for, into
 * out[rotated_dim].
 */
extern void AnnSpaceDecode(const AnnSpace *space, const void *code, float *out);

/* Distances between the query and n codes. */
extern void AnnQueryDistances(const AnnQuery *query, const void *const *codes, int n, double *out);

/* Distance between the query and one code. */
static inline double
AnnQueryDistance(const AnnQuery *query, const void *code)
{
	double		distance;

	AnnQueryDistances(query, &code, 1, &distance);
	return distance;
}

/*
 * By how much the true distance may be less than the one to a code: almost
 * certainly not by more.  0 at full precision.
 */
extern double AnnQueryError(const AnnQuery *query, const void *code, double distance);

/*
 * True distance between a query that was made of a value and another value.
 * Uses the current memory context, for the caller to reset.
 */
extern double AnnQueryExact(const AnnQuery *query, Datum value);

/* The same, of a value as a code at full precision. */
extern double AnnQueryFullDistance(const AnnQuery *query, const void *code);

/*
 * Near codes: of the value of a code, relative to a decoded host, into
 * near[AnnNearSize].
 */
static inline Size
AnnNearSize(const AnnSpace *space)
{
	return AnnRabitqCodeSize(space->rotated_dim, space->near_bits) +
		ANN_NEAR_ADD_SIZE + ANN_NEAR_SCALE_SIZE;
}

extern void AnnNearEncode(const AnnSpace *space, const float *host, const void *code,
						  uint8 *near);

/*
 * Could AnnNearEncode have made this near code?  Only that which differs by more
 * than rounding is found out.
 */
extern bool AnnNearValid(const AnnSpace *space, const float *host, const void *code,
						 const uint8 *near);

/* Prepares a query that was made of a code to be compared with near codes. */
extern void AnnQueryPrepareNear(AnnQuery *query);

/*
 * Distances between the query and n values that have near codes, one behind the
 * other, given the distance to their host.
 */
extern void AnnQueryNearDistances(const AnnQuery *query, const void *host, double distance,
								  const uint8 *near, int n, double *out);

/* A distance from |q - x|^2, |q|^2 and |x|^2. */
static inline double
AnnFormDistance(AnnForm form, double squared, double q2, double x2)
{
	switch (form)
	{
		case ANN_FORM_IP:
			return (squared - q2 - x2) / 2;
		case ANN_FORM_COSINE:
			return squared / 2;
		default:
			return squared;
	}
}

/* |q - x|^2 from a distance, |q|^2 and |x|^2. */
static inline double
AnnFormSquared(AnnForm form, double distance, double q2, double x2)
{
	switch (form)
	{
		case ANN_FORM_IP:
			return 2 * distance + q2 + x2;
		case ANN_FORM_COSINE:
			return 2 * distance;
		default:
			return distance;
	}
}

#endif							/* ANN_SPACE_H */
