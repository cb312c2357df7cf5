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
#include "am/am_estimate.h"
#include "am/am_info.h"
#include "am/am_scan.h"

/*
 * A setting by which searches find more and take longer.  It has the values 1 to
 * most; or it is a share, of which step n, up to most, is 1 - 1/n.
 */
typedef struct AnnTuning
{
	const char *setting;
	int			most;
	bool		share;
} AnnTuning;

typedef struct AnnMethod
{
	/* The ambuild callback: how an open index is recognised. */
	ambuild_function build;

	const AnnScanMethods *scan;
	const AnnBuildMethods *parallel;

	/* Reports every broken invariant of an index; see am_check.h. */
	void		(*check) (Relation index, AnnCheck *check);

	/*
	 * What it takes to build an index like this one, of this table's values, but
	 * of estimate->rows of them; see am_estimate.h.
	 */
	void		(*estimate) (Relation heap, Relation index, AnnEstimate *estimate);

	/* The setting that trades recall for time. */
	const AnnTuning *tuning;

	/* Says what an index consists of; see am_info.h. */
	void		(*info) (Relation index, AnnInfo *info);
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

/* am_open.c */

/* An index that an SQL function was given, and its table. */
typedef struct AnnOpened
{
	Relation	heap;
	Relation	index;
	const AnnMethod *method;

	/* Who became the owner, and the level of settings then; 0: nobody did. */
	Oid			user;
	int			security;
	int			nest_level;
} AnnOpened;

/*
 * Opens an index with the lock of a reader; an error if it is not one of ours, or
 * if the user may not read the table.
 */
extern void AnnOpen(AnnOpened *opened, Oid relid);

extern void AnnClose(AnnOpened *opened);

/*
 * Makes the owner of the table the current user, until AnnClose: for whoever has
 * expressions of the index evaluated.  What is set meanwhile is undone then, too.
 */
extern void AnnBecomeOwner(AnnOpened *opened);

/* Raises an error if an index is not valid: then it may be incomplete. */
extern void AnnRequireValid(Relation index);

/* The operator an index orders rows by. */
extern Oid	AnnOrderOperator(Relation index);

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

struct IndexPath;

/*
 * Body of every amcostestimate: costs a scan that visits tuples as said.
 * Makes a path without ORDER BY as good as impossible.
 */
extern void AnnCostEstimate(struct IndexPath *path, const AnnCost *cost, Cost *startup, Cost *total,
							Selectivity *selectivity, double *correlation, double *pages);

#endif							/* ANN_AM_H */
