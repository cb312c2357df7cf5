/*
 * am_build.h
 *	  The build shell: reads the table, in parallel where it can, and hands
 *	  each row to the method.
 *
 * A build works in an area of memory that all its participants share: dynamic
 * shared memory if there are workers, private memory if not.
 */
#ifndef ANN_BUILD_H
#define ANN_BUILD_H

#include "access/genam.h"
#include "nodes/execnodes.h"
#include "storage/dsm.h"
#include "utils/relcache.h"

struct AnnBuildShared;

typedef struct AnnBuild
{
	/* For the method to read. */
	Relation	heap;
	Relation	index;
	IndexInfo  *info;
	/* The shared area: of so many bytes, aligned, at different addresses. */
	void	   *area;
	Size		area_size;
	/* Of the area; NULL without workers. */
	dsm_segment *segment;
	/* Those wanted, until workers have been started; those there were, after. */
	int			participants;
	/* Which of them this is, for write. */
	int			number;
	/* Rows added by all of them, once they are done. */
	double		total;
	/* The participant's own, made by begin. */
	void	   *state;

	/* The shell's own. */
	const struct AnnBuildMethods *methods;
	MemoryContext row_context;
	double		added;			/* rows this participant added */
	struct AnnBuildShared *shared;	/* NULL without workers */
} AnnBuild;

/* What a method brings to a build.  All callbacks but write are required. */
typedef struct AnnBuildMethods
{
	/* Prepares the area.  Called once, before any other. */
	void		(*init) (AnnBuild *build);

	/* A participant begins: makes build->state. */
	void		(*begin) (AnnBuild *build);

	/*
	 * Adds a row, in a memory context that is reset after it; false if the
	 * value has no place in the index.  Called by all participants at once.
	 */
	bool		(*add) (AnnBuild *build, Datum value, const ItemPointerData *tid);

	/* A participant has seen all its rows. */
	void		(*end) (AnnBuild *build);

	/* Called once, in the leader, when all rows are in. */
	void		(*finish) (AnnBuild *build);

	/* Writes a participant's share, all at once; NULL if finish leaves nothing. */
	void		(*write) (AnnBuild *build);
} AnnBuildMethods;

/*
 * Reads the table and adds its rows, which is a phase of the build.  tuples is the number of rows expected
 * (see AnnCountRows) and size the memory wanted for them; the area
 * has that much, or maintenance_work_mem, whichever is less; without workers
 * the latter.  When this returns, workers and the area are gone.
 */
extern IndexBuildResult *AnnBuildRun(AnnBuild *build, int phase, double tuples, Size size);

/* How many workers would help to build an index of a table. */
extern int	AnnBuildWorkers(Relation heap, Relation index);

/*
 * Progress, as pg_stat_progress_create_index shows it: begins a phase of so many
 * steps, rows as a rule; and tells how many are done.  Phases are numbered by the
 * method, from ANN_PHASE_METHOD on.
 */
#define ANN_PHASE_METHOD 2
#define ANN_PHASE_LOG 100

extern void AnnBuildPhase(int phase, double steps);
extern void AnnBuildProgress(double done);

/* The name of a phase that is not the method's; or NULL. */
extern char *AnnBuildPhaseName(int64 phase);

#endif							/* ANN_BUILD_H */
