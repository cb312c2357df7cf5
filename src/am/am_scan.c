/*
 * am_scan.c
 *	  The scan shell.
 *
 * A scan goes through three phases: it streams the method's batches; when the
 * method gives up it collects the rest, all rows not returned so far, into a
 * sort bounded by work_mem; and it returns these.  Most scans end in the first.
 *
 * What was found and not returned is in one heap.  A row whose distance is not
 * known lies there under the least it may be; when it comes out its value is read
 * and it is put back under its true distance.  So a row comes out as known only
 * when no other can be nearer, and no more values are read than that takes.
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
#include "am/am_fetch.h"
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
	if (scan->fetch != NULL)
		AnnFetchEnd(scan->fetch);
	MemoryContextReset(scan->context);

	scan->rest = NULL;
	scan->fetch = NULL;
	scan->value_context = NULL;
	scan->state = NULL;
	scan->phase = PHASE_START;
	scan->returned = NULL;
	scan->current.nmore = 0;
	scan->next_more = 1;
	scan->last = -INFINITY;
	scan->horizon = INFINITY;
	scan->late = false;
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
	reset(scan);

	desc->opaque = scan;
	return desc;
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

/* Adds rows to the sort of the rest. */
static void
add_to_rest(AnnScan *scan, double distance, bool exact, const ItemPointerData *tids, uint32 n,
			const ItemPointerData *stored)
{
	for (uint32 i = 0; i < n; i++)
	{
		uint64		number = tid_to_number(&tids[i]);

		if (AnnReturned_lookup(scan->returned, number) != NULL)
			continue;

		ExecClearTuple(scan->rest_in);
		memset(scan->rest_in->tts_isnull, 0, 5 * sizeof(bool));
		scan->rest_in->tts_values[0] = Int32GetDatum(scan->strict && distance < scan->last ? 1 : 0);
		scan->rest_in->tts_values[1] = Float8GetDatum(distance);
		scan->rest_in->tts_values[2] = Int64GetDatum((int64) number);
		scan->rest_in->tts_values[3] = BoolGetDatum(exact);
		scan->rest_in->tts_values[4] = Int64GetDatum(i == 0 ? (int64) tid_to_number(stored) : 0);
		ExecStoreVirtualTuple(scan->rest_in);
		tuplesort_puttupleslot(scan->rest, scan->rest_in);
	}
}

static ItemPointerData *
copy_tids(const ItemPointerData *tids, uint32 n)
{
	ItemPointerData *copy = palloc_extended(sizeof(ItemPointerData) * (Size) n, MCXT_ALLOC_HUGE);

	return memcpy(copy, tids, sizeof(ItemPointerData) * (Size) n);
}

void
AnnScanAdd(AnnScan *scan, double distance, double error, const ItemPointerData *tids, uint32 n,
		   const ItemPointerData *stored)
{
	double		least = distance - error;
	AnnHit		hit;

	if (stored != NULL)
		hit.stored = *stored;
	else
		number_to_tid(0, &hit.stored);

	/* Overflow can make it anything.  The true one sorts last. */
	if (isnan(least))
		least = error == 0 ? INFINITY : -INFINITY;

	if (scan->phase == PHASE_COLLECT)
	{
		add_to_rest(scan, least, error == 0, tids, n, &hit.stored);
		return;
	}

	hit.distance = least;
	hit.exact = error == 0;
	hit.tid = tids[0];
	hit.nmore = n - 1;
	hit.more = n > 1 ? copy_tids(tids + 1, n - 1) : NULL;
	ann_hit_heap_push(&scan->hits, &hit);
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
	ann_hit_heap_init(&scan->hits, 64);
	ann_hit_heap_init(&scan->late_hits, 8);
	AnnStoreInit(&scan->store, scan->index, &scan->space, false);
	scan->value_context = AllocSetContextCreate(scan->context, "ann scan value", ALLOCSET_DEFAULT_SIZES);
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
	TupleDesc	desc = CreateTemplateTupleDesc(5);

	TupleDescInitEntry(desc, 1, "late", INT4OID, -1, 0);
	TupleDescInitEntry(desc, 2, "distance", FLOAT8OID, -1, 0);
	TupleDescInitEntry(desc, 3, "tid", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 4, "exact", BOOLOID, -1, 0);
	TupleDescInitEntry(desc, 5, "stored", INT8OID, -1, 0);
	AnnTupleDescFinalize(desc);

	scan->rest = tuplesort_begin_heap(desc, 2, attributes, operators, collations, nulls_first,
									  work_mem, NULL, TUPLESORT_NONE);
	scan->rest_in = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	scan->rest_out = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);

	scan->methods->all(scan);
	tuplesort_performsort(scan->rest);
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

/* Computes the true distance of a hit whose value is in the store. */
static bool
read_distance(AnnScan *scan, AnnHit *hit)
{
	MemoryContext oldcontext;
	void	   *value = NULL;

	if (!ItemPointerIsValid(&hit->stored))
		return false;

	MemoryContextReset(scan->value_context);
	oldcontext = MemoryContextSwitchTo(scan->value_context);
	value = AnnStoreRead(&scan->store, &hit->stored, &hit->tid);
	MemoryContextSwitchTo(oldcontext);
	if (value == NULL)
		return false;
	hit->distance = AnnQueryFullDistance(&scan->query, value);
	return true;
}

/*
 * The same from the table.  False if our snapshot sees none of the rows; those it
 * does not see are dropped until it sees one.
 */
static bool
fetch_distance(AnnScan *scan, IndexScanDesc desc, AnnHit *hit)
{
	MemoryContext oldcontext;
	Datum		value;

	if (scan->fetch == NULL)
		scan->fetch = AnnFetchBegin(desc->heapRelation, desc->indexRelation);

	for (;;)
	{
		check_tid(scan, desc->heapRelation, &hit->tid);
		if (AnnFetchValue(scan->fetch, &hit->tid, desc->xs_snapshot, &value))
			break;
		CHECK_FOR_INTERRUPTS();
		if (hit->nmore == 0)
			return false;
		hit->tid = hit->more[--hit->nmore];
	}

	oldcontext = MemoryContextSwitchTo(AnnFetchContext(scan->fetch));
	hit->distance = AnnQueryExact(&scan->query, value);
	MemoryContextSwitchTo(oldcontext);
	return true;
}

/*
 * Takes the nearest hit, if its distance is known; if not, finds it out, and puts
 * the hit back unless our snapshot is known to see none of its rows.
 */
static bool
take_hit(AnnScan *scan, IndexScanDesc desc, AnnHit *hit)
{
	*hit = ann_hit_heap_pop(&scan->hits);
	if (hit->exact)
		return true;

	if (hit->nmore == 0 && AnnReturned_lookup(scan->returned, tid_to_number(&hit->tid)) != NULL)
		return false;

	if (!read_distance(scan, hit) && !fetch_distance(scan, desc, hit))
		return false;

	if (isnan(hit->distance))
		hit->distance = INFINITY;
	hit->exact = true;
	ann_hit_heap_push(&scan->hits, hit);
	return false;
}

/* The next hit of the stream; false at its end. */
static bool
next_of_stream(AnnScan *scan, IndexScanDesc desc, AnnHit *hit)
{
	for (;;)
	{
		if (scan->hits.count == 0 || ann_hit_heap_top(&scan->hits)->distance > scan->horizon)
		{
			CHECK_FOR_INTERRUPTS();
			if (!scan->methods->next_batch(scan))
				return false;
		}
		/* Found too late to be returned in order: it is among the rest. */
		else if (take_hit(scan, desc, hit) && !(scan->strict && hit->distance < scan->last))
			return true;
	}
}

/* Moves the next of the rest to the hits, unless something there comes before it. */
static bool
read_rest(AnnScan *scan)
{
	TupleTableSlot *slot = scan->rest_out;
	AnnHit		hit = {0};
	bool		isnull;

	if (TTS_EMPTY(slot) && !tuplesort_gettupleslot(scan->rest, true, false, slot, NULL))
		return false;

	/* Late rows come when all others are gone. */
	if (DatumGetInt32(slot_getattr(slot, 1, &isnull)) != 0 && !scan->late)
		return false;

	hit.distance = DatumGetFloat8(slot_getattr(slot, 2, &isnull));
	if (scan->hits.count > 0 && ann_hit_heap_top(&scan->hits)->distance < hit.distance)
		return false;

	number_to_tid((uint64) DatumGetInt64(slot_getattr(slot, 3, &isnull)), &hit.tid);
	hit.exact = DatumGetBool(slot_getattr(slot, 4, &isnull));
	number_to_tid((uint64) DatumGetInt64(slot_getattr(slot, 5, &isnull)), &hit.stored);
	ann_hit_heap_push(&scan->hits, &hit);
	ExecClearTuple(slot);
	return true;
}

static bool
next_of_rest(AnnScan *scan, IndexScanDesc desc, AnnHit *hit)
{
	for (;;)
	{
		if (read_rest(scan))
			continue;

		if (scan->hits.count == 0)
		{
			ann_hit_heap none = scan->hits;

			if (scan->late)
				return false;
			scan->late = true;
			scan->hits = scan->late_hits;
			scan->late_hits = none;
			continue;
		}

		if (!take_hit(scan, desc, hit))
			continue;
		if (scan->late || !scan->strict || hit->distance >= scan->last)
			return true;
		ann_hit_heap_push(&scan->late_hits, hit);
	}
}

/* The next row of the hit that is being handed out; false if it has no more. */
static bool
next_of_hit(AnnScan *scan, ItemPointerData *tid)
{
	while (scan->next_more <= scan->current.nmore)
	{
		uint32		i = scan->next_more++;
		bool		found;

		*tid = i == 0 ? scan->current.tid : scan->current.more[i - 1];

		/* Even the rest may have a row twice, if it was moved meanwhile. */
		AnnReturned_insert(scan->returned, tid_to_number(tid), &found);
		if (!found)
			return true;
	}
	return false;
}

/* Makes the next hit the one to be handed out; false at the end of the scan. */
static bool
next_hit(AnnScan *scan, IndexScanDesc desc)
{
	if (scan->phase == PHASE_STREAM && next_of_stream(scan, desc, &scan->current))
		return true;

	if (scan->phase != PHASE_REST)
	{
		/* What lies beyond the horizon is among the rest. */
		ann_hit_heap_reset(&scan->hits);
		scan->phase = PHASE_COLLECT;
		collect(scan);
		scan->phase = PHASE_REST;
	}
	return next_of_rest(scan, desc, &scan->current);
}

bool
AnnGetTuple(IndexScanDesc desc, ScanDirection dir)
{
	AnnScan    *scan = desc->opaque;
	MemoryContext oldcontext = MemoryContextSwitchTo(scan->context);
	ItemPointerData tid;
	bool		found;

	Assert(ScanDirectionIsForward(dir));

	if (scan->phase == PHASE_START)
		start(scan, desc);

	while (!(found = next_of_hit(scan, &tid)))
	{
		if (scan->current.nmore > 0)
			pfree(scan->current.more);
		scan->current.nmore = 0;
		if (!next_hit(scan, desc))
			break;
		scan->last = scan->late ? scan->last : scan->current.distance;
		scan->next_more = 0;
	}

	/* Nothing of the table stays pinned between calls. */
	if (scan->fetch != NULL)
		AnnFetchReset(scan->fetch);
	MemoryContextSwitchTo(oldcontext);

	if (found)
	{
		check_tid(scan, desc->heapRelation, &tid);
		desc->xs_heaptid = tid;
		desc->xs_recheck = false;
		desc->xs_recheckorderby = false;
	}
	return found;
}
