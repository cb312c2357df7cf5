/*
 * am_estimate.c
 *	  ann_build_estimate: what it would take to build an index.
 *
 * An index of a sample of the table, in a temporary table, shows how long this
 * machine takes and how large what there is becomes; the method knows how that
 * grows with the number of rows.  Sample and index are made in a subtransaction
 * that is rolled back.
 */
#include "postgres.h"

#include <math.h>
#include <unistd.h>

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#include "am/am.h"
#include "compat.h"
#include "space/random.h"

/* Rows of the sample; those of as many blocks of the table are counted. */
#define SAMPLE_ROWS 3000

#define FETCH_ROWS 100

#define SAMPLE_TABLE "pg_temp.ann_build_sample"

typedef struct Job
{
	/* What is asked. */
	Oid			relid;
	char	   *relation;		/* as SQL has it; so are all of these */
	char	   *column;
	char	   *type;
	char	   *method;
	char	   *operator_class;
	char	   *options;

	/* The sample. */
	Datum		values[SAMPLE_ROWS];
	int			sampled;
	double		rows;			/* of the table */

	/* The answer. */
	AnnEstimate estimate;
	double		seconds;
	int			workers;
} Job;

/*
 * What is asked
 */

/* "m = 16, lists=10" as the inside of WITH (...), with all that is not ours quoted. */
static char *
quote_options(const char *options)
{
	char	   *rest = pstrdup(options);
	char	   *option;
	StringInfoData with;

	initStringInfo(&with);
	while ((option = strsep(&rest, ",")) != NULL)
	{
		char	   *value = option;
		char	   *name = strsep(&value, "=");

		if (value == NULL)
		{
			if (strspn(name, " \t\n") == strlen(name) && rest == NULL && with.len == 0)
				break;
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" has no value", name),
					 errhint("Options are written as in WITH: m = 16, ef_construction = 64.")));
		}
		name += strspn(name, " \t\n");
		value += strspn(value, " \t\n");
		name[strcspn(name, " \t\n")] = '\0';
		value[strcspn(value, " \t\n")] = '\0';
		appendStringInfo(&with, "%s%s = %s", with.len > 0 ? ", " : " WITH (",
						 quote_identifier(name), quote_literal_cstr(value));
	}
	if (with.len > 0)
		appendStringInfoChar(&with, ')');
	return with.data;
}

/* The class of the distance that most know, if none is named: L2, or Hamming. */
static char *
quote_operator_class(const char *name, Oid type, Oid schema)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	if (name == NULL)
		name = psprintf("%s_%s_ops", NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname),
						type == BITOID ? "hamming" : "l2");
	ReleaseSysCache(tuple);
	return quote_qualified_identifier(get_namespace_name(schema), name);
}

static void
describe_column(Job *job, const char *name, const char *operator_class, Oid schema)
{
	AttrNumber	number = get_attnum(job->relid, name);
	Oid			type;
	int32		typmod;
	Oid			collation;

	if (get_rel_relkind(job->relid) != RELKIND_RELATION && get_rel_relkind(job->relid) != RELKIND_MATVIEW)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table or materialized view", get_rel_name(job->relid))));
	if (number <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist", name, get_rel_name(job->relid))));

	get_atttypetypmodcoll(job->relid, number, &type, &typmod, &collation);
	job->relation = quote_qualified_identifier(get_namespace_name(get_rel_namespace(job->relid)),
											   get_rel_name(job->relid));
	job->column = pstrdup(quote_identifier(name));
	type = getBaseTypeAndTypmod(type, &typmod);
	if (get_typlen(type) != -1)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("type %s not supported for %s index", format_type_be(type), job->method)));
	job->type = format_type_extended(type, typmod, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
	job->operator_class = quote_operator_class(operator_class, type, schema);
}

/*
 * The sample
 */

/*
 * Draws the sample, each row as likely as any other of the blocks that are read;
 * and counts the rows.
 */
static void
draw_sample(Job *job)
{
	MemoryContext context = CurrentMemoryContext;
	Relation	heap = relation_open(job->relid, AccessShareLock);
	double		percent = 100.0 * Min(1, SAMPLE_ROWS / Max(RelationGetNumberOfBlocks(heap), 1.0));
	char	   *query = psprintf("SELECT %s FROM ONLY %s TABLESAMPLE SYSTEM (%.17g) REPEATABLE (%d) WHERE %s IS NOT NULL",
								 job->column, job->relation, percent, ann_seed, job->column);
	uint64		random = AnnMix((uint64) ann_seed);
	uint64		seen = 0;
	Portal		portal;

	SPI_connect();
	portal = SPI_cursor_open_with_args(NULL, query, 0, NULL, NULL, NULL, true, 0);
	for (;;)
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			uint64		place = seen < SAMPLE_ROWS ? seen : AnnRandomBelow(&random, seen + 1);
			MemoryContext oldcontext;
			bool		isnull;

			seen++;
			if (place >= SAMPLE_ROWS)
				continue;
			oldcontext = MemoryContextSwitchTo(context);
			if (DatumGetPointer(job->values[place]) != NULL)
				pfree(DatumGetPointer(job->values[place]));
			job->values[place] = PointerGetDatum(PG_DETOAST_DATUM_COPY(
																	   SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)));
			MemoryContextSwitchTo(oldcontext);
		}
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	SPI_finish();
	relation_close(heap, AccessShareLock);

	job->sampled = (int) Min(seen, SAMPLE_ROWS);
	job->rows = seen * 100 / percent;
}

static void
execute(const char *command)
{
	if (SPI_execute(command, false, 0) < 0)
		elog(ERROR, "could not execute \"%s\"", command);
}

/* A temporary relation of ours. */
static Oid
temporary(const char *name)
{
	return get_relname_relid(name, LookupExplicitNamespace("pg_temp", false));
}

static void
fill_sample_table(Job *job)
{
	Oid			type;
	SPIPlanPtr	plan;

	execute(psprintf("CREATE TEMPORARY TABLE ann_build_sample (v %s)", job->type));
	type = get_atttype(temporary("ann_build_sample"), 1);
	plan = SPI_prepare("INSERT INTO " SAMPLE_TABLE " VALUES ($1)", 1, &type);
	for (int i = 0; i < job->sampled; i++)
	{
		CHECK_FOR_INTERRUPTS();
		SPI_execute_plan(plan, &job->values[i], NULL, false, 0);
	}
}

/*
 * The answer
 */

/* By how much the work of a build is reduced by workers. */
static double
total_work(const AnnEstimate *estimate, int participants)
{
	return estimate->work + estimate->shared_work / participants;
}

/* Draws conclusions from the index of the sample. */
static void
extrapolate(Job *job, double seconds)
{
	Relation	heap = relation_open(job->relid, AccessShareLock);
	AnnOpened	opened;
	AnnEstimate sample = {.rows = job->sampled};
	int			participants;

	AnnOpen(&opened, temporary("ann_build_sample_idx"));
	job->estimate.rows = job->rows;
	opened.method->estimate(opened.heap, opened.index, &sample);
	opened.method->estimate(opened.heap, opened.index, &job->estimate);
	job->estimate.pages *= RelationGetNumberOfBlocks(opened.index) / sample.pages;

	job->workers = AnnBuildWorkers(heap, opened.index);
	participants = Min(1 + job->workers, Max((int) sysconf(_SC_NPROCESSORS_ONLN), 1));
	job->seconds = seconds * total_work(&job->estimate, participants) / total_work(&sample, 1);
	AnnClose(&opened);
	relation_close(heap, AccessShareLock);
}

/* Builds the index of the sample; returns how many seconds it took. */
static double
build_sample_index(Job *job)
{
	int			nest_level = NewGUCNestLevel();
	instr_time	start;
	instr_time	time;

	(void) set_config_option("max_parallel_maintenance_workers", "0", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("client_min_messages", "warning", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	INSTR_TIME_SET_CURRENT(start);
	execute(psprintf("CREATE INDEX ann_build_sample_idx ON " SAMPLE_TABLE " USING %s (v %s)%s",
					 job->method, job->operator_class, job->options));
	INSTR_TIME_SET_CURRENT(time);
	INSTR_TIME_SUBTRACT(time, start);
	AtEOXact_GUC(true, nest_level);
	return INSTR_TIME_GET_DOUBLE(time);
}

/* All that has to be undone is done in here. */
static void
try_build(Job *job)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		SPI_connect();
		fill_sample_table(job);
		extrapolate(job, build_sample_index(job));
		SPI_finish();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();

	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error != NULL)
		ReThrowError(error);
}

/*
 * ann_build_estimate("table" regclass, "column" name, method text, options text,
 *					  operator_class text)
 * returns table (rows bigint, memory bigint, index_size bigint, seconds float8,
 *				  workers int)
 */
ANN_FUNCTION(ann_build_estimate)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Job		   *job = palloc0(sizeof(Job));
	Datum		values[5];
	bool		isnull[5] = {false};

	for (int i = 0; i < 4; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("table, column, method and options must not be null")));

	job->relid = PG_GETARG_OID(0);
	job->method = pstrdup(quote_identifier(text_to_cstring(PG_GETARG_TEXT_PP(2))));
	job->options = quote_options(text_to_cstring(PG_GETARG_TEXT_PP(3)));
	describe_column(job, NameStr(*PG_GETARG_NAME(1)),
					PG_ARGISNULL(4) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(4)),
					get_func_namespace(fcinfo->flinfo->fn_oid));
	draw_sample(job);
	try_build(job);

	values[0] = Int64GetDatum((int64) rint(job->rows));
	values[1] = Int64GetDatum((int64) rint(job->estimate.memory));
	values[2] = Int64GetDatum((int64) ceil(job->estimate.pages) * BLCKSZ);
	values[3] = Float8GetDatum(rint(job->seconds * 100) / 100);
	values[4] = Int32GetDatum(job->workers);
	InitMaterializedSRF(fcinfo, 0);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, isnull);
	PG_RETURN_NULL();
}
