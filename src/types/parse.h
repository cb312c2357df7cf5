/*
 * parse.h
 *	  The text formats of the vector types.
 *
 * Pure C: nothing here allocates, raises errors or knows PostgreSQL beyond
 * c.h, so that a fuzzer can link it.
 */
#ifndef ANN_PARSE_H
#define ANN_PARSE_H

typedef enum AnnParseCode
{
	ANN_PARSE_SYNTAX,
	ANN_PARSE_OUT_OF_RANGE,		/* a number the type cannot hold */
	ANN_PARSE_NAN,
	ANN_PARSE_INFINITE
} AnnParseCode;

typedef struct AnnParseError
{
	AnnParseCode code;
	const char *detail;			/* of a syntax error, or NULL */
	const char *at;				/* the offending place in the text, */
	int			len;			/* and number of characters */
} AnnParseError;

typedef struct AnnSparseElement
{
	int32		index;			/* from 0; saturated, not yet checked */
	float		value;			/* not zero */
} AnnSparseElement;

/*
 * Parse "[1, 2e-3, .5]" into at most max_dim elements.  Numbers whose
 * magnitude reaches limit are out of range.
 *
 * Parsing stops, without an error, where it is known that *dim is 0 or
 * more than max_dim: whether that many are allowed is for the caller to say.
 */
extern bool AnnParseDense(const char *text, float limit, int max_dim,
						  float *x, int *dim, AnnParseError *error);

/*
 * Parse "{1:1.5,3:2}/5" into at most max_nnz elements, in the order given and
 * without those that are zero.  *dim is saturated and not checked.
 *
 * Parsing stops, without an error, where there are more elements than
 * max_nnz; *nnz tells the caller.
 */
extern bool AnnParseSparse(const char *text, int max_nnz, AnnSparseElement *elements,
						   int *nnz, int32 *dim, AnnParseError *error);

#endif							/* ANN_PARSE_H */
