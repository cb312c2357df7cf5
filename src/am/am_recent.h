/*
 * am_recent.h
 *	  Reading blocks that were read before, without the look-up in the table of
 *	  shared buffers.
 *
 * For who reads hundreds of blocks of an index in one search: a look-up costs as
 * much as a dozen of estimates.
 */
#ifndef ANN_RECENT_H
#define ANN_RECENT_H

#include "storage/bufmgr.h"
#include "utils/relcache.h"

/* As ReadBuffer. */
extern Buffer AnnReadRecent(Relation rel, BlockNumber blkno);

/*
 * Pins a block that may be read soon, if it still is where this backend found it
 * last; InvalidBuffer if it is not, or one is to look.  It counts as read only when
 * AnnCountRecent is told so.
 */
extern Buffer AnnPinRecent(Relation rel, BlockNumber blkno);
extern void AnnCountRecent(Relation rel);

#endif							/* ANN_RECENT_H */
