/*
 * lsh_build.c
 *	  Building an index: README.md section 9.
 *
 * Rows are hashed and coded as they are read, and sorted by table and place;
 * then the tables are written one after the other.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplesort.h"

#include "am/am_sample.h"
#include "compat.h"
#include "lsh/lsh.h"

/* Rows of the sample. */
#define SAMPLE_ROWS 2000

/*
 * The work of calibrating with one query, in one dimension, in units of adding a
 * row to a table: a fit to measured builds.
 */
#define CALIBRATE_WORK 8192.0

/* What a row takes in a sort, beside itself. */
#define SORT_OVERHEAD 88

/* Rows written between two reports of progress. */
#define PROGRESS_INTERVAL 1024

/*
 * Sorting
 */

/* The area of a build. */
typedef struct LshBuildArea
{
	int			participants;
	char		sort[FLEXIBLE_ARRAY_MEMBER];	/* Sharedsort */
} LshBuildArea;

#define AREA_SORT_OFFSET MAXALIGN(offsetof(LshBuildArea, sort))

static Sharedsort *
area_sort(void *area)
{
	return (Sharedsort *) ((char *) area + AREA_SORT_OFFSET);
}

/* What is sorted: table and key, then heap TID, both as numbers; and the row. */
static TupleDesc
sorted_desc(void)
{
	TupleDesc	desc = CreateTemplateTupleDesc(3);

	TupleDescInitEntry(desc, 1, "key", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 2, "tid", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 3, "row", BYTEAOID, -1, 0);
	AnnTupleDescFinalize(desc);
	return desc;
}

static Tuplesortstate *
begin_sort(int memory, SortCoordinate coordinate)
{
	AttrNumber	attributes[] = {1, 2};
	Oid			operators[] = {Int8LessOperator, Int8LessOperator};
	Oid			collations[] = {InvalidOid, InvalidOid};
	bool		nulls_first[] = {false, false};

	return tuplesort_begin_heap(sorted_desc(), 2, attributes, operators, collations, nulls_first,
								memory, coordinate, TUPLESORT_NONE);
}

static int64
sorted_key(int table, const LshPlace *place)
{
	return (int64) table << 32 | place->key;
}

static int64
sorted_tid(const LshPlace *place)
{
	return (int64) ItemPointerGetBlockNumber(&place->tid) << 16 |
		ItemPointerGetOffsetNumber(&place->tid);
}

/*
 * Callbacks of the build shell
 */

typedef struct LshBuildState
{
	LshIndex	index;
	Tuplesortstate *sort;
	TupleTableSlot *slot;
} LshBuildState;

static void
lsh_build_init(AnnBuild *build)
{
	((LshBuildArea *) build->area)->participants = build->participants;
	if (build->segment != NULL)
		tuplesort_initialize_shared(area_sort(build->area), build->participants, build->segment);
}

static void
lsh_build_begin(AnnBuild *build)
{
	LshBuildState *state = palloc(sizeof(LshBuildState));
	int			memory = maintenance_work_mem / ((LshBuildArea *) build->area)->participants;
	SortCoordinate coordinate = NULL;

	if (build->segment != NULL)
	{
		coordinate = palloc0(sizeof(SortCoordinateData));
		coordinate->isWorker = true;
		coordinate->nParticipants = -1;
		coordinate->sharedsort = area_sort(build->area);
		if (IsParallelWorker())
			tuplesort_attach_shared(coordinate->sharedsort, build->segment);
	}

	LshOpen(&state->index, build->index);
	state->sort = begin_sort(memory, coordinate);
	state->slot = MakeSingleTupleTableSlot(sorted_desc(), &TTSOpsVirtual);
	build->state = state;
}

static bool
lsh_build_add(AnnBuild *build, Datum value, const ItemPointerData *tid)
{
	LshBuildState *state = build->state;
	LshIndex   *index = &state->index;
	TupleTableSlot *slot = state->slot;
	uint32		keys[LSH_MAX_TABLES];
	LshRow		row;
	bytea	   *bytes;

	if (!LshPrepareRow(index, value, &row, keys))
		return false;

	row->place.tid = *tid;
	bytes = palloc(VARHDRSZ + index->row_size);
	SET_VARSIZE(bytes, VARHDRSZ + index->row_size);
	for (int table = 0; table < index->hash.tables; table++)
	{
		row->place.key = keys[table];
		memcpy(VARDATA(bytes), row, index->row_size);

		ExecClearTuple(slot);
		memset(slot->tts_isnull, 0, 3 * sizeof(bool));
		slot->tts_values[0] = Int64GetDatum(sorted_key(table, &row->place));
		slot->tts_values[1] = Int64GetDatum(sorted_tid(&row->place));
		slot->tts_values[2] = PointerGetDatum(bytes);
		ExecStoreVirtualTuple(slot);
		tuplesort_puttupleslot(state->sort, slot);
	}
	return true;
}

static void
lsh_build_end(AnnBuild *build)
{
	LshBuildState *state = build->state;

	ExecDropSingleTupleTableSlot(state->slot);

	/* Without workers, the sort goes on in finish. */
	if (build->segment == NULL)
		return;
	tuplesort_performsort(state->sort);
	tuplesort_end(state->sort);
}

/*
 * Writing
 */

/* The nodes of a level of a table, being written from left to right. */
typedef struct Writer
{
	LshIndex   *index;
	int			table;
	int			level;
	Buffer		buf;			/* the last one */
	int			count;			/* of its entries */
	LshDownlink *nodes;			/* all of them */
	int			nnodes;
	int			capacity;
} Writer;

static void
note_node(Writer *writer, const LshPlace *low)
{
	if (writer->nnodes == writer->capacity)
	{
		writer->capacity *= 2;
		writer->nodes = repalloc_huge(writer->nodes, sizeof(LshDownlink) * (Size) writer->capacity);
	}
	writer->nodes[writer->nnodes].low = *low;
	writer->nodes[writer->nnodes].low.error = 0;
	writer->nodes[writer->nnodes].child = BufferGetBlockNumber(writer->buf);
	writer->nnodes++;
	writer->count = 0;
}

/* Begins a level with a node that is locked. */
static void
begin_level(Writer *writer, LshIndex *index, int table, int level, Buffer buf)
{
	LshPlace	low = LshFirstPlace(0);

	writer->index = index;
	writer->table = table;
	writer->level = level;
	writer->buf = buf;
	writer->capacity = 64;
	writer->nnodes = 0;
	writer->nodes = palloc(sizeof(LshDownlink) * writer->capacity);
	LshInitNode(BufferGetPage(buf), table, level, &low);
	note_node(writer, &low);
}

static void
end_level(Writer *writer)
{
	MarkBufferDirty(writer->buf);
	UnlockReleaseBuffer(writer->buf);
}

static void
next_node(Writer *writer, const LshPlace *low)
{
	Buffer		buf = AnnExtend(writer->index->rel, MAIN_FORKNUM);
	LshNode		left = LshPageNode(BufferGetPage(writer->buf));

	LshInitNode(BufferGetPage(buf), writer->table, writer->level, low);
	left->right = BufferGetBlockNumber(buf);
	left->high = LshPageNode(BufferGetPage(buf))->low;
	end_level(writer);
	writer->buf = buf;
	note_node(writer, low);

	/* Who holds a lock cannot be interrupted. */
	LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	CHECK_FOR_INTERRUPTS();
	LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
}

/* Writes an entry, which begins with its place. */
static void
write_entry(Writer *writer, const void *entry)
{
	Page		page = BufferGetPage(writer->buf);
	LshNode		node = LshPageNode(page);
	Size		entry_size = LshEntrySize(writer->index, node);

	if (writer->count >= Max(LSH_FILL * LshNodeCapacity(writer->index, node), 1))
	{
		next_node(writer, entry);
		page = BufferGetPage(writer->buf);
		node = LshPageNode(page);
	}
	memcpy(LshNodeEntry(node, entry_size, writer->count), entry, entry_size);
	LshPageSetCount(page, entry_size, ++writer->count);
}

/* Puts levels on top of the leaves, the last of which is the root. */
static void
write_upper_levels(Writer *leaves)
{
	Writer		below = *leaves;
	int			most = LSH_FILL * LSH_MAX_ENTRIES;

	for (;;)
	{
		bool		root = below.nnodes <= most;
		Buffer		buf = root ? ReadBuffer(below.index->rel, LshRoot(below.table)) :
			AnnExtend(below.index->rel, MAIN_FORKNUM);
		Writer		writer;

		if (root)
			LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
		begin_level(&writer, below.index, below.table, below.level + 1, buf);
		for (int i = 0; i < below.nnodes; i++)
			write_entry(&writer, &below.nodes[i]);
		end_level(&writer);
		pfree(below.nodes);
		below = writer;
		if (root)
			break;
	}
	pfree(below.nodes);
}

static void
begin_table(Writer *writer, LshIndex *index, int table)
{
	Buffer		buf = ReadBuffer(index->rel, LshRoot(table) + 1);

	LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
	begin_level(writer, index, table, 0, buf);
}

static void
end_table(Writer *writer)
{
	end_level(writer);
	write_upper_levels(writer);
}

static void
write_tables(LshIndex *index, Tuplesortstate *sort)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(sorted_desc(), &TTSOpsMinimalTuple);
	void	   *row = palloc(index->row_size);
	int			table = 0;
	int64		written = 0;
	Writer		writer;

	begin_table(&writer, index, table);
	while (tuplesort_gettupleslot(sort, true, false, slot, NULL))
	{
		bool		isnull;
		int			next = DatumGetInt64(slot_getattr(slot, 1, &isnull)) >> 32;

		while (table < next)
		{
			end_table(&writer);
			begin_table(&writer, index, ++table);
		}

		/* In the tuple it may lie anywhere. */
		memcpy(row, VARDATA_ANY(DatumGetPointer(slot_getattr(slot, 3, &isnull))), index->row_size);
		write_entry(&writer, row);
		if (++written % PROGRESS_INTERVAL == 0)
			AnnBuildProgress(written);
	}
	end_table(&writer);
	pfree(row);
	ExecDropSingleTupleTableSlot(slot);
}

/* All rows have been sorted, or by each participant its own. */
static void
finish(AnnBuild *build)
{
	LshBuildState *state = build->state;
	Tuplesortstate *sort = state->sort;
	LshIndex	index;

	LshOpen(&index, build->index);
	AnnBuildPhase(PROGRESS_LSH_WRITE, build->total * index.hash.tables);
	if (build->segment != NULL)
	{
		SortCoordinate coordinate = palloc0(sizeof(SortCoordinateData));

		coordinate->isWorker = false;
		coordinate->nParticipants = build->participants;
		coordinate->sharedsort = area_sort(build->area);
		sort = begin_sort(maintenance_work_mem, coordinate);
	}
	tuplesort_performsort(sort);
	write_tables(&index, sort);
	tuplesort_end(sort);
}

const AnnBuildMethods lsh_build_methods = {
	.init = lsh_build_init,
	.begin = lsh_build_begin,
	.add = lsh_build_add,
	.end = lsh_build_end,
	.finish = finish
};

/*
 * The sample
 */

static bool
add_to_sample(void *arg, int place, Datum value)
{
	LshSample  *sample = arg;
	AnnQuery	query;
	MemoryContext oldcontext;

	if (!AnnQueryPrepare(&query, &sample->space, value, false))
		return false;

	sample->count++;
	if (sample->space.bits > 0)
	{
		sample->norm2[place] = query.norm2;
		for (int i = 0; i < sample->space.rotated_dim; i++)
			sample->sum[i] += query.rotated[i];
	}

	if (place < sample->nqueries)
	{
		oldcontext = MemoryContextSwitchTo(sample->context);
		if (DatumGetPointer(sample->queries[place]) != NULL)
			pfree(DatumGetPointer(sample->queries[place]));
		sample->queries[place] = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
		MemoryContextSwitchTo(oldcontext);
	}
	return true;
}

/* Draws the sample, and lets the metapage have what follows from it. */
static void
draw_sample(LshSample *sample, LshMetaPage meta, Relation heap, Relation rel, IndexInfo *info)
{
	int			n;
	float	   *centre;

	sample->context = CurrentMemoryContext;
	sample->count = 0;
	sample->nqueries = LSH_SAMPLE_QUERIES;
	memset(sample->queries, 0, sizeof(sample->queries));
	sample->norm2 = palloc(sizeof(float) * SAMPLE_ROWS);
	sample->sum = palloc0(sizeof(double) * Max(sample->space.rotated_dim, 1));
	n = AnnSample(heap, rel, info, SAMPLE_ROWS, ann_seed, add_to_sample, sample);
	sample->nqueries = Min(n, LSH_SAMPLE_QUERIES);
	if (n == 0 || sample->space.bits == 0)
		return;

	centre = palloc(sizeof(float) * sample->space.rotated_dim);
	for (int i = 0; i < sample->space.rotated_dim; i++)
		centre[i] = sample->sum[i] / sample->count;
	LshSetCentre(meta, &sample->space, centre);

	if (sample->space.metric->form == ANN_FORM_IP)
	{
		double		sum = 0;
		float		most = 0;

		for (int i = 0; i < n; i++)
			most = Max(most, sample->norm2[i]);
		meta->norm = sqrt(most);
		for (int i = 0; i < n; i++)
			sum += LshElement(meta->norm, sample->norm2[i]);
		meta->lift = sum / n;
	}
}

/*
 * The build
 */

/* The metapage of an index to be built, and its space. */
static LshMetaPage
make_meta(Relation rel, AnnSpace *space)
{
	AnnSpaceCreate(space, rel);
	AnnSpaceSetBits(space, rel, LshBits(space), 0);
	return LshMakeMeta(space, LshGetTables(rel));
}

IndexBuildResult *
lshbuild(Relation heap, Relation rel, IndexInfo *info)
{
	AnnBuild	build = {0};
	LshSample	sample;
	LshMetaPage meta = make_meta(rel, &sample.space);
	Size		size = AREA_SORT_OFFSET +
		tuplesort_estimate_shared(max_parallel_maintenance_workers + 1);
	IndexBuildResult *result;

	draw_sample(&sample, meta, heap, rel, info);
	LshCreate(rel, MAIN_FORKNUM, meta);

	build.heap = heap;
	build.index = rel;
	build.info = info;

	result = AnnBuildRun(&build, PROGRESS_LSH_LOAD, AnnCountRows(heap, rel, info), size);
	LshCalibrate(rel, &sample);
	AnnEditLogBuild(rel, MAIN_FORKNUM);
	return result;
}

void
lshbuildempty(Relation rel)
{
	AnnSpace	space;

	LshCreate(rel, INIT_FORKNUM, make_meta(rel, &space));
	AnnEditLogBuild(rel, INIT_FORKNUM);
}

/*
 * Each row is hashed and sorted for each table, in proportion to its dimensions;
 * calibrating takes much the same for any number of rows.
 */
void
LshEstimate(Relation heap, Relation rel, AnnEstimate *estimate)
{
	LshIndex	index;
	double		entries;
	double		leaves;

	LshOpen(&index, rel);
	entries = estimate->rows * index.hash.tables;
	leaves = ceil(estimate->rows / index.leaf_fill) * index.hash.tables;
	estimate->memory = entries * (index.row_size + SORT_OVERHEAD);
	estimate->pages = 1 + leaves + index.hash.tables * ceil(leaves / index.hash.tables / (LSH_FILL * LSH_MAX_ENTRIES));
	estimate->shared_work = entries / 2;
	estimate->work = entries / 2 +
		LSH_SAMPLE_QUERIES * CALIBRATE_WORK / Max(index.space.rotated_dim, 64);
}
