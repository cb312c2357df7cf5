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
#include "hnsw/hnsw.h"

/* A participant's state. */
typedef struct HnswBuildState
{
	HnswIndex	index;
	HnswMemGraph graph;
	AnnQuery	value;			/* the row being added */
} HnswBuildState;

/*
 * Writing the graph to pages
 */

/* Where the next item goes; as a dry run, or really. */
typedef struct Writer
{
	HnswIndex  *index;
	bool		dry;
	BlockNumber blkno;
	OffsetNumber offset;		/* of the last item */
	Size		room;
	Buffer		buf;
} Writer;

static void
start_writer(Writer *writer, HnswIndex *index, bool dry)
{
	writer->index = index;
	writer->dry = dry;
	writer->blkno = ANN_METAPAGE_BLKNO;
	writer->offset = InvalidOffsetNumber;
	writer->room = 0;
	writer->buf = InvalidBuffer;
}

static void
finish_page(Writer *writer)
{
	if (BufferIsValid(writer->buf))
	{
		MarkBufferDirty(writer->buf);
		UnlockReleaseBuffer(writer->buf);
	}
	writer->buf = InvalidBuffer;
}

/* Begins a page unless there is so much room, line pointers included. */
static void
need_room(Writer *writer, Size room)
{
	if (writer->room >= room)
		return;

	finish_page(writer);
	writer->blkno++;
	writer->offset = InvalidOffsetNumber;
	writer->room = ANN_PAGE_ROOM;
	if (!writer->dry)
	{
		CHECK_FOR_INTERRUPTS();
		writer->buf = AnnExtend(writer->index->rel, MAIN_FORKNUM);
		Assert(BufferGetBlockNumber(writer->buf) == writer->blkno);
		AnnInitPage(BufferGetPage(writer->buf), HNSW_PAGE_ITEMS);
	}
}

/* Adds an item, for which there is room; returns its number. */
static HnswItem
write_item(Writer *writer, void *item, Size size)
{
	need_room(writer, MAXALIGN(size) + sizeof(ItemIdData));
	writer->room -= MAXALIGN(size) + sizeof(ItemIdData);
	writer->offset++;
	if (!writer->dry &&
		PageAddItem(BufferGetPage(writer->buf), (Item) item, size, writer->offset,
					false, false) != writer->offset)
		elog(ERROR, "could not add an item to block %u of index \"%s\"",
			 writer->blkno, RelationGetRelationName(writer->index->rel));
	return HnswItemNumber(writer->index, writer->blkno, writer->offset);
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
		postings->next = write_item(writer, postings,
									HnswPostingsSize(Max(postings->count, HNSW_MIN_POSTINGS)));
	}
	pfree(tids);
	owner = postings->next;
	pfree(postings);
	return owner;
}

/*
 * Writes a node: first its further TIDs, then links and element, together if
 * they fit a page.  numbers[] are the item numbers of all nodes; a dry run fills
 * them in.
 */
static void
write_node(Writer *writer, HnswMemory *memory, HnswNode node, HnswNode *numbers)
{
	HnswIndex  *index = writer->index;
	HnswMemNodeInfo info;
	HnswElement element;
	HnswLinks	links;
	Size		element_size;
	Size		links_size;
	Size		both;
	HnswItem	postings = HNSW_NO_ITEM;
	HnswItem	item;

	HnswMemGetNode(memory, node, &info);
	if (info.npostings > 0)
		postings = write_postings(writer, memory, node, info.npostings, numbers[node]);

	links_size = HnswLinksSize(index->m, info.level);
	links = palloc0(links_size);
	links->kind = HNSW_LINKS;
	links->level = info.level;
	links->owner = numbers[node];
	memset(links->nodes, 0xFF, links_size - offsetof(HnswLinksData, nodes));
	for (int level = 0; level <= info.level && !writer->dry; level++)
	{
		HnswNode   *list = links->nodes + HnswLinksStart(index->m, level);
		int			n = HnswMemGetNeighbours(memory, node, level, list);

		for (int i = 0; i < n; i++)
			list[i] = numbers[list[i]];
	}

	element_size = HnswElementSize(info.code_size);
	both = MAXALIGN(element_size) + MAXALIGN(links_size) + 2 * sizeof(ItemIdData);
	if (both <= ANN_PAGE_ROOM)
		need_room(writer, both);
	item = write_item(writer, links, links_size);

	element = palloc0(element_size);
	element->kind = HNSW_ELEMENT;
	element->level = info.level;
	element->links = item;
	element->postings = postings;
	element->tid = info.tid;
	memcpy(element->code, info.code, info.code_size);
	numbers[node] = write_item(writer, element, element_size);
	pfree(element);
	pfree(links);
}

static void
write_graph(HnswIndex *index, HnswMemory *memory)
{
	uint32		count = HnswMemCount(memory);
	HnswNode   *numbers = palloc_extended(sizeof(HnswNode) * Max(count, 1),
										  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	HnswNode	entry;
	int			level;

	for (int dry = 1; dry >= 0; dry--)
	{
		Writer		writer;

		start_writer(&writer, index, dry);
		for (HnswNode node = 0; node < count; node++)
			write_node(&writer, memory, node, numbers);
		finish_page(&writer);
	}

	if (HnswMemEntry(memory, &entry, &level))
		HnswWriteEntry(index, numbers[entry], level);
	pfree(numbers);
}

/*
 * Callbacks of the build shell
 */

static void
hnsw_build_init(AnnBuild *build)
{
	int			m;
	int			ef_construction;

	HnswGetOptions(build->index, &m, &ef_construction);
	HnswMemoryInit(build->area, build->area_size, m);
}

static void
hnsw_build_begin(AnnBuild *build)
{
	HnswBuildState *state = palloc(sizeof(HnswBuildState));

	HnswOpen(&state->index, build->index);
	state->index.build_lock = HnswMemoryGraphLock(build->area);
	HnswMemGraphInit(&state->graph, build->area, &state->index.space, &state->value,
					 state->index.m, state->index.ef_construction);
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

	LWLockAcquire(HnswMemoryFlushLock(build->area), LW_EXCLUSIVE);
	ours = !*flushed;
	if (ours)
	{
		write_graph(&state->index, build->area);
		*flushed = true;
	}
	LWLockRelease(HnswMemoryFlushLock(build->area));

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

	LWLockAcquire(HnswMemoryFlushLock(build->area), LW_SHARED);
	flushed = *HnswMemoryFlushed(build->area);
	if (!flushed)
		added = HnswMemInsert(&state->graph, tid);
	LWLockRelease(HnswMemoryFlushLock(build->area));

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

IndexBuildResult *
hnswbuild(Relation heap, Relation rel, IndexInfo *info)
{
	AnnBuild	build = {0};
	HnswMetaPageData meta;
	AnnSpace	space;
	IndexBuildResult *result;
	double		tuples = AnnBuildEstimateTuples(heap);
	int			m;
	int			ef_construction;

	HnswGetOptions(rel, &m, &ef_construction);
	AnnSpaceCreate(&space, rel);
	AnnSpaceSetBits(&space, rel, 0);
	HnswMakeMeta(&meta, &space, m, ef_construction);
	HnswCreateMetaPage(rel, MAIN_FORKNUM, &meta);

	/* What was cached is that of the index before a TRUNCATE. */
	if (rel->rd_amcache != NULL)
		pfree(rel->rd_amcache);
	rel->rd_amcache = NULL;

	build.heap = heap;
	build.index = rel;
	build.info = info;

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, PROGRESS_HNSW_LOAD);

	/* The number of rows is an estimate, and levels are drawn. */
	result = AnnBuildRun(&build, tuples, HnswMemorySize(&space, m, tuples * 1.5 + 1000), finish);
	AnnEditLogBuild(rel, MAIN_FORKNUM);
	return result;
}

void
hnswbuildempty(Relation rel)
{
	HnswMetaPageData meta;
	AnnSpace	space;
	int			m;
	int			ef_construction;

	HnswGetOptions(rel, &m, &ef_construction);
	AnnSpaceCreate(&space, rel);
	AnnSpaceSetBits(&space, rel, 0);
	HnswMakeMeta(&meta, &space, m, ef_construction);
	HnswCreateMetaPage(rel, INIT_FORKNUM, &meta);
	AnnEditLogBuild(rel, INIT_FORKNUM);
}
