/*
 * unit.h
 *	  What the unit tests share: TAP, random numbers, and arrays put against
 *	  pages without access, so that reading past either end crashes.
 */
#ifndef UNIT_H
#define UNIT_H

#include <sys/mman.h>
#include <unistd.h>

/* The server's printf is not linked. */
#undef printf

typedef struct Buffer
{
	char	   *start;
	char	   *end;
} Buffer;

static int	tests_run = 0;
static bool all_ok = true;

static inline void
report(bool ok, const char *subject, const char *test)
{
	printf("%s %d - %s %s\n", ok ? "ok" : "not ok", ++tests_run, subject, test);
	all_ok = all_ok && ok;
}

static inline uint32
random_bits(void)
{
	static uint64 state = UINT64CONST(0x9E3779B97F4A7C15);

	state = state * UINT64CONST(6364136223846793005) + UINT64CONST(1442695040888963407);
	return state >> 32;
}

/* In [-1, 1]. */
static inline double
random_unit(void)
{
	return random_bits() / 2147483647.5 - 1.0;
}

/* Room for so many bytes, and a page more, between two pages without access. */
static inline void
make_buffer(Buffer *buffer, size_t nbytes)
{
	size_t		page = sysconf(_SC_PAGESIZE);
	size_t		size = (nbytes / page + 2) * page;
	char	   *p = mmap(NULL, size + 2 * page, PROT_NONE,
						 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED ||
		mprotect(p + page, size, PROT_READ | PROT_WRITE) != 0)
	{
		printf("Bail out! no memory\n");
		exit(1);
	}
	buffer->start = p + page;
	buffer->end = p + page + size;
}

#endif							/* UNIT_H */
