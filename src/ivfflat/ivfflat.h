/*
 * ivfflat.h
 *	  An open ivfflat index, and what its verbs share.
 */
#ifndef IVFFLAT_H
#define IVFFLAT_H

#include "access/genam.h"
#include "nodes/execnodes.h"

#include "am/am.h"
#include "am/am_edit.h"
#include "am/am_point.h"
#include "am/am_visited.h"
#include "ivfflat/ivfflat_page.h"
#include "space/space.h"

/* The fewest rows a list is meant to have. */
#define IVF_MIN_ROWS_PER_LIST 64

/*
 * A new segment has room for this share of the list's rows: for those to come, and
 * for those that come in place of others.
 */
#define IVF_SPARE_SHARE 4

/* Codes of so many bits per dimension are what the option quantizer calls sq8. */
#define IVF_SQ8_BITS 8

typedef struct IvfIndex
{
	Relation	rel;
	AnnSpace	space;			/* of rows, as long as they are whole */

	/* From the metapage, where they were frozen when the index was built. */
	int			bits;
	int			centre_bits;
	bool		stored;

	/* What follows from these. */
	Size		centre_size;
	Size		row_size;
	Size		value_offset;	/* of what a row has of its value */
	Size		value_size;
	int			centres_per_page;
	int			rows_per_page;

	/* The number of blocks when last looked; there may be more. */
	BlockNumber nblocks;

	/* A list page that had room. */
	BlockNumber target;

	/* Nothing is logged while the index is built. */
	bool		building;

	AnnStore	store;

	/* For decoding: two rotated vectors. */
	float	   *scratch;
} IvfIndex;

/* A value in rotated space, prepared to be compared with centres. */
typedef struct IvfPoint
{
	const float *x;
	double		norm2;
	AnnRabitqQuery *prepared;
} IvfPoint;

/* A list, as its centre says, seen from a point. */
typedef struct IvfList
{
	double		score;			/* less is better */
	double		base;			/* squared distance of the centre */
	uint32		number;
	uint32		rows;			/* beyond the first segment's */
	uint32		limit;
	ItemPointerData first;
	BlockNumber blkno;			/* where the centre is */
	OffsetNumber offset;
} IvfList;

/* What a point looks for. */
typedef enum IvfPurpose
{
	IVF_SEARCH,					/* lists with rows near to it */
	IVF_SCAN,					/* the same; segments may have come before the first */
	IVF_ASSIGN					/* the list it belongs to */
} IvfPurpose;

#define HEAP_PREFIX ivf_list
#define HEAP_ELEMENT IvfList
#define HEAP_BEFORE(a, b) ((a)->score < (b)->score)
#include "am/am_heap.h"

/*
 * The lists of an index, nearest first, each once; those that have come in place
 * of others meanwhile are among them.  Groups of centres are read as they are
 * needed, so the nearest are the nearest among those seen.
 */
typedef struct IvfQueue
{
	IvfIndex   *index;
	const IvfPoint *point;		/* NULL: in any order */
	IvfPurpose	purpose;
	uint32		wanted;			/* lists that are going to be asked for */
	ivf_list_heap groups;		/* not read yet */
	ivf_list_heap lists;		/* not visited yet */
	AnnVisited	visited;		/* numbers of those that were */
	uint32		seen;			/* centres of groups that were read */
	uint32		nlists;			/* there were when the groups were read, */
	uint32		changes;		/* and how many changes */
} IvfQueue;

/* What ivfflat.iterative_scan says. */
typedef enum IvfIterativeScan
{
	IVF_ITERATIVE_SCAN_OFF,
	IVF_ITERATIVE_SCAN_RELAXED,
	IVF_ITERATIVE_SCAN_STRICT
} IvfIterativeScan;

/* Phases of a build. */
#define PROGRESS_IVF_KMEANS ANN_PHASE_METHOD
#define PROGRESS_IVF_ASSIGN (ANN_PHASE_METHOD + 1)
#define PROGRESS_IVF_LOAD (ANN_PHASE_METHOD + 2)

/* Settings; see ivfflat.c. */
extern int	ivfflat_probes;
extern int	ivfflat_iterative_scan;
extern int	ivfflat_max_probes;

static inline bool
IvfSpherical(const IvfIndex *index)
{
	return index->space.metric->form != ANN_FORM_L2;
}

/* ivfflat.c */

/* Called from _PG_init. */
extern void IvfInit(void);

/*
 * The number of lists that CREATE INDEX asked for, or 0.  Makes the space ready for
 * the bits of rows, and says whether their values are to be stored.
 */
extern int	IvfGetOptions(Relation rel, AnnSpace *space, bool *stored);

/* ivfflat_page.c */

/* The size of a row of a space that has a code, without the place of its value. */
extern Size IvfCodedSize(const AnnSpace *space);

/* Does a row of such an index fit a page? */
extern bool IvfRowFits(const AnnSpace *space, bool stored);

/* Opens an index that has a metapage; keeps no lock. */
extern void IvfOpen(IvfIndex *index, Relation rel);

/* The same of an index that is about to be built; what is cached is forgotten. */
extern void IvfPrepare(IvfIndex *index, Relation rel, const AnnSpace *space, bool stored);

/* Reads the metapage. */
extern void IvfReadMeta(const IvfIndex *index, IvfMetaPageData *meta);

/* The change lock; README.md section 6. */
extern void IvfLockChanges(const IvfIndex *index, LOCKMODE mode);
extern bool IvfTryLockChanges(const IvfIndex *index);
extern void IvfUnlockChanges(const IvfIndex *index, LOCKMODE mode);

/* A centre of a locked page; NULL if there is none, an error if it is cut off. */
extern IvfCentre IvfGetCentre(const IvfIndex *index, Buffer buf, OffsetNumber offset);

/*
 * Reads and locks a page; false, and no lock, if it is not of the kind, because
 * it was freed and is perhaps another's by now.  Damage is an error.
 */
extern bool IvfReadPage(IvfIndex *index, BlockNumber blkno, uint16 kind, int lockmode, Buffer *buf);

/*
 * Reads and locks the centre of a list; NULL, and no lock, if that is gone or has
 * moved.
 */
extern IvfCentre IvfLockCentre(IvfIndex *index, const IvfList *list, int lockmode, Buffer *buf);

/* Copies it; false if it is gone or has moved. */
extern bool IvfCopyCentre(IvfIndex *index, const IvfList *list, IvfCentre copy);

/* All centres of a locked page, and their offset numbers; returns how many. */
extern int	IvfGetCentres(const IvfIndex *index, Buffer buf, const IvfCentreData **centres,
						  OffsetNumber *offsets);

/* A segment of a locked page, like a centre; and how many rows it has room for. */
extern IvfSegment IvfGetSegment(const IvfIndex *index, Buffer buf, OffsetNumber offset, int *capacity);

/*
 * Reads and locks the page of a segment; false, and no lock, if it is not one of
 * that list, which then no longer exists.
 */
extern bool IvfReadSegment(IvfIndex *index, const ItemPointerData *at, uint32 list, int lockmode,
						   Buffer *buf, IvfSegment *segment, int *capacity);

/* A walk along the segments of a list. */
typedef struct IvfWalk
{
	IvfIndex   *index;
	uint32		list;
	bool		stable;			/* the change lock is held, and the first is the first */
	bool		back;			/* at segments before it */
	uint64		count;			/* segments so far */

	/* The segment, and the next one's place. */
	ItemPointerData at;
	Buffer		buf;
	IvfSegment	segment;
	int			capacity;
	ItemPointerData next;
	ItemPointerData previous;	/* of the one the walk began with */

	/* The list was replaced meanwhile. */
	bool		gone;
} IvfWalk;

extern void IvfWalkBegin(IvfWalk *walk, IvfIndex *index, uint32 list, ItemPointerData first,
						 bool stable);

/*
 * Reads and locks the next segment, for the caller to let go of; false at the end,
 * or if the list is gone.
 */
extern bool IvfWalkNext(IvfWalk *walk, int lockmode);

/*
 * Writes rows, of which so many have come since the centre was made, to new
 * segments, in front of *first, which becomes the first of these and has room
 * for so many more, as far as a page goes.
 */
extern void IvfWriteRows(IvfIndex *index, uint32 list, const IvfRow *rows, int n, int came, int room,
						 ItemPointerData *first);

/* ivfflat_centre.c */

/* A point of a value, or of a rotated vector; in the current memory context. */
extern void IvfPointOfValue(const IvfIndex *index, const AnnQuery *value, IvfPoint *point);
extern void IvfPointOfVector(const IvfIndex *index, const float *x, IvfPoint *point);

/* The centre that comes nearest to a rotated vector. */
extern void IvfMakeCentre(const IvfIndex *index, uint32 list, const float *x, IvfCentre centre);

/* The rotated vector it is. */
extern void IvfDecodeCentre(const IvfIndex *index, const IvfCentreData *centre, float *x);

/*
 * What makes a score of the dot product with a centre: offset + factor * dot.
 * It lacks what is the same for all centres.
 */
typedef struct IvfTerms
{
	float		offset;
	float		factor;
} IvfTerms;

extern IvfTerms IvfScoreTerms(const IvfIndex *index, IvfPurpose purpose, float norm2);

/* Looks at n centres from a point: scores and bases. */
extern void IvfCompare(const IvfIndex *index, const IvfPoint *point, IvfPurpose purpose,
					   const IvfCentreData *const *centres, int n, IvfList *lists);

/* Finds the list a point belongs to, and copies its centre. */
extern void IvfFindList(IvfIndex *index, const IvfPoint *point, IvfList *list, IvfCentre centre);

/*
 * Finds the list a point belongs to, or hardly ever one almost as near, by the
 * groups: for when centres are too many to look at all.
 */
extern void IvfFindByGroups(IvfIndex *index, const IvfPoint *point, IvfList *list);

/* What a page of centres, or groups, has, for as long as it is locked. */
typedef struct IvfCentrePage
{
	BlockNumber blkno;
	Buffer		buf;
	int			count;
	const IvfCentreData *centres[MaxOffsetNumber + 1];
	OffsetNumber offsets[MaxOffsetNumber + 1];
} IvfCentrePage;

/*
 * Reads and locks a page of centres or of groups; false, and no lock, if it was
 * freed and is perhaps something else by now.
 */
extern bool IvfReadCentres(IvfIndex *index, BlockNumber blkno, uint16 kind, IvfCentrePage *page);

/* How many centres a search sees that wants so many of the lists there are. */
extern uint32 IvfCentresSeen(uint32 lists, uint32 wanted);

/* Begins to visit lists, of which so many are wanted soon. */
extern void IvfQueueInit(IvfQueue *queue, IvfIndex *index, const IvfPoint *point, IvfPurpose purpose,
						 uint32 wanted);

/* The next list; false if there is none that has not been visited. */
extern bool IvfQueueNext(IvfQueue *queue, IvfList *list);

/* Reads the groups again, for a list turned out to have been replaced. */
extern void IvfQueueRefresh(IvfQueue *queue);

/* ivfflat_group.c */

/* Puts vectors in the order in which they make good pages of centres. */
extern void IvfArrange(const IvfIndex *index, float *x, int n);

/*
 * Writes metapage, centres and groups of a new index.  Lists are numbered from 0.
 */
extern void IvfCreate(const IvfIndex *index, ForkNumber fork, const char *centres, int n);

/*
 * Adds all groups, of which the metapage names the first page, as lists of which score
 * and blkno, the page, are set.
 */
extern void IvfReadGroups(IvfIndex *index, const IvfMetaPageData *meta, const IvfPoint *point,
						  IvfPurpose purpose, ivf_list_heap *groups);

/*
 * Makes room for another centre beside that of a list, and returns the block where
 * it is.  That may move the list's own.  The change lock is held.
 */
extern BlockNumber IvfMakeRoom(IvfIndex *index, IvfList *list);

/*
 * Centres of a page have changed: makes its group what it should be.  A page
 * without centres is freed.  The change lock is held.
 */
extern void IvfUpdateGroup(IvfIndex *index, BlockNumber blkno);

/* ivfflat_cache.c */

/* Pages that had room: of lists, and of the store. */
typedef struct IvfTargets
{
	BlockNumber lists;
	BlockNumber values;
} IvfTargets;

/* What is remembered of an index: the metapage as it was read, and targets. */
extern bool IvfRecall(Relation rel, IvfMetaPageData *meta, IvfTargets *targets);
extern void IvfRemember(Relation rel, const IvfMetaPageData *meta);
extern void IvfRememberTargets(const IvfIndex *index);

/*
 * Finds the list a point belongs to, and where its centre is, among the centres
 * remembered, which are read again if lists have been replaced since; false if
 * they take more than work_mem.
 */
extern bool IvfFindCached(IvfIndex *index, const IvfPoint *point, const IvfMetaPageData *meta,
						  IvfList *list);

/* Adds all lists for a scan, likewise. */
extern bool IvfListCached(IvfIndex *index, const IvfPoint *point, const IvfMetaPageData *meta,
						  ivf_list_heap *lists);

/* ivfflat_row.c */

/*
 * What a row is to have of a value: all of it, or, when it has been put there, its
 * place in the store; *place is room for that.
 */
extern const void *IvfKeepValue(IvfIndex *index, const AnnQuery *value, const ItemPointerData *tid,
								ItemPointerData *place);

/* What it has of it. */
static inline void *
IvfRowValue(const IvfIndex *index, IvfRow row)
{
	return (char *) row + index->value_offset;
}

/* Where the store has it; invalid if it has not. */
static inline AnnPlace
IvfRowPlace(const IvfIndex *index, IvfRow row)
{
	AnnPlace	place = {.owner = row->tid};

	if (index->stored)
		place.at = *(ItemPointerData *) IvfRowValue(index, row);
	else
		ItemPointerSetInvalid(&place.at);
	return place;
}

/* Makes a row of a list: of a point, and of what it is to have of its value. */
extern void IvfEncodeRow(const IvfIndex *index, const IvfCentreData *centre, const IvfPoint *point,
						 const void *value, const ItemPointerData *tid, IvfRow row);

/* The rotated vector that a row stands for, more or less. */
extern void IvfDecodeRow(const IvfIndex *index, const IvfCentreData *centre, IvfRow row, float *x);

/* The square of a distance: it is almost certainly no farther than error from the estimate. */
typedef struct IvfSquare
{
	double		estimate;
	double		error;
} IvfSquare;

/*
 * Compares a prepared vector with rows of a list by their codes; n is ANN_BATCH at
 * most.  base is the square of its distance from the centre.  Where distances are
 * inner products the squares of the rows' lengths are left out.
 */
extern void IvfEstimateRows(const IvfIndex *index, const AnnRabitqQuery *prepared, double base,
							char *rows, int n, IvfSquare *squares);

/* The rotated vector of a row's value, if it is in the store. */
extern bool IvfReadStored(IvfIndex *index, IvfRow row, float *x);

/* Is this, as found on disk, a row? */
extern bool IvfRowValid(const IvfIndex *index, IvfRow row);

/* ivfflat_change.c */

/* What takes the place of a list, or of two. */
typedef enum IvfChangeKind
{
	IVF_DROP,					/* nothing, where there are no rows */
	IVF_PACK,					/* one around the same centre */
	IVF_RENEW,					/* one around the mean, with rows of neighbours */
	IVF_SPLIT,					/* two, with rows of neighbours, where one is too long */
	IVF_MERGE					/* one, in the place of two */
} IvfChangeKind;

/*
 * Replaces a list, or those two that are merged.  The change lock is held.  False if
 * that cannot be done; then segments may have been closed.
 */
extern bool IvfChangeLists(IvfIndex *index, Relation heap, IvfChangeKind kind, const IvfList *from);

/* How many rows a list is meant to have. */
extern uint32 IvfRowsPerList(const IvfIndex *index);

/* Is a list of so many rows too long? */
extern bool IvfTooLong(uint32 rows_per_list, const IvfList *list, uint32 rows);

/* ivfflat_take.c */

/*
 * Removes from other lists the rows that a change took, if it was interrupted
 * before it had done so.  The change lock is held.
 */
extern void IvfFinishTaking(IvfIndex *index);

/* Callbacks; ivfflat_build.c, _insert.c, _scan.c, _vacuum.c, _check.c, _info.c */
extern const AnnScanMethods ivf_scan_methods;
extern const AnnBuildMethods ivf_build_methods;

extern IndexBuildResult *ivfflatbuild(Relation heap, Relation rel, IndexInfo *info);
extern void ivfflatbuildempty(Relation rel);
extern void IvfEstimate(Relation heap, Relation rel, AnnEstimate *estimate);
extern bool ivfflatinsert(Relation rel, Datum *values, bool *isnull, ItemPointer tid, Relation heap,
						  IndexUniqueCheck unique, bool unchanged, IndexInfo *info);
extern IndexBulkDeleteResult *ivfflatbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
												IndexBulkDeleteCallback callback, void *arg);
extern IndexBulkDeleteResult *ivfflatvacuumcleanup(IndexVacuumInfo *info,
												   IndexBulkDeleteResult *stats);
extern void IvfCheckIndex(Relation rel, AnnCheck *check);
extern void IvfInfo(Relation rel, AnnInfo *info);

#endif							/* IVFFLAT_H */
