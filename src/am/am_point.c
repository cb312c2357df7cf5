/*
 * am_point.c
 *	  Points at which a test stops a session.
 */
#include "postgres.h"

#include "am/am_point.h"

#ifdef ANN_DEBUG_POINTS

#include <limits.h>

#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"

/* The key of the advisory lock; test/t/021_points.pl holds it. */
#define ANN_POINT_LOCK 26158

static char *point;
static int	point_passes;

void
AnnPointInit(void)
{
	DefineCustomStringVariable("ann.point", "Where to stop.", NULL,
							   &point, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("ann.point_passes", "How often to pass the point before.", NULL,
							&point_passes, 0, 0, INT_MAX, PGC_USERSET, 0, NULL, NULL, NULL);
}

void
AnnPoint(const char *name)
{
	Datum		key = Int64GetDatum(ANN_POINT_LOCK);

	if (strcmp(name, point) != 0 || point_passes-- != 0)
		return;
	DirectFunctionCall1(pg_advisory_lock_shared_int8, key);
	DirectFunctionCall1(pg_advisory_unlock_shared_int8, key);
}

#endif
