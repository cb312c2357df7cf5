/*
 * am_scan.h
 *	  The scan shell: an ordered stream of rows to the executor.
 *
 * The shell owns what every ordered scan has in common.  A method produces
 * rows in batches; the shell hands them out in order of distance, keeps (or, in
 * relaxed order, does not keep) the order from batch to batch, and when the
 * method has no more to offer, however few that were, looks at every row of the
 * index, sorts those not yet returned and returns them too.  So a LIMIT is
 * filled whenever there are rows enough.  However many there are, the shell
 * remembers no more than a small multiple of work_mem.
 *
 * A method may know distances only approximately.  Then the shell reads the
 * values of the rows in question, from the index's store or else from the table,
 * and computes the true ones, as few as the method's bounds allow: what reaches
 * the executor is ordered by true distance.
 */
#ifndef ANN_SCAN_H
#define ANN_SCAN_H

#include "access/genam.h"
#include "access/relscan.h"
#include "utils/tuplesort.h"

#include "am/am_counters.h"
#include "am/am_store.h"
#include "space/space.h"

/*
 * Rows found, of one value: their distance (see metric.h) and their places in
 * the table.
 */
typedef struct AnnHit
{
	/* The distance; of one that is not known, almost certainly less. */
	double		distance;
	ItemPointerData tid;		/* the first row's */
	AnnPlace	stored;			/* of the value; or invalid */
	uint32		exact:1;
	uint32		nmore:31;
	ItemPointerData *more;		/* the others' */
} AnnHit;

#define HEAP_PREFIX ann_hit
#define HEAP_ELEMENT AnnHit
#define HEAP_BEFORE(a, b) \
	((a)->distance < (b)->distance || \
	 (!((a)->distance > (b)->distance) && (a)->exact > (b)->exact))
#include "am/am_heap.h"

struct ann_tids_hash;
struct AnnFetch;

typedef struct AnnScan
{
	/* For the method to read. */
	Relation	index;
	AnnSpace	space;
	AnnQuery	query;
	/* The method's own, made by its begin; gone when the scan is restarted. */
	void	   *state;
	/* Current whenever a callback of a scan is called; reset by a restart. */
	MemoryContext context;
	/* A batch has been asked for. */
	bool		begun;

	/*
	 * For the method to set: rows farther than this, and more hits than so many,
	 * are handed out only after another batch was asked for, since it might find
	 * others that are nearer.
	 */
	double		horizon;
	int64		due;

	/*
	 * Since the scan was opened, restarts included.  The method adds to scored;
	 * the rest is the shell's.
	 */
	AnnCounters counters;

	/* The shell's own. */
	const struct AnnScanMethods *methods;
	int			phase;
	bool		strict;
	/* No distance can be had from the query: all rows are equally far. */
	bool		unordered;
	int64		handed;			/* hits handed out */
	double		last;			/* distance of the last row handed out */
	BlockNumber heap_blocks;	/* of the table when last looked */
	ann_hit_heap hits;			/* found, not handed out yet */
	Size		more_size;		/* of their more[] */
	double		limit;			/* beyond it hits were forgotten, to save memory */
	AnnHit		current;		/* being handed out */
	uint32		next_more;		/* of current */
	struct ann_tids_hash *returned; /* rows handed out */
	AnnStore	store;			/* of values, if the method has any */
	struct AnnFetch *fetch;		/* reads rows of the table; NULL until needed */
	MemoryContext value_context;	/* a value that was read */
	Tuplesortstate *rest;		/* rows never found by the method */
	TupleTableSlot *rest_in;
	TupleTableSlot *rest_out;
	bool		settled;		/* the rest is sorted by true distances, */
	uint64		previous;		/* and this is the row it gave last */
	bool		missed;			/* rows came too late to be in order */
	double		end;			/* what is not nearer has been returned; or NaN */
} AnnScan;

/*
 * What a method brings to a scan.  All callbacks are required.  They may be
 * interrupted by an error at any time: what they hold must be memory of
 * scan->context, or known to a resource owner.
 */
typedef struct AnnScanMethods
{
	/*
	 * Opens the space of an index, in the current memory context.
	 */
	void		(*open) (Relation index, AnnSpace *space);

	/*
	 * Starts the search for scan->query: makes scan->state.
	 */
	void		(*begin) (AnnScan *scan);

	/*
	 * Adds the next rows through AnnScanAdd, in any order; false if it has, or
	 * wants to make the effort for, no more.  A batch may be empty.
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

/*
 * For methods: rows found, tids[n], which have one value.  error: the true
 * distance is almost certainly not less than distance - error; 0 if it is the
 * true one.  stored: where the index's store has the value; NULL, or a place that
 * is invalid, if it has not.
 */
extern void AnnScanAdd(AnnScan *scan, double distance, double error,
					   const ItemPointerData *tids, uint32 n, const AnnPlace *stored);

/* For handlers: the scan callbacks of PostgreSQL, the same for all methods. */
extern IndexScanDesc AnnBeginScan(Relation index, int nkeys, int norderbys);
extern void AnnRescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys);
extern bool AnnGetTuple(IndexScanDesc scan, ScanDirection dir);
extern void AnnEndScan(IndexScanDesc scan);

#endif							/* ANN_SCAN_H */
