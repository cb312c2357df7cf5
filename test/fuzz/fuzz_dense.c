/*
 * fuzz_dense.c
 *	  Text of dense vectors: every number must be the one strtof() reads, and
 *	  every error must point into the text.
 */
#include "c.h"

#include <math.h>

#include "types/parse.h"

#define MAX_DIM 100

extern int	LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

static void
check(const char *text, size_t size, float limit)
{
	float		x[MAX_DIM];
	int			dim;
	AnnParseError error;
	const char *p = strchr(text, '[');

	if (!AnnParseDense(text, limit, MAX_DIM, x, &dim, &error))
	{
		if (error.at < text || error.len < 0 || error.at + error.len > text + size)
			abort();
		return;
	}

	for (int i = 0; i < Min(dim, MAX_DIM); i++)
	{
		char	   *end;
		float		expected = strtof(p + 1, &end);

		if (memcmp(&x[i], &expected, sizeof(float)) != 0 || !(fabsf(x[i]) < limit))
			abort();
		p = strpbrk(end, ",]");
	}
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	char	   *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	check(text, size, INFINITY);
	check(text, size, 65520);
	free(text);
	return 0;
}
