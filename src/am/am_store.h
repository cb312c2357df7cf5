/*
 * am_store.h
 *	  The store: values at full precision, on pages of an index, for methods
 *	  that search in codes and re-rank with values.
 *
 * A value is addressed by the item pointer that AnnStorePut returns, and has an
 * owner, the heap TID of the row that brought it.  Whoever follows a pointer
 * says whose value it wants; a value that has gone, or whose room is another's by
 * now, is simply not there.  VACUUM removes values by their owners: no pointer is
 * followed, so one that an interrupted insert has left is nothing special.
 */
#ifndef ANN_STORE_H
#define ANN_STORE_H

#include "access/genam.h"

#include "am/am_page.h"
#include "space/space.h"

/*
 * An item of a page of kind ANN_PAGE_VALUES: a value or, of one greater than a
 * page, a part of it.
 */
typedef struct AnnStoredData
{
	ItemPointerData owner;
	ItemPointerData next;		/* the part after this one, or invalid */
	uint32		size;			/* of the value from here on */
	char		data[FLEXIBLE_ARRAY_MEMBER];
} AnnStoredData;

typedef AnnStoredData *AnnStored;

StaticAssertDecl(offsetof(AnnStoredData, data) == 16, "stored value is on disk");

typedef struct AnnStore
{
	Relation	index;
	const AnnSpace *space;
	bool		building;		/* see am_edit.h */
	BlockNumber nblocks;		/* of the index when last looked */
	BlockNumber target;			/* see AnnAllocate */
} AnnStore;

extern void AnnStoreInit(AnnStore *store, Relation index, const AnnSpace *space, bool building);

/* Stores a value of a query, at full precision. */
extern void AnnStorePut(AnnStore *store, const AnnQuery *query, const ItemPointerData *owner,
						ItemPointerData *at);

/*
 * Reads a value into memory of the current context; NULL if it is gone.  Damage
 * is an error.
 */
extern void *AnnStoreRead(AnnStore *store, const ItemPointerData *at, const ItemPointerData *owner);

/* For verifiers: is there such a value, sound in all its parts? */
extern bool AnnStoreSound(AnnStore *store, const ItemPointerData *at, const ItemPointerData *owner);

/* Removes from a page the values whose owners are dead; the callback may be NULL. */
extern void AnnStoreVacuum(AnnStore *store, BlockNumber blkno, BufferAccessStrategy strategy,
						   IndexBulkDeleteCallback callback, void *arg);

#endif							/* ANN_STORE_H */
