import { operationEnded } from './member-abort.ts';
import type { MemberMachineState, MemberStep } from './member-state.ts';
import { stay } from './member-step.ts';

/**
 * A stream that is lost before the first arm costs nothing: nobody is held, and what takes hours is kept. The same
 * operation may come back on a new stream until the coordinator has been silent for too long, or until another
 * operation takes the grid. From the first arm on the stream is what holds the operation: when it closes, the member
 * aborts at once. So it does where clients' writes are refused from the beginning.
 */
export function streamClosed(state: MemberMachineState): MemberStep {
  return isKept(state) ? stay({ ...state, streamLost: true }) : operationEnded(state);
}

/** The coordinator asks `prepare` again: what is done is answered as done, what has failed meanwhile as failed. */
export function streamResumed(state: MemberMachineState, now: number): MemberStep {
  return stay({ ...state, streamLost: false, heardAt: now });
}

/** Whether a new stream of the same operation finds its work here. */
export function mayBeResumed(state: MemberMachineState): boolean {
  const { name } = state.phase;
  return isKept(state) || (state.streamLost && (name === 'aborting' || name === 'aborted'));
}

function isKept({ phase: { name }, wasArmed, maintenance }: MemberMachineState): boolean {
  if (wasArmed || maintenance) return false;
  return name === 'preparing' || name === 'prepared' || name === 'pausing' || name === 'paused';
}
