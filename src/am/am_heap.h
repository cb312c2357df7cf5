/*
 * am_heap.h
 *	  Template: a binary heap of structs in one growing array.
 *
 * lib/binaryheap.h holds Datums of a fixed number and compares them through a
 * pointer; searches push millions of small structs.  The including file
 * defines
 *
 *	  HEAP_PREFIX		prefix of the generated names
 *	  HEAP_ELEMENT		type of an element
 *	  HEAP_BEFORE(a, b)	true if element *a must come out before *b
 *
 * and gets <prefix>_heap and static inline functions <prefix>_heap_init,
 * _reset, _push, _pop, _top and _replace_top.  The array lives in the memory
 * context that was current at _init.
 */

#define HEAP_MAKE_NAME_(a, b) a##_heap##b
#define HEAP_MAKE_NAME(a, b) HEAP_MAKE_NAME_(a, b)
#define HEAP_TYPE HEAP_MAKE_NAME(HEAP_PREFIX, )
#define HEAP_NAME(name) HEAP_MAKE_NAME(HEAP_PREFIX, name)

typedef struct HEAP_TYPE
{
	HEAP_ELEMENT *elements;
	int			count;
	int			capacity;
}			HEAP_TYPE;

static inline void
HEAP_NAME(_init) (HEAP_TYPE * heap, int capacity)
{
	heap->elements = palloc(sizeof(HEAP_ELEMENT) * capacity);
	heap->count = 0;
	heap->capacity = capacity;
}

static inline void
HEAP_NAME(_reset) (HEAP_TYPE * heap)
{
	heap->count = 0;
}

static inline HEAP_ELEMENT *
HEAP_NAME(_top) (HEAP_TYPE * heap)
{
	Assert(heap->count > 0);
	return &heap->elements[0];
}

static inline void
HEAP_NAME(_push) (HEAP_TYPE * heap, const HEAP_ELEMENT *element)
{
	int			i = heap->count;

	if (heap->count == heap->capacity)
	{
		heap->capacity *= 2;
		heap->elements = repalloc_huge(heap->elements, sizeof(HEAP_ELEMENT) * (Size) heap->capacity);
	}
	heap->count++;

	while (i > 0)
	{
		int			parent = (i - 1) / 2;

		if (!HEAP_BEFORE(element, &heap->elements[parent]))
			break;
		heap->elements[i] = heap->elements[parent];
		i = parent;
	}
	heap->elements[i] = *element;
}

/* Puts an element in place of the top one. */
static inline void
HEAP_NAME(_replace_top) (HEAP_TYPE * heap, const HEAP_ELEMENT *element)
{
	int			i = 0;

	for (;;)
	{
		int			child = 2 * i + 1;

		if (child >= heap->count)
			break;
		if (child + 1 < heap->count &&
			HEAP_BEFORE(&heap->elements[child + 1], &heap->elements[child]))
			child++;
		if (!HEAP_BEFORE(&heap->elements[child], element))
			break;
		heap->elements[i] = heap->elements[child];
		i = child;
	}
	heap->elements[i] = *element;
}

static inline HEAP_ELEMENT
HEAP_NAME(_pop) (HEAP_TYPE * heap)
{
	HEAP_ELEMENT top = *HEAP_NAME(_top) (heap);

	heap->count--;
	if (heap->count > 0)
	{
		HEAP_ELEMENT last = heap->elements[heap->count];

		HEAP_NAME(_replace_top) (heap, &last);
	}
	return top;
}

#undef HEAP_MAKE_NAME_
#undef HEAP_MAKE_NAME
#undef HEAP_TYPE
#undef HEAP_NAME
#undef HEAP_PREFIX
#undef HEAP_ELEMENT
#undef HEAP_BEFORE
