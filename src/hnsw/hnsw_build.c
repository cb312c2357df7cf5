/*
 * hnsw_build.c
 *	  Building an index: README.md section 9.
 *
 * The phases, as PostgreSQL's progress view shows them: loading tuples into the
 * graph in memory (and, should memory run out, into the graph on pages), then
 * writing the graph.
 */
#include "postgres.h"

#include "commands/progress.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "am/am_edit.h"
#include "am/am_sample.h"
#include "hnsw/hnsw.h"

/* A participant's state. */
typedef struct HnswBuildState
{
	HnswIndex	index;
	HnswMemGraph graph;
	AnnQuery	value;			/* the row being added, and its code */
	AnnQuery	code;
} HnswBuildState;

/*
 * Writing the graph to pages
 */

/*
 * The page that is being filled: not in its buffer, for while that is locked
 * nothing can be cancelled.
 */
typedef struct WriterPage
{
	BlockNumber blkno;
	OffsetNumber offset;		/* of the last item */
	Size		room;
	Buffer		buf;			/* pinned; invalid in a dry run */
	PGAlignedBlock contents;
} WriterPage;

/* Where the next item goes; as a dry run, or really. */
typedef struct Writer
{
	HnswIndex  *index;
	bool		dry;
	BlockNumber blkno;			/* of the last page begun */
	WriterPage	nodes;
	WriterPage	links;			/* of those that are not beside their element */
} Writer;

static void
start_writer(Writer *writer, HnswIndex *index, bool dry)
{
	memset(writer, 0, sizeof(Writer));
	writer->index = index;
	writer->dry = dry;
	writer->blkno = ANN_METAPAGE_BLKNO;
}

static void
finish_page(WriterPage *page)
{
	if (BufferIsValid(page->buf))
	{
		LockBuffer(page->buf, BUFFER_LOCK_EXCLUSIVE);
		memcpy(BufferGetPage(page->buf), page->contents.data, BLCKSZ);
		MarkBufferDirty(page->buf);
		UnlockReleaseBuffer(page->buf);
	}
	page->buf = InvalidBuffer;
}

/* Begins a page unless there is so much room, line pointers included. */
static void
need_room(Writer *writer, WriterPage *page, Size room)
{
	if (page->room >= room)
		return;

	finish_page(page);
	page->blkno = ++writer->blkno;
	page->offset = InvalidOffsetNumber;
	page->room = ANN_PAGE_ROOM;
	if (!writer->dry)
	{
		page->buf = AnnExtend(writer->index->rel, MAIN_FORKNUM);
		Assert(BufferGetBlockNumber(page->buf) == page->blkno);
		LockBuffer(page->buf, BUFFER_LOCK_UNLOCK);
		AnnInitPage(page->contents.data, HNSW_PAGE_ITEMS);
	}
}

/* Adds an item, for which there is room; returns its number. */
static HnswItem
write_item(Writer *writer, WriterPage *page, void *item, Size size)
{
	need_room(writer, page, HnswItemRoom(size));
	page->room -= HnswItemRoom(size);
	page->offset++;
	if (!writer->dry &&
		PageAddItem(page->contents.data, (Item) item, size, page->offset,
					false, false) != page->offset)
		elog(ERROR, "could not add an item to block %u of index \"%s\"",
			 page->blkno, RelationGetRelationName(writer->index->rel));
	return HnswItemNumber(writer->index, page->blkno, page->offset);
}

/*
 * Writes the heap TIDs beyond the first, in items that are chained from the
 * last written to the first; returns the number of the last.
 */
static HnswItem
write_postings(Writer *writer, HnswMemory *memory, HnswNode node, int count, HnswNode owner)
{
	int			most = HnswPostingsCapacity(ANN_MAX_ITEM_SIZE);
	ItemPointerData *tids = palloc_extended(sizeof(ItemPointerData) * (Size) count, MCXT_ALLOC_HUGE);
	HnswPostings postings = palloc0(HnswPostingsSize(Max(Min(count, most), HNSW_MIN_POSTINGS)));

	HnswMemGetPostings(memory, node, tids);
	postings->kind = HNSW_POSTINGS;
	postings->next = HNSW_NO_ITEM;
	postings->owner = owner;
	for (int done = 0; done < count; done += postings->count)
	{
		postings->count = Min(count - done, most);
		memcpy(postings->tids, tids + done, sizeof(ItemPointerData) * postings->count);
		postings->next = write_item(writer, &writer->links, postings,
									HnswPostingsSize(Max(postings->count, HNSW_MIN_POSTINGS)));
	}
	pfree(tids);
	owner = postings->next;
	pfree(postings);
	return owner;
}

/*
 * The links of a node that are one part of a level's.  Their contents matter only
 * when they are really written.
 */
static HnswLinks
make_links(Writer *writer, HnswMemory *memory, HnswNode node, int level, int part,
		   const float *host, const HnswNode *numbers)
{
	HnswIndex  *index = writer->index;
	int			parts = HnswParts(&index->shape, level);
	HnswNode	nodes[2 * HNSW_MAX_M];
	bool		chosen[2 * HNSW_MAX_M];
	HnswChoice	choices[2 * HNSW_MAX_M];
	int			count = writer->dry ? 0 : HnswMemGetNeighbours(memory, node, level, nodes, chosen);
	int			n = 0;

	for (int i = part; i < count; i += parts)
	{
		HnswMemNodeInfo info;

		HnswMemGetNode(memory, nodes[i], &info);
		choices[n].node = numbers[nodes[i]];
		choices[n].chosen = chosen[i];
		choices[n++].code = info.code;
	}
	return HnswMakeLinks(index, numbers[node], level, host, choices, n, NULL);
}

/*
 * Writes a node: its further TIDs, its links, and the element.  numbers[] are the
 * item numbers of all nodes; a dry run fills them in.
 */
static void
write_node(Writer *writer, HnswMemory *memory, HnswNode node, HnswNode *numbers)
{
	HnswIndex  *index = writer->index;
	const HnswShape *shape = &index->shape;
	HnswMemNodeInfo info;
	HnswElement element;
	Size		element_size;
	Size		room;
	float	   *host;
	int			beside;
	int			i = 0;

	HnswMemGetNode(memory, node, &info);
	element_size = HnswElementSize(shape, info.level, info.code_size);
	element = palloc0(element_size);
	element->kind = HNSW_ELEMENT;
	element->level = info.level;
	element->postings = HNSW_NO_ITEM;
	element->tid = info.tid;
	memcpy(HnswElementCode(shape, element), info.code, info.code_size);
	if (info.npostings > 0)
		element->postings = write_postings(writer, memory, node, info.npostings, numbers[node]);

	beside = HnswCountBeside(shape, info.level, element_size);
	room = HnswItemRoom(element_size);
	for (int level = 0; level <= info.level; level++)
		for (int part = 0; part < HnswParts(shape, level); part++, i++)
			if (i < beside)
				room += HnswItemRoom(HnswLinksSize(shape, level));
	need_room(writer, &writer->nodes, room);

	host = writer->dry ? NULL : HnswDecodeHost(index, info.code);
	i = 0;
	for (int level = 0; level <= info.level; level++)
		for (int part = 0; part < HnswParts(shape, level); part++, i++)
			element->links[i] = write_item(writer, i < beside ? &writer->nodes : &writer->links,
										   make_links(writer, memory, node, level, part, host, numbers),
										   HnswLinksSize(shape, level));
	numbers[node] = write_item(writer, &writer->nodes, element, element_size);
}

/*
 * The order in which nodes are written.  With codes of neighbours, those of the
 * levels above come first: they are read by all searches, and are larger than
 * the others, of which as many as possible should fit a page.  Else a search
 * reads the page of each neighbour, and neighbours had better share pages: a
 * node's follow it, in the order of a walk of the graph, breadth first.
 */
static HnswNode *
order_nodes(const HnswIndex *index, HnswMemory *memory)
{
	uint32		count = HnswMemCount(memory);
	HnswNode   *order = palloc_extended(sizeof(HnswNode) * Max(count, 1), MCXT_ALLOC_HUGE);
	bool	   *listed;
	uint32		n = 0;
	uint32		next = 0;

	if (index->shape.near_size > 0)
	{
		for (int above = 1; above >= 0; above--)
			for (HnswNode node = 0; node < count; node++)
			{
				HnswMemNodeInfo info;

				HnswMemGetNode(memory, node, &info);
				if ((info.level > 0) == above)
					order[n++] = node;
			}
		return order;
	}

	listed = palloc_extended(Max(count, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (HnswNode start = 0; start < count; start++)
	{
		if (!listed[start])
			order[n++] = start;
		listed[start] = true;
		for (; next < n; next++)
		{
			HnswNode	nodes[2 * HNSW_MAX_M];
			int			neighbours = HnswMemGetNeighbours(memory, order[next], 0, nodes, NULL);

			CHECK_FOR_INTERRUPTS();
			for (int i = 0; i < neighbours; i++)
				if (!listed[nodes[i]])
				{
					listed[nodes[i]] = true;
					order[n++] = nodes[i];
				}
		}
	}
	pfree(listed);
	return order;
}

static void
write_graph(HnswIndex *index, HnswMemory *memory)
{
	uint32		count = HnswMemCount(memory);
	HnswNode   *numbers = palloc_extended(sizeof(HnswNode) * Max(count, 1),
										  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	HnswNode   *order = order_nodes(index, memory);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "hnsw write",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcontext = MemoryContextSwitchTo(context);
	HnswNode	entry;
	int			level;

	for (int dry = 1; dry >= 0; dry--)
	{
		Writer		writer;

		start_writer(&writer, index, dry);
		for (uint32 i = 0; i < count; i++)
		{
			CHECK_FOR_INTERRUPTS();
			write_node(&writer, memory, order[i], numbers);
			MemoryContextReset(context);
		}
		finish_page(&writer.nodes);
		finish_page(&writer.links);
	}

	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
	if (HnswMemEntry(memory, &entry, &level))
		HnswWriteEntry(index, numbers[entry], level);
	pfree(order);
	pfree(numbers);
}

/*
 * Callbacks of the build shell
 */

static void
hnsw_build_init(AnnBuild *build)
{
	HnswIndex	index;

	HnswOpen(&index, build->index);
	HnswMemoryInit(build->area, build->area_size, index.shape.m);
}

static void
hnsw_build_begin(AnnBuild *build)
{
	HnswBuildState *state = palloc(sizeof(HnswBuildState));

	HnswOpen(&state->index, build->index);
	state->index.build_lock = HnswMemoryGraphLock(build->area);
	HnswMemGraphInit(&state->graph, build->area, &state->index.space, &state->index.shape,
					 &state->code, state->index.ef_construction);
	AnnQueryInit(&state->code, &state->index.space);
	build->state = state;
}

/*
 * Memory is full: goes over to pages, for all participants.  No lock is held.
 */
static void
flush(AnnBuild *build)
{
	HnswBuildState *state = build->state;
	bool	   *flushed = HnswMemoryFlushed(build->area);
	bool		ours;

	AnnGateClose(HnswMemoryGate(build->area));
	ours = !*flushed;
	if (ours)
	{
		write_graph(&state->index, build->area);
		*flushed = true;
	}
	AnnGateOpen(HnswMemoryGate(build->area));

	if (ours)
		ereport(NOTICE,
				(errmsg("hnsw graph no longer fits into maintenance_work_mem after %u tuples",
						HnswMemCount(build->area)),
				 errdetail("Building will take significantly more time."),
				 errhint("Increase maintenance_work_mem to speed up builds.")));
}

static bool
hnsw_build_add(AnnBuild *build, Datum value, const ItemPointerData *tid)
{
	HnswBuildState *state = build->state;
	bool		flushed;
	bool		added = false;

	if (!AnnQueryPrepare(&state->value, &state->index.space, value, true))
		return false;

	AnnGateEnter(HnswMemoryGate(build->area));
	flushed = *HnswMemoryFlushed(build->area);
	if (!flushed)
	{
		AnnQuerySetCode(&state->code, state->value.code, state->value.size);
		added = HnswMemInsert(&state->graph, tid);
	}
	AnnGateLeave(HnswMemoryGate(build->area));

	if (!added)
	{
		if (!flushed)
			flush(build);
		HnswInsert(&state->index, &state->value, tid, false);
	}
	return true;
}

static void
hnsw_build_end(AnnBuild *build)
{
	pfree(build->state);
	build->state = NULL;
}

const AnnBuildMethods hnsw_build_methods = {
	.init = hnsw_build_init,
	.begin = hnsw_build_begin,
	.add = hnsw_build_add,
	.end = hnsw_build_end
};

/* All rows are in the graph, and nobody works on it any more. */
static void
finish(AnnBuild *build)
{
	HnswIndex	index;

	if (*HnswMemoryFlushed(build->area))
		return;

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, PROGRESS_HNSW_WRITE);
	HnswOpen(&index, build->index);
	index.build_lock = HnswMemoryGraphLock(build->area);
	write_graph(&index, build->area);
}

/* Rows of the sample that the centre is the mean of. */
#define CENTRE_SAMPLE 1000

typedef struct Mean
{
	AnnSpace	space;
	double	   *sum;			/* of rotated vectors */
	int			count;
} Mean;

static bool
add_to_mean(void *arg, int place, Datum value)
{
	Mean	   *mean = arg;
	AnnQuery	query;

	if (!AnnQueryPrepare(&query, &mean->space, value, false))
		return false;
	for (int i = 0; i < mean->space.rotated_dim; i++)
		mean->sum[i] += query.rotated[i];
	mean->count++;
	return true;
}

/* Takes the mean of the table's vectors for the centre. */
static void
choose_centre(HnswMetaPage meta, Relation heap, Relation rel, IndexInfo *info)
{
	Mean		mean = {.count = 0};
	float	   *centre;

	AnnSpaceOpen(&mean.space, rel, meta->dim, meta->bits, 0);

	/* Inner products are not what they were, measured from elsewhere. */
	if (meta->bits == 0 || mean.space.metric->form == ANN_FORM_IP)
		return;

	mean.sum = palloc0(sizeof(double) * mean.space.rotated_dim);
	AnnSample(heap, rel, info, CENTRE_SAMPLE, ann_seed, add_to_mean, &mean);
	if (mean.count == 0)
		return;

	centre = palloc(sizeof(float) * mean.space.rotated_dim);
	for (int i = 0; i < mean.space.rotated_dim; i++)
		centre[i] = mean.sum[i] / mean.count;
	HnswSetCentre(meta, &mean.space, centre);
}

IndexBuildResult *
hnswbuild(Relation heap, Relation rel, IndexInfo *info)
{
	AnnBuild	build = {0};
	HnswMetaPage meta = HnswMakeMeta(rel);
	HnswIndex	index;
	IndexBuildResult *result;
	double		tuples = AnnBuildEstimateTuples(heap);
	Size		size;

	choose_centre(meta, heap, rel, info);
	HnswCreateMetaPage(rel, MAIN_FORKNUM, meta);

	/* What was cached is that of the index before a TRUNCATE. */
	if (rel->rd_amcache != NULL)
		pfree(rel->rd_amcache);
	rel->rd_amcache = NULL;
	HnswOpen(&index, rel);

	build.heap = heap;
	build.index = rel;
	build.info = info;

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, PROGRESS_HNSW_LOAD);

	/* The number of rows is an estimate, and levels are drawn. */
	size = HnswMemorySize(&index.space, index.shape.m, tuples * 1.5 + 1000);
	result = AnnBuildRun(&build, tuples, size, finish);
	AnnEditLogBuild(rel, MAIN_FORKNUM);
	return result;
}

void
hnswbuildempty(Relation rel)
{
	HnswCreateMetaPage(rel, INIT_FORKNUM, HnswMakeMeta(rel));
	AnnEditLogBuild(rel, INIT_FORKNUM);
}
