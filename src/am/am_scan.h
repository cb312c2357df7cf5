/*
 * am_scan.h
 *	  The scan shell: an ordered stream of rows to the executor.
 *
 * The shell owns what every ordered scan has in common.  A method produces
 * rows in batches, each in order of distance; the shell hands them out, keeps
 * (or, in relaxed order, does not keep) the order from batch to batch, and
 * when the method has no more to offer, however few that were, looks at every
 * row of the index, sorts those not yet returned and returns them too.  So a
 * LIMIT is filled whenever there are rows enough.
 */
#ifndef ANN_SCAN_H
#define ANN_SCAN_H

#include "access/genam.h"
#include "access/relscan.h"
#include "utils/tuplesort.h"

#include "space/space.h"

/* A row found: its distance (see metric.h) and its place in the table. */
typedef struct AnnHit
{
	double		distance;
	ItemPointerData tid;
} AnnHit;

struct AnnReturned_hash;

typedef struct AnnScan
{
	/* For the method to read. */
	Relation	index;
	AnnSpace	space;
	AnnQuery	query;
	/* The method's own, made by its begin; gone when the scan is restarted. */
	void	   *state;
	/* Current whenever a method's callback is called; reset by a restart. */
	MemoryContext context;

	/* The shell's own. */
	const struct AnnScanMethods *methods;
	int			phase;
	bool		strict;
	/* No distance can be had from the query: all rows are equally far. */
	bool		unordered;
	double		last;			/* distance of the last row handed out */
	BlockNumber heap_blocks;	/* of the table when last looked */
	AnnHit	   *hits;			/* rows of this batch not handed out yet */
	int			nhits;
	int			next_hit;
	int			max_hits;
	struct AnnReturned_hash *returned;	/* rows handed out */
	Tuplesortstate *rest;		/* rows never found by the method */
	TupleTableSlot *rest_in;
	TupleTableSlot *rest_out;
} AnnScan;

/*
 * What a method brings to a scan.  All callbacks are required.  They may be
 * interrupted by an error at any time: what they hold must be memory of
 * scan->context, or known to a resource owner.
 */
typedef struct AnnScanMethods
{
	/*
	 * Opens the scan's space, once per scan.
	 */
	void		(*open) (AnnScan *scan);

	/*
	 * Starts the search for scan->query: makes scan->state.
	 */
	void		(*begin) (AnnScan *scan);

	/*
	 * Adds the next rows through AnnScanAdd, in order of distance; false if it
	 * has, or wants to make the effort for, no more.  A batch may be empty.
	 */
	bool		(*next_batch) (AnnScan *scan);

	/*
	 * Adds every row of the index through AnnScanAdd, in any order.
	 */
	void		(*all) (AnnScan *scan);

	/*
	 * Are rows to be held back that come out of order, because a later batch
	 * found them?
	 */
	bool		(*strict) (void);
} AnnScanMethods;

/* For methods: a row found. */
extern void AnnScanAdd(AnnScan *scan, double distance, const ItemPointerData *tid);

/* For handlers: the scan callbacks of PostgreSQL, the same for all methods. */
extern IndexScanDesc AnnBeginScan(Relation index, int nkeys, int norderbys);
extern void AnnRescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys);
extern bool AnnGetTuple(IndexScanDesc scan, ScanDirection dir);
extern void AnnEndScan(IndexScanDesc scan);

#endif							/* ANN_SCAN_H */
