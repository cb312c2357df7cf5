/*
 * am_edit.h
 *	  An Edit: one atomic, logged change of up to four pages.
 *
 *	  AnnEditBegin(&edit, index, building);
 *	  page = AnnEditPage(&edit, buffer);	-- buffer locked exclusively
 *	  ... change page ...
 *	  AnnEditCommit(&edit);					-- unlocks and releases them all
 *
 * Begin an Edit only when something is going to change: look first.  The pages
 * handed out may be private copies; nobody sees the change before the commit,
 * and an error before it undoes everything.  Not so while an index is being
 * built: then the pages are the buffers' own and nothing is logged, because
 * the build logs all pages at its end and is worth nothing before it.
 */
#ifndef ANN_EDIT_H
#define ANN_EDIT_H

#include "access/generic_xlog.h"
#include "storage/bufmgr.h"
#include "utils/relcache.h"

/* The most pages of an Edit. */
#define ANN_MAX_EDIT_PAGES MAX_GENERIC_XLOG_PAGES

typedef struct AnnEdit
{
	GenericXLogState *state;	/* NULL while building */
	int			nbuffers;
	Buffer		buffers[ANN_MAX_EDIT_PAGES];
} AnnEdit;

extern void AnnEditBegin(AnnEdit *edit, Relation index, bool building);

/*
 * The page of a buffer, to be changed.  The caller holds the buffer's pin and
 * exclusive lock and gives both to the Edit.  The same buffer may be given
 * twice.
 */
extern Page AnnEditPage(AnnEdit *edit, Buffer buffer);

/* An item, that was looked at before, of a page. */
extern void *AnnEditItem(AnnEdit *edit, Buffer buffer, OffsetNumber offset);

/* Adds an item to a page, which becomes one of that kind if it was unused. */
extern OffsetNumber AnnEditAddItem(AnnEdit *edit, Buffer buffer, uint16 kind, void *item, Size size);

/* Removes an item from a page; others keep their places. */
extern void AnnEditDeleteItem(AnnEdit *edit, Buffer buffer, OffsetNumber offset);

/* Frees a page if it has no items left; returns how much room it has. */
extern Size AnnEditFreeIfEmpty(AnnEdit *edit, Buffer buffer);

extern void AnnEditCommit(AnnEdit *edit);

/* Logs all pages of a fork of an index that was built without logging. */
extern void AnnEditLogBuild(Relation index, ForkNumber fork);

#endif							/* ANN_EDIT_H */
