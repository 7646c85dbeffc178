import type { Failure } from '../domain/errors.ts';
import { compareTokens, formatToken, sameToken, type Token } from '../domain/token.ts';
import { grantLease, renewLease, type Lease } from './lease.ts';
import type { MemberMachineState, MemberPhase, MemberStep } from './member-state.ts';
import { answer, call, inWords, keyOf, refuse, stay } from './member-step.ts';

/**
 * An attempt that is given up before its freeze: its arm failed here or elsewhere, or was late. Nothing was held, so
 * nothing is lost: the member is as it was before the arm, keeps what it prepared, and may be armed again under a
 * newer token. An arm that is still under way is waited for, no longer than its lease, and then taken back.
 */
export function disarmReceived(state: MemberMachineState, token: Token, now: number): MemberStep {
  const { phase } = state;
  if ('token' in phase && sameToken(phase.token, token)) {
    switch (phase.name) {
      case 'arming':
        return stay({ ...state, phase: { ...phase, asked: true, lease: renewLease(phase.lease, now) } });
      case 'armed':
        return becomeDisarming(state, token, null, renewLease(phase.lease, now));
      // It is opening by itself already: what ends that ends this.
      case 'releasing':
        return stay({ ...state, phase: { ...phase, name: 'disarming', failure: null } });
      case 'released':
        return becomeDisarmed(state, { token, failure: null });
      case 'disarming':
        return stay(state);
      default:
        break;
    }
  }
  if (!mayBeArmed(phase) || !isNewer(state, token)) {
    return refuse(state, 'stale-token', `disarm of ${formatToken(token)} while ${inWords(phase)}`);
  }
  // Its arm has not come yet, and is refused when it does.
  return becomeDisarmed({ ...state, highest: token, wasArmed: true }, { token, failure: null });
}

export function becomeDisarming(
  state: MemberMachineState,
  token: Token,
  failure: Failure | null,
  lease: Lease,
): MemberStep {
  return call(state, { type: 'disarm', token }, (number) => ({
    name: 'disarming',
    call: number,
    token,
    failure,
    lease,
  }));
}

/** The arm failed: nothing was held, so it is taken back, and said when that is done. */
export function armFailed(
  state: MemberMachineState,
  { token, lease }: Extract<MemberPhase, { name: 'arming' }>,
  failure: Failure,
  now: number,
): MemberStep {
  return becomeDisarming(state, token, failure, grantLease(lease.leaseMs, now));
}

/** A repeated disarm gets this again, and so does an arm that was never answered otherwise. */
export function becomeDisarmed(
  state: MemberMachineState,
  { token, failure }: { readonly token: Token; readonly failure: Failure | null },
): MemberStep {
  const told = { type: 'disarmed', token, failure } as const;
  const armKey = keyOf({ type: 'arm', token, leaseMs: 0 });
  const answers = new Map(state.answers).set(keyOf({ type: 'disarm', token }), told);
  if (!answers.has(armKey)) answers.set(armKey, told);
  return answer({ ...state, answers, phase: { name: 'disarmed', token } }, told);
}

/** The phases that a newer token may arm from. */
export function mayBeArmed({ name }: MemberPhase): boolean {
  return ['prepared', 'paused', 'thawed', 'released', 'disarmed'].includes(name);
}

export function isNewer({ highest }: MemberMachineState, token: Token): boolean {
  return highest === null || compareTokens(token, highest) > 0;
}
