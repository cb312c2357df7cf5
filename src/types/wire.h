/*
 * wire.h
 *	  Arrays of numbers in the binary protocol.
 */
#ifndef ANN_WIRE_H
#define ANN_WIRE_H

#include "libpq/pqformat.h"
#include "port/pg_bswap.h"

/*
 * Copy n numbers of width 1, 2 or 4 bytes from host to network byte order, or
 * back.  Neither side needs to be aligned.
 */
static inline void
AnnCopySwapped(void *dst, const void *src, int n, int width)
{
	char	   *to = dst;
	const char *from = src;

	if (width == sizeof(uint32))
	{
		for (int i = 0; i < n; i++)
		{
			uint32		v;

			memcpy(&v, from + i * sizeof(v), sizeof(v));
			v = pg_hton32(v);
			memcpy(to + i * sizeof(v), &v, sizeof(v));
		}
	}
	else if (width == sizeof(uint16))
	{
		for (int i = 0; i < n; i++)
		{
			uint16		v;

			memcpy(&v, from + i * sizeof(v), sizeof(v));
			v = pg_hton16(v);
			memcpy(to + i * sizeof(v), &v, sizeof(v));
		}
	}
	else
		memcpy(to, from, n);
}

/* The next n numbers of a message, which must hold as many. */
static inline void
AnnGetNumbers(StringInfo buf, void *dst, int n, int width)
{
	AnnCopySwapped(dst, pq_getmsgbytes(buf, n * width), n, width);
}

/* Append n numbers to a message. */
static inline void
AnnSendNumbers(StringInfo buf, const void *src, int n, int width)
{
	enlargeStringInfo(buf, n * width);
	AnnCopySwapped(buf->data + buf->len, src, n, width);
	buf->len += n * width;
}

#endif							/* ANN_WIRE_H */
