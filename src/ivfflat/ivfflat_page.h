/*
 * ivfflat_page.h
 *	  The pages of an ivfflat index.  README.md section 2 has the tables.
 */
#ifndef IVFFLAT_PAGE_H
#define IVFFLAT_PAGE_H

#include "storage/itemptr.h"

#include "am/am_page.h"

#define IVF_MAGIC 0x49564646
#define IVF_VERSION 1

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
	bool		stored;			/* rows know where the store has their values */
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
	uint16		count;
	uint16		flags;
	uint16		unused;
	char		rows[FLEXIBLE_ARRAY_MEMBER];
} IvfSegmentData;

typedef IvfSegmentData *IvfSegment;

StaticAssertDecl(offsetof(IvfSegmentData, rows) == 16, "ivfflat segment is on disk");

typedef struct IvfRowData
{
	ItemPointerData tid;
	uint16		error;			/* of the code; upper half of a float */
	char		data[FLEXIBLE_ARRAY_MEMBER];	/* a whole value; or an IvfCode, and
												 * perhaps the place of the value */
} IvfRowData;

typedef IvfRowData *IvfRow;

StaticAssertDecl(offsetof(IvfRowData, data) == 8, "ivfflat row is on disk");

/* The code of a residual; see AnnRabitqFactors. */
typedef struct IvfCodeData
{
	float		add;
	float		scale;
	uint8		levels[FLEXIBLE_ARRAY_MEMBER];
} IvfCodeData;

typedef IvfCodeData *IvfCode;

StaticAssertDecl(offsetof(IvfCodeData, levels) == 8, "ivfflat row is on disk");

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

/* The error of a row, rounded up to the half of a float, and back. */
static inline uint16
IvfPackError(float error)
{
	uint32		bits;

	memcpy(&bits, &error, sizeof(bits));
	return (bits >> 16) + ((bits & 0xFFFF) != 0);
}

static inline float
IvfUnpackError(uint16 packed)
{
	uint32		bits = (uint32) packed << 16;
	float		error;

	memcpy(&error, &bits, sizeof(error));
	return error;
}

#endif							/* IVFFLAT_PAGE_H */
