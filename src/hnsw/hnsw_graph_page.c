/*
 * hnsw_graph_page.c
 *	  The graph on pages.
 *
 * Pages are locked one at a time, and only while they are looked at.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"

#include "am/am_edit.h"
#include "compat.h"
#include "hnsw/hnsw.h"

/* A code that was read; NULL for a node that was dead. */
typedef struct HnswKept
{
	HnswNode	node;
	char		status;
	uint32		size;
	void	   *code;
} HnswKept;

#define SH_PREFIX HnswKept
#define SH_ELEMENT_TYPE HnswKept
#define SH_KEY_TYPE HnswNode
#define SH_KEY node
#define SH_HASH_KEY(tb, key) murmurhash32(key)
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Remembers a code, or with NULL that a node has none. */
static HnswKept *
keep(HnswPageGraph *graph, HnswNode node, const void *code, Size size)
{
	bool		found;
	HnswKept   *entry = HnswKept_insert(graph->kept, node, &found);

	if (!found)
	{
		entry->code = NULL;
		entry->size = size;
		if (code != NULL)
		{
			entry->code = MemoryContextAlloc(graph->kept->ctx, size);
			memcpy(entry->code, code, size);
			graph->kept_size += size;
		}
	}
	return entry;
}

static bool
keeps_too_much(const HnswPageGraph *graph)
{
	return graph->kept_size > (Size) work_mem * 1024;
}

void
HnswTrimCodes(HnswPageGraph *graph)
{
	HnswKept_iterator iterator;
	HnswKept   *entry;

	if (!keeps_too_much(graph))
		return;

	HnswKept_start_iterate(graph->kept, &iterator);
	while ((entry = HnswKept_iterate(graph->kept, &iterator)) != NULL)
		if (entry->code != NULL)
			pfree(entry->code);
	HnswKept_reset(graph->kept);
	graph->kept_size = 0;
}

const void *
HnswGetCode(HnswPageGraph *graph, HnswNode node, Size *size)
{
	HnswKept   *entry = HnswKept_lookup(graph->kept, node);

	if (entry == NULL)
	{
		Buffer		buf = HnswReadItemPage(graph->index, node, BUFFER_LOCK_SHARE);
		Size		code_size = 0;
		HnswElement element = HnswGetElement(graph->index, BufferGetPage(buf), node, &code_size);
		bool		live = element != NULL && !(element->flags & HNSW_DEAD);

		entry = keep(graph, node, live ? element->code : NULL, code_size);
		UnlockReleaseBuffer(buf);
	}

	if (size != NULL)
		*size = entry->size;
	return entry->code;
}

/*
 * Nodes are somewhere in memory, and waiting for them is most of the work.  So
 * the pages of a few are pinned, and what will be read of them is asked for,
 * before the first is looked at.  More than a backend's private array of pins
 * would cost more than it saves.
 */
#define PIN_AHEAD 6

/*
 * Asks the CPU for an item of a pinned page.  Nobody has locked the page, so
 * what is read here may be nonsense, and nothing depends on it.
 */
static inline void
prefetch_item(Page page, OffsetNumber offset, Size size)
{
	ItemId		id = PageGetItemId(page, offset);
	Size		start = ItemIdGetOffset(id);
	Size		end = Min(start + size, BLCKSZ);

	for (; start < end; start += PG_CACHE_LINE_SIZE / 2)
		AnnPrefetch(page + start);
}

/* Evaluates a node whose page is pinned; false if it does not exist. */
static bool
evaluate_node(HnswPageGraph *graph, const AnnQuery *query, Buffer buf, HnswNode node,
			  HnswCandidate *out)
{
	Size		size;
	HnswElement element;

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	AnnCheckPage(graph->index->rel, buf, HNSW_PAGE_ITEMS);
	element = HnswGetElement(graph->index, BufferGetPage(buf), node, &size);
	if (element != NULL)
	{
		out->distance = AnnQueryDistance(query, element->code);
		out->node = node;
		out->links = element->links;
		out->tid = element->tid;
		out->flags = element->flags & HNSW_DEAD;
		if (element->postings != HNSW_NO_ITEM)
			out->flags |= HNSW_CANDIDATE_MORE;
		if (graph->kept != NULL && !keeps_too_much(graph) && !(element->flags & HNSW_DEAD))
			keep(graph, node, element->code, size);
	}
	LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	return element != NULL;
}

static int
page_evaluate(HnswGraph *base, const AnnQuery *query, const HnswNode *nodes, int n,
			  HnswCandidate *out)
{
	HnswPageGraph *graph = (HnswPageGraph *) base;
	HnswIndex  *index = graph->index;
	Size		size = HnswElementSize(index->space.code_size);
	int			count = 0;

	for (int first = 0; first < n; first += PIN_AHEAD)
	{
		Buffer		bufs[PIN_AHEAD];
		int			pins = Min(n - first, PIN_AHEAD);

		for (int i = 0; i < pins; i++)
		{
			Page		page;

			bufs[i] = HnswPinItemPage(index, nodes[first + i]);
			page = BufferGetPage(bufs[i]);
			AnnPrefetch(page);
			AnnPrefetch(PageGetItemId(page, HnswItemOffset(index, nodes[first + i])));
			/* where the page id is, which every look at a page checks */
			AnnPrefetch(page + BLCKSZ - 1);
		}
		for (int i = 0; i < pins; i++)
			prefetch_item(BufferGetPage(bufs[i]), HnswItemOffset(index, nodes[first + i]), size);
		for (int i = 0; i < pins; i++)
		{
			count += evaluate_node(graph, query, bufs[i], nodes[first + i], &out[count]);
			ReleaseBuffer(bufs[i]);
		}
	}
	return count;
}

static int
page_neighbours(HnswGraph *base, const HnswCandidate *candidate, int level, HnswNode *out)
{
	int			n = HnswReadList(((HnswPageGraph *) base)->index, candidate->links,
								 candidate->node, level, out);

	/* A node that has gone leads nowhere. */
	return Max(n, 0);
}

static const HnswGraphMethods page_methods = {
	.evaluate = page_evaluate,
	.neighbours = page_neighbours
};

void
HnswPageGraphInit(HnswPageGraph *graph, HnswIndex *index, bool keep)
{
	graph->base.methods = &page_methods;
	graph->base.m = index->m;
	graph->index = index;
	graph->kept = keep ? HnswKept_create(CurrentMemoryContext, 1024, NULL) : NULL;
	graph->kept_size = 0;
}

/* The list of a level in the links of an owner; NULL if there is none. */
static HnswNode *
get_list(HnswIndex *index, Buffer buf, HnswItem item, HnswNode owner, int level)
{
	HnswLinks	links = HnswGetLinks(index, BufferGetPage(buf), item);

	if (links == NULL || links->owner != owner || level > links->level)
		return NULL;
	return links->nodes + HnswLinksStart(index->m, level);
}

int
HnswReadList(HnswIndex *index, HnswItem links, HnswNode owner, int level, HnswNode *out)
{
	int			max = HnswMaxNeighbours(index->m, level);
	Buffer		buf = HnswReadItemPage(index, links, BUFFER_LOCK_SHARE);
	HnswNode   *list = get_list(index, buf, links, owner, level);
	int			n = -1;

	if (list != NULL)
	{
		memcpy(out, list, max * sizeof(HnswNode));
		n = HnswCountNeighbours(out, max);
	}
	UnlockReleaseBuffer(buf);
	return n;
}

bool
HnswWriteList(HnswIndex *index, HnswItem links, HnswNode owner, int level,
			  const HnswNode *expected, const HnswNode *list)
{
	Size		size = HnswMaxNeighbours(index->m, level) * sizeof(HnswNode);
	Buffer		buf = HnswReadItemPage(index, links, BUFFER_LOCK_EXCLUSIVE);
	HnswNode   *current = get_list(index, buf, links, owner, level);
	Size		offset;
	AnnEdit		edit;

	if (current == NULL || memcmp(current, expected, size) != 0)
	{
		UnlockReleaseBuffer(buf);
		return current == NULL;
	}

	offset = (char *) current - (char *) BufferGetPage(buf);
	AnnEditBegin(&edit, index->rel, index->build_lock != NULL);
	memcpy((char *) AnnEditPage(&edit, buf) + offset, list, size);
	AnnEditCommit(&edit);
	return true;
}
