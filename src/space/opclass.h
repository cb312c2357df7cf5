/*
 * opclass.h
 *	  How an operator class names its metric.
 *
 * Every operator class, of whatever access method, has one support function:
 * number 1, a function (internal) returns internal that gives a pointer to its
 * AnnMetric.
 */
#ifndef ANN_OPCLASS_H
#define ANN_OPCLASS_H

#include "utils/relcache.h"

#include "space/metric.h"

#define ANN_METRIC_PROC 1
#define ANN_PROC_COUNT 1

/* The metric of the first column of an index. */
extern const AnnMetric *AnnOpclassMetric(Relation index);

#endif							/* ANN_OPCLASS_H */
