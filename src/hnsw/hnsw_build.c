/*
 * hnsw_build.c
 *	  Building an index: README.md section 9.
 *
 * The phases, as PostgreSQL's progress view shows them: loading tuples into the
 * graph in memory (and, should memory run out, into the graph on pages), then
 * writing the graph.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/index.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "am/am_edit.h"
#include "am/am_sample.h"
#include "hnsw/hnsw.h"

/* Nodes written between two reports of progress. */
#define PROGRESS_INTERVAL 1024

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

/* The page that is being filled, and then copied to its buffer. */
typedef struct WriterPage
{
	BlockNumber blkno;
	OffsetNumber offset;		/* of the last item */
	Size		room;
	bool		ours;			/* is to be written */
	PGAlignedBlock contents;
} WriterPage;

/*
 * Puts items on pages.  All participants of a build do this alike, so that each
 * knows where everything goes; of the pages each writes its share.
 */
typedef struct Writer
{
	HnswIndex  *index;
	int			number;			/* of the participant; -1: writes nothing */
	int			participants;
	BlockNumber blkno;			/* of the last page begun */
	WriterPage	nodes;
	WriterPage	links;			/* of those that are not beside their element */
} Writer;

/* Pages in a row that one participant writes. */
#define SHARE 16

static void
start_writer(Writer *writer, HnswIndex *index, BlockNumber base, int number, int participants)
{
	memset(writer, 0, sizeof(Writer));
	writer->index = index;
	writer->number = number;
	writer->participants = participants;
	writer->blkno = base;
}

static void
finish_page(Writer *writer, WriterPage *page)
{
	Buffer		buf;

	if (!page->ours)
		return;
	buf = ReadBufferExtended(writer->index->rel, MAIN_FORKNUM, page->blkno, RBM_ZERO_AND_LOCK, NULL);
	memcpy(BufferGetPage(buf), page->contents.data, BLCKSZ);
	MarkBufferDirty(buf);
	UnlockReleaseBuffer(buf);
	page->ours = false;
}

/*
 * Begins a page unless there is so much room, line pointers included.  Returns
 * whether what comes next is to be written.
 */
static bool
need_room(Writer *writer, WriterPage *page, Size room)
{
	if (page->room >= room)
		return page->ours;

	finish_page(writer, page);
	page->blkno = ++writer->blkno;
	page->offset = InvalidOffsetNumber;
	page->room = ANN_PAGE_ROOM;
	page->ours = page->blkno / SHARE % writer->participants == writer->number;
	if (page->ours)
		AnnInitPage(page->contents.data, HNSW_PAGE_ITEMS);
	return page->ours;
}

/*
 * Adds an item, for which there is room, and which may be NULL if it is not to be
 * written; returns its number.
 */
static HnswItem
write_item(Writer *writer, WriterPage *page, void *item, Size size)
{
	bool		ours = need_room(writer, page, HnswItemRoom(size));

	page->room -= HnswItemRoom(size);
	page->offset++;
	if (ours &&
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

/* The links of a node that are one part of a level's. */
static HnswLinks
make_links(HnswIndex *index, HnswMemory *memory, HnswNode node, const HnswMemNodeInfo *owner,
		   int level, int part, const float *host)
{
	int			parts = HnswParts(&index->shape, owner->level);
	HnswNode	nodes[2 * HNSW_MAX_M];
	bool		chosen[2 * HNSW_MAX_M];
	HnswChoice	choices[2 * HNSW_MAX_M];
	int			count = HnswMemGetNeighbours(memory, node, level, nodes, chosen);
	int			n = 0;

	for (int i = part; i < count; i += parts)
	{
		HnswMemNodeInfo info;

		HnswMemGetNode(memory, nodes[i], &info);
		choices[n].node = info.number;
		choices[n].chosen = chosen[i];
		choices[n++].code = info.code;
	}
	return HnswMakeLinks(index, owner->number, level, HnswPlaces(&index->shape, owner->level), host,
						 choices, n, NULL);
}

/*
 * Writes a node: its further TIDs, its links, and the element.  Returns the number
 * that it gets on pages; its own and those of others must be known when it is
 * really written.
 */
static HnswNode
write_node(Writer *writer, HnswMemory *memory, HnswNode node)
{
	HnswIndex  *index = writer->index;
	const HnswShape *shape = &index->shape;
	HnswMemNodeInfo info;
	HnswElement element;
	Size		element_size;
	Size		links_size;
	float	   *host = NULL;
	int			beside;
	int			parts;

	HnswMemGetNode(memory, node, &info);
	element_size = HnswElementSize(shape, info.level, info.code_size);
	element = palloc0(element_size);
	element->kind = HNSW_ELEMENT;
	element->level = info.level;
	element->postings = HNSW_NO_ITEM;
	element->tid = info.tid;
	memcpy(HnswElementCode(shape, element), info.code, info.code_size);
	HnswSetElementValue(shape, element, info.value);
	if (info.npostings > 0)
		element->postings = write_postings(writer, memory, node, info.npostings, info.number);

	beside = HnswCountBeside(shape, info.level, element_size);
	parts = HnswParts(shape, info.level);
	links_size = HnswLinksSize(shape, HnswPlaces(shape, info.level));
	need_room(writer, &writer->nodes, HnswItemRoom(element_size) + beside * HnswItemRoom(links_size));

	for (int i = 0; i < HnswCountLinks(shape, info.level); i++)
	{
		WriterPage *page = i < beside ? &writer->nodes : &writer->links;
		HnswLinks	links = NULL;

		if (need_room(writer, page, HnswItemRoom(links_size)))
		{
			if (host == NULL)
				host = HnswDecodeHost(index, info.code);
			links = make_links(index, memory, node, &info, i / parts, i % parts, host);
		}
		element->links[i] = write_item(writer, page, links, links_size);
	}
	return write_item(writer, &writer->nodes, element, element_size);
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

/* Gives a participant's share of the values to the nodes, whose numbers are known. */
static void
own_values(HnswIndex *index, HnswMemory *memory, int number, int participants)
{
	uint64		count = HnswMemCount(memory);
	HnswNode	end = count * (number + 1) / participants;

	for (HnswNode node = count * number / participants; node < end; node++)
	{
		HnswMemNodeInfo info;
		AnnPlace	place;

		CHECK_FOR_INTERRUPTS();
		HnswMemGetNode(memory, node, &info);
		place = HnswValuePlace(index, info.value, info.number);
		AnnStoreOwn(&index->store, &place);
	}
}

/*
 * Writes the share of a participant; or if its number is -1, says where all nodes
 * go.  Returns the number of the last block.  Tells of progress only if that is a
 * phase of its own.
 */
static BlockNumber
write_share(HnswIndex *index, HnswMemory *memory, int number, int participants, bool phase)
{
	uint32		count = HnswMemCount(memory);
	HnswNode   *order = order_nodes(index, memory);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "hnsw write",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcontext = MemoryContextSwitchTo(context);
	Writer		writer;

	start_writer(&writer, index, *HnswMemoryBase(memory), number, participants);
	for (uint32 i = 0; i < count; i++)
	{
		HnswNode	place = write_node(&writer, memory, order[i]);

		CHECK_FOR_INTERRUPTS();
		if (number < 0)
			HnswMemSetNumber(memory, order[i], place);
		MemoryContextReset(context);
		if (phase && i % PROGRESS_INTERVAL == 0)
			AnnBuildProgress(number < 0 ? i : (double) count + i);
	}
	finish_page(&writer, &writer.nodes);
	finish_page(&writer, &writer.links);

	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
	pfree(order);
	if (index->shape.stored && number >= 0)
		own_values(index, memory, number, participants);
	return writer.blkno;
}

/* Finishes the graph, finds a place for all nodes, and makes the pages. */
static void
place_graph(HnswIndex *index, HnswMemory *memory, bool phase)
{
	BlockNumber last;
	HnswNode	entry;
	int			level;

	HnswMemFinish(memory);
	*HnswMemoryBase(memory) = RelationGetNumberOfBlocks(index->rel) - 1;
	last = write_share(index, memory, -1, 1, phase);
	while (RelationGetNumberOfBlocks(index->rel) <= last)
	{
		CHECK_FOR_INTERRUPTS();
		UnlockReleaseBuffer(AnnExtend(index->rel, MAIN_FORKNUM));
	}

	if (HnswMemEntry(memory, &entry, &level))
	{
		HnswMemNodeInfo info;

		HnswMemGetNode(memory, entry, &info);
		HnswWriteEntry(index, info.number, level);
	}
}

/*
 * Callbacks of the build shell
 */

static void
hnsw_build_init(AnnBuild *build)
{
	HnswIndex	index;

	HnswOpen(&index, build->index);
	HnswMemoryInit(build->area, build->area_size, &index.shape);
}

/* Opens the index for a participant. */
static void
open_to_write(AnnBuild *build, HnswIndex *index)
{
	HnswOpen(index, build->index);
	index->build_lock = HnswMemoryGraphLock(build->area);
	index->store.building = true;
}

static void
hnsw_build_begin(AnnBuild *build)
{
	HnswBuildState *state = palloc(sizeof(HnswBuildState));

	open_to_write(build, &state->index);
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
		place_graph(&state->index, build->area, false);
		write_share(&state->index, build->area, 0, 1, false);
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

/* Adds a row to the graph in memory; false if that is full. */
static bool
add_to_memory(AnnBuild *build, const ItemPointerData *tid)
{
	HnswBuildState *state = build->state;
	ItemPointerData nobody;
	ItemPointerData place;
	HnswNode	node;

	AnnQuerySetCode(&state->code, state->value.code, state->value.size);
	if (!HnswMemInsert(&state->graph, tid, &node))
		return false;

	if (state->index.shape.stored && node != HNSW_NO_ITEM)
	{
		ItemPointerSetInvalid(&nobody);
		AnnStorePut(&state->index.store, &state->value, &nobody, &place);
		HnswMemSetValue(build->area, node, HnswPlaceItem(&state->index, &place));
	}
	return true;
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
		added = add_to_memory(build, tid);
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

static void
hnsw_build_finish(AnnBuild *build)
{
	HnswIndex	index;

	if (*HnswMemoryFlushed(build->area))
		return;

	AnnBuildPhase(PROGRESS_HNSW_WRITE, 2.0 * HnswMemCount(build->area));
	open_to_write(build, &index);
	place_graph(&index, build->area, true);
}

static void
hnsw_build_write(AnnBuild *build)
{
	HnswIndex	index;

	if (*HnswMemoryFlushed(build->area))
		return;

	open_to_write(build, &index);
	write_share(&index, build->area, build->number, build->participants, true);
}

const AnnBuildMethods hnsw_build_methods = {
	.init = hnsw_build_init,
	.begin = hnsw_build_begin,
	.add = hnsw_build_add,
	.end = hnsw_build_end,
	.finish = hnsw_build_finish,
	.write = hnsw_build_write
};

/* Rows of the sample that the centre is the mean of. */
#define CENTRE_SAMPLE 1000

/* Rows of the sample that the size of codes is measured of. */
#define CODE_SAMPLE 200

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

typedef struct CodeSizes
{
	const AnnSpace *space;
	double		sum;
	int			count;
} CodeSizes;

static bool
add_code_size(void *arg, int place, Datum value)
{
	CodeSizes  *sizes = arg;
	AnnQuery	query;

	if (!AnnQueryPrepare(&query, sizes->space, value, false))
		return false;
	sizes->sum += query.size;
	sizes->count++;
	return true;
}

/* The size of a code, where they differ on average. */
static Size
mean_code_size(Relation heap, Relation rel, IndexInfo *info, const AnnSpace *space)
{
	CodeSizes	sizes = {.space = space};

	if (space->code_size > 0)
		return space->code_size;
	AnnSample(heap, rel, info, CODE_SAMPLE, ann_seed, add_code_size, &sizes);
	return sizes.count > 0 ? (Size) ceil(sizes.sum / sizes.count) : ANN_MAX_CODE_SIZE;
}

/* Warns early if maintenance_work_mem is not what it takes. */
static void
warn_of_memory(double tuples, Size needed)
{
	if (needed <= (Size) maintenance_work_mem * 1024)
		return;
	ereport(NOTICE,
			(errmsg("hnsw graph will not fit into maintenance_work_mem"),
			 errdetail("About %.0f tuples take %zu MB, maintenance_work_mem is %d MB. Building will take significantly more time.",
					   tuples, needed / (1024 * 1024) + 1, maintenance_work_mem / 1024),
			 errhint("Set maintenance_work_mem to \"%zuMB\" to speed up the build.",
					 needed / 10 * 11 / (1024 * 1024) + 1)));
}

IndexBuildResult *
hnswbuild(Relation heap, Relation rel, IndexInfo *info)
{
	AnnBuild	build = {0};
	HnswMetaPage meta = HnswMakeMeta(rel);
	HnswIndex	index;
	IndexBuildResult *result;
	Size		code_size;
	double		tuples = AnnCountRows(heap, rel, info);
	Size		size;

	choose_centre(meta, heap, rel, info);
	HnswCreateMetaPage(rel, MAIN_FORKNUM, meta);

	/* What was cached is that of the index before a TRUNCATE. */
	AnnForgetCache(rel);
	HnswOpen(&index, rel);

	build.heap = heap;
	build.index = rel;
	build.info = info;

	code_size = mean_code_size(heap, rel, info, &index.space);
	warn_of_memory(tuples, HnswMemorySize(code_size, &index.shape, tuples));

	/* The number of rows is an estimate, and levels are drawn. */
	size = HnswMemorySize(code_size, &index.shape, tuples * 1.5 + 1000);
	result = AnnBuildRun(&build, PROGRESS_HNSW_LOAD, tuples, size);
	AnnEditLogBuild(rel, MAIN_FORKNUM);
	return result;
}

void
hnswbuildempty(Relation rel)
{
	HnswCreateMetaPage(rel, INIT_FORKNUM, HnswMakeMeta(rel));
	AnnEditLogBuild(rel, INIT_FORKNUM);
}

/*
 * A row is added by searching the graph as it is by then, which takes the longer
 * the more levels it has.  The form is a fit to measured builds.
 */
void
HnswEstimate(Relation heap, Relation rel, AnnEstimate *estimate)
{
	HnswIndex	index;
	Size		code_size;

	HnswOpen(&index, rel);
	code_size = mean_code_size(heap, rel, BuildIndexInfo(rel), &index.space);
	estimate->memory = HnswMemorySize(code_size, &index.shape, estimate->rows);
	estimate->pages = 1 + estimate->rows;
	estimate->shared_work = estimate->rows * (5 + log(Max(estimate->rows, 1)));
	estimate->work = 0;
}
