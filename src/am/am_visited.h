/*
 * am_visited.h
 *	  A set of 32-bit numbers that is emptied in constant time.
 *
 * Open addressing with linear probing.  A slot holds the number and the epoch
 * it was added in; emptying the set begins a new epoch.
 */
#ifndef ANN_VISITED_H
#define ANN_VISITED_H

#include "common/hashfn.h"
#include "utils/memutils.h"

typedef struct AnnVisitedSlot
{
	uint32		epoch;
	uint32		number;
} AnnVisitedSlot;

typedef struct AnnVisited
{
	AnnVisitedSlot *slots;
	uint32		mask;			/* number of slots, a power of two, minus one */
	uint32		count;
	uint32		epoch;
} AnnVisited;

/* The set lives in the current memory context. */
static inline void
AnnVisitedInit(AnnVisited *set, uint32 slots)
{
	set->slots = palloc_extended(sizeof(AnnVisitedSlot) * (Size) slots,
								 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	set->mask = slots - 1;
	set->count = 0;
	set->epoch = 1;
}

static inline void
AnnVisitedReset(AnnVisited *set)
{
	set->count = 0;
	if (++set->epoch == 0)
	{
		memset(set->slots, 0, sizeof(AnnVisitedSlot) * ((Size) set->mask + 1));
		set->epoch = 1;
	}
}

static inline bool
AnnVisitedHas(const AnnVisited *set, uint32 number)
{
	for (uint32 i = murmurhash32(number) & set->mask;
		 set->slots[i].epoch == set->epoch;
		 i = (i + 1) & set->mask)
		if (set->slots[i].number == number)
			return true;
	return false;
}

/* Adds a number; false if it was there. */
static inline bool
AnnVisitedAdd(AnnVisited *set, uint32 number)
{
	uint32		i = murmurhash32(number) & set->mask;

	for (; set->slots[i].epoch == set->epoch; i = (i + 1) & set->mask)
		if (set->slots[i].number == number)
			return false;

	set->slots[i].epoch = set->epoch;
	set->slots[i].number = number;

	if (++set->count > set->mask / 2)
	{
		AnnVisitedSlot *old = set->slots;
		uint32		slots = set->mask + 1;
		uint32		epoch = set->epoch;
		MemoryContext context = GetMemoryChunkContext(old);
		MemoryContext oldcontext = MemoryContextSwitchTo(context);

		AnnVisitedInit(set, slots * 2);
		MemoryContextSwitchTo(oldcontext);
		for (uint32 j = 0; j < slots; j++)
			if (old[j].epoch == epoch)
				AnnVisitedAdd(set, old[j].number);
		pfree(old);
	}
	return true;
}

static inline Size
AnnVisitedMemory(const AnnVisited *set)
{
	return sizeof(AnnVisitedSlot) * ((Size) set->mask + 1);
}

#endif							/* ANN_VISITED_H */
