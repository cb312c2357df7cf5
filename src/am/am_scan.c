/*
 * am_scan.c
 *	  The scan shell.
 *
 * A scan goes through three phases: it streams the method's batches; when the
 * method gives up it collects the rest, all rows not returned so far, into a
 * sort bounded by work_mem; and it returns these.  Most scans end in the first.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "am/am.h"
#include "compat.h"

enum
{
	PHASE_START,
	PHASE_STREAM,
	PHASE_COLLECT,
	PHASE_REST
};

typedef struct AnnReturned
{
	uint64		tid;
	char		status;
} AnnReturned;

#define SH_PREFIX AnnReturned
#define SH_ELEMENT_TYPE AnnReturned
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
	return ((uint64) ItemPointerGetBlockNumber(tid) << 16) | ItemPointerGetOffsetNumber(tid);
}

static inline void
number_to_tid(uint64 number, ItemPointerData *tid)
{
	ItemPointerSet(tid, (BlockNumber) (number >> 16), (OffsetNumber) (number & 0xFFFF));
}

IndexScanDesc
AnnBeginScan(Relation index, int nkeys, int norderbys)
{
	IndexScanDesc desc = RelationGetIndexScan(index, nkeys, norderbys);
	AnnScan    *scan = palloc0(sizeof(AnnScan));

	scan->index = index;
	scan->methods = AnnFindMethod(index)->scan;
	scan->context = AllocSetContextCreate(CurrentMemoryContext, "ann scan", ALLOCSET_DEFAULT_SIZES);
	scan->methods->open(scan);

	desc->opaque = scan;
	return desc;
}

/* Back to a scan that has not begun. */
static void
reset(AnnScan *scan)
{
	if (scan->rest != NULL)
	{
		tuplesort_end(scan->rest);
		ExecDropSingleTupleTableSlot(scan->rest_in);
		ExecDropSingleTupleTableSlot(scan->rest_out);
	}
	MemoryContextReset(scan->context);

	scan->rest = NULL;
	scan->state = NULL;
	scan->phase = PHASE_START;
	scan->hits = NULL;
	scan->nhits = scan->next_hit = scan->max_hits = 0;
	scan->returned = NULL;
	scan->last = -INFINITY;
}

void
AnnRescan(IndexScanDesc desc, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys)
{
	if (keys != NULL && desc->numberOfKeys > 0)
		memmove(desc->keyData, keys, desc->numberOfKeys * sizeof(ScanKeyData));
	if (orderbys != NULL && desc->numberOfOrderBys > 0)
		memmove(desc->orderByData, orderbys, desc->numberOfOrderBys * sizeof(ScanKeyData));

	reset(desc->opaque);
}

void
AnnEndScan(IndexScanDesc desc)
{
	AnnScan    *scan = desc->opaque;

	reset(scan);
	MemoryContextDelete(scan->context);
	pfree(scan);
	desc->opaque = NULL;
}

void
AnnScanAdd(AnnScan *scan, double distance, const ItemPointerData *tid)
{
	uint64		number = tid_to_number(tid);

	if (scan->phase == PHASE_COLLECT)
	{
		if (AnnReturned_lookup(scan->returned, number) != NULL)
			return;

		ExecClearTuple(scan->rest_in);
		memset(scan->rest_in->tts_isnull, 0, 3 * sizeof(bool));
		scan->rest_in->tts_values[0] = Int32GetDatum(scan->strict && distance < scan->last ? 1 : 0);
		scan->rest_in->tts_values[1] = Float8GetDatum(distance);
		scan->rest_in->tts_values[2] = Int64GetDatum((int64) number);
		ExecStoreVirtualTuple(scan->rest_in);
		tuplesort_puttupleslot(scan->rest, scan->rest_in);
		return;
	}

	if (scan->nhits == scan->max_hits)
	{
		scan->max_hits = Max(64, scan->max_hits * 2);
		if (scan->hits == NULL)
			scan->hits = palloc(sizeof(AnnHit) * scan->max_hits);
		else
			scan->hits = repalloc_huge(scan->hits, sizeof(AnnHit) * (Size) scan->max_hits);
	}
	scan->hits[scan->nhits].distance = distance;
	scan->hits[scan->nhits].tid = *tid;
	scan->nhits++;
}

static void
start(AnnScan *scan, IndexScanDesc desc)
{
	ScanKey		key;

	/* The planner never asks for this; see AnnCostEstimate. */
	if (desc->numberOfOrderBys == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot scan index \"%s\" without an order", RelationGetRelationName(scan->index))));

	/*
	 * No pin keeps VACUUM from recycling what the scan remembers; only an MVCC
	 * snapshot makes that harmless.
	 */
	if (!IsMVCCSnapshot(desc->xs_snapshot))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("non-MVCC snapshots are not supported with index \"%s\"",
						RelationGetRelationName(scan->index))));

	pgstat_count_index_scan(scan->index);
	AnnCountSearch(desc);

	scan->returned = AnnReturned_create(scan->context, 256, NULL);
	scan->strict = scan->methods->strict();

	key = &desc->orderByData[0];
	scan->unordered = (key->sk_flags & SK_ISNULL) ||
		!AnnQueryPrepare(&scan->query, &scan->space, key->sk_argument, false);

	if (scan->unordered)
		scan->phase = PHASE_COLLECT;
	else
	{
		scan->phase = PHASE_STREAM;
		scan->methods->begin(scan);
	}
}

/*
 * Sorts all rows not returned so far.  Where the order is kept, rows nearer than
 * one returned already come last of all: too late, but better than never.
 */
static void
collect(AnnScan *scan)
{
	AttrNumber	attributes[] = {1, 2};
	Oid			operators[] = {Int4LessOperator, Float8LessOperator};
	Oid			collations[] = {InvalidOid, InvalidOid};
	bool		nulls_first[] = {false, false};
	TupleDesc	desc = CreateTemplateTupleDesc(3);

	TupleDescInitEntry(desc, 1, "late", INT4OID, -1, 0);
	TupleDescInitEntry(desc, 2, "distance", FLOAT8OID, -1, 0);
	TupleDescInitEntry(desc, 3, "tid", INT8OID, -1, 0);
	AnnTupleDescFinalize(desc);

	scan->rest = tuplesort_begin_heap(desc, 2, attributes, operators, collations, nulls_first,
									  work_mem, NULL, TUPLESORT_NONE);
	scan->rest_in = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	scan->rest_out = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);

	scan->methods->all(scan);
	tuplesort_performsort(scan->rest);
}

/* The next row of the stream; false at its end. */
static bool
next_of_stream(AnnScan *scan, AnnHit *hit)
{
	for (;;)
	{
		bool		found;

		if (scan->next_hit == scan->nhits)
		{
			scan->next_hit = scan->nhits = 0;
			CHECK_FOR_INTERRUPTS();
			if (!scan->methods->next_batch(scan))
				return false;
			continue;
		}

		*hit = scan->hits[scan->next_hit++];

		/* Found too late to be returned in order: it is among the rest. */
		if (scan->strict && hit->distance < scan->last)
			continue;

		AnnReturned_insert(scan->returned, tid_to_number(&hit->tid), &found);
		if (found)
			continue;

		scan->last = hit->distance;
		return true;
	}
}

static bool
next_of_rest(AnnScan *scan, AnnHit *hit)
{
	bool		isnull;

	if (!tuplesort_gettupleslot(scan->rest, true, false, scan->rest_out, NULL))
		return false;

	hit->distance = DatumGetFloat8(slot_getattr(scan->rest_out, 2, &isnull));
	number_to_tid((uint64) DatumGetInt64(slot_getattr(scan->rest_out, 3, &isnull)), &hit->tid);
	return true;
}

/* What a damaged page says of the table must not get that far. */
static void
check_tid(AnnScan *scan, Relation heap, const ItemPointerData *tid)
{
	BlockNumber blkno = ItemPointerGetBlockNumberNoCheck(tid);

	/* The size of the table costs a system call. */
	if (blkno >= scan->heap_blocks)
		scan->heap_blocks = RelationGetNumberOfBlocks(heap);

	if (blkno >= scan->heap_blocks || !ItemPointerIsValid(tid))
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" names block %u, which table \"%s\" does not have",
						RelationGetRelationName(scan->index), blkno, RelationGetRelationName(heap)),
				 errhint("Please REINDEX it.")));
}

bool
AnnGetTuple(IndexScanDesc desc, ScanDirection dir)
{
	AnnScan    *scan = desc->opaque;
	MemoryContext oldcontext = MemoryContextSwitchTo(scan->context);
	AnnHit		hit;
	bool		found = false;

	Assert(ScanDirectionIsForward(dir));

	if (scan->phase == PHASE_START)
		start(scan, desc);

	if (scan->phase == PHASE_STREAM)
	{
		found = next_of_stream(scan, &hit);
		if (!found)
			scan->phase = PHASE_COLLECT;
	}

	if (scan->phase == PHASE_COLLECT)
	{
		collect(scan);
		scan->phase = PHASE_REST;
	}

	if (scan->phase == PHASE_REST)
		found = next_of_rest(scan, &hit);

	MemoryContextSwitchTo(oldcontext);

	if (found)
	{
		check_tid(scan, desc->heapRelation, &hit.tid);
		desc->xs_heaptid = hit.tid;
		desc->xs_recheck = false;
		desc->xs_recheckorderby = false;
	}
	return found;
}
