/*
 * lsh_calibrate.c
 *	  Measuring how patient searches must be: README.md section 10.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "lsh/lsh.h"

/* Neighbours of a query, with the query itself, which is a row. */
#define NEIGHBOURS 11

/* Comparisons of a query with a row that this may take, roughly. */
#define MAX_COMPARISONS 1e8

/* With fewer leaves in a table, nothing is to be learnt. */
#define MIN_LEAVES 10

typedef struct Neighbour
{
	double		distance;
	ItemPointerData tid;
} Neighbour;

#define HEAP_PREFIX neighbour
#define HEAP_ELEMENT Neighbour
#define HEAP_BEFORE(a, b) ((a)->distance > (b)->distance)
#include "am/am_heap.h"

typedef struct Probe
{
	AnnQuery	query;
	LshValue	value;
	neighbour_heap nearest;
} Probe;

static void
compare_leaf(LshIndex *index, LshNode node, int count, Probe *probe)
{
	for (int first = 0; first < count; first += ANN_BATCH)
	{
		int			n = Min(count - first, ANN_BATCH);
		LshRow		rows[ANN_BATCH];
		double		distances[ANN_BATCH];

		for (int i = 0; i < n; i++)
			rows[i] = LshNodeRow(index, node, first + i);
		LshDistances(&probe->value, rows, n, distances);
		for (int i = 0; i < n; i++)
		{
			Neighbour	neighbour = {distances[i], rows[i]->place.tid};

			if (probe->nearest.count < NEIGHBOURS)
				neighbour_heap_push(&probe->nearest, &neighbour);
			else if (neighbour.distance < neighbour_heap_top(&probe->nearest)->distance)
				neighbour_heap_replace_top(&probe->nearest, &neighbour);
		}
	}
}

/* Finds the nearest rows of all probes, as the codes have it. */
static void
find_neighbours(LshIndex *index, Probe *probes, int nprobes)
{
	LshWalk		walk;
	int			count;

	LshWalkBegin(&walk, index, 0);
	while (LshWalkNext(&walk, BUFFER_LOCK_SHARE, &count))
	{
		for (int i = 0; i < nprobes; i++)
			compare_leaf(index, LshPageNode(BufferGetPage(walk.buf)), count, &probes[i]);
		UnlockReleaseBuffer(walk.buf);
	}
}

/*
 * Searches, and writes to waits[] what patience it takes to find each neighbour,
 * or to come to the point where all leaves are read; returns how many these are.
 * The neighbour found first does not count: it is the query.
 */
static int
measure_waits(LshIndex *index, Probe *probe, uint32 most, double *waits)
{
	LshSearch  *search = LshSearchBegin(index, &probe->value, NEIGHBOURS);
	neighbour_heap *missing = &probe->nearest;
	bool		first = true;
	double		longest = 0;
	int			n = 0;

	while (missing->count > 0)
	{
		double		waited = LshSearchWaited(search) + 1;
		bool		more = LshSearchReads(search) < most && LshSearchStep(search);

		for (int i = missing->count - 1; i >= 0; i--)
		{
			if (more && !LshSearchFound(search, &missing->elements[i].tid))
				continue;
			if (!first)
				waits[n++] = Max(longest, waited);
			first = false;
			missing->elements[i] = missing->elements[--missing->count];
		}
		if (LshSearchWaited(search) == 0)
			longest = Max(longest, waited);
	}
	return n;
}

static int
compare_waits(const void *a, const void *b)
{
	double		left = *(const double *) a;
	double		right = *(const double *) b;

	return (left > right) - (left < right);
}

void
LshCalibrate(Relation rel, const LshSample *sample)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "lsh calibration",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext search_context = AllocSetContextCreate(context, "lsh calibration search",
														 ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcontext = MemoryContextSwitchTo(context);
	LshIndex	index;
	uint32		leaves;
	int			nprobes;
	Probe	   *probes;
	double	   *waits;
	int			n = 0;

	LshOpen(&index, rel);
	leaves = index.nblocks / index.hash.tables;
	nprobes = Min(sample->nqueries, MAX_COMPARISONS / leaves / index.leaf_rows + 1);
	if (leaves >= MIN_LEAVES && nprobes > 0)
	{
		AnnBuildPhase(PROGRESS_LSH_CALIBRATE, nprobes);
		probes = palloc0(sizeof(Probe) * nprobes);
		waits = palloc(sizeof(double) * nprobes * NEIGHBOURS);

		for (int i = 0; i < nprobes; i++)
		{
			AnnQueryPrepare(&probes[i].query, &index.space, sample->queries[i], false);
			LshPrepareSearch(&probes[i].value, &index, &probes[i].query);
			neighbour_heap_init(&probes[i].nearest, NEIGHBOURS);
		}
		find_neighbours(&index, probes, nprobes);
		for (int i = 0; i < nprobes; i++)
		{
			MemoryContextSwitchTo(search_context);
			n += measure_waits(&index, &probes[i], leaves, waits + n);
			AnnBuildProgress(i + 1);
			MemoryContextSwitchTo(context);
			MemoryContextReset(search_context);
		}
		if (n > 0)
		{
			float		patience[LSH_RECALLS];

			qsort(waits, n, sizeof(double), compare_waits);
			for (int i = 0; i < LSH_RECALLS; i++)
				patience[i] = waits[(int) (lsh_recalls[i] * n)];
			LshWritePatience(rel, patience);
		}
	}

	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
}
