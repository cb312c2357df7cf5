/*
 * hnsw.h
 *	  An open hnsw index, and what its verbs share.
 */
#ifndef HNSW_H
#define HNSW_H

#include "access/genam.h"
#include "nodes/execnodes.h"
#include "storage/lwlock.h"

#include "am/am.h"
#include "hnsw/hnsw_graph.h"
#include "hnsw/hnsw_page.h"
#include "space/space.h"

typedef struct HnswIndex
{
	Relation	rel;
	AnnSpace	space;

	/* From the metapage, where they were frozen when the index was built. */
	HnswShape	shape;
	int			ef_construction;
	uint32		slots;

	/* The number of blocks when last looked; there may be more. */
	BlockNumber nblocks;

	/* Where the next node, and the links that do not fit beside it, may go. */
	BlockNumber node_target;
	BlockNumber links_target;

	/* The values, if the shape has any. */
	AnnStore	store;

	/*
	 * While the index is built: stands in for the graph lock, and nothing is
	 * logged.  NULL at any other time.
	 */
	LWLock	   *build_lock;
} HnswIndex;

/* What hnsw.iterative_scan says. */
typedef enum HnswIterativeScan
{
	HNSW_ITERATIVE_SCAN_OFF,
	HNSW_ITERATIVE_SCAN_RELAXED,
	HNSW_ITERATIVE_SCAN_STRICT
} HnswIterativeScan;

/* Phases of a build. */
#define PROGRESS_HNSW_LOAD ANN_PHASE_METHOD
#define PROGRESS_HNSW_WRITE (ANN_PHASE_METHOD + 1)

/* Settings; see hnsw.c. */
extern int	hnsw_ef_search;
extern int	hnsw_iterative_scan;
extern int	hnsw_max_scan_tuples;
extern double hnsw_scan_mem_multiplier;

static inline BlockNumber
HnswItemBlock(const HnswIndex *index, HnswItem item)
{
	return item / index->slots;
}

static inline OffsetNumber
HnswItemOffset(const HnswIndex *index, HnswItem item)
{
	return item % index->slots + FirstOffsetNumber;
}

/* hnsw.c */

/* Called from _PG_init. */
extern void HnswInit(void);

/*
 * What CREATE INDEX asked for: m and ef_construction; in the space, which it makes,
 * the precision of codes; and whether values are to be stored.
 */
extern void HnswGetOptions(Relation rel, AnnSpace *space, int *m, int *ef_construction, bool *stored);

/* The level of the node that a heap TID makes; geometric, with ratio 1 / m. */
extern int	HnswLevel(const HnswShape *shape, const ItemPointerData *tid);

/* hnsw_page.c */

/*
 * Opens an index that has a metapage, in the current memory context; keeps no
 * lock.
 */
extern void HnswOpen(HnswIndex *index, Relation rel);

/* Remembers for the next HnswOpen where there was room. */
extern void HnswRememberTargets(const HnswIndex *index);

/*
 * The contents of the metapage of a new index, palloc'd as large as they can be;
 * setting the centre; and writing it.
 */
extern HnswMetaPage HnswMakeMeta(Relation rel);
extern void HnswSetCentre(HnswMetaPage meta, const AnnSpace *space, const float *centre);
extern void HnswCreateMetaPage(Relation rel, ForkNumber fork, const HnswMetaPageData *meta);

/* The item number of an item of a block. */
extern HnswItem HnswItemNumber(const HnswIndex *index, BlockNumber blkno, OffsetNumber offset);

/*
 * An item of a locked page that ought to be of a kind: NULL if there is none,
 * or one of another kind (its place was reused).  Its size is checked: damage
 * is an error.
 */
extern HnswElement HnswGetElement(const HnswIndex *index, Page page, HnswItem item);
extern HnswLinks HnswGetLinks(const HnswIndex *index, Page page, HnswItem item);

/* The code of an element; size may be NULL. */
extern void *HnswGetCode(const HnswIndex *index, Page page, HnswItem item, HnswElement element,
						 Size *size);
extern HnswPostings HnswGetPostings(const HnswIndex *index, Page page, HnswItem item, int *capacity);

/* Pins the page of an item, without looking at it. */
extern Buffer HnswPinItemPage(HnswIndex *index, HnswItem item);

/* Reads and locks the page of an item. */
extern Buffer HnswReadItemPage(HnswIndex *index, HnswItem item, int lockmode);

/* Is a page one of values? */
static inline bool
HnswHasValues(const HnswIndex *index, Page page)
{
	return index->shape.stored && AnnPageIs(page, ANN_PAGE_VALUES);
}

/* Reads and locks a page, whatever it is for. */
extern Buffer HnswReadPage(const HnswIndex *index, BlockNumber blkno, BufferAccessStrategy strategy,
						   int lockmode);

/* How many items of the graph a page has: none if it is not for them. */
static inline int
HnswCountItems(Page page)
{
	return AnnPageIs(page, HNSW_PAGE_ITEMS) ? PageGetMaxOffsetNumber(page) : 0;
}

/* Where the value of a node is, as the store wants to know it. */
extern AnnPlace HnswValuePlace(const HnswIndex *index, HnswItem value, HnswNode node);

/* The number of what the store names so; HNSW_NO_ITEM if it can have none. */
extern HnswItem HnswPlaceItem(const HnswIndex *index, const ItemPointerData *place);

/* Reads the entry point; false if the graph is empty. */
extern bool HnswReadEntry(const HnswIndex *index, HnswNode *entry, int *level);

/* Makes a node the entry point, or HNSW_NO_ITEM.  Needs the graph lock exclusively. */
extern void HnswWriteEntry(const HnswIndex *index, HnswNode entry, int level);

/* The graph lock; README.md section 6. */
extern void HnswLockGraph(const HnswIndex *index, bool exclusive);
extern void HnswUnlockGraph(const HnswIndex *index, bool exclusive);

/* Heap TIDs, in a palloc'd array that grows. */
typedef struct HnswTids
{
	ItemPointerData *tids;
	int			count;
	int			capacity;
} HnswTids;

/* Adds one. */
extern void HnswAppendTid(HnswTids *tids, const ItemPointerData *tid);

/*
 * Reads the heap TIDs of a node in its postings, from the first on.  Returns
 * HNSW_NO_ITEM, or the postings that are missing, because VACUUM has removed them
 * meanwhile: then the element has others.  No lock is held.
 */
extern HnswItem HnswGetTids(HnswIndex *index, HnswNode node, HnswItem first, HnswTids *tids);

/*
 * hnsw_graph_page.c
 */

#define HNSW_KEPT_PAGES 4

/* That which is about to be expanded, and the one that may be next. */
#define HNSW_AHEAD_PAGES 2

/*
 * The graph on pages.  Codes that were read can be kept, for as long as their
 * nodes cannot be removed: inserts look at the same ones again and again.  Pages
 * of nodes expanded on one level stay pinned while a search descends from there,
 * for it begins with the best of these nodes on the next; no more of them than a
 * backend has fast places for.
 */
typedef struct HnswPageGraph
{
	HnswGraph	base;
	HnswIndex  *index;
	struct HnswKept_hash *kept; /* NULL: keep nothing */
	Size		kept_size;
	Size		kept_most;

	/* Blocks asked for last, and their pages, pinned, if it is known where they are; a ring. */
	BlockNumber ahead_blknos[HNSW_AHEAD_PAGES];
	Buffer		ahead_pages[HNSW_AHEAD_PAGES];
	int			last_ahead;
	/* Bytes that a node with its links takes of a page. */
	Size		node_room;

	/* Nodes expanded last on levels above 0, and their pages, pinned; a ring. */
	HnswNode	kept_nodes[HNSW_KEPT_PAGES];
	Buffer		kept_pages[HNSW_KEPT_PAGES];
	int			nkept_pages;	/* ever */
} HnswPageGraph;

/* Keeps codes in the current memory context, of so many bytes, or none. */
extern void HnswPageGraphInit(HnswPageGraph *graph, HnswIndex *index, Size most);

/*
 * The code of a node, from what was kept, or from its page and then kept; NULL
 * if it is dead or gone.  size may be NULL.
 */
extern const void *HnswNodeCode(HnswPageGraph *graph, HnswNode node, Size *size);

/*
 * Forgets the codes kept, if they take more than they may: to be called where no
 * code is in use.
 */
extern void HnswTrimCodes(HnswPageGraph *graph);

/* The links of a node that are a part of a level's; HNSW_NO_ITEM if there are none. */
extern HnswItem HnswFindLinks(HnswIndex *index, HnswNode node, int level, int part);

/*
 * A copy of links, palloc'd, or NULL if they no longer are the owner's.
 */
extern HnswLinks HnswReadLinks(HnswIndex *index, HnswItem item, HnswNode owner);

/*
 * Replaces links, which were read as old, by others of the same level and size, unless
 * somebody has changed them: then false.  If they are gone there is nothing to do.
 */
extern bool HnswReplaceLinks(HnswIndex *index, HnswItem item, const HnswLinksData *old,
							 const HnswLinksData *new);

/*
 * Sets a place of links, of which the owner is decoded as host, to a neighbour.
 */
extern void HnswSetLink(const HnswIndex *index, HnswLinks links, int i, const float *host,
						HnswNode node, const void *code, bool chosen);

/*
 * Makes links out of choices[n], for an owner of which the code is given; what
 * before (or NULL) says of the same neighbours is taken over.
 */
extern HnswLinks HnswMakeLinks(const HnswIndex *index, HnswNode owner, int level, int places,
							   const float *host, const HnswChoice *choices, int n,
							   const HnswLinksData *before);

/*
 * The vector that neighbours' codes are relative to, palloc'd; NULL if they have
 * none.
 */
extern float *HnswDecodeHost(const HnswIndex *index, const void *code);

/* hnsw_insert.c */

/*
 * Offers a node, whose value is given, to one of its neighbours on a level, to become
 * a neighbour of that, which it must in any case or if it is wanted; returns whether it
 * is one.
 */
extern bool HnswLinkBack(HnswPageGraph *graph, HnswNode neighbour, int level, HnswNode node,
						 const AnnQuery *new, bool must);

/*
 * Adds a value, prepared as a query, for a heap TID.  unchanged: another version of
 * the row has the same value, so it is likely to be found at once.
 */
extern void HnswInsert(HnswIndex *index, const AnnQuery *value, const ItemPointerData *tid,
					   bool unchanged);

/* hnsw_repair.c */

/*
 * Removes dead nodes from the lists of the others, which get neighbours of theirs
 * in place of them; and removes the values of the dead.
 */
extern void HnswRepair(HnswIndex *index, const AnnVisited *dead, BufferAccessStrategy strategy);

/* Callbacks; hnsw_build.c, hnsw_insert.c, hnsw_scan.c, hnsw_vacuum.c, hnsw_check.c, hnsw_info.c */
extern const AnnScanMethods hnsw_scan_methods;
extern const AnnBuildMethods hnsw_build_methods;

extern IndexBuildResult *hnswbuild(Relation heap, Relation rel, IndexInfo *info);
extern void hnswbuildempty(Relation rel);
extern void HnswEstimate(Relation heap, Relation rel, AnnEstimate *estimate);
extern bool hnswinsert(Relation rel, Datum *values, bool *isnull, ItemPointer tid, Relation heap,
					   IndexUniqueCheck unique, bool unchanged, IndexInfo *info);
extern IndexBulkDeleteResult *hnswbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
											 IndexBulkDeleteCallback callback, void *arg);
extern IndexBulkDeleteResult *hnswvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats);
extern void HnswCheckIndex(Relation rel, AnnCheck *check);
extern void HnswInfo(Relation rel, AnnInfo *info);

#endif							/* HNSW_H */
