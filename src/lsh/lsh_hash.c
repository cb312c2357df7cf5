/*
 * lsh_hash.c
 *	  Locality-sensitive hash families.
 *
 * Knows neither PostgreSQL beyond c.h nor where rows are kept.
 */
#include "c.h"

#include <math.h>

#include "lsh/lsh_hash.h"
#include "space/random.h"
#include "space/rotate.h"

/* A cross-polytope has this many directions, and their opposites. */
#define CP_DIRECTIONS 16
#define CP_DIGITS 6
#define CP_DIGIT_BITS 5

#define BIT_DIGITS 32

#define MIN_DIGITS 4
#define MIN_DIGIT_BITS 8
/* How many of the least hashes are remembered, one for each choice. */
#define MIN_CHOICES 4

StaticAssertDecl(2 * CP_DIRECTIONS == LSH_MAX_CHOICES && LSH_MAX_CHOICES == 1 << CP_DIGIT_BITS,
				 "a digit is a direction and a sign");

void
LshHashInit(LshHash *hash, LshFamily family, int dim, int tables, uint64 seed)
{
	hash->family = family;
	hash->dim = dim;
	hash->tables = tables;
	hash->seed = seed;
	hash->digits = family == LSH_CROSS_POLYTOPE ? CP_DIGITS :
		family == LSH_BIT_SAMPLING ? BIT_DIGITS : MIN_DIGITS;
	hash->digit_bits = family == LSH_CROSS_POLYTOPE ? CP_DIGIT_BITS :
		family == LSH_BIT_SAMPLING ? 1 : MIN_DIGIT_BITS;
}

/*
 * Cross-polytope: the value is rotated as often as it takes to have 16 elements
 * for every digit of every table.  Hashed, it is these elements.
 */

static int
rotations(const LshHash *hash)
{
	return (hash->tables * CP_DIGITS * CP_DIRECTIONS + hash->dim - 1) / hash->dim;
}

static void
rotate(const LshHash *hash, const float *value, float *elements)
{
	int			i;

	for (i = 0; i < rotations(hash); i++)
		AnnRotateAgain(hash->dim, hash->seed + i, value, elements + (Size) i * hash->dim);
}

static uint32
direction_digit(int direction, bool opposite)
{
	return 2 * direction + opposite;
}

/*
 * A direction and how much of the value lies along it, as a number: that of the
 * nearest direction is the greatest.  Floats that differ in their last bits only
 * are taken for equal.
 */
static inline uint32
direction_number(const float *elements, int direction)
{
	uint32		bits;

	memcpy(&bits, &elements[direction], sizeof(bits));
	return (bits & 0x7FFFFFE0) | direction_digit(direction, bits >> 31);
}

static uint32
nearest_direction(const float *elements)
{
	uint32		most = 0;
	int			i;

	for (i = 0; i < CP_DIRECTIONS; i++)
	{
		uint32		number = direction_number(elements, i);

		most = Max(most, number);
	}
	return most & (LSH_MAX_CHOICES - 1);
}

/*
 * In the order of their cost the directions come first, from the nearest on, and
 * then their opposites, the other way round.
 */
static int
directions(const float *elements, LshChoice *choices)
{
	uint32		numbers[CP_DIRECTIONS];
	float		most;
	int			i;

	/* Sorted by insertion. */
	for (i = 0; i < CP_DIRECTIONS; i++)
	{
		uint32		number = direction_number(elements, i);
		int			place;

		for (place = i; place > 0 && numbers[place - 1] < number; place--)
			numbers[place] = numbers[place - 1];
		numbers[place] = number;
	}

	most = fabsf(elements[(numbers[0] & (LSH_MAX_CHOICES - 1)) / 2]);
	for (i = 0; i < CP_DIRECTIONS; i++)
	{
		uint32		digit = numbers[i] & (LSH_MAX_CHOICES - 1);
		float		element = fabsf(elements[digit / 2]);
		LshChoice  *opposite = &choices[2 * CP_DIRECTIONS - 1 - i];

		choices[i].cost = (most - element) * (most - element);
		choices[i].digit = digit;
		opposite->cost = (most + element) * (most + element);
		opposite->digit = digit ^ 1;
	}
	return 2 * CP_DIRECTIONS;
}

/* A variate from 0 to 1. */
static double
uniform(uint64 *random)
{
	return (AnnRandom(random) >> 11) * 0x1p-53;
}

/* A normal variate, near enough: the sum of four uniform ones. */
static float
normal(uint64 *random)
{
	uint64		bits = AnnRandom(random);
	int32		sum = (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48);

	return (sum - 2 * 65535) * (float) (1.7320508 / 65536);
}

/* Strangers are as long, and at a right angle. */
static void
near_elements(const LshHash *hash, const float *elements, double share, uint64 *random,
			  float *near)
{
	int			n = hash->tables * CP_DIGITS * CP_DIRECTIONS;
	double		cosine = 1 - share * share;
	double		sum = 0;
	float		deviation;
	int			i;

	for (i = 0; i < n; i++)
		sum += elements[i] * elements[i];
	deviation = sqrt(Max(1 - cosine * cosine, 0) * sum / n);
	for (i = 0; i < n; i++)
		near[i] = (float) cosine * elements[i] + deviation * normal(random);
}

/*
 * Bit sampling.  Hashed, a value is its keys.
 */

static bool
get_bit(const uint8 *bits, int i)
{
	return bits[i / 8] & (0x80 >> i % 8);
}

static void
sample_bits(const LshHash *hash, const uint8 *bits, uint32 *keys)
{
	uint64		random = hash->seed;
	int			table;
	int			i;

	for (table = 0; table < hash->tables; table++)
	{
		keys[table] = 0;
		for (i = 0; i < BIT_DIGITS; i++)
			keys[table] = keys[table] << 1 | get_bit(bits, AnnRandomBelow(&random, hash->dim));
	}
}

static int
bit_and_opposite(const LshHash *hash, uint32 key, int digit, LshChoice *choices)
{
	uint32		bit = key >> (BIT_DIGITS - 1 - digit) & 1;

	choices[0] = (LshChoice) {0, bit};
	choices[1] = (LshChoice) {1, !bit};
	return 2;
}

/* Strangers differ in every other bit. */
static uint32
near_bits(uint32 key, double share, uint64 *random)
{
	int			i;

	for (i = 0; i < BIT_DIGITS; i++)
		if (uniform(random) < share / 2)
			key ^= (uint32) 1 << i;
	return key;
}

/*
 * MinHash.  Hashed, a set is the MIN_CHOICES least hashes of its elements by
 * each function, one for every digit of every table.
 */

/* Puts an element's hash into the least of a function. */
static inline void
note_least(uint32 *least, uint32 h)
{
	int			place;

	if (h >= least[MIN_CHOICES - 1])
		return;
	for (place = MIN_CHOICES - 1; place > 0 && least[place - 1] > h; place--)
		least[place] = least[place - 1];
	least[place] = h;
}

static void
min_hash(const LshHash *hash, const uint8 *bits, uint32 *least)
{
	int			functions = hash->tables * MIN_DIGITS;
	uint64		seeds[LSH_MAX_TABLES * MIN_DIGITS];
	uint64		random = hash->seed;
	int			i;
	int			j;

	for (j = 0; j < functions; j++)
		seeds[j] = AnnRandom(&random);
	memset(least, 0xFF, sizeof(uint32) * functions * MIN_CHOICES);

	for (i = 0; i < hash->dim; i++)
	{
		uint64		element;

		if (i % 8 == 0 && bits[i / 8] == 0)
		{
			i += 7;
			continue;
		}
		if (!get_bit(bits, i))
			continue;

		element = AnnMix(i + UINT64CONST(1));
		for (j = 0; j < functions; j++)
			note_least(least + j * MIN_CHOICES,
					   AnnMix(element ^ seeds[j]) >> 32);
	}
}

/* A neighbour has the next of the least hashes if it lacks what has the first. */
static int
least_hashes(const uint32 *least, LshChoice *choices)
{
	int			n = 0;

	while (n < MIN_CHOICES && (n == 0 || least[n] != PG_UINT32_MAX))
	{
		choices[n].cost = n;
		choices[n].digit = least[n] & ((1 << MIN_DIGIT_BITS) - 1);
		n++;
	}
	return n;
}

/* Where the least hashes differ, either set may lack what has the other's. */
static uint32
near_least(const uint32 *least, double share, uint64 *random)
{
	uint32		digit = least[0];

	if (uniform(random) < share)
		digit = uniform(random) < 0.5 ? least[1] : (uint32) AnnRandom(random);
	return digit & ((1 << MIN_DIGIT_BITS) - 1);
}

/*
 * All families
 */

Size
LshHashedSize(const LshHash *hash)
{
	switch (hash->family)
	{
		case LSH_CROSS_POLYTOPE:
			return sizeof(float) * rotations(hash) * (Size) hash->dim;
		case LSH_BIT_SAMPLING:
			return sizeof(uint32) * hash->tables;
		default:
			return sizeof(uint32) * hash->tables * MIN_DIGITS * MIN_CHOICES;
	}
}

void
LshHashValue(const LshHash *hash, const void *value, void *hashed)
{
	switch (hash->family)
	{
		case LSH_CROSS_POLYTOPE:
			rotate(hash, value, hashed);
			break;
		case LSH_BIT_SAMPLING:
			sample_bits(hash, value, hashed);
			break;
		case LSH_MIN_HASH:
			min_hash(hash, value, hashed);
			break;
	}
}

/* What a family keeps for a digit of a table. */
static const float *
digit_elements(const LshHash *hash, const void *hashed, int table, int digit)
{
	return (const float *) hashed + (table * CP_DIGITS + digit) * CP_DIRECTIONS;
}

static const uint32 *
digit_least(const LshHash *hash, const void *hashed, int table, int digit)
{
	return (const uint32 *) hashed + (table * MIN_DIGITS + digit) * MIN_CHOICES;
}

int
LshHashChoices(const LshHash *hash, const void *hashed, int table, int digit, LshChoice *choices)
{
	switch (hash->family)
	{
		case LSH_CROSS_POLYTOPE:
			return directions(digit_elements(hash, hashed, table, digit), choices);
		case LSH_BIT_SAMPLING:
			return bit_and_opposite(hash, ((const uint32 *) hashed)[table], digit, choices);
		default:
			return least_hashes(digit_least(hash, hashed, table, digit), choices);
	}
}

/* The likeliest value of a digit: LshHashChoices' first. */
static uint32
best_digit(const LshHash *hash, const void *hashed, int table, int digit)
{
	LshChoice	choices[LSH_MAX_CHOICES];

	if (hash->family == LSH_CROSS_POLYTOPE)
		return nearest_direction(digit_elements(hash, hashed, table, digit));
	LshHashChoices(hash, hashed, table, digit, choices);
	return choices[0].digit;
}

void
LshHashKeys(const LshHash *hash, const void *hashed, uint32 *keys)
{
	int			table;
	int			digit;

	for (table = 0; table < hash->tables; table++)
	{
		keys[table] = 0;
		for (digit = 0; digit < hash->digits; digit++)
			keys[table] = LshPrefix(hash, keys[table], digit,
									best_digit(hash, hashed, table, digit));
	}
}

void
LshHashNear(const LshHash *hash, const void *hashed, double share, uint64 *random, uint32 *keys)
{
	float		elements[LSH_MAX_TABLES * CP_DIGITS * CP_DIRECTIONS];
	int			table;
	int			digit;

	switch (hash->family)
	{
		case LSH_CROSS_POLYTOPE:
			near_elements(hash, hashed, share, random, elements);
			LshHashKeys(hash, elements, keys);
			break;
		case LSH_BIT_SAMPLING:
			for (table = 0; table < hash->tables; table++)
				keys[table] = near_bits(((const uint32 *) hashed)[table], share, random);
			break;
		case LSH_MIN_HASH:
			for (table = 0; table < hash->tables; table++)
			{
				keys[table] = 0;
				for (digit = 0; digit < hash->digits; digit++)
					keys[table] = LshPrefix(hash, keys[table], digit,
											near_least(digit_least(hash, hashed, table, digit), share, random));
			}
			break;
	}
}
