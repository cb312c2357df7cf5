/*
 * am_explain.c
 *	  What EXPLAIN (ANALYZE) adds to an index scan, where it can be added.
 */
#include "postgres.h"

#include "am/am.h"
#include "am/am_explain.h"
#include "compat.h"

#ifdef ANN_EXPLAIN_NODE

static explain_per_node_hook_type previous_hook;

static void
explain_node(PlanState *planstate, List *ancestors, const char *relationship,
			 const char *plan_name, ExplainState *es)
{
	IndexScanState *node = (IndexScanState *) planstate;

	if (previous_hook != NULL)
		previous_hook(planstate, ancestors, relationship, plan_name, es);

	if (es->analyze && IsA(planstate, IndexScanState) && node->iss_ScanDesc != NULL &&
		AnnFindMethod(node->iss_RelationDesc) != NULL)
	{
		const AnnCounters *counters = &((AnnScan *) node->iss_ScanDesc->opaque)->counters;

		ExplainPropertyInteger("Candidates Scored", NULL, counters->scored, es);
		ExplainPropertyInteger("Rows Re-ranked", NULL, counters->reranked, es);
		ExplainPropertyInteger("Index Pages", NULL, counters->pages, es);
		ExplainPropertyInteger("Further Rounds", NULL, counters->rounds, es);
		ExplainPropertyInteger("Full Reads", NULL, counters->full_reads, es);
	}
}

void
AnnExplainInit(void)
{
	previous_hook = explain_per_node_hook;
	explain_per_node_hook = explain_node;
}

#else

void
AnnExplainInit(void)
{
}

#endif							/* ANN_EXPLAIN_NODE */
