/*
 * am_estimate.h
 *	  What a build would take.
 *
 * ann_build_estimate builds an index of a sample, and asks the method how much
 * more the whole takes.
 */
#ifndef ANN_ESTIMATE_H
#define ANN_ESTIMATE_H

#include "storage/block.h"
#include "utils/relcache.h"

/* What building an index of so many rows takes. */
typedef struct AnnEstimate
{
	double		rows;

	/* maintenance_work_mem that is enough, in bytes. */
	double		memory;
	double		pages;

	/* Time, in any unit: of what workers share, and of what they do not. */
	double		shared_work;
	double		work;
} AnnEstimate;

#endif							/* ANN_ESTIMATE_H */
