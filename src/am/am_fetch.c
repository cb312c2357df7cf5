/*
 * am_fetch.c
 *	  Reading from the table the value that an index has of a row.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "catalog/index.h"
#include "executor/executor.h"

#include "am/am_fetch.h"

struct AnnFetch
{
	IndexFetchTableData *table;
	TupleTableSlot *slot;
	IndexInfo  *info;
	EState	   *estate;
};

AnnFetch *
AnnFetchBegin(Relation heap, Relation index)
{
	AnnFetch   *fetch = palloc(sizeof(AnnFetch));

	fetch->table = table_index_fetch_begin(heap);
	fetch->slot = table_slot_create(heap, NULL);
	fetch->info = BuildIndexInfo(index);
	fetch->estate = CreateExecutorState();
	GetPerTupleExprContext(fetch->estate)->ecxt_scantuple = fetch->slot;
	return fetch;
}

void
AnnFetchEnd(AnnFetch *fetch)
{
	FreeExecutorState(fetch->estate);
	ExecDropSingleTupleTableSlot(fetch->slot);
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
	MemoryContext oldcontext;

	ExecClearTuple(fetch->slot);
	ResetPerTupleExprContext(fetch->estate);
	/* of a damaged row */
	if (!ItemPointerIsValid(tid))
		return false;
	if (!table_index_fetch_tuple(fetch->table, &member, snapshot, fetch->slot, &again, NULL))
		return false;

	oldcontext = MemoryContextSwitchTo(AnnFetchContext(fetch));
	FormIndexDatum(fetch->info, fetch->slot, fetch->estate, values, isnull);
	MemoryContextSwitchTo(oldcontext);
	*value = values[0];
	return !isnull[0];
}

MemoryContext
AnnFetchContext(AnnFetch *fetch)
{
	return GetPerTupleMemoryContext(fetch->estate);
}

void
AnnFetchReset(AnnFetch *fetch)
{
	ExecClearTuple(fetch->slot);
	ResetPerTupleExprContext(fetch->estate);
	table_index_fetch_reset(fetch->table);
}
