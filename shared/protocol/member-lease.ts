import type { Token } from '../domain/token.ts';
import { leaseHasEnded, renewLease } from './lease.ts';
import type { MemberMachineState, MemberPhase, MemberStep } from './member-state.ts';
import { answerFirst, call, keyOf, stay } from './member-step.ts';

/**
 * Any word renews the lease of what is armed or frozen: the coordinator lives and knows what it asked. A quiesce waits for
 * what its member writes, for as long as it was told to: there the word counts while it is being frozen too.
 */
export function messageReceived(state: MemberMachineState, now: number): MemberMachineState {
  const { phase } = state;
  if (phase.name !== 'armed' && phase.name !== 'frozen' && phase.name !== 'freezing')
    return { ...state, heardAt: now };
  if (phase.name === 'freezing' && state.purpose.type !== 'quiesce') return { ...state, heardAt: now };
  // A lease that has run out is not renewed, even if nobody has noticed yet.
  if (leaseHasEnded(phase.lease, now)) return { ...state, heardAt: now };
  return { ...state, heardAt: now, phase: { ...phase, lease: renewLease(phase.lease, now) } };
}

/** A word that renews the lease of a quiesce renews what its engine has promised to end by itself. */
export function wordReceived(state: MemberMachineState, now: number): MemberStep {
  const next = messageReceived(state, now);
  const isRenewed = next.phase !== state.phase && state.purpose.type === 'quiesce';
  return { state: next, effects: isRenewed && state.isFrozen ? [{ type: 'renew' }] : [] };
}

/**
 * The lease ran out: the member lets go without being asked, and keeps what it prepared, for a newer token may
 * arm it again. Whatever the engine says of this thaw, the coordinator is told that the member had resumed:
 * with its lease it lost the right to say that it held.
 */
export function becomeReleasing(
  state: MemberMachineState,
  phase: Extract<MemberPhase, { name: 'frozen' | 'armed' }>,
  now: number,
  asked: boolean,
): MemberStep {
  const { token, incarnation, lease } = phase;
  const cause = `its lease of ${lease.leaseMs} ms ran out`;
  return call(state, { type: 'thaw', token }, (number) => ({
    name: 'releasing',
    call: number,
    token,
    incarnation,
    cause,
    asked,
    lease: renewLease(lease, now),
  }));
}

export function becomeReleased(
  state: MemberMachineState,
  phase: Extract<MemberPhase, { name: 'releasing' }>,
): MemberStep {
  const { token, incarnation, cause, asked } = phase;
  const next = { ...state, phase: { name: 'released', token, incarnation, cause } as const };
  return asked ? answerAlreadyResumed(next, next.phase) : stay(next);
}

export function answerAlreadyResumed(
  state: MemberMachineState,
  phase: { token: Token; incarnation: string; cause: string },
): MemberStep {
  const { token, incarnation, cause } = phase;
  const proof = { type: 'alreadyResumed', incarnation, cause } as const;
  return answerFirst(state, keyOf({ type: 'thaw', token }), { type: 'thawed', token, proof });
}
