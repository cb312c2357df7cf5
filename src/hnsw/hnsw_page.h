/*
 * hnsw_page.h
 *	  The pages of an hnsw index.  README.md section 2 has the tables.
 */
#ifndef HNSW_PAGE_H
#define HNSW_PAGE_H

#include "storage/itemptr.h"

#include "am/am_page.h"

#define HNSW_MAGIC 0x484E5357
#define HNSW_VERSION 1

/* Page kind of all pages but the metapage. */
#define HNSW_PAGE_ITEMS ANN_PAGE_METHOD

/* block * slots + offset - 1; the number of a node is that of its element. */
typedef uint32 HnswItem;
typedef HnswItem HnswNode;

#define HNSW_NO_ITEM ((HnswItem) PG_UINT32_MAX)

#define HNSW_MIN_M 2
#define HNSW_MAX_M 100
#define HNSW_MIN_EF_CONSTRUCTION 4
#define HNSW_MAX_EF_CONSTRUCTION 1000

/* Levels above this one are hardly ever drawn (probability m^-level). */
#define HNSW_MAX_LEVEL 60

typedef struct HnswMetaPageData
{
	AnnMetaHeaderData header;
	uint32		dim;
	uint16		m;
	uint16		ef_construction;
	uint32		slots;
	HnswNode	entry;
	uint32		entry_level;
} HnswMetaPageData;

StaticAssertDecl(sizeof(HnswMetaPageData) == 28, "hnsw metapage is on disk");

typedef enum HnswItemKind
{
	HNSW_ELEMENT = 1,
	HNSW_LINKS = 2,
	HNSW_POSTINGS = 3
} HnswItemKind;

/* What all items begin with. */
typedef struct HnswItemData
{
	uint8		kind;
} HnswItemData;

#define HNSW_DEAD (1 << 0)

typedef struct HnswElementData
{
	uint8		kind;
	uint8		level;
	uint16		flags;
	HnswItem	links;
	HnswItem	postings;
	ItemPointerData tid;
	uint16		unused;
	char		code[FLEXIBLE_ARRAY_MEMBER];
} HnswElementData;

typedef HnswElementData *HnswElement;

StaticAssertDecl(offsetof(HnswElementData, tid) == 12, "hnsw element is on disk");
StaticAssertDecl(offsetof(HnswElementData, code) == 20, "hnsw element is on disk");

typedef struct HnswLinksData
{
	uint8		kind;
	uint8		level;
	uint16		unused;
	HnswNode	owner;
	HnswNode	nodes[FLEXIBLE_ARRAY_MEMBER];
} HnswLinksData;

typedef HnswLinksData *HnswLinks;

StaticAssertDecl(offsetof(HnswLinksData, nodes) == 8, "hnsw links are on disk");

typedef struct HnswPostingsData
{
	uint8		kind;
	uint8		unused;
	uint16		count;
	HnswItem	next;
	HnswNode	owner;
	ItemPointerData tids[FLEXIBLE_ARRAY_MEMBER];
} HnswPostingsData;

typedef HnswPostingsData *HnswPostings;

StaticAssertDecl(offsetof(HnswPostingsData, tids) == 12, "hnsw postings are on disk");

static inline Size
HnswElementSize(Size code_size)
{
	return offsetof(HnswElementData, code) + code_size;
}

/* Most neighbours on a level. */
static inline int
HnswMaxNeighbours(int m, int level)
{
	return level == 0 ? 2 * m : m;
}

/* Where the list of a level begins in nodes[], and how many places they have. */
static inline int
HnswLinksStart(int m, int level)
{
	return level == 0 ? 0 : (level + 1) * m;
}

static inline Size
HnswLinksSize(int m, int level)
{
	return offsetof(HnswLinksData, nodes) + HnswLinksStart(m, level + 1) * sizeof(HnswNode);
}

static inline Size
HnswPostingsSize(int capacity)
{
	return offsetof(HnswPostingsData, tids) + capacity * sizeof(ItemPointerData);
}

/*
 * Room for TIDs in the smallest postings: the size of the smallest item says
 * how many item numbers a page needs.
 */
#define HNSW_MIN_POSTINGS 16

static inline int
HnswPostingsCapacity(Size size)
{
	return (size - offsetof(HnswPostingsData, tids)) / sizeof(ItemPointerData);
}

/* The highest level whose links fit a page. */
static inline int
HnswMaxLevel(int m)
{
	int			places = (ANN_MAX_ITEM_SIZE - offsetof(HnswLinksData, nodes)) / sizeof(HnswNode);

	return Min(places / m - 2, HNSW_MAX_LEVEL);
}

/* The number of a list's neighbours: it has no gaps. */
static inline int
HnswCountNeighbours(const HnswNode *list, int max)
{
	int			n = 0;

	while (n < max && list[n] != HNSW_NO_ITEM)
		n++;
	return n;
}

#endif							/* HNSW_PAGE_H */
