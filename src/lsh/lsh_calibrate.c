/*
 * lsh_calibrate.c
 *	  Measuring how patient searches must be: README.md section 10.
 *
 * VACUUM does it too, so there are delay points, which do nothing in a build.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "am/am_fetch.h"
#include "compat.h"
#include "lsh/lsh.h"

/* Neighbours of a query, with the query itself, which is a row. */
#define NEIGHBOURS 11

/* So many rows that are the nearest by their codes are looked up to find them, where it is worth it. */
#define NEAR_CODES 20

/* Comparisons of a query with a row that this may take, roughly. */
#define MAX_COMPARISONS 1e8

/* For each query, so many rows are imagined at each of the shares of lsh_nears. */
#define IMAGINED 10

/* How many of these may not be met by the time noted. */
#define NEAR_MISSED 0.01

/* An index with so many times the leaves has grown. */
#define GROWN 1.5

typedef struct Neighbour
{
	double		distance;
	ItemPointerData tid;
} Neighbour;

#define HEAP_PREFIX neighbour
#define HEAP_ELEMENT Neighbour
#define HEAP_BEFORE(a, b) ((a)->distance > (b)->distance)
#include "am/am_heap.h"

/* How patient searches have to be, and when they meet near rows, one after the other. */
typedef struct Waits
{
	double	   *neighbours;
	int			count;
	double	   *near[LSH_NEARS];
	int			near_count[LSH_NEARS];
} Waits;

typedef struct Probe
{
	AnnQuery	query;
	LshValue	value;
	neighbour_heap nearest;
} Probe;

static void
compare_leaf(LshIndex *index, LshNode node, int count, Probe *probe, int ncodes)
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

			if (probe->nearest.count < ncodes)
				neighbour_heap_push(&probe->nearest, &neighbour);
			else if (neighbour.distance < neighbour_heap_top(&probe->nearest)->distance)
				neighbour_heap_replace_top(&probe->nearest, &neighbour);
		}
	}
}

/* Finds the nearest rows of all probes, so many, as the codes have it. */
static void
compare_codes(LshIndex *index, Probe *probes, int nprobes, int ncodes)
{
	LshWalk		walk;
	int			count;

	LshWalkBegin(&walk, index, 0);
	while (LshWalkNext(&walk, BUFFER_LOCK_SHARE, &count))
	{
		for (int i = 0; i < nprobes; i++)
			compare_leaf(index, LshPageNode(BufferGetPage(walk.buf)), count, &probes[i], ncodes);
		UnlockReleaseBuffer(walk.buf);
		AnnVacuumDelayPoint();
	}
}

/* Leaves of the nearest rows by codes the NEIGHBOURS that are nearest in truth. */
static void
settle_neighbours(AnnFetch *fetch, Snapshot snapshot, Probe *probe)
{
	neighbour_heap *nearest = &probe->nearest;
	int			n = nearest->count;

	neighbour_heap_reset(nearest);
	for (int i = 0; i < n; i++)
	{
		Neighbour	neighbour = nearest->elements[i];
		MemoryContext oldcontext;
		Datum		value;

		if (!AnnFetchValue(fetch, &neighbour.tid, snapshot, &value))
			continue;
		oldcontext = MemoryContextSwitchTo(AnnFetchContext(fetch));
		neighbour.distance = AnnQueryExact(&probe->query, value);
		MemoryContextSwitchTo(oldcontext);
		neighbour_heap_push(nearest, &neighbour);
		if (nearest->count > NEIGHBOURS)
			(void) neighbour_heap_pop(nearest);
	}
	AnnFetchReset(fetch);
}

static void
find_neighbours(Relation heap, Relation rel, Probe *probes, int nprobes)
{
	AnnFetch   *fetch = AnnFetchBegin(heap, rel, NULL);
	SnapshotData snapshot;

	/* A VACUUM with workers may take no other. */
	InitDirtySnapshot(snapshot);
	for (int i = 0; i < nprobes; i++)
	{
		CHECK_FOR_INTERRUPTS();
		AnnVacuumDelayPoint();
		settle_neighbours(fetch, &snapshot, &probes[i]);
	}
	AnnFetchEnd(fetch);
}

/* Seen from afar all rows are near, and alike in a way that imagined ones are not. */
static bool
is_centred(const LshIndex *index)
{
	return index->space.bits == 0 || index->centre != NULL;
}

/* Rows that might be, near a query. */
typedef struct Imagined
{
	int			near;			/* which of lsh_nears */
	uint32		keys[LSH_MAX_TABLES];
} Imagined;

static int
imagine(const LshIndex *index, const LshValue *value, uint64 *random, Imagined *imagined)
{
	int			n = 0;

	for (int near = 0; near < LSH_NEARS; near++)
		for (int i = 0; i < IMAGINED; i++)
		{
			imagined[n].near = near;
			LshHashNear(&index->hash, value->hashed, lsh_nears[near], random, imagined[n++].keys);
		}
	return n;
}

/* Notes how many leaves it took to meet those that the leaf read last would have; returns how many are left. */
static int
note_imagined(const LshSearch *search, double leaves, bool more, Imagined *imagined, int n, Waits *waits)
{
	for (int i = n - 1; i >= 0; i--)
	{
		int			near = imagined[i].near;

		if (more && !LshSearchCovers(search, imagined[i].keys))
			continue;
		waits->near[near][waits->near_count[near]++] = leaves;
		imagined[i] = imagined[--n];
	}
	return n;
}

/*
 * Searches, and notes what patience it takes to find each neighbour, or to come to the
 * point where all leaves are read, how many these are.
 * The neighbour found first does not count: it is the query.
 */
static void
measure_waits(LshIndex *index, Probe *probe, uint32 most, uint64 *random, Waits *waits)
{
	LshSearch  *search = LshSearchBegin(index, &probe->value, NEIGHBOURS);
	neighbour_heap *missing = &probe->nearest;
	Imagined	imagined[LSH_NEARS * IMAGINED];
	int			nimagined = is_centred(index) ? imagine(index, &probe->value, random, imagined) : 0;
	bool		first = true;
	double		longest = 0;

	/* Rows imagined that are left when the neighbours are found are those met late. */
	while (missing->count > 0 || nimagined > 0)
	{
		double		waited = LshSearchWaited(search) + 1;
		bool		more = LshSearchReads(search) < most && LshSearchStep(search);
		double		leaves = (double) LshSearchScored(search) / index->leaf_fill;

		for (int i = missing->count - 1; i >= 0; i--)
		{
			if (more && !LshSearchFound(search, &missing->elements[i].tid))
				continue;
			if (!first)
				waits->neighbours[waits->count++] = Max(longest, waited);
			first = false;
			missing->elements[i] = missing->elements[--missing->count];
		}
		if (LshSearchWaited(search) == 0)
			longest = Max(longest, waited);

		/* A search that ends earlier does not know when it would have met them. */
		nimagined = note_imagined(search, more ? leaves : most, more, imagined, nimagined, waits);
		AnnVacuumDelayPoint();
	}
}

static int
compare_waits(const void *a, const void *b)
{
	double		left = *(const double *) a;
	double		right = *(const double *) b;

	return (left > right) - (left < right);
}

/* What suffices for a share of waits, which are put into order. */
static float
suffices(double *waits, int n, double share)
{
	qsort(waits, n, sizeof(double), compare_waits);
	return waits[Min((int) (share * n), n - 1)];
}

static void
measure(const LshIndex *index, LshMeasured *measured, Waits *waits)
{
	float		least = 1;

	for (int i = 0; i < LSH_RECALLS; i++)
		measured->patience[i] = suffices(waits->neighbours, waits->count, lsh_recalls[i]);
	for (int i = 0; i < LSH_NEARS; i++)
	{
		measured->near[i] = 0;
		if (is_centred(index))
			measured->near[i] = least = Max(least, suffices(waits->near[i], waits->near_count[i], 1 - NEAR_MISSED));
	}
}

void
LshCalibrate(Relation heap, Relation rel, const LshSample *sample, bool building,
			 BufferAccessStrategy strategy)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "lsh calibration",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext search_context = AllocSetContextCreate(context, "lsh calibration search",
														 ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcontext = MemoryContextSwitchTo(context);
	LshIndex	index;
	LshMeasured measured;
	int			nprobes;
	Probe	   *probes;
	Waits		waits = {NULL};
	uint64		random;
	int			ncodes;

	LshOpen(&index, rel);
	index.strategy = strategy;
	random = index.hash.seed;
	measured.leaves = index.nblocks / index.hash.tables;
	nprobes = Min(sample->nqueries, MAX_COMPARISONS / measured.leaves / index.leaf_rows + 1);
	if (measured.leaves >= LSH_MIN_LEAVES && nprobes > 0)
	{
		/*
		 * Rows that are the nearest by their codes only are found later than those
		 * that are in truth: a margin for queries that are not like the rows.  It
		 * would be too much where codes err by more.
		 */
		ncodes = index.space.bits > 0 && index.centre == NULL ? NEAR_CODES : NEIGHBOURS;
		if (building)
			AnnBuildPhase(PROGRESS_LSH_CALIBRATE, nprobes);
		probes = palloc0(sizeof(Probe) * nprobes);
		waits.neighbours = palloc(sizeof(double) * nprobes * NEIGHBOURS);
		for (int i = 0; i < LSH_NEARS; i++)
			waits.near[i] = palloc(sizeof(double) * nprobes * IMAGINED);

		for (int i = 0; i < nprobes; i++)
		{
			AnnQueryPrepare(&probes[i].query, &index.space, sample->queries[i], false);
			LshPrepareSearch(&probes[i].value, &index, &probes[i].query);
			neighbour_heap_init(&probes[i].nearest, ncodes);
		}
		compare_codes(&index, probes, nprobes, ncodes);
		if (ncodes > NEIGHBOURS)
			find_neighbours(heap, rel, probes, nprobes);
		for (int i = 0; i < nprobes; i++)
		{
			MemoryContextSwitchTo(search_context);
			measure_waits(&index, &probes[i], measured.leaves, &random, &waits);
			if (building)
				AnnBuildProgress(i + 1);
			MemoryContextSwitchTo(context);
			MemoryContextReset(search_context);
		}
		if (waits.count > 0)
		{
			measure(&index, &measured, &waits);
			LshWriteMeasured(rel, &measured, building);
		}
	}

	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
}

bool
LshHasGrown(const LshIndex *index)
{
	uint32		leaves = index->nblocks / index->hash.tables;

	return leaves >= LSH_MIN_LEAVES && leaves > GROWN * index->measured_leaves;
}
