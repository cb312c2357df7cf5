/*
 * random.h
 *	  Random numbers that are the same everywhere: SplitMix64.
 */
#ifndef ANN_RANDOM_H
#define ANN_RANDOM_H

/* The finalizer, a good hash of 64 bits. */
static inline uint64
AnnMix(uint64 x)
{
	x = (x ^ (x >> 30)) * UINT64CONST(0xBF58476D1CE4E5B9);
	x = (x ^ (x >> 27)) * UINT64CONST(0x94D049BB133111EB);
	return x ^ (x >> 31);
}

/* The next 64 bits; any state will do. */
static inline uint64
AnnRandom(uint64 *state)
{
	*state += UINT64CONST(0x9E3779B97F4A7C15);
	return AnnMix(*state);
}

/* A number below n, which is far below 2^64. */
static inline uint64
AnnRandomBelow(uint64 *state, uint64 n)
{
	return AnnRandom(state) % n;
}

#endif							/* ANN_RANDOM_H */
