/*
 * hnsw.c
 *	  The access method hnsw: handler, options, settings, cost.
 */
#include "postgres.h"

#include <math.h>

#include "access/reloptions.h"
#include "common/hashfn.h"
#include "nodes/pathnodes.h"
#include "utils/guc.h"
#include "utils/rel.h"

#include "compat.h"
#include "hnsw/hnsw.h"

int			hnsw_ef_search;
int			hnsw_iterative_scan;
int			hnsw_max_scan_tuples;
double		hnsw_scan_mem_multiplier;

static relopt_kind hnsw_relopt_kind;

typedef struct HnswOptions
{
	int32		vl_len_;		/* varlena header (do not touch directly!) */
	int			m;
	int			ef_construction;
	int			layout;
	int			quantizer;
	int			bits;
	int			neighbor_bits;
	AnnRerank	rerank;
} HnswOptions;

typedef enum HnswLayout
{
	HNSW_LAYOUT_AUTO,
	HNSW_LAYOUT_FAST,
	HNSW_LAYOUT_COMPACT
} HnswLayout;

typedef enum HnswQuantizer
{
	HNSW_QUANTIZER_AUTO,
	HNSW_QUANTIZER_RABITQ,
	HNSW_QUANTIZER_NONE
} HnswQuantizer;

#define HNSW_DEFAULT_M 16
#define HNSW_DEFAULT_EF_CONSTRUCTION 64
#define HNSW_MAX_EF_SEARCH 1000

static const struct config_enum_entry iterative_scan_options[] = {
	{"off", HNSW_ITERATIVE_SCAN_OFF, false},
	{"relaxed_order", HNSW_ITERATIVE_SCAN_RELAXED, false},
	{"strict_order", HNSW_ITERATIVE_SCAN_STRICT, false},
	{NULL, 0, false}
};

static relopt_enum_elt_def layouts[] = {
	{"auto", HNSW_LAYOUT_AUTO},
	{"fast", HNSW_LAYOUT_FAST},
	{"compact", HNSW_LAYOUT_COMPACT},
	{NULL}
};

static relopt_enum_elt_def quantizers[] = {
	{"auto", HNSW_QUANTIZER_AUTO},
	{"rabitq", HNSW_QUANTIZER_RABITQ},
	{"none", HNSW_QUANTIZER_NONE},
	{NULL}
};

/* Rotated vectors have 64 dimensions at least: below, codes save nothing. */
#define MIN_QUANTIZED_DIM 48

/* Up to so many dimensions, fewer bits would cost more recall than space. */
#define MAX_MANY_BITS_DIM 192

static bool
stores_values(const HnswOptions *options)
{
	return options != NULL && options->rerank == ANN_RERANK_INDEX;
}

/* The shape of an index with the codes that the space says. */
static HnswShape
get_shape(const AnnSpace *space, const HnswOptions *options, int m)
{
	HnswShape	shape;

	HnswMakeShape(&shape, space, m, stores_values(options), space->near_bits > 0);
	return shape;
}

/* Does the element of a node of any level fit a page? */
static bool
fits(const HnswShape *shape)
{
	return shape->max_level >= HNSW_MIN_MAX_LEVEL;
}

/* Elements of a level that go on a page with the links that belong there. */
static int
elements_per_page(const HnswShape *shape, int level)
{
	Size		size = HnswElementSize(shape, level, shape->code_size);

	return ANN_PAGE_ROOM / (HnswItemRoom(size) +
							HnswCountBeside(shape, level, size) * HnswLinksRoom(shape, level));
}

/* Do as many nodes, with as many neighbours, go on a page? */
static bool
costs_no_more(const HnswShape *shape, const HnswShape *other)
{
	return fits(shape) && shape->most[0] == other->most[0] &&
		elements_per_page(shape, 0) == elements_per_page(other, 0) &&
		elements_per_page(shape, 1) == elements_per_page(other, 1);
}

/*
 * Chooses the precision of codes.  With many dimensions 4 bits do, but more are
 * taken where they cost no space; the longest vectors fit a page with fewer only.
 */
static void
set_precision(AnnSpace *space, Relation rel, const HnswOptions *options, int m)
{
	bool		fast = options == NULL || options->layout != HNSW_LAYOUT_COMPACT;
	int			near_bits = options != NULL ? options->neighbor_bits : 0;
	int			bits = options != NULL ? options->bits : 0;
	int			quantizer = options != NULL ? options->quantizer : HNSW_QUANTIZER_AUTO;
	HnswShape	shape;
	HnswShape	more;

	if (!space->metric->quantizes || quantizer == HNSW_QUANTIZER_NONE ||
		(quantizer == HNSW_QUANTIZER_AUTO && space->dim < MIN_QUANTIZED_DIM))
	{
		AnnSpaceSetBits(space, rel, 0, 0);
		return;
	}

	if (near_bits == 0)
		near_bits = space->dim <= MAX_MANY_BITS_DIM ? 2 : 1;
	if (!fast)
		near_bits = 0;
	if (bits > 0)
	{
		AnnSpaceSetBits(space, rel, bits, near_bits);
		shape = get_shape(space, options, m);
		if (!fits(&shape))
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("codes of %d dimensions with %d bits each do not fit a page",
							space->dim, bits)));
		return;
	}

	for (bits = 4;; bits--)
	{
		AnnSpaceSetBits(space, rel, bits, near_bits);
		shape = get_shape(space, options, m);
		if (bits == 1 || fits(&shape))
			break;
	}
	if (bits < 4)
		return;

	for (bits = 8; bits > 4; bits--)
	{
		AnnSpaceSetBits(space, rel, bits, near_bits);
		more = get_shape(space, options, m);
		if (space->dim <= MAX_MANY_BITS_DIM || (fast && costs_no_more(&more, &shape)))
			return;
	}
	AnnSpaceSetBits(space, rel, bits, near_bits);
}

void
HnswGetOptions(Relation rel, AnnSpace *space, int *m, int *ef_construction, bool *stored)
{
	HnswOptions *options = (HnswOptions *) rel->rd_options;

	*m = options ? options->m : HNSW_DEFAULT_M;
	*ef_construction = options ? options->ef_construction : HNSW_DEFAULT_EF_CONSTRUCTION;

	if (*ef_construction < 2 * *m)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ef_construction must be greater than or equal to 2 * m")));

	AnnSpaceCreate(space, rel);
	set_precision(space, rel, options, *m);
	*stored = space->bits > 0 && stores_values(options);
	if (options != NULL && options->layout == HNSW_LAYOUT_FAST &&
		space->near_bits > 0 && get_shape(space, options, *m).near_size == 0)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("layout \"fast\" is not possible with %d dimensions and m = %d", space->dim, *m),
				 errdetail("Nodes with codes of their neighbours would take too many pages.")));
}

int
HnswLevel(const HnswShape *shape, const ItemPointerData *tid)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) tid, sizeof(ItemPointerData),
										   (uint64) ann_seed);

	/* in (0, 1] */
	double		uniform = ldexp((double) ((hash >> 11) + 1), -53);
	int			level = (int) (-log(uniform) / log(shape->m));

	return Min(level, shape->max_level);
}

static bytea *
hnswoptions(Datum reloptions, bool validate)
{
	static const relopt_parse_elt elements[] = {
		{"m", RELOPT_TYPE_INT, offsetof(HnswOptions, m)},
		{"ef_construction", RELOPT_TYPE_INT, offsetof(HnswOptions, ef_construction)},
		{"layout", RELOPT_TYPE_ENUM, offsetof(HnswOptions, layout)},
		{"quantizer", RELOPT_TYPE_ENUM, offsetof(HnswOptions, quantizer)},
		{"bits", RELOPT_TYPE_INT, offsetof(HnswOptions, bits)},
		{"neighbor_bits", RELOPT_TYPE_INT, offsetof(HnswOptions, neighbor_bits)},
		{"rerank", RELOPT_TYPE_ENUM, offsetof(HnswOptions, rerank)},
	};

	return build_reloptions(reloptions, validate, hnsw_relopt_kind, sizeof(HnswOptions),
							elements, lengthof(elements));
}

static char *
hnswbuildphasename(int64 phase)
{
	switch (phase)
	{
		case PROGRESS_HNSW_LOAD:
			return "loading tuples";
		case PROGRESS_HNSW_WRITE:
			return "writing graph";
		default:
			return AnnBuildPhaseName(phase);
	}
}

/*
 * How many nodes a search evaluates: about m on each level on the way down, and
 * on level 0 those neighbours of the ef_search nodes expanded that it had not
 * met before, a share that grows with the table and shrinks with the beam.  The
 * form is a fit to measured searches, as pgvector's is.
 */
static void
hnswcostestimate(PlannerInfo *root, IndexPath *path, double loop_count,
				 Cost *startup, Cost *total, Selectivity *selectivity,
				 double *correlation, double *pages)
{
	Relation	rel = index_open(path->indexinfo->indexoid, NoLock);
	double		tuples = Max(path->indexinfo->tuples, 2);
	HnswIndex	index;
	double		levels;
	double		fresh;
	AnnCost		cost;

	HnswOpen(&index, rel);
	index_close(rel, NoLock);

	levels = log(tuples) / log(2 * index.shape.m);
	fresh = Min(0.5 * levels / (1 + log(hnsw_ef_search)), 1);
	cost.first = levels * index.shape.m + 2.0 * index.shape.m * hnsw_ef_search * fresh;
	cost.further = 1;
	AnnCostEstimate(path, &cost, startup, total, selectivity, correlation, pages);
}

ANN_FUNCTION(ann_hnsw_handler)
{
	IndexAmRoutine *routine = AnnHandlerRoutine();

	routine->ambuild = hnswbuild;
	routine->ambuildempty = hnswbuildempty;
	routine->aminsert = hnswinsert;
	routine->ambulkdelete = hnswbulkdelete;
	routine->amvacuumcleanup = hnswvacuumcleanup;
	routine->amcostestimate = hnswcostestimate;
	routine->amoptions = hnswoptions;
	routine->ambuildphasename = hnswbuildphasename;
	routine->amusemaintenanceworkmem = true;

	PG_RETURN_POINTER(routine);
}

static const AnnTuning hnsw_tuning = {"hnsw.ef_search", HNSW_MAX_EF_SEARCH, false};

static const AnnMethod hnsw_method = {
	.build = hnswbuild,
	.scan = &hnsw_scan_methods,
	.parallel = &hnsw_build_methods,
	.check = HnswCheckIndex,
	.estimate = HnswEstimate,
	.tuning = &hnsw_tuning,
	.info = HnswInfo
};

void
HnswInit(void)
{
	AnnRegisterMethod(&hnsw_method);

	hnsw_relopt_kind = add_reloption_kind();
	add_int_reloption(hnsw_relopt_kind, "m", "Max number of connections",
					  HNSW_DEFAULT_M, HNSW_MIN_M, HNSW_MAX_M, AccessExclusiveLock);
	add_int_reloption(hnsw_relopt_kind, "ef_construction", "Size of the beam while building",
					  HNSW_DEFAULT_EF_CONSTRUCTION, HNSW_MIN_EF_CONSTRUCTION,
					  HNSW_MAX_EF_CONSTRUCTION, AccessExclusiveLock);

	add_enum_reloption(hnsw_relopt_kind, "layout",
					   "Whether nodes hold codes of their neighbours: quick to search, or small",
					   layouts, HNSW_LAYOUT_AUTO,
					   "Valid values are \"auto\", \"fast\" and \"compact\".", AccessExclusiveLock);
	add_enum_reloption(hnsw_relopt_kind, "quantizer", "What nodes hold of vectors",
					   quantizers, HNSW_QUANTIZER_AUTO,
					   "Valid values are \"auto\", \"rabitq\" and \"none\".", AccessExclusiveLock);
	add_int_reloption(hnsw_relopt_kind, "bits", "Bits per dimension of a vector's code; 0: chosen",
					  0, 0, 8, AccessExclusiveLock);
	add_int_reloption(hnsw_relopt_kind, "neighbor_bits",
					  "Bits per dimension of a neighbour's code; 0: chosen",
					  0, 0, ANN_MAX_NEAR_BITS, AccessExclusiveLock);
	AnnStoreAddOption(hnsw_relopt_kind);

	DefineCustomIntVariable("hnsw.ef_search",
							"Size of the beam of a search.",
							"More finds better neighbours, in more time.",
							&hnsw_ef_search, 40, 1, HNSW_MAX_EF_SEARCH, PGC_USERSET, 0, NULL, NULL, NULL);

	DefineCustomEnumVariable("hnsw.iterative_scan",
							 "How a search goes on when more rows are wanted than its beam found.",
							 "Rows come in order of distance (strict_order), almost in order but sooner (relaxed_order), or the whole index is read at once (off).",
							 &hnsw_iterative_scan, HNSW_ITERATIVE_SCAN_STRICT, iterative_scan_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("hnsw.max_scan_tuples",
							"Number of nodes a search visits before it reads the whole index.",
							NULL,
							&hnsw_max_scan_tuples, 20000, 1, INT_MAX, PGC_USERSET, 0,
							NULL, NULL, NULL);

	DefineCustomRealVariable("hnsw.scan_mem_multiplier",
							 "Multiple of work_mem a search takes before it reads the whole index.",
							 NULL,
							 &hnsw_scan_mem_multiplier, 1, 1, 1000, PGC_USERSET, 0,
							 NULL, NULL, NULL);

	MarkGUCPrefixReserved("hnsw");
}
