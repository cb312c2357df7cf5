/*
 * am_check.h
 *	  The verifier: walks an index and names every invariant that is broken.
 *
 * A method's check callback calls AnnCheckReport once per violation, and
 * AnnCheckTid for every heap TID; the SQL function ann_check returns violations as
 * rows.  One invariant is checked here, for all methods:
 *
 *	  I0	Every row that the snapshot sees, and that has a value with a place in
 *			the index, is in the index.
 */
#ifndef ANN_CHECK_H
#define ANN_CHECK_H

#include "storage/block.h"
#include "storage/itemptr.h"
#include "storage/off.h"
#include "utils/tuplestore.h"

struct ann_tids_hash;

typedef struct AnnCheck
{
	Tuplestorestate *store;
	TupleDesc	desc;
	struct ann_tids_hash *tids; /* heap TIDs the index has */
} AnnCheck;

/*
 * Reports that an invariant ("I3") is broken at an item of a block; offset is
 * InvalidOffsetNumber for a whole page.
 */
extern void AnnCheckReport(AnnCheck *check, const char *invariant, BlockNumber blkno,
						   OffsetNumber offset, const char *fmt,...) pg_attribute_printf(5, 6);

/* Notes that the index has a heap TID; false if it was noted before. */
extern bool AnnCheckTid(AnnCheck *check, const ItemPointerData *tid);

#endif							/* ANN_CHECK_H */
