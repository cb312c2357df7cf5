/*
 * am_explain.h
 *	  Lines of ours in the output of EXPLAIN (ANALYZE).
 */
#ifndef ANN_EXPLAIN_H
#define ANN_EXPLAIN_H

/* Called from _PG_init.  Does nothing where PostgreSQL has no hook for it. */
extern void AnnExplainInit(void);

#endif							/* ANN_EXPLAIN_H */
