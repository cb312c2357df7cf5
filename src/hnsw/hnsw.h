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
	int			m;
	int			ef_construction;
	uint32		slots;

	/* The number of blocks when last looked; there may be more. */
	BlockNumber nblocks;

	/* Where the next node, and the links that do not fit beside it, may go. */
	BlockNumber node_target;
	BlockNumber links_target;

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

/* Phases of a build; PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE is 1. */
#define PROGRESS_HNSW_LOAD 2
#define PROGRESS_HNSW_WRITE 3

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

/* m and ef_construction as CREATE INDEX gave them. */
extern void HnswGetOptions(Relation rel, int *m, int *ef_construction);

/* The level of the node that a heap TID makes; geometric, with ratio 1 / m. */
extern int	HnswLevel(int m, const ItemPointerData *tid);

/* hnsw_page.c */

/* Opens an index that has a metapage; keeps no lock. */
extern void HnswOpen(HnswIndex *index, Relation rel);

/* Remembers for the next HnswOpen where there was room. */
extern void HnswRememberTargets(const HnswIndex *index);

/* The contents of the metapage of a new index, and writing it. */
extern void HnswMakeMeta(HnswMetaPageData *meta, const AnnSpace *space, int m, int ef_construction);
extern void HnswCreateMetaPage(Relation rel, ForkNumber fork, const HnswMetaPageData *meta);

/* The item number of an item of a block. */
extern HnswItem HnswItemNumber(const HnswIndex *index, BlockNumber blkno, OffsetNumber offset);

/*
 * An item of a locked page that ought to be of a kind: NULL if there is none,
 * or one of another kind (its place was reused).  Its size is checked: damage
 * is an error.
 */
extern HnswElement HnswGetElement(const HnswIndex *index, Page page, HnswItem item, Size *code_size);
extern HnswLinks HnswGetLinks(const HnswIndex *index, Page page, HnswItem item);
extern HnswPostings HnswGetPostings(const HnswIndex *index, Page page, HnswItem item, int *capacity);

/* Pins the page of an item, without looking at it. */
extern Buffer HnswPinItemPage(HnswIndex *index, HnswItem item);

/* Reads and locks the page of an item. */
extern Buffer HnswReadItemPage(HnswIndex *index, HnswItem item, int lockmode);

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

/*
 * Reads the heap TIDs of a node in its postings, from the first on.  Returns
 * HNSW_NO_ITEM, or the postings that are missing, because VACUUM has removed them
 * meanwhile: then the element has others.  No lock is held.
 */
extern HnswItem HnswGetTids(HnswIndex *index, HnswNode node, HnswItem first, HnswTids *tids);

/*
 * hnsw_graph_page.c
 */

/*
 * The graph on pages.  Codes that were read can be kept, for as long as their
 * nodes cannot be removed: inserts look at the same ones again and again.
 */
typedef struct HnswPageGraph
{
	HnswGraph	base;
	HnswIndex  *index;
	struct HnswKept_hash *kept; /* NULL: keep nothing */
	Size		kept_size;
} HnswPageGraph;

/* Keeps codes in the current memory context, if told to. */
extern void HnswPageGraphInit(HnswPageGraph *graph, HnswIndex *index, bool keep);

/*
 * The code of a node, from what was kept, or from its page and then kept; NULL
 * if it is dead or gone.  size may be NULL.
 */
extern const void *HnswGetCode(HnswPageGraph *graph, HnswNode node, Size *size);

/*
 * Forgets the codes kept, if they take more than work_mem: to be called where
 * no code is in use.
 */
extern void HnswTrimCodes(HnswPageGraph *graph);

/*
 * Copies a list into out[HnswMaxNeighbours]; returns the number of neighbours, or
 * -1 if there is no such list: the links no longer are the owner's.
 */
extern int	HnswReadList(HnswIndex *index, HnswItem links, HnswNode owner, int level,
						 HnswNode *out);

/*
 * Replaces a list by another, unless somebody has changed it: then false.  If it
 * is gone there is nothing to do.
 * expected and list are complete, HNSW_NO_ITEM in their free places.
 */
extern bool HnswWriteList(HnswIndex *index, HnswItem links, HnswNode owner, int level,
						  const HnswNode *expected, const HnswNode *list);

/* hnsw_insert.c */

/*
 * Adds a value, prepared as a query, for a heap TID.  unchanged: another version of
 * the row has the same value, so it is likely to be found at once.
 */
extern void HnswInsert(HnswIndex *index, const AnnQuery *value, const ItemPointerData *tid,
					   bool unchanged);

/* Callbacks; hnsw_build.c, hnsw_insert.c, hnsw_scan.c, hnsw_vacuum.c, hnsw_check.c */
extern const AnnScanMethods hnsw_scan_methods;
extern const AnnBuildMethods hnsw_build_methods;

extern IndexBuildResult *hnswbuild(Relation heap, Relation rel, IndexInfo *info);
extern void hnswbuildempty(Relation rel);
extern bool hnswinsert(Relation rel, Datum *values, bool *isnull, ItemPointer tid, Relation heap,
					   IndexUniqueCheck unique, bool unchanged, IndexInfo *info);
extern IndexBulkDeleteResult *hnswbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
											 IndexBulkDeleteCallback callback, void *arg);
extern IndexBulkDeleteResult *hnswvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats);
extern void HnswCheckIndex(Relation rel, AnnCheck *check);

#endif							/* HNSW_H */
