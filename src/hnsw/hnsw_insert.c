/*
 * hnsw_insert.c
 *	  Adding a value to the graph on pages: README.md section 5.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "am/am_edit.h"
#include "am/am_point.h"
#include "hnsw/hnsw.h"

/* The beam that finds a value if it is there. */
#define NARROW_BEAM 8

/* What is being added. */
typedef struct NewRow
{
	const AnnQuery *value;
	const ItemPointerData *tid;
	bool		unchanged;		/* another version of the row has the same value */
} NewRow;

/* The neighbours selected for a new node, by level. */
typedef struct NewLists
{
	int			level;
	int			counts[HNSW_MAX_LEVEL + 1];
	HnswChoice *choices[HNSW_MAX_LEVEL + 1];
} NewLists;

/* Selects at most so many neighbours among candidates[n] into choices[n]; returns how many. */
static int
select_neighbours(HnswPageGraph *graph, int most, const HnswCandidate *candidates, int n,
				  HnswChoice *choices)
{
	HnswIndex  *index = graph->index;
	int			count = 0;

	for (int i = 0; i < n; i++)
	{
		Size		size;
		const void *code = HnswNodeCode(graph, candidates[i].node, &size);

		if (code == NULL)
			continue;
		choices[count].size = size;
		choices[count].distance = candidates[i].distance;
		choices[count].node = candidates[i].node;
		choices[count].code = code;
		count++;
	}

	return HnswSelect(&index->space, choices, count, most);
}

/* Adds an item to a page of an Edit, which may never have been written. */
static HnswItem
add_item(HnswIndex *index, AnnEdit *edit, Buffer buf, void *data, Size size)
{
	Page		page = AnnEditPage(edit, buf);
	OffsetNumber offset;

	if (AnnPageIsUnused(page))
		AnnInitPage(page, HNSW_PAGE_ITEMS);
	offset = PageAddItem(page, (Item) data, size, InvalidOffsetNumber, false, false);
	if (offset == InvalidOffsetNumber)
		elog(ERROR, "could not add an item to block %u of index \"%s\"",
			 BufferGetBlockNumber(buf), RelationGetRelationName(index->rel));
	return HnswItemNumber(index, BufferGetBlockNumber(buf), offset);
}

/*
 * Equal values
 */

/* The capacity of another postings item, if the one before had so much. */
static int
postings_capacity(int before)
{
	return Min(Max(2 * before, HNSW_MIN_POSTINGS), 512);
}

/*
 * Puts new postings, with one TID, before those of an element.  Gives up the
 * lock of the element's page, buf.
 */
static void
prepend_postings(HnswIndex *index, Buffer buf, HnswNode node, HnswItem next, int capacity,
				 const ItemPointerData *tid)
{
	Size		size = HnswPostingsSize(capacity);
	HnswPostings postings = palloc0(size);
	Buffer		other = buf;
	HnswItem	item;
	AnnEdit		edit;

	postings->kind = HNSW_POSTINGS;
	postings->count = 1;
	postings->next = next;
	postings->owner = node;
	postings->tids[0] = *tid;

	if (PageGetFreeSpace(BufferGetPage(buf)) < MAXALIGN(size))
		other = AnnAllocate(index->rel, HNSW_PAGE_ITEMS, MAXALIGN(size) + sizeof(ItemIdData),
							&index->links_target);

	AnnEditBegin(&edit, index->rel, index->build_lock != NULL);
	item = add_item(index, &edit, other, postings, size);
	HnswGetElement(index, AnnEditPage(&edit, buf), node)->postings = item;
	AnnEditCommit(&edit);
	AnnPoint("hnsw W5");
}

/*
 * Adds a TID to postings, if they still are the node's and have room.  *capacity
 * is how much they hold.
 */
static bool
append_tid(HnswIndex *index, HnswNode node, HnswItem item, const ItemPointerData *tid,
		   int *capacity)
{
	Buffer		buf = HnswReadItemPage(index, item, BUFFER_LOCK_EXCLUSIVE);
	HnswPostings postings = HnswGetPostings(index, BufferGetPage(buf), item, capacity);
	AnnEdit		edit;

	if (postings == NULL || postings->owner != node || postings->count == *capacity)
	{
		UnlockReleaseBuffer(buf);
		return false;
	}

	AnnEditBegin(&edit, index->rel, index->build_lock != NULL);
	postings = HnswGetPostings(index, AnnEditPage(&edit, buf), item, capacity);
	postings->tids[postings->count++] = *tid;
	AnnEditCommit(&edit);
	AnnPoint("hnsw W5");
	return true;
}

static bool
is_value(HnswIndex *index, Page page, HnswNode node, HnswElement element, const AnnQuery *value)
{
	Size		size;
	const void *code = HnswGetCode(index, page, node, element, &size);

	return AnnSpaceEqual(&index->space, code, size, value->code, value->size);
}

/*
 * Adds a TID to a node, if it is a live one of this value: to its first postings,
 * or if they are full to new ones.
 *
 * VACUUM may remove the postings meanwhile, but not the node, for it waits for
 * the graph lock between marking a node dead and removing it.
 */
static bool
add_tid(HnswIndex *index, HnswNode node, const NewRow *row)
{
	HnswItem	full = HNSW_NO_ITEM;
	int			capacity = 0;

	for (;;)
	{
		Buffer		buf = HnswReadItemPage(index, node, BUFFER_LOCK_EXCLUSIVE);
		HnswElement element = HnswGetElement(index, BufferGetPage(buf), node);
		HnswItem	first;

		if (element == NULL || (element->flags & HNSW_DEAD) ||
			!is_value(index, BufferGetPage(buf), node, element, row->value))
		{
			UnlockReleaseBuffer(buf);
			return false;
		}

		first = element->postings;
		if (first == HNSW_NO_ITEM || first == full)
		{
			prepend_postings(index, buf, node, first, postings_capacity(capacity), row->tid);
			return true;
		}

		UnlockReleaseBuffer(buf);
		if (append_tid(index, node, first, row->tid, &capacity))
			return true;
		full = first;
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Adds the TID to a node equal to the value, if one of the candidates is.
 */
static bool
add_to_equal(HnswIndex *index, const HnswCandidate *candidates, int n, const NewRow *row)
{
	double		distance = AnnQueryDistance(row->value, row->value->code);

	for (int i = 0; i < n; i++)
		if (candidates[i].distance == distance &&
			add_tid(index, candidates[i].node, row))
			return true;
	return false;
}

/*
 * A new node
 */

/* The parts of a node: its element, and then all links. */
typedef struct NewNode
{
	HnswElement element;
	Size		element_size;
	HnswLinks	links[(HNSW_MAX_LEVEL + 1) * HNSW_MAX_PARTS];
	int			nlinks;
} NewNode;

/* Every part of a level gets its share of the neighbours selected. */
static void
make_node(HnswIndex *index, const NewLists *lists, const NewRow *row, NewNode *node)
{
	const HnswShape *shape = &index->shape;
	int			parts = HnswParts(shape, lists->level);
	float	   *host = HnswDecodeHost(index, row->value->code);

	node->element_size = HnswElementSize(shape, lists->level, row->value->size);
	node->element = palloc0(node->element_size);
	node->element->kind = HNSW_ELEMENT;
	node->element->level = lists->level;
	node->element->postings = HNSW_NO_ITEM;
	node->element->tid = *row->tid;
	memcpy(HnswElementCode(shape, node->element), row->value->code, row->value->size);
	HnswSetElementValue(shape, node->element, HNSW_NO_ITEM);

	node->nlinks = 0;
	for (int level = 0; level <= lists->level; level++)
		for (int part = 0; part < parts; part++)
		{
			HnswChoice	share[2 * HNSW_MAX_M];
			int			n = 0;

			for (int i = part; i < lists->counts[level]; i += parts)
				share[n++] = lists->choices[level][i];
			node->links[node->nlinks++] = HnswMakeLinks(index, HNSW_NO_ITEM, level,
														HnswPlaces(shape, lists->level), host,
														share, n, NULL);
		}
}

/* Writes a node at once. */
static HnswNode
write_node(HnswIndex *index, const NewLists *lists, const NewRow *row)
{
	NewNode		node;
	Size		links_room = HnswLinksRoom(&index->shape, lists->level);
	Size		room;
	int			beside;
	HnswNode	number;
	Buffer		first;
	Buffer		buf;
	AnnEdit		edit;

	make_node(index, lists, row, &node);
	beside = HnswCountBeside(&index->shape, lists->level, node.element_size);
	room = HnswItemRoom(node.element_size) + beside * links_room;

	AnnEditBegin(&edit, index->rel, index->build_lock != NULL);
	first = buf = AnnAllocate(index->rel, HNSW_PAGE_ITEMS, room, &index->node_target);
	number = add_item(index, &edit, first, node.element, node.element_size);
	room = 0;
	for (int i = 0; i < node.nlinks; i++)
	{
		HnswItem	item;

		if (i >= beside && room < links_room)
		{
			/* For all that is left, or as much as fits a page. */
			room = Min(node.nlinks - i, (int) (ANN_PAGE_ROOM / links_room)) * links_room;
			buf = AnnAllocate(index->rel, HNSW_PAGE_ITEMS, room, &index->links_target);
		}
		if (i >= beside)
			room -= links_room;

		node.links[i]->owner = number;
		item = add_item(index, &edit, buf, node.links[i],
						HnswLinksSize(&index->shape, node.links[i]->places));
		HnswGetElement(index, AnnEditPage(&edit, first), number)->links[i] = item;
	}
	AnnEditCommit(&edit);
	AnnPoint("hnsw W2");
	return number;
}

/* Stores the value of a node, which has been written, and tells it where. */
static void
store_value(HnswIndex *index, HnswNode node, const AnnQuery *value)
{
	AnnPlace	place = HnswValuePlace(index, HNSW_NO_ITEM, node);
	Buffer		buf;
	AnnEdit		edit;

	AnnStorePut(&index->store, value, &place.owner, &place.at);

	/* VACUUM has left it alone, as it has a row that is being inserted. */
	buf = HnswReadItemPage(index, node, BUFFER_LOCK_EXCLUSIVE);
	if (HnswGetElement(index, BufferGetPage(buf), node) == NULL)
		AnnCorrupted(index->rel, HnswItemBlock(index, node), "A new node is missing");

	AnnEditBegin(&edit, index->rel, index->build_lock != NULL);
	HnswSetElementValue(&index->shape, HnswGetElement(index, AnnEditPage(&edit, buf), node),
						HnswPlaceItem(index, &place.at));
	AnnEditCommit(&edit);
	AnnPoint("hnsw W12");
}

/*
 * Links back
 */

/* How the neighbours in links look to their owner and to a new neighbour. */
static void
look_at_places(HnswPageGraph *graph, HnswLinks links, const AnnQuery *owner,
			   const AnnQuery *new, double distance, HnswPlace *places)
{
	HnswLinksView view = HnswViewLinks(links);
	double		from_owner[2 * HNSW_MAX_M];
	double		from_new[2 * HNSW_MAX_M];

	if (graph->base.expands)
	{
		AnnQueryNearDistances(owner, owner->code, AnnQueryDistance(owner, owner->code),
							  view.codes, links->count, from_owner);
		AnnQueryNearDistances(new, owner->code, distance,
							  view.codes, links->count, from_new);
	}
	else
		for (int i = 0; i < links->count; i++)
		{
			const void *code = HnswNodeCode(graph, view.nodes[i], NULL);

			/* The dead give way first. */
			from_owner[i] = code != NULL ? AnnQueryDistance(owner, code) : INFINITY;
			from_new[i] = code != NULL ? AnnQueryDistance(new, code) : INFINITY;
		}

	for (int i = 0; i < links->count; i++)
	{
		places[i].distance = from_owner[i];
		places[i].from_new = from_new[i];
		places[i].chosen = HnswIsChosen(&view, i) && !isinf(from_owner[i]);
	}
}

/* Puts a new neighbour into links, if it is wanted there, or must be. */
static bool
add_link(HnswPageGraph *graph, HnswLinks links, const AnnQuery *owner, HnswNode node,
		 const AnnQuery *new, bool must)
{
	HnswIndex  *index = graph->index;
	HnswLinksView view = HnswViewLinks(links);
	double		distance = AnnQueryDistance(new, owner->code);
	HnswPlace	places[2 * HNSW_MAX_M];
	float	   *host;
	int			place;
	bool		chosen;

	look_at_places(graph, links, owner, new, distance, places);
	place = HnswOffer(places, links->count, links->places, distance, must, &chosen);
	if (place < 0)
		return false;

	for (int i = 0; i < links->count; i++)
		HnswSetChosen(&view, i, places[i].chosen);
	host = HnswDecodeHost(index, owner->code);
	HnswSetLink(index, links, place, host, node, new->code, chosen);
	links->count = Max(links->count, place + 1);
	return true;
}

/* In that part of the neighbour's links that is the node's turn. */
bool
HnswLinkBack(HnswPageGraph *graph, HnswNode neighbour, int level, HnswNode node,
			 const AnnQuery *new, bool must)
{
	HnswIndex  *index = graph->index;
	HnswItem	item = HNSW_NO_ITEM;
	Buffer		buf = HnswReadItemPage(index, neighbour, BUFFER_LOCK_SHARE);
	Page		page = BufferGetPage(buf);
	HnswElement element = HnswGetElement(index, page, neighbour);
	AnnQuery	owner;
	Size		size;
	HnswLinks	old;
	HnswLinks	links;

	if (element != NULL && !(element->flags & HNSW_DEAD) && element->level >= level)
	{
		const void *code = HnswGetCode(index, page, neighbour, element, &size);
		void	   *copy = palloc(size);

		memcpy(copy, code, size);
		AnnQueryInit(&owner, &index->space);
		AnnQuerySetCode(&owner, copy, size);
		item = HnswElementLinks(&index->shape, element, level,
								node % HnswParts(&index->shape, element->level));
	}
	UnlockReleaseBuffer(buf);
	if (item == HNSW_NO_ITEM)
		return false;
	if (graph->base.expands)
		AnnQueryPrepareNear(&owner);

	do
	{
		CHECK_FOR_INTERRUPTS();
		HnswTrimCodes(graph);
		old = HnswReadLinks(index, item, neighbour);
		if (old == NULL || old->level != level)
			return false;
		if (HnswIsAmong(HnswViewLinks(old).nodes, old->count, node))
			return true;
		size = HnswLinksSize(&index->shape, old->places);
		links = palloc(size);
		memcpy(links, old, size);
		if (!add_link(graph, links, &owner, node, new, must))
			return false;
	} while (!HnswReplaceLinks(index, item, old, links));
	AnnPoint("hnsw W3");
	return true;
}

/*
 * Links back cost most of the WAL, and more of them than these find no more; but a
 * node that none of its neighbours wants would never be found.
 */
static void
link_back(HnswPageGraph *graph, int level, const HnswChoice *choices, int n, HnswNode new,
		  const AnnQuery *value)
{
	bool		linked = false;

	for (int i = 0; i < n; i++)
		if (choices[i].chosen || i < graph->index->shape.m)
			linked |= HnswLinkBack(graph, choices[i].node, level, new, value, false);
	for (int i = 0; i < n && !linked; i++)
		linked = HnswLinkBack(graph, choices[i].node, level, new, value, true);
}

/*
 * Adds the TID to a node equal to the value, if a search with a narrow beam finds
 * one: where there is one, it is what is found first.
 */
static bool
find_equal(HnswIndex *index, HnswSearch *search, const HnswCandidate *entry, int level,
		   const NewRow *row)
{
	HnswCandidate found[NARROW_BEAM];
	int			n;

	HnswSearchDescend(search, entry, level, 0);
	n = HnswSearchNext(search, NARROW_BEAM, found);
	return add_to_equal(index, found, n, row);
}

/*
 * Adds the value as a node of a level, or to one that is equal.  The graph is
 * locked; returns false, having changed nothing, if the lock must be exclusive
 * and is not.
 */
static bool
insert(HnswIndex *index, const NewRow *row, NewLists *lists, bool exclusive)
{
	const AnnQuery *value = row->value;
	int			level = lists->level;
	HnswNode	entry;
	int			entry_level;
	HnswPageGraph graph;
	HnswNode	new;

	memset(lists->counts, 0, sizeof(lists->counts));

	if (!HnswReadEntry(index, &entry, &entry_level))
		entry_level = -1;
	if (level > entry_level && !exclusive)
		return false;

	if (entry_level >= 0)
	{
		HnswCandidate *found = palloc(sizeof(HnswCandidate) * index->ef_construction);
		int			top = Min(level, entry_level);
		int			n = 0;
		HnswSearch	search;
		HnswCandidate highest;

		HnswPageGraphInit(&graph, index, (Size) work_mem * 1024);
		HnswSearchInit(&search, &graph.base, value);
		if (HnswEvaluate(&graph.base, value, &entry, 1, &highest) > 0)
		{
			if (row->unchanged && find_equal(index, &search, &highest, entry_level, row))
				return true;

			HnswSearchDescend(&search, &highest, entry_level, top);
			for (int l = top; l >= 0; l--)
			{
				n = HnswSearchNext(&search, index->ef_construction, found);
				lists->choices[l] = palloc(sizeof(HnswChoice) * index->ef_construction);
				lists->counts[l] = select_neighbours(&graph, HnswMost(&index->shape, level), found, n,
													 lists->choices[l]);
				if (l > 0 && n > 0)
					HnswSearchBegin(&search, l - 1, found, n);
				else if (l > 0)
					HnswSearchDescend(&search, &highest, entry_level, l - 1);
			}
			if (add_to_equal(index, found, n, row))
				return true;
		}

		/* Among the dead only, the node would be alone. */
		if (lists->counts[0] == 0 && !exclusive)
			return false;
	}

	new = write_node(index, lists, row);
	if (index->shape.stored)
		store_value(index, new, value);
	for (int l = Min(level, entry_level); l >= 0; l--)
		link_back(&graph, l, lists->choices[l], lists->counts[l], new, value);

	if (level > entry_level || lists->counts[0] == 0)
	{
		HnswWriteEntry(index, new, level);
		AnnPoint("hnsw W4");
	}
	return true;
}

void
HnswInsert(HnswIndex *index, const AnnQuery *value, const ItemPointerData *tid, bool unchanged)
{
	NewRow		row = {value, tid, unchanged};
	NewLists	lists;

	lists.level = HnswLevel(&index->shape, tid);

	HnswLockGraph(index, false);
	if (!insert(index, &row, &lists, false))
	{
		HnswUnlockGraph(index, false);
		HnswLockGraph(index, true);
		insert(index, &row, &lists, true);
		HnswUnlockGraph(index, true);
		return;
	}
	HnswUnlockGraph(index, false);
}

bool
hnswinsert(Relation rel, Datum *values, bool *isnull, ItemPointer tid, Relation heap,
		   IndexUniqueCheck unique, bool unchanged, IndexInfo *info)
{
	MemoryContext context;
	MemoryContext oldcontext;
	HnswIndex	index;
	AnnQuery	value;

	if (isnull[0])
		return false;

	context = AllocSetContextCreate(CurrentMemoryContext, "hnsw insert", ALLOCSET_DEFAULT_SIZES);
	oldcontext = MemoryContextSwitchTo(context);

	HnswOpen(&index, rel);
	if (AnnQueryPrepare(&value, &index.space, values[0], true))
	{
		HnswInsert(&index, &value, tid, unchanged);
		HnswRememberTargets(&index);
		AnnSessionCounters(RelationGetRelid(rel))->inserts++;
	}

	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
	return false;
}
