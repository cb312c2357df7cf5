/*
 * opclass.c
 *	  The support functions of the operator classes: SQL's names for metrics.
 */
#include "postgres.h"

#include "access/genam.h"
#include "fmgr.h"
#include "utils/rel.h"

#include "compat.h"
#include "space/opclass.h"

const AnnMetric *
AnnOpclassMetric(Relation index)
{
	FmgrInfo   *procinfo = index_getprocinfo(index, 1, ANN_METRIC_PROC);

	return (const AnnMetric *) DatumGetPointer(FunctionCall1(procinfo, PointerGetDatum(NULL)));
}

ANN_FUNCTION(ann_vector_l2_metric)
{
	PG_RETURN_POINTER(&ann_metric_vector_l2);
}

ANN_FUNCTION(ann_vector_ip_metric)
{
	PG_RETURN_POINTER(&ann_metric_vector_ip);
}

ANN_FUNCTION(ann_vector_cosine_metric)
{
	PG_RETURN_POINTER(&ann_metric_vector_cosine);
}

ANN_FUNCTION(ann_vector_l1_metric)
{
	PG_RETURN_POINTER(&ann_metric_vector_l1);
}

ANN_FUNCTION(ann_halfvec_l2_metric)
{
	PG_RETURN_POINTER(&ann_metric_halfvec_l2);
}

ANN_FUNCTION(ann_halfvec_ip_metric)
{
	PG_RETURN_POINTER(&ann_metric_halfvec_ip);
}

ANN_FUNCTION(ann_halfvec_cosine_metric)
{
	PG_RETURN_POINTER(&ann_metric_halfvec_cosine);
}

ANN_FUNCTION(ann_halfvec_l1_metric)
{
	PG_RETURN_POINTER(&ann_metric_halfvec_l1);
}

ANN_FUNCTION(ann_sparsevec_l2_metric)
{
	PG_RETURN_POINTER(&ann_metric_sparsevec_l2);
}

ANN_FUNCTION(ann_sparsevec_ip_metric)
{
	PG_RETURN_POINTER(&ann_metric_sparsevec_ip);
}

ANN_FUNCTION(ann_sparsevec_cosine_metric)
{
	PG_RETURN_POINTER(&ann_metric_sparsevec_cosine);
}

ANN_FUNCTION(ann_sparsevec_l1_metric)
{
	PG_RETURN_POINTER(&ann_metric_sparsevec_l1);
}

ANN_FUNCTION(ann_bit_hamming_metric)
{
	PG_RETURN_POINTER(&ann_metric_bit_hamming);
}

ANN_FUNCTION(ann_bit_jaccard_metric)
{
	PG_RETURN_POINTER(&ann_metric_bit_jaccard);
}
