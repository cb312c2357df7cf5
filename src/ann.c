/*
 * ann.c
 *	  The module: its magic block, its initialization, and the choice of the
 *	  instruction set.
 */
#include "postgres.h"

#include "am/am.h"
#include "am/am_explain.h"
#include "compat.h"
#include "hnsw/hnsw.h"
#include "ivfflat/ivfflat.h"
#include "kernels/kernels.h"
#include "lsh/lsh.h"
#include "utils/builtins.h"
#include "utils/guc.h"

extern ANN_EXPORT const Pg_magic_struct *PG_MAGIC_FUNCTION_NAME(void);

PG_MODULE_MAGIC;

extern ANN_EXPORT void _PG_init(void);

static const struct config_enum_entry simd_options[] = {
	{"auto", ANN_SIMD_AUTO, false},
	{"scalar", ANN_SIMD_SCALAR, false},
	{"avx2", ANN_SIMD_AVX2, false},
	{"avx512", ANN_SIMD_AVX512, false},
	{"neon", ANN_SIMD_NEON, false},
	{NULL, 0, false}
};

static int	simd_level = ANN_SIMD_AUTO;

static bool
check_simd(int *newval, void **extra, GucSource source)
{
	if (!ann_simd_supported(*newval))
	{
		GUC_check_errdetail("This CPU or its operating system does not support these instructions.");
		return false;
	}
	return true;
}

static void
assign_simd(int newval, void *extra)
{
	ann_simd_select(newval);
}

/*
 * Two modules cannot define one setting.  PostgreSQL would say so halfway
 * through ours; this is before anything is done.
 */
static void
refuse_beside_pgvector(void)
{
	const char *name = "hnsw.ef_search";

	if (GetConfigOption(name, true, false) != NULL &&
		(GetConfigOptionFlags(name, true) & GUC_CUSTOM_PLACEHOLDER) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not load ann in a session that has loaded pgvector"),
				 errhint("Reconnect. If pgvector is in shared_preload_libraries, session_preload_libraries or local_preload_libraries, remove it there first.")));
}

void
_PG_init(void)
{
	refuse_beside_pgvector();

	/* Also puts the table of kernels in force, through its assign hook. */
	DefineCustomEnumVariable("ann.simd",
							 "Selects the instruction set of distance computations.",
							 "\"auto\" is the best one the CPU supports.",
							 &simd_level,
							 ANN_SIMD_AUTO,
							 simd_options,
							 PGC_USERSET,
							 0,
							 check_simd,
							 assign_simd,
							 NULL);

	AnnInit();
	AnnExplainInit();
	HnswInit();
	IvfInit();
	LshInit();

	MarkGUCPrefixReserved("ann");
}

/* ann_simd() returns text: the instruction set in force. */
ANN_FUNCTION(ann_simd)
{
	PG_RETURN_TEXT_P(cstring_to_text(ann_kernels.level));
}
