/*
 * compat.h
 *	  The one place that knows which PostgreSQL it is built for, and the
 *	  macros that mark what the shared object exports.
 *
 * May be included anywhere, after postgres.h; includes nothing of ours.
 */
#ifndef ANN_COMPAT_H
#define ANN_COMPAT_H

#include "fmgr.h"

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

#endif							/* ANN_COMPAT_H */
