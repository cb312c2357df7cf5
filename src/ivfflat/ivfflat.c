/*
 * ivfflat.c
 *	  The access method ivfflat: handler, options, settings, cost.
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "commands/vacuum.h"
#include "nodes/pathnodes.h"
#include "utils/guc.h"
#include "utils/rel.h"

#include "compat.h"
#include "ivfflat/ivfflat.h"

int			ivfflat_probes;
int			ivfflat_iterative_scan;
int			ivfflat_max_probes;

static relopt_kind ivfflat_relopt_kind;

typedef enum Quantizer
{
	QUANTIZER_AUTO,
	QUANTIZER_NONE,
	QUANTIZER_RABITQ,
	QUANTIZER_SQ8
} Quantizer;

typedef struct IvfOptions
{
	int32		vl_len_;		/* varlena header (do not touch directly!) */
	int			lists;			/* 0: as many as seem right */
	Quantizer	quantizer;
	AnnRerank	rerank;
} IvfOptions;

/*
 * Bits per dimension of RaBitQ's codes.  The more there are the fewer rows are read from
 * the table, and the more pages of lists: these have more rows of few dimensions.
 */
#define MAX_DIM_OF_THREE_BITS 192
#define MAX_DIM_OF_TWO_BITS 384

#define MAX_PROBES 32768

static const struct config_enum_entry iterative_scan_options[] = {
	{"off", IVF_ITERATIVE_SCAN_OFF, false},
	{"relaxed_order", IVF_ITERATIVE_SCAN_RELAXED, false},
	{"strict_order", IVF_ITERATIVE_SCAN_STRICT, false},
	{NULL, 0, false}
};

static relopt_enum_elt_def quantizers[] = {
	{"rabitq", QUANTIZER_RABITQ},
	{"sq8", QUANTIZER_SQ8},
	{"none", QUANTIZER_NONE},
	{NULL}
};

/* Bits per dimension of a quantizer's codes; 0: values are kept whole. */
static int
quantizer_bits(Quantizer quantizer, int dim)
{
	switch (quantizer)
	{
		case QUANTIZER_NONE:
			return 0;
		case QUANTIZER_SQ8:
			return IVF_SQ8_BITS;
		default:
			return dim <= MAX_DIM_OF_THREE_BITS ? 3 : dim <= MAX_DIM_OF_TWO_BITS ? 2 : 1;
	}
}

/* A value that is hardly longer than its code is kept whole, and is exact. */
static Quantizer
choose_quantizer(const AnnSpace *space)
{
	AnnSpace	coded = *space;

	coded.bits = quantizer_bits(QUANTIZER_RABITQ, space->dim);
	return offsetof(IvfRowData, data) + space->code_size < 2 * IvfCodedSize(&coded) ?
		QUANTIZER_NONE : QUANTIZER_RABITQ;
}

int
IvfGetOptions(Relation rel, AnnSpace *space, bool *stored)
{
	IvfOptions *options = (IvfOptions *) rel->rd_options;
	Quantizer	quantizer = options ? options->quantizer : QUANTIZER_AUTO;

	/* Centres have their codes in any case. */
	if (space->dim > ANN_MAX_QUANTIZED_DIM)
		AnnSpaceSetBits(space, rel, quantizer_bits(QUANTIZER_RABITQ, space->dim), 0);

	if (quantizer == QUANTIZER_AUTO)
		quantizer = choose_quantizer(space);
	AnnSpaceSetBits(space, rel, quantizer_bits(quantizer, space->dim), 0);
	*stored = space->bits > 0 && options && options->rerank == ANN_RERANK_INDEX;
	if (!IvfRowFits(space, *stored))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("codes of %d dimensions with %d bits each do not fit a page",
						space->dim, space->bits)));
	return options ? options->lists : 0;
}

static bytea *
ivfflatoptions(Datum reloptions, bool validate)
{
	static const relopt_parse_elt elements[] = {
		{"lists", RELOPT_TYPE_INT, offsetof(IvfOptions, lists)},
		{"quantizer", RELOPT_TYPE_ENUM, offsetof(IvfOptions, quantizer)},
		{"rerank", RELOPT_TYPE_ENUM, offsetof(IvfOptions, rerank)},
	};

	return build_reloptions(reloptions, validate, ivfflat_relopt_kind, sizeof(IvfOptions),
							elements, lengthof(elements));
}

static char *
ivfflatbuildphasename(int64 phase)
{
	switch (phase)
	{
		case PROGRESS_IVF_KMEANS:
			return "performing k-means";
		case PROGRESS_IVF_ASSIGN:
			return "assigning tuples";
		case PROGRESS_IVF_LOAD:
			return "loading tuples";
		default:
			return AnnBuildPhaseName(phase);
	}
}

/* A search looks at groups, at centres, and at the rows of so many lists. */
static void
ivfflatcostestimate(PlannerInfo *root, IndexPath *path, double loop_count,
					Cost *startup, Cost *total, Selectivity *selectivity,
					double *correlation, double *pages)
{
	Relation	rel = index_open(path->indexinfo->indexoid, NoLock);
	double		tuples = Max(path->indexinfo->tuples, 1);
	IvfIndex	index;
	IvfMetaPageData meta;
	double		lists;
	AnnCost		cost;

	IvfOpen(&index, rel);
	IvfReadMeta(&index, &meta);
	index_close(rel, NoLock);

	lists = Max(meta.lists, 1);
	cost.first = IvfCentresSeen(lists, ivfflat_probes) + lists / index.centres_per_page +
		tuples * Min(ivfflat_probes / lists, 1);
	cost.further = 1;
	AnnCostEstimate(path, &cost, startup, total, selectivity, correlation, pages);
}

ANN_FUNCTION(ann_ivfflat_handler)
{
	IndexAmRoutine *routine = AnnHandlerRoutine();

	routine->ambuild = ivfflatbuild;
	routine->ambuildempty = ivfflatbuildempty;
	routine->aminsert = ivfflatinsert;
	routine->ambulkdelete = ivfflatbulkdelete;
	routine->amvacuumcleanup = ivfflatvacuumcleanup;
	routine->amcostestimate = ivfflatcostestimate;
	routine->amoptions = ivfflatoptions;
	routine->ambuildphasename = ivfflatbuildphasename;

	/* It reads the table, and may evaluate expressions. */
	routine->amparallelvacuumoptions = VACUUM_OPTION_NO_PARALLEL;

	PG_RETURN_POINTER(routine);
}

static const AnnTuning ivfflat_tuning = {"ivfflat.probes", MAX_PROBES, false};

static const AnnMethod ivfflat_method = {
	.build = ivfflatbuild,
	.scan = &ivf_scan_methods,
	.parallel = &ivf_build_methods,
	.check = IvfCheckIndex,
	.estimate = IvfEstimate,
	.tuning = &ivfflat_tuning,
	.info = IvfInfo
};

void
IvfInit(void)
{
	AnnRegisterMethod(&ivfflat_method);

	ivfflat_relopt_kind = add_reloption_kind();
	add_int_reloption(ivfflat_relopt_kind, "lists", "Number of lists",
					  0, 1, IVF_MAX_LISTS, AccessExclusiveLock);
	add_enum_reloption(ivfflat_relopt_kind, "quantizer", "How lists hold vectors",
					   quantizers, QUANTIZER_AUTO,
					   "Valid values are \"rabitq\", \"sq8\" and \"none\".", AccessExclusiveLock);
	AnnStoreAddOption(ivfflat_relopt_kind);

	DefineCustomIntVariable("ivfflat.probes",
							"Number of lists a search looks into.",
							"More finds better neighbours, in more time.",
							&ivfflat_probes, 1, 1, MAX_PROBES, PGC_USERSET, 0, NULL, NULL, NULL);

	DefineCustomEnumVariable("ivfflat.iterative_scan",
							 "How a search goes on when more rows are wanted than its lists have.",
							 "Rows come in order of distance (strict_order), almost in order but sooner (relaxed_order), or the whole index is read at once (off).",
							 &ivfflat_iterative_scan, IVF_ITERATIVE_SCAN_OFF, iterative_scan_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("ivfflat.max_probes",
							"Number of lists a search looks into before it reads the whole index.",
							NULL,
							&ivfflat_max_probes, MAX_PROBES, 1, MAX_PROBES, PGC_USERSET, 0,
							NULL, NULL, NULL);

	MarkGUCPrefixReserved("ivfflat");
}
