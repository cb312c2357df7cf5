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
	uint64		random = index->meta.seed ^ DIRECTION_STREAM;

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
	float		scale = norm > 0 ? index->meta.norm / norm : 0;
	float	   *scaled = palloc(sizeof(float) * dim);

	for (int i = 0; i < dim; i++)
		scaled[i] = rotated[i] * scale;
	subtract_centre(index, scaled);
	add_element(index, scaled, -index->meta.lift);
	value->hashed = hash_value(index, scaled);
	if (index->centre != NULL)
		value->offset = -ann_kernels.ip_f32(dim, rotated, index->centre);
	pfree(scaled);
}

void
LshPrepareSearch(LshValue *value, const LshIndex *index, AnnQuery *query)
{
	int			dim = index->space.rotated_dim;

	value->query = query;
	value->offset = 0;
	switch (index->space.metric->form)
	{
		case ANN_FORM_NONE:
			value->hashed = hash_value(index, query->value);
			break;
		case ANN_FORM_IP:
			prepare_ip_search(value, index);
			break;
		default:
			subtract_centre(index, query->rotated);
			query->norm2 = ann_kernels.ip_f32(dim, query->rotated, query->rotated);
			AnnRabitqPrepare(query->prepared, dim, index->space.bits, query->rotated);
			value->hashed = hash_value(index, query->rotated);
			break;
	}
}

bool
LshPrepareRow(const LshIndex *index, Datum datum, LshRow *row, uint32 *keys)
{
	AnnQuery	query;
	void	   *hashed;

	if (!AnnQueryPrepare(&query, &index->space, datum, false))
		return false;

	*row = palloc0(index->row_size);
	if (index->space.bits == 0)
	{
		memcpy((*row)->code, query.value, query.value_size);
		hashed = hash_value(index, query.value);
	}
	else
	{
		subtract_centre(index, query.rotated);
		AnnSpaceEncode(&index->space, query.rotated, (*row)->code);
		if (index->space.metric->form == ANN_FORM_IP)
			add_element(index, query.rotated,
						LshElement(index->meta.norm, query.norm2) - index->meta.lift);
		hashed = hash_value(index, query.rotated);
	}
	LshHashKeys(&index->hash, hashed, keys);
	return true;
}
