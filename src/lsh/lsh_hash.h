/*
 * lsh_hash.h
 *	  Locality-sensitive hash families: from values to keys, and where else a
 *	  query's neighbours may be.
 *
 * A key is made of digits, most significant first; it fills 32 bits from the
 * top.  Near values are likely to agree in a digit.  Each table draws its
 * digits anew.  README.md section 1 names the families.
 *
 * Pure functions of their arguments: the same seed gives the same keys, on
 * every machine.
 */
#ifndef LSH_HASH_H
#define LSH_HASH_H

#define LSH_KEY_BITS 32

/* The most tables. */
#define LSH_MAX_TABLES 32

/* The most values of a digit that a query may be told. */
#define LSH_MAX_CHOICES 32

typedef enum LshFamily
{
	LSH_CROSS_POLYTOPE,			/* of float vectors, by angle */
	LSH_BIT_SAMPLING,			/* of bit strings, by Hamming distance */
	LSH_MIN_HASH				/* of bit strings as sets, by Jaccard distance */
} LshFamily;

typedef struct LshHash
{
	LshFamily	family;
	int			dim;			/* of a value: floats, a multiple of 64, or bits */
	int			tables;
	int			digits;			/* of a key */
	int			digit_bits;
	uint64		seed;
} LshHash;

/* A value of a digit, and how unlikely neighbours are to have it. */
typedef struct LshChoice
{
	float		cost;			/* 0 for the best */
	uint32		digit;
} LshChoice;

extern void LshHashInit(LshHash *hash, LshFamily family, int dim, int tables, uint64 seed);

/* Bytes that LshHashValue writes. */
extern Size LshHashedSize(const LshHash *hash);

/*
 * Hashes a value, float[dim], rotated, or dim bits, into memory aligned for floats: all
 * that the functions below need of it.
 */
extern void LshHashValue(const LshHash *hash, const void *value, void *hashed);

/* The value's keys, one for each table. */
extern void LshHashKeys(const LshHash *hash, const void *hashed, uint32 *keys);

/*
 * The values a digit of a table may have, likeliest first; returns how many.
 * There may be others that are not worth looking for.
 */
extern int	LshHashChoices(const LshHash *hash, const void *hashed, int table, int digit,
						   LshChoice *choices);

/*
 * Keys that another value may have whose distance is such a share of that of
 * strangers, drawn at random.
 */
extern void LshHashNear(const LshHash *hash, const void *hashed, double share, uint64 *random,
						uint32 *keys);

/* A key that begins with so many digits; the others are 0. */
static inline uint32
LshPrefix(const LshHash *hash, uint32 prefix, int digit, uint32 value)
{
	return prefix | value << (LSH_KEY_BITS - (digit + 1) * hash->digit_bits);
}

/* The last key that begins with the first so many digits of a key. */
static inline uint32
LshPrefixEnd(const LshHash *hash, uint32 prefix, int digits)
{
	int			rest = LSH_KEY_BITS - digits * hash->digit_bits;

	return rest == LSH_KEY_BITS ? PG_UINT32_MAX : prefix | ((UINT64CONST(1) << rest) - 1);
}

#endif							/* LSH_HASH_H */
