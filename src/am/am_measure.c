/*
 * am_measure.c
 *	  Searches of an index compared with an exact search of its table.
 *
 * The index is searched as the executor does it, but without the planner, who
 * might prefer another one.  The exact search reads the table once for all
 * queries; what it would have taken for one follows from the times of reading and
 * of comparing.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "am/am_measure.h"
#include "compat.h"
#include "space/random.h"

/* How often the user hears of progress. */
#define TELL_INTERVAL_MS 10000

/* Rows between two looks at the clock. */
#define TELL_ROWS 1024

/* Of the normal distribution: 95 % are within so many standard deviations. */
#define DEVIATIONS 1.96

/* Reads from rows of the table what the index would have of them. */
typedef struct AnnRowReader
{
	IndexInfo  *info;
	EState	   *estate;
	ExprState  *predicate;
	TupleTableSlot *slot;
} AnnRowReader;

void
AnnMeasureBegin(AnnMeasure *measure, const AnnOpened *opened, int k)
{
	AnnRowReader *reader = palloc(sizeof(AnnRowReader));
	Relation	index = opened->index;

	memset(measure, 0, sizeof(AnnMeasure));
	measure->opened = opened;
	measure->k = k;
	measure->reader = reader;
	measure->told = GetCurrentTimestamp();
	fmgr_info(get_opcode(AnnOrderOperator(index)), &measure->distance);

	reader->info = BuildIndexInfo(index);
	reader->slot = table_slot_create(opened->heap, NULL);
	reader->estate = CreateExecutorState();
	GetPerTupleExprContext(reader->estate)->ecxt_scantuple = reader->slot;
	reader->predicate = ExecPrepareQual(reader->info->ii_Predicate, reader->estate);
}

void
AnnMeasureEnd(AnnMeasure *measure)
{
	ExecDropSingleTupleTableSlot(measure->reader->slot);
	FreeExecutorState(measure->reader->estate);
}

/*
 * The value that the index has of the row in the slot, good until the next one is
 * asked for; false if it has none.
 */
static bool
read_value(AnnRowReader *reader, Datum *value)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];
	MemoryContext oldcontext;
	bool		found = false;

	CHECK_FOR_INTERRUPTS();
	ResetPerTupleExprContext(reader->estate);
	oldcontext = MemoryContextSwitchTo(GetPerTupleMemoryContext(reader->estate));
	if (ExecQual(reader->predicate, GetPerTupleExprContext(reader->estate)))
	{
		FormIndexDatum(reader->info, reader->slot, reader->estate, values, isnull);
		*value = values[0];
		found = !isnull[0];
	}
	MemoryContextSwitchTo(oldcontext);
	return found;
}

/* The distance of a row's value from a query, as SQL has it. */
static double
get_distance(AnnMeasure *measure, Datum value, Datum query)
{
	return DatumGetFloat8(FunctionCall2Coll(&measure->distance,
											measure->opened->index->rd_indcollation[0],
											value, query));
}

/* In order of the table, so that a sample is the same every time. */
static TableScanDesc
begin_table_scan(AnnMeasure *measure)
{
	return table_beginscan_strat(measure->opened->heap, GetActiveSnapshot(), 0, NULL, true, false);
}

/* Tells how far a step is, now and then. */
static void
tell(AnnMeasure *measure, const char *step, double done, double total)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!TimestampDifferenceExceeds(measure->told, now, TELL_INTERVAL_MS))
		return;
	measure->told = now;
	ereport(NOTICE,
			(errmsg("index \"%s\": %s, %.0f %% done", RelationGetRelationName(measure->opened->index),
					step, total > 0 ? Min(100 * done / total, 100) : 0)));
}

/*
 * Queries
 */

/* What is asked for may be more than there is room for. */
static void
take_memory(AnnMeasure *measure, Size bytes)
{
	measure->memory += bytes;
	if (measure->memory > maintenance_work_mem * (Size) 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("queries and their neighbors do not fit into maintenance_work_mem"),
				 errhint("Ask for fewer queries or neighbors, or increase maintenance_work_mem.")));
}

static void
set_query(AnnMeasure *measure, int i, Datum value, const ItemPointerData *tid)
{
	AnnMeasureQuery *query = &measure->queries[i];

	if (DatumGetPointer(query->value) != NULL)
	{
		measure->memory -= VARSIZE(DatumGetPointer(query->value));
		pfree(DatumGetPointer(query->value));
	}
	query->value = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	take_memory(measure, VARSIZE(DatumGetPointer(query->value)));
	if (tid != NULL)
		query->tid = *tid;
	else
		ItemPointerSetInvalid(&query->tid);
}

static void
make_queries(AnnMeasure *measure, int n)
{
	take_memory(measure, sizeof(AnnMeasureQuery) * (Size) n);
	measure->queries = palloc_extended(sizeof(AnnMeasureQuery) * (Size) n,
									   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	measure->nqueries = 0;
}

/* Each row is as likely to be taken as any other: Vitter's algorithm R. */
void
AnnMeasureSample(AnnMeasure *measure, int n)
{
	AnnRowReader *reader = measure->reader;
	TableScanDesc scan = begin_table_scan(measure);
	uint64		random = AnnMix((uint64) ann_seed);
	uint64		seen = 0;
	Datum		value;

	make_queries(measure, n);
	while (table_scan_getnextslot(scan, ForwardScanDirection, reader->slot))
	{
		uint64		place;

		if (!read_value(reader, &value))
			continue;
		place = seen < n ? seen : AnnRandomBelow(&random, seen + 1);
		seen++;
		if (place < n)
			set_query(measure, place, value, &reader->slot->tts_tid);
		if (seen % TELL_ROWS == 0)
			tell(measure, "drawing queries", seen, measure->opened->heap->rd_rel->reltuples);
	}
	measure->nqueries = (int) Min(seen, n);
	table_endscan(scan);
}

/* The one column of a table that has the type of the index. */
static char *
find_column(Relation table, Oid type)
{
	char	   *name = NULL;

	for (int i = 0; i < table->rd_att->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(table->rd_att, i);

		if (column->attisdropped || getBaseType(column->atttypid) != type)
			continue;
		if (name != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_AMBIGUOUS_COLUMN),
					 errmsg("relation \"%s\" has more than one column of type %s",
							RelationGetRelationName(table), format_type_be(type)),
					 errhint("Use a view that has one.")));
		name = pstrdup(NameStr(column->attname));
	}
	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("relation \"%s\" has no column of type %s",
						RelationGetRelationName(table), format_type_be(type)),
				 errhint("Queries are of the type that the index holds.")));
	return name;
}

void
AnnMeasureQueries(AnnMeasure *measure, Oid tableid, int n)
{
	MemoryContext context = CurrentMemoryContext;
	Relation	table = relation_open(tableid, AccessShareLock);
	const char *column = quote_identifier(find_column(table, measure->opened->index->rd_opcintype[0]));
	char	   *command = psprintf("SELECT %s FROM %s WHERE %s IS NOT NULL", column,
								   quote_qualified_identifier(get_namespace_name(RelationGetNamespace(table)),
															  RelationGetRelationName(table)),
								   column);

	make_queries(measure, n);
	SPI_connect();
	if (SPI_execute(command, true, n) != SPI_OK_SELECT)
		elog(ERROR, "could not read queries from \"%s\"", RelationGetRelationName(table));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(context);
		bool		isnull;

		set_query(measure, measure->nqueries++,
				  SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull), NULL);
		MemoryContextSwitchTo(oldcontext);
	}
	SPI_finish();
	relation_close(table, AccessShareLock);
}

/* Is a row the query itself? */
static bool
is_query(const AnnMeasureQuery *query, const ItemPointerData *tid)
{
	return ItemPointerIsValid(&query->tid) &&
		ItemPointerEquals((ItemPointer) &query->tid, (ItemPointer) tid);
}

/*
 * Exact search
 */

static void
compare_row(AnnMeasure *measure, Datum value, const ItemPointerData *tid)
{
	for (int i = 0; i < measure->nqueries; i++)
	{
		AnnMeasureQuery *query = &measure->queries[i];
		double		distance;

		if (is_query(query, tid))
			continue;
		distance = get_distance(measure, value, query->value);

		/* What has no distance is nobody's neighbour. */
		if (isnan(distance))
			continue;
		if (query->nearest.count < measure->k)
			ann_nearest_heap_push(&query->nearest, &distance);
		else if (distance < *ann_nearest_heap_top(&query->nearest))
			ann_nearest_heap_replace_top(&query->nearest, &distance);
	}
}

/* The mean of distances, as far as they are finite. */
static double
mean_distance(AnnMeasure *measure)
{
	double		sum = 0;
	int64		n = 0;

	for (int i = 0; i < measure->nqueries; i++)
	{
		const ann_nearest_heap *nearest = &measure->queries[i].nearest;

		for (int j = 0; j < nearest->count; j++)
			if (isfinite(nearest->elements[j]))
			{
				sum += nearest->elements[j];
				n++;
			}
	}
	return n > 0 ? sum / n : 0;
}

void
AnnMeasureExact(AnnMeasure *measure)
{
	AnnRowReader *reader = measure->reader;
	MemoryContext context = CurrentMemoryContext;
	TableScanDesc scan = begin_table_scan(measure);
	int64		pages = AnnPagesRead();
	uint64		rows = 0;
	instr_time	start;
	instr_time	total;
	instr_time	comparing;
	Datum		value;

	take_memory(measure, sizeof(double) * (Size) measure->k * measure->nqueries);
	for (int i = 0; i < measure->nqueries; i++)
		ann_nearest_heap_init(&measure->queries[i].nearest, measure->k);

	INSTR_TIME_SET_ZERO(comparing);
	INSTR_TIME_SET_CURRENT(start);
	while (table_scan_getnextslot(scan, ForwardScanDirection, reader->slot))
	{
		instr_time	before;
		instr_time	after;

		if (!read_value(reader, &value))
			continue;

		/* Once, not for every query. */
		MemoryContextSwitchTo(GetPerTupleMemoryContext(reader->estate));
		value = PointerGetDatum(PG_DETOAST_DATUM(value));
		INSTR_TIME_SET_CURRENT(before);
		compare_row(measure, value, &reader->slot->tts_tid);
		INSTR_TIME_SET_CURRENT(after);
		MemoryContextSwitchTo(context);

		INSTR_TIME_ACCUM_DIFF(comparing, after, before);
		if (++rows % TELL_ROWS == 0)
			tell(measure, "searching exactly", rows, measure->opened->heap->rd_rel->reltuples);
	}
	table_endscan(scan);
	INSTR_TIME_SET_CURRENT(total);
	INSTR_TIME_SUBTRACT(total, start);

	measure->exact.distance = mean_distance(measure);
	measure->exact.pages = AnnPagesRead() - pages;
	measure->exact.ms = INSTR_TIME_GET_MILLISEC(total) -
		INSTR_TIME_GET_MILLISEC(comparing) * (1 - 1.0 / Max(measure->nqueries, 1));
}

/*
 * Search of the index
 */

/* The distances of the k nearest rows, as the index has it; returns how many. */
static int
search_index(AnnMeasure *measure, const AnnMeasureQuery *query, double *distances)
{
	Relation	index = measure->opened->index;
	AnnRowReader *reader = measure->reader;
	IndexScanDesc scan = AnnBeginIndexScan(measure->opened->heap, index, GetActiveSnapshot());
	ScanKeyData key;
	Datum		value;
	int			n = 0;

	ScanKeyEntryInitialize(&key, SK_ORDER_BY, 1, 1, InvalidOid, index->rd_indcollation[0],
						   measure->distance.fn_oid, query->value);
	index_rescan(scan, NULL, 0, &key, 1);
	while (n < measure->k && index_getnext_slot(scan, ForwardScanDirection, reader->slot))
		if (!is_query(query, &reader->slot->tts_tid) && read_value(reader, &value))
		{
			MemoryContext oldcontext = MemoryContextSwitchTo(GetPerTupleMemoryContext(reader->estate));

			distances[n++] = get_distance(measure, value, query->value);
			MemoryContextSwitchTo(oldcontext);
		}
	ExecClearTuple(reader->slot);
	index_endscan(scan);
	return n;
}

/*
 * Wilson's interval.  The rows of one query share its luck, so the number of
 * independent trials is what would explain the spread between queries: at least
 * the number of queries, and if there is no spread no more.
 */
static void
set_interval(AnnMeasured *result, double variance, int k)
{
	double		p = result->recall;
	double		n = result->queries;
	double		z2 = DEVIATIONS * DEVIATIONS;
	double		half;

	if (variance > 0)
		n = Min(Max(p * (1 - p) / variance, 1) * n, n * k);
	half = DEVIATIONS * sqrt(p * (1 - p) / n + z2 / (4 * n * n));
	result->low = Max((p + z2 / (2 * n) - half) / (1 + z2 / n), 0);
	result->high = Min((p + z2 / (2 * n) + half) / (1 + z2 / n), 1);
}

void
AnnMeasureIndex(AnnMeasure *measure, AnnMeasured *result)
{
	double	   *distances = palloc(sizeof(double) * measure->k);
	double		squares = 0;
	int64		finite = 0;

	memset(result, 0, sizeof(AnnMeasured));
	for (int i = 0; i < measure->nqueries; i++)
	{
		const AnnMeasureQuery *query = &measure->queries[i];
		int64		pages = AnnPagesRead();
		instr_time	start;
		instr_time	time;
		int			hits = 0;
		int			n;
		double		recall;

		if (query->nearest.count == 0)
			continue;

		INSTR_TIME_SET_CURRENT(start);
		n = search_index(measure, query, distances);
		INSTR_TIME_SET_CURRENT(time);
		INSTR_TIME_SUBTRACT(time, start);
		result->cost.ms += INSTR_TIME_GET_MILLISEC(time);
		result->cost.pages += AnnPagesRead() - pages;

		/* Of rows equally far, any will do. */
		for (int j = 0; j < n; j++)
		{
			hits += distances[j] <= query->nearest.elements[0];
			if (isfinite(distances[j]))
			{
				result->cost.distance += distances[j];
				finite++;
			}
		}
		recall = (double) Min(hits, query->nearest.count) / query->nearest.count;
		result->recall += recall;
		squares += recall * recall;
		result->queries++;
		tell(measure, "searching the index", i, measure->nqueries);
	}
	pfree(distances);

	if (result->queries == 0)
		return;
	result->recall /= result->queries;
	result->cost.ms /= result->queries;
	result->cost.pages /= result->queries;
	result->cost.distance /= Max(finite, 1);
	set_interval(result, squares / result->queries - result->recall * result->recall, measure->k);
}
