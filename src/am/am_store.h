/*
 * am_store.h
 *	  The store: values at full precision, on pages of an index, for methods
 *	  that search in codes and re-rank with values.
 *
 * A value is addressed by the item pointer that AnnStorePut returns, and has an
 * owner, which the method names by an item pointer: the heap TID of the row that
 * brought it, or a place in the index.  Whoever follows a pointer says whose value
 * it wants; a value that has gone, or whose room is another's by now, is simply not
 * there.  VACUUM removes values by their owners: no pointer is followed, so one
 * that an interrupted insert has left is nothing special.
 */
#ifndef ANN_STORE_H
#define ANN_STORE_H

#include "access/genam.h"
#include "access/reloptions.h"

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

/* Where a value is, and whose it is. */
typedef struct AnnPlace
{
	ItemPointerData at;
	ItemPointerData owner;
} AnnPlace;

/* What the storage parameter "rerank" says. */
typedef enum AnnRerank
{
	ANN_RERANK_HEAP,
	ANN_RERANK_INDEX
} AnnRerank;

typedef struct AnnStore
{
	Relation	index;
	const AnnSpace *space;
	bool		building;		/* see am_edit.h */
	BlockNumber nblocks;		/* of the index when last looked */
	BlockNumber target;			/* see AnnAllocate */
} AnnStore;

/* Gives a kind of indexes the storage parameter. */
extern void AnnStoreAddOption(relopt_kind kind);

extern void AnnStoreInit(AnnStore *store, Relation index, const AnnSpace *space, bool building);

/* The size of the items that values of a space begin with, which all have one size. */
extern Size AnnStoredSize(const AnnSpace *space);

/* Stores a value of a query, at full precision. */
extern void AnnStorePut(AnnStore *store, const AnnQuery *query, const ItemPointerData *owner,
						ItemPointerData *at);

/* While an index is built: gives a value to its owner, who was not known before. */
extern void AnnStoreOwn(AnnStore *store, const AnnPlace *place);

/*
 * Reads a value into memory of the current context; NULL if it is gone.  Damage
 * is an error.
 */
extern void *AnnStoreRead(AnnStore *store, const AnnPlace *place);

/*
 * For verifiers: is there such a value, sound in all its parts, and the one that a
 * quantized code, unless that is NULL, was made of?
 */
extern bool AnnStoreSound(AnnStore *store, const AnnPlace *place, const void *code);

/* Removes from a page the values whose owners are dead, says the callback; it may be NULL. */
extern void AnnStoreVacuum(AnnStore *store, BlockNumber blkno, BufferAccessStrategy strategy,
						   IndexBulkDeleteCallback callback, void *arg);

#endif							/* ANN_STORE_H */
