/*
 * am_measure.h
 *	  Measuring an index: searches of it compared with an exact search of its
 *	  table.
 *
 *	  AnnMeasureBegin(&measure, &opened, k);
 *	  AnnMeasureSample(&measure, n);	-- or AnnMeasureQueries
 *	  AnnMeasureExact(&measure);
 *	  AnnMeasureIndex(&measure, &result);	-- under as many settings as wanted
 *	  AnnMeasureEnd(&measure);
 */
#ifndef ANN_MEASURE_H
#define ANN_MEASURE_H

#include "am/am.h"

/* One of the nearest rows of a query, by their distance alone. */
#define HEAP_PREFIX ann_nearest
#define HEAP_ELEMENT double
#define HEAP_BEFORE(a, b) (*(a) > *(b))
#include "am/am_heap.h"

typedef struct AnnMeasureQuery
{
	Datum		value;
	ItemPointerData tid;		/* of the row it is, which is no neighbour; or invalid */
	ann_nearest_heap nearest;	/* found exactly; the farthest on top */
} AnnMeasureQuery;

/* What a search costs, on average. */
typedef struct AnnMeasuredCost
{
	double		distance;		/* of what it finds */
	double		pages;			/* of index and table */
	double		ms;
} AnnMeasuredCost;

typedef struct AnnMeasured
{
	int			queries;		/* those that have neighbours */
	double		recall;
	double		low;			/* 95 % interval */
	double		high;
	AnnMeasuredCost cost;
} AnnMeasured;

struct AnnRowReader;

typedef struct AnnMeasure
{
	const AnnOpened *opened;
	int			k;
	int			nqueries;
	AnnMeasureQuery *queries;
	AnnMeasuredCost exact;
	/* The module's own. */
	struct AnnRowReader *reader;
	FmgrInfo	distance;
	Size		memory;			/* that queries and their neighbours take */
	TimestampTz told;			/* when the user last heard of us */
} AnnMeasure;

/*
 * All in the current memory context, under the active snapshot, with the rights
 * of whoever is the current user.  An error if queries and their neighbours do not
 * fit into maintenance_work_mem.
 */
extern void AnnMeasureBegin(AnnMeasure *measure, const AnnOpened *opened, int k);
extern void AnnMeasureEnd(AnnMeasure *measure);

/* Takes rows of the table for queries: n of them, or all if it has fewer. */
extern void AnnMeasureSample(AnnMeasure *measure, int n);

/* Takes values of another table's column for queries, n at most. */
extern void AnnMeasureQueries(AnnMeasure *measure, Oid table, int n);

/* Finds the nearest rows of all queries by reading the table. */
extern void AnnMeasureExact(AnnMeasure *measure);

/* Searches the index for each query, under the settings of now. */
extern void AnnMeasureIndex(AnnMeasure *measure, AnnMeasured *result);

#endif							/* ANN_MEASURE_H */
