/*
 * am_info.c
 *	  ann_index_info(regclass): the SQL side of what methods say about indexes.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "catalog/pg_opclass.h"
#include "commands/defrem.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "am/am.h"
#include "am/am_page.h"
#include "compat.h"

void
AnnInfoAdd(AnnInfo *info, const char *name, const char *fmt,...)
{
	va_list		args;
	char		value[256];

	va_start(args, fmt);
	vsnprintf(value, sizeof(value), fmt, args);
	va_end(args);
	info->names = lappend(info->names, pstrdup(name));
	info->values = lappend(info->values, pstrdup(value));
}

void
AnnInfoAddArray(AnnInfo *info, const char *name, const int64 *numbers, int n)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < n; i++)
		appendStringInfo(&text, "%c" INT64_FORMAT, i == 0 ? '{' : ',', numbers[i]);
	appendStringInfoString(&text, n == 0 ? "{}" : "}");
	info->names = lappend(info->names, pstrdup(name));
	info->values = lappend(info->values, text.data);
}

static void
put_row(ReturnSetInfo *rsinfo, const char *name, const char *value)
{
	Datum		values[2] = {CStringGetTextDatum(name), CStringGetTextDatum(value)};
	bool		isnull[2] = {false, false};

	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, isnull);
}

/* The version in the metapage, which the method has found to be one it knows. */
static uint32
format_version(Relation index)
{
	Buffer		buf = AnnReadBuffer(index, ANN_METAPAGE_BLKNO, ANN_PAGE_META, NULL, BUFFER_LOCK_SHARE);
	uint32		version = ((AnnMetaHeaderData *) AnnMetaContents(BufferGetPage(buf)))->version;

	UnlockReleaseBuffer(buf);
	return version;
}

/* The storage parameters of CREATE INDEX, as the text of an array. */
static char *
options_text(Relation index)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(RelationGetRelid(index)));
	char	   *text = "{}";
	Datum		options;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", RelationGetRelid(index));
	options = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_reloptions, &isnull);
	if (!isnull)
		text = OidOutputFunctionCall(F_ARRAY_OUT, options);
	ReleaseSysCache(tuple);
	return text;
}

static char *
operator_class(Relation index)
{
	Oid			opclass = get_index_column_opclass(RelationGetRelid(index), 1);
	HeapTuple	tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator class %u", opclass);
	name = pstrdup(NameStr(((Form_pg_opclass) GETSTRUCT(tuple))->opcname));
	ReleaseSysCache(tuple);
	return name;
}

/* Dead rows that VACUUM has not removed, as the statistics of the table have it. */
static int64
dead_rows(Relation heap)
{
	return DatumGetInt64(DirectFunctionCall1(pg_stat_get_dead_tuples,
											 ObjectIdGetDatum(RelationGetRelid(heap))));
}

/* ann_index_info(regclass) returns table (name text, value text) */
ANN_FUNCTION(ann_index_info)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	AnnInfo		info = {0};
	AnnOpened	opened;
	Relation	index;
	ListCell   *name;
	ListCell   *value;

	AnnOpen(&opened, PG_GETARG_OID(0));
	index = opened.index;
	AnnRequireValid(index);

	info.nblocks = RelationGetNumberOfBlocks(index);
	opened.method->info(index, &info);

	InitMaterializedSRF(fcinfo, 0);
	put_row(rsinfo, "method", get_am_name(index->rd_rel->relam));
	put_row(rsinfo, "format_version", psprintf("%u", format_version(index)));
	put_row(rsinfo, "operator_class", operator_class(index));
	put_row(rsinfo, "operator", get_opname(AnnOrderOperator(index)));
	put_row(rsinfo, "dimensions", psprintf("%d", info.dim));
	put_row(rsinfo, "options", options_text(index));
	put_row(rsinfo, "quantizer", info.bits == 0 ? "none" : info.quantizer ? info.quantizer : "rabitq");
	put_row(rsinfo, "bits", psprintf("%d", info.bits));
	put_row(rsinfo, "rows", psprintf(INT64_FORMAT, info.rows));
	put_row(rsinfo, "dead_rows", psprintf(INT64_FORMAT, dead_rows(opened.heap)));
	put_row(rsinfo, "pages", psprintf("%u", info.nblocks));
	put_row(rsinfo, "bytes_per_row",
			psprintf("%.0f", (double) info.nblocks * BLCKSZ / Max(info.rows, 1)));
	forboth(name, info.names, value, info.values)
		put_row(rsinfo, lfirst(name), lfirst(value));

	AnnClose(&opened);
	PG_RETURN_NULL();
}
