/*
 * fuzz_sparse.c
 *	  Text of sparse vectors: elements must be finite and not zero, and every
 *	  error must point into the text.
 */
#include "c.h"

#include <math.h>

#include "types/parse.h"

#define MAX_NNZ 100

extern int	LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	char	   *text = malloc(size + 1);
	AnnSparseElement elements[MAX_NNZ];
	int			nnz;
	int32		dim;
	AnnParseError error;

	memcpy(text, data, size);
	text[size] = '\0';

	if (AnnParseSparse(text, MAX_NNZ, elements, &nnz, &dim, &error))
	{
		if (nnz < 0 || nnz > MAX_NNZ + 1)
			abort();
		for (int i = 0; i < Min(nnz, MAX_NNZ); i++)
		{
			if (!isfinite(elements[i].value) || elements[i].value == 0)
				abort();
		}
	}
	else if (error.at < text || error.len < 0 || error.at + error.len > text + size)
		abort();

	free(text);
	return 0;
}
