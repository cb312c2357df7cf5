/*
 * bitvec.c
 *	  Distances between bit strings of PostgreSQL's own type bit.
 */
#include "postgres.h"

#include "utils/varbit.h"

#include "compat.h"
#include "kernels/kernels.h"

static inline void
check_same_length(VarBit *a, VarBit *b)
{
	if (unlikely(VARBITLEN(a) != VARBITLEN(b)))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different bit lengths %u and %u", VARBITLEN(a), VARBITLEN(b))));
}

ANN_FUNCTION(ann_hamming_distance)
{
	VarBit	   *a = PG_GETARG_VARBIT_P(0);
	VarBit	   *b = PG_GETARG_VARBIT_P(1);

	check_same_length(a, b);
	PG_RETURN_FLOAT8(ann_kernels.hamming(VARBITBYTES(a), VARBITS(a), VARBITS(b)));
}

/* One minus the common bits as a part of all; 1 if there are none. */
ANN_FUNCTION(ann_jaccard_distance)
{
	VarBit	   *a = PG_GETARG_VARBIT_P(0);
	VarBit	   *b = PG_GETARG_VARBIT_P(1);
	uint64		both;
	uint64		either;

	check_same_length(a, b);
	ann_kernels.jaccard(VARBITBYTES(a), VARBITS(a), VARBITS(b), &both, &either);
	PG_RETURN_FLOAT8(both == 0 ? 1 : 1 - (double) both / (double) either);
}
