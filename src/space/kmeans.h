/*
 * kmeans.h
 *	  k-means: centres for vectors, so that each is near one.
 *
 * Lloyd's algorithm from random rows, ten rounds of it.  Where many centres are
 * wanted the rows are divided into groups first, about the square root of the
 * number of centres, and then each group; that is as good, and in far less
 * time, for a row is compared with those of its group only.
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

#endif							/* ANN_KMEANS_H */
