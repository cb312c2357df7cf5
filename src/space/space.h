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

/* The most dimensions of quantized codes. */
#define ANN_MAX_QUANTIZED_DIM 16000

/* The seed of the rotation: the same everywhere, so that codes can be compared. */
#define ANN_ROTATION_SEED UINT64CONST(0x616E6E726F746174)

/* A quantized code. */
typedef struct AnnQuantized
{
	float		norm2;			/* |x|^2 */
	float		scale;			/* see AnnRabitqFactors */
	float		error;
	uint8		levels[FLEXIBLE_ARRAY_MEMBER];
} AnnQuantized;

StaticAssertDecl(offsetof(AnnQuantized, levels) == 12, "quantized codes are on disk");

typedef struct AnnSpace
{
	const AnnMetric *metric;
	int			dim;
	/* Bits per dimension of a quantized code; 0: full precision. */
	int			bits;
	/* Dimensions once rotated, if that makes sense for the metric. */
	int			rotated_dim;
	/* Size of every code; 0 if it differs between values */
	Size		code_size;
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
	AnnRabitqQuery *prepared;
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
extern void AnnSpaceSetBits(AnnSpace *space, Relation index, int bits);

/* The space of an index that was built with so many dimensions and bits. */
extern void AnnSpaceOpen(AnnSpace *space, Relation index, int dim, int bits);

/* The same space at another precision. */
extern void AnnSpaceWithBits(AnnSpace *space, const AnnSpace *other, int bits);

/* Is this, as found on disk, a code of the space? */
extern bool AnnSpaceValid(const AnnSpace *space, const void *code, Size size);

/*
 * Makes a query of a non-null value, in the current memory context.  False if
 * it has no distance to anything (a zero vector under cosine).  A value that is
 * to be stored may be refused with an error, and gets a code.
 */
extern bool AnnQueryPrepare(AnnQuery *query, const AnnSpace *space, Datum value, bool stored);

/*
 * Makes a query that can be set to one code after another; set again, it
 * forgets the one before.  The code must stay where it is.
 */
extern void AnnQueryInit(AnnQuery *query, const AnnSpace *space);
extern void AnnQuerySetCode(AnnQuery *query, const void *code, Size size);

/*
 * The rotated vector that a code of a quantized space stands for, into
 * out[rotated_dim].
 */
extern void AnnSpaceDecode(const AnnSpace *space, const void *code, float *out);

/* The code of a rotated vector, into code[code_size]. */
extern void AnnSpaceEncode(const AnnSpace *space, const float *rotated, void *code);

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

#endif							/* ANN_SPACE_H */
