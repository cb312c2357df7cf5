/*
 * am.h
 *	  What an access method is to the code that all of them share.
 *
 * An access method describes itself in one const AnnMethod and registers it at
 * load.  Its handler starts from AnnHandlerRoutine() and adds its own
 * callbacks.
 */
#ifndef ANN_AM_H
#define ANN_AM_H

#include "access/amapi.h"
#include "nodes/execnodes.h"

#include "am/am_build.h"
#include "am/am_check.h"
#include "am/am_scan.h"

typedef struct AnnMethod
{
	/* The ambuild callback: how an open index is recognised. */
	ambuild_function build;

	const AnnScanMethods *scan;
	const AnnBuildMethods *parallel;

	/* Reports every broken invariant of an index; see am_check.h. */
	void		(*check) (Relation index, AnnCheck *check);
} AnnMethod;

/* am_handler.c */

/* ann.seed: all that is random in an index follows from it. */
extern int	ann_seed;

/* Called from _PG_init. */
extern void AnnInit(void);

/* Called from _PG_init. */
extern void AnnRegisterMethod(const AnnMethod *method);

/* The method of an open index; NULL if the index is not one of ours. */
extern const AnnMethod *AnnFindMethod(Relation index);

/*
 * An IndexAmRoutine with everything set that does not differ between the
 * methods: what they can do (order rows by a distance, build in parallel) and
 * cannot, validation, and the scan callbacks.
 */
extern IndexAmRoutine *AnnHandlerRoutine(void);

/* am_cost.c */

/*
 * What the planner needs to know about a scan: how many tuples the index must
 * look at, each on a page of its own, before it can return the first one, and
 * for each further one.
 */
typedef struct AnnCost
{
	double		first;
	double		further;
} AnnCost;

struct PlannerInfo;
struct IndexPath;

/*
 * Body of every amcostestimate: costs a scan that visits tuples as said.
 * Makes a path without ORDER BY as good as impossible.
 */
extern void AnnCostEstimate(struct PlannerInfo *root, struct IndexPath *path, double loop_count,
							const AnnCost *cost, Cost *startup, Cost *total,
							Selectivity *selectivity, double *correlation, double *pages);

#endif							/* ANN_AM_H */
