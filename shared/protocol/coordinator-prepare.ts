import { BY_ITSELF } from '../domain/assignment.ts';
import { FOR_CHECKPOINT } from '../domain/purpose.ts';
import type { Failure } from '../domain/errors.ts';
import type { MemberAnswer } from '../domain/messages.ts';
import { beginAttempt } from './coordinator-attempt.ts';
import type {
  Away,
  CoordinatorEffect,
  CoordinatorPhase,
  CoordinatorState,
  CoordinatorStep,
} from './coordinator-state.ts';
import { holders, names, stay, toEach, isComplete, withEntry } from './coordinator-step.ts';

/**
 * Before anybody is armed: all that takes long and holds nobody. The base copies are made once, before the first
 * attempt: a cut that could not be proven is tried again over the same copies.
 *
 * Until the first arm nothing costs the grid anything, so nothing is final: a member whose stream is lost is waited
 * for as long as its agent keeps what was prepared.
 */
type Preparing = Extract<CoordinatorPhase, { name: 'preparing' }>;
type Pausing = Extract<CoordinatorPhase, { name: 'pausing' }>;

export function becomePreparing(state: CoordinatorState, now: number): CoordinatorStep {
  const { deadlines, purpose } = state.config;
  const deadline = deadlines.prepareMs === null ? null : now + deadlines.prepareMs;
  const holdSent = purpose?.type === 'freeze';
  return {
    state: { ...state, holdSent, phase: { name: 'preparing', prepared: new Set(), deadline } },
    effects: [
      { type: 'enter', phase: 'prepare', attempt: 1 },
      ...names(state).map((member) => prepare(state, member)),
    ],
  };
}

export function prepareAnswered(
  state: CoordinatorState,
  phase: Preparing,
  member: string,
  answer: MemberAnswer,
  now: number,
): CoordinatorStep {
  if (answer.type !== 'prepared' || state.away.has(member)) return stay(state);
  const prepared = new Set(phase.prepared).add(member);
  const next = { ...state, phase: { ...phase, prepared } };
  return isComplete(names(state), prepared) ? beginAttempt(next, 1, now) : stay(next);
}

/** Its answers count no more, until it has come back and given them again. */
export function becomeAway(
  state: CoordinatorState,
  phase: Preparing | Pausing,
  member: string,
  failure: Failure,
  now: number,
): CoordinatorStep {
  const { reconnectMs } = state.config.deadlines;
  const away: ReadonlyMap<string, Away> = withEntry(state.away, member, {
    failure,
    until: now + reconnectMs,
  });
  const text = `${member}: ${failure.message}; trying to come back for ${reconnectMs / 1000} s, as long as its agent keeps what is prepared`;
  return {
    state: { ...state, away, phase: without(phase, member) },
    effects: [
      { type: 'note', text },
      { type: 'reconnect', member },
    ],
  };
}

function without(phase: Preparing | Pausing, member: string): Preparing | Pausing {
  if (phase.name === 'pausing') return { ...phase, missing: new Set(phase.missing).add(member) };
  const prepared = new Set(phase.prepared);
  prepared.delete(member);
  return { ...phase, prepared };
}

/** It is back with its work: asked again, it answers what is done, and goes on with what is not. */
export function cameBackPrepared(
  state: CoordinatorState,
  phase: Preparing | Pausing,
  member: string,
): CoordinatorStep {
  const pauses =
    phase.name === 'pausing' && holders(state, 'observer').includes(member)
      ? toEach([member], { type: 'pause', token: phase.token })
      : [];
  const note = { type: 'note', text: `${member}: connected again` } as const;
  return { state, effects: [note, prepare(state, member), ...pauses] };
}

export function workGone(member: string): Failure {
  return {
    code: 'work-gone',
    message: `the connection to the agent of ${member} was lost, and what it had prepared is gone: its agent was restarted, or has ended the operation`,
    hint: "see the agent's log for why, then create the checkpoint again: what is stored already is not stored twice",
    member,
    phase: 'prepare',
  };
}

function prepare({ config }: CoordinatorState, member: string): CoordinatorEffect {
  const { checkpoint, maintenance, members, purpose = FOR_CHECKPOINT } = config;
  const { assignment = BY_ITSELF } = members.find(({ name }) => name === member) ?? {};
  return { type: 'send', member, command: { type: 'prepare', checkpoint, assignment, maintenance, purpose } };
}
