/*
 * lsh_sample.c
 *	  What a sample of the rows tells: where they are, and how many tables are
 *	  worth it.  README.md sections 9 and 10.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "am/am_sample.h"
#include "kernels/kernels.h"
#include "lsh/lsh.h"
#include "space/random.h"

/* Rows of the sample of a build. */
#define SAMPLE_ROWS 2000

/* Memory for vectors of the sample, if maintenance_work_mem is not less. */
#define POINTS_SIZE (16 * 1024 * 1024)

static bool
add_to_sample(void *arg, int place, Datum value)
{
	LshSample  *sample = arg;
	int			dim = sample->space.rotated_dim;
	AnnQuery	query;
	MemoryContext oldcontext;

	if (!AnnQueryRotate(&query, &sample->space, value))
		return false;

	if (sample->sum != NULL)
	{
		sample->added++;
		sample->norm2[place] = query.norm2;
		for (int i = 0; i < dim; i++)
			sample->sum[i] += query.rotated[i];
		if (place < sample->npoints)
			memcpy(sample->points + (Size) place * dim, query.rotated, sizeof(float) * dim);
	}

	if (place < LSH_SAMPLE_QUERIES)
	{
		oldcontext = MemoryContextSwitchTo(sample->context);
		if (DatumGetPointer(sample->queries[place]) != NULL)
			pfree(DatumGetPointer(sample->queries[place]));
		sample->queries[place] = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
		MemoryContextSwitchTo(oldcontext);
	}
	return true;
}

static void
draw(LshSample *sample, Relation heap, Relation rel, IndexInfo *info)
{
	sample->context = CurrentMemoryContext;
	sample->added = 0;
	memset(sample->queries, 0, sizeof(sample->queries));
	sample->count = AnnSample(heap, rel, info, sample->size, ann_seed, add_to_sample, sample);
	sample->nqueries = Min(sample->count, LSH_SAMPLE_QUERIES);
	sample->npoints = Min(sample->count, sample->npoints);
}

void
LshDrawQueries(LshSample *sample, Relation heap, Relation rel, IndexInfo *info)
{
	sample->size = LSH_SAMPLE_QUERIES;
	sample->npoints = 0;
	sample->sum = NULL;
	draw(sample, heap, rel, info);
}

void
LshDrawSample(LshSample *sample, Relation heap, Relation rel, IndexInfo *info)
{
	Size		point = sizeof(float) * sample->space.rotated_dim;

	sample->size = SAMPLE_ROWS;
	sample->npoints = 0;
	sample->sum = NULL;
	if (sample->space.bits > 0)
	{
		sample->npoints = Min(Min(POINTS_SIZE, maintenance_work_mem * (Size) 1024) / point, SAMPLE_ROWS);
		sample->points = palloc(point * sample->npoints);
		sample->norm2 = palloc(sizeof(float) * SAMPLE_ROWS);
		sample->sum = palloc0(sizeof(double) * sample->space.rotated_dim);
	}
	draw(sample, heap, rel, info);
}

void
LshApplySample(LshSample *sample, LshMetaPage meta)
{
	int			dim = sample->space.rotated_dim;
	float	   *centre;

	if (sample->count == 0 || sample->sum == NULL)
		return;

	centre = palloc(sizeof(float) * dim);
	for (int i = 0; i < dim; i++)
		centre[i] = sample->sum[i] / sample->added;
	LshSetCentre(meta, &sample->space, centre);
	for (int i = 0; i < sample->npoints; i++)
		for (int j = 0; j < dim; j++)
			sample->points[(Size) i * dim + j] -= centre[j];

	if (sample->space.metric->form == ANN_FORM_IP)
	{
		double		sum = 0;
		float		most = 0;

		for (int i = 0; i < sample->count; i++)
			most = Max(most, sample->norm2[i]);
		meta->norm = sqrt(most);
		for (int i = 0; i < sample->count; i++)
			sum += LshElement(meta->norm, sample->norm2[i]);
		meta->lift = sum / sample->count;
	}
}

/*
 * Choosing the number of tables
 *
 * The leaves a search reads are those whose rows have prefixes no more costly than that
 * of the row it is to find.  So how many it reads to find a neighbour follows from the
 * costs of keys of strangers, and of keys that the neighbour might have in each table.
 * How far neighbours are among all rows, those of the sample tell.
 */

/* The numbers of tables to choose from; more are not worth it anywhere. */
static const int choices[] = {2, 4, 8};

#define MAX_CHOSEN 8

/* Queries, neighbours imagined of each, and strangers. */
#define QUERIES 300
#define IMAGINED 4
#define STRANGERS 500

/* Neighbours in the sample, and among all rows. */
#define NEAR_ROWS 20
#define NEIGHBOURS 5

/* Twice the tables are worth it if they save this share of the pages. */
#define WORTH 0.05

/* Finds the least NEAR_ROWS distances of a point from others, ascending. */
static void
nearest_distances(const LshSample *sample, int point, double *nearest)
{
	int			dim = sample->space.rotated_dim;
	int			n = 0;

	for (int i = 0; i < sample->npoints; i++)
	{
		double		distance;
		int			place;

		if (i == point)
			continue;
		distance = sqrt(ann_kernels.l2sq_f32(dim, sample->points + (Size) point * dim,
										   sample->points + (Size) i * dim));
		if (n == NEAR_ROWS && distance >= nearest[n - 1])
			continue;
		for (place = n < NEAR_ROWS ? n++ : n - 1; place > 0 && nearest[place - 1] > distance; place--)
			nearest[place] = nearest[place - 1];
		nearest[place] = distance;
	}
}

/* The inverse of the intrinsic dimension, after Levina and Bickel; distances are of NEAR_ROWS each. */
static double
inverse_dimension(const double *distances, int n)
{
	double		sum = 0;
	int			count = 0;

	for (int i = 0; i < n; i++)
	{
		const double *nearest = distances + i * NEAR_ROWS;

		for (int j = 0; j < NEAR_ROWS - 1; j++)
			if (nearest[j] > 0)
			{
				sum += log(nearest[NEAR_ROWS - 1] / nearest[j]);
				count++;
			}
	}
	return count > 0 ? sum / count : 0;
}

/* What a choice is made with. */
typedef struct Chooser
{
	const LshSample *sample;
	double		rows;
	double		leaves;			/* of a table */
	LshHash		hash;
	int			digits;			/* of a prefix that as many rows have as a leaf */
	uint64		random;
	void	   *hashed;			/* the query */
	float	   *costs;			/* of its digits' values, by table, digit and value */
	uint32	  (*strangers)[LSH_MAX_TABLES];
	float	  (*stranger_costs)[STRANGERS]; /* by table */
	float	   *pages[lengthof(choices)];	/* read to find each neighbour */
	int			npages;
} Chooser;

static const float *
get_point(const Chooser *chooser, int i)
{
	return chooser->sample->points + (Size) i * chooser->hash.dim;
}

static float
key_cost(const Chooser *chooser, int table, uint32 key)
{
	int			bits = chooser->hash.digit_bits;
	float		sum = 0;

	for (int digit = 0; digit < chooser->digits; digit++)
		sum += chooser->costs[(table * chooser->digits + digit) * LSH_MAX_CHOICES +
							  (key >> (LSH_KEY_BITS - (digit + 1) * bits) & ((1 << bits) - 1))];
	return sum;
}

static void
set_query(Chooser *chooser, const float *query)
{
	LshHashValue(&chooser->hash, query, chooser->hashed);
	for (int i = 0; i < MAX_CHOSEN * chooser->digits; i++)
	{
		LshChoice	values[LSH_MAX_CHOICES];
		int			n = LshHashChoices(&chooser->hash, chooser->hashed, i / chooser->digits,
									   i % chooser->digits, values);

		for (int j = 0; j < n; j++)
			chooser->costs[i * LSH_MAX_CHOICES + values[j].digit] = values[j].cost;
	}
	for (int table = 0; table < MAX_CHOSEN; table++)
		for (int i = 0; i < STRANGERS; i++)
			chooser->stranger_costs[table][i] = key_cost(chooser, table, chooser->strangers[i][table]);
}

/*
 * Imagines a neighbour of the query, and notes for each choice how many leaves are read
 * to find it.
 */
static void
note_neighbour(Chooser *chooser, double share)
{
	uint32		keys[LSH_MAX_TABLES];
	float		least = INFINITY;
	int			table = 0;

	LshHashNear(&chooser->hash, chooser->hashed, share, &chooser->random, keys);
	for (int i = 0; i < lengthof(choices); i++)
	{
		int			before = 0;

		for (; table < choices[i]; table++)
			least = Min(least, key_cost(chooser, table, keys[table]));
		for (int j = 0; j < choices[i]; j++)
			for (int k = 0; k < STRANGERS; k++)
				before += chooser->stranger_costs[j][k] < least;

		/* The best leaf of each table is read in any case. */
		chooser->pages[i][chooser->npages] = choices[i] + chooser->leaves * before / STRANGERS;
	}
	chooser->npages++;
}

/* How far neighbours of a point are among all rows, as the sample's have it. */
static double
neighbour_distance(const Chooser *chooser, const double *nearest, double inverse)
{
	double		fewer = NEIGHBOURS / chooser->rows * chooser->sample->npoints / NEAR_ROWS;

	return nearest[NEAR_ROWS - 1] * pow(Min(fewer, 1), inverse);
}

static int
compare_floats(const void *a, const void *b)
{
	float		left = *(const float *) a;
	float		right = *(const float *) b;

	return (left > right) - (left < right);
}

/*
 * Pages with which nine tenths of the neighbours are found: the mean of what it takes
 * for a little fewer to a little more, which varies less.  Puts them into order.
 */
static double
sufficient_pages(float *pages, int n)
{
	int			first = 0.85 * n;
	int			last = 0.95 * n;
	double		sum = 0;

	qsort(pages, n, sizeof(float), compare_floats);
	for (int i = first; i <= last; i++)
		sum += pages[i];
	return sum / (last - first + 1);
}

static int
choose(Chooser *chooser)
{
	double	   *distances = palloc(sizeof(double) * QUERIES * NEAR_ROWS);
	double		inverse;
	int			best = LSH_DEFAULT_TABLES;
	double		best_cost = INFINITY;

	for (int i = 0; i < STRANGERS; i++)
	{
		LshHashValue(&chooser->hash, get_point(chooser, QUERIES + i), chooser->hashed);
		LshHashKeys(&chooser->hash, chooser->hashed, chooser->strangers[i]);
	}
	for (int i = 0; i < QUERIES; i++)
	{
		CHECK_FOR_INTERRUPTS();
		nearest_distances(chooser->sample, i, distances + i * NEAR_ROWS);
	}
	inverse = inverse_dimension(distances, QUERIES);

	for (int i = 0; i < QUERIES; i++)
	{
		const float *query = get_point(chooser, i);
		double		norm = sqrt(ann_kernels.ip_f32(chooser->hash.dim, query, query));

		CHECK_FOR_INTERRUPTS();
		if (norm == 0)
			continue;
		set_query(chooser, query);
		for (int j = 0; j < IMAGINED; j++)
			note_neighbour(chooser, neighbour_distance(chooser, distances + i * NEAR_ROWS, inverse) /
						   (sqrt(2) * norm));
	}

	for (int i = 0; i < lengthof(choices) && chooser->npages > 0; i++)
	{
		double		cost = sufficient_pages(chooser->pages[i], chooser->npages) *
			pow(choices[i], -log2(1 - WORTH));

		if (cost < best_cost)
		{
			best_cost = cost;
			best = choices[i];
		}
	}
	return best;
}

int
LshChooseTables(const LshSample *sample, double rows)
{
	Chooser		chooser = {.sample = sample,.rows = rows,.random = (uint64) ann_seed};
	MemoryContext context;
	MemoryContext oldcontext;
	int			best;

	chooser.leaves = rows / LshLeafFill(&sample->space);
	if (chooser.leaves < LSH_MIN_LEAVES || sample->npoints < QUERIES + STRANGERS)
		return LSH_DEFAULT_TABLES;

	context = AllocSetContextCreate(CurrentMemoryContext, "lsh tables", ALLOCSET_DEFAULT_SIZES);
	oldcontext = MemoryContextSwitchTo(context);
	LshHashInit(&chooser.hash, LSH_CROSS_POLYTOPE, sample->space.rotated_dim, MAX_CHOSEN, chooser.random);
	chooser.digits = Min(Max(rint(log2(chooser.leaves) / chooser.hash.digit_bits), 1), chooser.hash.digits);
	chooser.hashed = palloc(LshHashedSize(&chooser.hash));
	chooser.costs = palloc(sizeof(float) * MAX_CHOSEN * chooser.digits * LSH_MAX_CHOICES);
	chooser.strangers = palloc(sizeof(*chooser.strangers) * STRANGERS);
	chooser.stranger_costs = palloc(sizeof(*chooser.stranger_costs) * MAX_CHOSEN);
	for (int i = 0; i < lengthof(choices); i++)
		chooser.pages[i] = palloc(sizeof(float) * QUERIES * IMAGINED);
	best = choose(&chooser);
	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
	return best;
}
