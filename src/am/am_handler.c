/*
 * am_handler.c
 *	  What all access methods tell PostgreSQL about themselves.
 */
#include "postgres.h"

#include "access/amvalidate.h"
#include "access/htup_details.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_type_d.h"
#include "commands/vacuum.h"
#include "utils/catcache.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "am/am.h"
#include "am/am_point.h"
#include "compat.h"
#include "space/opclass.h"

int			ann_seed;

static const AnnMethod *methods[3];
static int	nmethods = 0;

void
AnnInit(void)
{
	DefineCustomIntVariable("ann.seed",
							"Seed of what is random in an index.",
							"Indexes built without workers, from the same rows with the same seed, are identical.",
							&ann_seed, 0, 0, INT_MAX, PGC_USERSET, 0, NULL, NULL, NULL);
	AnnPointInit();
}

void
AnnRegisterMethod(const AnnMethod *method)
{
	Assert(nmethods < lengthof(methods));
	methods[nmethods++] = method;
}

const AnnMethod *
AnnFindMethod(Relation index)
{
	for (int i = 0; i < nmethods; i++)
		if (index->rd_indam->ambuild == methods[i]->build)
			return methods[i];
	return NULL;
}

/*
 * Checks an operator class: its support function gives a metric, and its
 * operators order by a distance.
 */
static bool
validate(Oid opclassoid)
{
	HeapTuple	classtup = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclassoid));
	Form_pg_opclass opclass;
	CatCList   *procs;
	CatCList   *operators;
	bool		has_metric = false;
	bool		result = true;

	if (!HeapTupleIsValid(classtup))
		elog(ERROR, "cache lookup failed for operator class %u", opclassoid);
	opclass = (Form_pg_opclass) GETSTRUCT(classtup);

	procs = SearchSysCacheList1(AMPROCNUM, ObjectIdGetDatum(opclass->opcfamily));
	for (int i = 0; i < procs->n_members; i++)
	{
		Form_pg_amproc proc = (Form_pg_amproc) GETSTRUCT(&procs->members[i]->tuple);

		if (proc->amprocnum != ANN_METRIC_PROC ||
			!check_amproc_signature(proc->amproc, INTERNALOID, true, 1, 1, INTERNALOID))
		{
			ereport(INFO,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("operator class \"%s\" contains function %s with wrong signature for support number %d",
							NameStr(opclass->opcname), format_procedure(proc->amproc), proc->amprocnum)));
			result = false;
		}
		else if (proc->amproclefttype == opclass->opcintype &&
				 proc->amprocrighttype == opclass->opcintype)
			has_metric = true;
	}
	ReleaseCatCacheList(procs);

	operators = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(opclass->opcfamily));
	for (int i = 0; i < operators->n_members; i++)
	{
		Form_pg_amop operator = (Form_pg_amop) GETSTRUCT(&operators->members[i]->tuple);

		if (operator->amopstrategy != 1 || operator->amoppurpose != AMOP_ORDER ||
			!check_amop_signature(operator->amopopr, FLOAT8OID,
								  operator->amoplefttype, operator->amoprighttype) ||
			!opfamily_can_sort_type(operator->amopsortfamily, FLOAT8OID))
		{
			ereport(INFO,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("operator class \"%s\" contains operator %s that does not order by a distance",
							NameStr(opclass->opcname), format_operator(operator->amopopr))));
			result = false;
		}
	}
	ReleaseCatCacheList(operators);

	if (!has_metric)
	{
		ereport(INFO,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator class \"%s\" is missing support function %d",
						NameStr(opclass->opcname), ANN_METRIC_PROC)));
		result = false;
	}

	ReleaseSysCache(classtup);
	return result;
}

IndexAmRoutine *
AnnHandlerRoutine(void)
{
	IndexAmRoutine *routine = makeNode(IndexAmRoutine);

	routine->amstrategies = 0;
	routine->amsupport = ANN_PROC_COUNT;
	routine->amcanorderbyop = true;
	routine->amoptionalkey = true;
	routine->amkeytype = InvalidOid;
	routine->amparallelvacuumoptions = VACUUM_OPTION_PARALLEL_BULKDEL;
	AnnSetBuildsParallel(routine);

	routine->amvalidate = validate;
	routine->ambeginscan = AnnBeginScan;
	routine->amrescan = AnnRescan;
	routine->amgettuple = AnnGetTuple;
	routine->amendscan = AnnEndScan;

	return routine;
}
