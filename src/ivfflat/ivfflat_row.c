/*
 * ivfflat_row.c
 *	  Rows of lists: their codes.
 *
 * All that ivfflat knows of how a quantizer writes, reads and compares codes is
 * here.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "ivfflat/ivfflat.h"
#include "kernels/kernels.h"
#include "space/rotate.h"

/* Half the width of the interval a true distance is in, in standard deviations. */
#define DEVIATIONS 2.6

const void *
IvfKeepValue(IvfIndex *index, const AnnQuery *value, const ItemPointerData *tid, ItemPointerData *place)
{
	if (!index->stored)
		return value->value;
	AnnStorePut(&index->store, value, tid, place);
	return place;
}

void
IvfEncodeRow(const IvfIndex *index, const IvfCentreData *centre, const IvfPoint *point,
			 const void *value, const ItemPointerData *tid, IvfRow row)
{
	int			dim = index->space.rotated_dim;
	float	   *residual = index->scratch;
	float	   *c = index->scratch + dim;
	IvfCode		code = IvfRowCode(row);
	AnnRabitqFactors factors;
	IvfFactors	kept;

	/* what aligns the next row goes to disk too */
	memset(row, 0, index->row_size);
	row->tid = *tid;
	memcpy(IvfRowValue(index, row), value, index->value_size);
	if (index->bits == 0)
		return;

	IvfDecodeCentre(index, centre, c);
	for (int i = 0; i < dim; i++)
		residual[i] = point->x[i] - c[i];
	AnnRabitqEncode(dim, index->bits, residual, c, code->levels, &factors);
	kept.scale = IvfRoundScale(factors.scale);
	kept.error = 0;
	kept.add = factors.add;
	if (factors.scale > 0)
	{
		double		norm2 = (double) factors.norm * factors.norm;

		kept.error = factors.error / factors.scale;
		/* The rest is a product with the scale. */
		kept.add = norm2 + (factors.add - norm2) * kept.scale / factors.scale;
	}
	if (index->space.metric->form == ANN_FORM_IP)
		kept.add -= point->norm2;
	IvfPackFactors(&kept, code);
}

/* The rotated vector of a value at full precision. */
static void
rotate_value(const IvfIndex *index, const void *value, float *x)
{
	float	   *elements = palloc(sizeof(float) * index->space.dim);

	index->space.metric->floats(index->space.dim, value, elements);
	AnnRotate(index->space.dim, ANN_ROTATION_SEED, elements, x);
	pfree(elements);
}

void
IvfDecodeRow(const IvfIndex *index, const IvfCentreData *centre, IvfRow row, float *x)
{
	int			dim = index->space.rotated_dim;
	float	   *residual = index->scratch;
	IvfFactors	factors;

	if (index->bits == 0)
	{
		rotate_value(index, IvfRowValue(index, row), x);
		return;
	}

	IvfUnpackFactors(IvfRowCode(row), &factors);
	AnnRabitqDecode(dim, index->bits, IvfRowCode(row)->levels, factors.scale, residual);
	IvfDecodeCentre(index, centre, x);
	for (int i = 0; i < dim; i++)
		x[i] += residual[i];
}

/*
 * What errs is the code, in proportion to the distance of the query from the
 * centre, and the rounding of the query, in proportion to the length of what the
 * code stands for.
 */
void
IvfEstimateRows(const IvfIndex *index, const AnnRabitqQuery *prepared, double base,
				char *rows, int n, IvfSquare *squares)
{
	double		levels = (1 << index->bits) - 1;
	double		length = sqrt(index->space.rotated_dim * levels * (levels + 2) / 12);
	double		error = 2 * DEVIATIONS * sqrt(base);
	double		rounding = 2 * prepared->rounding * length;

	/* Independent, so squares are added; of shares, lest they vanish or overflow. */
	double		most = Max(Max(error, rounding), DBL_MIN);
	float		error2 = (error / most) * (error / most);
	float		rounding2 = (rounding / most) * (rounding / most);
	const uint8 *codes[ANN_BATCH];
	float		dots[ANN_BATCH];

	Assert(n <= ANN_BATCH);
	codes[0] = NULL;			/* lest a compiler warns */
	for (int i = 0; i < n; i++)
		codes[i] = IvfRowCode((IvfRow) (rows + index->row_size * i))->levels;
	AnnRabitqDots(prepared, codes, n, dots);

	for (int i = 0; i < n; i++)
	{
		IvfRow		row = (IvfRow) (rows + index->row_size * i);
		IvfFactors	factors;

		IvfUnpackFactors(IvfRowCode(row), &factors);
		squares[i].estimate = AnnRabitqEstimate(base, factors.add, factors.scale, dots[i]);
		squares[i].error = most * factors.scale * sqrtf(error2 * factors.error * factors.error + rounding2);
	}
}

bool
IvfReadStored(IvfIndex *index, IvfRow row, float *x)
{
	AnnPlace	place = IvfRowPlace(index, row);
	void	   *value = NULL;

	if (index->stored)
		value = AnnStoreRead(&index->store, &place);
	if (value == NULL)
		return false;
	rotate_value(index, value, x);
	pfree(value);
	return true;
}

bool
IvfRowValid(const IvfIndex *index, IvfRow row)
{
	IvfFactors	factors;

	if (index->bits == 0)
		return AnnSpaceValid(&index->space, IvfRowValue(index, row), index->space.code_size);
	IvfUnpackFactors(IvfRowCode(row), &factors);
	return isfinite(factors.add) && isfinite(factors.scale);
}
