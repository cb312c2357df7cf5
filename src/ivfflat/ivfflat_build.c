/*
 * ivfflat_build.c
 *	  Building an index: README.md section 9.
 *
 * The phases, as PostgreSQL's progress view shows them: performing k-means,
 * assigning tuples, loading tuples.
 */
#include "postgres.h"

#include <math.h>

#include "access/parallel.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "am/am_gate.h"
#include "am/am_sample.h"
#include "ivfflat/ivfflat.h"
#include "ivfflat/ivfflat_train.h"

/*
 * The work of comparing a row with a centre's code, and of making it a row of a
 * list, in units of comparing two vectors: a fit to measured builds.
 */
#define ASSIGN_WORK 0.75
#define ENCODE_WORK 150.0

/* Rows are assigned by groups where that is to look at less than this share of the centres. */
#define GROUPS_SHARE 8

/* A row that was assigned to a list. */
typedef struct Entry
{
	uint32		list;
	IvfRowData	row;
} Entry;

/* Of each list, what was written so far. */
typedef struct Written
{
	ItemPointerData first;
	uint32		rows;
	uint32		last;			/* of these, in the first segment */
} Written;

/*
 * What the participants share.  Behind it are, at offsets, the centres, what was
 * written, room for the order of entries, and the entries.  Until there are
 * centres, the data of the training is where entries will be.
 */
typedef struct IvfMemory
{
	IvfTraining training;
	uint32		lists;
	uint64		capacity;		/* of entries */
	Size		written;
	Size		order;
	Size		entries;
	Size		entry_size;

	/* Passed to add entries, closed to write them out. */
	AnnGate		gate;
	pg_atomic_uint64 count;		/* may go beyond the capacity */
} IvfMemory;

#define MEMORY_CENTRES MAXALIGN(sizeof(IvfMemory))

/* A participant's state. */
typedef struct IvfBuildState
{
	IvfIndex	index;
	const IvfCentreData **centres;
	/* Of each centre: its code, and what makes a score of a dot product of it. */
	const uint8 **levels;
	IvfTerms   *terms;
	float	   *dots;
} IvfBuildState;

/* A build as the leader knows it: of an index that is not there yet. */
typedef struct IvfBuild
{
	AnnBuild	base;
	IvfIndex   *target;
	int			lists;			/* wanted; in the end, found */
	double		tuples;			/* expected */
} IvfBuild;

static inline Entry *
get_entry(IvfMemory *memory, uint64 i)
{
	return (Entry *) ((char *) memory + memory->entries + memory->entry_size * i);
}

static inline Written *
get_written(IvfMemory *memory)
{
	return (Written *) ((char *) memory + memory->written);
}

static inline const IvfCentreData *
get_centre(const IvfIndex *index, const char *centres, uint32 i)
{
	return (const IvfCentreData *) (centres + index->centre_size * i);
}

static Size
entry_size(const IvfIndex *index)
{
	return MAXALIGN(offsetof(Entry, row) + index->row_size);
}

/* Where what comes after centres and what was written begins. */
static Size
fixed_size(const IvfIndex *index, int lists)
{
	return MAXALIGN(MAXALIGN(MEMORY_CENTRES + index->centre_size * (Size) lists) + sizeof(Written) * (Size) lists);
}

/* Memory for so many entries. */
static Size
entries_size(const IvfIndex *index, double entries)
{
	return (Size) (entries * (entry_size(index) + sizeof(uint32))) + MAXIMUM_ALIGNOF;
}

/* The least memory that so many lists can be found in. */
static Size
needed_memory(const IvfIndex *index, int lists)
{
	return fixed_size(index, lists) + Max(IvfTrainingSize(index, lists, true), entries_size(index, 64));
}

/*
 * Writing lists
 */

/* Sorts the entries by list, in the order of their arrival; starts[lists + 1]. */
static uint32 *
sort_entries(IvfMemory *memory, uint64 count, uint32 *starts)
{
	uint32	   *order = (uint32 *) ((char *) memory + memory->order);

	for (uint64 i = 0; i < count; i++)
		starts[get_entry(memory, i)->list + 1]++;
	for (uint32 i = 0; i < memory->lists; i++)
		starts[i + 1] += starts[i];
	for (uint64 i = 0; i < count; i++)
		order[starts[get_entry(memory, i)->list]++] = (uint32) i;
	for (uint32 i = memory->lists; i > 0; i--)
		starts[i] = starts[i - 1];
	starts[0] = 0;
	return order;
}

/*
 * Writes all entries to lists, and forgets them.  Nobody else is adding any.  Tells
 * of progress only if it is a phase of its own.
 */
static void
write_entries(IvfIndex *index, IvfMemory *memory, bool phase)
{
	uint64		count = Min(pg_atomic_read_u64(&memory->count), memory->capacity);
	uint32	   *starts = palloc0(sizeof(uint32) * (memory->lists + 1));
	uint32	   *order = sort_entries(memory, count, starts);
	Written    *written = get_written(memory);

	for (uint32 list = 0; list < memory->lists; list++)
	{
		uint32		n = starts[list + 1] - starts[list];
		IvfRow	   *rows;

		CHECK_FOR_INTERRUPTS();
		if (n == 0)
			continue;
		rows = palloc_extended(sizeof(IvfRow) * (Size) n, MCXT_ALLOC_HUGE);
		for (uint32 i = 0; i < n; i++)
			rows[i] = &get_entry(memory, order[starts[list] + i])->row;
		IvfWriteRows(index, list, rows, n, 0, 0, &written[list].first);
		written[list].rows += n;
		if (phase)
			AnnBuildProgress(starts[list + 1]);
		written[list].last = (n - 1) % index->rows_per_page + 1;
		pfree(rows);
	}
	pfree(starts);
	pg_atomic_write_u64(&memory->count, 0);
}

/* Tells the centres where their lists are, and the metapage how long they are. */
static void
link_lists(IvfIndex *index, IvfMemory *memory)
{
	const Written *written = get_written(memory);
	Buffer		meta_buf;
	IvfMetaPageData *meta;
	uint64		rows = 0;
	ivf_list_heap groups;
	IvfMetaPageData now;
	AnnEdit		meta_edit;

	ivf_list_heap_init(&groups, 64);
	IvfReadMeta(index, &now);
	IvfReadGroups(index, &now, NULL, IVF_ASSIGN, &groups);
	while (groups.count > 0)
	{
		Buffer		buf = AnnReadBuffer(index->rel, ivf_list_heap_pop(&groups).blkno, IVF_PAGE_CENTRES, NULL,
										BUFFER_LOCK_EXCLUSIVE);
		Page		page;
		AnnEdit		edit;

		AnnEditBegin(&edit, index->rel, true);
		page = AnnEditPage(&edit, buf);
		for (OffsetNumber offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(page); offset++)
		{
			IvfCentre	centre = AnnEditItem(&edit, buf, offset);
			const Written *list = &written[centre->list];

			centre->first = list->first;
			centre->rows = list->rows - list->last;
			/* What k-means over all rows has left together is not to be split at once. */
			centre->limit = list->rows / 2 * 3;
			rows += list->rows;
		}
		AnnEditCommit(&edit);
	}

	meta_buf = AnnReadMeta(index->rel, IVF_MAGIC, IVF_VERSION, BUFFER_LOCK_EXCLUSIVE);
	AnnEditBegin(&meta_edit, index->rel, true);
	meta = AnnMetaContents(AnnEditPage(&meta_edit, meta_buf));
	meta->rows_per_list = rows / memory->lists;
	AnnEditCommit(&meta_edit);
}

/*
 * Callbacks of the build shell
 */

static void
ivf_build_init(AnnBuild *build)
{
	const IvfBuild *ours = (IvfBuild *) build;
	const IvfIndex *index = ours->target;
	IvfMemory  *memory = build->area;
	Size		p = fixed_size(index, ours->lists);

	IvfTrainingInit(&memory->training, index, ours->lists, p - offsetof(IvfMemory, training),
					build->area_size - p);
	memory->written = MAXALIGN(MEMORY_CENTRES + index->centre_size * (Size) ours->lists);
	for (int i = 0; i < ours->lists; i++)
	{
		Written    *written = &get_written(memory)[i];

		ItemPointerSetInvalid(&written->first);
		written->rows = written->last = 0;
	}

	memory->entry_size = entry_size(index);
	memory->capacity = (build->area_size - p - MAXIMUM_ALIGNOF) / (memory->entry_size + sizeof(uint32));
	memory->capacity = Min(memory->capacity, PG_INT32_MAX);
	memory->order = p;
	memory->entries = MAXALIGN(p + sizeof(uint32) * memory->capacity);
	AnnGateInit(&memory->gate);
	pg_atomic_init_u64(&memory->count, 0);
}

/* Finds the centres, with the help of the workers. */
static void
find_centres(AnnBuild *build)
{
	IvfMemory  *memory = build->area;

	if (IsParallelWorker())
	{
		IvfHelpTraining(&memory->training);
		return;
	}
	memory->lists = IvfTrain(&memory->training, build, ((IvfBuild *) build)->target,
							 (char *) memory + MEMORY_CENTRES);
	AnnBuildPhase(PROGRESS_IVF_ASSIGN, ((IvfBuild *) build)->tuples);
	IvfTrainingDone(&memory->training);
}

static void
ivf_build_begin(AnnBuild *build)
{
	IvfBuildState *state = palloc(sizeof(IvfBuildState));
	IvfMemory  *memory = build->area;

	find_centres(build);
	IvfOpen(&state->index, build->index);
	state->index.building = state->index.store.building = true;
	state->centres = palloc_extended(sizeof(void *) * memory->lists, MCXT_ALLOC_HUGE);
	state->levels = palloc_extended(sizeof(uint8 *) * memory->lists, MCXT_ALLOC_HUGE);
	state->terms = palloc_extended(sizeof(IvfTerms) * memory->lists, MCXT_ALLOC_HUGE);
	state->dots = palloc_extended(sizeof(float) * memory->lists, MCXT_ALLOC_HUGE);
	for (uint32 i = 0; i < memory->lists; i++)
	{
		const IvfCentreData *centre = get_centre(&state->index, (char *) memory + MEMORY_CENTRES, i);

		state->centres[i] = centre;
		state->levels[i] = centre->levels;
		state->terms[i] = IvfScoreTerms(&state->index, IVF_ASSIGN, centre->norm2);
		state->terms[i].factor *= centre->scale;
	}
	build->state = state;
}

/*
 * Are there so many lists that a row is assigned by groups?  Below that comparing it
 * with all centres costs little, and finds the nearest.
 */
static bool
by_groups(uint32 lists)
{
	return IvfCentresSeen(lists, 1) < lists / GROUPS_SHARE;
}

/* The list a point belongs to. */
static uint32
find_list(IvfBuildState *state, uint32 lists, const IvfPoint *point)
{
	uint32		best = 0;
	float		best_score = INFINITY;

	if (by_groups(lists))
	{
		IvfList		list;

		IvfFindByGroups(&state->index, point, &list);
		return list.number;
	}

	AnnRabitqDots(point->prepared, state->levels, lists, state->dots);
	for (uint32 i = 0; i < lists; i++)
	{
		float		score = state->terms[i].offset + state->terms[i].factor * state->dots[i];

		if (score < best_score)
		{
			best_score = score;
			best = i;
		}
	}
	return best;
}

/* Where the next entry goes; NULL if memory is full.  We are past the gate. */
static Entry *
add_entry(IvfMemory *memory)
{
	uint64		i = pg_atomic_fetch_add_u64(&memory->count, 1);

	return i < memory->capacity ? get_entry(memory, i) : NULL;
}

static bool
ivf_build_add(AnnBuild *build, Datum value, const ItemPointerData *tid)
{
	IvfBuildState *state = build->state;
	IvfMemory  *memory = build->area;
	AnnQuery	query;
	IvfPoint	point;
	ItemPointerData place;
	const void *kept;
	uint32		list;
	Entry	   *entry;

	if (!AnnQueryPrepare(&query, &state->index.space, value, false))
		return false;
	IvfPointOfValue(&state->index, &query, &point);
	list = find_list(state, memory->lists, &point);
	kept = IvfKeepValue(&state->index, &query, tid, &place);

	AnnGateEnter(&memory->gate);
	while ((entry = add_entry(memory)) == NULL)
	{
		AnnGateLeave(&memory->gate);
		AnnGateClose(&memory->gate);
		if (pg_atomic_read_u64(&memory->count) >= memory->capacity)
			write_entries(&state->index, memory, false);
		AnnGateOpen(&memory->gate);
		AnnGateEnter(&memory->gate);
	}
	entry->list = list;
	IvfEncodeRow(&state->index, state->centres[list], &point, kept, tid, &entry->row);
	AnnGateLeave(&memory->gate);
	return true;
}

static void
ivf_build_end(AnnBuild *build)
{
	IvfBuildState *state = build->state;

	pfree(state->centres);
	pfree(state->levels);
	pfree(state->terms);
	pfree(state->dots);
	pfree(state);
	build->state = NULL;
}

/* All rows are assigned. */
static void
finish(AnnBuild *build)
{
	IvfIndex	index;

	AnnBuildPhase(PROGRESS_IVF_LOAD, build->total);
	IvfOpen(&index, build->index);
	index.building = true;
	write_entries(&index, build->area, true);
	link_lists(&index, build->area);
	((IvfBuild *) build)->lists = ((IvfMemory *) build->area)->lists;
}

const AnnBuildMethods ivf_build_methods = {
	.init = ivf_build_init,
	.begin = ivf_build_begin,
	.add = ivf_build_add,
	.end = ivf_build_end,
	.finish = finish
};

/*
 * How many lists, if the user does not say: as if the table had grown, but no more
 * than there is memory to train.
 */
static int
choose_lists(const IvfIndex *index, double tuples)
{
	int			lists = (int) Max(Min(Min(2 * sqrt(tuples), tuples / IVF_MIN_ROWS_PER_LIST), IVF_MAX_LISTS), 1);

	while (lists > 1 && needed_memory(index, lists) > maintenance_work_mem * (Size) 1024)
		lists /= 2;
	return lists;
}

/* So many lists must be trained in maintenance_work_mem. */
static void
check_memory(const IvfIndex *index, int lists)
{
	Size		needed = needed_memory(index, lists);

	if (needed > maintenance_work_mem * (Size) 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("memory required is %zu MB, maintenance_work_mem is %d MB",
						needed / (1024 * 1024) + 1, maintenance_work_mem / 1024)));
}

IndexBuildResult *
ivfflatbuild(Relation heap, Relation rel, IndexInfo *info)
{
	IvfBuild	build = {.base = {.heap = heap,.index = rel,.info = info}};
	double		tuples = AnnCountRows(heap, rel, info);
	IvfIndex	index;
	AnnSpace	space;
	bool		stored;
	int			wanted;
	Size		memory;
	IndexBuildResult *result;

	AnnSpaceCreate(&space, rel);
	wanted = IvfGetOptions(rel, &space, &stored);
	IvfPrepare(&index, rel, &space, stored);
	build.target = &index;
	build.tuples = tuples;
	build.lists = wanted > 0 ? wanted : choose_lists(&index, tuples);
	check_memory(&index, build.lists);

	memory = fixed_size(&index, build.lists) +
		Max(IvfTrainingSize(&index, build.lists, false), entries_size(&index, tuples * 1.2 + 1000));
	result = AnnBuildRun(&build.base, PROGRESS_IVF_KMEANS, tuples, memory);
	if (result->index_tuples < wanted)
		ereport(NOTICE,
				(errmsg("ivfflat index created with little data"),
				 errdetail_plural("It has %d list, and will have more when the table has more rows.",
								  "It has %d lists, and will have more when the table has more rows.",
								  build.lists, build.lists)));
	AnnEditLogBuild(rel, MAIN_FORKNUM);
	return result;
}

void
ivfflatbuildempty(Relation rel)
{
	IvfIndex	index;
	AnnSpace	space;
	bool		stored;
	char	   *centre;

	AnnSpaceCreate(&space, rel);
	IvfGetOptions(rel, &space, &stored);
	IvfPrepare(&index, rel, &space, stored);
	centre = palloc(index.centre_size);
	memset(index.scratch, 0, sizeof(float) * space.rotated_dim);
	IvfMakeCentre(&index, 0, index.scratch, (IvfCentre) centre);
	IvfCreate(&index, INIT_FORKNUM, centre, 1);
	AnnEditLogBuild(rel, INIT_FORKNUM);
}

void
IvfEstimate(Relation heap, Relation rel, AnnEstimate *estimate)
{
	IvfIndex	index;
	AnnSpace	space;
	bool		stored;
	int			lists;
	double		compared;

	AnnSpaceCreate(&space, rel);
	lists = IvfGetOptions(rel, &space, &stored);
	IvfOpen(&index, rel);
	if (lists == 0)
		lists = choose_lists(&index, estimate->rows);
	compared = by_groups(lists) ? IvfCentresSeen(lists, 1) + lists / index.centres_per_page : lists;

	estimate->memory = fixed_size(&index, lists) +
		Max(IvfTrainingSize(&index, lists, false), entries_size(&index, estimate->rows));
	estimate->pages = 1 + (double) lists / index.centres_per_page + estimate->rows / index.rows_per_page;
	if (stored)
		estimate->pages += estimate->rows * space.metric->code_size(space.dim) / ANN_PAGE_ROOM;
	estimate->shared_work = IvfTrainingWork(lists, estimate->rows) +
		estimate->rows * (compared * ASSIGN_WORK + ENCODE_WORK);
	estimate->work = 0;
}
