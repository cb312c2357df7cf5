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

static int
page_evaluate(HnswGraph *base, const AnnQuery *query, const HnswNode *nodes, int n,
			  HnswCandidate *out)
{
	HnswPageGraph *graph = (HnswPageGraph *) base;
	HnswIndex  *index = graph->index;
	int			count = 0;

	for (int i = 0; i < n; i++)
	{
		Buffer		buf = HnswReadItemPage(index, nodes[i], BUFFER_LOCK_SHARE);
		Size		size;
		HnswElement element = HnswGetElement(index, BufferGetPage(buf), nodes[i], &size);

		if (element != NULL)
		{
			HnswCandidate *candidate = &out[count++];

			candidate->distance = AnnQueryDistance(query, element->code);
			candidate->node = nodes[i];
			candidate->links = element->links;
			candidate->tid = element->tid;
			candidate->flags = element->flags & HNSW_DEAD;
			if (element->postings != HNSW_NO_ITEM)
				candidate->flags |= HNSW_CANDIDATE_MORE;
			if (graph->kept != NULL && !keeps_too_much(graph) && !(element->flags & HNSW_DEAD))
				keep(graph, nodes[i], element->code, size);
		}
		UnlockReleaseBuffer(buf);
	}
	return count;
}

static int
page_neighbours(HnswGraph *base, const HnswCandidate *candidate, int level, HnswNode *out)
{
	return HnswReadList(((HnswPageGraph *) base)->index, candidate->links, candidate->node,
						level, out);
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
	int			n = 0;

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
		return false;
	}

	offset = (char *) current - (char *) BufferGetPage(buf);
	AnnEditBegin(&edit, index->rel, index->build_lock != NULL);
	memcpy((char *) AnnEditPage(&edit, buf) + offset, list, size);
	AnnEditCommit(&edit);
	return true;
}
