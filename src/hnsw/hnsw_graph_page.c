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
#include "am/am_recent.h"
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
		/* the table of them is half full */
		graph->kept_size += 2 * sizeof(HnswKept);
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
	return graph->kept_size > graph->kept_most;
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
HnswNodeCode(HnswPageGraph *graph, HnswNode node, Size *size)
{
	HnswKept   *entry = HnswKept_lookup(graph->kept, node);

	if (entry == NULL)
	{
		HnswIndex  *index = graph->index;
		Buffer		buf = HnswReadItemPage(index, node, BUFFER_LOCK_SHARE);
		HnswElement element = HnswGetElement(index, BufferGetPage(buf), node);
		const void *code = NULL;
		Size		code_size = 0;

		if (element != NULL && !(element->flags & HNSW_DEAD))
			code = HnswGetCode(index, BufferGetPage(buf), node, element, &code_size);
		entry = keep(graph, node, code, code_size);
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

/* Evaluates a node, of which the element is on a locked page. */
static void
evaluate_element(HnswPageGraph *graph, const AnnQuery *query, HnswElement element,
				 const void *code, Size size, HnswCandidate *out)
{
	out->distance = AnnQueryDistance(query, code);
	out->error = AnnQueryError(query, code, out->distance);
	out->links = element->links[0];
	out->tid = element->tid;
	out->value = HnswElementValue(&graph->index->shape, element);
	out->flags = element->flags & HNSW_DEAD;
	if (element->postings != HNSW_NO_ITEM)
		out->flags |= HNSW_CANDIDATE_MORE;
	if (graph->kept != NULL && !keeps_too_much(graph) && !(element->flags & HNSW_DEAD))
		keep(graph, out->node, code, size);
}

/* Evaluates a node whose page is pinned; false if it does not exist. */
static bool
evaluate_node(HnswPageGraph *graph, const AnnQuery *query, Buffer buf, HnswCandidate *out)
{
	HnswIndex  *index = graph->index;
	Page		page = BufferGetPage(buf);
	HnswElement element;

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	AnnCheckPage(index->rel, buf, HNSW_PAGE_ITEMS);
	element = HnswGetElement(index, page, out->node);
	if (element != NULL)
	{
		Size		size;
		const void *code = HnswGetCode(index, page, out->node, element, &size);

		evaluate_element(graph, query, element, code, size, out);
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
	Size		size = HnswElementSize(&index->shape, 0, index->shape.code_size);
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
			out[count].node = nodes[first + i];
			count += evaluate_node(graph, query, bufs[i], &out[count]);
			ReleaseBuffer(bufs[i]);
		}
	}
	return count;
}

HnswItem
HnswFindLinks(HnswIndex *index, HnswNode node, int level, int part)
{
	Buffer		buf = HnswReadItemPage(index, node, BUFFER_LOCK_SHARE);
	HnswElement element = HnswGetElement(index, BufferGetPage(buf), node);
	HnswItem	item = HNSW_NO_ITEM;

	if (element != NULL && element->level >= level && part < HnswParts(&index->shape, element->level))
		item = HnswElementLinks(&index->shape, element, level, part);
	UnlockReleaseBuffer(buf);
	return item;
}

static int
page_neighbours(HnswGraph *base, const HnswStep *step, int level, HnswNode *out)
{
	HnswIndex  *index = ((HnswPageGraph *) base)->index;
	HnswItem	item = level == 0 ? step->links : HnswFindLinks(index, step->node, level, 0);
	Buffer		buf;
	HnswLinks	links;
	int			n = 0;

	/* A node that has gone leads nowhere. */
	if (item == HNSW_NO_ITEM)
		return 0;

	buf = HnswReadItemPage(index, item, BUFFER_LOCK_SHARE);
	links = HnswGetLinks(index, BufferGetPage(buf), item);
	if (links != NULL && links->owner == step->node && links->level == level)
	{
		n = links->count;
		memcpy(out, HnswViewLinks(links).nodes, n * sizeof(HnswNode));
	}
	UnlockReleaseBuffer(buf);
	return n;
}

/*
 * Estimates the neighbours in an item of links, which is on a locked page, given
 * the code of their owner and the distance to it; returns how many.
 */
static int
estimate_neighbours(HnswIndex *index, const AnnQuery *query, Page page, HnswItem item, int level,
					int places, const HnswCandidate *owner, const void *code, HnswStep *out)
{
	HnswLinks	links = HnswGetLinks(index, page, item);
	double		distances[2 * HNSW_MAX_M];
	HnswLinksView view;

	if (links == NULL || links->owner != owner->node || links->level != level ||
		links->places != places)
		return 0;

	view = HnswViewLinks(links);
	AnnQueryNearDistances(query, code, owner->distance, view.codes, links->count, distances);
	for (int i = 0; i < links->count; i++)
	{
		out[i].distance = HnswOrdered(distances[i]);
		out[i].node = view.nodes[i];
		out[i].links = HNSW_NO_ITEM;
	}
	return links->count;
}

/* Lets go of a page asked for. */
static void
forget_ahead(HnswPageGraph *graph, int i)
{
	if (BufferIsValid(graph->ahead_pages[i]))
		ReleaseBuffer(graph->ahead_pages[i]);
	graph->ahead_pages[i] = InvalidBuffer;
	graph->ahead_blknos[i] = InvalidBlockNumber;
}

/* Pins the page of a node, which may have been asked for or kept. */
static Buffer
pin_node(HnswPageGraph *graph, HnswNode node)
{
	for (int i = 0; i < HNSW_AHEAD_PAGES; i++)
		if (BufferIsValid(graph->ahead_pages[i]) &&
			graph->ahead_blknos[i] == HnswItemBlock(graph->index, node))
		{
			Buffer		buf = graph->ahead_pages[i];

			graph->ahead_pages[i] = InvalidBuffer;
			AnnCountRecent(graph->index->rel);
			return buf;
		}

	for (int i = 0; i < Min(graph->nkept_pages, HNSW_KEPT_PAGES); i++)
		if (graph->kept_nodes[i] == node)
		{
			IncrBufferRefCount(graph->kept_pages[i]);
			return graph->kept_pages[i];
		}
	return HnswPinItemPage(graph->index, node);
}

/* Unlocks the page of a node; keeps it, if the search will come to lower levels. */
static void
leave_node(HnswPageGraph *graph, HnswNode node, int level, Buffer buf)
{
	int			place = graph->nkept_pages % HNSW_KEPT_PAGES;

	LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	if (level == 0)
	{
		ReleaseBuffer(buf);
		return;
	}

	if (graph->nkept_pages++ >= HNSW_KEPT_PAGES)
		ReleaseBuffer(graph->kept_pages[place]);
	graph->kept_nodes[place] = node;
	graph->kept_pages[place] = buf;
}

static void
page_release(HnswGraph *base)
{
	HnswPageGraph *graph = (HnswPageGraph *) base;

	for (int i = 0; i < Min(graph->nkept_pages, HNSW_KEPT_PAGES); i++)
		ReleaseBuffer(graph->kept_pages[i]);
	graph->nkept_pages = 0;
	for (int i = 0; i < HNSW_AHEAD_PAGES; i++)
		forget_ahead(graph, i);
}

/*
 * A node and its links are on one page, unless they do not fit: then the links
 * that are elsewhere are read one after the other, with a copy of the code.
 */
static int
page_expand(HnswGraph *base, const AnnQuery *query, int level, HnswCandidate *candidate,
			HnswStep *out)
{
	HnswPageGraph *graph = (HnswPageGraph *) base;
	HnswIndex  *index = graph->index;
	const HnswShape *shape = &index->shape;
	HnswNode	node = candidate->node;
	Buffer		buf = pin_node(graph, node);
	Page		page = BufferGetPage(buf);
	HnswElement element;
	HnswItem	elsewhere[HNSW_MAX_PARTS];
	int			nelsewhere = 0;
	int			n = 0;
	int			places;
	Size		size;
	const void *code;
	void	   *copy = NULL;

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	AnnCheckPage(index->rel, buf, HNSW_PAGE_ITEMS);
	element = HnswGetElement(index, page, node);
	if (element == NULL)
	{
		UnlockReleaseBuffer(buf);
		return -1;
	}

	code = HnswGetCode(index, page, node, element, &size);
	evaluate_element(graph, query, element, code, size, candidate);
	places = HnswPlaces(shape, element->level);
	for (int part = 0; level <= element->level && part < HnswParts(shape, element->level); part++)
	{
		HnswItem	item = HnswElementLinks(shape, element, level, part);

		if (HnswItemBlock(index, item) == HnswItemBlock(index, node))
			n += estimate_neighbours(index, query, page, item, level, places, candidate, code,
									 out + n);
		else if (item != HNSW_NO_ITEM)
			elsewhere[nelsewhere++] = item;
	}
	if (nelsewhere > 0)
	{
		copy = palloc(size);
		memcpy(copy, code, size);
	}
	leave_node(graph, node, level, buf);

	for (int i = 0; i < nelsewhere; i++)
	{
		buf = HnswReadItemPage(index, elsewhere[i], BUFFER_LOCK_SHARE);
		n += estimate_neighbours(index, query, BufferGetPage(buf), elsewhere[i], level, places,
								 candidate, copy, out + n);
		UnlockReleaseBuffer(buf);
	}
	if (nelsewhere > 0)
		pfree(copy);
	return n;
}

/* Cache lines that the CPU is asked for, of a node; what follows it fetches by itself. */
#define PREFETCH_LINES 26

/*
 * Asks storage for a node's page; or if that is in a buffer, pins it if it is known
 * where, and asks the CPU for what will be looked at there.  That a page holds
 * nodes of level 0 one behind the other, as most do, is a guess; if it is wrong,
 * nothing is lost but time.
 */
static bool
page_prefetch(HnswGraph *base, HnswNode node)
{
	HnswPageGraph *graph = (HnswPageGraph *) base;
	HnswIndex  *index = graph->index;
	BlockNumber blkno = HnswItemBlock(index, node);
	Buffer		buf;
	char	   *page;
	char	   *start;

	/* There may be more blocks than we know of; what is damaged is found later. */
	if (blkno >= index->nblocks)
		return false;
	for (int i = 0; i < HNSW_AHEAD_PAGES; i++)
		if (blkno == graph->ahead_blknos[i])
			return false;

	buf = AnnPinRecent(index->rel, blkno);
	if (!BufferIsValid(buf))
	{
		PrefetchBufferResult result = PrefetchBuffer(index->rel, MAIN_FORKNUM, blkno);

		if (!BufferIsValid(result.recent_buffer))
			return result.initiated_io;
		page = (char *) BufferGetBlock(result.recent_buffer);
	}
	else
		page = (char *) BufferGetPage(buf);

	/* The one asked for before is about to be read. */
	graph->last_ahead = (graph->last_ahead + 1) % HNSW_AHEAD_PAGES;
	forget_ahead(graph, graph->last_ahead);
	graph->ahead_pages[graph->last_ahead] = buf;
	graph->ahead_blknos[graph->last_ahead] = blkno;
	AnnPrefetch(page);
	AnnPrefetch(page + BLCKSZ - 1);
	start = page + BLCKSZ - (HnswItemOffset(index, node) + 1) / 2 * graph->node_room;
	for (int i = 0; i < PREFETCH_LINES; i++)
		if (start + i * PG_CACHE_LINE_SIZE / 2 > page)
			AnnPrefetch(start + i * PG_CACHE_LINE_SIZE / 2);
	return false;
}

static const HnswGraphMethods page_methods = {
	.evaluate = page_evaluate,
	.neighbours = page_neighbours,
	.expand = page_expand,
	.prefetch = page_prefetch,
	.release = page_release
};

void
HnswPageGraphInit(HnswPageGraph *graph, HnswIndex *index, Size most)
{
	graph->base.methods = &page_methods;
	graph->base.expands = index->shape.near_size > 0;
	graph->index = index;
	graph->kept = most > 0 ? HnswKept_create(CurrentMemoryContext, 1024, NULL) : NULL;
	graph->kept_size = 0;
	graph->kept_most = most;
	for (int i = 0; i < HNSW_AHEAD_PAGES; i++)
	{
		graph->ahead_pages[i] = InvalidBuffer;
		graph->ahead_blknos[i] = InvalidBlockNumber;
	}
	graph->last_ahead = 0;
	graph->nkept_pages = 0;
	graph->node_room = HnswItemRoom(HnswElementSize(&index->shape, 0, index->shape.code_size)) +
		HnswLinksRoom(&index->shape, 0) - 2 * sizeof(ItemIdData);
}

/*
 * Links
 */

HnswLinks
HnswReadLinks(HnswIndex *index, HnswItem item, HnswNode owner)
{
	Buffer		buf = HnswReadItemPage(index, item, BUFFER_LOCK_SHARE);
	HnswLinks	links = HnswGetLinks(index, BufferGetPage(buf), item);
	HnswLinks	copy = NULL;

	if (links != NULL && links->owner == owner)
	{
		Size		size = HnswLinksSize(&index->shape, links->places);

		copy = palloc(size);
		memcpy(copy, links, size);
	}
	UnlockReleaseBuffer(buf);
	return copy;
}

bool
HnswReplaceLinks(HnswIndex *index, HnswItem item, const HnswLinksData *old,
				 const HnswLinksData *new)
{
	Size		size = HnswLinksSize(&index->shape, old->places);
	Buffer		buf = HnswReadItemPage(index, item, BUFFER_LOCK_EXCLUSIVE);
	HnswLinks	current = HnswGetLinks(index, BufferGetPage(buf), item);
	AnnEdit		edit;

	if (current == NULL || current->owner != old->owner || current->level != old->level ||
		current->places != old->places)
	{
		UnlockReleaseBuffer(buf);
		return true;
	}
	if (memcmp(current, old, size) != 0)
	{
		UnlockReleaseBuffer(buf);
		return false;
	}

	AnnEditBegin(&edit, index->rel, index->build_lock != NULL);
	memcpy(HnswGetLinks(index, AnnEditPage(&edit, buf), item), new, size);
	AnnEditCommit(&edit);
	return true;
}

float *
HnswDecodeHost(const HnswIndex *index, const void *code)
{
	float	   *host;

	if (index->shape.near_size == 0)
		return NULL;
	host = palloc(sizeof(float) * index->space.rotated_dim);
	AnnSpaceDecode(&index->space, code, host);
	return host;
}

void
HnswSetLink(const HnswIndex *index, HnswLinks links, int i, const float *host,
			HnswNode node, const void *code, bool chosen)
{
	HnswLinksView view = HnswViewLinks(links);
	Size		size = index->shape.near_size;

	view.nodes[i] = node;
	HnswSetChosen(&view, i, chosen);
	if (size > 0)
		AnnNearEncode(&index->space, host, code, view.codes + i * size);
}

/* Takes over what other links of the same owner say of a neighbour, if they do. */
static bool
copy_link(const HnswShape *shape, HnswLinks links, int i, const HnswLinksData *before,
		  const HnswChoice *choice)
{
	HnswLinksView to = HnswViewLinks(links);
	HnswLinksView from = HnswViewLinks((HnswLinks) before);
	Size		size = shape->near_size;

	for (int j = 0; j < before->count; j++)
		if (from.nodes[j] == choice->node)
		{
			to.nodes[i] = choice->node;
			HnswSetChosen(&to, i, choice->chosen);
			memcpy(to.codes + i * size, from.codes + j * size, size);
			return true;
		}
	return false;
}

HnswLinks
HnswMakeLinks(const HnswIndex *index, HnswNode owner, int level, int places, const float *host,
			  const HnswChoice *choices, int n, const HnswLinksData *before)
{
	HnswLinks	links = palloc0(HnswLinksSize(&index->shape, places));

	links->kind = HNSW_LINKS;
	links->level = level;
	links->owner = owner;
	links->count = n;
	links->places = places;
	for (int i = 0; i < n; i++)
		if (before == NULL || !copy_link(&index->shape, links, i, before, &choices[i]))
			HnswSetLink(index, links, i, host, choices[i].node, choices[i].code,
						choices[i].chosen);
	return links;
}
