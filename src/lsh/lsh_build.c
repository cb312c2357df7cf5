/*
 * lsh_build.c
 *	  Building an index: README.md section 9.
 *
 * Rows are hashed and coded as they are read, and kept in memory, once for all
 * tables; what does not fit goes to a sort, by table and place.  Then the tables
 * are written one after the other: their rows in memory are brought into order,
 * and merged with those of the sort.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/index.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplesort.h"

#include "am/am_sample.h"
#include "compat.h"
#include "lsh/lsh.h"

/*
 * The work of a build that does not depend on the number of rows, in units of adding
 * a row: a fit to measured builds.
 */
#define FIXED_WORK 4500.0

/* Of maintenance_work_mem, what rows may take; sorts of other rows have the rest. */
#define MEMORY_SHARE 0.75

/* By how much there may be more rows than were counted, before they do not fit. */
#define ROWS_MARGIN 0.1
#define MIN_ROWS 1000

/* Rows written between two reports of progress. */
#define PROGRESS_INTERVAL 1024

/* Rows brought into order between two looks for interrupts. */
#define INTERRUPTS_INTERVAL 4096

/*
 * The area of a build: behind it are, at offsets, what the participants' sorts
 * share, room for the order of rows, and the rows.
 */
typedef struct LshBuildArea
{
	int			participants;
	uint32		capacity;		/* rows there is room for */
	pg_atomic_uint64 count;		/* of those added; may go beyond the capacity */
	Size		order;
	Size		rows;
} LshBuildArea;

#define AREA_SORT_OFFSET MAXALIGN(sizeof(LshBuildArea))

/* A row in memory: its keys, one for each table, are behind it. */
static inline Size
kept_size(const LshIndex *index)
{
	return index->row_size + sizeof(uint32) * index->hash.tables;
}

static inline LshRow
kept_row(const LshIndex *index, LshBuildArea *area, uint32 i)
{
	return (LshRow) ((char *) area + area->rows + kept_size(index) * i);
}

static inline uint32 *
kept_keys(const LshIndex *index, LshRow row)
{
	return (uint32 *) ((char *) row + index->row_size);
}

/* A row's key in a table, and its number. */
typedef struct Keyed
{
	uint32		key;
	uint32		row;
} Keyed;

/* Memory for so many rows, with that for bringing them into order. */
static Size
rows_size(const LshIndex *index, double rows)
{
	return (Size) (rows * (kept_size(index) + 2 * sizeof(Keyed)));
}

/* Memory that the area may take. */
static Size
most_memory(void)
{
	return (Size) (maintenance_work_mem * 1024.0 * MEMORY_SHARE);
}

static Size
sort_size(int participants)
{
	return MAXALIGN(tuplesort_estimate_shared(participants));
}

static Sharedsort *
area_sort(void *area)
{
	return (Sharedsort *) ((char *) area + AREA_SORT_OFFSET);
}

/*
 * Rows that do not fit
 */

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
	Tuplesortstate *sort;		/* NULL as long as nobody needs it */
	TupleTableSlot *slot;
} LshBuildState;

static void
lsh_build_init(AnnBuild *build)
{
	LshBuildArea *area = build->area;
	Size		room = Min(build->area_size, most_memory());
	Size		fixed = AREA_SORT_OFFSET + sort_size(build->participants);
	LshIndex	index;

	LshOpen(&index, build->index);
	area->participants = build->participants;
	area->capacity = Min((room - fixed) / rows_size(&index, 1), PG_INT32_MAX);
	pg_atomic_init_u64(&area->count, 0);
	area->order = fixed;
	area->rows = area->order + 2 * sizeof(Keyed) * area->capacity;
	if (build->segment != NULL)
		tuplesort_initialize_shared(area_sort(area), build->participants, build->segment);
}

/* Begins a participant's sort. */
static void
begin_own_sort(AnnBuild *build)
{
	LshBuildState *state = build->state;
	double		memory = maintenance_work_mem * (1 - MEMORY_SHARE) / ((LshBuildArea *) build->area)->participants;
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
	state->sort = begin_sort((int) memory, coordinate);
	state->slot = MakeSingleTupleTableSlot(sorted_desc(), &TTSOpsVirtual);
}

static void
lsh_build_begin(AnnBuild *build)
{
	LshBuildState *state = palloc0(sizeof(LshBuildState));

	LshOpen(&state->index, build->index);
	build->state = state;

	/* All workers are to have one. */
	if (build->segment != NULL)
		begin_own_sort(build);
}

/* Puts a row into the sort, once for each table. */
static void
sort_row(LshBuildState *state, LshRow row, const uint32 *keys)
{
	LshIndex   *index = &state->index;
	TupleTableSlot *slot = state->slot;
	bytea	   *bytes = palloc(VARHDRSZ + index->row_size);

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
}

static bool
lsh_build_add(AnnBuild *build, Datum value, const ItemPointerData *tid)
{
	LshBuildState *state = build->state;
	LshIndex   *index = &state->index;
	LshBuildArea *area = build->area;
	uint32		keys[LSH_MAX_TABLES];
	LshRow		row;
	uint64		i;

	if (!LshPrepareRow(index, value, &row, keys))
		return false;

	row->place.tid = *tid;
	i = pg_atomic_fetch_add_u64(&area->count, 1);
	if (i < area->capacity)
	{
		LshRow		kept = kept_row(index, area, (uint32) i);

		memcpy(kept, row, index->row_size);
		memcpy(kept_keys(index, kept), keys, sizeof(uint32) * index->hash.tables);
		return true;
	}

	if (state->sort == NULL)
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(GetMemoryChunkContext(state));

		begin_own_sort(build);
		MemoryContextSwitchTo(oldcontext);
	}
	sort_row(state, row, keys);
	return true;
}

static void
lsh_build_end(AnnBuild *build)
{
	LshBuildState *state = build->state;

	if (state->slot != NULL)
		ExecDropSingleTupleTableSlot(state->slot);

	/* Without workers, the sort goes on in finish. */
	if (build->segment == NULL)
		return;
	tuplesort_performsort(state->sort);
	tuplesort_end(state->sort);
}

/*
 * Bringing rows in memory into order
 */

typedef struct OrderArg
{
	const LshIndex *index;
	LshBuildArea *area;
} OrderArg;

static int
compare_tids(const void *a, const void *b, void *arg)
{
	const OrderArg *order = arg;

	return ItemPointerCompare(&kept_row(order->index, order->area, ((const Keyed *) a)->row)->place.tid,
							  &kept_row(order->index, order->area, ((const Keyed *) b)->row)->place.tid);
}

/* One pass of a radix sort, by RADIX_BITS from a bit on. */
#define RADIX_BITS 11
#define RADIX_PASSES 3

StaticAssertDecl(RADIX_BITS * RADIX_PASSES >= LSH_KEY_BITS, "a radix sort looks at whole keys");

static void
sort_by_bits(const Keyed *from, Keyed *to, uint32 n, int bit)
{
	uint32		starts[(1 << RADIX_BITS) + 1] = {0};
	uint32		mask = (1 << RADIX_BITS) - 1;

	for (uint32 i = 0; i < n; i++)
		starts[(from[i].key >> bit & mask) + 1]++;
	for (uint32 i = 0; i < mask; i++)
		starts[i + 1] += starts[i];
	for (uint32 i = 0; i < n; i++)
		to[starts[from[i].key >> bit & mask]++] = from[i];
}

/*
 * The first n rows in the order of their places in a table.  Rows come in any
 * order, above all with workers; pages are not to depend on it.
 */
static const Keyed *
order_rows(const LshIndex *index, LshBuildArea *area, uint32 n, int table)
{
	OrderArg	arg = {index, area};
	Keyed	   *from = (Keyed *) ((char *) area + area->order);
	Keyed	   *to = from + area->capacity;
	uint32		first = 0;

	for (uint32 i = 0; i < n; i++)
	{
		from[i].key = kept_keys(index, kept_row(index, area, i))[table];
		from[i].row = i;
	}
	for (int pass = 0; pass < RADIX_PASSES; pass++)
	{
		Keyed	   *swap = from;

		CHECK_FOR_INTERRUPTS();
		sort_by_bits(from, to, n, pass * RADIX_BITS);
		from = to;
		to = swap;
	}

	for (uint32 i = 1; i <= n; i++)
	{
		if (i % INTERRUPTS_INTERVAL == 0)
			CHECK_FOR_INTERRUPTS();
		if (i == n || from[i].key != from[first].key)
		{
			if (i - first > 1)
				qsort_arg(from + first, i - first, sizeof(Keyed), compare_tids, &arg);
			first = i;
		}
	}
	return from;
}

/* The rows of a sort, one at a time. */
typedef struct Sorted
{
	Tuplesortstate *sort;		/* NULL: there are none */
	TupleTableSlot *slot;
	int			table;			/* of the next row; beyond the last one: there is none */
	LshRow		row;			/* aligned, which it may not be in the tuple */
} Sorted;

static void
next_sorted(Sorted *sorted, const LshIndex *index)
{
	bool		isnull;

	sorted->table = LSH_MAX_TABLES;
	if (sorted->sort == NULL || !tuplesort_gettupleslot(sorted->sort, true, false, sorted->slot, NULL))
		return;
	sorted->table = DatumGetInt64(slot_getattr(sorted->slot, 1, &isnull)) >> 32;
	memcpy(sorted->row, VARDATA_ANY(DatumGetPointer(slot_getattr(sorted->slot, 3, &isnull))),
		   index->row_size);
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
	int			most;			/* it is to have */
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
	writer->most = level == 0 ? index->leaf_fill : LSH_FILL * LSH_MAX_ENTRIES;
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

	if (writer->count == writer->most)
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

	for (;;)
	{
		bool		root = below.nnodes <= (int) (LSH_FILL * LSH_MAX_ENTRIES);
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

/* Writes the rows of all tables, those in memory and others. */
static void
write_tables(LshIndex *index, LshBuildArea *area, Tuplesortstate *sort)
{
	uint32		n = Min(pg_atomic_read_u64(&area->count), area->capacity);
	Sorted		sorted = {.sort = sort};
	int64		written = 0;

	sorted.slot = MakeSingleTupleTableSlot(sorted_desc(), &TTSOpsMinimalTuple);
	sorted.row = palloc(index->row_size);
	next_sorted(&sorted, index);
	for (int table = 0; table < index->hash.tables; table++)
	{
		const Keyed *keyed = order_rows(index, area, n, table);
		uint32		i = 0;
		Writer		writer;

		begin_table(&writer, index, table);
		while (i < n || sorted.table == table)
		{
			LshRow		kept = NULL;

			if (i < n)
			{
				kept = kept_row(index, area, keyed[i].row);
				kept->place.key = keyed[i].key;
			}
			if (kept != NULL &&
				(sorted.table != table || LshPlaceCompare(&kept->place, &sorted.row->place) < 0))
			{
				write_entry(&writer, kept);
				i++;
			}
			else
			{
				write_entry(&writer, sorted.row);
				next_sorted(&sorted, index);
			}
			if (++written % PROGRESS_INTERVAL == 0)
				AnnBuildProgress(written);
		}
		end_table(&writer);
	}
	pfree(sorted.row);
	ExecDropSingleTupleTableSlot(sorted.slot);
}

/* All rows are in memory, or have been sorted by each participant. */
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
		sort = begin_sort((int) (maintenance_work_mem * (1 - MEMORY_SHARE)), coordinate);
	}
	if (sort != NULL)
		tuplesort_performsort(sort);
	write_tables(&index, build->area, sort);
	if (sort != NULL)
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
 * The build
 */

/* The space of an index to be built. */
static void
make_space(Relation rel, AnnSpace *space)
{
	AnnSpaceCreate(space, rel);
	AnnSpaceSetBits(space, rel, LshBits(space), 0);
}

/* The metapage of an index of so many rows, of which it draws a sample. */
static LshMetaPage
plan_index(LshSample *sample, Relation heap, Relation rel, IndexInfo *info, double rows)
{
	LshMetaPage meta;

	make_space(rel, &sample->space);
	LshDrawSample(sample, heap, rel, info);
	meta = LshMakeMeta(&sample->space, LshGetTables(rel));
	LshApplySample(sample, meta);
	if (meta->tables == 0)
		meta->tables = LshChooseTables(sample, rows);
	return meta;
}

IndexBuildResult *
lshbuild(Relation heap, Relation rel, IndexInfo *info)
{
	AnnBuild	build = {0};
	LshSample	sample;
	double		rows = AnnCountRows(heap, rel, info);
	LshIndex	index;
	Size		size;
	IndexBuildResult *result;

	LshCreate(rel, MAIN_FORKNUM, plan_index(&sample, heap, rel, info, rows));

	build.heap = heap;
	build.index = rel;
	build.info = info;

	LshOpen(&index, rel);
	size = AREA_SORT_OFFSET + sort_size(max_parallel_maintenance_workers + 1) +
		rows_size(&index, rows * (1 + ROWS_MARGIN) + MIN_ROWS);
	result = AnnBuildRun(&build, PROGRESS_LSH_LOAD, rows, Min(size, most_memory()));
	LshCalibrate(heap, rel, &sample, true, NULL);
	AnnEditLogBuild(rel, MAIN_FORKNUM);
	return result;
}

void
lshbuildempty(Relation rel)
{
	AnnSpace	space;
	int			tables = LshGetTables(rel);

	make_space(rel, &space);
	LshCreate(rel, INIT_FORKNUM, LshMakeMeta(&space, tables > 0 ? tables : LSH_DEFAULT_TABLES));
	AnnEditLogBuild(rel, INIT_FORKNUM);
}

/*
 * Each row is rotated, coded and written, which takes more time than another table
 * does; drawing a sample, choosing tables and calibrating take much the same for any
 * number of rows, and, in proportion to what a row takes, of dimensions.
 */
void
LshEstimate(Relation heap, Relation rel, AnnEstimate *estimate)
{
	LshSample	sample;
	LshIndex	index;
	double		leaves;

	/* More rows may be worth more tables than this index of a sample has. */
	LshOpen(&index, rel);
	index.hash.tables = plan_index(&sample, heap, rel, BuildIndexInfo(rel), estimate->rows)->tables;
	leaves = ceil(estimate->rows / index.leaf_fill) * index.hash.tables;
	estimate->memory = rows_size(&index, estimate->rows) / MEMORY_SHARE;
	estimate->pages = 1 + leaves + index.hash.tables * ceil(leaves / index.hash.tables / (LSH_FILL * LSH_MAX_ENTRIES));
	estimate->shared_work = estimate->rows / 2;
	estimate->work = estimate->rows / 2 + FIXED_WORK;
}
