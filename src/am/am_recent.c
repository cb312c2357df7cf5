/*
 * am_recent.c
 *	  Reading blocks that were read before.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "executor/instrument.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/rel.h"

#include "am/am_recent.h"
#include "compat.h"

/* Blocks that are remembered; a power of two. */
#define SLOTS 16384

/* One block in so many is forgotten, for only a look-up counts as use to what evicts buffers. */
#define FORGET 8

/* A block's slot says in which buffer it was; or another one's with the same slot. */
static Buffer recent[SLOTS];

static inline Buffer *
get_slot(Relation rel, BlockNumber blkno)
{
	return &recent[(blkno + murmurhash32(RelationGetRelid(rel))) % SLOTS];
}

/* All that ReadBuffer counts of a block that is in a buffer, but for what 16 has of I/O. */
void
AnnCountRecent(Relation rel)
{
	pgBufferUsage.shared_blks_hit++;
	pgstat_count_buffer_read(rel);
	pgstat_count_buffer_hit(rel);
	if (VacuumCostActive)
		VacuumCostBalance += VacuumCostPageHit;
}

Buffer
AnnPinRecent(Relation rel, BlockNumber blkno)
{
	static uint32 turn = 0;
	Buffer	   *slot = get_slot(rel, blkno);
	Buffer		buf = *slot;

	if (!BufferIsValid(buf) || RelationUsesLocalBuffers(rel))
		return InvalidBuffer;
	if (++turn % FORGET == 0 ||
		!ReadRecentBuffer(AnnRelationLocator(rel), MAIN_FORKNUM, blkno, buf))
	{
		*slot = InvalidBuffer;
		return InvalidBuffer;
	}

	/* ReadRecentBuffer has counted what may never be read. */
	pgBufferUsage.shared_blks_hit--;
	return buf;
}

Buffer
AnnReadRecent(Relation rel, BlockNumber blkno)
{
	Buffer		buf = AnnPinRecent(rel, blkno);

	if (BufferIsValid(buf))
		AnnCountRecent(rel);
	else
	{
		buf = ReadBuffer(rel, blkno);

		/* Files of temporary tables may have the names of others. */
		if (!RelationUsesLocalBuffers(rel))
			*get_slot(rel, blkno) = buf;
	}
	return buf;
}
