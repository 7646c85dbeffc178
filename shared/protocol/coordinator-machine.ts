import { assertNever } from '../domain/assert-never.ts';
import type { Failure, Phase } from '../domain/errors.ts';
import type { MemberAnswer } from '../domain/messages.ts';
import { sameToken } from '../domain/token.ts';
import {
  abortAnswered,
  abortTimePassed,
  becomeAborting,
  giveUp,
  memberCameBack,
  memberWentAway,
} from './coordinator-abort.ts';
import { becomeDisarming, becomeTryingAgain, disarmAnswered } from './coordinator-arm-again.ts';
import { attemptAnswered, pauseAnswered } from './coordinator-attempt.ts';
import { collectAnswered, commitFailed, committed } from './coordinator-commit.ts';
import { letGo } from './coordinator-hold.ts';
import {
  becomeAway,
  becomePreparing,
  cameBackPrepared,
  prepareAnswered,
  workGone,
} from './coordinator-prepare.ts';
import type {
  Attempt,
  Away,
  CoordinatorConfig,
  CoordinatorEvent,
  CoordinatorPhase,
  CoordinatorState,
  CoordinatorStep,
} from './coordinator-state.ts';
import { names, stay } from './coordinator-step.ts';
import { timeOut } from './coordinator-timeout.ts';

export type * from './coordinator-state.ts';

/**
 * The coordinator of one checkpoint, as a pure function of what happens to it.
 *
 * The problem: hold many servers still at one moment without a common clock, without trusting the network,
 * and without ever leaving one of them held. The intuition: the moment needs no clock, only an overlap. If
 * there is an instant at which every fence is closed and every mark is made behind a closed fence, the marks
 * form a consistent cut, however long each took to close. So the coordinator asks all to fence and mark at
 * once, and lets nobody go before the last has marked.
 *
 * Why simpler answers fail. Marking one server after the other, without fences: a client that reads one
 * effect and causes another in between breaks the cut. Thawing each as soon as it has marked: the same.
 * Waiting for all fences in one round and marking in a second: right, but clients are held for two rounds;
 * one is enough. Trusting that a fence held because nobody complained: a server may have been restarted, a
 * lease may have run out; so the proof is asked for with the thaw, and without it there is no checkpoint.
 *
 * No log: a coordinator that dies leaves members that thaw by themselves and no commit object, which is an
 * abort (presumed abort).
 *
 *   idle → preparing → pausing (observers) → arming → freezing (observers, fenced, instant) → thawing → collecting
 *                         ↑                     │                                              │           ↓
 *                         └─ waiting ← disarming┘ an arm failed            invalid: a new attempt      committing
 *
 *   A quiesce stays in holding between freezing and thawing, a freeze between thawing and collecting, until its job lets go.
 *   and from everywhere before committing: aborting → over
 *
 * Here every event finds its phase. What the phases do: coordinator-prepare (preparing, pausing), coordinator-attempt
 * (arming, freezing, thawing), coordinator-hold (holding), coordinator-arm-again (disarming, waiting), coordinator-commit (collecting,
 * committing), coordinator-abort.
 */
export function initialCoordinator(config: CoordinatorConfig): CoordinatorState {
  return {
    config,
    phase: { name: 'idle' },
    lost: new Set(),
    away: new Map(),
    failedArms: 0,
    firstArmFailure: null,
    holdSent: false,
  };
}

export function stepCoordinator(state: CoordinatorState, event: CoordinatorEvent): CoordinatorStep {
  switch (event.type) {
    case 'started':
      return state.phase.name === 'idle' ? becomePreparing(state, event.now) : stay(state);
    case 'answerReceived':
      return answerReceived(state, event.member, event.answer, event.now);
    case 'memberLost':
      return memberLost(state, event);
    case 'memberReconnected':
      return memberReconnected(state, event);
    case 'letGo':
      return letGo(state, event.now);
    case 'cancelled':
      return cancelled(state, event.failure, event.now);
    case 'committed':
      return committed(state);
    case 'commitFailed':
      return commitFailed(state, event.failure, event.now);
    case 'timePassed':
      return timePassed(state, event.now);
    default:
      return assertNever(event);
  }
}

/** When `timePassed` is wanted next; null when nothing waits for time. */
export function nextDeadline(state: CoordinatorState): number | null {
  const { phase } = state;
  switch (phase.name) {
    case 'preparing':
    case 'pausing':
      return earliest(phase.deadline, [...state.away.values()]);
    case 'arming':
    case 'disarming':
    case 'waiting':
    case 'freezing':
    case 'thawing':
    case 'collecting':
      return phase.deadline;
    case 'aborting':
      return Math.min(phase.retryAt, phase.giveUpAt);
    case 'idle':
    case 'holding':
    case 'committing':
    case 'over':
      return null;
    default:
      return assertNever(phase);
  }
}

function earliest(deadline: number | null, away: readonly Away[]): number | null {
  const moments = [...(deadline === null ? [] : [deadline]), ...away.map(({ until }) => until)];
  return moments.length === 0 ? null : Math.min(...moments);
}

function answerReceived(
  state: CoordinatorState,
  member: string,
  answer: MemberAnswer,
  now: number,
): CoordinatorStep {
  const { phase } = state;
  if (!names(state).includes(member)) return stay(state);
  if (phase.name === 'aborting') return abortAnswered(state, phase, member, answer);
  if (phase.name === 'idle' || phase.name === 'committing' || phase.name === 'over') return stay(state);
  if (answer.type === 'failed' || answer.type === 'refused') {
    return abort(state, { phase: phaseOf(phase), member, ...answer.failure }, now);
  }
  if (answer.type === 'aborted') return memberEnded(state, phase, member, answer, now);
  if (phase.name === 'preparing') return prepareAnswered(state, phase, member, answer, now);
  if (phase.name === 'pausing') return pauseAnswered(state, phase, member, answer, now);
  if (phase.name === 'waiting' || phase.name === 'holding') return stay(state);
  // An answer to an older attempt: what it speaks of is over.
  if (!('token' in answer) || !sameToken(answer.token, phase.attempt.token)) return stay(state);
  if (phase.name === 'collecting') return collectAnswered(state, phase, member, answer, now);
  if (phase.name === 'disarming') return disarmAnswered(state, phase, member, answer, now);
  if (phase.name === 'arming' && answer.type === 'disarmed')
    return becomeDisarming(state, phase.attempt, answer.failure ?? releasedByItsLease(member), member, now);
  return attemptAnswered(state, phase, member, answer, now);
}

/** Nobody asked it to abort: it lost what it had (its guard died, the grid was taken over). It has confirmed. */
function memberEnded(
  state: CoordinatorState,
  phase: CoordinatorPhase,
  member: string,
  answer: Extract<MemberAnswer, { type: 'aborted' }>,
  now: number,
): CoordinatorStep {
  const failure = { ...endedItself(member), phase: phaseOf(phase) };
  const aborting = abort(state, failure, now);
  const confirmed = answerReceived(aborting.state, member, answer, now);
  return { state: confirmed.state, effects: [...aborting.effects, ...confirmed.effects] };
}

function memberLost(
  state: CoordinatorState,
  { member, failure, mayReturn = false, now }: Extract<CoordinatorEvent, { type: 'memberLost' }>,
): CoordinatorStep {
  const gone = { ...state, lost: new Set(state.lost).add(member) };
  const { phase } = gone;
  if (phase.name === 'aborting') return memberWentAway(gone, phase, member);
  if (phase.name === 'committing' || phase.name === 'over') return stay(gone);
  // Nobody's writes, and nobody's write daemon, wait while a stream is waited for.
  const isPatient = mayReturn && !state.holdSent && !state.config.maintenance;
  if (isPatient && (phase.name === 'preparing' || phase.name === 'pausing'))
    return becomeAway(gone, phase, member, failure, now);
  return abort(gone, { phase: phaseOf(phase), member, ...failure }, now);
}

function memberReconnected(
  state: CoordinatorState,
  { member, resumed = false, now }: Extract<CoordinatorEvent, { type: 'memberReconnected' }>,
): CoordinatorStep {
  const back = memberCameBack(state, member);
  if (!state.away.has(member)) return back;
  const { phase } = back.state;
  if (phase.name !== 'preparing' && phase.name !== 'pausing') return back;
  return resumed ? cameBackPrepared(back.state, phase, member) : abort(back.state, workGone(member), now);
}

/** Not while committing: the commit object may be durable already, and then it is the truth. */
function cancelled(state: CoordinatorState, failure: Failure, now: number): CoordinatorStep {
  const { phase } = state;
  if (phase.name === 'aborting') return giveUp(state, phase);
  if (phase.name === 'committing' || phase.name === 'over') return stay(state);
  return abort(state, { phase: phaseOf(phase), ...failure }, now);
}

function timePassed(state: CoordinatorState, now: number): CoordinatorStep {
  const { phase } = state;
  if (phase.name === 'aborting') return abortTimePassed(state, phase, now);
  const deadline = nextDeadline(state);
  if (deadline === null || now < deadline) return stay(state);
  if (phase.name === 'waiting') return becomeTryingAgain(state, phase, now);
  if (phase.name === 'arming') return becomeDisarming(state, phase.attempt, timeOut(state, now), null, now);
  return abort(state, timeOut(state, now), now);
}

function abort(state: CoordinatorState, failure: Failure, now: number): CoordinatorStep {
  return becomeAborting(state, failure, 'aborted', tokenOf(state.phase), now);
}

/** Nobody asked it to. */
function releasedByItsLease(member: string): Failure {
  return { code: 'arm-failed', message: `${member} did not stay armed`, hint: "see its agent's log", member };
}

function endedItself(member: string): Failure {
  return {
    code: 'member-aborted',
    message: `${member} ended the operation by itself`,
    hint: "see its agent's log: its guard died, another coordinator took the grid over, or it was too slow",
    member,
  };
}

function phaseOf(phase: CoordinatorPhase): Phase {
  switch (phase.name) {
    case 'idle':
    case 'preparing':
    case 'pausing':
    case 'arming':
    case 'disarming':
    case 'waiting':
      return 'prepare';
    case 'freezing':
    case 'holding':
      return 'freeze';
    case 'thawing':
      return 'thaw';
    case 'collecting':
      return 'collect';
    case 'committing':
    case 'aborting':
    case 'over':
      return 'commit';
    default:
      return assertNever(phase);
  }
}

function tokenOf(phase: CoordinatorPhase): Attempt['token'] | null {
  return 'attempt' in phase ? phase.attempt.token : null;
}
