/*
 * lsh.c
 *	  The access method lsh: handler, options, settings, cost.
 */
#include "postgres.h"

#include <math.h>

#include "access/reloptions.h"
#include "nodes/pathnodes.h"
#include "utils/guc.h"
#include "utils/rel.h"

#include "compat.h"
#include "lsh/lsh.h"

double		lsh_target_recall;
int			lsh_max_probes;

static relopt_kind lsh_relopt_kind;

typedef struct LshOptions
{
	int32		vl_len_;		/* varlena header (do not touch directly!) */
	int			tables;
} LshOptions;

int
LshGetTables(Relation rel)
{
	LshOptions *options = (LshOptions *) rel->rd_options;

	return options != NULL ? options->tables : 0;
}

/*
 * Between two values of recall, and beyond the last, patience is taken for a
 * power of the share of rows that may be missed.
 */
double
LshPatience(const LshIndex *index)
{
	double		missed = 1 - lsh_target_recall;
	int			i = 1;
	double		share;

	if (lsh_target_recall >= 1)
		return INFINITY;
	if (lsh_target_recall < lsh_recalls[0])
		return index->patience[0] * lsh_target_recall / lsh_recalls[0];
	if (lsh_target_recall > lsh_recalls[LSH_RECALLS - 1])
		return index->patience[LSH_RECALLS - 1] * (1 - lsh_recalls[LSH_RECALLS - 1]) / missed;

	while (lsh_recalls[i] < lsh_target_recall)
		i++;
	share = log(missed / (1 - lsh_recalls[i - 1])) / log((1 - lsh_recalls[i]) / (1 - lsh_recalls[i - 1]));
	return index->patience[i - 1] * pow(index->patience[i] / index->patience[i - 1], share);
}

/*
 * The logarithm of leaves is taken to be linear between two shares.  Rows that were not
 * met before all was read may have been met never: nothing follows from that.
 */
double
LshNearness(const LshIndex *index, double leaves)
{
	double		share = 0;
	double		least = 1;

	if (leaves < 1 || index->near[0] == 0 || index->near[0] >= index->measured_leaves)
		return -1;
	for (int i = 0; i < LSH_NEARS && index->near[i] < index->measured_leaves; i++)
	{
		if (leaves < index->near[i])
			return share + (lsh_nears[i] - share) * log(leaves / least) / log(index->near[i] / least);
		share = lsh_nears[i];
		least = index->near[i];
	}
	return share;
}

static bytea *
lshoptions(Datum reloptions, bool validate)
{
	static const relopt_parse_elt elements[] = {
		{"tables", RELOPT_TYPE_INT, offsetof(LshOptions, tables)},
	};

	return build_reloptions(reloptions, validate, lsh_relopt_kind, sizeof(LshOptions),
							elements, lengthof(elements));
}

static char *
lshbuildphasename(int64 phase)
{
	switch (phase)
	{
		case PROGRESS_LSH_LOAD:
			return "loading tuples";
		case PROGRESS_LSH_WRITE:
			return "writing tables";
		case PROGRESS_LSH_CALIBRATE:
			return "measuring recall";
		default:
			return AnnBuildPhaseName(phase);
	}
}

/*
 * A search reads about twice as many leaves as it waits for something better,
 * but not many more than a table has, and some of every table.
 */
static void
lshcostestimate(PlannerInfo *root, IndexPath *path, double loop_count,
				Cost *startup, Cost *total, Selectivity *selectivity,
				double *correlation, double *pages)
{
	Relation	rel = index_open(path->indexinfo->indexoid, NoLock);
	double		tuples = Max(path->indexinfo->tuples, 1);
	double		leaves = Max((double) path->indexinfo->pages, 1);
	LshIndex	index;
	double		reads;
	AnnCost		cost;

	LshOpen(&index, rel);
	index_close(rel, NoLock);

	reads = index.hash.tables + 2 * LshPatience(&index);
	if (lsh_max_probes > 0)
		reads = Min(reads, lsh_max_probes);
	cost.first = tuples * Min(reads / leaves, 1);
	cost.further = 1;
	AnnCostEstimate(path, &cost, startup, total, selectivity, correlation, pages);
}

ANN_FUNCTION(ann_lsh_handler)
{
	IndexAmRoutine *routine = AnnHandlerRoutine();

	routine->ambuild = lshbuild;
	routine->ambuildempty = lshbuildempty;
	routine->aminsert = lshinsert;
	routine->ambulkdelete = lshbulkdelete;
	routine->amvacuumcleanup = lshvacuumcleanup;
	routine->amcostestimate = lshcostestimate;
	routine->amoptions = lshoptions;
	routine->ambuildphasename = lshbuildphasename;

	PG_RETURN_POINTER(routine);
}

static const AnnTuning lsh_tuning = {"lsh.target_recall", 1000, true};

static const AnnMethod lsh_method = {
	.build = lshbuild,
	.scan = &lsh_scan_methods,
	.parallel = &lsh_build_methods,
	.check = LshCheckIndex,
	.estimate = LshEstimate,
	.tuning = &lsh_tuning,
	.info = LshInfo
};

void
LshInit(void)
{
	AnnRegisterMethod(&lsh_method);

	lsh_relopt_kind = add_reloption_kind();
	add_int_reloption(lsh_relopt_kind, "tables", "Number of hash tables; 0 leaves it to the index",
					  0, 0, LSH_MAX_TABLES, AccessExclusiveLock);

	DefineCustomRealVariable("lsh.target_recall",
							 "Share of the nearest rows that a search is to find.",
							 "1 reads everything.",
							 &lsh_target_recall, 0.95, 0, 1, PGC_USERSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("lsh.max_probes",
							"Number of leaf pages a search reads before it reads the whole index.",
							"0 sets no limit.",
							&lsh_max_probes, 0, 0, INT_MAX, PGC_USERSET, 0, NULL, NULL, NULL);

	MarkGUCPrefixReserved("lsh");
}
