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
 *
 * Where the order is kept, rows that are nearer than one returned come when all
 * others are gone, in an order of their own.
 *
 * Two things grow with the scan: the heap, and the set of rows returned.  The
 * farther half of a heap grown too large is forgotten: it will be among the rest,
 * which is collected again if need be.  When too many rows were returned to be
 * remembered, all true distances of the rest are computed at once, and sorted.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "am/am.h"
#include "am/am_fetch.h"
#include "am/am_tids.h"
#include "compat.h"

enum
{
	PHASE_START,
	PHASE_STREAM,
	PHASE_COLLECT,
	PHASE_REST
};

/* Bytes for what is remembered of rows, each of the heap and the set. */
static inline Size
allowance(void)
{
	return work_mem * (Size) 1024 / 2;
}

static inline bool
returned_too_many(const AnnScan *scan)
{
	return scan->returned->size * sizeof(AnnTidEntry) > allowance();
}

static void
end_rest(Tuplesortstate *rest, TupleTableSlot *in, TupleTableSlot *out)
{
	ExecDropSingleTupleTableSlot(in);
	ExecDropSingleTupleTableSlot(out);
	tuplesort_end(rest);
}

/*
 * The method's callbacks, which read pages of the index and no others.
 */

static void
begin(AnnScan *scan)
{
	int64		before = AnnPagesRead();

	scan->methods->begin(scan);
	scan->counters.pages += AnnPagesRead() - before;
}

static bool
next_batch(AnnScan *scan)
{
	int64		before = AnnPagesRead();
	bool		more = scan->methods->next_batch(scan);
	int64		read = AnnPagesRead() - before;

	/* What is added without reading was found in a round before. */
	scan->counters.pages += read;
	if (more && scan->begun && read > 0)
		scan->counters.rounds++;
	scan->begun = true;
	return more;
}

static void
all(AnnScan *scan)
{
	int64		before = AnnPagesRead();

	scan->methods->all(scan);
	scan->counters.pages += AnnPagesRead() - before;
}

/* Back to a scan that has not begun. */
static void
reset(AnnScan *scan)
{
	if (scan->rest != NULL)
		end_rest(scan->rest, scan->rest_in, scan->rest_out);
	scan->rest = NULL;
	if (scan->fetch != NULL)
		AnnFetchEnd(scan->fetch);
	MemoryContextReset(scan->context);

	scan->fetch = NULL;
	scan->value_context = NULL;
	scan->state = NULL;
	scan->phase = PHASE_START;
	scan->begun = false;
	scan->returned = NULL;
	scan->more_size = 0;
	scan->limit = INFINITY;
	scan->settled = false;
	scan->current.nmore = 0;
	scan->current.more = NULL;
	scan->next_more = 1;
	scan->last = -INFINITY;
	scan->horizon = INFINITY;
	scan->due = PG_INT64_MAX;
	scan->handed = 0;
	scan->missed = false;
	scan->end = NAN;
}

IndexScanDesc
AnnBeginScan(Relation index, int nkeys, int norderbys)
{
	IndexScanDesc desc = RelationGetIndexScan(index, nkeys, norderbys);
	AnnScan    *scan = palloc0(sizeof(AnnScan));

	scan->index = index;
	scan->methods = AnnFindMethod(index)->scan;
	scan->context = AllocSetContextCreate(CurrentMemoryContext, "ann scan", ALLOCSET_DEFAULT_SIZES);
	scan->methods->open(index, &scan->space);
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
	if (scan->counters.scans > 0)
		AnnCountScan(RelationGetRelid(scan->index), &scan->counters);
	MemoryContextDelete(scan->context);
	pfree(scan);
	desc->opaque = NULL;
}

/*
 * Adds rows to the sort of the rest, given the least distance they may have and,
 * unless it is known, by how much that errs.  Those that must be nearer than the
 * last one returned come too late to be in order.
 */
static void
add_to_rest(AnnScan *scan, double least, double error, const ItemPointerData *tids, uint32 n,
			const AnnPlace *stored)
{
	bool		late = scan->strict && least + 2 * error < scan->last;

	for (uint32 i = 0; i < n; i++)
	{
		if (AnnTidsHave(scan->returned, &tids[i]))
			continue;
		if (late)
		{
			scan->missed = true;
			continue;
		}

		ExecClearTuple(scan->rest_in);
		memset(scan->rest_in->tts_isnull, 0, 5 * sizeof(bool));
		scan->rest_in->tts_values[0] = Float8GetDatum(least);
		scan->rest_in->tts_values[1] = Int64GetDatum((int64) AnnTidNumber(&tids[i]));
		scan->rest_in->tts_values[2] = BoolGetDatum(error == 0);
		scan->rest_in->tts_values[3] = Int64GetDatum((int64) AnnTidNumber(&stored->at));
		scan->rest_in->tts_values[4] = Int64GetDatum((int64) AnnTidNumber(&stored->owner));
		ExecStoreVirtualTuple(scan->rest_in);
		tuplesort_puttupleslot(scan->rest, scan->rest_in);
	}
}

/* Gives a hit rows beside its first. */
static void
copy_more(AnnScan *scan, AnnHit *hit, const ItemPointerData *tids, uint32 n)
{
	Size		size = sizeof(ItemPointerData) * (Size) n;

	hit->nmore = n;
	hit->more = NULL;
	if (n > 0)
		hit->more = memcpy(palloc_extended(size, MCXT_ALLOC_HUGE), tids, size);
	scan->more_size += size;
}

static void
free_more(AnnScan *scan, AnnHit *hit)
{
	if (hit->more != NULL)
		pfree(hit->more);
	scan->more_size -= sizeof(ItemPointerData) * (Size) hit->nmore;
	hit->more = NULL;
	hit->nmore = 0;
}

static int
compare_hits(const void *a, const void *b)
{
	double		x = ((const AnnHit *) a)->distance;
	double		y = ((const AnnHit *) b)->distance;

	return (x > y) - (x < y);
}

/* Forgets the farther half of the hits.  In ascending order they are a heap. */
static void
forget_far_hits(AnnScan *scan)
{
	int			kept = scan->hits.count / 2;

	qsort(scan->hits.elements, scan->hits.count, sizeof(AnnHit), compare_hits);
	scan->limit = scan->hits.elements[kept].distance;
	while (scan->hits.count > kept)
		free_more(scan, &scan->hits.elements[--scan->hits.count]);
}

void
AnnScanAdd(AnnScan *scan, double distance, double error, const ItemPointerData *tids, uint32 n,
		   const AnnPlace *stored)
{
	double		least = distance - error;
	AnnHit		hit;

	if (stored != NULL)
		hit.stored = *stored;
	else
	{
		ItemPointerSetInvalid(&hit.stored.at);
		ItemPointerSetInvalid(&hit.stored.owner);
	}

	/* Overflow can make it anything.  The true one sorts last. */
	if (isnan(least))
		least = error == 0 ? INFINITY : -INFINITY;

	if (scan->phase == PHASE_COLLECT)
	{
		add_to_rest(scan, least, error, tids, n, &hit.stored);
		return;
	}

	if (least > scan->limit)
		return;

	hit.distance = least;
	hit.exact = error == 0;
	hit.tid = tids[0];
	copy_more(scan, &hit, tids + 1, n - 1);
	ann_hit_heap_push(&scan->hits, &hit);

	if (scan->hits.count > 1 &&
		(scan->hits.count * sizeof(AnnHit) > allowance() || scan->more_size > allowance()))
		forget_far_hits(scan);
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
	scan->counters.scans++;

	scan->returned = ann_tids_create(scan->context, 256, NULL);
	ann_hit_heap_init(&scan->hits, 64);
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
		begin(scan);
	}
}

/* Begins a sort of rows by their distances, equal ones together. */
static void
begin_rest(AnnScan *scan)
{
	AttrNumber	attributes[] = {1, 2};
	Oid			operators[] = {Float8LessOperator, Int8LessOperator};
	Oid			collations[] = {InvalidOid, InvalidOid};
	bool		nulls_first[] = {false, false};
	TupleDesc	desc = CreateTemplateTupleDesc(5);

	TupleDescInitEntry(desc, 1, "distance", FLOAT8OID, -1, 0);
	TupleDescInitEntry(desc, 2, "tid", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 3, "exact", BOOLOID, -1, 0);
	TupleDescInitEntry(desc, 4, "stored", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 5, "owner", INT8OID, -1, 0);
	AnnTupleDescFinalize(desc);

	scan->rest = tuplesort_begin_heap(desc, 2, attributes, operators, collations, nulls_first,
									  work_mem, NULL, TUPLESORT_NONE);
	scan->rest_in = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	scan->rest_out = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
}

/* Sorts all rows not returned so far, those among them that were forgotten. */
static void
collect(AnnScan *scan)
{
	while (scan->hits.count > 0)
		free_more(scan, &scan->hits.elements[--scan->hits.count]);
	if (scan->rest != NULL)
		end_rest(scan->rest, scan->rest_in, scan->rest_out);
	scan->limit = INFINITY;

	begin_rest(scan);
	scan->phase = PHASE_COLLECT;
	all(scan);
	scan->phase = PHASE_REST;
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

	if (!ItemPointerIsValid(&hit->stored.at))
		return false;

	MemoryContextReset(scan->value_context);
	oldcontext = MemoryContextSwitchTo(scan->value_context);
	value = AnnStoreRead(&scan->store, &hit->stored);
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

	/* Often the row read last is the next to be returned, and its page is pinned then. */
	if (scan->fetch == NULL)
		scan->fetch = AnnFetchBegin(desc->heapRelation, desc->indexRelation, desc->xs_heapfetch);

	for (;;)
	{
		check_tid(scan, desc->heapRelation, &hit->tid);
		if (AnnFetchValue(scan->fetch, &hit->tid, desc->xs_snapshot, &value))
			break;
		CHECK_FOR_INTERRUPTS();
		if (hit->nmore == 0)
		{
			free_more(scan, hit);
			return false;
		}
		hit->tid = hit->more[--hit->nmore];
		scan->more_size -= sizeof(ItemPointerData);
	}

	oldcontext = MemoryContextSwitchTo(AnnFetchContext(scan->fetch));
	hit->distance = AnnQueryExact(&scan->query, value);
	MemoryContextSwitchTo(oldcontext);
	return true;
}

/*
 * Makes the distance of a hit the true one; false if our snapshot is known to see
 * none of its rows.
 */
static bool
make_exact(AnnScan *scan, IndexScanDesc desc, AnnHit *hit)
{
	int64		before;
	bool		found;

	if (hit->exact)
		return true;

	scan->counters.reranked++;
	before = AnnPagesRead();
	found = read_distance(scan, hit);
	scan->counters.pages += AnnPagesRead() - before;
	if (!found)
	{
		before = AnnPagesRead();
		found = fetch_distance(scan, desc, hit);
		scan->counters.table_pages += AnnPagesRead() - before;
	}
	if (!found)
		return false;

	if (isnan(hit->distance))
		hit->distance = INFINITY;
	hit->exact = true;
	return true;
}

/*
 * Takes the nearest hit, if its distance is known; if not, finds it out and puts
 * the hit back.  One that is found too late to be returned in order is left out.
 */
static bool
take_hit(AnnScan *scan, IndexScanDesc desc, AnnHit *hit)
{
	bool		known;

	*hit = ann_hit_heap_pop(&scan->hits);
	known = hit->exact;
	if (!known)
	{
		CHECK_FOR_INTERRUPTS();
		if (hit->nmore == 0 && AnnTidsHave(scan->returned, &hit->tid))
			return false;
		if (!make_exact(scan, desc, hit))
			return false;
	}

	if (scan->strict && hit->distance < scan->last)
	{
		free_more(scan, hit);
		scan->missed = true;
		return false;
	}
	if (!known)
		ann_hit_heap_push(&scan->hits, hit);
	return known;
}

/* The distance of the nearest hit, or what is known of it. */
static inline double
nearest_distance(const AnnScan *scan)
{
	return scan->hits.count > 0 ? scan->hits.elements[0].distance : INFINITY;
}

/* The next hit of the stream; false at its end. */
static bool
next_of_stream(AnnScan *scan, IndexScanDesc desc, AnnHit *hit)
{
	while (!returned_too_many(scan) && nearest_distance(scan) <= scan->limit)
	{
		if (scan->hits.count == 0 || nearest_distance(scan) > scan->horizon || scan->handed >= scan->due)
		{
			CHECK_FOR_INTERRUPTS();
			if (!next_batch(scan))
				return false;
		}
		else if (take_hit(scan, desc, hit))
		{
			scan->handed++;
			return true;
		}
	}
	return false;
}

/* Fetches a row of the rest, which is a hit of its own. */
static bool
get_rest(Tuplesortstate *rest, TupleTableSlot *slot, AnnHit *hit)
{
	bool		isnull;

	if (TTS_EMPTY(slot) && !tuplesort_gettupleslot(rest, true, false, slot, NULL))
		return false;

	hit->distance = DatumGetFloat8(slot_getattr(slot, 1, &isnull));
	AnnTidOfNumber((uint64) DatumGetInt64(slot_getattr(slot, 2, &isnull)), &hit->tid);
	hit->exact = DatumGetBool(slot_getattr(slot, 3, &isnull));
	AnnTidOfNumber((uint64) DatumGetInt64(slot_getattr(slot, 4, &isnull)), &hit->stored.at);
	AnnTidOfNumber((uint64) DatumGetInt64(slot_getattr(slot, 5, &isnull)), &hit->stored.owner);
	hit->nmore = 0;
	hit->more = NULL;
	return true;
}

/*
 * Moves the next of the rest to the hits, unless something there need not wait for
 * it: of rows equally far, however many, one is there at a time.
 */
static bool
read_rest(AnnScan *scan)
{
	AnnHit		hit;

	if (!get_rest(scan->rest, scan->rest_out, &hit))
		return false;
	if (scan->hits.count > 0 && nearest_distance(scan) <= hit.distance)
		return false;

	ann_hit_heap_push(&scan->hits, &hit);
	ExecClearTuple(scan->rest_out);
	return true;
}

static void
settle_hit(AnnScan *scan, IndexScanDesc desc, AnnHit *hit)
{
	CHECK_FOR_INTERRUPTS();
	if (make_exact(scan, desc, hit))
		add_to_rest(scan, hit->distance, 0, &hit->tid, 1, &hit->stored);
}

/*
 * Puts the rest into the order of its true distances, after which nothing more has
 * to be remembered: what would be returned twice comes twice in a row, and of late
 * rows it is certain that they are.
 */
static void
settle(AnnScan *scan, IndexScanDesc desc)
{
	bool		strict = scan->strict;
	Tuplesortstate *rest;
	TupleTableSlot *rest_in;
	TupleTableSlot *rest_out;
	AnnHit		hit;

	if (scan->missed || scan->limit < INFINITY)
	{
		scan->strict = scan->missed = false;
		collect(scan);
		scan->strict = strict;
	}

	rest = scan->rest;
	rest_in = scan->rest_in;
	rest_out = scan->rest_out;
	begin_rest(scan);
	while (scan->hits.count > 0)
		settle_hit(scan, desc, &scan->hits.elements[--scan->hits.count]);
	while (get_rest(rest, rest_out, &hit))
	{
		ExecClearTuple(rest_out);
		settle_hit(scan, desc, &hit);
	}
	end_rest(rest, rest_in, rest_out);
	tuplesort_performsort(scan->rest);

	pfree(scan->hits.elements);
	ann_hit_heap_init(&scan->hits, 8);
	scan->settled = true;
	if (scan->strict)
		scan->end = scan->last;
}

/* The next hit of the rest.  When all others are gone, it begins again with those that were too late. */
static bool
next_of_rest(AnnScan *scan, IndexScanDesc desc, AnnHit *hit)
{
	for (;;)
	{
		if (!scan->settled && returned_too_many(scan))
			settle(scan, desc);
		else if (scan->hits.count * sizeof(AnnHit) > allowance())
			forget_far_hits(scan);

		if (read_rest(scan))
			continue;

		if (nearest_distance(scan) > scan->limit)
			collect(scan);
		else if (scan->hits.count == 0)
		{
			if (!scan->missed)
				return false;
			scan->strict = scan->missed = scan->settled = false;
			collect(scan);
		}
		else if (take_hit(scan, desc, hit))
			return scan->strict || isnan(scan->end) || hit->distance < scan->end;
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
		if (scan->settled)
			found = AnnTidNumber(tid) == scan->previous;
		else
			found = !AnnTidsAdd(scan->returned, tid);
		scan->previous = AnnTidNumber(tid);
		if (!found)
			return true;
	}
	return false;
}

/* The next hit to be handed out; false at the end of the scan. */
static bool
next_hit(AnnScan *scan, IndexScanDesc desc, AnnHit *hit)
{
	if (scan->phase == PHASE_STREAM && next_of_stream(scan, desc, hit))
		return true;

	if (scan->phase != PHASE_REST)
	{
		scan->counters.full_reads++;
		collect(scan);
	}
	return next_of_rest(scan, desc, hit);
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
		AnnHit		hit;

		free_more(scan, &scan->current);
		if (!next_hit(scan, desc, &hit))
			break;
		scan->current = hit;
		scan->last = scan->current.distance;
		scan->next_more = 0;
	}

	/* Like the executor, it keeps no more than one page of the table pinned. */
	if (scan->fetch != NULL)
		AnnFetchReset(scan->fetch);
	MemoryContextSwitchTo(oldcontext);

	if (found)
	{
		check_tid(scan, desc->heapRelation, &tid);
		scan->counters.returned++;
		desc->xs_heaptid = tid;
		desc->xs_recheck = false;
		desc->xs_recheckorderby = false;
	}
	return found;
}
