/*
 * am_check.c
 *	  ann_check(): the SQL side of the verifiers, and what they share.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "am/am.h"
#include "compat.h"

typedef struct AnnTids
{
	uint64		tid;
	char		status;
} AnnTids;

#define SH_PREFIX AnnTids
#define SH_ELEMENT_TYPE AnnTids
#define SH_KEY_TYPE uint64
#define SH_KEY tid
#define SH_HASH_KEY(tb, key) hash_bytes((const unsigned char *) &(key), sizeof(uint64))
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static inline uint64
tid_to_number(const ItemPointerData *tid)
{
	return ((uint64) ItemPointerGetBlockNumberNoCheck(tid) << 16) |
		ItemPointerGetOffsetNumberNoCheck(tid);
}

void
AnnCheckReport(AnnCheck *check, const char *invariant, BlockNumber blkno,
			   OffsetNumber offset, const char *fmt,...)
{
	Datum		values[4];
	bool		isnull[4] = {false};
	va_list		args;
	char		detail[256];

	va_start(args, fmt);
	vsnprintf(detail, sizeof(detail), fmt, args);
	va_end(args);

	values[0] = CStringGetTextDatum(invariant);
	values[1] = Int64GetDatum((int64) blkno);
	values[2] = Int32GetDatum((int32) offset);
	values[3] = CStringGetTextDatum(detail);
	isnull[2] = offset == InvalidOffsetNumber;
	tuplestore_putvalues(check->store, check->desc, values, isnull);
}

bool
AnnCheckTid(AnnCheck *check, const ItemPointerData *tid)
{
	bool		found;

	AnnTids_insert(check->tids, tid_to_number(tid), &found);
	return !found;
}

/*
 * I0
 */

typedef struct TableCheck
{
	AnnCheck   *check;
	AnnQuery	query;
	MemoryContext context;		/* of a row */
} TableCheck;

static void
check_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *arg)
{
	TableCheck *table = arg;
	MemoryContext oldcontext;

	CHECK_FOR_INTERRUPTS();
	if (isnull[0] || AnnTids_lookup(table->check->tids, tid_to_number(tid)) != NULL)
		return;

	/* Has the value a place at all? */
	oldcontext = MemoryContextSwitchTo(table->context);
	if (AnnQueryPrepare(&table->query, table->query.space, values[0], true))
		AnnCheckReport(table->check, "I0", ANN_METAPAGE_BLKNO, InvalidOffsetNumber,
					   "row (%u,%u) of the table is not in the index",
					   ItemPointerGetBlockNumber(tid), ItemPointerGetOffsetNumber(tid));
	MemoryContextSwitchTo(oldcontext);
	MemoryContextReset(table->context);
}

/* Looks for the rows of the table, after those of the index. */
static void
check_table(AnnCheck *check, const AnnMethod *method, Relation heap, Relation index)
{
	Snapshot	snapshot = GetActiveSnapshot();
	IndexInfo  *info = BuildIndexInfo(index);
	AnnScan		opened = {.index = index};
	TableCheck	table = {.check = check};

	/* As for a query: the index may lack what only older snapshots see. */
	if (index->rd_index->indcheckxmin &&
		!TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data), snapshot->xmin))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" cannot be compared with its table yet", RelationGetRelationName(index)),
				 errhint("Try again when the transactions have ended that are older than the index.")));

	/* Nothing is built: a snapshot decides, and constraints do not matter. */
	info->ii_Concurrent = true;
	info->ii_Unique = false;
	info->ii_ExclusionOps = NULL;

	method->scan->open(&opened);
	table.context = AllocSetContextCreate(CurrentMemoryContext, "ann check", ALLOCSET_DEFAULT_SIZES);
	AnnQueryInit(&table.query, &opened.space);
	table_index_build_scan(heap, index, info, true, false, check_row, &table,
						   table_beginscan_strat(heap, snapshot, 0, NULL, true, true));
	MemoryContextDelete(table.context);
}

/*
 * ann_check(regclass, boolean) returns table (invariant text, block bigint,
 * item int, detail text)
 *
 * Takes the lock of a reader; whoever may read the table may check its index.
 */
ANN_FUNCTION(ann_check)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	AnnOpened	opened;
	AnnCheck	check;

	AnnOpen(&opened, PG_GETARG_OID(0));
	InitMaterializedSRF(fcinfo, 0);
	check.store = rsinfo->setResult;
	check.desc = rsinfo->setDesc;
	check.tids = AnnTids_create(CurrentMemoryContext, 1024, NULL);

	/* an invalid index may be incomplete, and that is no damage */
	if (opened.index->rd_index->indisvalid)
	{
		opened.method->check(opened.index, &check);
		if (PG_GETARG_BOOL(1))
		{
			AnnBecomeOwner(&opened);
			check_table(&check, opened.method, opened.heap, opened.index);
		}
	}

	AnnClose(&opened);
	PG_RETURN_NULL();
}
