/*
 * kern_quant.h
 *	  Template: the kernels between vectors of floats and codes, and those a
 *	  random rotation consists of.
 *
 * Included by kern_level.h after kern_code.h, where the layout of codes is
 * described.
 *
 * Levels, and the results of a rotation, are the same at every level of
 * instructions: there is nothing here that a compiler could contract to
 * vec_fma, and the order of additions is fixed.
 */

KERN_TARGET static float
max_abs(int dim, const float *x)
{
	Vec			max = vec_zero();
	float		lanes[KERN_LANES];
	float		result = 0.0f;
	int			i;

	for (i = 0; i + KERN_LANES <= dim; i += KERN_LANES)
		max = vec_max(max, vec_abs(load_f32(x + i)));
	if (i < dim)
		max = vec_max(max, vec_abs(load_some_f32(x + i, dim - i)));

	store_f32(lanes, max);
	for (i = 0; i < KERN_LANES; i++)
		result = Max(result, lanes[i]);
	return result;
}

/* Writes a block of levels as a code. */
static inline void
pack_block(int bits, const uint8 *levels, uint8 *block)
{
	uint64		words[8];
	int			shift = 0;
	int			part;
	int			i;

	/* Eight levels at a time; what is shifted stays in its byte. */
	memcpy(words, levels, sizeof(words));
	KERN_UNROLLED
	for (part = 8; part > 0; part /= 2)
		if (bits & part)
		{
			uint64		mask = UINT64CONST(0x0101010101010101) * (0xFF >> (8 - part));
			uint64		packed[8] = {0};

			KERN_UNROLLED
			for (i = 0; i < 8; i++)
				packed[i % part] |= ((words[i] >> shift) & mask) << (part * (i / part));

			memcpy(block, packed, 8 * part);
			block += 8 * part;
			shift += part;
		}
}

KERN_TARGET static void
code_encode(int bits, int dim, const float *x, const float *y, float inv_step,
			AnnCoded *coded)
{
	float		half = 1 << (bits - 1);
	Vec			scale = vec_set1(inv_step);
	Vec			low = vec_set1(-half);
	Vec			high = vec_set1(half - 0.5f);
	Vec			centre = vec_set1(half - 0.5f);
	Vec			with_x = vec_zero();
	Vec			with_y = vec_zero();
	Vec			with_self = vec_zero();
	int			i;
	int			j;

	for (i = 0; i < dim; i += ANN_CODE_BLOCK)
	{
		uint8		levels[ANN_CODE_BLOCK];
		Vec			block_x = vec_zero();
		Vec			block_y = vec_zero();
		Vec			block_self = vec_zero();

		for (j = 0; j < ANN_CODE_BLOCK; j += KERN_LANES)
		{
			Vec			v = load_f32(x + i + j);
			Vec			level = vec_max(vec_min(vec_mul(v, scale), high), low);

			level = vec_trunc(vec_sub(level, low));
			store_u8(levels + j, level);

			level = vec_sub(level, centre);
			block_x = vec_fma(v, level, block_x);
			block_y = vec_fma(load_f32(y + i + j), level, block_y);
			block_self = vec_fma(level, level, block_self);
		}

		/* Sums of sums: the caller takes the difference of nearly equal ones. */
		with_x = vec_add(with_x, block_x);
		with_y = vec_add(with_y, block_y);
		with_self = vec_add(with_self, block_self);
		pack_block(bits, levels, coded->code + i / 8 * bits);
	}

	coded->with_x = vec_sum(with_x);
	coded->with_y = vec_sum(with_y);
	coded->with_self = vec_sum(with_self);
}

/* The levels of a block of a code. */
static inline void
unpack_block(int bits, const uint8 *block, uint8 *levels)
{
	uint64		words[8] = {0};
	int			shift = 0;
	int			part;
	int			i;

	KERN_UNROLLED
	for (part = 8; part > 0; part /= 2)
		if (bits & part)
		{
			uint64		mask = UINT64CONST(0x0101010101010101) * (0xFF >> (8 - part));
			uint64		packed[8];

			memcpy(packed, block, 8 * part);
			KERN_UNROLLED
			for (i = 0; i < 8; i++)
				words[i] |= ((packed[i % part] >> (part * (i / part))) & mask) << shift;

			block += 8 * part;
			shift += part;
		}
	memcpy(levels, words, sizeof(words));
}

/*
 * The loops over a block are for the compiler, which makes more of arrays that
 * nothing else can point to.
 */

KERN_TARGET static void
code_decode(int bits, int dim, const uint8 *code, float scale, float *out)
{
	float		mean = ((1 << bits) - 1) * 0.5f;
	int			i;
	int			j;

	for (i = 0; i < dim; i += ANN_CODE_BLOCK)
	{
		uint8		levels[ANN_CODE_BLOCK];
		float		block[ANN_CODE_BLOCK];

		unpack_block(bits, code + i / 8 * bits, levels);
		for (j = 0; j < ANN_CODE_BLOCK; j++)
			block[j] = scale * (levels[j] - mean);
		memcpy(out + i, block, sizeof(block));
	}
}

KERN_TARGET static int32
code_digits(int bits, int dim, const uint8 *code, int8 *digits)
{
	int16		max = (1 << bits) - 1;
	int16		half = bits == 8 ? 2 : 0;
	int			shift = bits == 8 ? 2 : 0;
	int32		sum = 0;
	int			i;
	int			j;

	for (i = 0; i < dim; i += ANN_CODE_BLOCK)
	{
		uint8		levels[ANN_CODE_BLOCK];
		int16		values[ANN_CODE_BLOCK];
		int8		block[ANN_CODE_BLOCK];
		int32		block_sum = 0;

		unpack_block(bits, code + i / 8 * bits, levels);
		for (j = 0; j < ANN_CODE_BLOCK; j++)
			values[j] = (2 * levels[j] - max + half) >> shift;
		for (j = 0; j < ANN_CODE_BLOCK; j++)
			block[j] = values[j];
		for (j = 0; j < ANN_CODE_BLOCK; j++)
			block_sum += values[j];
		memcpy(digits + i, block, sizeof(block));
		sum += block_sum;
	}
	return sum;
}

KERN_TARGET static void
flip_signs(int n, const uint64 *signs, float scale, float *x)
{
	Vec			factor = vec_set1(scale);
	int			i;
	int			j;

	for (i = 0; i < n; i += 64)
	{
		uint64		word = signs[i / 64];

		for (j = 0; j < 64; j += KERN_LANES)
			store_f32(x + i + j, vec_flip(vec_mul(load_f32(x + i + j), factor), word >> j));
	}
}

/* Lanes whose number has bit h set, all others: differences, sums with lane xor h. */
KERN_TARGET static inline Vec
butterfly_lanes(Vec v, int h)
{
	uint64		set = h == 1 ? 0xAAAA : h == 2 ? 0xCCCC : h == 4 ? 0xF0F0 : 0xFF00;

	return vec_add(vec_swap(v, h), vec_flip(v, set));
}

KERN_TARGET static void
hadamard(int n, float *x)
{
	int			h;
	int			i;
	int			j;

	/* Steps that stay in a register. */
	for (i = 0; i < n && KERN_LANES > 1; i += KERN_LANES)
	{
		Vec			v = load_f32(x + i);

		if (KERN_LANES > 1)
			v = butterfly_lanes(v, 1);
		if (KERN_LANES > 2)
			v = butterfly_lanes(v, 2);
		if (KERN_LANES > 4)
			v = butterfly_lanes(v, 4);
		if (KERN_LANES > 8)
			v = butterfly_lanes(v, 8);
		store_f32(x + i, v);
	}

	/* Two steps at a time, to halve the loads and stores. */
	for (h = KERN_LANES; 2 * h < n; h *= 4)
		for (i = 0; i < n; i += 4 * h)
			for (j = i; j < i + h; j += KERN_LANES)
			{
				Vec			a = load_f32(x + j);
				Vec			b = load_f32(x + j + h);
				Vec			c = load_f32(x + j + 2 * h);
				Vec			d = load_f32(x + j + 3 * h);
				Vec			ab = vec_add(a, b);
				Vec			cd = vec_add(c, d);

				a = vec_sub(a, b);
				c = vec_sub(c, d);
				store_f32(x + j, vec_add(ab, cd));
				store_f32(x + j + h, vec_add(a, c));
				store_f32(x + j + 2 * h, vec_sub(ab, cd));
				store_f32(x + j + 3 * h, vec_sub(a, c));
			}

	if (h < n)
		for (j = 0; j < h; j += KERN_LANES)
		{
			Vec			a = load_f32(x + j);
			Vec			b = load_f32(x + j + h);

			store_f32(x + j, vec_add(a, b));
			store_f32(x + j + h, vec_sub(a, b));
		}
}

KERN_TARGET static void
rotate_pairs(int n, float *x, float *y)
{
	Vec			factor = vec_set1(0.70710678f);
	int			i;

	for (i = 0; i < n; i += KERN_LANES)
	{
		Vec			a = load_f32(x + i);
		Vec			b = load_f32(y + i);

		store_f32(x + i, vec_mul(vec_add(a, b), factor));
		store_f32(y + i, vec_mul(vec_sub(a, b), factor));
	}
}
