/*
 * am_edit.c
 *	  Edits: the only caller of GenericXLog.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xloginsert.h"
#include "miscadmin.h"
#include "utils/rel.h"

#include "am/am_build.h"
#include "am/am_edit.h"
#include "am/am_page.h"

/* Pages logged between two reports of progress. */
#define LOG_BATCH 1024

void
AnnEditBegin(AnnEdit *edit, Relation index, bool building)
{
	edit->state = building ? NULL : GenericXLogStart(index);
	edit->nbuffers = 0;
}

/*
 * Will a change of a page be logged as an image of it?  Then no delta need be found,
 * which takes longer than most changes.  That a checkpoint may have begun that this
 * backend does not know of yet does no harm: then the image is taken all the same.
 */
static bool
needs_image(Page page)
{
	XLogRecPtr	redo;
	bool		images;

	/* One never written before has nothing a delta could be taken from. */
	if (PageIsNew(page))
		return true;
	GetFullPageWriteInfo(&redo, &images);
	return images && PageGetLSN(page) <= redo;
}

Page
AnnEditPage(AnnEdit *edit, Buffer buffer)
{
	bool		known = false;

	for (int i = 0; i < edit->nbuffers; i++)
		known |= edit->buffers[i] == buffer;

	if (!known)
	{
		Assert(edit->nbuffers < ANN_MAX_EDIT_PAGES);
		edit->buffers[edit->nbuffers++] = buffer;
	}

	if (edit->state == NULL)
		return BufferGetPage(buffer);

	/* For a buffer known already, this returns the copy made then. */
	return GenericXLogRegisterBuffer(edit->state, buffer,
									 !known && needs_image(BufferGetPage(buffer)) ?
									 GENERIC_XLOG_FULL_IMAGE : 0);
}

void *
AnnEditItem(AnnEdit *edit, Buffer buffer, OffsetNumber offset)
{
	Page		page = AnnEditPage(edit, buffer);

	return PageGetItem(page, PageGetItemId(page, offset));
}

OffsetNumber
AnnEditAddItem(AnnEdit *edit, Buffer buffer, uint16 kind, void *item, Size size)
{
	Page		page = AnnEditPage(edit, buffer);
	OffsetNumber offset;

	if (AnnPageIsUnused(page))
		AnnInitPage(page, kind);
	offset = PageAddItem(page, (Item) item, size, InvalidOffsetNumber, false, false);
	if (offset == InvalidOffsetNumber)
		elog(ERROR, "could not add an item to block %u", BufferGetBlockNumber(buffer));
	return offset;
}

void
AnnEditDeleteItem(AnnEdit *edit, Buffer buffer, OffsetNumber offset)
{
	Page		page = AnnEditPage(edit, buffer);

	PageIndexTupleDeleteNoCompact(page, offset);
	PageSetHasFreeLinePointers(page);

	/* An item may need all of a page. */
	while (PageGetMaxOffsetNumber(page) > 0 &&
		   !ItemIdIsUsed(PageGetItemId(page, PageGetMaxOffsetNumber(page))))
		((PageHeader) page)->pd_lower -= sizeof(ItemIdData);
}

Size
AnnEditFreeIfEmpty(AnnEdit *edit, Buffer buffer)
{
	Page		page = AnnEditPage(edit, buffer);

	if (PageGetMaxOffsetNumber(page) == 0)
		AnnInitPage(page, ANN_PAGE_FREE);
	return AnnPageRoom(page);
}

void
AnnEditCommit(AnnEdit *edit)
{
	if (edit->state != NULL)
		GenericXLogFinish(edit->state);
	else
		for (int i = 0; i < edit->nbuffers; i++)
			MarkBufferDirty(edit->buffers[i]);

	for (int i = 0; i < edit->nbuffers; i++)
		UnlockReleaseBuffer(edit->buffers[i]);
}

void
AnnEditLogBuild(Relation index, ForkNumber fork)
{
	BlockNumber nblocks = RelationGetNumberOfBlocksInFork(index, fork);

	if (!RelationNeedsWAL(index) && fork != INIT_FORKNUM)
		return;

	AnnBuildPhase(ANN_PHASE_LOG, nblocks);
	for (BlockNumber blkno = 0; blkno < nblocks; blkno += LOG_BATCH)
	{
		log_newpage_range(index, fork, blkno, Min(nblocks - blkno, LOG_BATCH) + blkno, true);
		AnnBuildProgress(blkno);
	}
}
