/*
 * lsh_page.h
 *	  The pages of an lsh index.  README.md section 2 has the tables.
 */
#ifndef LSH_PAGE_H
#define LSH_PAGE_H

#include "storage/itemptr.h"

#include "am/am_page.h"
#include "lsh/lsh_hash.h"

#define LSH_MAGIC 0x4C534848
#define LSH_VERSION 3

/* Kind of all pages but the metapage and those that are free. */
#define LSH_PAGE_NODE ANN_PAGE_METHOD

/* An index knows how patient to be for so many values of recall. */
#define LSH_RECALLS 5

/* And of so many distances, how soon rows that near are met. */
#define LSH_NEARS 6

typedef struct LshMetaPageData
{
	AnnMetaHeaderData header;
	uint32		dim;
	uint16		bits;
	uint16		tables;
	float		norm;			/* the greatest; 0 unless for inner product */
	float		lift;			/* mean of the element added to the others */
	uint32		centre_size;
	float		patience[LSH_RECALLS];
	float		near[LSH_NEARS];
	uint32		leaves;			/* of a table, when this was measured */
	uint64		seed;
	char		centre[FLEXIBLE_ARRAY_MEMBER];	/* see space.h */
} LshMetaPageData;

StaticAssertDecl(offsetof(LshMetaPageData, seed) == 80 &&
				 offsetof(LshMetaPageData, centre) == 88, "metapage is on disk");

typedef LshMetaPageData *LshMetaPage;

/* The root of a table. */
static inline BlockNumber
LshRoot(int table)
{
	return ANN_METAPAGE_BLKNO + 1 + 2 * table;
}

/* Where a row is in the order of a table. */
typedef struct LshPlace
{
	uint32		key;
	ItemPointerData tid;
	uint16		error;			/* not part of the place: a row's, see LshCodeData */
} LshPlace;

StaticAssertDecl(sizeof(LshPlace) == 12, "places are on disk");

typedef struct LshNodeData
{
	uint16		table;
	uint16		level;			/* 0: leaf */
	BlockNumber right;
	LshPlace	low;
	LshPlace	high;			/* means nothing if there is no right sibling */
	char		entries[FLEXIBLE_ARRAY_MEMBER];
} LshNodeData;

StaticAssertDecl(offsetof(LshNodeData, entries) == 32, "nodes are on disk");

typedef LshNodeData *LshNode;

typedef struct LshRowData
{
	LshPlace	place;
	char		code[FLEXIBLE_ARRAY_MEMBER];	/* LshCodeData; or the bits */
} LshRowData;

/*
 * The code of a vector; see AnnRabitqFactors.  The error is kept in units of
 * norm * LSH_ERROR_UNIT.
 */
typedef struct LshCodeData
{
	float		norm2;
	float		scale;
	uint8		levels[FLEXIBLE_ARRAY_MEMBER];
} LshCodeData;

#define LSH_ERROR_UNIT (1.0 / 131072)

typedef LshRowData *LshRow;

typedef struct LshDownlink
{
	LshPlace	low;
	BlockNumber child;
} LshDownlink;

StaticAssertDecl(sizeof(LshDownlink) == 16, "downlinks are on disk");

/* Bytes for entries of a node, and how many of the smallest that is. */
#define LSH_NODE_ROOM (ANN_PAGE_ROOM - offsetof(LshNodeData, entries))
#define LSH_MAX_ENTRIES ((int) (LSH_NODE_ROOM / sizeof(LshDownlink)))

static inline LshNode
LshPageNode(Page page)
{
	return (LshNode) PageGetContents(page);
}

static inline void *
LshNodeEntry(LshNode node, Size entry_size, int i)
{
	return node->entries + entry_size * i;
}

static inline LshDownlink *
LshNodeDownlink(LshNode node, int i)
{
	return LshNodeEntry(node, sizeof(LshDownlink), i);
}

/* Entries of a node. */
static inline int
LshPageCount(Page page, Size entry_size)
{
	return (((PageHeader) page)->pd_lower - (LshPageNode(page)->entries - (char *) page)) / entry_size;
}

static inline void
LshPageSetCount(Page page, Size entry_size, int count)
{
	((PageHeader) page)->pd_lower = LshPageNode(page)->entries + entry_size * count - (char *) page;
}

static inline int
LshPlaceCompare(const LshPlace *a, const LshPlace *b)
{
	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return ItemPointerCompare(unconstify(ItemPointerData *, &a->tid),
							  unconstify(ItemPointerData *, &b->tid));
}

/* The first place of all that have the key. */
static inline LshPlace
LshFirstPlace(uint32 key)
{
	LshPlace	place = {.key = key};

	return place;
}

/* Does a place lie beyond the node? */
static inline bool
LshNodeEndsBefore(LshNode node, const LshPlace *place)
{
	return BlockNumberIsValid(node->right) && LshPlaceCompare(place, &node->high) >= 0;
}

#endif							/* LSH_PAGE_H */
