/*
 * vec_check.c
 *	  What all vector types demand of their values, and the errors raised
 *	  where they do not get it.
 */
#include "postgres.h"

#include <math.h>

#include "compat.h"
#include "types/vec_check.h"

bool
AnnCheckDim(const char *type, int max_dim, int dim, Node *escontext)
{
	if (dim < 1)
		ereturn(escontext, false,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("%s must have at least 1 dimension", type)));
	if (dim > max_dim)
		ereturn(escontext, false,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%s cannot have more than %d dimensions", type, max_dim)));
	return true;
}

bool
AnnCheckTypmod(int32 typmod, int dim, Node *escontext)
{
	if (typmod != -1 && typmod != dim)
		ereturn(escontext, false,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected %d dimensions, not %d", typmod, dim)));
	return true;
}

void
AnnCheckFinite(const char *type, int n, const float *x)
{
	for (int i = 0; i < n; i++)
	{
		if (unlikely(!isfinite(x[i])))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 isnan(x[i]) ? errmsg("NaN not allowed in %s", type) :
					 errmsg("infinite value not allowed in %s", type)));
	}
}

/* The word of the binary format that is reserved. */
void
AnnCheckUnused(int unused)
{
	if (unused != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected unused to be 0, not %d", unused)));
}

void
AnnDimMismatch(const char *type, int a, int b)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("different %s dimensions %d and %d", type, a, b)));
}

void
AnnReportParse(const char *type, const char *text,
			   const AnnParseError *error, Node *escontext)
{
	switch (error->code)
	{
		case ANN_PARSE_SYNTAX:
			errsave(escontext,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("invalid input syntax for type %s: \"%s\"", type, text),
					 error->detail ? errdetail("%s", error->detail) : 0));
			break;
		case ANN_PARSE_OUT_OF_RANGE:
			errsave(escontext,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("\"%.*s\" is out of range for type %s",
							error->len, error->at, type)));
			break;
		case ANN_PARSE_NAN:
			errsave(escontext,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("NaN not allowed in %s", type)));
			break;
		case ANN_PARSE_INFINITE:
			errsave(escontext,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("infinite value not allowed in %s", type)));
			break;
	}
}

int32
AnnTypmodIn(const char *type, int max_dim, ArrayType *typmods)
{
	int			n;
	int32	   *dim = ArrayGetIntegerTypmods(typmods, &n);

	if (n != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid type modifier")));
	if (*dim < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dimensions for type %s must be at least 1", type)));
	if (*dim > max_dim)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dimensions for type %s cannot exceed %d", type, max_dim)));
	return *dim;
}
