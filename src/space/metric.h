/*
 * metric.h
 *	  What "distance" means for one operator class: a metric on one element
 *	  type.
 *
 * An access method sees opaque code bytes; an AnnMetric knows what is in them.
 * At full precision a code is
 *
 *	  vector, halfvec	the elements; for cosine, behind them a float, their
 *						squared norm
 *	  sparsevec			the SparseVector itself
 *	  bit				the bytes of the bit string
 *
 * Codes are aligned to four bytes.  Distances order rows exactly as the
 * operator of the class does; for L2 they are squares.
 */
#ifndef ANN_METRIC_H
#define ANN_METRIC_H

/* The largest full-precision code a page can take beside its header. */
#define ANN_MAX_CODE_SIZE 8064

/* The most codes compared in one call. */
#define ANN_BATCH 64

/*
 * How a distance follows from that of two points in Euclidean space, |q - x|^2.
 */
typedef enum AnnForm
{
	ANN_FORM_NONE,				/* it does not */
	ANN_FORM_L2,				/* |q - x|^2 */
	ANN_FORM_IP,				/* -q.x = (|q - x|^2 - |q|^2 - |x|^2) / 2 */
	ANN_FORM_COSINE				/* |q - x|^2 / 2, of vectors of length 1 */
} AnnForm;

typedef struct AnnMetric
{
	AnnForm		form;

	/* Are quantized codes smaller than values?  Only if there is a form. */
	bool		quantizes;

	/*
	 * The most dimensions, and for sparsevec the most non-zero elements, of a
	 * full-precision code.
	 */
	int			max_dim;

	/* Size of a code of so many dimensions; 0 if it differs between values. */
	Size		(*code_size) (int dim);

	/* Dimensions of a value, and the error to raise where they do not fit. */
	int			(*dimensions) (Datum value);
	void		(*mismatch) (int dim, int other);

	/*
	 * The code of a detoasted value, palloc'd, and its size; NULL if the value
	 * has no place in an index of this metric (a zero vector has no cosine).
	 * One that is to be stored must fit a page.
	 */
	void	   *(*encode) (Datum value, bool stored, Size *size);

	/*
	 * The elements of a code as floats, dim of them; for cosine, of length 1.
	 * NULL where there is no Euclidean form.
	 */
	void		(*floats) (int dim, const void *code, float *out);

	/* Is this, as found on disk, a code of so many dimensions? */
	bool		(*valid) (int dim, const void *code, Size size);

	/*
	 * Distance between two codes, and between one and up to ANN_BATCH of
	 * them; NULL where there is nothing to gain from a batch.
	 */
	double		(*distance) (int dim, const void *a, const void *b);
	void		(*distances) (int dim, const void *a, const void *const *b, int n, double *out);
} AnnMetric;

extern const AnnMetric ann_metric_vector_l2;
extern const AnnMetric ann_metric_vector_ip;
extern const AnnMetric ann_metric_vector_cosine;
extern const AnnMetric ann_metric_vector_l1;
extern const AnnMetric ann_metric_halfvec_l2;
extern const AnnMetric ann_metric_halfvec_ip;
extern const AnnMetric ann_metric_halfvec_cosine;
extern const AnnMetric ann_metric_halfvec_l1;
extern const AnnMetric ann_metric_sparsevec_l2;
extern const AnnMetric ann_metric_sparsevec_ip;
extern const AnnMetric ann_metric_sparsevec_cosine;
extern const AnnMetric ann_metric_sparsevec_l1;
extern const AnnMetric ann_metric_bit_hamming;
extern const AnnMetric ann_metric_bit_jaccard;

#endif							/* ANN_METRIC_H */
