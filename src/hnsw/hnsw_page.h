/*
 * hnsw_page.h
 *	  The pages of an hnsw index.  README.md section 2 has the tables.
 */
#ifndef HNSW_PAGE_H
#define HNSW_PAGE_H

#include "storage/itemptr.h"

#include "am/am_page.h"
#include "space/space.h"

#define HNSW_MAGIC 0x484E5357
#define HNSW_VERSION 3

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
#define HNSW_MAX_LEVEL 16

/* With fewer levels above the lowest, a search has a long way to go. */
#define HNSW_MIN_MAX_LEVEL 2

/* The most links items a level needs; more, and the graph goes without codes. */
#define HNSW_MAX_PARTS 3

typedef struct HnswMetaPageData
{
	AnnMetaHeaderData header;
	uint32		dim;
	uint8		m;
	uint8		stored;			/* 1: nodes know where the store has their values */
	uint16		ef_construction;
	uint8		bits;			/* of a node's code; 0: full precision */
	uint8		near_bits;		/* of a neighbour's code; 0: there are none */
	uint16		centre_size;	/* of the space's centre, which follows; or 0 */
	uint32		slots;
	HnswNode	entry;
	uint32		entry_level;
	char		centre[FLEXIBLE_ARRAY_MEMBER];
} HnswMetaPageData;

typedef HnswMetaPageData *HnswMetaPage;

StaticAssertDecl(sizeof(HnswMetaPageData) == 32, "hnsw metapage is on disk");

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

/* links[] is followed by the code, and the number of the value if values are stored. */
typedef struct HnswElementData
{
	uint8		kind;
	uint8		level;
	uint16		flags;
	HnswItem	postings;
	ItemPointerData tid;
	uint16		unused;
	HnswItem	links[FLEXIBLE_ARRAY_MEMBER];
} HnswElementData;

typedef HnswElementData *HnswElement;

StaticAssertDecl(offsetof(HnswElementData, tid) == 8, "hnsw element is on disk");
StaticAssertDecl(offsetof(HnswElementData, links) == 16, "hnsw element is on disk");

/*
 * Neighbours on a level, or a part of them.  What is kept of each place is behind
 * the header, in the order of HnswLinksView.
 */
typedef struct HnswLinksData
{
	uint8		kind;
	uint8		level;
	uint8		count;			/* of neighbours */
	uint8		places;			/* for them; as many as HnswPlaces says for the owner */
	HnswNode	owner;
	HnswNode	nodes[FLEXIBLE_ARRAY_MEMBER];
} HnswLinksData;

typedef HnswLinksData *HnswLinks;

StaticAssertDecl(offsetof(HnswLinksData, nodes) == 8, "hnsw links are on disk");
StaticAssertDecl(2 * HNSW_MAX_M <= PG_UINT8_MAX, "hnsw links count their places in a byte");

typedef struct HnswLinksView
{
	HnswNode   *nodes;
	uint32	   *chosen;			/* a bit for each place */
	uint8	   *codes;			/* only with codes of neighbours */
} HnswLinksView;

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

/* Room that an item takes, its line pointer included. */
static inline Size
HnswItemRoom(Size size)
{
	return MAXALIGN(size) + sizeof(ItemIdData);
}

/*
 * The sizes of an index's items.  Index 0 of the arrays is for nodes of level 0, 1
 * for all others; all lists of a node are alike, whatever level they are on.
 */
typedef struct HnswShape
{
	int			m;
	bool		stored;			/* values are; then codes are of one size */
	Size		code_size;		/* 0 if it differs */
	Size		near_size;		/* of a near code; 0: there are none */
	int			most[2];		/* neighbours in a list */
	int			parts[2];		/* links items that a list is divided into */
	int			places[2];		/* neighbours in each */
	int			max_level;
} HnswShape;

/*
 * The shape of an index of a space.  If near is false, or asks for more than a
 * few pages per node, neighbours have no codes.
 */
extern void HnswMakeShape(HnswShape *shape, const AnnSpace *space, int m, bool stored, bool near);

/* How many nodes of level 0 go on a page. */
extern int	HnswNodesPerPage(const HnswShape *shape);

/*
 * How many of a node's links items, from the first on, belong on the page of its
 * element.
 */
extern int	HnswCountBeside(const HnswShape *shape, int level, Size element_size);

/* Most neighbours in a list of a node of a level. */
static inline int
HnswMost(const HnswShape *shape, int node_level)
{
	return shape->most[node_level > 0];
}

static inline int
HnswParts(const HnswShape *shape, int node_level)
{
	return shape->parts[node_level > 0];
}

static inline int
HnswPlaces(const HnswShape *shape, int node_level)
{
	return shape->places[node_level > 0];
}

/* How many links items a node has. */
static inline int
HnswCountLinks(const HnswShape *shape, int node_level)
{
	return (node_level + 1) * HnswParts(shape, node_level);
}

/* The size of an element with a code of so many bytes. */
static inline Size
HnswElementSize(const HnswShape *shape, int level, Size code_size)
{
	return offsetof(HnswElementData, links) +
		HnswCountLinks(shape, level) * sizeof(HnswItem) + code_size +
		(shape->stored ? sizeof(HnswItem) : 0);
}

/* The number of a part of an element's links on a level that it has. */
static inline HnswItem
HnswElementLinks(const HnswShape *shape, const HnswElementData *element, int level, int part)
{
	return element->links[level * HnswParts(shape, element->level) + part];
}

static inline void *
HnswElementCode(const HnswShape *shape, HnswElement element)
{
	return element->links + HnswCountLinks(shape, element->level);
}

/* The number of its value; HNSW_NO_ITEM if that is not stored. */
static inline HnswItem
HnswElementValue(const HnswShape *shape, HnswElement element)
{
	char	   *code = HnswElementCode(shape, element);

	return shape->stored ? *(HnswItem *) (code + shape->code_size) : HNSW_NO_ITEM;
}

static inline void
HnswSetElementValue(const HnswShape *shape, HnswElement element, HnswItem value)
{
	char	   *code = HnswElementCode(shape, element);

	if (shape->stored)
		*(HnswItem *) (code + shape->code_size) = value;
}

static inline HnswLinksView
HnswViewLinks(HnswLinks links)
{
	HnswLinksView view;

	view.nodes = links->nodes;
	view.chosen = view.nodes + links->places;
	view.codes = (uint8 *) (view.chosen + (links->places + 31) / 32);
	return view;
}

/* The size of links with so many places. */
static inline Size
HnswLinksSize(const HnswShape *shape, int places)
{
	return offsetof(HnswLinksData, nodes) + places * (sizeof(HnswNode) + shape->near_size) +
		(places + 31) / 32 * sizeof(uint32);
}

/* Room that a links item of a node takes. */
static inline Size
HnswLinksRoom(const HnswShape *shape, int node_level)
{
	return HnswItemRoom(HnswLinksSize(shape, HnswPlaces(shape, node_level)));
}

static inline bool
HnswIsChosen(const HnswLinksView *view, int i)
{
	return (view->chosen[i / 32] >> (i % 32)) & 1;
}

static inline void
HnswSetChosen(HnswLinksView *view, int i, bool chosen)
{
	uint32		bit = (uint32) 1 << (i % 32);

	view->chosen[i / 32] = chosen ? view->chosen[i / 32] | bit : view->chosen[i / 32] & ~bit;
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

static inline bool
HnswIsAmong(const HnswNode *nodes, int n, HnswNode node)
{
	for (int i = 0; i < n; i++)
		if (nodes[i] == node)
			return true;
	return false;
}

#endif							/* HNSW_PAGE_H */
