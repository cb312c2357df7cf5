/*
 * kernels.c
 *	  Knows what the CPU can do, and puts the table in force together.
 */
#include "c.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "kernels/kernels.h"

AnnKernels	ann_kernels;

#if defined(__x86_64__)

/* What is asked of cpuid: register ecx of leaf 1, ebx and ecx of leaf 7. */
typedef struct X86Features
{
	unsigned int leaf1_ecx;
	unsigned int leaf7_ebx;
	unsigned int leaf7_ecx;
} X86Features;

/* Parts of the registers the operating system may save (XCR0). */
#define XCR0_AVX	((1 << 1) | (1 << 2))
#define XCR0_AVX512	(XCR0_AVX | (1 << 5) | (1 << 6) | (1 << 7))

/*
 * Does the CPU have all these features, and does the operating system save
 * the registers they work on?
 */
static bool
x86_has(X86Features wanted, unsigned int xcr0)
{
	unsigned int eax,
				ebx,
				ecx,
				edx;

	wanted.leaf1_ecx |= bit_OSXSAVE;
	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) ||
		(ecx & wanted.leaf1_ecx) != wanted.leaf1_ecx)
		return false;

	if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) ||
		(ebx & wanted.leaf7_ebx) != wanted.leaf7_ebx ||
		(ecx & wanted.leaf7_ecx) != wanted.leaf7_ecx)
		return false;

	/* Allowed only now that OSXSAVE is known to be there. */
	__asm__ volatile("xgetbv":"=a"(eax), "=d"(edx):"c"(0));
	return (eax & xcr0) == xcr0;
}

static bool
have_avx2(void)
{
	X86Features wanted = {
		.leaf1_ecx = bit_FMA | bit_F16C,
		.leaf7_ebx = bit_AVX2
	};

	return x86_has(wanted, XCR0_AVX);
}

static bool
have_avx512(void)
{
	X86Features wanted = {
		.leaf7_ebx = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ
	};

	return have_avx2() && x86_has(wanted, XCR0_AVX512);
}

static bool
have_avx512_vpopcntdq(void)
{
	X86Features wanted = {.leaf7_ecx = bit_AVX512VPOPCNTDQ};

	return have_avx512() && x86_has(wanted, XCR0_AVX512);
}

static bool
have_avx512_vnni(void)
{
	X86Features wanted = {.leaf7_ecx = bit_AVX512VNNI};

	return have_avx512() && x86_has(wanted, XCR0_AVX512);
}

#endif							/* __x86_64__ */

static bool
have_always(void)
{
	return true;
}

/* All tables, in the order in which they are overlaid. */
static const struct
{
	AnnSimdLevel level;
	const AnnKernels *table;
	bool		(*have) (void);
}			ladder[] =
{
	{ANN_SIMD_SCALAR, &ann_kernels_scalar, have_always},
#if defined(__x86_64__)
	{ANN_SIMD_AVX2, &ann_kernels_avx2, have_avx2},
	{ANN_SIMD_AVX512, &ann_kernels_avx512, have_avx512},
	{ANN_SIMD_AVX512, &ann_kernels_avx512_vpopcntdq, have_avx512_vpopcntdq},
	{ANN_SIMD_AVX512, &ann_kernels_avx512_vnni, have_avx512_vnni},
#elif defined(__aarch64__)
	{ANN_SIMD_NEON, &ann_kernels_neon, have_always},
#endif
};

/* Let what a table defines replace what ann_kernels has. */
static void
overlay(const AnnKernels *table)
{
	typedef void (*Member) (void);
	const char *from = (const char *) table;
	char	   *to = (char *) &ann_kernels;
	Size		offset;

	/* Every member is a pointer, and all have one size. */
	StaticAssertStmt(sizeof(AnnKernels) % sizeof(Member) == 0,
					 "AnnKernels must consist of pointers");
	for (offset = 0; offset < sizeof(AnnKernels); offset += sizeof(Member))
	{
		Member		member;

		memcpy(&member, from + offset, sizeof(Member));
		if (member != NULL)
			memcpy(to + offset, &member, sizeof(Member));
	}
}

bool
ann_simd_supported(AnnSimdLevel level)
{
	int			i;

	if (level == ANN_SIMD_AUTO)
		return true;

	for (i = 0; i < (int) lengthof(ladder); i++)
	{
		if (ladder[i].level == level)
			return ladder[i].have();
	}
	return false;
}

void
ann_simd_select(AnnSimdLevel level)
{
	int			i;

	for (i = 0; i < (int) lengthof(ladder); i++)
	{
		if ((level == ANN_SIMD_AUTO || ladder[i].level <= level) &&
			ladder[i].have())
			overlay(ladder[i].table);
	}
}
