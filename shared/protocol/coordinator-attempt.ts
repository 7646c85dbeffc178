import { assertNever } from '../domain/assert-never.ts';
import { BY_ITSELF } from '../domain/assignment.ts';
import type { Failure } from '../domain/errors.ts';
import type { MemberAnswer } from '../domain/messages.ts';
import { NOT_TRUSTED } from '../domain/purpose.ts';
import { sameToken, type Token } from '../domain/token.ts';
import { becomeAborting } from './coordinator-abort.ts';
import { becomeCollecting } from './coordinator-commit.ts';
import { becomeHolding, becomeThawing } from './coordinator-hold.ts';
import type {
  Attempt,
  CoordinatorEffect,
  CoordinatorPhase,
  CoordinatorState,
  CoordinatorStep,
  Round,
} from './coordinator-state.ts';
import { holders, stay, tokenOf, toEach, isComplete, withEntry } from './coordinator-step.ts';
import { findInvalid, type InvalidCut } from './validity.ts';
import { findUnheld, type Unheld } from './viewers.ts';

/**
 * One attempt at a still point: observers pause, all arm, freeze in rounds, thaw, and the proofs are judged. It ends in collecting when
 * the cut is proven, in another attempt under the next token when it is not, and in an abort when the
 * attempts are used up.
 *
 * The rounds are an order among kinds, not among members: observers before anything they could show is
 * marked, all fenced at once, the instant ones while every fence holds. The thaw waits for the last mark of
 * the last round; all of the proof rests on that (README).
 */
type Attempting = Extract<CoordinatorPhase, { name: 'arming' | 'freezing' | 'thawing' }>;
type Pausing = Extract<CoordinatorPhase, { name: 'pausing' }>;
type Arming = Extract<Attempting, { name: 'arming' }>;
type Freezing = Extract<Attempting, { name: 'freezing' }>;
type Thawing = Extract<Attempting, { name: 'thawing' }>;

export function attemptAnswered(
  state: CoordinatorState,
  phase: Attempting,
  member: string,
  answer: MemberAnswer,
  now: number,
): CoordinatorStep {
  switch (phase.name) {
    case 'arming':
      return answer.type === 'armed' ? armed(state, phase, member, answer, now) : stay(state);
    case 'freezing':
      return answer.type === 'marked' ? marked(state, phase, member, answer, now) : stay(state);
    case 'thawing':
      if (answer.type === 'released') return released(state, phase, member, answer, now);
      return answer.type === 'thawed' ? thawed(state, phase, member, answer, now) : stay(state);
    default:
      return assertNever(phase);
  }
}

/**
 * Every attempt begins with the observers: they stop showing anything newer, which may take as long as a report runs
 * on a standby. Nobody is armed while that is waited for. Where there are none it begins with the arm.
 */
export function beginAttempt(state: CoordinatorState, number: number, now: number): CoordinatorStep {
  const observers = holders(state, 'observer');
  if (observers.length === 0) return becomeArming(state, number, now);
  const token = tokenOf(state, number);
  const deadline = now + state.config.deadlines.pauseMs;
  return {
    state: { ...state, phase: { name: 'pausing', token, missing: new Set(observers), deadline } },
    effects: toEach(observers, { type: 'pause', token }),
  };
}

export function pauseAnswered(
  state: CoordinatorState,
  phase: Pausing,
  member: string,
  answer: MemberAnswer,
  now: number,
): CoordinatorStep {
  if (state.away.has(member) || !isReady(state, phase.token, member, answer)) return stay(state);
  const missing = new Set(phase.missing);
  missing.delete(member);
  if (missing.size === 0) return becomeArming(state, phase.token.attempt, now);
  return stay({ ...state, phase: { ...phase, missing } });
}

/** An observer has paused; another has come back with what it prepared. */
function isReady(state: CoordinatorState, token: Token, member: string, answer: MemberAnswer): boolean {
  return holders(state, 'observer').includes(member)
    ? answer.type === 'paused' && sameToken(answer.token, token)
    : answer.type === 'prepared';
}

function becomeArming(state: CoordinatorState, number: number, now: number): CoordinatorStep {
  const { leaseMs, deadlines } = state.config;
  const attempt: Attempt = {
    token: tokenOf(state, number),
    armed: new Map(),
    viewings: new Map(),
    marked: new Map(),
    fencedFrom: null,
    released: new Map(),
    proofs: new Map(),
  };
  return {
    state: { ...state, holdSent: true, phase: { name: 'arming', attempt, deadline: now + deadlines.armMs } },
    effects: toEach(holders(state), { type: 'arm', token: attempt.token, leaseMs }),
  };
}

function armed(
  state: CoordinatorState,
  phase: Arming,
  member: string,
  answer: Extract<MemberAnswer, { type: 'armed' }>,
  now: number,
): CoordinatorStep {
  const { attempt } = phase;
  const { incarnation, viewing } = answer;
  const viewings = viewing === undefined ? attempt.viewings : withEntry(attempt.viewings, member, viewing);
  const next = { ...attempt, armed: withEntry(attempt.armed, member, incarnation), viewings };
  if (!isComplete(holders(state), next.armed)) return stay({ ...state, phase: { ...phase, attempt: next } });
  return unheldAtArm(state, next) === null
    ? becomeFreezing(state, next, 0, now)
    : becomeThawing(state, next, now);
}

/** Somebody can see and is not held: this attempt can be no cut, so nobody is frozen for it. */
function unheldAtArm(state: CoordinatorState, { viewings }: Attempt): Unheld | null {
  const { members, allowLogical = false } = state.config;
  const viewed = members.map(({ name, kind }) => ({ name, kind, viewing: viewings.get(name) }));
  return findUnheld(viewed, allowLogical);
}

const ROUNDS: readonly Round[] = ['observer', 'fenced', 'instant'];

/** Begins the first round that has members, from this one on; after the last, all have marked: thaw. */
function becomeFreezing(
  state: CoordinatorState,
  attempt: Attempt,
  from: number,
  now: number,
): CoordinatorStep {
  const round = ROUNDS.find((one, index) => index >= from && holders(state, one).length > 0);
  if (round === undefined) return allMarked(state, attempt, now);
  const { leaseMs, deadlines } = state.config;
  const fencedFrom = round === 'fenced' ? now : attempt.fencedFrom;
  const phase: CoordinatorPhase = {
    name: 'freezing',
    round,
    attempt: { ...attempt, fencedFrom },
    deadline: now + deadlines.freezeMs,
  };
  const sends = toEach(holders(state, round), { type: 'freeze', token: attempt.token, leaseMs });
  const enter: CoordinatorEffect = { type: 'enter', phase: 'freeze', attempt: attempt.token.attempt };
  // The sends come first: while members are frozen nothing stands before a message.
  return { state: { ...state, phase }, effects: from === 0 ? [...sends, enter] : sends };
}

function marked(
  state: CoordinatorState,
  phase: Freezing,
  member: string,
  answer: Extract<MemberAnswer, { type: 'marked' }>,
  now: number,
): CoordinatorStep {
  const { attempt, round } = phase;
  if (!holders(state, round).includes(member)) return stay(state);
  const next = { ...attempt, marked: withEntry(attempt.marked, member, answer) };
  if (isComplete(holders(state, round), next.marked)) {
    return becomeFreezing(state, next, ROUNDS.indexOf(round) + 1, now);
  }
  return stay({ ...state, phase: { ...phase, attempt: next } });
}

/** Everybody is held at one moment: a quiesce is there, and anything else lets go. */
function allMarked(state: CoordinatorState, attempt: Attempt, now: number): CoordinatorStep {
  if (!isComplete(holders(state), attempt.marked)) throw new Error('thaw before every member has marked');
  return state.config.purpose?.type === 'quiesce'
    ? becomeHolding(state, attempt)
    : becomeThawing(state, attempt, now);
}

function released(
  state: CoordinatorState,
  phase: Thawing,
  member: string,
  answer: Extract<MemberAnswer, { type: 'released' }>,
  now: number,
): CoordinatorStep {
  const { attempt } = phase;
  if (attempt.released.has(member)) return stay(state);
  const next = {
    ...attempt,
    released: withEntry(attempt.released, member, { at: now, thawMs: answer.thawMs }),
  };
  return stay({ ...state, phase: { ...phase, attempt: next } });
}

/** A proof whose release was lost on the way stands for both: it was open by now at the latest. */
function thawed(
  state: CoordinatorState,
  phase: Thawing,
  member: string,
  answer: Extract<MemberAnswer, { type: 'thawed' }>,
  now: number,
): CoordinatorStep {
  const { attempt } = phase;
  const next = {
    ...attempt,
    released: attempt.released.has(member)
      ? attempt.released
      : withEntry(attempt.released, member, { at: now, thawMs: 0 }),
    proofs: withEntry(attempt.proofs, member, answer.proof),
  };
  if (isComplete(holders(state), next.proofs)) return allThawed(state, next, now);
  return stay({ ...state, phase: { ...phase, attempt: next } });
}

function allThawed(state: CoordinatorState, attempt: Attempt, now: number): CoordinatorStep {
  const { members, allowLogical = false } = state.config;
  const held = members.map(({ name, kind, assignment = BY_ITSELF, heldBy }) => ({
    name,
    kind,
    hold: assignment.hold,
    heldBy,
    armed: attempt.armed.get(name),
    marked: attempt.marked.get(name)?.incarnation,
    proof: attempt.proofs.get(name),
  }));
  const invalid = unheldAtArm(state, attempt) ?? findInvalid(held, allowLogical);
  const isFreeze = state.config.purpose?.type === 'freeze';
  if (invalid === null)
    return isFreeze ? becomeHolding(state, attempt) : becomeCollecting(state, attempt, now);
  // Arms that failed have used up tokens, and no attempt at a cut. What was copied while it was held is not held again.
  if (!wasHeld(state, attempt) && attempt.token.attempt - state.failedArms < state.config.maxAttempts)
    return beginAttempt(state, attempt.token.attempt + 1, now);
  return becomeAborting(state, notProven(state, attempt, invalid), 'invalid', attempt.token, now);
}

/** Of a quiesce: the job had it, and has copied something by it. */
function wasHeld({ config }: CoordinatorState, attempt: Attempt): boolean {
  return config.purpose?.type === 'quiesce' && attempt.marked.size > 0;
}

function notProven(state: CoordinatorState, attempt: Attempt, invalid: InvalidCut): Failure {
  const about = { member: invalid.member, phase: 'thaw' } as const;
  if (wasHeld(state, attempt))
    return {
      code: invalid.code ?? 'already-resumed',
      message: `${invalid.member} was not held until the end: ${invalid.cause}`,
      hint: invalid.hint ?? `${NOT_TRUSTED}: quiesce again, and copy again`,
      ...about,
    };
  return {
    code: invalid.code ?? 'checkpoint-invalid',
    message: `the cut could not be proven in ${state.config.maxAttempts} attempts; ${invalid.member}: ${invalid.cause}`,
    hint:
      invalid.hint ??
      'end the traffic or the fault it names, then create the checkpoint again; nothing was committed',
    ...about,
  };
}
