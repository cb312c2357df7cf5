/*
 * am_info.h
 *	  What there is to say about an index, by name.
 *
 * A method's info callback reads the index, sets the fields all methods have,
 * and adds what is its own; the SQL function ann_index_info(regclass) returns
 * all of it as rows.
 */
#ifndef ANN_INFO_H
#define ANN_INFO_H

#include "nodes/pg_list.h"
#include "storage/block.h"
#include "utils/relcache.h"

typedef struct AnnInfo
{
	/* For the method to set. */
	int			dim;
	int			bits;			/* per dimension of a row's code; 0: whole values */
	const char *quantizer;		/* of the codes; NULL: rabitq */
	int64		rows;			/* heap TIDs */

	/* The blocks to look at: those there were at the beginning. */
	BlockNumber nblocks;

	/* The method's own. */
	List	   *names;
	List	   *values;
} AnnInfo;

extern void AnnInfoAdd(AnnInfo *info, const char *name, const char *fmt,...) pg_attribute_printf(3, 4);

/* Adds numbers as the text of an array. */
extern void AnnInfoAddArray(AnnInfo *info, const char *name, const int64 *numbers, int n);

#endif							/* ANN_INFO_H */
