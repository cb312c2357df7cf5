/*
 * am_fetch.h
 *	  Reading from the table the value that an index has of a row.
 */
#ifndef ANN_FETCH_H
#define ANN_FETCH_H

#include "access/relscan.h"
#include "storage/itemptr.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

typedef struct AnnFetch AnnFetch;

/*
 * In the current memory context.  Rows are read through table, which then has the
 * page of the last one pinned; NULL: through one of its own, until AnnFetchEnd.
 */
extern AnnFetch *AnnFetchBegin(Relation heap, Relation index, IndexFetchTableData *table);
extern void AnnFetchEnd(AnnFetch *fetch);

/*
 * The value of the row at a heap TID, or of the version of it that the snapshot
 * sees: all that a TID leads to have the same.  False if it sees none, or if the
 * value is null.  The value is good until the next call.
 */
extern bool AnnFetchValue(AnnFetch *fetch, const ItemPointerData *tid, Snapshot snapshot,
						  Datum *value);

/* Memory that the next AnnFetchValue resets. */
extern MemoryContext AnnFetchContext(AnnFetch *fetch);

/* Lets go of the value. */
extern void AnnFetchReset(AnnFetch *fetch);

#endif							/* ANN_FETCH_H */
