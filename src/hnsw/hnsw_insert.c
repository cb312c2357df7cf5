/*
 * hnsw_insert.c
 *	  Adding a value to the graph on pages: README.md section 5.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "am/am_edit.h"
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

/*
 * Finds neighbours for a value on a level, among live nodes, starting from
 * candidates; selects them into choices[ef_construction] and returns how many.
 * *candidates and *n become what was found.
 */
static int
find_neighbours(HnswPageGraph *graph, HnswSearch *search, int level,
				HnswCandidate *candidates, int *n, HnswChoice *choices)
{
	HnswIndex  *index = graph->index;
	int			found;
	int			count = 0;

	HnswTrimCodes(graph);
	HnswSearchBegin(search, level, candidates, *n);
	found = HnswSearchNext(search, index->ef_construction, candidates);

	for (int i = 0; i < found; i++)
	{
		Size		size;
		const void *code = HnswGetCode(graph, candidates[i].node, &size);

		if (code == NULL)
			continue;
		choices[count].size = size;
		choices[count].distance = candidates[i].distance;
		choices[count].node = candidates[i].node;
		choices[count].code = code;
		count++;
	}

	/* If nothing on this level is alive, the next begins where this did. */
	if (found > 0)
		*n = found;
	return HnswSelect(&index->space, choices, count, HnswMaxNeighbours(index->m, level));
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
	HnswGetElement(index, AnnEditPage(&edit, buf), node, &size)->postings = item;
	AnnEditCommit(&edit);
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
	return true;
}

/*
 * Adds a TID to a node, if it is a live one of this code: to its first postings,
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
		Size		size;
		HnswElement element = HnswGetElement(index, BufferGetPage(buf), node, &size);
		HnswItem	first;

		if (element == NULL || (element->flags & HNSW_DEAD) || size != row->value->size ||
			memcmp(element->code, row->value->code, size) != 0)
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

static HnswLinks
make_links(HnswIndex *index, const NewLists *lists)
{
	Size		size = HnswLinksSize(index->m, lists->level);
	HnswLinks	links = palloc0(size);

	links->kind = HNSW_LINKS;
	links->level = lists->level;
	memset(links->nodes, 0xFF, size - offsetof(HnswLinksData, nodes));
	for (int level = 0; level <= lists->level; level++)
		for (int i = 0; i < lists->counts[level]; i++)
			links->nodes[HnswLinksStart(index->m, level) + i] = lists->choices[level][i].node;
	return links;
}

static HnswElement
make_element(int level, const NewRow *row)
{
	HnswElement element = palloc0(HnswElementSize(row->value->size));

	element->kind = HNSW_ELEMENT;
	element->level = level;
	element->postings = HNSW_NO_ITEM;
	element->tid = *row->tid;
	memcpy(element->code, row->value->code, row->value->size);
	return element;
}

/* Writes element and links, together on one page if that is possible at all. */
static HnswNode
write_node(HnswIndex *index, const NewLists *lists, const NewRow *row)
{
	Size		element_size = HnswElementSize(row->value->size);
	Size		links_size = HnswLinksSize(index->m, lists->level);
	Size		element_room = MAXALIGN(element_size) + sizeof(ItemIdData);
	Size		links_room = MAXALIGN(links_size) + sizeof(ItemIdData);
	HnswElement element = make_element(lists->level, row);
	HnswLinks	links = make_links(index, lists);
	HnswNode	node;
	HnswItem	item;
	Buffer		buf;
	Buffer		links_buf;
	AnnEdit		edit;
	Size		size;

	if (element_room + links_room <= ANN_PAGE_ROOM)
		buf = links_buf = AnnAllocate(index->rel, HNSW_PAGE_ITEMS, element_room + links_room,
									  &index->node_target);
	else
	{
		buf = AnnAllocate(index->rel, HNSW_PAGE_ITEMS, element_room, &index->node_target);
		links_buf = AnnAllocate(index->rel, HNSW_PAGE_ITEMS, links_room, &index->links_target);
	}

	AnnEditBegin(&edit, index->rel, index->build_lock != NULL);
	node = add_item(index, &edit, buf, element, element_size);
	links->owner = node;
	item = add_item(index, &edit, links_buf, links, links_size);
	HnswGetElement(index, AnnEditPage(&edit, buf), node, &size)->links = item;
	AnnEditCommit(&edit);
	return node;
}

/*
 * What a full list becomes with another node in it; false if it stays what it
 * is.
 */
static bool
select_with(HnswPageGraph *graph, HnswNode owner, HnswNode *list, int max,
			HnswNode node, const AnnQuery *new, double distance)
{
	const AnnSpace *space = &graph->index->space;
	HnswChoice	choices[2 * HNSW_MAX_M + 1];
	Size		size;
	const void *owner_code = HnswGetCode(graph, owner, &size);
	AnnQuery	query;
	int			n = 0;

	if (owner_code == NULL)
		return false;
	AnnQueryInit(&query, space);
	AnnQuerySetCode(&query, owner_code, size);

	choices[n].distance = distance;
	choices[n].node = node;
	choices[n].size = new->size;
	choices[n++].code = new->code;

	for (int i = 0; i < max; i++)
	{
		const void *code = HnswGetCode(graph, list[i], &size);

		/* The dead give way first. */
		if (code == NULL)
		{
			list[i] = node;
			return true;
		}
		choices[n].distance = AnnQueryDistance(&query, code);
		choices[n].node = list[i];
		choices[n].size = size;
		choices[n++].code = code;
	}

	n = HnswSelect(space, choices, n, max);
	for (int i = 0; i < max; i++)
	{
		bool		kept = false;

		for (int j = 0; j < n && !kept; j++)
			kept = choices[j].node == list[i];
		if (!kept)
		{
			list[i] = node;
			return true;
		}
	}
	return false;
}

/* Makes the new node a neighbour of one of its neighbours. */
static void
link_back(HnswPageGraph *graph, const HnswChoice *neighbour, int level, HnswNode node,
		  const AnnQuery *new)
{
	HnswIndex  *index = graph->index;
	int			max = HnswMaxNeighbours(index->m, level);
	HnswNode	expected[2 * HNSW_MAX_M];
	HnswNode	list[2 * HNSW_MAX_M];
	HnswItem	links = HNSW_NO_ITEM;
	Buffer		buf = HnswReadItemPage(index, neighbour->node, BUFFER_LOCK_SHARE);
	Size		size;
	HnswElement element = HnswGetElement(index, BufferGetPage(buf), neighbour->node, &size);

	if (element != NULL && !(element->flags & HNSW_DEAD))
		links = element->links;
	UnlockReleaseBuffer(buf);
	if (links == HNSW_NO_ITEM)
		return;

	do
	{
		int			n;

		CHECK_FOR_INTERRUPTS();
		HnswTrimCodes(graph);
		memset(expected, 0xFF, sizeof(expected));
		n = HnswReadList(index, links, neighbour->node, level, expected);
		if (n < 0)
			return;
		for (int i = 0; i < n; i++)
			if (expected[i] == node)
				return;

		memcpy(list, expected, sizeof(list));
		if (n < max)
			list[n] = node;
		else if (!select_with(graph, neighbour->node, list, max, node, new, neighbour->distance))
			return;
	} while (!HnswWriteList(index, links, neighbour->node, level, expected, list));
}

/*
 * Adds the TID to a node equal to the value, if a search with a narrow beam finds
 * one: where there is one, it is what is found first.
 */
static bool
find_equal(HnswIndex *index, HnswSearch *search, HnswCandidate nearest, int level,
		   const NewRow *row)
{
	HnswCandidate found[NARROW_BEAM];
	int			n;

	HnswSearchDescend(search, &nearest, level, 0);
	HnswSearchBegin(search, 0, &nearest, 1);
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
	HnswCandidate *candidates;
	HnswPageGraph graph;
	HnswSearch	search;
	HnswNode	new;
	int			n = 0;

	memset(lists->counts, 0, sizeof(lists->counts));

	if (!HnswReadEntry(index, &entry, &entry_level))
		entry_level = -1;
	if (level > entry_level && !exclusive)
		return false;

	if (entry_level >= 0)
	{
		int			top = Min(level, entry_level);

		candidates = palloc(sizeof(HnswCandidate) * index->ef_construction);
		HnswPageGraphInit(&graph, index, true);
		HnswSearchInit(&search, &graph.base, value);
		n = HnswEvaluate(&graph.base, value, &entry, 1, candidates);
		if (n > 0 && row->unchanged && find_equal(index, &search, candidates[0], entry_level, row))
			return true;
		if (n > 0)
			HnswSearchDescend(&search, candidates, entry_level, top);
		for (int l = top; n > 0 && l >= 0; l--)
		{
			lists->choices[l] = palloc(sizeof(HnswChoice) * index->ef_construction);
			lists->counts[l] = find_neighbours(&graph, &search, l, candidates, &n,
											   lists->choices[l]);
		}
		if (n > 0 && add_to_equal(index, candidates, n, row))
			return true;

		/* Among the dead only, the node would be alone. */
		if (lists->counts[0] == 0 && !exclusive)
			return false;
	}

	new = write_node(index, lists, row);
	for (int l = Min(level, entry_level); l >= 0; l--)
		for (int i = 0; i < lists->counts[l]; i++)
			link_back(&graph, &lists->choices[l][i], l, new, value);

	if (level > entry_level || lists->counts[0] == 0)
		HnswWriteEntry(index, new, level);
	return true;
}

void
HnswInsert(HnswIndex *index, const AnnQuery *value, const ItemPointerData *tid, bool unchanged)
{
	NewRow		row = {value, tid, unchanged};
	NewLists	lists;

	lists.level = HnswLevel(index->m, tid);

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
	}

	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
	return false;
}
