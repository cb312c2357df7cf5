/*
 * compat.h
 *	  The one place that knows which PostgreSQL it is built for, and the
 *	  macros that mark what the shared object exports.
 *
 * May be included anywhere, after postgres.h; includes nothing of ours.
 */
#ifndef ANN_COMPAT_H
#define ANN_COMPAT_H

#include "access/amapi.h"
#include "access/genam.h"
#include "access/relscan.h"
#include "access/tupdesc.h"
#include "commands/vacuum.h"
#include "fmgr.h"
#include "nodes/pathnodes.h"

#if PG_VERSION_NUM < 150000
#error "ann needs PostgreSQL 15 or newer"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#else
/* Soft errors came with PostgreSQL 16; before it they are ordinary ones. */
#define errsave(context, ...) ereport(ERROR, __VA_ARGS__)
#define ereturn(context, dummy_value, ...) ereport(ERROR, __VA_ARGS__)
#endif

/* 18 turned this into a prefix, which a function pointer cannot have. */
#if PG_VERSION_NUM >= 180000
#define pg_attribute_noreturn() __attribute__((noreturn))
#endif

/* 18 asks what else EXPLAIN should say of a node of a plan. */
#if PG_VERSION_NUM >= 180000
#include "commands/explain.h"
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#define ANN_EXPLAIN_NODE
#endif

/*
 * Everything is hidden but this.  PGDLLEXPORT is empty on PostgreSQL 15, so
 * it will not do.
 */
#define ANN_EXPORT __attribute__((visibility("default")))

/* Defines an SQL-callable function: ANN_FUNCTION(ann_vector_in) { ... } */
#define ANN_FUNCTION(name) \
	extern ANN_EXPORT Datum name(PG_FUNCTION_ARGS); \
	extern ANN_EXPORT const Pg_finfo_record *pg_finfo_##name(void); \
	PG_FUNCTION_INFO_V1(name); \
	Datum name(PG_FUNCTION_ARGS)

/* Asks the CPU for a cache line that will be read soon. */
static inline void
AnnPrefetch(const void *address)
{
	__builtin_prefetch(address);
}

/* 16 renamed what tells a relation's file. */
#if PG_VERSION_NUM >= 160000
#define AnnRelationLocator(rel) ((rel)->rd_locator)
#else
#define AnnRelationLocator(rel) ((rel)->rd_node)
#endif

/* 18 counts index searches for EXPLAIN. */
static inline void
AnnCountSearch(IndexScanDesc scan)
{
#if PG_VERSION_NUM >= 180000
	if (scan->instrument != NULL)
		scan->instrument->nsearches++;
#endif
}

/* An ordered scan of an index; 18 wants to know who counts. */
static inline IndexScanDesc
AnnBeginIndexScan(Relation heap, Relation index, Snapshot snapshot)
{
#if PG_VERSION_NUM >= 180000
	return index_beginscan(heap, index, snapshot, NULL, 0, 1);
#else
	return index_beginscan(heap, index, snapshot, 0, 1);
#endif
}

/* Before 17, only nbtree was asked about parallel builds. */
static inline void
AnnSetBuildsParallel(IndexAmRoutine *routine)
{
#if PG_VERSION_NUM >= 170000
	routine->amcanbuildparallel = true;
#endif
}

/* 18 ranks paths nobody wants by a number, not by an infinite cost. */
static inline void
AnnDisablePath(IndexPath *path)
{
#if PG_VERSION_NUM >= 180000
	path->path.disabled_nodes = 2;
#endif
}

/* 18 tells the difference between VACUUM and ANALYZE. */
static inline void
AnnVacuumDelayPoint(void)
{
#if PG_VERSION_NUM >= 180000
	vacuum_delay_point(false);
#else
	vacuum_delay_point();
#endif
}

/* 19 wants a tuple descriptor completed before use. */
static inline void
AnnTupleDescFinalize(TupleDesc desc)
{
#if PG_VERSION_NUM >= 190000
	TupleDescFinalize(desc);
#endif
}

#endif							/* ANN_COMPAT_H */
