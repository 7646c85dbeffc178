import type { Failure } from '../domain/errors.ts';
import type { MemberAnswer } from '../domain/messages.ts';
import { becomeAborting } from './coordinator-abort.ts';
import { beginAttempt } from './coordinator-attempt.ts';
import type { Attempt, CoordinatorPhase, CoordinatorState, CoordinatorStep } from './coordinator-state.ts';
import { holders, stay, toEach, isComplete } from './coordinator-step.ts';

/**
 * An arm that failed or was late is tried again like a cut that could not be proven: nothing was frozen, and the
 * copies are as good as before. A server that flushes for some seconds must not end the work of hours. Every member is
 * disarmed before the pause, for armed members cost their clients a little; the pauses grow; and the tries are
 * counted, for what fails five times in a row will fail again. Of a cause that is final (the process was restarted, the
 * budget of freezes is spent) a member says that it failed, and not that it is disarmed: that ends it at once.
 */
type Disarming = Extract<CoordinatorPhase, { name: 'disarming' }>;
type Waiting = Extract<CoordinatorPhase, { name: 'waiting' }>;

/** `done`: who has said so itself, with the failure; null where the arm was late. */
export function becomeDisarming(
  state: CoordinatorState,
  attempt: Attempt,
  failure: Failure,
  done: string | null,
  now: number,
): CoordinatorStep {
  const failedArms = state.failedArms + 1;
  const { maxArms, deadlines } = state.config;
  const told: Failure = { phase: 'prepare', ...(done !== null && { member: done }), ...failure };
  const first = state.firstArmFailure ?? told;
  if (failedArms >= maxArms)
    return becomeAborting(state, allFailed(first, told, maxArms), 'aborted', attempt.token, now);
  const phase: Disarming = {
    name: 'disarming',
    attempt,
    failure: told,
    disarmed: new Set(done === null ? [] : [done]),
    deadline: now + deadlines.disarmMs,
  };
  const others = holders(state).filter((name) => name !== done);
  const next = { ...state, failedArms, firstArmFailure: first, phase };
  const sends = toEach(others, { type: 'disarm', token: attempt.token });
  return others.length === 0 ? becomeWaiting(next, phase, now) : { state: next, effects: sends };
}

/** What went wrong first is told: what others met afterwards may only follow from it. */
function allFailed(first: Failure, last: Failure, tries: number): Failure {
  const others = last.message === first.message ? '' : `, the last with: ${last.message}`;
  return { ...first, message: `${first.message}; ${tries} tries to arm failed${others}` };
}

export function disarmAnswered(
  state: CoordinatorState,
  phase: Disarming,
  member: string,
  answer: MemberAnswer,
  now: number,
): CoordinatorStep {
  if (answer.type !== 'disarmed') return stay(state);
  const next = { ...phase, disarmed: new Set(phase.disarmed).add(member) };
  if (isComplete(holders(state), next.disarmed)) return becomeWaiting(state, next, now);
  return stay({ ...state, phase: next });
}

function becomeWaiting(
  state: CoordinatorState,
  { attempt, failure }: Disarming,
  now: number,
): CoordinatorStep {
  const { failedArms, config } = state;
  const pauseMs = config.deadlines.armAgainMs * 2 ** (failedArms - 1);
  const text = `${failure.member ?? 'a member'}: ${failure.message}; tried again in ${pauseMs / 1000} s (${failedArms} of ${config.maxArms} tries)`;
  return {
    state: {
      ...state,
      phase: { name: 'waiting', next: attempt.token.attempt + 1, deadline: now + pauseMs },
    },
    effects: [{ type: 'note', text }],
  };
}

export function becomeTryingAgain(state: CoordinatorState, phase: Waiting, now: number): CoordinatorStep {
  return beginAttempt(state, phase.next, now);
}
