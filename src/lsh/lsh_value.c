/*
 * lsh_value.c
 *	  From values to what an lsh index makes of them: keys and codes, relative
 *	  to its centre.
 *
 * The only file of lsh that knows what a metric means for hashing.
 */
#include "postgres.h"

#include <math.h>

#include "kernels/kernels.h"
#include "lsh/lsh.h"
#include "space/random.h"

/* Of two streams of random numbers from one seed, the other one. */
#define DIRECTION_STREAM UINT64CONST(0x6C69667465647821)

/* For inner products; the space does it for others. */
static void
subtract_centre(const LshIndex *index, float *x)
{
	if (index->centre != NULL)
		for (int i = 0; i < index->space.rotated_dim; i++)
			x[i] -= index->centre[i];
}

/*
 * Gives a vector the element that turns inner products into distances: after a
 * rotation, one more dimension is a random direction.
 */
static void
add_element(const LshIndex *index, float *x, double element)
{
	int			dim = index->space.rotated_dim;
	float		part = element / sqrt(dim);
	uint64		random = index->hash.seed ^ DIRECTION_STREAM;

	for (int i = 0; i < dim; i += 64)
	{
		uint64		signs = AnnRandom(&random);

		for (int j = 0; j < 64; j++)
			x[i + j] += signs >> j & 1 ? part : -part;
	}
}

double
LshElement(double norm, double norm2)
{
	return sqrt(Max(norm * norm - norm2, 0));
}

static void *
hash_value(const LshIndex *index, const void *value)
{
	void	   *hashed = palloc(LshHashedSize(&index->hash));

	LshHashValue(&index->hash, value, hashed);
	return hashed;
}

/*
 * Hashes a query for inner products.  It stays where it is, as its distances
 * from codes relative to the centre are off by the same for all.
 */
static void
prepare_ip_search(LshValue *value, const LshIndex *index)
{
	int			dim = index->space.rotated_dim;
	const float *rotated = value->query->rotated;
	double		norm = sqrt(value->query->norm2);
	/* An index that began empty knows no greatest norm: directions have to do. */
	float		scale = norm > 0 && index->norm > 0 ? index->norm / norm : 1;
	float	   *scaled = palloc(sizeof(float) * dim);

	for (int i = 0; i < dim; i++)
		scaled[i] = rotated[i] * scale;
	subtract_centre(index, scaled);
	add_element(index, scaled, -index->lift);
	value->hashed = hash_value(index, scaled);
	if (index->centre != NULL)
		value->offset = -ann_kernels.ip_f32(dim, rotated, index->centre);
	pfree(scaled);
}

void
LshPrepareSearch(LshValue *value, const LshIndex *index, AnnQuery *query)
{
	value->query = query;
	value->offset = 0;
	if (index->space.bits > 0)
	{
		AnnForm		form = index->space.metric->form;

		/* AnnFormDistance of AnnRabitqEstimate. */
		value->norm_weight = form == ANN_FORM_L2 ? 1 : form == ANN_FORM_COSINE ? 0.5 : 0;
		value->dot_weight = form == ANN_FORM_L2 ? 2 : 1;
		value->limit = AnnRabitqPrepareLimit(query->prepared, query->norm2);
	}

	if (index->space.bits == 0)
		value->hashed = hash_value(index, query->value);
	else if (index->space.metric->form == ANN_FORM_IP)
		prepare_ip_search(value, index);
	else
		value->hashed = hash_value(index, query->rotated);
}

/*
 * Codes
 */

Size
LshCodeSize(const AnnSpace *space)
{
	if (space->bits == 0)
		return space->code_size;
	return offsetof(LshCodeData, levels) + AnnRabitqCodeSize(space->rotated_dim, space->bits);
}

static void
encode(const AnnSpace *space, const float *rotated, LshRow row)
{
	LshCodeData *code = (LshCodeData *) row->code;
	AnnRabitqFactors factors;

	AnnRabitqEncode(space->rotated_dim, space->bits, rotated, NULL, code->levels, &factors);
	code->norm2 = factors.add;
	code->scale = factors.scale;
	row->place.error = 0;
	if (factors.norm > 0)
		row->place.error = Min(ceil(factors.error / factors.norm / LSH_ERROR_UNIT), PG_UINT16_MAX);
}

double
LshNearDistance(const LshValue *value, double share)
{
	const AnnQuery *query = value->query;
	const AnnSpace *space = query->space;

	if (space->bits > 0)
	{
		/* Under inner product near is not what is small. */
		if (space->metric->form == ANN_FORM_IP)
			return -INFINITY;
		return value->norm_weight * 2 * share * share * query->norm2;
	}
	return space->metric == &ann_metric_bit_hamming ? share * space->dim / 2 : share;
}

void
LshDistances(const LshValue *value, const LshRow *rows, int n, double *out)
{
	const AnnQuery *query = value->query;
	const uint8 *levels[ANN_BATCH] = {NULL};
	float		dots[ANN_BATCH];
	double		base;

	Assert(n <= ANN_BATCH);
	if (query->space->bits == 0)
	{
		for (int i = 0; i < n; i++)
			out[i] = AnnQueryDistance(query, rows[i]->code);
		return;
	}

	for (int i = 0; i < n; i++)
		levels[i] = ((LshCodeData *) rows[i]->code)->levels;
	AnnRabitqDots(query->prepared, levels, n, dots);
	base = value->offset + value->norm_weight * query->norm2;
	for (int i = 0; i < n; i++)
	{
		const LshCodeData *code = (LshCodeData *) rows[i]->code;

		out[i] = base + value->norm_weight * code->norm2 - value->dot_weight * code->scale * dots[i];
	}
}

static float
row_error(LshRow row, float norm)
{
	return row->place.error * (float) LSH_ERROR_UNIT * norm;
}

void
LshErrorLimits(const LshValue *value, const LshRow *rows, int n, float *limits)
{
	const AnnQuery *query = value->query;
	float		factor = query->space->metric->form == ANN_FORM_L2 ? 1 : 0.5;

	if (query->space->bits == 0)
	{
		memset(limits, 0, sizeof(float) * n);
		return;
	}
	for (int i = 0; i < n; i++)
		limits[i] = factor * AnnRabitqErrorLimit(&value->limit,
												 sqrtf(((LshCodeData *) rows[i]->code)->norm2),
												 rows[i]->place.error * LSH_ERROR_UNIT);
}

AnnRabitqRange
LshBounds(const LshValue *value, LshRow row, double distance)
{
	const AnnQuery *query = value->query;
	const LshCodeData *code = (LshCodeData *) row->code;
	AnnForm		form = query->space->metric->form;
	AnnRabitqFactors factors = {0};
	AnnRabitqRange range = {distance, distance};
	double		squared;

	if (query->space->bits == 0)
		return range;

	factors.norm = sqrtf(code->norm2);
	factors.error = row_error(row, factors.norm);
	squared = AnnFormSquared(form, distance - value->offset, query->norm2, code->norm2);
	range = AnnRabitqBounds(query->prepared, &factors, query->norm2, squared);
	range.lower = AnnFormDistance(form, range.lower, query->norm2, code->norm2) + value->offset;
	range.upper = AnnFormDistance(form, range.upper, query->norm2, code->norm2) + value->offset;
	return range;
}

bool
LshPrepareRow(const LshIndex *index, Datum datum, LshRow *row, uint32 *keys)
{
	AnnForm		form = index->space.metric->form;
	AnnQuery	query;
	void	   *hashed;

	if (!AnnQueryRotate(&query, &index->space, datum))
		return false;

	*row = palloc0(index->row_size);
	if (index->space.bits == 0)
	{
		memcpy((*row)->code, query.value, query.value_size);
		hashed = hash_value(index, query.value);
	}
	else
	{
		if (form == ANN_FORM_IP)
			subtract_centre(index, query.rotated);
		encode(&index->space, query.rotated, *row);
		if (form == ANN_FORM_IP)
			add_element(index, query.rotated,
						LshElement(index->norm, query.norm2) - index->lift);
		hashed = hash_value(index, query.rotated);
	}
	LshHashKeys(&index->hash, hashed, keys);
	return true;
}
