/*
 * am_gate.h
 *	  A gate, which participants of a build go through to work on what they share,
 *	  and which one of them closes to have it for itself.
 *
 * An LWLock would do the same, but who holds or awaits one cannot be cancelled,
 * and what happens behind a closed gate takes long.  Nothing opens a gate after
 * an error: that ends the build, for all participants.
 */
#ifndef ANN_GATE_H
#define ANN_GATE_H

#include "storage/condition_variable.h"
#include "storage/spin.h"

typedef struct AnnGate
{
	slock_t		mutex;
	bool		closed;			/* guarded by mutex, as is the next */
	int			inside;			/* participants that have entered */
	ConditionVariable changed;	/* that is, opened, or left by the last */
} AnnGate;

extern void AnnGateInit(AnnGate *gate);

/* Enters, when the gate is open. */
extern void AnnGateEnter(AnnGate *gate);
extern void AnnGateLeave(AnnGate *gate);

/* Closes the gate, when it is open, and returns when nobody is inside. */
extern void AnnGateClose(AnnGate *gate);
extern void AnnGateOpen(AnnGate *gate);

#endif							/* ANN_GATE_H */
