/*
 * am_check.c
 *	  ann_check(regclass): the SQL side of the verifiers.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/index.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "am/am.h"
#include "compat.h"

void
AnnCheckReport(AnnCheck *check, const char *invariant, BlockNumber blkno,
			   OffsetNumber offset, const char *fmt,...)
{
	Datum		values[4];
	bool		isnull[4] = {false};
	va_list		args;
	char		detail[256];

	va_start(args, fmt);
	vsnprintf(detail, sizeof(detail), fmt, args);
	va_end(args);

	values[0] = CStringGetTextDatum(invariant);
	values[1] = Int64GetDatum((int64) blkno);
	values[2] = Int32GetDatum((int32) offset);
	values[3] = CStringGetTextDatum(detail);
	isnull[2] = offset == InvalidOffsetNumber;
	tuplestore_putvalues(check->store, check->desc, values, isnull);
}

/*
 * ann_check(regclass) returns table (invariant text, block bigint, item int,
 * detail text)
 *
 * Takes the lock of a reader; whoever may read the table may check its index.
 */
ANN_FUNCTION(ann_check)
{
	Oid			relid = PG_GETARG_OID(0);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			heapid = IndexGetRelation(relid, true);
	const AnnMethod *method;
	Relation	heap;
	Relation	index;
	AnnCheck	check;

	if (!OidIsValid(heapid) || get_rel_relkind(relid) != RELKIND_INDEX)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("relation with OID %u is not an index with storage", relid)));

	if (pg_class_aclcheck(heapid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(heapid));

	/* in the order everybody else takes them */
	heap = table_open(heapid, AccessShareLock);
	index = index_open(relid, AccessShareLock);
	method = AnnFindMethod(index);
	if (method == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an index of this extension", RelationGetRelationName(index))));

	if (RELATION_IS_OTHER_TEMP(index))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot check temporary indexes of other sessions")));

	InitMaterializedSRF(fcinfo, 0);
	check.store = rsinfo->setResult;
	check.desc = rsinfo->setDesc;

	/* an invalid index may be incomplete, and that is no damage */
	if (index->rd_index->indisvalid)
		method->check(index, &check);

	index_close(index, AccessShareLock);
	table_close(heap, AccessShareLock);
	PG_RETURN_NULL();
}
