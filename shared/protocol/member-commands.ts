import { assertNever } from '../domain/assert-never.ts';
import type { MemberCommand } from '../domain/messages.ts';
import { FOR_CHECKPOINT } from '../domain/purpose.ts';
import { formatToken, sameToken, type Token } from '../domain/token.ts';
import { grantLease, leaseHasEnded, renewLease } from './lease.ts';
import { abortReceived } from './member-abort.ts';
import { disarmReceived, isNewer, mayBeArmed } from './member-disarm.ts';
import { answerAlreadyResumed, becomeReleasing } from './member-lease.ts';
import type { MemberMachineState, MemberPhase, MemberStep } from './member-state.ts';
import { answer, call, inWords, keyOf, refuse, stay } from './member-step.ts';

/**
 * What the coordinator asks for. A command is done in a phase that it fits, an arm under a newer token, all
 * after it under the token that is armed. It may come twice: a phase that is already at it stays, and one that
 * has done it repeats its first answer to the letter. All else is refused, and nothing is done.
 */
export function commandReceived(state: MemberMachineState, command: MemberCommand, now: number): MemberStep {
  const { phase } = state;
  if (command.type === 'renew') return stay(state);
  if (command.type === 'abort') return abortReceived(state);
  if (phase.name === 'aborting' || phase.name === 'aborted' || phase.name === 'closed') {
    return afterTheEnd(state, command);
  }
  const first = state.answers.get(keyOf(command));
  if (first !== undefined) return answer(state, first);
  if (state.isHeldByLead && command.type !== 'prepare' && command.type !== 'collect')
    return refuse(state, 'out-of-order', `${command.type} of a member that the lead of its domain holds`);
  switch (command.type) {
    case 'prepare':
      if (phase.name === 'preparing') return stay(state);
      if (phase.name !== 'idle') return refuse(state, 'out-of-order', `prepare while ${phase.name}`);
      return becomePreparing(state, command);
    case 'pause':
      return pauseReceived(state, command.token);
    case 'disarm':
      return disarmReceived(state, command.token, now);
    case 'arm':
      return armReceived(state, command.token, command.leaseMs, now);
    case 'freeze':
      return freezeReceived(state, command.token, command.leaseMs, now);
    case 'thaw':
      return thawReceived(state, command.token, now);
    case 'collect':
      return collectReceived(state, command.token);
    default:
      return assertNever(command);
  }
}

/** What failed while nobody listened is told to who asks for it anew; what was done before that end is not. */
function afterTheEnd(state: MemberMachineState, command: MemberCommand): MemberStep {
  const first = state.answers.get(keyOf(command));
  if (first?.type === 'failed') return answer(state, first);
  return refuse(state, 'operation-over', `${command.type} after the abort`);
}

function becomePreparing(
  state: MemberMachineState,
  {
    checkpoint,
    assignment,
    maintenance,
    purpose = FOR_CHECKPOINT,
  }: Extract<MemberCommand, { type: 'prepare' }>,
): MemberStep {
  return call(
    { ...state, maintenance, purpose, isHeldByLead: assignment.hold === 'none' },
    { type: 'prepare', checkpoint, assignment, maintenance, purpose },
    (number) => ({ name: 'preparing', call: number }),
  );
}

function pauseReceived(state: MemberMachineState, token: Token): MemberStep {
  const { phase } = state;
  if (phase.name === 'pausing' && sameToken(phase.token, token)) return stay(state);
  if (!isNewer(state, token) || !mayBeArmed(phase)) {
    return refuse(state, 'out-of-order', `pause for ${formatToken(token)} while ${inWords(phase)}`);
  }
  return call(state, { type: 'pause', token }, (number) => ({ name: 'pausing', call: number, token }));
}

function armReceived(state: MemberMachineState, token: Token, leaseMs: number, now: number): MemberStep {
  const { phase, highest } = state;
  if (phase.name === 'arming' && sameToken(phase.token, token)) return stay(state);
  if (highest !== null && !isNewer(state, token)) {
    return refuse(
      state,
      'stale-token',
      `token ${formatToken(token)} is not newer than ${formatToken(highest)}`,
    );
  }
  if (!mayBeArmed(phase)) {
    return refuse(state, 'out-of-order', `arm while ${phase.name}`);
  }
  return becomeArming(state, token, leaseMs, now);
}

/**
 * The token is on disk before the engine changes anything: that order is the effects' order. What a guard has ended of a
 * fence begins anew with the arm; a write daemon was suspended once, and is not suspended again.
 */
function becomeArming(state: MemberMachineState, token: Token, leaseMs: number, now: number): MemberStep {
  return call(
    {
      ...state,
      highest: token,
      wasArmed: true,
      leaseMs,
      guardThawed: state.guardThawed && state.purpose.type === 'freeze',
    },
    { type: 'arm', token },
    (number) => ({ name: 'arming', call: number, token, lease: grantLease(leaseMs, now), asked: false }),
    [{ type: 'record', token }],
  );
}

function freezeReceived(state: MemberMachineState, token: Token, leaseMs: number, now: number): MemberStep {
  const { phase } = state;
  if (phase.name === 'freezing' && sameToken(phase.token, token)) return stay(state);
  if (phase.name !== 'armed' || !sameToken(phase.token, token)) {
    return refuse(state, 'stale-token', `freeze of ${formatToken(token)} while ${inWords(phase)}`);
  }
  const { incarnation } = phase;
  return call({ ...state, isFrozen: true }, { type: 'freeze', token }, (number) => ({
    name: 'freezing',
    call: number,
    token,
    incarnation,
    lease: grantLease(leaseMs, now),
  }));
}

function thawReceived(state: MemberMachineState, token: Token, now: number): MemberStep {
  const { phase } = state;
  if ('token' in phase && sameToken(phase.token, token)) {
    // A lease that has run out, noticed or not: the member lets go, and does not say that it held.
    if (phase.name === 'frozen' && leaseHasEnded(phase.lease, now))
      return becomeReleasing(state, phase, now, true);
    if (phase.name === 'frozen' || phase.name === 'armed') return becomeThawing(state, phase, now);
    if (phase.name === 'thawing') return stay(state);
    if (phase.name === 'releasing') return stay({ ...state, phase: { ...phase, asked: true } });
    if (phase.name === 'released') return answerAlreadyResumed(state, phase);
  }
  return refuse(state, 'stale-token', `thaw of ${formatToken(token)} while ${inWords(phase)}`);
}

function becomeThawing(
  state: MemberMachineState,
  phase: Extract<MemberPhase, { name: 'frozen' | 'armed' }>,
  now: number,
): MemberStep {
  const { token, lease } = phase;
  return call(state, { type: 'thaw', token }, (number) => ({
    name: 'thawing',
    call: number,
    token,
    lease: renewLease(lease, now),
  }));
}

function collectReceived(state: MemberMachineState, token: Token): MemberStep {
  const { phase } = state;
  if (phase.name === 'collecting' && sameToken(phase.token, token)) return stay(state);
  // What its lead held was never armed here: its token is newer than any that was seen on this host.
  if (state.isHeldByLead && phase.name === 'prepared' && isNewer(state, token))
    return becomeCollecting(state, token);
  if (phase.name !== 'thawed' || !phase.held || !sameToken(phase.token, token)) {
    return refuse(state, 'out-of-order', `collect of ${formatToken(token)} while ${inWords(phase)}`);
  }
  return becomeCollecting(state, token);
}

function becomeCollecting(state: MemberMachineState, token: Token): MemberStep {
  return call(state, { type: 'collect', token }, (number) => ({ name: 'collecting', call: number, token }));
}
