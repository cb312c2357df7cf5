/*
 * am_tids.h
 *	  Heap TIDs, and other places of items, as numbers; and sets of them.
 */
#ifndef ANN_TIDS_H
#define ANN_TIDS_H

#include "storage/itemptr.h"

#include "space/random.h"

static inline uint64
AnnTidNumber(const ItemPointerData *tid)
{
	return ((uint64) ItemPointerGetBlockNumberNoCheck(tid) << 16) |
		ItemPointerGetOffsetNumberNoCheck(tid);
}

static inline void
AnnTidOfNumber(uint64 number, ItemPointerData *tid)
{
	ItemPointerSet(tid, (BlockNumber) (number >> 16), (OffsetNumber) (number & 0xFFFF));
}

typedef struct AnnTidEntry
{
	uint64		number;
	char		status;
} AnnTidEntry;

#define SH_PREFIX ann_tids
#define SH_ELEMENT_TYPE AnnTidEntry
#define SH_KEY_TYPE uint64
#define SH_KEY number
#define SH_HASH_KEY(tb, key) ((uint32) AnnMix(key))
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Adds one; false if it was there. */
static inline bool
AnnTidsAdd(ann_tids_hash *tids, const ItemPointerData *tid)
{
	bool		found;

	ann_tids_insert(tids, AnnTidNumber(tid), &found);
	return !found;
}

static inline bool
AnnTidsHave(ann_tids_hash *tids, const ItemPointerData *tid)
{
	return ann_tids_lookup(tids, AnnTidNumber(tid)) != NULL;
}

#endif							/* ANN_TIDS_H */
