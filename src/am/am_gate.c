/*
 * am_gate.c
 *	  The gate that participants of a build go through.
 */
#include "postgres.h"

#include "pgstat.h"

#include "am/am_gate.h"

void
AnnGateInit(AnnGate *gate)
{
	SpinLockInit(&gate->mutex);
	gate->closed = false;
	gate->inside = 0;
	ConditionVariableInit(&gate->changed);
}

/* Goes through an open gate: in, or to close it. */
static bool
pass(AnnGate *gate, bool closing)
{
	bool		open;

	SpinLockAcquire(&gate->mutex);
	open = !gate->closed;
	if (open && closing)
		gate->closed = true;
	else if (open)
		gate->inside++;
	SpinLockRelease(&gate->mutex);
	return open;
}

static bool
is_empty(AnnGate *gate)
{
	bool		empty;

	SpinLockAcquire(&gate->mutex);
	empty = gate->inside == 0;
	SpinLockRelease(&gate->mutex);
	return empty;
}

void
AnnGateEnter(AnnGate *gate)
{
	while (!pass(gate, false))
		ConditionVariableSleep(&gate->changed, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
	ConditionVariableCancelSleep();
}

void
AnnGateLeave(AnnGate *gate)
{
	bool		last;

	SpinLockAcquire(&gate->mutex);
	last = --gate->inside == 0 && gate->closed;
	SpinLockRelease(&gate->mutex);
	if (last)
		ConditionVariableBroadcast(&gate->changed);
}

void
AnnGateClose(AnnGate *gate)
{
	while (!pass(gate, true))
		ConditionVariableSleep(&gate->changed, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
	while (!is_empty(gate))
		ConditionVariableSleep(&gate->changed, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
	ConditionVariableCancelSleep();
}

void
AnnGateOpen(AnnGate *gate)
{
	SpinLockAcquire(&gate->mutex);
	gate->closed = false;
	SpinLockRelease(&gate->mutex);
	ConditionVariableBroadcast(&gate->changed);
}
