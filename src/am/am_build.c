/*
 * am_build.c
 *	  The build shell.
 *
 * Follows the parallel protocol of nbtsort.c: the leader starts workers, they
 * join a parallel table scan, each hands its rows to the method, and the leader
 * waits until all are done.  Unlike nbtree's, our participants work on one
 * structure in shared memory.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/dsm.h"
#include "storage/spin.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "am/am.h"
#include "compat.h"

#define KEY_SHARED UINT64CONST(0xA000000000000001)
#define KEY_SCAN UINT64CONST(0xA000000000000002)
#define KEY_QUERY_TEXT UINT64CONST(0xA000000000000003)
#define KEY_WAL_USAGE UINT64CONST(0xA000000000000004)
#define KEY_BUFFER_USAGE UINT64CONST(0xA000000000000005)

/* How many rows a participant adds between reports of its progress. */
#define PROGRESS_INTERVAL 128

/* Memory that adding a row takes, as a rule. */
#define ROW_CONTEXT_SIZE (256 * 1024)

/* What the participants of a parallel build share, beside the area. */
typedef struct AnnBuildShared
{
	/* Constant. */
	Oid			heap;
	Oid			index;
	bool		concurrent;
	dsm_handle	area;
	Size		area_size;

	/* Rows added so far, for the progress report. */
	pg_atomic_uint64 added;

	/* Results, guarded by mutex; done is signalled whenever one is finished. */
	slock_t		mutex;
	int			finished;
	bool		broken_hot_chain;
	double		heap_tuples;
	double		index_tuples;
	int			writers;		/* set after finish */
	ConditionVariable done;
	ConditionVariable write;
} AnnBuildShared;

extern ANN_EXPORT void ann_build_worker_main(dsm_segment *seg, shm_toc *toc);

void
AnnBuildPhase(int phase, double steps)
{
	const int	params[] = {
		PROGRESS_CREATEIDX_SUBPHASE, PROGRESS_CREATEIDX_TUPLES_TOTAL, PROGRESS_CREATEIDX_TUPLES_DONE
	};
	const int64 values[] = {phase, (int64) steps, 0};

	pgstat_progress_update_multi_param(lengthof(params), params, values);
}

void
AnnBuildProgress(double done)
{
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) done);
}

char *
AnnBuildPhaseName(int64 phase)
{
	switch (phase)
	{
		case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
			return "initializing";
		case ANN_PHASE_LOG:
			return "logging pages";
		default:
			return NULL;
	}
}

/*
 * Wherever a vector is stored out of line the table's own pages are few, and
 * the core's estimate, made from them, would employ nobody; but a table that
 * is worth one worker is worth all we may have, for each row is hard work.
 */
int
AnnBuildWorkers(Relation heap, Relation index)
{
	int			nest_level = NewGUCNestLevel();
	int			workers;

	/*
	 * It would give each worker 32 MB of maintenance_work_mem of its own; ours
	 * share what there is.
	 */
	(void) set_config_option("maintenance_work_mem", "1GB", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	workers = plan_create_index_workers(RelationGetRelid(heap), RelationGetRelid(index));
	AtEOXact_GUC(true, nest_level);

	if (workers == 0)
		return 0;

	workers = RelationGetParallelWorkers(heap, -1);
	if (workers < 0)
		return max_parallel_maintenance_workers;
	return Min(workers, max_parallel_maintenance_workers);
}

/*
 * Creates shared memory for the area, or returns NULL: containers often have
 * less of it than maintenance_work_mem promises, and a build without workers
 * is better than none.
 */
static dsm_segment *
create_area(Size size)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	dsm_segment *volatile segment = NULL;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		segment = dsm_create(size, DSM_CREATE_NULL_IF_MAXSEGMENTS);
		/* or it would go with the subtransaction */
		if (segment != NULL)
			dsm_pin_mapping(segment);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;

		/* Lack of memory is what we came to survive; anything else is not. */
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_INSUFFICIENT_RESOURCES)
			ReThrowError(error);
		ereport(DEBUG1,
				(errmsg_internal("building without workers: %s", error->message)));
		FreeErrorData(error);
		segment = NULL;
	}
	PG_END_TRY();

	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (segment != NULL)
		dsm_unpin_mapping(segment);
	return segment;
}

static void
report_progress(AnnBuild *build)
{
	AnnBuildProgress(build->shared == NULL ? build->added :
					 pg_atomic_read_u64(&build->shared->added));
}

static void
add_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *arg)
{
	AnnBuild   *build = arg;
	MemoryContext oldcontext;

	if (isnull[0])
		return;

	oldcontext = MemoryContextSwitchTo(build->row_context);
	if (build->methods->add(build, values[0], tid))
	{
		build->added++;
		if ((int64) build->added % PROGRESS_INTERVAL == 0)
		{
			if (build->shared != NULL)
				pg_atomic_fetch_add_u64(&build->shared->added, PROGRESS_INTERVAL);
			if (!IsParallelWorker())
				report_progress(build);
		}
	}
	MemoryContextSwitchTo(oldcontext);
	MemoryContextReset(build->row_context);
}

/* A participant's whole work; returns the number of heap tuples it saw. */
static double
participate(AnnBuild *build, ParallelTableScanDesc parallel_scan)
{
	TableScanDesc scan = NULL;
	double		heap_tuples;

	if (parallel_scan != NULL)
		scan = table_beginscan_parallel(build->heap, parallel_scan);

	build->added = 0;

	/* What most rows need is kept from one to the next. */
	build->row_context = AllocSetContextCreate(CurrentMemoryContext, "ann build row",
											   ROW_CONTEXT_SIZE, ROW_CONTEXT_SIZE,
											   ALLOCSET_DEFAULT_MAXSIZE);
	build->methods->begin(build);
	heap_tuples = table_index_build_scan(build->heap, build->index, build->info,
										 true, !IsParallelWorker(), add_row, build, scan);
	build->methods->end(build);
	MemoryContextDelete(build->row_context);
	return heap_tuples;
}

static void
finish_participant(AnnBuild *build, double heap_tuples)
{
	AnnBuildShared *shared = build->shared;

	SpinLockAcquire(&shared->mutex);
	build->number = shared->finished++;
	shared->broken_hot_chain |= build->info->ii_BrokenHotChain;
	shared->heap_tuples += heap_tuples;
	shared->index_tuples += build->added;
	SpinLockRelease(&shared->mutex);
	ConditionVariableSignal(&shared->done);
}

/* A worker waits for the leader's finish, and writes. */
static void
write_share(AnnBuild *build)
{
	AnnBuildShared *shared = build->shared;

	if (build->methods->write == NULL)
		return;

	ConditionVariablePrepareToSleep(&shared->write);
	for (;;)
	{
		SpinLockAcquire(&shared->mutex);
		build->participants = shared->writers;
		SpinLockRelease(&shared->mutex);
		if (build->participants > 0)
			break;
		ConditionVariableSleep(&shared->write, WAIT_EVENT_PARALLEL_FINISH);
	}
	ConditionVariableCancelSleep();
	build->methods->write(build);
}

/* The leader finishes, and writes along with the workers, if there are any. */
static void
finish_build(AnnBuild *build)
{
	AnnBuildShared *shared = build->shared;

	build->methods->finish(build);
	if (shared != NULL)
	{
		SpinLockAcquire(&shared->mutex);
		shared->writers = build->participants;
		SpinLockRelease(&shared->mutex);
		ConditionVariableBroadcast(&shared->write);
	}
	if (build->methods->write != NULL)
		build->methods->write(build);
}

static int
count_finished(AnnBuildShared *shared)
{
	int			finished;

	SpinLockAcquire(&shared->mutex);
	finished = shared->finished;
	SpinLockRelease(&shared->mutex);
	return finished;
}

/*
 * Builds with workers.  Returns false, having done nothing, if none can be had.
 */
static bool
run_parallel(AnnBuild *build, int workers, Size size, IndexBuildResult *result)
{
	bool		concurrent = build->info->ii_Concurrent;
	dsm_segment *area = create_area(size);
	ParallelContext *context;
	Snapshot	snapshot;
	AnnBuildShared *shared;
	ParallelTableScanDesc scan;
	WalUsage   *wal_usage;
	BufferUsage *buffer_usage;
	char	   *query;

	if (area == NULL)
		return false;

	EnterParallelMode();
	context = CreateParallelContext("ann", "ann_build_worker_main", workers);
	snapshot = concurrent ? RegisterSnapshot(GetTransactionSnapshot()) : SnapshotAny;

	shm_toc_estimate_chunk(&context->estimator, sizeof(AnnBuildShared));
	shm_toc_estimate_chunk(&context->estimator, table_parallelscan_estimate(build->heap, snapshot));
	shm_toc_estimate_chunk(&context->estimator, mul_size(sizeof(WalUsage), workers));
	shm_toc_estimate_chunk(&context->estimator, mul_size(sizeof(BufferUsage), workers));
	if (debug_query_string)
		shm_toc_estimate_chunk(&context->estimator, strlen(debug_query_string) + 1);
	shm_toc_estimate_keys(&context->estimator, 5);
	InitializeParallelDSM(context);

	if (context->seg == NULL)
	{
		if (IsMVCCSnapshot(snapshot))
			UnregisterSnapshot(snapshot);
		DestroyParallelContext(context);
		ExitParallelMode();
		dsm_detach(area);
		return false;
	}

	shared = shm_toc_allocate(context->toc, sizeof(AnnBuildShared));
	shared->heap = RelationGetRelid(build->heap);
	shared->index = RelationGetRelid(build->index);
	shared->concurrent = concurrent;
	shared->area = dsm_segment_handle(area);
	shared->area_size = size;
	pg_atomic_init_u64(&shared->added, 0);
	SpinLockInit(&shared->mutex);
	shared->finished = 0;
	shared->broken_hot_chain = false;
	shared->heap_tuples = 0;
	shared->index_tuples = 0;
	shared->writers = 0;
	ConditionVariableInit(&shared->done);
	ConditionVariableInit(&shared->write);
	shm_toc_insert(context->toc, KEY_SHARED, shared);

	scan = shm_toc_allocate(context->toc, table_parallelscan_estimate(build->heap, snapshot));
	table_parallelscan_initialize(build->heap, scan, snapshot);
	shm_toc_insert(context->toc, KEY_SCAN, scan);

	wal_usage = shm_toc_allocate(context->toc, mul_size(sizeof(WalUsage), workers));
	shm_toc_insert(context->toc, KEY_WAL_USAGE, wal_usage);
	buffer_usage = shm_toc_allocate(context->toc, mul_size(sizeof(BufferUsage), workers));
	shm_toc_insert(context->toc, KEY_BUFFER_USAGE, buffer_usage);

	if (debug_query_string)
	{
		query = shm_toc_allocate(context->toc, strlen(debug_query_string) + 1);
		strcpy(query, debug_query_string);
		shm_toc_insert(context->toc, KEY_QUERY_TEXT, query);
	}

	build->area = dsm_segment_address(area);
	build->area_size = size;
	build->segment = area;
	build->participants = workers + 1;
	build->shared = shared;
	build->methods->init(build);

	LaunchParallelWorkers(context);
	build->participants = context->nworkers_launched + 1;
	ereport(DEBUG1,
			(errmsg_internal("using %d parallel workers", context->nworkers_launched)));

	finish_participant(build, participate(build, scan));

	WaitForParallelWorkersToAttach(context);
	ConditionVariablePrepareToSleep(&shared->done);
	while (count_finished(shared) < context->nworkers_launched + 1)
	{
		ConditionVariableTimedSleep(&shared->done, 1000, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
		report_progress(build);
	}
	ConditionVariableCancelSleep();

	build->info->ii_BrokenHotChain = shared->broken_hot_chain;
	result->heap_tuples = shared->heap_tuples;
	result->index_tuples = build->total = shared->index_tuples;

	finish_build(build);

	WaitForParallelWorkersToFinish(context);
	for (int i = 0; i < context->nworkers_launched; i++)
		InstrAccumParallelQuery(&buffer_usage[i], &wal_usage[i]);

	if (IsMVCCSnapshot(snapshot))
		UnregisterSnapshot(snapshot);
	DestroyParallelContext(context);
	ExitParallelMode();
	dsm_detach(area);
	return true;
}

static void
run_serial(AnnBuild *build, Size size, IndexBuildResult *result)
{
	build->area = palloc_extended(size, MCXT_ALLOC_HUGE);
	build->area_size = size;
	build->segment = NULL;
	build->participants = 1;
	build->number = 0;
	build->shared = NULL;
	build->methods->init(build);

	result->heap_tuples = participate(build, NULL);
	result->index_tuples = build->total = build->added;
	report_progress(build);

	finish_build(build);
	pfree(build->area);
}

IndexBuildResult *
AnnBuildRun(AnnBuild *build, int phase, double tuples, Size size)
{
	IndexBuildResult *result = palloc0(sizeof(IndexBuildResult));
	int			workers = AnnBuildWorkers(build->heap, build->index);
	Size		most = (Size) maintenance_work_mem * 1024;

	build->methods = AnnFindMethod(build->index)->parallel;

	AnnBuildPhase(phase, tuples);

	/* Shared memory is taken at once, private memory when it is touched. */
	if (workers == 0 || !run_parallel(build, workers, Min(size, most), result))
		run_serial(build, most, result);
	return result;
}

void
ann_build_worker_main(dsm_segment *seg, shm_toc *toc)
{
	AnnBuildShared *shared = shm_toc_lookup(toc, KEY_SHARED, false);
	ParallelTableScanDesc scan = shm_toc_lookup(toc, KEY_SCAN, false);
	WalUsage   *wal_usage = shm_toc_lookup(toc, KEY_WAL_USAGE, false);
	BufferUsage *buffer_usage = shm_toc_lookup(toc, KEY_BUFFER_USAGE, false);
	LOCKMODE	heap_lockmode = shared->concurrent ? ShareUpdateExclusiveLock : ShareLock;
	LOCKMODE	index_lockmode = shared->concurrent ? RowExclusiveLock : AccessExclusiveLock;
	AnnBuild	build = {0};
	dsm_segment *area;
	double		heap_tuples;

	debug_query_string = shm_toc_lookup(toc, KEY_QUERY_TEXT, true);
	pgstat_report_activity(STATE_RUNNING, debug_query_string);

	build.heap = table_open(shared->heap, heap_lockmode);
	build.index = index_open(shared->index, index_lockmode);
	build.info = BuildIndexInfo(build.index);
	build.info->ii_Concurrent = shared->concurrent;
	build.methods = AnnFindMethod(build.index)->parallel;
	build.shared = shared;

	area = dsm_attach(shared->area);
	if (area == NULL)
		elog(ERROR, "could not attach to the memory of the build");
	build.area = dsm_segment_address(area);
	build.area_size = shared->area_size;
	build.segment = area;

	InstrStartParallelQuery();
	heap_tuples = participate(&build, scan);
	finish_participant(&build, heap_tuples);
	write_share(&build);
	InstrEndParallelQuery(&buffer_usage[ParallelWorkerNumber], &wal_usage[ParallelWorkerNumber]);

	dsm_detach(area);
	index_close(build.index, index_lockmode);
	table_close(build.heap, heap_lockmode);
}
