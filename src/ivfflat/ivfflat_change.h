/*
 * ivfflat_change.h
 *	  A change of lists, as those who make it know it: ivfflat_change.c and, for
 *	  what is taken from other lists, ivfflat_take.c.
 */
#ifndef IVFFLAT_CHANGE_H
#define IVFFLAT_CHANGE_H

#include "am/am_fetch.h"
#include "ivfflat/ivfflat.h"
#include "utils/snapshot.h"

/* The most lists replaced, or put in their place, at once. */
#define IVF_MAX_CHANGED 2

/* A list that is replaced. */
typedef struct IvfOldList
{
	IvfList		list;
	IvfCentre	centre;
	ItemPointerData gathered;	/* segments from this one on were gathered */
} IvfOldList;

/* One that is put in place of it. */
typedef struct IvfNewList
{
	IvfCentre	centre;
	ItemPointerData first;
	uint32		rows;
	uint32		last;			/* of these, in the first segment */
} IvfNewList;

struct ann_tids_hash;

typedef struct IvfChange
{
	IvfIndex   *index;
	IvfChangeKind kind;
	int			nfrom;
	IvfOldList	from[IVF_MAX_CHANGED];
	int			nto;
	IvfNewList	to[IVF_MAX_CHANGED];
	BlockNumber room;			/* for one centre more, if there is going to be one */

	/* Rows gathered: what they are, in which list, and which they go to. */
	char	   *rows;
	uint8	   *old;
	uint8	   *new;
	int			count;
	int			capacity;
	int			came;			/* of these, said their segments */
	int			settled;		/* as many as have not, now; the others are counted as come */

	/* Reads their values, where lists do not have them. */
	AnnFetch   *fetch;
	SnapshotData snapshot;

	/* Rotated vectors of the first rows, and how many there are. */
	float	   *vectors;
	int			nvectors;
	float	   *vector;			/* that of another */

	/* Lists from which rows are taken, and the heap TIDs of these. */
	IvfList    *neighbours;
	int			nneighbours;
	struct ann_tids_hash *taken;	/* NULL if there are none */
} IvfChange;

static inline IvfRow
IvfChangeRow(const IvfChange *change, int i)
{
	return (IvfRow) (change->rows + change->index->row_size * i);
}

/* ivfflat_change.c */

/* Makes room for n more rows. */
extern void IvfReserveRows(IvfChange *change, int n);

/*
 * Reads the rotated vector of a row of a list: of its value, or, if that cannot be
 * had, what its code says.
 */
extern void IvfReadVector(IvfChange *change, IvfRow row, const IvfCentreData *centre, float *x);

/* ivfflat_take.c */

/*
 * Adds the rows of neighbouring lists that are nearer to a new centre than to
 * their own, as rows of the new list.
 */
extern void IvfTakeRows(IvfChange *change);

/* When the new lists have them: removes them from the lists they were in. */
extern void IvfRemoveTaken(IvfChange *change);

#endif							/* IVFFLAT_CHANGE_H */
