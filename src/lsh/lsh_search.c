/*
 * lsh_search.c
 *	  Searching the forest: README.md section 4.
 *
 * Knows which leaf to read next and how good the rows found are; when that is
 * good enough is the caller's to say.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/rel.h"

#include "am/am_tids.h"
#include "am/am_visited.h"
#include "lsh/lsh.h"

/*
 * A prefix of keys of a table, of which the last digit is the rank-th best; or
 * the rest, from a heap TID on, of a range of one key.
 */
typedef struct LshProbe
{
	float		cost;
	uint8		table;
	uint8		digit;			/* the last of the prefix */
	uint8		rank;
	bool		rest;
	uint32		prefix;
	ItemPointerData from;
} LshProbe;

#define HEAP_PREFIX lsh_probe
#define HEAP_ELEMENT LshProbe
#define HEAP_BEFORE(a, b) ((a)->cost < (b)->cost)
#include "am/am_heap.h"

/* One of the k best. */
typedef struct LshBest
{
	double		upper;
	int64		scored;
} LshBest;

#define HEAP_PREFIX lsh_best
#define HEAP_ELEMENT LshBest
#define HEAP_BEFORE(a, b) ((a)->upper > (b)->upper)
#include "am/am_heap.h"

/* A copy of an inner node. */
typedef struct LshInner
{
	BlockNumber blkno;
	char		status;
	int			count;
	uint32		first;			/* number of its first downlink in the directory */
	LshNode		node;
} LshInner;

#define SH_PREFIX directory
#define SH_ELEMENT_TYPE LshInner
#define SH_KEY_TYPE BlockNumber
#define SH_KEY blkno
#define SH_HASH_KEY(tb, key) murmurhash32(key)
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct LshRows
{
	LshFound   *rows;
	int64		count;
	int64		capacity;
} LshRows;

/* A row that was, when found, beyond the bound: most are, so it is kept in little. */
typedef struct LshOther
{
	double		distance;
	float		error;			/* may be no less than distance - error */
	uint32		scored;
	ItemPointerData tid;
} LshOther;

/* The values of a digit. */
typedef struct LshDigit
{
	int			count;			/* 0: not known yet */
	LshChoice  *choices;
} LshDigit;

/* What the directory knows of a leaf. */
typedef struct LshLeaf
{
	uint32		number;			/* of the downlink */
	BlockNumber blkno;
	bool		last;			/* of the table; then there is no high */
	LshPlace	low;
	LshPlace	high;
} LshLeaf;

struct LshSearch
{
	LshIndex   *index;
	const LshValue *value;
	int			k;
	MemoryContext context;

	LshDigit   *digits;			/* of all tables */
	lsh_probe_heap queue;
	directory_hash *directory;
	uint32		downlinks;		/* in it */
	AnnVisited	visited;		/* numbers of those that were followed to a leaf */

	uint32		reads;			/* leaves read */
	int64		scored;			/* rows in them */
	int64		changed;		/* scored when best last changed */
	lsh_best_heap best;
	LshRows		candidates;		/* rows that were, when found, within the bound */
	ann_tids_hash *seen;		/* these */
	LshOther   *others;			/* may contain a row several times */
	int64		nothers;
	int64		others_capacity;
	bool		forgot;			/* there were more others than memory */
	int64		next;			/* candidate to be looked at */
	double		nearest;		/* distance of those not given */

	LshLeaf		last;			/* read by a step */
	int			last_table;
};

/*
 * Rows
 */

/* How many rows of a kind, and size, a search may keep. */
static int64
max_rows(Size size)
{
	return work_mem * INT64CONST(1024) / 2 / size;
}

static void
init_rows(LshRows *rows, int64 capacity)
{
	rows->rows = palloc(sizeof(LshFound) * capacity);
	rows->count = 0;
	rows->capacity = capacity;
}

static void
add_to_rows(LshRows *rows, const LshFound *row)
{
	if (rows->count == rows->capacity)
	{
		rows->capacity *= 2;
		rows->rows = repalloc_huge(rows->rows, sizeof(LshFound) * rows->capacity);
	}
	rows->rows[rows->count++] = *row;
}

double
LshSearchBound(const LshSearch *search)
{
	return search->best.count < search->k ? INFINITY : search->best.elements[0].upper;
}

static void
note_best(LshSearch *search, const LshFound *row)
{
	LshBest		best = {row->upper, row->scored};

	if (search->best.count < search->k)
		lsh_best_heap_push(&search->best, &best);
	else if (best.upper < lsh_best_heap_top(&search->best)->upper)
		lsh_best_heap_replace_top(&search->best, &best);
	else
		return;
	search->changed = Max(search->changed, best.scored);
}

/* Makes a row a candidate, if it is not one already. */
static void
add_candidate(LshSearch *search, const LshFound *row)
{
	if (!AnnTidsAdd(search->seen, &row->tid))
		return;
	add_to_rows(&search->candidates, row);
	search->nearest = Min(search->nearest, (row->lower + row->upper) / 2);
	note_best(search, row);
}

/* Makes room for n more others. */
static void
reserve_others(LshSearch *search, int n)
{
	if (search->nothers + n > max_rows(sizeof(LshOther)))
	{
		search->forgot = true;
		search->nothers = 0;
	}
	while (search->nothers + n > search->others_capacity)
	{
		search->others_capacity *= 2;
		search->others = repalloc_huge(search->others, sizeof(LshOther) * search->others_capacity);
	}
}

static void
note_rows(LshSearch *search, const LshRow *rows, int n)
{
	double		distances[ANN_BATCH];
	float		errors[ANN_BATCH];

	LshDistances(search->value, rows, n, distances);
	LshErrorLimits(search->value, rows, n, errors);
	reserve_others(search, n);
	for (int i = 0; i < n; i++)
	{
		if (distances[i] - errors[i] <= LshSearchBound(search))
		{
			AnnRabitqRange range = LshBounds(search->value, rows[i], distances[i]);
			LshFound	found = {.lower = range.lower,.upper = range.upper,.scored = search->scored};

			found.tid = rows[i]->place.tid;
			add_candidate(search, &found);
		}
		else
		{
			LshOther   *other = &search->others[search->nothers];

			other->distance = distances[i];
			other->error = errors[i];
			other->scored = Min(search->scored, PG_UINT32_MAX);
			other->tid = rows[i]->place.tid;
			search->nothers += !search->forgot;
		}
	}
}

static void
note_leaf(LshSearch *search, LshNode node, int count)
{
	search->reads++;
	search->scored += count;
	for (int first = 0; first < count; first += ANN_BATCH)
	{
		int			n = Min(count - first, ANN_BATCH);
		LshRow		rows[ANN_BATCH];

		for (int i = 0; i < n; i++)
			rows[i] = LshNodeRow(search->index, node, first + i);
		note_rows(search, rows, n);
	}
}

/*
 * The directory
 */

static void
copy_node(LshSearch *search, LshInner *inner, Page page)
{
	Size		size = offsetof(LshNodeData, entries) + sizeof(LshDownlink) * inner->count;

	inner->node = memcpy(palloc(size), LshPageNode(page), size);
	inner->first = search->downlinks;
	search->downlinks += inner->count;
}

static LshInner *
get_root(LshSearch *search, int table)
{
	bool		found;
	LshInner   *inner = directory_insert(search->directory, LshRoot(table), &found);
	PGAlignedBlock page;

	if (!found)
	{
		LshCopyRoot(search->index, table, (Page) page.data, &inner->count);
		copy_node(search, inner, (Page) page.data);
	}
	return inner;
}

static LshInner *
get_inner(LshSearch *search, BlockNumber blkno, int table, int level)
{
	bool		found;
	LshInner   *inner = directory_insert(search->directory, blkno, &found);
	Buffer		buf;

	if (found)
		return inner;

	buf = LshReadNode(search->index, blkno, table, level, BUFFER_LOCK_SHARE, &inner->count);
	if (!BufferIsValid(buf))
		AnnCorrupted(search->index->rel, blkno, "The page is not the node that another takes it for");
	copy_node(search, inner, BufferGetPage(buf));
	UnlockReleaseBuffer(buf);
	return inner;
}

/*
 * The leaf that a place belongs to, as far as the directory knows.
 */
static LshLeaf
find_leaf(LshSearch *search, int table, const LshPlace *place)
{
	LshInner   *inner = get_root(search, table);

	for (;;)
	{
		LshNode		node = inner->node;
		int			i;

		if (LshNodeEndsBefore(node, place))
		{
			LshForgetRoot(search->index, table);
			inner = get_inner(search, node->right, table, node->level);
			if (LshPlaceCompare(&inner->node->low, &node->high) != 0)
				AnnCorrupted(search->index->rel, node->right, "A node does not begin where its left sibling ends");
			continue;
		}

		i = LshFindDownlink(node, inner->count, place);
		if (node->level == 1)
		{
			LshDownlink *downlink = LshNodeDownlink(node, i);
			LshLeaf		leaf = {.number = inner->first + i,.blkno = downlink->child,.low = downlink->low};

			if (i + 1 < inner->count)
				leaf.high = downlink[1].low;
			else
			{
				leaf.high = node->high;
				leaf.last = !BlockNumberIsValid(node->right);
			}
			return leaf;
		}
		inner = get_inner(search, LshNodeDownlink(node, i)->child, table, node->level - 1);
	}
}

/*
 * Reads what the directory takes for one leaf.  Its rows may be in others now,
 * and these may have been read when they did not have them yet.
 */
static void
read_leaf(LshSearch *search, int table, const LshLeaf *leaf)
{
	LshWalk		walk;
	int			count;

	LshWalkFrom(&walk, search->index, table, &leaf->low, leaf->blkno);
	while (LshWalkNext(&walk, BUFFER_LOCK_SHARE, &count))
	{
		note_leaf(search, LshPageNode(BufferGetPage(walk.buf)), count);
		UnlockReleaseBuffer(walk.buf);
		if (!leaf->last && LshPlaceCompare(&walk.high, &leaf->high) >= 0)
			break;
	}
}

/*
 * Probing
 */

static LshDigit *
get_digit(LshSearch *search, int table, int digit)
{
	const LshHash *hash = &search->index->hash;
	LshDigit   *result = &search->digits[table * hash->digits + digit];

	if (result->count == 0)
	{
		LshChoice	choices[LSH_MAX_CHOICES];

		result->count = LshHashChoices(hash, search->value->hashed, table, digit, choices);
		result->choices = palloc(sizeof(LshChoice) * result->count);
		memcpy(result->choices, choices, sizeof(LshChoice) * result->count);
	}
	return result;
}

/*
 * Puts a prefix into the queue that continues one, of the cost given, with the
 * rank-th best value of a digit, if there are so many.
 */
static void
push_probe(LshSearch *search, int table, uint32 prefix, float cost, int digit, int rank)
{
	LshDigit   *values = get_digit(search, table, digit);
	LshProbe	probe = {.table = table,.digit = digit,.rank = rank};

	if (rank == values->count)
		return;
	probe.cost = cost + values->choices[rank].cost;
	probe.prefix = LshPrefix(&search->index->hash, prefix, digit, values->choices[rank].digit);
	lsh_probe_heap_push(&search->queue, &probe);
}

/* Puts a prefix into the queue that differs from another in its last digit. */
static void
push_sibling(LshSearch *search, const LshProbe *probe)
{
	const LshHash *hash = &search->index->hash;
	LshChoice	last = get_digit(search, probe->table, probe->digit)->choices[probe->rank];

	push_probe(search, probe->table, probe->prefix ^ LshPrefix(hash, 0, probe->digit, last.digit),
			   probe->cost - last.cost, probe->digit, probe->rank + 1);
}

bool
LshSearchStep(LshSearch *search)
{
	const LshHash *hash = &search->index->hash;
	MemoryContext oldcontext = MemoryContextSwitchTo(search->context);
	bool		read = false;

	while (!read && search->queue.count > 0)
	{
		LshProbe	probe = lsh_probe_heap_pop(&search->queue);
		LshPlace	place = {.key = probe.prefix,.tid = probe.from};
		LshLeaf		leaf = find_leaf(search, probe.table, &place);

		CHECK_FOR_INTERRUPTS();
		if (!probe.rest)
			push_sibling(search, &probe);

		if (!leaf.last && leaf.high.key <= LshPrefixEnd(hash, probe.prefix, probe.digit + 1))
		{
			if (probe.digit + 1 < hash->digits)
			{
				push_probe(search, probe.table, probe.prefix, probe.cost, probe.digit + 1, 0);
				continue;
			}
			probe.rest = true;
			probe.from = leaf.high.tid;
			lsh_probe_heap_push(&search->queue, &probe);
		}

		read = AnnVisitedAdd(&search->visited, leaf.number);
		if (read)
		{
			search->last = leaf;
			search->last_table = probe.table;
			read_leaf(search, probe.table, &leaf);
		}
	}

	MemoryContextSwitchTo(oldcontext);
	return read;
}

void
LshSearchAll(LshSearch *search)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(search->context);
	LshWalk		walk;
	int			count;

	LshWalkBegin(&walk, search->index, 0);
	while (LshWalkNext(&walk, BUFFER_LOCK_SHARE, &count))
	{
		note_leaf(search, LshPageNode(BufferGetPage(walk.buf)), count);
		UnlockReleaseBuffer(walk.buf);
	}
	MemoryContextSwitchTo(oldcontext);
}

LshSearch *
LshSearchBegin(LshIndex *index, const LshValue *value, int k)
{
	LshSearch  *search = palloc0(sizeof(LshSearch));

	search->index = index;
	search->value = value;
	search->k = k;
	search->context = CurrentMemoryContext;
	search->nearest = INFINITY;
	search->digits = palloc0(sizeof(LshDigit) * index->hash.tables * index->hash.digits);
	lsh_probe_heap_init(&search->queue, 256);
	search->directory = directory_create(CurrentMemoryContext, 64, NULL);
	AnnVisitedInit(&search->visited, 1024);
	lsh_best_heap_init(&search->best, k);
	init_rows(&search->candidates, 256);
	search->seen = ann_tids_create(CurrentMemoryContext, 512, NULL);
	search->others_capacity = 4096;
	search->others = palloc(sizeof(LshOther) * search->others_capacity);

	for (int table = 0; table < index->hash.tables; table++)
		push_probe(search, table, 0, 0, 0, 0);
	return search;
}

uint32
LshSearchReads(const LshSearch *search)
{
	return search->reads;
}

int64
LshSearchScored(const LshSearch *search)
{
	return search->scored;
}

double
LshSearchWaited(const LshSearch *search)
{
	return (double) (search->scored - search->changed) / search->index->leaf_fill;
}

double
LshSearchNearest(const LshSearch *search)
{
	return search->nearest;
}

const LshFound *
LshSearchNext(LshSearch *search, double limit)
{
	while (search->next < search->candidates.count)
	{
		LshFound   *row = &search->candidates.rows[search->next++];

		if (!row->given && row->lower <= limit)
		{
			row->given = true;
			return row;
		}
	}

	search->next = 0;
	search->nearest = INFINITY;
	for (int64 i = 0; i < search->candidates.count; i++)
	{
		const LshFound *row = &search->candidates.rows[i];

		if (!row->given)
			search->nearest = Min(search->nearest, (row->lower + row->upper) / 2);
	}
	return NULL;
}

bool
LshSearchCovers(const LshSearch *search, const uint32 *keys)
{
	LshPlace	place = LshFirstPlace(keys[search->last_table]);

	return LshPlaceCompare(&search->last.low, &place) <= 0 &&
		(search->last.last || LshPlaceCompare(&place, &search->last.high) < 0);
}

bool
LshSearchFound(const LshSearch *search, const ItemPointerData *tid)
{
	return AnnTidsHave(search->seen, tid);
}

bool
LshSearchMore(LshSearch *search)
{
	int64		nothers = search->nothers;

	if (search->forgot || search->k > PG_INT32_MAX / 2 ||
		search->candidates.count >= max_rows(sizeof(LshFound)))
		return false;

	search->k *= 2;
	lsh_best_heap_reset(&search->best);
	for (int64 i = 0; i < search->candidates.count; i++)
		note_best(search, &search->candidates.rows[i]);

	search->nothers = 0;
	for (int64 i = 0; i < nothers; i++)
	{
		const LshOther *other = &search->others[i];
		LshFound	row = {
			.lower = other->distance - other->error,
			.upper = other->distance + other->error,
			.tid = other->tid,
			.scored = other->scored
		};

		if (row.lower <= LshSearchBound(search))
			add_candidate(search, &row);
		else
			search->others[search->nothers++] = *other;
	}

	search->changed = 0;
	for (int i = 0; i < search->best.count; i++)
		search->changed = Max(search->changed, search->best.elements[i].scored);
	return true;
}
