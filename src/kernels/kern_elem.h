/*
 * kern_elem.h
 *	  Template: the kernels on vectors of one type of element.
 *
 * Included by kern_level.h, which defines
 *
 *	  ELEM_TYPE			float or AnnHalf
 *	  ELEM_NAME(name)	name with the suffix of the type
 *
 * both of which are undefined again at the end.
 */

/*
 * out[k] = sum of the terms of a[k] and b[k], for k < npairs, which is at
 * most Max(3, KERN_GROUP).  Side by side, the pairs share what they load.
 */
__attribute__((always_inline)) KERN_TARGET static inline void
ELEM_NAME(sums) (KernOp op, int dim, const ELEM_TYPE *const *a,
				 const ELEM_TYPE *const *b, int npairs, float *out)
{
	Vec			acc[Max(3, KERN_GROUP)][KERN_ACCUMULATORS];
	int			i = 0;
	int			k;
	int			u;

	KERN_UNROLLED
	for (k = 0; k < npairs; k++)
		KERN_UNROLLED
		for (u = 0; u < KERN_ACCUMULATORS; u++)
			acc[k][u] = vec_zero();

	for (; i + KERN_ACCUMULATORS * KERN_LANES <= dim; i += KERN_ACCUMULATORS * KERN_LANES)
		KERN_UNROLLED
		for (u = 0; u < KERN_ACCUMULATORS; u++)
			KERN_UNROLLED
			for (k = 0; k < npairs; k++)
				acc[k][u] = add_terms(op, acc[k][u],
									  ELEM_NAME(load) (a[k] + i + u * KERN_LANES),
									  ELEM_NAME(load) (b[k] + i + u * KERN_LANES));

	for (; i + KERN_LANES <= dim; i += KERN_LANES)
		KERN_UNROLLED
		for (k = 0; k < npairs; k++)
			acc[k][0] = add_terms(op, acc[k][0],
								  ELEM_NAME(load) (a[k] + i),
								  ELEM_NAME(load) (b[k] + i));

	if (i < dim)
		KERN_UNROLLED
		for (k = 0; k < npairs; k++)
			acc[k][1] = add_terms(op, acc[k][1],
								  ELEM_NAME(load_some) (a[k] + i, dim - i),
								  ELEM_NAME(load_some) (b[k] + i, dim - i));

	KERN_UNROLLED
	for (k = 0; k < npairs; k++)
		out[k] = vec_sum(vec_add(vec_add(acc[k][0], acc[k][1]),
								 vec_add(acc[k][2], acc[k][3])));
}

/* out[i] = sum of the terms of query and x[i], for i < n. */
__attribute__((always_inline)) KERN_TARGET static inline void
ELEM_NAME(sums_batch) (KernOp op, int dim, const ELEM_TYPE *query,
					   const ELEM_TYPE *const *x, int n, float *out)
{
	const ELEM_TYPE *queries[KERN_GROUP];
	int			i;
	int			k;

	KERN_UNROLLED
	for (k = 0; k < KERN_GROUP; k++)
		queries[k] = query;

	for (i = 0; i + KERN_GROUP <= n; i += KERN_GROUP)
	{
		for (k = i + KERN_GROUP; k < Min(n, i + 2 * KERN_GROUP); k++)
			prefetch(x[k], dim * sizeof(ELEM_TYPE));
		ELEM_NAME(sums) (op, dim, queries, x + i, KERN_GROUP, out + i);
	}
	for (; i < n; i++)
		ELEM_NAME(sums) (op, dim, queries, x + i, 1, out + i);
}

KERN_TARGET static float
ELEM_NAME(l2sq) (int dim, const ELEM_TYPE *a, const ELEM_TYPE *b)
{
	float		sum;

	ELEM_NAME(sums) (KERN_L2SQ, dim, &a, &b, 1, &sum);
	return sum;
}

KERN_TARGET static float
ELEM_NAME(ip) (int dim, const ELEM_TYPE *a, const ELEM_TYPE *b)
{
	float		sum;

	ELEM_NAME(sums) (KERN_IP, dim, &a, &b, 1, &sum);
	return sum;
}

KERN_TARGET static float
ELEM_NAME(l1) (int dim, const ELEM_TYPE *a, const ELEM_TYPE *b)
{
	float		sum;

	ELEM_NAME(sums) (KERN_L1, dim, &a, &b, 1, &sum);
	return sum;
}

KERN_TARGET static void
ELEM_NAME(cosine) (int dim, const ELEM_TYPE *a, const ELEM_TYPE *b, float out[3])
{
	const ELEM_TYPE *left[] = {a, a, b};
	const ELEM_TYPE *right[] = {b, a, b};

	ELEM_NAME(sums) (KERN_IP, dim, left, right, 3, out);
}

KERN_TARGET static void
ELEM_NAME(l2sq_batch) (int dim, const ELEM_TYPE *query,
					   const ELEM_TYPE *const *x, int n, float *out)
{
	ELEM_NAME(sums_batch) (KERN_L2SQ, dim, query, x, n, out);
}

KERN_TARGET static void
ELEM_NAME(ip_batch) (int dim, const ELEM_TYPE *query,
					 const ELEM_TYPE *const *x, int n, float *out)
{
	ELEM_NAME(sums_batch) (KERN_IP, dim, query, x, n, out);
}

#undef ELEM_TYPE
#undef ELEM_NAME
