/*
 * am_sample.h
 *	  A random sample of the rows of a table, for training.
 */
#ifndef ANN_SAMPLE_H
#define ANN_SAMPLE_H

#include "nodes/execnodes.h"
#include "utils/relcache.h"

/*
 * Takes a row into the sample: value is what the index would hold, not null.
 * place is from 0 up to the size of the sample; what was there before falls out.
 * Called in a memory context that is reset after it.  False if the value has no
 * place in the index: the call does not count.
 */
typedef bool (*AnnSampleCallback) (void *arg, int place, Datum value);

/*
 * Draws a sample of so many rows, or all if the table has fewer; returns how
 * many.  Of a large table it reads no more blocks than rows are wanted.  The
 * same table and seed give the same sample.
 */
extern int	AnnSample(Relation heap, Relation index, IndexInfo *info, int size, uint64 seed,
					  AnnSampleCallback callback, void *arg);

/*
 * How many rows an index will have, from what some blocks of the table have: what
 * the planner believes of a table that was never analyzed may be far off, and of a
 * partial index it knows nothing.
 */
extern double AnnCountRows(Relation heap, Relation index, IndexInfo *info);

#endif							/* ANN_SAMPLE_H */
