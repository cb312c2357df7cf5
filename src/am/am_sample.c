/*
 * am_sample.c
 *	  A random sample of the rows of a table: blocks are drawn first, and rows
 *	  of these as they are read (Vitter's algorithm R).
 */
#include "postgres.h"

#include "access/tableam.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/sampling.h"

#include "am/am.h"
#include "am/am_sample.h"
#include "space/random.h"

/* Blocks that are counted; of a table that has no more, all. */
#define COUNTED_BLOCKS 200

typedef struct Sampler
{
	AnnSampleCallback callback;
	void	   *arg;
	MemoryContext context;
	uint64		random;
	int			size;
	int			count;			/* in the sample */
	uint64		seen;			/* rows that might have been in it */
} Sampler;

static void
sample_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *arg)
{
	Sampler    *sampler = arg;
	uint64		place = sampler->count;
	MemoryContext oldcontext;

	if (isnull[0] || !alive)
		return;

	if (sampler->count == sampler->size)
		place = AnnRandomBelow(&sampler->random, ++sampler->seen);
	if (place >= sampler->size)
		return;

	oldcontext = MemoryContextSwitchTo(sampler->context);
	if (sampler->callback(sampler->arg, (int) place, values[0]) && place == sampler->count)
		sampler->seen = ++sampler->count;
	MemoryContextSwitchTo(oldcontext);
	MemoryContextReset(sampler->context);
}

/* Reads the rows of so many blocks, drawn at random, or of all; returns how many there are. */
static BlockNumber
read_blocks(Relation heap, Relation index, IndexInfo *info, int wanted, uint32 seed,
			IndexBuildCallback callback, void *arg)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(heap);
	BlockSamplerData blocks;

	BlockSampler_Init(&blocks, nblocks, wanted, seed);
	/* What is being inserted or deleted does not matter; a snapshot decides for itself. */
	while (BlockSampler_HasMore(&blocks))
		table_index_build_range_scan(heap, index, info, false, !info->ii_Concurrent, false,
									 BlockSampler_Next(&blocks), 1, callback, arg, NULL);
	return nblocks;
}

int
AnnSample(Relation heap, Relation index, IndexInfo *info, int size, uint64 seed,
		  AnnSampleCallback callback, void *arg)
{
	Sampler		sampler = {.callback = callback,.arg = arg,.random = AnnMix(seed),.size = size};

	sampler.context = AllocSetContextCreate(CurrentMemoryContext, "ann sample",
											ALLOCSET_DEFAULT_SIZES);
	read_blocks(heap, index, info, size, (uint32) AnnRandom(&sampler.random), sample_row, &sampler);
	MemoryContextDelete(sampler.context);
	return sampler.count;
}

static void
count_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *arg)
{
	if (alive && !isnull[0])
		++*(double *) arg;
}

double
AnnCountRows(Relation heap, Relation index, IndexInfo *info)
{
	double		rows = 0;
	BlockNumber nblocks = read_blocks(heap, index, info, COUNTED_BLOCKS, (uint32) ann_seed, count_row, &rows);

	return nblocks > COUNTED_BLOCKS ? rows * nblocks / COUNTED_BLOCKS : rows;
}
