/*
 * parse.c
 *	  The text formats of the vector types.
 *
 * Numbers are read to the nearest float whatever their length.  Most text is
 * decimal and short, and then one multiplication or division of two exact
 * doubles does it; strtof() reads the rest, and anything unusual that
 * PostgreSQL's own float4 input takes (hexadecimal, Infinity, NaN).
 */
#include "c.h"

#include <errno.h>
#include <float.h>
#include <math.h>

#include "types/parse.h"

/* Significands below 2^53 and these powers are exact doubles. */
#define MAX_SIGNIFICAND UINT64CONST(9007199254740992)
#define MAX_POWER 22

static const double powers_of_ten[MAX_POWER + 1] = {
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22
};

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline const char *
skip_space(const char *p)
{
	while (*p == ' ' || (*p >= '\t' && *p <= '\r'))
		p++;
	return p;
}

static bool
fail(AnnParseError *error, AnnParseCode code, const char *detail, const char *at, const char *end)
{
	error->code = code;
	error->detail = detail;
	error->at = at;
	error->len = end - at;
	return false;
}

static bool
syntax_error(AnnParseError *error, const char *detail, const char *at)
{
	return fail(error, ANN_PARSE_SYNTAX, detail, at, at);
}

/* Read digits into *significand as long as it stays below 10^19. */
static inline const char *
read_digits(const char *p, uint64 *significand, int *ndigits)
{
	for (; is_digit(*p); p++)
	{
		if (*ndigits >= 19)
			break;
		*significand = *significand * 10 + (*p - '0');
		*ndigits += *significand != 0;
	}
	return p;
}

/*
 * The quick way for plain decimal numbers: returns the end of the number, or
 * NULL where strtof() has to decide.
 *
 * A double rounded once more to float can be wrong only if the first rounding
 * ended in the middle between two floats.  In the double that is a one and 28
 * zeros after the bits a float keeps.
 */
static const char *
read_decimal(const char *p, float *value)
{
	bool		negative = (*p == '-');
	uint64		significand = 0;
	int			ndigits = 0;
	int			power = 0;
	const char *start;
	const char *digits;
	double		d;
	uint64		bits;

	if (*p == '-' || *p == '+')
		p++;

	start = p;
	p = read_digits(p, &significand, &ndigits);
	digits = p;
	if (*p == '.')
	{
		p = read_digits(p + 1, &significand, &ndigits);
		power = digits + 1 - p;
		if (p == start + 1)
			return NULL;
	}
	else if (p == start || *p == 'x' || *p == 'X')
		return NULL;

	if (is_digit(*p) || significand >= MAX_SIGNIFICAND)
		return NULL;

	if (*p == 'e' || *p == 'E')
	{
		bool		small = (p[1] == '-');
		int			exponent = 0;

		p += (p[1] == '-' || p[1] == '+') ? 2 : 1;
		if (!is_digit(*p))
			return NULL;
		for (; is_digit(*p); p++)
			exponent = Min(exponent * 10 + (*p - '0'), 1000);
		power += small ? -exponent : exponent;
	}

	if (significand != 0)
	{
		if (power < -MAX_POWER || power > MAX_POWER)
			return NULL;
		d = power < 0 ? significand / powers_of_ten[-power] : significand * powers_of_ten[power];

		memcpy(&bits, &d, sizeof(bits));
		if (d < FLT_MIN || d > FLT_MAX || (bits & 0x1FFFFFFF) == 0x10000000)
			return NULL;
	}
	else
		d = 0;

	*value = negative ? -d : d;
	return p;
}

/*
 * Read a finite number of magnitude below limit and advance *p past it.
 * Where tiny_is_zero is not set, a number too small to be told from zero is
 * out of range, too.
 */
static bool
read_number(const char **p, float limit, bool tiny_is_zero, float *value, AnnParseError *error)
{
	const char *start = skip_space(*p);
	const char *end = read_decimal(start, value);
	bool		erange = false;

	if (end == NULL)
	{
		char	   *tail;

		errno = 0;
		*value = strtof(start, &tail);
		erange = (errno == ERANGE);
		end = tail;
		if (end == start)
			return syntax_error(error, NULL, start);
	}

	if (erange ? isinf(*value) || (*value == 0 && !tiny_is_zero) :
		isfinite(*value) && fabsf(*value) >= limit)
		return fail(error, ANN_PARSE_OUT_OF_RANGE, NULL, start, end);
	if (isnan(*value))
		return fail(error, ANN_PARSE_NAN, NULL, start, end);
	if (isinf(*value))
		return fail(error, ANN_PARSE_INFINITE, NULL, start, end);

	*p = end;
	return true;
}

/*
 * Read an integer, saturated to +-PG_INT32_MAX, and advance *p past it.
 */
static bool
read_integer(const char **p, int32 *value, AnnParseError *error)
{
	const char *at = skip_space(*p);
	bool		negative = (*at == '-');
	int64		v = 0;

	if (*at == '-' || *at == '+')
		at++;
	if (!is_digit(*at))
		return syntax_error(error, NULL, at);
	for (; is_digit(*at); at++)
		v = Min(v * 10 + (*at - '0'), PG_INT32_MAX);

	*value = negative ? -v : v;
	*p = at;
	return true;
}

bool
AnnParseDense(const char *text, float limit, int max_dim,
			  float *x, int *dim, AnnParseError *error)
{
	const char *p = skip_space(text);

	*dim = 0;
	if (*p != '[')
		return syntax_error(error, "Vector contents must start with \"[\".", p);
	p = skip_space(p + 1);
	if (*p == ']')
		return true;

	for (;;)
	{
		if (*dim == max_dim)
		{
			(*dim)++;
			return true;
		}
		if (!read_number(&p, limit, true, &x[*dim], error))
			return false;
		(*dim)++;

		p = skip_space(p);
		if (*p == ']')
			break;
		if (*p != ',')
			return syntax_error(error, NULL, p);
		p++;
	}

	p = skip_space(p + 1);
	if (*p != '\0')
		return syntax_error(error, "Junk after closing right brace.", p);
	return true;
}

/*
 * Read the elements of a sparse vector up to and past the closing brace, or
 * max_nnz of them and the start of one more, and advance *p.
 */
static bool
read_elements(const char **p, int max_nnz, AnnSparseElement *elements,
			  int *nnz, AnnParseError *error)
{
	const char *at = skip_space(*p);

	*nnz = 0;
	if (*at == '}')
	{
		*p = at + 1;
		return true;
	}

	for (;;)
	{
		int32		index;
		float		value;

		if (!read_integer(&at, &index, error))
			return false;
		at = skip_space(at);
		if (*at != ':')
			return syntax_error(error, NULL, at);
		at++;
		if (!read_number(&at, INFINITY, false, &value, error))
			return false;

		if (value != 0)
		{
			if (*nnz == max_nnz)
			{
				(*nnz)++;
				return true;
			}
			elements[*nnz].index = index - 1;
			elements[*nnz].value = value;
			(*nnz)++;
		}

		at = skip_space(at);
		if (*at == '}')
		{
			*p = at + 1;
			return true;
		}
		if (*at != ',')
			return syntax_error(error, NULL, at);
		at++;
	}
}

bool
AnnParseSparse(const char *text, int max_nnz, AnnSparseElement *elements,
			   int *nnz, int32 *dim, AnnParseError *error)
{
	const char *p = skip_space(text);

	*dim = 0;
	if (*p != '{')
		return syntax_error(error, "Vector contents must start with \"{\".", p);
	p++;
	if (!read_elements(&p, max_nnz, elements, nnz, error))
		return false;
	if (*nnz > max_nnz)
		return true;

	p = skip_space(p);
	if (*p != '/')
		return syntax_error(error, "Unexpected end of input.", p);
	p++;
	if (!read_integer(&p, dim, error))
		return false;
	p = skip_space(p);
	if (*p != '\0')
		return syntax_error(error, "Junk after closing.", p);
	return true;
}
