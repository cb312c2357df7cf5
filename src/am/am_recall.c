/*
 * am_recall.c
 *	  ann_recall and ann_tune: the SQL side of measuring an index.
 */
#include "postgres.h"

#include <math.h>

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/rls.h"

#include "am/am_measure.h"
#include "compat.h"

#define MAX_QUERIES 100000
#define MAX_K 10000

/* Queries that ann_tune takes. */
#define TUNE_QUERIES 100

/* What there is to undo when a measurement has ended. */
typedef struct Session
{
	AnnOpened	opened;
	AnnMeasure	measure;
} Session;

static int
get_number(FunctionCallInfo fcinfo, int i, const char *name, int most)
{
	int			number = PG_ARGISNULL(i) ? 0 : PG_GETARG_INT32(i);

	if (number < 1 || number > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be between 1 and %d", name, most)));
	return number;
}

/* Digits that mean nothing are better left out. */
static Datum
rounded(double value, double unit)
{
	return Float8GetDatum(rint(value * unit) / unit);
}

#define SHARE 1e4
#define PAGES 1e2
#define MS 1e3

/* Opens an index, chooses queries, and searches for them exactly. */
static void
begin_session(Session *session, Oid index, int k, int queries, Oid query_table)
{
	AnnOpened  *opened = &session->opened;

	AnnOpen(opened, index);
	AnnRequireValid(opened->index);

	/* All rows count in an exact search. */
	if (check_enable_rls(RelationGetRelid(opened->heap), InvalidOid, false) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot measure index \"%s\" under row-level security",
						RelationGetRelationName(opened->index)),
				 errhint("The owner of the table can.")));

	AnnMeasureBegin(&session->measure, opened, k);
	if (OidIsValid(query_table))
		AnnMeasureQueries(&session->measure, query_table, queries);

	AnnBecomeOwner(opened);
	if (!OidIsValid(query_table))
		AnnMeasureSample(&session->measure, queries);
	AnnMeasureExact(&session->measure);
}

static void
end_session(Session *session)
{
	AnnMeasureEnd(&session->measure);
	AnnClose(&session->opened);
}

/*
 * ann_recall(index regclass, k int, queries int, query_table regclass)
 * returns table (recall float8, ...)
 *
 * One row; all but the number of queries is null if there are no queries.
 */
ANN_FUNCTION(ann_recall)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int			k = get_number(fcinfo, 1, "k", MAX_K);
	int			queries = get_number(fcinfo, 2, "queries", MAX_QUERIES);
	Oid			query_table = PG_ARGISNULL(3) ? InvalidOid : PG_GETARG_OID(3);
	Session		session;
	AnnMeasured result;
	Datum		values[10];
	bool		isnull[10];

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("index must not be null")));

	begin_session(&session, PG_GETARG_OID(0), k, queries, query_table);
	AnnMeasureIndex(&session.measure, &result);

	values[0] = rounded(result.recall, SHARE);
	values[1] = rounded(result.low, SHARE);
	values[2] = rounded(result.high, SHARE);
	values[3] = Int32GetDatum(result.queries);
	values[4] = Float8GetDatum(result.cost.distance);
	values[5] = Float8GetDatum(session.measure.exact.distance);
	values[6] = rounded(result.cost.pages, PAGES);
	values[7] = rounded(session.measure.exact.pages, PAGES);
	values[8] = rounded(result.cost.ms, MS);
	values[9] = rounded(session.measure.exact.ms, MS);
	memset(isnull, result.queries == 0, sizeof(isnull));
	isnull[3] = false;
	end_session(&session);

	InitMaterializedSRF(fcinfo, 0);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, isnull);
	PG_RETURN_NULL();
}

/* A value that was tried, and what came of it. */
typedef struct Trial
{
	int			step;
	AnnMeasured result;
} Trial;

typedef struct Trials
{
	Session    *session;
	const AnnTuning *tuning;
	Trial		trials[64];		/* in ascending order */
	int			count;
} Trials;

/* The value of a setting at a step: itself, or a share of 1 - 1/step. */
static char *
step_value(const AnnTuning *tuning, int step)
{
	return tuning->share ? psprintf("%.4g", 1 - 1.0 / step) : psprintf("%d", step);
}

/* Measures recall at a step. */
static double
try_step(Trials *trials, int step)
{
	int			i = trials->count++;

	Assert(i < lengthof(trials->trials));
	(void) set_config_option(trials->tuning->setting, step_value(trials->tuning, step),
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	for (; i > 0 && trials->trials[i - 1].step > step; i--)
		trials->trials[i] = trials->trials[i - 1];
	trials->trials[i].step = step;
	AnnMeasureIndex(&trials->session->measure, &trials->trials[i].result);
	return trials->trials[i].result.recall;
}

/*
 * Finds the least step that reaches the target, or 0: doubles it until it does,
 * and then halves the gap.
 */
static int
find_step(Trials *trials, double target)
{
	int			low = 0;
	int			high = 1;

	while (try_step(trials, high) < target)
	{
		if (high == trials->tuning->most)
			return 0;
		low = high;
		high = Min(2 * high, trials->tuning->most);
	}
	while (high - low > 1)
	{
		int			middle = low + (high - low) / 2;

		if (try_step(trials, middle) < target)
			low = middle;
		else
			high = middle;
	}
	return high;
}

/*
 * ann_tune(index regclass, target real, k int)
 * returns table (setting text, recall float8, ..., recommended bool)
 */
ANN_FUNCTION(ann_tune)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	float4		target = PG_GETARG_FLOAT4(1);
	int			k = get_number(fcinfo, 2, "k", MAX_K);
	Session		session;
	Trials		trials = {.session = &session};
	int			best = 0;

	if (!(target > 0 && target <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("target must be greater than 0 and not greater than 1")));

	begin_session(&session, PG_GETARG_OID(0), k, TUNE_QUERIES, InvalidOid);
	trials.tuning = session.opened.method->tuning;
	if (session.measure.nqueries > 0)
		best = find_step(&trials, target);
	end_session(&session);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < trials.count; i++)
	{
		const Trial *trial = &trials.trials[i];
		Datum		values[7] = {
			CStringGetTextDatum(psprintf("SET %s = %s", trials.tuning->setting,
										 step_value(trials.tuning, trial->step))),
			rounded(trial->result.recall, SHARE),
			rounded(trial->result.low, SHARE),
			rounded(trial->result.high, SHARE),
			rounded(trial->result.cost.pages, PAGES),
			rounded(trial->result.cost.ms, MS),
			BoolGetDatum(trial->step == best)
		};
		bool		isnull[7] = {false};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, isnull);
	}
	PG_RETURN_NULL();
}
