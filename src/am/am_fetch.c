/*
 * am_fetch.c
 *	  Reading from the table the value that an index has of a row.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "am/am_fetch.h"

struct AnnFetch
{
	IndexFetchTableData *table;
	bool		borrowed;		/* table is the caller's */
	TupleTableSlot *slot;
	AttrNumber	column;			/* of the table; 0: an expression, which needs the rest */
	IndexInfo  *info;
	EState	   *estate;
	MemoryContext context;		/* of one value */
};

AnnFetch *
AnnFetchBegin(Relation heap, Relation index, IndexFetchTableData *table)
{
	AnnFetch   *fetch = palloc0(sizeof(AnnFetch));

	fetch->borrowed = table != NULL;
	fetch->table = table != NULL ? table : table_index_fetch_begin(heap);
	fetch->slot = table_slot_create(heap, NULL);
	fetch->column = index->rd_index->indkey.values[0];
	if (fetch->column == 0)
	{
		fetch->info = BuildIndexInfo(index);
		fetch->estate = CreateExecutorState();
		GetPerTupleExprContext(fetch->estate)->ecxt_scantuple = fetch->slot;
		fetch->context = GetPerTupleMemoryContext(fetch->estate);
	}
	else
		fetch->context = AllocSetContextCreate(CurrentMemoryContext, "ann fetch", ALLOCSET_DEFAULT_SIZES);
	return fetch;
}

void
AnnFetchEnd(AnnFetch *fetch)
{
	if (fetch->estate != NULL)
		FreeExecutorState(fetch->estate);
	else
		MemoryContextDelete(fetch->context);
	ExecDropSingleTupleTableSlot(fetch->slot);
	if (!fetch->borrowed)
		table_index_fetch_end(fetch->table);
	pfree(fetch);
}

bool
AnnFetchValue(AnnFetch *fetch, const ItemPointerData *tid, Snapshot snapshot, Datum *value)
{
	ItemPointerData member = *tid;
	bool		again = false;
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];

	AnnFetchReset(fetch);
	/* of a damaged row */
	if (!ItemPointerIsValid(tid))
		return false;
	if (!table_index_fetch_tuple(fetch->table, &member, snapshot, fetch->slot, &again, NULL))
		return false;

	if (fetch->column != 0)
		values[0] = slot_getattr(fetch->slot, fetch->column, &isnull[0]);
	else
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(fetch->context);

		FormIndexDatum(fetch->info, fetch->slot, fetch->estate, values, isnull);
		MemoryContextSwitchTo(oldcontext);
	}
	*value = values[0];
	return !isnull[0];
}

MemoryContext
AnnFetchContext(AnnFetch *fetch)
{
	return fetch->context;
}

void
AnnFetchReset(AnnFetch *fetch)
{
	ExecClearTuple(fetch->slot);
	MemoryContextReset(fetch->context);
}
