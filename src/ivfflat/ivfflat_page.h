/*
 * ivfflat_page.h
 *	  The pages of an ivfflat index.  README.md section 2 has the tables.
 */
#ifndef IVFFLAT_PAGE_H
#define IVFFLAT_PAGE_H

#include "storage/itemptr.h"

#include "am/am_page.h"

#define IVF_MAGIC 0x49564646
#define IVF_VERSION 2

/* Page kinds. */
#define IVF_PAGE_CENTRES ANN_PAGE_METHOD
#define IVF_PAGE_LISTS (ANN_PAGE_METHOD + 1)
#define IVF_PAGE_GROUPS (ANN_PAGE_METHOD + 2)

#define IVF_MAX_LISTS 1000000

typedef struct IvfMetaPageData
{
	AnnMetaHeaderData header;
	uint32		dim;
	uint16		bits;			/* of rows; 0: whole values */
	uint8		centre_bits;
	uint8		stored;			/* 1: rows know where the store has their values */
	uint32		rows_per_list;
	BlockNumber first_groups;
	uint32		lists;
	uint32		next_list;
	uint32		changes;
	uint32		taker;			/* other lists may have rows of this and the next one; or 0 */
} IvfMetaPageData;

StaticAssertDecl(sizeof(IvfMetaPageData) == 40, "ivfflat metapage is on disk");

typedef struct IvfCentreData
{
	uint32		list;
	ItemPointerData first;		/* of a group: its page */
	uint16		unused;
	uint32		rows;			/* beyond the first segment's, before any VACUUM */
	uint32		limit;			/* no split before it has so many rows */
	float		norm2;			/* of the centre */
	float		scale;
	uint8		levels[FLEXIBLE_ARRAY_MEMBER];
} IvfCentreData;

typedef IvfCentreData *IvfCentre;

StaticAssertDecl(offsetof(IvfCentreData, levels) == 28, "ivfflat centre is on disk");

#define IVF_CLOSED (1 << 0)

typedef struct IvfSegmentData
{
	uint32		list;
	ItemPointerData next;
	ItemPointerData previous;	/* came later, and is before it in the list; or invalid */
	uint16		count;
	uint16		flags;			/* IVF_CLOSED, and IVF_CAME times the rows that came */
	char		rows[FLEXIBLE_ARRAY_MEMBER];
} IvfSegmentData;

typedef IvfSegmentData *IvfSegment;

StaticAssertDecl(offsetof(IvfSegmentData, rows) == 20, "ivfflat segment is on disk");

/* Rows that have come to a list since its centre was the mean of those it had. */
#define IVF_CAME (1 << 1)
#define IVF_MAX_CAME (PG_UINT16_MAX / IVF_CAME)

static inline int
IvfSegmentCame(const IvfSegmentData *segment)
{
	return segment->flags / IVF_CAME;
}

static inline void
IvfSegmentAddCame(IvfSegment segment, int came)
{
	segment->flags += IVF_CAME * Min(came, IVF_MAX_CAME - IvfSegmentCame(segment));
}

/* The code of a residual: an IvfFactors, packed, and levels. */
typedef struct IvfCodeData
{
	char		scale_and_error[sizeof(uint32)];
	char		add[sizeof(float)];
	uint8		levels[FLEXIBLE_ARRAY_MEMBER];
} IvfCodeData;

typedef IvfCodeData *IvfCode;

StaticAssertDecl(offsetof(IvfCodeData, levels) == 8, "ivfflat row is on disk");

typedef struct IvfRowData
{
	ItemPointerData tid;
	char		data[FLEXIBLE_ARRAY_MEMBER];	/* an IvfCode, and perhaps the place of the
												 * value; or, aligned, a whole value */
} IvfRowData;

typedef IvfRowData *IvfRow;

StaticAssertDecl(offsetof(IvfRowData, data) == 6, "ivfflat row is on disk");

static inline Size
IvfSegmentSize(Size row_size, int capacity)
{
	return offsetof(IvfSegmentData, rows) + row_size * capacity;
}

static inline int
IvfSegmentCapacity(Size row_size, Size size)
{
	return (size - offsetof(IvfSegmentData, rows)) / row_size;
}

static inline IvfCode
IvfRowCode(IvfRow row)
{
	return (IvfCode) row->data;
}

static inline IvfRow
IvfSegmentRow(IvfSegment segment, Size row_size, int i)
{
	return (IvfRow) (segment->rows + row_size * i);
}

/* Removes a row; the last takes its place. */
static inline void
IvfRemoveRow(IvfSegment segment, Size row_size, int i)
{
	segment->count--;
	if (i < segment->count)
		memcpy(IvfSegmentRow(segment, row_size, i),
			   IvfSegmentRow(segment, row_size, segment->count), row_size);
}

/* See AnnRabitqFactors. */
typedef struct IvfFactors
{
	float		add;
	float		scale;
	float		error;			/* as a multiple of scale */
} IvfFactors;

static inline uint32
IvfFloatBits(float x)
{
	uint32		bits;

	memcpy(&bits, &x, sizeof(bits));
	return bits;
}

static inline float
IvfBitsFloat(uint32 bits)
{
	float		x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

/*
 * A scale has no sign, and is rounded to 24 bits.  Errors are hardly ever far from the
 * same multiple of it: a byte has the exponent, from -8 on, and four bits more; 0 is no
 * error.
 */
#define IVF_SCALE_LOST 7
#define IVF_ERROR_LOST 19
#define IVF_ERROR_LEAST ((uint32) (127 - 8) << 23)

static inline uint32
IvfRoundBits(uint32 bits, int lost)
{
	return (bits + (1 << (lost - 1))) >> lost;
}

static inline float
IvfRoundScale(float scale)
{
	return IvfBitsFloat(IvfRoundBits(IvfFloatBits(scale), IVF_SCALE_LOST) << IVF_SCALE_LOST);
}

/* The scale has been rounded. */
static inline void
IvfPackFactors(const IvfFactors *factors, IvfCode code)
{
	uint32		packed = IvfFloatBits(factors->scale) >> IVF_SCALE_LOST << 8;

	if (factors->error > 0)
	{
		uint32		bits = IvfFloatBits(factors->error);
		uint32		error = IvfRoundBits(Max(bits, IVF_ERROR_LEAST) - IVF_ERROR_LEAST, IVF_ERROR_LOST);

		packed |= Max(Min(error, 255), 1);
	}
	memcpy(code->scale_and_error, &packed, sizeof(packed));
	memcpy(code->add, &factors->add, sizeof(float));
}

static inline void
IvfUnpackFactors(const IvfCodeData *code, IvfFactors *factors)
{
	uint32		packed;
	uint32		error;

	memcpy(&packed, code->scale_and_error, sizeof(packed));
	memcpy(&factors->add, code->add, sizeof(float));
	factors->scale = IvfBitsFloat(packed >> 8 << IVF_SCALE_LOST);
	error = packed & 0xFF;
	factors->error = IvfBitsFloat(error > 0 ? IVF_ERROR_LEAST + (error << IVF_ERROR_LOST) : 0);
}

#endif							/* IVFFLAT_PAGE_H */
