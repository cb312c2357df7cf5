/*
 * vec_check.h
 *	  What all vector types demand of their values, and the errors raised
 *	  where they do not get it.
 *
 * A type is named as in SQL.  Functions that return bool take an error
 * context, as an input function has it in fcinfo->context, and return false
 * if the error went there; with NULL they always return true.
 */
#ifndef ANN_VEC_CHECK_H
#define ANN_VEC_CHECK_H

#include "nodes/nodes.h"
#include "utils/array.h"

#include "compat.h"
#include "types/parse.h"

extern bool AnnCheckDim(const char *type, int max_dim, int dim, Node *escontext);
extern bool AnnCheckTypmod(int32 typmod, int dim, Node *escontext);
extern void AnnCheckFinite(const char *type, int n, const float *x);
extern void AnnCheckUnused(int unused);

extern void AnnDimMismatch(const char *type, int a, int b) pg_attribute_noreturn();
extern void AnnReportParse(const char *type, const char *text,
						   const AnnParseError *error, Node *escontext);

/* The number of dimensions in a type modifier. */
extern int32 AnnTypmodIn(const char *type, int max_dim, ArrayType *typmods);

#endif							/* ANN_VEC_CHECK_H */
