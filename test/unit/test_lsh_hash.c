/*
 * test_lsh_hash.c
 *	  Tests the hash families of lsh against theory: how often near values share
 *	  digits, that the best choice is the digit, and that choices find what the
 *	  best one missed.
 *
 * Prints TAP.
 */
#include "c.h"

#include <math.h>

#include "kernels/kernels.h"
#include "lsh/lsh_hash.h"
#include "unit.h"

#define DIM 128
#define BITS 2048
#define TABLES 8
#define TRIALS 1000

static float hashed_a[TABLES * 128 + 4096];
static float hashed_b[TABLES * 128 + 4096];

static const struct
{
	LshFamily	family;
	const char *name;
	int			dim;
}			families[] = {
	{LSH_CROSS_POLYTOPE, "cross-polytope", DIM},
	{LSH_BIT_SAMPLING, "bit sampling", BITS},
	{LSH_MIN_HASH, "MinHash", BITS}
};

/* A normal variate, near enough: the sum of twelve uniform ones. */
static double
normal(void)
{
	double		sum = 0;
	int			i;

	for (i = 0; i < 12; i++)
		sum += random_unit();
	return sum / 2;
}

/* Two vectors that enclose an angle of so much cosine, in expectation. */
static void
make_vectors(double cosine, float *a, float *b)
{
	int			i;

	for (i = 0; i < DIM; i++)
	{
		a[i] = normal();
		b[i] = cosine * a[i] + sqrt(1 - cosine * cosine) * normal();
	}
}

/*
 * Two strings with so many ones in a hundred, of which b has a's with a
 * probability.
 */
static void
make_bits(int percent, double same, uint8 *a, uint8 *b)
{
	int			i;

	memset(a, 0, BITS / 8);
	memset(b, 0, BITS / 8);
	for (i = 0; i < BITS; i++)
	{
		bool		one = random_bits() % 100 < (uint32) percent;
		bool		other = random_bits() % 100 < (uint32) percent;

		if (random_unit() < 2 * same - 1)
			other = one;
		a[i / 8] |= one << (7 - i % 8);
		b[i / 8] |= other << (7 - i % 8);
	}
}

static void
make_pair(LshFamily family, double similarity, void *a, void *b)
{
	if (family == LSH_CROSS_POLYTOPE)
		make_vectors(similarity, a, b);
	else
		make_bits(family == LSH_BIT_SAMPLING ? 50 : 5, similarity, a, b);
}

/* The digit of a key. */
static uint32
digit_of(const LshHash *hash, uint32 key, int digit)
{
	return key >> (LSH_KEY_BITS - (digit + 1) * hash->digit_bits) & ((1U << hash->digit_bits) - 1);
}

/*
 * Of pairs so similar, the share that agree in a digit; and the share of which
 * b's digit is among a's first few choices.
 */
static double
agreement(const LshHash *hash, double similarity, int few)
{
	static float a[DIM > BITS / 32 ? DIM : BITS / 32];
	static float b[DIM > BITS / 32 ? DIM : BITS / 32];
	int			agree = 0;
	int			trial;

	for (trial = 0; trial < TRIALS; trial++)
	{
		uint32		keys[TABLES];
		LshChoice	choices[LSH_MAX_CHOICES];
		int			table = trial % TABLES;
		int			digit = trial % hash->digits;
		int			n;
		int			i;

		make_pair(hash->family, similarity, a, b);
		LshHashValue(hash, a, hashed_a);
		LshHashValue(hash, b, hashed_b);
		LshHashKeys(hash, hashed_b, keys);
		n = LshHashChoices(hash, hashed_a, table, digit, choices);
		for (i = 0; i < n && i < few; i++)
			if (choices[i].digit == digit_of(hash, keys[table], digit))
			{
				agree++;
				break;
			}
	}
	return (double) agree / TRIALS;
}

/* The first choice is the digit and costs nothing; costs ascend; no digit comes twice. */
static bool
choices_are_ordered(const LshHash *hash, const void *value)
{
	uint32		keys[TABLES];
	int			table;
	int			digit;
	int			i;
	int			j;

	LshHashValue(hash, value, hashed_a);
	LshHashKeys(hash, hashed_a, keys);
	for (table = 0; table < hash->tables; table++)
	{
		for (digit = 0; digit < hash->digits; digit++)
		{
			LshChoice	choices[LSH_MAX_CHOICES];
			int			n = LshHashChoices(hash, hashed_a, table, digit, choices);

			if (n < 1 || n > LSH_MAX_CHOICES || choices[0].cost != 0 ||
				choices[0].digit != digit_of(hash, keys[table], digit))
				return false;
			for (i = 1; i < n; i++)
			{
				if (choices[i].cost < choices[i - 1].cost)
					return false;
				for (j = 0; j < i && hash->family != LSH_MIN_HASH; j++)
					if (choices[j].digit == choices[i].digit)
						return false;
			}
		}
	}
	return true;
}

static void
test_family(int f)
{
	LshHash		hash;
	LshHash		other;
	static float a[DIM];
	static float b[DIM];
	uint32		keys[TABLES];
	uint32		again[TABLES];
	double		near;
	double		far;
	int			i;
	bool		differ = false;
	double		high = families[f].family == LSH_MIN_HASH ? 0.97 : 0.9;

	LshHashInit(&hash, families[f].family, families[f].dim, TABLES, 42);
	LshHashInit(&other, families[f].family, families[f].dim, TABLES, 43);
	make_pair(hash.family, high, a, b);

	report(LshHashedSize(&hash) <= sizeof(hashed_a), families[f].name, "fits");
	report(hash.digits * hash.digit_bits <= LSH_KEY_BITS, families[f].name, "has short keys");
	report(choices_are_ordered(&hash, a), families[f].name, "orders the choices");
	memset(a, 0, sizeof(a));
	report(choices_are_ordered(&hash, a), families[f].name, "orders the choices of nothing");

	make_pair(hash.family, high, a, b);
	LshHashValue(&hash, a, hashed_a);
	LshHashKeys(&hash, hashed_a, keys);
	LshHashValue(&hash, a, hashed_b);
	LshHashKeys(&hash, hashed_b, again);
	report(memcmp(keys, again, sizeof(keys)) == 0, families[f].name, "is a function");
	LshHashValue(&other, a, hashed_b);
	LshHashKeys(&other, hashed_b, again);
	report(memcmp(keys, again, sizeof(keys)) != 0, families[f].name, "depends on the seed");
	for (i = 1; i < TABLES; i++)
		differ = differ || keys[i] != keys[0];
	report(differ, families[f].name, "differs between tables");

	near = agreement(&hash, high, 1);
	far = agreement(&hash, 0.5, 1);
	report(near > 0.4 && near > far + 0.1, families[f].name, "brings near values together");
	report(agreement(&hash, high, 4) > near + (1 - near) / 3, families[f].name,
		   "knows where else they may be");
}

int
main(void)
{
	LshHash		hash;
	uint8		a[BITS / 8];
	uint8		b[BITS / 8];
	int			f;
	double		shared = 0;
	double		jaccard = 0;
	int			i;

	ann_simd_select(ANN_SIMD_AUTO);
	for (f = 0; f < (int) lengthof(families); f++)
		test_family(f);

	/* Bits agree as often as they are the same, by chance too. */
	LshHashInit(&hash, LSH_BIT_SAMPLING, BITS, TABLES, 1);
	report(fabs(agreement(&hash, 0.75, 1) - 0.875) < 0.04, "bit sampling", "has the probability of theory");

	/* Sets share their least hash with probability J, and its 8 bits by chance. */
	LshHashInit(&hash, LSH_MIN_HASH, BITS, TABLES, 1);
	for (i = 0; i < TRIALS; i++)
	{
		uint32		a_keys[TABLES];
		uint32		b_keys[TABLES];
		uint64		both;
		uint64		either;

		make_bits(5, 0.9, a, b);
		ann_kernels.jaccard(BITS / 8, a, b, &both, &either);
		jaccard += (double) both / either / TRIALS;
		LshHashValue(&hash, a, hashed_a);
		LshHashKeys(&hash, hashed_a, a_keys);
		LshHashValue(&hash, b, hashed_b);
		LshHashKeys(&hash, hashed_b, b_keys);
		shared += (double) (a_keys[0] >> 24 == b_keys[0] >> 24) / TRIALS;
	}
	report(fabs(shared - jaccard - (1 - jaccard) / 256) < 0.05, "MinHash", "has the probability of theory");

	printf("1..%d\n", tests_run);
	return all_ok ? 0 : 1;
}
