/*
 * space.c
 *	  Opens the Space of an index, and turns values into queries, which are codes.
 */
#include "postgres.h"

#include "access/genam.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "space/opclass.h"
#include "space/space.h"

void
AnnSpaceOpen(AnnSpace *space, Relation index, int dim)
{
	space->metric = AnnOpclassMetric(index);
	space->dim = dim;
	space->code_size = space->metric->code_size(dim);
}

void
AnnSpaceCreate(AnnSpace *space, Relation index)
{
	Form_pg_attribute column = TupleDescAttr(index->rd_att, 0);
	const char *method = get_am_name(index->rd_rel->relam);

	/* A type that is merely coercible may have values the class's has not. */
	if (getBaseType(column->atttypid) != index->rd_opcintype[0])
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("type not supported for %s index", method)));

	if (column->atttypmod < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column does not have dimensions"),
				 errhint("Give the column's type a number of dimensions, or index an expression that casts to a type that has one.")));

	AnnSpaceOpen(space, index, column->atttypmod);
	if (space->dim > space->metric->max_dim)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("column cannot have more than %d dimensions for %s index",
						space->metric->max_dim, method)));
}

bool
AnnQueryPrepare(AnnQuery *query, const AnnSpace *space, Datum value, bool stored)
{
	Datum		detoasted = PointerGetDatum(PG_DETOAST_DATUM(value));
	int			dim = space->metric->dimensions(detoasted);

	if (dim != space->dim)
		space->metric->mismatch(dim, space->dim);

	query->space = space;
	query->code = space->metric->encode(detoasted, stored, &query->size);

	if (DatumGetPointer(detoasted) != DatumGetPointer(value))
		pfree(DatumGetPointer(detoasted));
	return query->code != NULL;
}
