/*
 * space.h
 *	  What "distance" means to one index: a metric and a number of dimensions.
 *
 * A Space turns values into codes and compares codes; a Query is the right
 * hand side of an ORDER BY, prepared to be compared with many codes.  Values
 * never go past this layer.
 */
#ifndef ANN_SPACE_H
#define ANN_SPACE_H

#include "utils/relcache.h"

#include "space/metric.h"

typedef struct AnnSpace
{
	const AnnMetric *metric;
	int			dim;
	/* Size of every code; 0 if it differs between values */
	Size		code_size;
} AnnSpace;

typedef struct AnnQuery
{
	const AnnSpace *space;
	/* At full precision, a query is compared as the code it would be. */
	const void *code;
	Size		size;
} AnnQuery;

/*
 * The space of an index to be built, from its operator class and column type.
 * Raises the errors of a column that cannot be indexed.
 */
extern void AnnSpaceCreate(AnnSpace *space, Relation index);

/* The space of an index that was built with so many dimensions. */
extern void AnnSpaceOpen(AnnSpace *space, Relation index, int dim);

/*
 * Makes a query of a non-null value, with its code in the current memory
 * context.  False if it has no distance to anything (a zero vector under
 * cosine).  A value that is going to be stored may be refused with an error.
 */
extern bool AnnQueryPrepare(AnnQuery *query, const AnnSpace *space, Datum value, bool stored);

/* Is this, as found on disk, a code of the space? */
static inline bool
AnnSpaceValid(const AnnSpace *space, const void *code, Size size)
{
	return space->metric->valid(space->dim, code, size);
}

/* Distance between two codes. */
static inline double
AnnSpaceDistance(const AnnSpace *space, const void *a, const void *b)
{
	return space->metric->distance(space->dim, a, b);
}

/* Distances between one code and n others. */
static inline void
AnnSpaceDistances(const AnnSpace *space, const void *a, const void *const *b, int n, double *out)
{
	if (space->metric->distances == NULL)
	{
		for (int i = 0; i < n; i++)
			out[i] = AnnSpaceDistance(space, a, b[i]);
		return;
	}

	for (int i = 0; i < n; i += ANN_BATCH)
		space->metric->distances(space->dim, a, b + i, Min(n - i, ANN_BATCH), out + i);
}

/* Distance between the query and one code, and n codes. */
static inline double
AnnQueryDistance(const AnnQuery *query, const void *code)
{
	return AnnSpaceDistance(query->space, query->code, code);
}

static inline void
AnnQueryDistances(const AnnQuery *query, const void *const *codes, int n, double *out)
{
	AnnSpaceDistances(query->space, query->code, codes, n, out);
}

#endif							/* ANN_SPACE_H */
