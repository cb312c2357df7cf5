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

/* Pins a block if it still is where this backend found it last; else InvalidBuffer. */
extern Buffer AnnPinRecent(Relation rel, BlockNumber blkno);

/* As ReadBuffer. */
extern Buffer AnnReadRecent(Relation rel, BlockNumber blkno);

#endif							/* ANN_RECENT_H */
