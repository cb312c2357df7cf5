/*
 * am_counters.h
 *	  What scans and inserts count, for those who want to know what an index
 *	  does.
 *
 * A scan counts in a struct of its own; when it ends, that is added to what
 * this session has counted for the index.  Nothing here is shared with other
 * sessions: that would need shared memory, which only a preloaded module has.
 */
#ifndef ANN_COUNTERS_H
#define ANN_COUNTERS_H

#include "executor/instrument.h"

typedef struct AnnCounters
{
	/* Of scans.  The shell (am_scan.c) counts all but scored. */
	int64		scans;			/* searches: one more for each rescan */
	int64		returned;		/* rows handed to the executor */
	int64		scored;			/* codes and values compared with the query */
	int64		reranked;		/* rows read from the table for their distance */
	int64		pages;			/* of the index, however often the same */
	int64		table_pages;	/* read to re-rank; values out of line included */
	int64		rounds;			/* batches after a search's first */
	int64		full_reads;		/* searches that came to read the whole index */

	/* Of changes. */
	int64		inserts;
	int64		splits;			/* of lists, or of nodes of a tree */
} AnnCounters;

/* Pages this backend has read, from wherever. */
static inline int64
AnnPagesRead(void)
{
	return pgBufferUsage.shared_blks_hit + pgBufferUsage.shared_blks_read +
		pgBufferUsage.local_blks_hit + pgBufferUsage.local_blks_read;
}

/* This session's counters of an index, for the caller to add to. */
extern AnnCounters *AnnSessionCounters(Oid index);

/* Adds those of a scan that has ended. */
extern void AnnCountScan(Oid index, const AnnCounters *counters);

#endif							/* ANN_COUNTERS_H */
