/*
 * am_point.h
 *	  Points at which a test stops a session: one after each step of the tables
 *	  of WAL in the READMEs, where it lets others in or kills the server.
 *
 * They exist only with "make ANN_DEBUG_POINTS=1".
 */
#ifndef ANN_POINT_H
#define ANN_POINT_H

#ifdef ANN_DEBUG_POINTS

/* Defines the settings ann.point and ann.point_passes. */
extern void AnnPointInit(void);

/*
 * If it is the point of that name that ann.point asks for, and was passed
 * ann.point_passes times, waits until the advisory lock ANN_POINT_LOCK is free.
 */
extern void AnnPoint(const char *name);

#else

static inline void
AnnPointInit(void)
{
}

static inline void
AnnPoint(const char *name)
{
}

#endif

#endif							/* ANN_POINT_H */
