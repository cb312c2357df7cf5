/*
 * am_recent.c
 *	  Reading blocks that were read before.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "pgstat.h"
#include "utils/rel.h"

#include "am/am_recent.h"
#include "compat.h"

/* Blocks that are remembered; a power of two. */
#define SLOTS 16384

/* One block in so many is looked up, for only that counts as use to what evicts buffers. */
#define LOOK_UP 8

/* A block's slot says in which buffer it was; or another one's with the same slot. */
static Buffer recent[SLOTS];

static inline Buffer *
get_slot(Relation rel, BlockNumber blkno)
{
	return &recent[(blkno + murmurhash32(RelationGetRelid(rel))) % SLOTS];
}

Buffer
AnnPinRecent(Relation rel, BlockNumber blkno)
{
	static uint32 pins = 0;
	Buffer		buf = *get_slot(rel, blkno);

	/* Files of temporary tables may have the names of others. */
	if (!BufferIsValid(buf) || RelationUsesLocalBuffers(rel) || ++pins % LOOK_UP == 0 ||
		!ReadRecentBuffer(AnnRelationLocator(rel), MAIN_FORKNUM, blkno, buf))
		return InvalidBuffer;

	pgstat_count_buffer_read(rel);
	pgstat_count_buffer_hit(rel);
	return buf;
}

Buffer
AnnReadRecent(Relation rel, BlockNumber blkno)
{
	Buffer		buf = AnnPinRecent(rel, blkno);

	if (!BufferIsValid(buf))
		buf = *get_slot(rel, blkno) = ReadBuffer(rel, blkno);
	return buf;
}
