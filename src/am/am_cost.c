/*
 * am_cost.c
 *	  What a scan costs.
 */
#include "postgres.h"

#include <math.h>

#include "nodes/pathnodes.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "utils/float.h"
#include "utils/spccache.h"

#include "am/am.h"
#include "compat.h"

/*
 * Cost of visiting so many tuples.  Each is somewhere else, but the upper
 * levels of a page cache hold what searches keep coming back to; charging for
 * the visited part of the index at the price of random access comes close.
 *
 * Where vectors are stored out of line the index has more pages than the table,
 * and the cost of a sequential scan leaves out the reading of the vectors.  To
 * stay comparable, we then leave it out too.
 */
static Cost
visit_cost(IndexPath *path, double visits)
{
	IndexOptInfo *index = path->indexinfo;
	double		pages = ceil(visits * index->pages / Max(index->tuples, 1));
	double		random_cost;
	double		sequential_cost;
	Cost		page_cost;

	get_tablespace_page_costs(index->reltablespace, &random_cost, &sequential_cost);

	page_cost = pages * random_cost;
	if (pages > index->rel->pages && index->pages > index->rel->pages)
		page_cost = index->rel->pages * sequential_cost;

	return page_cost + visits * (cpu_index_tuple_cost + cpu_operator_cost);
}

void
AnnCostEstimate(IndexPath *path, const AnnCost *cost, Cost *startup, Cost *total,
				Selectivity *selectivity, double *correlation, double *pages)
{
	double		tuples = Max(path->indexinfo->tuples, 1);
	double		first = Min(cost->first, tuples);

	*selectivity = 1;
	*correlation = 0;
	*pages = path->indexinfo->pages;

	if (path->indexorderbys == NIL)
	{
		*startup = *total = get_float8_infinity();
		AnnDisablePath(path);
		return;
	}

	*startup = visit_cost(path, first);
	*total = *startup + visit_cost(path, Min(cost->further * tuples, tuples));
}
