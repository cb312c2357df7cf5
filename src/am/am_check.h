/*
 * am_check.h
 *	  The verifier: walks an index and names every invariant that is broken.
 *
 * A method's check callback calls AnnCheckReport once per violation; the SQL
 * function ann_check(regclass) returns them as rows.
 */
#ifndef ANN_CHECK_H
#define ANN_CHECK_H

#include "storage/block.h"
#include "storage/off.h"
#include "utils/tuplestore.h"

typedef struct AnnCheck
{
	Tuplestorestate *store;
	TupleDesc	desc;
} AnnCheck;

/*
 * Reports that an invariant ("I3") is broken at an item of a block; offset is
 * InvalidOffsetNumber for a whole page.
 */
extern void AnnCheckReport(AnnCheck *check, const char *invariant, BlockNumber blkno,
						   OffsetNumber offset, const char *fmt,...) pg_attribute_printf(5, 6);

#endif							/* ANN_CHECK_H */
