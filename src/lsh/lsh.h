/*
 * lsh.h
 *	  The access method lsh: what its files share.
 */
#ifndef LSH_H
#define LSH_H

#include "access/amapi.h"

#include "am/am.h"
#include "am/am_edit.h"
#include "am/am_point.h"
#include "lsh/lsh_page.h"

/* How full a build leaves nodes, so that inserts do not split them at once. */
#define LSH_FILL 0.9

/* Tables of an index of which not enough is known to choose. */
#define LSH_DEFAULT_TABLES 8

/* With fewer leaves in a table, nothing is to be learnt of it. */
#define LSH_MIN_LEAVES 10

/* Phases of a build. */
#define PROGRESS_LSH_LOAD ANN_PHASE_METHOD
#define PROGRESS_LSH_WRITE (ANN_PHASE_METHOD + 1)
#define PROGRESS_LSH_CALIBRATE (ANN_PHASE_METHOD + 2)

/* An open index.  What it points to is memory of the context it was opened in. */
typedef struct LshIndex
{
	Relation	rel;
	BlockNumber nblocks;		/* when last looked */
	BufferAccessStrategy strategy;	/* for reading leaves; NULL: as usual */
	float		patience[LSH_RECALLS];	/* in leaves with leaf_fill rows */
	float		near[LSH_NEARS];	/* likewise */
	uint32		measured_leaves;	/* of a table, when these were measured; or 0 */
	float		norm;
	float		lift;
	AnnSpace	space;
	LshHash		hash;
	Size		row_size;
	int			leaf_rows;		/* a leaf has room for */
	int			leaf_fill;		/* and a build puts into it */
	float	   *centre;			/* rotated; NULL if it is the origin */
} LshIndex;

/* lsh.c */
extern double lsh_target_recall;
extern int	lsh_max_probes;

/* Called from _PG_init. */
extern void LshInit(void);

/* The number of tables an index is to have; 0: see LshChooseTables. */
extern int	LshGetTables(Relation rel);

/*
 * How many leaves in a row, as full as a build leaves them, may be read in vain
 * to reach the recall wanted.
 */
extern double LshPatience(const LshIndex *index);

/*
 * What share of a stranger's distance rows may have that would have been met, but for
 * one of a hundred, in so many leaves; below 0 if none.
 */
extern double LshNearness(const LshIndex *index, double leaves);

/* lsh_page.c */

/* Bits per dimension of codes of a space; 0: values are stored whole. */
extern int	LshBits(const AnnSpace *space);

/*
 * The metapage of a new index, in memory that has room for a centre too; sets
 * the centre; and makes an empty index with it: metapage, and for each table a
 * root and behind it a leaf.
 */
extern LshMetaPage LshMakeMeta(const AnnSpace *space, int tables);
extern void LshSetCentre(LshMetaPage meta, const AnnSpace *space, const float *centre);
extern void LshCreate(Relation rel, ForkNumber fork, const LshMetaPageData *meta);

/* The values of recall an index has measured patience for, ascending. */
extern const double lsh_recalls[LSH_RECALLS];

/* The shares of a stranger's distance it has measured, ascending. */
extern const double lsh_nears[LSH_NEARS];

/* What is measured of an index: see LshMetaPageData. */
typedef struct LshMeasured
{
	float		patience[LSH_RECALLS];
	float		near[LSH_NEARS];
	uint32		leaves;
} LshMeasured;

extern void LshWriteMeasured(Relation rel, const LshMeasured *measured, bool building);

extern void LshOpen(LshIndex *index, Relation rel);

/* Makes a page an empty node, without right sibling. */
extern void LshInitNode(Page page, int table, int level, const LshPlace *low);

static inline Size
LshEntrySize(const LshIndex *index, LshNode node)
{
	return node->level == 0 ? index->row_size : sizeof(LshDownlink);
}

/* How many entries a node has room for. */
static inline int
LshNodeCapacity(const LshIndex *index, LshNode node)
{
	return node->level == 0 ? index->leaf_rows : LSH_MAX_ENTRIES;
}

static inline LshRow
LshNodeRow(const LshIndex *index, LshNode node, int i)
{
	return LshNodeEntry(node, index->row_size, i);
}

/*
 * The number of entries of a node; raises an error if there cannot be so many.
 */
extern int	LshCountEntries(const LshIndex *index, BlockNumber blkno, Page page);

/*
 * Reads and locks a page that should be a node of a table's level, and checks
 * it; sets *count to the number of its entries.  InvalidBuffer if the page has
 * become something else.
 */
extern Buffer LshReadNode(LshIndex *index, BlockNumber blkno, int table, int level,
						  int lockmode, int *count);

/* The same for a root, whose level is not known. */
extern Buffer LshReadRoot(LshIndex *index, int table, int lockmode, int *count);

/*
 * Copies a root as it is or was; a search can start from either.  An old copy
 * that leads to other nodes than it says should be forgotten.
 */
extern void LshCopyRoot(LshIndex *index, int table, Page copy, int *count);
extern void LshForgetRoot(LshIndex *index, int table);

/* Which downlink of a node leads to a place that is in the node's range. */
extern int	LshFindDownlink(LshNode node, int count, const LshPlace *place);

/* The leaf that a place belongs to, locked. */
extern Buffer LshFindLeaf(LshIndex *index, int table, const LshPlace *place, int lockmode,
						  int *count);

/*
 * A walk through the leaves of a table, in their order, one locked at a time.
 * It meets all rows that are there all the time.
 */
typedef struct LshWalk
{
	LshIndex   *index;
	int			table;
	LshPlace	from;			/* rows before this were met */
	LshPlace	high;
	BlockNumber next;
	bool		done;
	Buffer		buf;			/* the leaf it is at */
} LshWalk;

extern void LshWalkBegin(LshWalk *walk, LshIndex *index, int table);

/* The same from a place on, where a leaf of that block is said to begin. */
extern void LshWalkFrom(LshWalk *walk, LshIndex *index, int table, const LshPlace *from,
						BlockNumber blkno);

/* Goes to the next leaf, locked; false at the end. */
extern bool LshWalkNext(LshWalk *walk, int lockmode, int *count);

/* lsh_value.c */

/* A value to be searched for. */
typedef struct LshValue
{
	AnnQuery   *query;
	double		offset;			/* of all distances from codes */
	/* By what a code's squared norm, and its product with the query, count in them. */
	double		norm_weight;
	double		dot_weight;
	AnnRabitqLimit limit;		/* of their errors */
	void	   *hashed;			/* see lsh_hash.h */
} LshValue;

/* Prepares a search for a query, in the current memory context. */
extern void LshPrepareSearch(LshValue *value, const LshIndex *index, AnnQuery *query);

extern Size LshCodeSize(const AnnSpace *space);

/* Of a row, and how many a leaf has room for, and a build puts into it. */
static inline Size
LshRowSize(const AnnSpace *space)
{
	return INTALIGN(offsetof(LshRowData, code) + LshCodeSize(space));
}

static inline int
LshLeafRows(const AnnSpace *space)
{
	return LSH_NODE_ROOM / LshRowSize(space);
}

static inline int
LshLeafFill(const AnnSpace *space)
{
	int			most = LshLeafRows(space);

	return most - (int) (most * (1 - LSH_FILL));
}

/* The distance of rows at such a share of that of strangers. */
extern double LshNearDistance(const LshValue *value, double share);

/* Distances between a value and up to ANN_BATCH rows, as their codes have it. */
extern void LshDistances(const LshValue *value, const LshRow *rows, int n, double *out);

/* Where the true distance lies, almost certainly. */
extern AnnRabitqRange LshBounds(const LshValue *value, LshRow row, double distance);

/*
 * By how much the true distance of n rows may be less at most, whatever it is: takes
 * less time.
 */
extern void LshErrorLimits(const LshValue *value, const LshRow *rows, int n, float *limits);

/*
 * Makes a row of a value, in the current memory context, but for its place, and
 * its keys.  False if the value has no place in the index.
 */
extern bool LshPrepareRow(const LshIndex *index, Datum datum, LshRow *row, uint32 *keys);

/* What a vector lacks, squared length given, of a length; see README.md section 1. */
extern double LshElement(double norm, double norm2);

/* lsh_insert.c */
extern bool lshinsert(Relation rel, Datum *values, bool *isnull, ItemPointer tid, Relation heap,
					  IndexUniqueCheck unique, bool unchanged, IndexInfo *info);

/* lsh_search.c */

typedef struct LshSearch LshSearch;

/* A row found: bounds of its distance, and when. */
typedef struct LshFound
{
	double		lower;
	double		upper;
	ItemPointerData tid;
	bool		given;			/* to the caller */
	int64		scored;			/* LshSearchScored when it was found */
} LshFound;

/*
 * Starts a search for the k best rows, in the current memory context.
 */
extern LshSearch *LshSearchBegin(LshIndex *index, const LshValue *value, int k);

/* Reads a leaf that was not read before; false if there is none to look for. */
extern bool LshSearchStep(LshSearch *search);

/* Reads all leaves of one table. */
extern void LshSearchAll(LshSearch *search);

/* How many leaves were read. */
extern uint32 LshSearchReads(const LshSearch *search);

/* How many rows these had, one for each table it was met in. */
extern int64 LshSearchScored(const LshSearch *search);

/*
 * How many leaves the rows would fill that were read since the k best last
 * changed; see LshPatience.
 */
extern double LshSearchWaited(const LshSearch *search);

/* What is almost certainly no less than the distance of the k-th best. */
extern double LshSearchBound(const LshSearch *search);

/*
 * The least distance, as its code has it, of the rows that LshSearchNext has not
 * returned; INFINITY if there are none.
 */
extern double LshSearchNearest(const LshSearch *search);

/*
 * The next row that may be no farther than a limit, and was not returned before;
 * NULL if there is none, and then it begins anew.
 */
extern const LshFound *LshSearchNext(LshSearch *search, double limit);

/* Is the leaf read last the one that a row with these keys belongs to, or the first such? */
extern bool LshSearchCovers(const LshSearch *search, const uint32 *keys);

/* Has a row been found that may be among the k best? */
extern bool LshSearchFound(const LshSearch *search, const ItemPointerData *tid);

/* Doubles k.  False if that would take rows that were forgotten, or more memory. */
extern bool LshSearchMore(LshSearch *search);

/* lsh_scan.c */
extern const AnnScanMethods lsh_scan_methods;

/* lsh_build.c */
extern const AnnBuildMethods lsh_build_methods;
extern IndexBuildResult *lshbuild(Relation heap, Relation rel, IndexInfo *info);
extern void lshbuildempty(Relation rel);
extern void LshEstimate(Relation heap, Relation rel, AnnEstimate *estimate);

/* lsh_sample.c */

/* Rows of a sample that serve as queries. */
#define LSH_SAMPLE_QUERIES 200

/* A sample of the rows an index is built of, or has. */
typedef struct LshSample
{
	AnnSpace	space;
	MemoryContext context;
	int			size;			/* wanted */
	int			count;
	int			added;			/* to sum */
	double	   *sum;			/* of rotated vectors */
	float	   *norm2;			/* of each row */
	int			npoints;		/* of which the rotated vectors are kept */
	float	   *points;
	int			nqueries;
	Datum		queries[LSH_SAMPLE_QUERIES];	/* values of some of the rows */
} LshSample;

/*
 * Draws a sample for a build, or queries only, for an index that is there; the
 * space was set by the caller.
 */
extern void LshDrawSample(LshSample *sample, Relation heap, Relation rel, IndexInfo *info);
extern void LshDrawQueries(LshSample *sample, Relation heap, Relation rel, IndexInfo *info);

/* Lets a metapage have what follows from a sample: centre and norms. */
extern void LshApplySample(LshSample *sample, LshMetaPage meta);

/* How many tables are best for so many rows, after LshApplySample. */
extern int	LshChooseTables(const LshSample *sample, double rows);

/* lsh_calibrate.c */

/* Measures what LshMeasured has, if there is enough of an index to do so. */
extern void LshCalibrate(Relation heap, Relation rel, const LshSample *sample, bool building,
						 BufferAccessStrategy strategy);

/* Does an index have much more than when it was measured? */
extern bool LshHasGrown(const LshIndex *index);

/* lsh_vacuum.c */
extern IndexBulkDeleteResult *lshbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
											IndexBulkDeleteCallback callback, void *arg);
extern IndexBulkDeleteResult *lshvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats);

/* lsh_check.c */
extern void LshCheckIndex(Relation rel, AnnCheck *check);

/* lsh_info.c */
extern void LshInfo(Relation rel, AnnInfo *info);

#endif							/* LSH_H */
