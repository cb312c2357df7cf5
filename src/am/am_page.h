/*
 * am_page.h
 *	  What the pages of all access methods have in common.
 *
 * Every page is a standard PostgreSQL page whose special space is an
 * AnnPageOpaqueData.  Block 0 is the metapage; its contents begin with an
 * AnnMetaHeaderData.
 */
#ifndef ANN_PAGE_H
#define ANN_PAGE_H

#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "utils/relcache.h"

#include "compat.h"

#define ANN_METAPAGE_BLKNO 0

/* For pg_filedump and the like: the last two bytes of every page of ours. */
#define ANN_PAGE_ID 0xFFA0

/* The same of pgvector's pages. */
#define PGVECTOR_HNSW_PAGE_ID 0xFF90
#define PGVECTOR_IVFFLAT_PAGE_ID 0xFF84

/* Kinds of pages; each access method numbers its own from ANN_PAGE_METHOD up. */
#define ANN_PAGE_META 1
#define ANN_PAGE_VALUES 2		/* am_store.h */
#define ANN_PAGE_FREE 3			/* was emptied, and may become of any kind */
#define ANN_PAGE_METHOD 16

typedef struct AnnPageOpaqueData
{
	BlockNumber next;			/* the method's: of a chain of pages; else 0 */
	uint16		kind;
	uint16		page_id;		/* ANN_PAGE_ID */
} AnnPageOpaqueData;

StaticAssertDecl(sizeof(AnnPageOpaqueData) == 8, "size of special space is on disk");

typedef AnnPageOpaqueData *AnnPageOpaque;

typedef struct AnnMetaHeaderData
{
	uint32		magic;			/* of the access method */
	uint32		version;		/* of its format */
} AnnMetaHeaderData;

/* Bytes for items, and the largest item, of a page. */
#define ANN_PAGE_ROOM \
	((Size) (BLCKSZ - SizeOfPageHeaderData - MAXALIGN(sizeof(AnnPageOpaqueData))))
#define ANN_MAX_ITEM_SIZE \
	((Size) MAXALIGN_DOWN(ANN_PAGE_ROOM - sizeof(ItemIdData)))

static inline AnnPageOpaque
AnnPageGetOpaque(Page page)
{
	return (AnnPageOpaque) PageGetSpecialPointer(page);
}

/* Contents of the metapage, an AnnMetaHeaderData and more. */
static inline void *
AnnMetaContents(Page page)
{
	return PageGetContents(page);
}

/* am_page.c */

/* Is it a page of a kind?  For those who do not want an error if not. */
extern bool AnnPageIs(Page page, uint16 kind);

/*
 * An item of a locked page; NULL if there is none.  Sets *damaged if there is one
 * that is outside its page or shorter than it may be.
 */
extern void *AnnPageGetItem(Page page, OffsetNumber offset, Size least, Size *size, bool *damaged);

/* Initialises a page of a kind. */
extern void AnnInitPage(Page page, uint16 kind);

/* Forgets what is cached of an index, in rd_amcache. */
extern void AnnForgetCache(Relation index);

/* Initialises a metapage with a method's contents, which begin with a header. */
extern void AnnInitMetaPage(Page page, const void *contents, Size size);

/*
 * Reads and locks a page and checks that it is of the kind it should be.
 * A page that was allocated but never written (a crash), or is free, is returned
 * as it is: see AnnPageIsUnused.
 */
extern Buffer AnnReadBuffer(Relation index, BlockNumber blkno, uint16 kind,
							BufferAccessStrategy strategy, int lockmode);

/* The check alone, of a page that is locked. */
extern void AnnCheckPage(Relation index, Buffer buf, uint16 kind);

/* Reads, locks and checks the metapage. */
extern Buffer AnnReadMeta(Relation index, uint32 magic, uint32 version, int lockmode);

/* Adds a page to the index; returns it pinned and locked exclusively. */
extern Buffer AnnExtend(Relation index, ForkNumber fork);

/*
 * A page with that much free space, counting line pointers, pinned and locked
 * exclusively.  It is either of the kind, or AnnPageIsUnused.
 * Never waits for the lock of a page somebody else is working on, so it may be
 * called with other pages locked.  *target is the page to try first, or
 * InvalidBlockNumber, and becomes the page returned.
 */
extern Buffer AnnAllocate(Relation index, uint16 kind, Size size, BlockNumber *target);

/* Tells the free space map how much room a page has. */
extern void AnnRecordFreeSpace(Relation index, BlockNumber blkno, Size room);

/* Was the page never written, or is it free again? */
static inline bool
AnnPageIsUnused(Page page)
{
	return PageIsNew(page) || AnnPageIs(page, ANN_PAGE_FREE);
}

/* How much room, line pointers included, a page has. */
static inline Size
AnnPageRoom(Page page)
{
	return AnnPageIsUnused(page) ? ANN_PAGE_ROOM : PageGetExactFreeSpace(page);
}

/* Raises the error for damage found at a place of an index. */
extern void AnnCorrupted(Relation index, BlockNumber blkno, const char *what) pg_attribute_noreturn();

#endif							/* ANN_PAGE_H */
