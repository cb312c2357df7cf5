/*
 * kmeans.h
 *	  k-means: centres for vectors, so that each is near one.
 *
 * Lloyd's algorithm from random rows, ten rounds of it.  Where many centres are
 * wanted the rows are divided into groups first, about the square root of the
 * number of centres, and then each group; that is as good, and in far less
 * time, for a row is compared with those of its group only.
 *
 * Several processes may work on one problem.  What they find does not depend on
 * how many they are, nor on who does what.
 */
#ifndef ANN_KMEANS_H
#define ANN_KMEANS_H

typedef struct AnnKmeans
{
	int			dim;
	int			nrows;
	const float *rows;			/* nrows of them, one after the other */

	/*
	 * A row belongs to the centre in the direction most like its own, not to
	 * the nearest.
	 */
	bool		spherical;
	uint64		seed;

	/* Called every few rows; need not return. */
	void		(*pause) (void);
} AnnKmeans;

/* Bytes of scratch memory that finding k centres takes. */
extern Size AnnKmeansScratch(const AnnKmeans *problem, int k);

/*
 * Finds k centres, the means of the rows that belong to them, into
 * centres[k * dim].  Returns how many there are: fewer if there are fewer
 * different rows.  scratch is aligned to eight bytes.
 */
extern int	AnnKmeansRun(const AnnKmeans *problem, int k, float *centres, void *scratch);

/*
 * The same in steps, for processes that share rows, centres and scratch:
 *
 *	  AnnKmeansAttach	-- everybody
 *	  AnnKmeansBegin	-- one, when the rows are there
 *	  AnnKmeansAssign	-- anybody, each part
 *	  AnnKmeansSort		-- one
 *	  AnnKmeansFind		-- anybody, each group
 *	  AnnKmeansEnd		-- one; returns how many centres there are
 *
 * No step may begin before those of the line above it are done.
 */
struct AnnKmeansShared;

typedef struct AnnKmeansWork
{
	const AnnKmeans *problem;
	int			k;
	float	   *centres;
	uint64		random;

	/* In shared scratch memory. */
	struct AnnKmeansShared *shared;
	uint32	   *order;			/* rows, by group */
	uint32	   *sorted;			/* another order, while it is made */
	uint32	   *owner;			/* the centre of each row */
	uint32	   *starts;			/* of each group: the first row in the order, */
	uint32	   *found;			/* and centres found */
	float	   *groups;			/* their centres */

	/* In the process's own, of each centre: */
	uint32	   *counts;
	const float **x;
	float	   *offsets;		/* score = offset + factor * dot product */
	float	   *factors;
	float	   *dots;
} AnnKmeansWork;

extern Size AnnKmeansSharedScratch(const AnnKmeans *problem, int k);
extern Size AnnKmeansOwnScratch(int k);

extern void AnnKmeansAttach(AnnKmeansWork *work, const AnnKmeans *problem, int k, float *centres,
							void *shared, void *own);
extern void AnnKmeansBegin(AnnKmeansWork *work);
extern int	AnnKmeansParts(const AnnKmeansWork *work);
extern void AnnKmeansAssign(AnnKmeansWork *work, int part);
extern void AnnKmeansSort(AnnKmeansWork *work);
extern int	AnnKmeansGroups(const AnnKmeansWork *work);
extern void AnnKmeansFind(AnnKmeansWork *work, int group);
extern int	AnnKmeansEnd(AnnKmeansWork *work);

/* How many comparisons of a row with a centre finding k centres takes, at most. */
extern double AnnKmeansComparisons(double nrows, int k);

#endif							/* ANN_KMEANS_H */
