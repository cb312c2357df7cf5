/*
 * ivfflat_train.h
 *	  Finding centres for a new index, by all who build it.
 *
 *	  leader:	IvfTrainingInit		-- before there are workers
 *				IvfTrain
 *				IvfTrainingDone		-- when the workers may go on
 *	  worker:	IvfHelpTraining		-- returns after that
 */
#ifndef IVFFLAT_TRAIN_H
#define IVFFLAT_TRAIN_H

#include "storage/barrier.h"

#include "ivfflat/ivfflat.h"

/* In shared memory. */
typedef struct IvfTraining
{
	int			dim;
	bool		spherical;
	uint64		seed;
	int			lists;
	int			size;			/* of the sample, at most */
	int			nrows;			/* in it */

	/*
	 * So many bytes from here: the sample, the means that will be centres, and
	 * k-means' own.
	 */
	Size		data;

	Barrier		barrier;
	pg_atomic_uint32 next;		/* piece of work */
} IvfTraining;

/* Memory for the data of a training: as much as is good, or the least there must be. */
extern Size IvfTrainingSize(const IvfIndex *index, int lists, bool least);

/* Comparisons of vectors that a training takes. */
extern double IvfTrainingWork(int lists, double rows);

/* Makes ready for a training with so much data, at that offset. */
extern void IvfTrainingInit(IvfTraining *training, const IvfIndex *index, int lists, Size data, Size size);

/* Finds centres, writes them and makes the index; returns how many there are. */
extern int	IvfTrain(IvfTraining *training, const AnnBuild *build, IvfIndex *index, char *centres);

extern void IvfTrainingDone(IvfTraining *training);
extern void IvfHelpTraining(IvfTraining *training);

#endif							/* IVFFLAT_TRAIN_H */
