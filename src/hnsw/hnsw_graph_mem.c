/*
 * hnsw_graph_mem.c
 *	  The graph of a build: nodes in an area of memory that several backends
 *	  may share, at different addresses.
 *
 * The area begins with an HnswMemory.  Behind it a table of offsets, one per
 * node, grows upwards; from the end of the area the nodes grow downwards.  When
 * they meet, memory is full.  Nodes are never removed.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/lwlock.h"

#include "compat.h"
#include "hnsw/hnsw.h"

/* Locks that nodes share, by their numbers. */
#define NODE_LOCKS 1024

struct HnswMemory
{
	int			most[2];		/* of the shape */
	Size		size;

	/* Guards allocation: the next three. */
	LWLock		alloc_lock;
	uint32		count;			/* nodes */
	Size		bottom;			/* offset of what was allocated last */

	/*
	 * Guards the entry point.  Held shared while a node is added, exclusively
	 * while one is added that becomes the entry point.  Once the graph is on
	 * pages, this is the graph lock.
	 */
	LWLock		entry_lock;
	HnswNode	entry;
	int			entry_level;

	/* Passed to add a row; closed to set flushed. */
	AnnGate		gate;
	bool		flushed;

	BlockNumber base;			/* see HnswMemoryBase */

	/* Each guards the lists and heap TIDs of its nodes. */
	LWLockPadded node_locks[NODE_LOCKS];

	uint64		nodes[FLEXIBLE_ARRAY_MEMBER];
};

typedef struct MemPosting
{
	uint64		next;			/* offset, or 0 */
	ItemPointerData tid;
} MemPosting;

typedef struct MemLink
{
	float		distance;
	uint32		node:31,
				chosen:1;
} MemLink;

/* The neighbours on a level; there is room for as many as HnswMost says. */
typedef struct MemList
{
	uint32		count;
	MemLink		links[FLEXIBLE_ARRAY_MEMBER];
} MemList;

/* A node; its code follows, and then its lists, level 0 first. */
typedef struct MemNode
{
	ItemPointerData tid;
	uint16		level;
	uint32		code_size;
	uint32		npostings;
	HnswNode	number;			/* on pages */
	HnswItem	value;			/* HNSW_NO_ITEM: it is not stored */
	uint64		postings;		/* offset of the first, or 0 */
} MemNode;

static inline Size
list_size(const int *most, int node_level)
{
	return offsetof(MemList, links) + most[node_level > 0] * sizeof(MemLink);
}

static Size
node_size(const int *most, int level, Size code_size)
{
	/* A code begins no more cache lines than it must. */
	return TYPEALIGN(PG_CACHE_LINE_SIZE / 2, sizeof(MemNode) + MAXALIGN(code_size) +
					 (level + 1) * list_size(most, level));
}

static inline MemNode *
get_node(const HnswMemory *memory, HnswNode node)
{
	return (MemNode *) ((char *) memory + memory->nodes[node]);
}

/* Its place does not depend on what the node says: that would be one more wait. */
static inline void *
get_code(MemNode *node)
{
	return (char *) node + sizeof(MemNode);
}

static inline MemList *
get_list(const HnswMemory *memory, MemNode *node, int level)
{
	Size		offset = sizeof(MemNode) + MAXALIGN(node->code_size);

	return (MemList *) ((char *) node + offset + level * list_size(memory->most, node->level));
}

static inline LWLock *
get_lock(HnswMemory *memory, HnswNode node)
{
	return &memory->node_locks[node % NODE_LOCKS].lock;
}

Size
HnswMemorySize(Size code_size, const HnswShape *shape, double nodes)
{
	/* One node in m is of level 1 at least, and has a list more for each m - 1. */
	double		above = 1.0 / shape->m;
	double		size = sizeof(uint64) + (1 - above) * node_size(shape->most, 0, code_size) +
		above * (node_size(shape->most, 1, code_size) +
				 (double) list_size(shape->most, 1) / (shape->m - 1));

	return offsetof(HnswMemory, nodes) + (Size) (nodes * size);
}

void
HnswMemoryInit(HnswMemory *memory, Size size, const HnswShape *shape)
{
	static int	tranche = 0;

	if (tranche == 0)
		tranche = LWLockNewTrancheId();
	LWLockRegisterTranche(tranche, "HnswBuild");

	memcpy(memory->most, shape->most, sizeof(memory->most));
	memory->size = size;
	memory->count = 0;
	memory->bottom = TYPEALIGN_DOWN(PG_CACHE_LINE_SIZE, size);
	memory->entry = HNSW_NO_ITEM;
	memory->entry_level = -1;
	memory->flushed = false;
	memory->base = ANN_METAPAGE_BLKNO;
	AnnGateInit(&memory->gate);
	LWLockInitialize(&memory->alloc_lock, tranche);
	LWLockInitialize(&memory->entry_lock, tranche);
	for (int i = 0; i < NODE_LOCKS; i++)
		LWLockInitialize(&memory->node_locks[i].lock, tranche);
}

AnnGate *
HnswMemoryGate(HnswMemory *memory)
{
	return &memory->gate;
}

LWLock *
HnswMemoryGraphLock(HnswMemory *memory)
{
	return &memory->entry_lock;
}

bool *
HnswMemoryFlushed(HnswMemory *memory)
{
	return &memory->flushed;
}

BlockNumber *
HnswMemoryBase(HnswMemory *memory)
{
	return &memory->base;
}

/* Takes memory from the end of the area; 0 if there is none. */
static uint64
allocate(HnswMemory *memory, Size size, bool node, HnswNode *number)
{
	uint64		offset = 0;
	Size		top;

	LWLockAcquire(&memory->alloc_lock, LW_EXCLUSIVE);
	top = offsetof(HnswMemory, nodes) + ((Size) memory->count + 1) * sizeof(uint64);
	if (memory->bottom >= top && memory->bottom - top >= MAXALIGN(size))
	{
		memory->bottom -= MAXALIGN(size);
		offset = memory->bottom;
		if (node)
		{
			*number = memory->count++;
			memory->nodes[*number] = offset;
		}
	}
	LWLockRelease(&memory->alloc_lock);
	return offset;
}

/*
 * Callbacks of the graph
 */

static int
mem_evaluate(HnswGraph *graph, const AnnQuery *query, const HnswNode *nodes, int n,
			 HnswCandidate *out)
{
	HnswMemory *memory = ((HnswMemGraph *) graph)->memory;
	const void *codes[2 * HNSW_MAX_M];
	double		distances[2 * HNSW_MAX_M];

	if (n <= 0)
		return 0;

	/* Waiting for memory is most of the work: ask early. */
	for (int i = 0; i < n; i++)
		AnnPrefetch(&memory->nodes[nodes[i]]);
	for (int i = 0; i < n; i++)
	{
		codes[i] = get_code(get_node(memory, nodes[i]));
		for (Size line = 0; line < query->size; line += PG_CACHE_LINE_SIZE / 2)
			AnnPrefetch((const char *) codes[i] + line);
	}

	AnnQueryDistances(query, codes, n, distances);

	for (int i = 0; i < n; i++)
	{
		out[i].distance = distances[i];
		out[i].node = nodes[i];
		out[i].flags = 0;
	}
	return n;
}

static int
mem_neighbours(HnswGraph *graph, const HnswStep *step, int level, HnswNode *out)
{
	return HnswMemGetNeighbours(((HnswMemGraph *) graph)->memory, step->node, level, out, NULL);
}

static const HnswGraphMethods mem_methods = {
	.evaluate = mem_evaluate,
	.neighbours = mem_neighbours
};

void
HnswMemGraphInit(HnswMemGraph *graph, HnswMemory *memory, const AnnSpace *space,
				 const HnswShape *shape, const AnnQuery *query, int ef_construction)
{
	graph->base.methods = &mem_methods;
	graph->base.expands = false;
	graph->space = space;
	graph->shape = shape;
	graph->memory = memory;
	graph->ef_construction = ef_construction;
	graph->candidates = palloc(sizeof(HnswCandidate) * ef_construction);
	graph->choices = palloc(sizeof(HnswChoice) * ef_construction);
	HnswSearchInit(&graph->search, &graph->base, query);
}

/*
 * Adding a node
 */

static bool
add_posting(HnswMemory *memory, HnswNode number, const ItemPointerData *tid)
{
	MemNode    *node = get_node(memory, number);
	uint64		offset = allocate(memory, sizeof(MemPosting), false, NULL);
	MemPosting *posting = (MemPosting *) ((char *) memory + offset);

	if (offset == 0)
		return false;

	posting->tid = *tid;
	LWLockAcquire(get_lock(memory, number), LW_EXCLUSIVE);
	posting->next = node->postings;
	node->postings = offset;
	node->npostings++;
	LWLockRelease(get_lock(memory, number));
	return true;
}

/*
 * Adds a neighbour, the node being added, to a list, as README.md section 9 says.  The list's lock is
 * held exclusively.
 */
static void
add_neighbour(HnswMemGraph *graph, MemList *list, int max, HnswNode node, float distance)
{
	HnswMemory *memory = graph->memory;
	HnswPlace	places[2 * HNSW_MAX_M];
	const void *codes[2 * HNSW_MAX_M];
	double		distances[2 * HNSW_MAX_M];
	int			n = 0;
	int			place;
	bool		chosen;

	for (int i = 0; i < list->count; i++)
	{
		/* Two nodes added at once may choose each other. */
		if (list->links[i].node == node)
			return;
		if (list->links[i].chosen)
			codes[n++] = get_code(get_node(memory, list->links[i].node));
	}
	AnnQueryDistances(graph->search.query, codes, n, distances);

	n = 0;
	for (int i = 0; i < list->count; i++)
	{
		places[i].distance = list->links[i].distance;
		places[i].chosen = list->links[i].chosen;
		if (places[i].chosen)
			places[i].from_new = distances[n++];
	}

	place = HnswOffer(places, list->count, max, distance, false, &chosen);
	for (int i = 0; i < list->count; i++)
		list->links[i].chosen = places[i].chosen;
	if (place < 0)
		return;

	list->links[place].distance = distance;
	list->links[place].node = node;
	list->links[place].chosen = chosen;
	list->count = Max(list->count, place + 1);
}

/* Searches a level; the neighbours selected become the node's list. */
static void
select_neighbours(HnswMemGraph *graph, MemList *list, int most, int found)
{
	HnswMemory *memory = graph->memory;
	int			n;

	for (int i = 0; i < found; i++)
	{
		graph->choices[i].distance = graph->candidates[i].distance;
		graph->choices[i].node = graph->candidates[i].node;
		graph->choices[i].code = get_code(get_node(memory, graph->candidates[i].node));
		graph->choices[i].size = get_node(memory, graph->candidates[i].node)->code_size;
	}

	n = HnswSelect(graph->space, graph->choices, found, most);
	list->count = n;
	for (int i = 0; i < n; i++)
	{
		list->links[i].distance = graph->choices[i].distance;
		list->links[i].node = graph->choices[i].node;
		list->links[i].chosen = graph->choices[i].chosen;
	}
}

/* Makes the new node a neighbour of its neighbours. */
static void
link_back(HnswMemGraph *graph, HnswNode number)
{
	HnswMemory *memory = graph->memory;
	MemNode    *node = get_node(memory, number);

	for (int level = node->level; level >= 0; level--)
	{
		MemList    *list = get_list(memory, node, level);
		MemLink		links[2 * HNSW_MAX_M];
		int			n;

		/* Others may be changing the list as soon as they can find the node. */
		LWLockAcquire(get_lock(memory, number), LW_SHARED);
		n = list->count;
		memcpy(links, list->links, n * sizeof(MemLink));
		LWLockRelease(get_lock(memory, number));

		for (int i = 0; i < n; i++)
		{
			LWLock	   *lock = get_lock(memory, links[i].node);
			MemNode    *neighbour = get_node(memory, links[i].node);

			LWLockAcquire(lock, LW_EXCLUSIVE);
			add_neighbour(graph, get_list(memory, neighbour, level),
						  HnswMost(graph->shape, neighbour->level), number, links[i].distance);
			LWLockRelease(lock);
		}
	}
}

/*
 * Allocates a node of a level, with empty lists.  Nobody can see it yet.
 */
static bool
create_node(HnswMemGraph *graph, int level, const ItemPointerData *tid,
			HnswNode *number)
{
	HnswMemory *memory = graph->memory;
	const AnnQuery *query = graph->search.query;
	Size		size = node_size(memory->most, level, query->size);
	uint64		offset = allocate(memory, size, true, number);
	MemNode    *node = (MemNode *) ((char *) memory + offset);

	if (offset == 0)
		return false;

	memset(node, 0, size);
	node->tid = *tid;
	node->level = level;
	node->code_size = query->size;
	node->value = HNSW_NO_ITEM;
	memcpy(get_code(node), query->code, query->size);
	return true;
}

/* A node among candidates[n] that has the very code to be added. */
static HnswNode
find_equal(HnswMemGraph *graph, int n)
{
	const AnnQuery *query = graph->search.query;
	double		distance = AnnQueryDistance(query, query->code);

	for (int i = 0; i < n; i++)
	{
		MemNode    *node = get_node(graph->memory, graph->candidates[i].node);

		if (graph->candidates[i].distance == distance &&
			AnnSpaceEqual(graph->space, get_code(node), node->code_size, query->code, query->size))
			return graph->candidates[i].node;
	}
	return HNSW_NO_ITEM;
}

/* The body of HnswMemInsert; the entry point is locked as it must be. */
static bool
insert(HnswMemGraph *graph, int level, const ItemPointerData *tid, HnswNode *node)
{
	HnswMemory *memory = graph->memory;
	HnswSearch *search = &graph->search;
	HnswNode	number;
	HnswCandidate entry;
	int			most = HnswMost(graph->shape, level);
	int			top;
	int			found;

	*node = HNSW_NO_ITEM;
	if (memory->entry == HNSW_NO_ITEM)
		return create_node(graph, level, tid, node);

	mem_evaluate(&graph->base, search->query, &memory->entry, 1, &entry);
	top = Min(level, memory->entry_level);

	/*
	 * The node is made on the way down, but only after level 0 has been
	 * searched is it known whether there is an equal one.  Level 0 first, then.
	 */
	HnswSearchDescend(search, &entry, memory->entry_level, 0);
	found = HnswSearchNext(search, graph->ef_construction, graph->candidates);

	number = find_equal(graph, found);
	if (number != HNSW_NO_ITEM)
		return add_posting(memory, number, tid);

	if (!create_node(graph, level, tid, &number))
		return false;
	select_neighbours(graph, get_list(memory, get_node(memory, number), 0), most, found);

	if (top > 0)
		HnswSearchDescend(search, &entry, memory->entry_level, top);
	for (int l = top; l > 0; l--)
	{
		found = HnswSearchNext(search, graph->ef_construction, graph->candidates);
		select_neighbours(graph, get_list(memory, get_node(memory, number), l), most, found);
		HnswSearchBegin(search, l - 1, graph->candidates, found);
	}

	link_back(graph, number);
	*node = number;
	return true;
}

bool
HnswMemInsert(HnswMemGraph *graph, const ItemPointerData *tid, HnswNode *node)
{
	HnswMemory *memory = graph->memory;
	int			level = HnswLevel(graph->shape, tid);
	bool		done;

	LWLockAcquire(&memory->entry_lock, LW_SHARED);
	if (level > memory->entry_level)
	{
		LWLockRelease(&memory->entry_lock);
		LWLockAcquire(&memory->entry_lock, LW_EXCLUSIVE);
	}

	done = insert(graph, level, tid, node);
	if (done && level > memory->entry_level && *node != HNSW_NO_ITEM)
	{
		memory->entry = *node;
		memory->entry_level = level;
	}
	LWLockRelease(&memory->entry_lock);
	return done;
}

/*
 * Finishing the graph
 */

/*
 * The place in a list for a node that must go there: a free one, or that of a
 * neighbour that other lists have, too.  -1 if there is none.
 */
static int
find_place(const MemList *list, int most, const uint8 *known)
{
	int			place = -1;

	if (list->count < most)
		return list->count;
	for (int i = 0; i < list->count; i++)
		if (known[list->links[i].node] > 1 &&
			(place < 0 || list->links[i].chosen < list->links[place].chosen ||
			 (list->links[i].chosen == list->links[place].chosen &&
			  list->links[i].distance > list->links[place].distance)))
			place = i;
	return place;
}

/* Gives a node that is in no list a place in that of the nearest neighbour that has one. */
static void
adopt(HnswMemory *memory, HnswNode number, uint8 *known)
{
	MemList    *own = get_list(memory, get_node(memory, number), 0);
	const MemLink *nearest = NULL;
	MemList    *list = NULL;
	int			place = -1;

	for (int i = 0; i < own->count; i++)
	{
		MemNode    *node = get_node(memory, own->links[i].node);
		MemList    *other = get_list(memory, node, 0);
		int			there;

		if (nearest != NULL && own->links[i].distance >= nearest->distance)
			continue;
		there = find_place(other, memory->most[node->level > 0], known);
		if (there < 0)
			continue;
		nearest = &own->links[i];
		list = other;
		place = there;
	}
	if (nearest == NULL)
		return;

	if (place < list->count)
		known[list->links[place].node]--;
	list->links[place] = (MemLink) {.distance = nearest->distance, .node = number, .chosen = true};
	list->count = Max(list->count, place + 1);
	known[number]++;
}

void
HnswMemFinish(HnswMemory *memory)
{
	/* How many lists of level 0 have a node, counted up to a few. */
	uint8	   *known = palloc_extended(Max(memory->count, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	for (HnswNode number = 0; number < memory->count; number++)
	{
		const MemList *list = get_list(memory, get_node(memory, number), 0);

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < list->count; i++)
			known[list->links[i].node] += known[list->links[i].node] < PG_UINT8_MAX;
	}
	for (HnswNode number = 0; number < memory->count; number++)
		if (known[number] == 0)
			adopt(memory, number, known);
	pfree(known);
}

/*
 * Reading the finished graph
 */

uint32
HnswMemCount(const HnswMemory *memory)
{
	return memory->count;
}

bool
HnswMemEntry(const HnswMemory *memory, HnswNode *entry, int *level)
{
	*entry = memory->entry;
	*level = memory->entry_level;
	return memory->entry != HNSW_NO_ITEM;
}

void
HnswMemGetNode(const HnswMemory *memory, HnswNode number, HnswMemNodeInfo *info)
{
	MemNode    *node = get_node(memory, number);

	info->level = node->level;
	info->code_size = node->code_size;
	info->code = get_code(node);
	info->tid = node->tid;
	info->npostings = node->npostings;
	info->number = node->number;
	info->value = node->value;
}

void
HnswMemSetNumber(HnswMemory *memory, HnswNode node, HnswNode number)
{
	get_node(memory, node)->number = number;
}

void
HnswMemSetValue(HnswMemory *memory, HnswNode node, HnswItem value)
{
	get_node(memory, node)->value = value;
}

int
HnswMemGetNeighbours(HnswMemory *memory, HnswNode number, int level, HnswNode *out,
					 bool *chosen)
{
	MemList    *list = get_list(memory, get_node(memory, number), level);
	LWLock	   *lock = get_lock(memory, number);
	int			n;

	LWLockAcquire(lock, LW_SHARED);
	n = list->count;
	for (int i = 0; i < n; i++)
	{
		out[i] = list->links[i].node;
		if (chosen != NULL)
			chosen[i] = list->links[i].chosen;
	}
	LWLockRelease(lock);
	return n;
}

void
HnswMemGetPostings(const HnswMemory *memory, HnswNode number, ItemPointerData *tids)
{
	MemNode    *node = get_node(memory, number);
	uint64		offset = node->postings;

	for (int i = 0; i < node->npostings; i++)
	{
		MemPosting *posting = (MemPosting *) ((char *) memory + offset);

		tids[i] = posting->tid;
		offset = posting->next;
	}
}
