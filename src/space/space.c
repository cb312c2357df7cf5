/*
 * space.c
 *	  Opens the Space of an index, turns values into queries and codes, and
 *	  compares them.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "kernels/kernels.h"
#include "space/opclass.h"
#include "space/rotate.h"
#include "space/space.h"

/*
 * Spaces
 */

static void
set_bits(AnnSpace *space, int bits)
{
	Assert(bits == 0 || space->metric->form != ANN_FORM_NONE);
	space->bits = bits;
	space->rotated_dim = space->metric->form == ANN_FORM_NONE ? 0 : AnnRotatedDim(space->dim);
	space->code_size = bits == 0 ? space->metric->code_size(space->dim) :
		offsetof(AnnQuantized, levels) + AnnRabitqCodeSize(space->rotated_dim, bits);
}

void
AnnSpaceOpen(AnnSpace *space, Relation index, int dim, int bits)
{
	space->metric = AnnOpclassMetric(index);
	space->dim = dim;
	set_bits(space, bits);
}

void
AnnSpaceWithBits(AnnSpace *space, const AnnSpace *other, int bits)
{
	*space = *other;
	set_bits(space, bits);
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

	AnnSpaceOpen(space, index, column->atttypmod, 0);
}

void
AnnSpaceSetBits(AnnSpace *space, Relation index, int bits)
{
	int			max_dim = bits > 0 ? ANN_MAX_QUANTIZED_DIM : space->metric->max_dim;

	if (space->dim > max_dim)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("column cannot have more than %d dimensions for %s index",
						max_dim, get_am_name(index->rd_rel->relam))));
	set_bits(space, bits);
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

/*
 * Codes
 */

void
AnnSpaceEncode(const AnnSpace *space, const float *rotated, void *code)
{
	AnnQuantized *quantized = code;
	AnnRabitqFactors factors;

	AnnRabitqEncode(space->rotated_dim, space->bits, rotated, NULL, quantized->levels, &factors);
	quantized->norm2 = factors.add;
	quantized->scale = factors.scale;
	quantized->error = factors.error;
}

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
	AnnRabitqPrepareCode(query->prepared, space->rotated_dim, space->bits,
						 quantized->levels, quantized->scale);
}

/* Rotates the value of a query in a quantized space, and encodes it if asked to. */
static void
quantize(AnnQuery *query, bool stored)
{
	const AnnSpace *space = query->space;
	float	   *x = palloc(sizeof(float) * space->dim);

	space->metric->floats(space->dim, query->value, x);
	query->rotated = palloc(sizeof(float) * space->rotated_dim);
	AnnRotate(space->dim, ANN_ROTATION_SEED, x, query->rotated);
	pfree(x);

	query->norm2 = ann_kernels.ip_f32(space->rotated_dim, query->rotated, query->rotated);
	AnnRabitqPrepare(query->prepared, space->rotated_dim, space->bits, query->rotated);
	if (stored)
	{
		void	   *code = palloc(space->code_size);

		AnnSpaceEncode(space, query->rotated, code);
		query->code = code;
		query->size = space->code_size;
	}
}

bool
AnnQueryPrepare(AnnQuery *query, const AnnSpace *space, Datum value, bool stored)
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
		quantize(query, stored);
	else
		AnnQuerySetCode(query, query->value, query->value_size);
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

	if (query->space->bits == 0)
		return 0;

	factors.norm = sqrtf(quantized->norm2);
	factors.error = quantized->error;
	squared = form == ANN_FORM_L2 ? distance : 2 * distance;
	if (form == ANN_FORM_IP)
		squared += query->norm2 + quantized->norm2;
	squared -= AnnRabitqBounds(query->prepared, &factors, query->norm2, squared).lower;
	return Max(form == ANN_FORM_L2 ? squared : squared / 2, 0);
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
	return code == NULL ? get_float8_nan() : metric->distance(query->space->dim, query->value, code);
}
