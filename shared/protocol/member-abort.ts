import type { Failure, MemberState as StateInWords } from '../domain/errors.ts';
import type { MemberEffect, MemberMachineState, MemberPhase, MemberStep } from './member-state.ts';
import { answer, call, stay } from './member-step.ts';

/**
 * The end of an operation on a member, by whatever danger: asked for, the stream closed, the engine failed,
 * silence. All of them call the same abort of the engine, and the coordinator is told when it is done, asked or
 * not: one that waits for this member (to prepare, to collect: without a deadline) must not wait for ever.
 * `closing` may still become true while it is under way.
 */
export function becomeAborting(
  state: MemberMachineState,
  { closing }: { closing: boolean },
  before: readonly MemberEffect[] = [],
): MemberStep {
  return call(state, { type: 'abort' }, (number) => ({ name: 'aborting', call: number, closing }), before);
}

export function abortReceived(state: MemberMachineState): MemberStep {
  const { phase } = state;
  if (phase.name === 'aborted') return answer(state, { type: 'aborted', state: phase.state });
  if (phase.name === 'aborting' || phase.name === 'closed') return stay(state);
  return becomeAborting(state, { closing: false });
}

/** The stream closed, the grid was taken over, the guard died, or the agent ends. */
export function operationEnded(state: MemberMachineState): MemberStep {
  const { phase } = state;
  switch (phase.name) {
    case 'closed':
      return stay(state);
    case 'idle':
    case 'aborted':
      return becomeClosed(state);
    case 'aborting':
      return stay({ ...state, phase: { ...phase, closing: true } });
    default:
      return becomeAborting(state, { closing: true });
  }
}

/**
 * A member that failed may not wait for the coordinator's abort: it may be frozen right now. An abort that was
 * given up with what stood before it (a token that could not be recorded) is begun again, for whom it was.
 */
export function engineFailed(state: MemberMachineState, failure: Failure): MemberStep {
  const { phase } = state;
  const isHeld = phase.name === 'freezing' || phase.name === 'thawing' || phase.name === 'releasing';
  const mayBeFrozen = isHeld || state.purpose.type === 'freeze';
  const closing = phase.name === 'aborting' && phase.closing;
  const told = { type: 'failed', failure, state: mayBeFrozen ? 'frozen' : 'running' } as const;
  // Nobody may listen now: who asks for the preparation on a new stream is told of its end.
  const next = state.wasArmed ? state : { ...state, answers: new Map(state.answers).set('prepare', told) };
  return becomeAborting(next, { closing }, [{ type: 'answer', answer: told }]);
}

export function becomeAborted(
  state: MemberMachineState,
  { closing }: Extract<MemberPhase, { name: 'aborting' }>,
  inTheEnd: StateInWords,
): MemberStep {
  const next: MemberMachineState = { ...state, phase: { name: 'aborted', state: inTheEnd } };
  const told: MemberEffect = { type: 'answer', answer: { type: 'aborted', state: inTheEnd } };
  if (!closing) return { state: next, effects: [told] };
  const closed = becomeClosed(next);
  return { state: closed.state, effects: [told, ...closed.effects] };
}

export function becomeClosed(state: MemberMachineState): MemberStep {
  return { state: { ...state, phase: { name: 'closed' } }, effects: [{ type: 'closed' }] };
}

/**
 * A stream that is lost before the first arm costs nothing: nobody is held, and what takes hours is kept. The same
 * operation may come back on a new stream until the coordinator has been silent for too long, or until another
 * operation takes the grid. From the first arm on the stream is what holds the operation: when it closes, the member
 * aborts at once. So it does where clients' writes are refused, or a write daemon waits, from the beginning.
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

function isKept({ phase: { name }, wasArmed, maintenance, purpose }: MemberMachineState): boolean {
  if (wasArmed || maintenance || purpose.type === 'freeze') return false;
  return name === 'preparing' || name === 'prepared' || name === 'pausing' || name === 'paused';
}
