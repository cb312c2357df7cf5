/*
 * ivfflat_train.c
 *	  Finding centres for a new index: README.md section 9.
 *
 * All participants of the build take part.  They go from one phase to the next
 * together; some phases are the leader's alone, in the others everybody takes
 * what is left of the work, piece by piece.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"

#include "am/am_sample.h"
#include "ivfflat/ivfflat_train.h"
#include "space/kmeans.h"

/*
 * Rows that centres are found from, for each: the more, the evener are lists.  What
 * that takes grows with the root of the number of lists, so there are limits to it.
 */
#define SAMPLE_PER_LIST 100
#define LARGE_SAMPLE 200000
#define LEAST_PER_LIST 50

typedef enum Phase
{
	PHASE_SAMPLE,				/* the leader's */
	PHASE_ASSIGN,
	PHASE_SORT,					/* the leader's */
	PHASE_FIND,
	PHASE_END,					/* the leader's */
	PHASE_DONE
} Phase;

static void
pause_training(void)
{
	CHECK_FOR_INTERRUPTS();
}

static float *
get_rows(const IvfTraining *training)
{
	return (float *) ((char *) training + training->data);
}

static AnnKmeans
make_problem(const IvfTraining *training, int nrows)
{
	return (AnnKmeans) {.dim = training->dim,.nrows = nrows,.rows = get_rows(training),
		.spherical = training->spherical,.seed = training->seed,.pause = pause_training};
}

static Size
row_size(const IvfTraining *training)
{
	return sizeof(float) * training->dim;
}

static float *
get_means(const IvfTraining *training)
{
	return get_rows(training) + (Size) training->dim * training->size;
}

static char *
get_scratch(const IvfTraining *training)
{
	return (char *) get_means(training) + row_size(training) * training->lists;
}

/* Memory for the data with a sample of so many rows. */
static Size
training_size(const IvfTraining *training, int size)
{
	AnnKmeans	problem = make_problem(training, size);

	return row_size(training) * ((Size) size + training->lists) +
		AnnKmeansSharedScratch(&problem, training->lists);
}

static IvfTraining
plan(const IvfIndex *index, int lists)
{
	return (IvfTraining) {.dim = index->space.rotated_dim,.spherical = IvfSpherical(index),.seed = ann_seed,
		.lists = lists};
}

/* How many rows there are to be in a sample. */
static int
sample_size(int lists)
{
	int64		rows = Min((int64) lists * SAMPLE_PER_LIST, LARGE_SAMPLE);

	return (int) Max(rows, (int64) lists * LEAST_PER_LIST);
}

Size
IvfTrainingSize(const IvfIndex *index, int lists, bool least)
{
	IvfTraining training = plan(index, lists);

	return training_size(&training, least ? lists : sample_size(lists));
}

double
IvfTrainingWork(int lists, double rows)
{
	return AnnKmeansComparisons(Min(sample_size(lists), rows), lists);
}

void
IvfTrainingInit(IvfTraining *training, const IvfIndex *index, int lists, Size data, Size size)
{
	Size		fixed;
	Size		rows;

	*training = plan(index, lists);
	training->data = data;

	/* As large a sample as there is room for. */
	fixed = training_size(training, 0);
	rows = (size - fixed) / ((training_size(training, 1024) - fixed) / 1024);
	training->size = (int) Min(sample_size(lists), rows);

	BarrierInit(&training->barrier, 0);
	BarrierAttach(&training->barrier);
	pg_atomic_init_u32(&training->next, 0);
}

/*
 * The leader's phases
 */

typedef struct Sample
{
	IvfIndex   *index;
	IvfTraining *training;
} Sample;

static bool
take_sample(void *arg, int place, Datum value)
{
	Sample	   *sample = arg;
	Size		size = row_size(sample->training);
	AnnQuery	query;
	IvfPoint	point;

	if (!AnnQueryPrepare(&query, &sample->index->space, value, true))
		return false;
	IvfPointOfValue(sample->index, &query, &point);
	memcpy((char *) get_rows(sample->training) + size * place, point.x, size);
	return true;
}

/* Makes the centres; without rows there is one in the origin. */
static int
make_centres(IvfTraining *training, AnnKmeansWork *work, IvfIndex *index, char *centres)
{
	float	   *means = get_means(training);
	int			found = AnnKmeansEnd(work);

	if (found == 0)
		memset(means, 0, row_size(training));
	found = Max(found, 1);
	IvfArrange(index, means, found);
	for (int i = 0; i < found; i++)
		IvfMakeCentre(index, i, means + (Size) i * training->dim, (IvfCentre) (centres + index->centre_size * i));
	return found;
}

/*
 * Phases
 */

/* Takes pieces of work until none is left.  The leader tells, after how many others. */
static void
share_work(IvfTraining *training, AnnKmeansWork *work, int before, int pieces,
		   void (*step) (AnnKmeansWork *work, int piece))
{
	uint32		piece;

	while ((piece = pg_atomic_fetch_add_u32(&training->next, 1)) < pieces)
	{
		step(work, (int) piece);
		if (!IsParallelWorker())
			AnnBuildProgress((double) before + piece + 1);
	}
}

/* Attaches to the problem, when the sample was taken; what it returns is to be freed. */
static void *
attach(IvfTraining *training, AnnKmeans *problem, AnnKmeansWork *work)
{
	void	   *own = palloc_extended(AnnKmeansOwnScratch(training->lists), MCXT_ALLOC_HUGE);

	*problem = make_problem(training, training->nrows);
	AnnKmeansAttach(work, problem, training->lists, get_means(training), get_scratch(training), own);
	return own;
}

/* Waits for the others, to begin the next phase with them. */
static void
end_phase(IvfTraining *training)
{
	BarrierArriveAndWait(&training->barrier, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
}

void
IvfHelpTraining(IvfTraining *training)
{
	for (int phase = BarrierAttach(&training->barrier); phase < PHASE_DONE; phase++)
	{
		if (phase == PHASE_ASSIGN || phase == PHASE_FIND)
		{
			AnnKmeans	problem;
			AnnKmeansWork work;
			void	   *own = attach(training, &problem, &work);

			if (phase == PHASE_ASSIGN)
				share_work(training, &work, 0, AnnKmeansParts(&work), AnnKmeansAssign);
			else
				share_work(training, &work, 0, AnnKmeansGroups(&work), AnnKmeansFind);
			pfree(own);
		}
		end_phase(training);
	}
	BarrierDetach(&training->barrier);
}

int
IvfTrain(IvfTraining *training, const AnnBuild *build, IvfIndex *index, char *centres)
{
	Sample		sample = {.index = index,.training = training};
	AnnKmeans	problem;
	AnnKmeansWork work;
	void	   *own;
	int			parts;
	int			found;

	training->nrows = AnnSample(build->heap, build->index, build->info, training->size, ann_seed,
								take_sample, &sample);
	own = attach(training, &problem, &work);
	AnnKmeansBegin(&work);
	parts = AnnKmeansParts(&work);
	AnnBuildPhase(PROGRESS_IVF_KMEANS, parts + AnnKmeansGroups(&work));
	end_phase(training);

	share_work(training, &work, 0, parts, AnnKmeansAssign);
	end_phase(training);

	AnnKmeansSort(&work);
	pg_atomic_write_u32(&training->next, 0);
	end_phase(training);

	share_work(training, &work, parts, AnnKmeansGroups(&work), AnnKmeansFind);
	end_phase(training);

	found = make_centres(training, &work, index, centres);
	IvfCreate(index, MAIN_FORKNUM, centres, found);
	pfree(own);
	return found;
}

void
IvfTrainingDone(IvfTraining *training)
{
	end_phase(training);
	BarrierDetach(&training->barrier);
}
