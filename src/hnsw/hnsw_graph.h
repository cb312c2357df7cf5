/*
 * hnsw_graph.h
 *	  The graph as its algorithms see it, and the algorithms.
 *
 * A node is a number.  Behind the numbers are pages (hnsw_graph_page.c) or the
 * memory of a build (hnsw_graph_mem.c); the algorithms (hnsw_search.c,
 * hnsw_select.c) do not know which.
 */
#ifndef HNSW_GRAPH_H
#define HNSW_GRAPH_H

#include <math.h>

#include "storage/lwlock.h"

#include "am/am_gate.h"
#include "am/am_visited.h"
#include "hnsw/hnsw_page.h"
#include "space/space.h"

/* The node has further heap TIDs than the candidate's. */
#define HNSW_CANDIDATE_MORE (1 << 1)

/* A node whose distance to the query is known. */
typedef struct HnswCandidate
{
	double		distance;
	HnswNode	node;
	/* In memory these are not set. */
	HnswItem	links;			/* on level 0 */
	float		error;			/* see AnnQueryError */
	uint16		flags;			/* HNSW_DEAD, HNSW_CANDIDATE_MORE */
	ItemPointerData tid;
	HnswItem	value;			/* HNSW_NO_ITEM: it is not stored */
} HnswCandidate;

/* A node to be expanded. */
typedef struct HnswStep
{
	double		distance;		/* or an estimate; see HnswOrdered */
	HnswNode	node;
	HnswItem	links;			/* a candidate's; not of an estimate */
} HnswStep;

/*
 * What is not a number, because values overflow or are damaged, is farther than all
 * else: a search that cannot tell what is nearest would not end.
 */
static inline double
HnswOrdered(double distance)
{
	return isnan(distance) ? INFINITY : distance;
}

typedef struct HnswGraph HnswGraph;

/*
 * How to reach nodes.  A graph either has codes of neighbours beside their
 * numbers, and expands; or it has not, and tells neighbours, for them to be
 * evaluated.  All callbacks are required of which a graph has use.
 */
typedef struct HnswGraphMethods
{
	/*
	 * Evaluates nodes[n] against the query.  Nodes that no longer exist are
	 * left out; returns how many there are.  The order is kept.
	 */
	int			(*evaluate) (HnswGraph *graph, const AnnQuery *query,
							 const HnswNode *nodes, int n, HnswCandidate *out);

	/*
	 * The neighbours of a node on a level, into out[HnswMost]; returns
	 * how many.
	 */
	int			(*neighbours) (HnswGraph *graph, const HnswStep *step, int level, HnswNode *out);

	/*
	 * Evaluates a node, candidate->node, and estimates its neighbours on a level,
	 * into out[HnswMost]; returns how many, or -1 if it no longer exists.
	 */
	int			(*expand) (HnswGraph *graph, const AnnQuery *query, int level,
						   HnswCandidate *candidate, HnswStep *out);

	/*
	 * Says that a node is likely to be expanded next; returns whether it has to
	 * be read from storage.
	 */
	bool		(*prefetch) (HnswGraph *graph, HnswNode node);

	/*
	 * Lets go of what was kept of nodes expanded on levels above 0, to expand
	 * them on those below.
	 */
	void		(*release) (HnswGraph *graph);
} HnswGraphMethods;

/* Embedded as the first member in what implements it. */
struct HnswGraph
{
	const HnswGraphMethods *methods;
	bool		expands;		/* there are codes of neighbours */
};

static inline int
HnswEvaluate(HnswGraph *graph, const AnnQuery *query, const HnswNode *nodes, int n,
			 HnswCandidate *out)
{
	return graph->methods->evaluate(graph, query, nodes, n, out);
}

static inline int
HnswNeighbours(HnswGraph *graph, const HnswStep *step, int level, HnswNode *out)
{
	Assert(!graph->expands);
	return graph->methods->neighbours(graph, step, level, out);
}

static inline int
HnswExpand(HnswGraph *graph, const AnnQuery *query, int level, HnswCandidate *candidate,
		   HnswStep *out)
{
	Assert(graph->expands);
	return graph->methods->expand(graph, query, level, candidate, out);
}

static inline bool
HnswPrefetch(HnswGraph *graph, HnswNode node)
{
	Assert(graph->expands);
	return graph->methods->prefetch(graph, node);
}

static inline void
HnswRelease(HnswGraph *graph)
{
	Assert(graph->expands);
	graph->methods->release(graph);
}

/*
 * hnsw_search.c: README.md section 4
 */

#define HEAP_PREFIX hnsw_candidate
#define HEAP_ELEMENT HnswCandidate
#define HEAP_BEFORE(a, b) ((a)->distance < (b)->distance)
#include "am/am_heap.h"

#define HEAP_PREFIX hnsw_step
#define HEAP_ELEMENT HnswStep
#define HEAP_BEFORE(a, b) ((a)->distance < (b)->distance)
#include "am/am_heap.h"

#define HEAP_PREFIX hnsw_distance
#define HEAP_ELEMENT double
#define HEAP_BEFORE(a, b) (*(a) > *(b))
#include "am/am_heap.h"

/* A search on one level of a graph, which can be resumed. */
typedef struct HnswSearch
{
	HnswGraph  *graph;
	const AnnQuery *query;
	int			level;
	/* Will be resumed: what is too far for this beam may do for the next. */
	bool		resumable;
	/* Dead nodes count like live ones: for finding a way, not results. */
	bool		routing;

	AnnVisited	visited;
	AnnVisited	estimated;		/* only where the graph expands */
	hnsw_step_heap frontier;
	hnsw_candidate_heap found;
	/* Too far for the beam of now: an array, in no order. */
	HnswStep   *later;
	int			nlater;
	int			max_later;
	hnsw_distance_heap beam;
	int64		scored;			/* nodes evaluated, neighbours estimated */
} HnswSearch;

/* Allocates a search in the current memory context, for any number of uses. */
extern void HnswSearchInit(HnswSearch *search, HnswGraph *graph, const AnnQuery *query);

/* Begins a search on a level from some candidates. */
extern void HnswSearchBegin(HnswSearch *search, int level, const HnswCandidate *from, int n);

/* The next ef candidates in order of distance, into out[ef]; returns how many. */
extern int	HnswSearchNext(HnswSearch *search, int ef, HnswCandidate *out);

/*
 * Begins a search on the level `to` from the entry point, on level `from`: from
 * the nearest that a narrow search of the levels between them finds.
 */
extern void HnswSearchDescend(HnswSearch *search, const HnswCandidate *entry, int from, int to);

/* Has all that can be reached been returned? */
static inline bool
HnswSearchExhausted(const HnswSearch *search)
{
	return search->frontier.count == 0 && search->found.count == 0 && search->nlater == 0;
}

/* Memory that the search has in use. */
extern Size HnswSearchMemory(const HnswSearch *search);

/*
 * hnsw_select.c
 */

/* A node that may become a neighbour. */
typedef struct HnswChoice
{
	double		distance;		/* from the list's owner */
	HnswNode	node;
	bool		chosen;			/* by the heuristic, not as a filler */
	const void *code;
	Size		size;
} HnswChoice;

/*
 * Selects at most max neighbours among choices[n], which it sorts by distance
 * and reduces to those selected; returns how many (the lesser of n and max).
 */
extern int	HnswSelect(const AnnSpace *space, HnswChoice *choices, int n, int max);

/* A place in a list, as a new neighbour sees it. */
typedef struct HnswPlace
{
	double		distance;		/* from the list's owner */
	double		from_new;		/* from the new neighbour, if chosen */
	bool		chosen;
} HnswPlace;

/*
 * Decides about a new neighbour, so far from the owner, for a list of n places
 * that may have max: updates whom the heuristic chooses, of those in the list,
 * and sets *chosen for the new one.  Returns its place: n, or that of one that has
 * to give way, or -1 if it is not wanted; which it is in any case if it must be.
 */
extern int	HnswOffer(HnswPlace *places, int n, int max, double distance, bool must,
					  bool *chosen);

/*
 * hnsw_graph_mem.c: the graph of a build, in an area of shared memory
 */

typedef struct HnswMemory HnswMemory;

/* A participant's view of it. */
typedef struct HnswMemGraph
{
	HnswGraph	base;
	const AnnSpace *space;
	const HnswShape *shape;
	HnswMemory *memory;
	int			ef_construction;
	HnswSearch	search;
	HnswCandidate *candidates;
	HnswChoice *choices;
} HnswMemGraph;

/* The memory that so many nodes take, of codes of a size. */
extern Size HnswMemorySize(Size code_size, const HnswShape *shape, double nodes);

/* Makes an empty graph of an area. */
extern void HnswMemoryInit(HnswMemory *memory, Size size, const HnswShape *shape);

/* The gate between a build in memory and one on pages. */
extern AnnGate *HnswMemoryGate(HnswMemory *memory);

/* The lock that stands in for the graph lock once it has been made. */
extern LWLock *HnswMemoryGraphLock(HnswMemory *memory);

/* Has the graph been written to pages? */
extern bool *HnswMemoryFlushed(HnswMemory *memory);

/* The last block before those that it is written to. */
extern BlockNumber *HnswMemoryBase(HnswMemory *memory);

extern void HnswMemGraphInit(HnswMemGraph *graph, HnswMemory *memory, const AnnSpace *space,
							 const HnswShape *shape, const AnnQuery *query, int ef_construction);

/*
 * Adds graph->search.query for a heap TID; false, having changed nothing, if
 * memory is full.  *node is the node it made, or HNSW_NO_ITEM.
 */
extern bool HnswMemInsert(HnswMemGraph *graph, const ItemPointerData *tid, HnswNode *node);

/*
 * Sees to it that every node is in somebody's list, if one of its neighbours has a
 * place: as others are added, one may lose its last.  Nobody else uses the graph.
 */
extern void HnswMemFinish(HnswMemory *memory);

/* What the graph holds, for writing it to pages. */
typedef struct HnswMemNodeInfo
{
	int			level;
	Size		code_size;
	const void *code;
	ItemPointerData tid;
	int			npostings;
	HnswNode	number;			/* on pages, once it was set */
	HnswItem	value;			/* likewise */
} HnswMemNodeInfo;

extern uint32 HnswMemCount(const HnswMemory *memory);
extern bool HnswMemEntry(const HnswMemory *memory, HnswNode *entry, int *level);
extern void HnswMemGetNode(const HnswMemory *memory, HnswNode node, HnswMemNodeInfo *info);
extern void HnswMemSetNumber(HnswMemory *memory, HnswNode node, HnswNode number);
extern void HnswMemSetValue(HnswMemory *memory, HnswNode node, HnswItem value);
/* Neighbours on a level, and whether they were chosen; returns how many. */
extern int	HnswMemGetNeighbours(HnswMemory *memory, HnswNode node, int level, HnswNode *out,
								 bool *chosen);
/* The heap TIDs beyond the first, into tids[npostings]. */
extern void HnswMemGetPostings(const HnswMemory *memory, HnswNode node, ItemPointerData *tids);

#endif							/* HNSW_GRAPH_H */
