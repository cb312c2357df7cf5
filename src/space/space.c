/*
 * space.c
 *	  Opens the Space of an index, turns values into queries and codes, and
 *	  compares them.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "access/genam.h"
#include "commands/defrem.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "kernels/kernels.h"
#include "space/opclass.h"
#include "space/rotate.h"
#include "space/space.h"

/* With a square of the norm up to this, nothing was cut off by the rotation. */
#define MAX_NORM2 (0.5 * ANN_ROTATE_MAX_ELEMENT * ANN_ROTATE_MAX_ELEMENT)

/*
 * Spaces
 */

static void
set_bits(AnnSpace *space, int bits, int near_bits)
{
	Assert(bits == 0 || space->metric->form != ANN_FORM_NONE);
	Assert(bits > 0 || near_bits == 0);
	space->bits = bits;
	space->near_bits = near_bits;
	space->rotated_dim = space->metric->form == ANN_FORM_NONE ? 0 : AnnRotatedDim(space->dim);
	space->code_size = bits == 0 ? space->metric->code_size(space->dim) :
		offsetof(AnnQuantized, levels) + AnnRabitqCodeSize(space->rotated_dim, bits);
}

void
AnnSpaceOpen(AnnSpace *space, Relation index, int dim, int bits, int near_bits)
{
	space->metric = AnnOpclassMetric(index);
	space->dim = dim;
	space->centre = NULL;
	set_bits(space, bits, near_bits);
}

void
AnnSpaceCreate(AnnSpace *space, Relation index)
{
	Form_pg_attribute column = TupleDescAttr(index->rd_att, 0);

	/* A type that is merely coercible may have values the class's has not. */
	if (getBaseType(column->atttypid) != index->rd_opcintype[0])
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("type not supported for %s index", get_am_name(index->rd_rel->relam))));

	if (column->atttypmod < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column does not have dimensions"),
				 errhint("Give the column's type a number of dimensions, or index an expression that casts to a type that has one.")));

	AnnSpaceOpen(space, index, column->atttypmod, 0, 0);
}

void
AnnSpaceSetBits(AnnSpace *space, Relation index, int bits, int near_bits)
{
	int			max_dim = bits > 0 ? ANN_MAX_QUANTIZED_DIM : space->metric->max_dim;

	if (space->dim > max_dim)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("column cannot have more than %d dimensions for %s index",
						max_dim, get_am_name(index->rd_rel->relam))));
	set_bits(space, bits, near_bits);
}

bool
AnnSpaceValid(const AnnSpace *space, const void *code, Size size)
{
	const AnnQuantized *quantized = code;

	if (space->bits == 0)
		return space->metric->valid(space->dim, code, size);

	return size == space->code_size &&
		isfinite(quantized->norm2) && quantized->norm2 >= 0 &&
		isfinite(quantized->scale) && quantized->scale >= 0 &&
		isfinite(quantized->error) && quantized->error >= 0;
}

bool
AnnSpaceEqual(const AnnSpace *space, const void *a, Size a_size, const void *b, Size b_size)
{
	if (space->bits == 0)
		return a_size == b_size && memcmp(a, b, a_size) == 0;
	return memcmp(((const AnnQuantized *) a)->hash, ((const AnnQuantized *) b)->hash,
				  sizeof(((AnnQuantized *) NULL)->hash)) == 0;
}

/* What codes remember of a value. */
static uint64
hash_value(const void *value, Size size)
{
	return hash_bytes_extended(value, size, 0);
}

bool
AnnSpaceCodes(const AnnSpace *space, const void *code, const void *value, Size size)
{
	const AnnQuantized *quantized = code;
	uint64		hash = hash_value(value, size);

	Assert(space->bits > 0);
	return quantized->hash[0] == (uint32) hash && quantized->hash[1] == (uint32) (hash >> 32);
}

/*
 * Centres
 */

#define CENTRE_BITS 4

typedef struct AnnCentreData
{
	float		scale;
	uint8		levels[FLEXIBLE_ARRAY_MEMBER];
} AnnCentreData;

Size
AnnCentreSize(const AnnSpace *space)
{
	return offsetof(AnnCentreData, levels) + AnnRabitqCodeSize(space->rotated_dim, CENTRE_BITS);
}

void
AnnCentreEncode(const AnnSpace *space, const float *centre, void *stored)
{
	AnnCentreData *data = stored;
	AnnRabitqFactors factors;

	AnnRabitqEncode(space->rotated_dim, CENTRE_BITS, centre, NULL, data->levels, &factors);
	data->scale = factors.scale;
}

void
AnnCentreDecode(const AnnSpace *space, const void *stored, float *centre)
{
	const AnnCentreData *data = stored;

	AnnRabitqDecode(space->rotated_dim, CENTRE_BITS, data->levels, data->scale, centre);
}

bool
AnnCentreValid(const void *stored)
{
	const AnnCentreData *data = stored;

	return isfinite(data->scale) && data->scale >= 0;
}

/*
 * Codes
 */

void
AnnSpaceDecode(const AnnSpace *space, const void *code, float *out)
{
	const AnnQuantized *quantized = code;

	AnnRabitqDecode(space->rotated_dim, space->bits, quantized->levels, quantized->scale, out);
}

/*
 * Queries
 */

void
AnnQueryInit(AnnQuery *query, const AnnSpace *space)
{
	memset(query, 0, sizeof(AnnQuery));
	query->space = space;
	if (space->bits > 0)
		query->prepared = palloc(AnnRabitqQuerySize(space->rotated_dim));
	if (space->near_bits > 0)
		query->near = palloc(AnnRabitqQuerySize(space->rotated_dim));
}

/* By how much the square of a code's norm is more, decoded; see AnnRabitqDecode. */
static double
excess(const AnnSpace *space, const AnnQuantized *code)
{
	return (space->rotated_dim - 1) * (double) code->error * code->error;
}

void
AnnQuerySetCode(AnnQuery *query, const void *code, Size size)
{
	const AnnSpace *space = query->space;
	const AnnQuantized *quantized = code;

	query->code = code;
	query->size = size;
	if (space->bits == 0)
		return;

	query->norm2 = quantized->norm2;
	query->excess = excess(space, quantized);
	AnnRabitqPrepareCode(query->prepared, space->rotated_dim, space->bits,
						 quantized->levels, quantized->scale);
}

/* Encodes the rotated value of a query. */
static void
encode(AnnQuery *query)
{
	const AnnSpace *space = query->space;
	AnnQuantized *code = palloc(space->code_size);
	AnnRabitqFactors factors;
	uint64		hash = hash_value(query->value, query->value_size);

	AnnRabitqEncode(space->rotated_dim, space->bits, query->rotated, NULL, code->levels, &factors);
	code->norm2 = factors.add;
	code->scale = factors.scale;
	code->error = factors.error;
	code->hash[0] = (uint32) hash;
	code->hash[1] = (uint32) (hash >> 32);
	query->code = code;
	query->size = space->code_size;
}

/* Rotates the value of a query in a quantized space. */
static void
rotate(AnnQuery *query)
{
	const AnnSpace *space = query->space;
	float	   *x = palloc(sizeof(float) * space->dim);

	space->metric->floats(space->dim, query->value, x);
	query->rotated = palloc(sizeof(float) * space->rotated_dim);
	AnnRotate(space->dim, ANN_ROTATION_SEED, x, query->rotated);
	pfree(x);
	for (int i = 0; space->centre != NULL && i < space->rotated_dim; i++)
		query->rotated[i] -= space->centre[i];

	query->norm2 = ann_kernels.ip_f32(space->rotated_dim, query->rotated, query->rotated);
}

static bool
begin_query(AnnQuery *query, const AnnSpace *space, Datum value, bool stored)
{
	Datum		detoasted = PointerGetDatum(PG_DETOAST_DATUM(value));
	int			dim = space->metric->dimensions(detoasted);

	if (dim != space->dim)
		space->metric->mismatch(dim, space->dim);

	AnnQueryInit(query, space);
	query->value = space->metric->encode(detoasted, stored, &query->value_size);

	if (DatumGetPointer(detoasted) != DatumGetPointer(value))
		pfree(DatumGetPointer(detoasted));
	if (query->value == NULL)
		return false;

	if (space->bits > 0)
		rotate(query);
	else
		AnnQuerySetCode(query, query->value, query->value_size);
	return true;
}

bool
AnnQueryRotate(AnnQuery *query, const AnnSpace *space, Datum value)
{
	return begin_query(query, space, value, false);
}

bool
AnnQueryPrepare(AnnQuery *query, const AnnSpace *space, Datum value, bool stored)
{
	if (!begin_query(query, space, value, stored))
		return false;
	if (space->bits == 0)
		return true;

	AnnRabitqPrepare(query->prepared, space->rotated_dim, space->bits, query->rotated);
	if (space->near_bits > 0)
		AnnQueryPrepareNear(query);
	if (stored)
		encode(query);
	return true;
}

/*
 * Distances
 */

static void
full_distances(const AnnQuery *query, const void *const *codes, int n, double *out)
{
	const AnnMetric *metric = query->space->metric;
	int			dim = query->space->dim;

	if (metric->distances == NULL)
	{
		for (int i = 0; i < n; i++)
			out[i] = metric->distance(dim, query->code, codes[i]);
		return;
	}

	for (int i = 0; i < n; i += ANN_BATCH)
		metric->distances(dim, query->code, codes + i, Min(n - i, ANN_BATCH), out + i);
}

static void
quantized_distances(const AnnQuery *query, const AnnQuantized *const *codes, int n, double *out)
{
	AnnForm		form = query->space->metric->form;

	for (int first = 0; first < n; first += ANN_BATCH)
	{
		int			count = Min(n - first, ANN_BATCH);
		const uint8 *levels[ANN_BATCH];
		float		dots[ANN_BATCH];

		for (int i = 0; i < count; i++)
			levels[i] = codes[first + i]->levels;
		AnnRabitqDots(query->prepared, levels, count, dots);

		for (int i = 0; i < count; i++)
		{
			const AnnQuantized *code = codes[first + i];
			double		squared = AnnRabitqEstimate(query->norm2, code->norm2, code->scale, dots[i]);

			out[first + i] = AnnFormDistance(form, squared, query->norm2, code->norm2);
		}
	}
}

void
AnnQueryDistances(const AnnQuery *query, const void *const *codes, int n, double *out)
{
	if (query->space->bits == 0)
		full_distances(query, codes, n, out);
	else
		quantized_distances(query, (const AnnQuantized *const *) codes, n, out);
}

double
AnnQueryError(const AnnQuery *query, const void *code, double distance)
{
	const AnnQuantized *quantized = code;
	AnnForm		form = query->space->metric->form;
	AnnRabitqFactors factors = {0};
	double		squared;
	double		rounding;

	if (query->space->bits == 0)
		return 0;

	/* Cutting elements off makes vectors no farther apart, but products less. */
	if (form == ANN_FORM_IP && Max(query->norm2, quantized->norm2) > MAX_NORM2)
		return INFINITY;

	factors.norm = sqrtf(quantized->norm2);
	factors.error = quantized->error;
	squared = AnnFormSquared(form, distance, query->norm2, quantized->norm2);
	squared -= AnnRabitqBounds(query->prepared, &factors, query->norm2, squared).lower;

	/* What is small beside the norms, or as a float, was lost in rounding. */
	rounding = 4 * DBL_EPSILON * (query->norm2 + quantized->norm2) + FLT_MIN;
	return Max(form == ANN_FORM_L2 ? squared : squared / 2, rounding);
}

double
AnnQueryExact(const AnnQuery *query, Datum value)
{
	const AnnMetric *metric = query->space->metric;
	Datum		detoasted = PointerGetDatum(PG_DETOAST_DATUM(value));
	Size		size;
	const void *code;

	/* The column may have lost its dimensions since. */
	if (metric->dimensions(detoasted) != query->space->dim)
		metric->mismatch(metric->dimensions(detoasted), query->space->dim);
	code = metric->encode(detoasted, false, &size);
	return code == NULL ? get_float8_nan() : AnnQueryFullDistance(query, code);
}

double
AnnQueryFullDistance(const AnnQuery *query, const void *code)
{
	return query->space->metric->distance(query->space->dim, query->value, code);
}

/*
 * Near codes
 *
 * Their factors are such that the estimate is what AnnRabitqEstimate makes of
 * squares; for inner products, as rabitq.h says, |x|^2 is subtracted from add
 * and |q|^2 from the base.
 */

/* The so many high bytes of a float, rounded to nearest, highest first. */
static void
store_high_bytes(float x, int bytes, uint8 *out)
{
	union
	{
		float		number;
		uint32		bits;
	}			u = {x};

	u.bits += (uint32) 1 << (31 - 8 * bytes);
	for (int i = 0; i < bytes; i++)
		out[i] = u.bits >> (24 - 8 * i);
}

static inline float
load_high_bytes(const uint8 *in, int bytes)
{
	union
	{
		uint32		bits;
		float		number;
	}			u = {0};

	for (int i = 0; i < bytes; i++)
		u.bits |= (uint32) in[i] << (24 - 8 * i);
	return u.number;
}

static inline float
near_add(const uint8 *near, Size code_size)
{
	return load_high_bytes(near + code_size, ANN_NEAR_ADD_SIZE);
}

static inline float
near_scale(const uint8 *near, Size code_size)
{
	return load_high_bytes(near + code_size + ANN_NEAR_ADD_SIZE, ANN_NEAR_SCALE_SIZE);
}

void
AnnNearEncode(const AnnSpace *space, const float *host, const void *code, uint8 *near)
{
	Size		code_size = AnnRabitqCodeSize(space->rotated_dim, space->near_bits);
	const AnnQuantized *quantized = code;
	int			dim = space->rotated_dim;
	float	   *r = palloc(sizeof(float) * dim);
	AnnRabitqFactors factors;
	double		norm2;

	AnnSpaceDecode(space, code, r);
	for (int i = 0; i < dim; i++)
		r[i] -= host[i];
	AnnRabitqEncode(dim, space->near_bits, r, host, near, &factors);
	pfree(r);
	store_high_bytes(factors.scale, ANN_NEAR_SCALE_SIZE, near + code_size + ANN_NEAR_ADD_SIZE);

	/* add consists of the scale, times what the code has of the host: of the scale as stored. */
	norm2 = factors.norm * (double) factors.norm;
	if (factors.scale > 0)
		factors.add = norm2 + (factors.add - norm2) * near_scale(near, code_size) / factors.scale;
	if (space->metric->form == ANN_FORM_IP)
		factors.add -= quantized->norm2;
	store_high_bytes(factors.add, ANN_NEAR_ADD_SIZE, near + code_size);
}

/*
 * Not by encoding again, which is much work: what is checked is how the factors
 * follow from the code and the residual; see rabitq.h.
 */
bool
AnnNearValid(const AnnSpace *space, const float *host, const void *code,
			 const uint8 *near)
{
	const AnnQuantized *quantized = code;
	int			dim = space->rotated_dim;
	Size		code_size = AnnRabitqCodeSize(dim, space->near_bits);
	double		scale = near_scale(near, code_size);
	float		r[ANN_MAX_QUANTIZED_DIM];
	float		xhat[ANN_MAX_QUANTIZED_DIM];
	double		norm2 = 0;
	double		with_r = 0;
	double		with_host = 0;
	double		host_norm2 = 0;
	double		add;

	AnnSpaceDecode(space, code, r);
	AnnRabitqDecode(dim, space->near_bits, near, 1, xhat);
	for (int i = 0; i < dim; i++)
	{
		r[i] -= host[i];
		norm2 += r[i] * (double) r[i];
		with_r += r[i] * (double) xhat[i];
		with_host += host[i] * (double) xhat[i];
		host_norm2 += host[i] * (double) host[i];
	}
	add = norm2 + 2 * scale * with_host;
	if (space->metric->form == ANN_FORM_IP)
		add -= quantized->norm2;

	/* not so if anything is NaN */
	return scale >= 0 &&
		fabs(scale * with_r - norm2) <= 0.01 * norm2 &&
		fabs(near_add(near, code_size) - add) <= 0.01 * (norm2 + host_norm2 + fabs(add));
}

void
AnnQueryPrepareNear(AnnQuery *query)
{
	const AnnSpace *space = query->space;
	float	   *rotated = query->rotated;

	if (rotated == NULL)
	{
		rotated = palloc(sizeof(float) * space->rotated_dim);
		AnnSpaceDecode(space, query->code, rotated);
	}
	AnnRabitqPrepare(query->near, space->rotated_dim, space->near_bits, rotated);
	if (rotated != query->rotated)
		pfree(rotated);
}

void
AnnQueryNearDistances(const AnnQuery *query, const void *host, double distance,
					  const uint8 *near, int n, double *out)
{
	const AnnSpace *space = query->space;
	const AnnQuantized *quantized = host;
	AnnForm		form = space->metric->form;
	Size		code_size = AnnRabitqCodeSize(space->rotated_dim, space->near_bits);
	Size		size = AnnNearSize(space);
	double		unit = form == ANN_FORM_L2 ? 1 : 0.5;
	double		base;

	/* Between query and host as decoded. */
	base = AnnFormSquared(form, distance, query->norm2, quantized->norm2) +
		query->excess + excess(space, quantized);
	if (form == ANN_FORM_IP)
		base -= query->norm2 + query->excess;

	for (int first = 0; first < n; first += ANN_BATCH)
	{
		int			count = Min(n - first, ANN_BATCH);
		const uint8 *codes[ANN_BATCH];
		float		dots[ANN_BATCH];

		for (int i = 0; i < count; i++)
			codes[i] = near + (first + i) * size;
		AnnRabitqDots(query->near, codes, count, dots);
		for (int i = 0; i < count; i++)
			out[first + i] = unit * AnnRabitqEstimate(base, near_add(codes[i], code_size),
													  near_scale(codes[i], code_size), dots[i]);
	}
}
