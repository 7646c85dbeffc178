import type { Failure, MemberState } from '../domain/errors.ts';
import type { MemberAnswer } from '../domain/messages.ts';
import type { Token } from '../domain/token.ts';
import type {
  CoordinatorEffect,
  CoordinatorPhase,
  CoordinatorState,
  CoordinatorStep,
} from './coordinator-state.ts';
import { names, stay, missing, withEntry } from './coordinator-step.ts';

/**
 * Abort everywhere. One failure ends the checkpoint on every member, and the coordinator does not call it
 * over until each has said that it runs: a lost abort is sent again, a lost agent is connected anew. Thawing
 * is safe under any outcome, so repeating it can do no harm. Only a member that was never asked to arm needs
 * no confirmation: it cannot be frozen. Of a freeze it is one that was never asked to prepare: its write daemon waits from
 * then on. When all have proven that they let go, one that cannot be reached is waited for too, since it may have
 * something to take away; but it is not called maybe frozen.
 */
type Aborting = Extract<CoordinatorPhase, { name: 'aborting' }>;

export function becomeAborting(
  state: CoordinatorState,
  failure: Failure,
  kind: Aborting['kind'],
  token: Token | null,
  now: number,
): CoordinatorStep {
  const { deadlines } = state.config;
  const phase: Aborting = {
    name: 'aborting',
    kind,
    failure,
    token,
    mayHold: state.holdSent && !haveAllLetGo(state),
    confirmed: new Map(),
    retryAt: now + deadlines.abortRetryMs,
    giveUpAt: now + deadlines.abortGiveUpMs,
  };
  const next = { ...state, phase };
  const reconnects: CoordinatorEffect[] = state.holdSent
    ? [...state.lost].map((member) => ({ type: 'reconnect', member }))
    : [];
  return finishWhenConfirmed(next, phase, [...aborts(next, phase), ...reconnects]);
}

export function abortAnswered(
  state: CoordinatorState,
  phase: Aborting,
  member: string,
  answer: MemberAnswer,
): CoordinatorStep {
  if (answer.type !== 'aborted') return stay(state);
  const next = { ...phase, confirmed: withEntry(phase.confirmed, member, answer.state) };
  return finishWhenConfirmed({ ...state, phase: next }, next, []);
}

export function memberWentAway(state: CoordinatorState, phase: Aborting, member: string): CoordinatorStep {
  if (phase.confirmed.has(member) || !state.holdSent) return finishWhenConfirmed(state, phase, []);
  return { state, effects: [{ type: 'reconnect', member }] };
}

export function memberCameBack(state: CoordinatorState, member: string): CoordinatorStep {
  const lost = new Set(state.lost);
  lost.delete(member);
  const away = new Map(state.away);
  away.delete(member);
  const next = { ...state, lost, away };
  if (state.phase.name !== 'aborting') return stay(next);
  return {
    state: next,
    effects: [{ type: 'send', member, command: { type: 'abort', token: state.phase.token } }],
  };
}

export function abortTimePassed(state: CoordinatorState, phase: Aborting, now: number): CoordinatorStep {
  if (now >= phase.giveUpAt) return giveUp(state, phase);
  if (now < phase.retryAt) return stay(state);
  const next = { ...phase, retryAt: now + state.config.deadlines.abortRetryMs };
  return { state: { ...state, phase: next }, effects: aborts(state, next) };
}

/** Told to stop trying, or the time for it is over: say which members may still be frozen. */
export function giveUp(state: CoordinatorState, phase: Aborting): CoordinatorStep {
  const unknown = phase.mayHold ? unconfirmed(state, phase) : [];
  if (unknown.length === 0) return confirmed(state, phase, []);
  const failure: Failure = {
    ...phase.failure,
    message: `${phase.failure.message}; the thaw of ${unknown.join(', ')} is not confirmed`,
    hint: `each thaws by itself when its lease ends, at the latest when its agent starts: make sure with stillpoint grid status; ${phase.failure.hint}`,
    members: memberStates(state, phase),
  };
  return over(state, [{ type: 'finish', outcome: { kind: 'maybeFrozen', failure } }]);
}

function finishWhenConfirmed(
  state: CoordinatorState,
  phase: Aborting,
  effects: readonly CoordinatorEffect[],
): CoordinatorStep {
  if (unconfirmed(state, phase).length > 0) return { state, effects };
  return confirmed(state, phase, effects);
}

function confirmed(
  state: CoordinatorState,
  phase: Aborting,
  effects: readonly CoordinatorEffect[],
): CoordinatorStep {
  const failure: Failure = { ...phase.failure, members: memberStates(state, phase) };
  return over(state, [...effects, { type: 'finish', outcome: { kind: phase.kind, failure } }]);
}

/**
 * Each has said so with its proof, after its undo; and nobody is armed again. Of a freeze the write daemons wait until each
 * has collected.
 */
function haveAllLetGo({ phase: { name }, config }: CoordinatorState): boolean {
  return name === 'committing' || (name === 'collecting' && config.purpose?.type !== 'freeze');
}

function over(state: CoordinatorState, effects: readonly CoordinatorEffect[]): CoordinatorStep {
  return { state: { ...state, phase: { name: 'over' } }, effects };
}

/** Whose word is still needed: everyone's who can be asked, and everyone's who could be frozen. */
function unconfirmed(state: CoordinatorState, phase: Aborting): string[] {
  const asked = missing(names(state), phase.confirmed);
  return state.holdSent ? asked : asked.filter((name) => !state.lost.has(name));
}

function aborts(state: CoordinatorState, phase: Aborting): CoordinatorEffect[] {
  return unconfirmed(state, phase)
    .filter((member) => !state.lost.has(member))
    .map((member) => ({ type: 'send', member, command: { type: 'abort', token: phase.token } }));
}

function memberStates(state: CoordinatorState, phase: Aborting): { name: string; state: MemberState }[] {
  return state.config.members.map(({ name }) => ({
    name,
    state: phase.confirmed.get(name) ?? (phase.mayHold ? 'unknown' : 'running'),
  }));
}
