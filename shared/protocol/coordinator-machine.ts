import { assertNever } from '../domain/assert-never.ts';
import type { Failure, Phase } from '../domain/errors.ts';
import type { MemberAnswer, MemberCommand } from '../domain/messages.ts';
import { sameToken } from '../domain/token.ts';
import {
  abortAnswered,
  abortTimePassed,
  becomeAborting,
  giveUp,
  memberCameBack,
  memberWentAway,
} from './coordinator-abort.ts';
import type {
  Attempt,
  CommitProof,
  CoordinatorConfig,
  CoordinatorEffect,
  CoordinatorEvent,
  CoordinatorPhase,
  CoordinatorState,
  CoordinatorStep,
  Round,
} from './coordinator-state.ts';
import { isComplete, missing, withEntry } from './tally.ts';
import { findInvalid } from './validity.ts';

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
 *   idle → preparing → arming → freezing (observers, fenced, instant) → thawing → collecting → committing
 *             ↑            └──────── invalid: a new attempt ──────────────┘
 *   and from everywhere before committing: aborting → over
 */
export function initialCoordinator(config: CoordinatorConfig): CoordinatorState {
  return { config, phase: { name: 'idle' }, lost: new Set(), armSent: false };
}

export function stepCoordinator(state: CoordinatorState, event: CoordinatorEvent): CoordinatorStep {
  switch (event.type) {
    case 'started':
      return state.phase.name === 'idle' ? becomePreparing(state, event.now) : stay(state);
    case 'answerReceived':
      return answerReceived(state, event.member, event.answer, event.now);
    case 'memberLost':
      return memberLost(state, event.member, event.failure, event.now);
    case 'memberReconnected':
      return memberCameBack(state, event.member);
    case 'cancelled':
      return cancelled(state, event.failure, event.now);
    case 'committed':
      return committed(state);
    case 'commitFailed':
      if (state.phase.name !== 'committing') return stay(state);
      return becomeAborting(
        state,
        { phase: 'commit', ...event.failure },
        'aborted',
        state.phase.proof.token,
        event.now,
      );
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
    case 'arming':
    case 'freezing':
    case 'thawing':
    case 'collecting':
      return phase.deadline;
    case 'aborting':
      return Math.min(phase.retryAt, phase.giveUpAt);
    case 'idle':
    case 'committing':
    case 'over':
      return null;
    default:
      return assertNever(phase);
  }
}

function stay(state: CoordinatorState): CoordinatorStep {
  return { state, effects: [] };
}

function names(state: CoordinatorState, kind?: Round): string[] {
  return state.config.members
    .filter((member) => kind === undefined || member.kind === kind)
    .map((member) => member.name);
}

function toEach(members: readonly string[], command: MemberCommand): CoordinatorEffect[] {
  return members.map((member) => ({ type: 'send', member, command }));
}

function becomePreparing(state: CoordinatorState, now: number): CoordinatorStep {
  const { checkpoint, maintenance, deadlines } = state.config;
  const deadline = deadlines.prepareMs === null ? null : now + deadlines.prepareMs;
  return {
    state: { ...state, phase: { name: 'preparing', prepared: new Set(), deadline } },
    effects: [
      { type: 'enter', phase: 'prepare', attempt: 1 },
      ...toEach(names(state), { type: 'prepare', checkpoint, maintenance }),
    ],
  };
}

function becomeArming(state: CoordinatorState, number: number, now: number): CoordinatorStep {
  const { epoch, counter, leaseMs, deadlines } = state.config;
  const attempt: Attempt = {
    token: { epoch, counter, attempt: number },
    armed: new Map(),
    marked: new Map(),
    fencedFrom: null,
    released: new Map(),
    proofs: new Map(),
  };
  return {
    state: { ...state, armSent: true, phase: { name: 'arming', attempt, deadline: now + deadlines.armMs } },
    effects: toEach(names(state), { type: 'arm', token: attempt.token, leaseMs }),
  };
}

const ROUNDS: readonly Round[] = ['observer', 'fenced', 'instant'];

/** Begins the first round that has members, from this one on; after the last, all have marked: thaw. */
function becomeFreezing(
  state: CoordinatorState,
  attempt: Attempt,
  from: number,
  now: number,
): CoordinatorStep {
  const round = ROUNDS.find((one, index) => index >= from && names(state, one).length > 0);
  if (round === undefined) return becomeThawing(state, attempt, now);
  const { leaseMs, deadlines } = state.config;
  const fencedFrom = round === 'fenced' ? now : attempt.fencedFrom;
  const phase: CoordinatorPhase = {
    name: 'freezing',
    round,
    attempt: { ...attempt, fencedFrom },
    deadline: now + deadlines.freezeMs,
  };
  const sends = toEach(names(state, round), { type: 'freeze', token: attempt.token, leaseMs });
  const enter: CoordinatorEffect = { type: 'enter', phase: 'freeze', attempt: attempt.token.attempt };
  // The sends come first: while members are frozen nothing stands before a message.
  return { state: { ...state, phase }, effects: from === 0 ? [...sends, enter] : sends };
}

function becomeThawing(state: CoordinatorState, attempt: Attempt, now: number): CoordinatorStep {
  if (!isComplete(names(state), attempt.marked)) throw new Error('thaw before every member has marked');
  return {
    state: { ...state, phase: { name: 'thawing', attempt, deadline: now + state.config.deadlines.thawMs } },
    effects: [
      ...toEach(names(state), { type: 'thaw', token: attempt.token }),
      { type: 'enter', phase: 'thaw', attempt: attempt.token.attempt },
    ],
  };
}

function becomeCollecting(state: CoordinatorState, attempt: Attempt, now: number): CoordinatorStep {
  const { collectMs } = state.config.deadlines;
  const deadline = collectMs === null ? null : now + collectMs;
  return {
    state: { ...state, phase: { name: 'collecting', attempt, collected: new Map(), deadline } },
    effects: [
      { type: 'enter', phase: 'collect', attempt: attempt.token.attempt },
      ...toEach(names(state), { type: 'collect', token: attempt.token }),
    ],
  };
}

function becomeCommitting(state: CoordinatorState, proof: CommitProof): CoordinatorStep {
  return {
    state: { ...state, phase: { name: 'committing', proof } },
    effects: [
      { type: 'enter', phase: 'commit', attempt: proof.token.attempt },
      { type: 'commit', proof },
    ],
  };
}

function committed(state: CoordinatorState): CoordinatorStep {
  if (state.phase.name !== 'committing') return stay(state);
  const { proof } = state.phase;
  return {
    state: { ...state, phase: { name: 'over' } },
    effects: [{ type: 'finish', outcome: { kind: 'committed', proof } }],
  };
}

/** Not while committing: the commit object may be durable already, and then it is the truth. */
function cancelled(state: CoordinatorState, failure: Failure, now: number): CoordinatorStep {
  const { phase } = state;
  if (phase.name === 'aborting') return giveUp(state, phase);
  if (phase.name === 'committing' || phase.name === 'over') return stay(state);
  return becomeAborting(state, { phase: phaseOf(phase), ...failure }, 'aborted', tokenOf(phase), now);
}

function memberLost(state: CoordinatorState, member: string, failure: Failure, now: number): CoordinatorStep {
  const gone = { ...state, lost: new Set(state.lost).add(member) };
  const { phase } = gone;
  if (phase.name === 'aborting') return memberWentAway(gone, phase, member);
  if (phase.name === 'idle' || phase.name === 'committing' || phase.name === 'over') return stay(gone);
  return becomeAborting(gone, { phase: phaseOf(phase), member, ...failure }, 'aborted', tokenOf(phase), now);
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
    return becomeAborting(
      state,
      { phase: phaseOf(phase), member, ...answer.failure },
      'aborted',
      tokenOf(phase),
      now,
    );
  }
  // Nobody asked it to abort: it lost what it had (its guard died, the grid was taken over).
  if (answer.type === 'aborted') {
    return becomeAborting(
      state,
      { ...endedItself(member), phase: phaseOf(phase) },
      'aborted',
      tokenOf(phase),
      now,
    );
  }
  if (phase.name === 'preparing') {
    if (answer.type !== 'prepared') return stay(state);
    const prepared = new Set(phase.prepared).add(member);
    const next = { ...state, phase: { ...phase, prepared } };
    return isComplete(names(state), prepared) ? becomeArming(next, 1, now) : stay(next);
  }
  if (!('token' in answer) || !sameToken(answer.token, phase.attempt.token)) return stay(state);
  return attemptAnswered(state, phase, member, answer, now);
}

type AttemptPhase = Extract<CoordinatorPhase, { attempt: Attempt }>;
type AttemptAnswer = Extract<
  MemberAnswer,
  { type: 'armed' | 'marked' | 'released' | 'thawed' | 'collected' }
>;

function attemptAnswered(
  state: CoordinatorState,
  phase: AttemptPhase,
  member: string,
  answer: AttemptAnswer,
  now: number,
): CoordinatorStep {
  const { attempt } = phase;
  if (phase.name === 'arming' && answer.type === 'armed') {
    const next = { ...attempt, armed: withEntry(attempt.armed, member, answer.incarnation) };
    if (isComplete(names(state), next.armed)) return becomeFreezing(state, next, 0, now);
    return stay({ ...state, phase: { ...phase, attempt: next } });
  }
  if (phase.name === 'freezing' && answer.type === 'marked') {
    if (!names(state, phase.round).includes(member)) return stay(state);
    const next = { ...attempt, marked: withEntry(attempt.marked, member, answer) };
    if (isComplete(names(state, phase.round), next.marked)) {
      return becomeFreezing(state, next, ROUNDS.indexOf(phase.round) + 1, now);
    }
    return stay({ ...state, phase: { ...phase, attempt: next } });
  }
  if (phase.name === 'thawing' && answer.type === 'released') {
    if (attempt.released.has(member)) return stay(state);
    const released = withEntry(attempt.released, member, { at: now, thawMs: answer.thawMs });
    return stay({ ...state, phase: { ...phase, attempt: { ...attempt, released } } });
  }
  if (phase.name === 'thawing' && answer.type === 'thawed') {
    const released = attempt.released.has(member)
      ? attempt.released
      : withEntry(attempt.released, member, { at: now, thawMs: 0 });
    const next = { ...attempt, released, proofs: withEntry(attempt.proofs, member, answer.proof) };
    if (isComplete(names(state), next.proofs)) return allThawed(state, next, now);
    return stay({ ...state, phase: { ...phase, attempt: next } });
  }
  if (phase.name === 'collecting' && answer.type === 'collected') {
    const collected = withEntry(phase.collected, member, answer);
    const next = { ...phase, collected };
    if (isComplete(names(state), collected)) return becomeCommitting(state, commitProof(state, next));
    return stay({ ...state, phase: next });
  }
  return stay(state);
}

function allThawed(state: CoordinatorState, attempt: Attempt, now: number): CoordinatorStep {
  const invalid = findInvalid(
    names(state).map((name) => ({
      name,
      armed: attempt.armed.get(name),
      marked: attempt.marked.get(name)?.incarnation,
      proof: attempt.proofs.get(name),
    })),
  );
  if (invalid === null) return becomeCollecting(state, attempt, now);
  const { maxAttempts } = state.config;
  if (attempt.token.attempt < maxAttempts) return becomeArming(state, attempt.token.attempt + 1, now);
  const failure: Failure = {
    code: 'checkpoint-invalid',
    message: `the cut could not be proven in ${maxAttempts} attempts; ${invalid.member}: ${invalid.cause}`,
    hint: 'end the traffic or the fault it names, then create the checkpoint again; nothing was committed',
    member: invalid.member,
    phase: 'thaw',
  };
  return becomeAborting(state, failure, 'invalid', attempt.token, now);
}

function commitProof(
  state: CoordinatorState,
  phase: Extract<CoordinatorPhase, { name: 'collecting' }>,
): CommitProof {
  const { attempt, collected } = phase;
  const lastReleased = Math.max(
    ...state.config.members
      .filter(({ kind }) => kind !== 'observer')
      .map(({ name }) => attempt.released.get(name)?.at ?? 0),
  );
  return {
    token: attempt.token,
    windowMs: attempt.fencedFrom === null ? 0 : lastReleased - attempt.fencedFrom,
    members: state.config.members.map(({ name, kind }) => {
      const marked = attempt.marked.get(name);
      const stored = collected.get(name);
      if (marked === undefined || stored === undefined)
        throw new Error(`commit without the proof of ${name}`);
      return {
        name,
        kind,
        incarnation: marked.incarnation,
        mark: marked.mark,
        fenceMs: marked.fenceMs,
        markMs: marked.markMs,
        thawMs: attempt.released.get(name)?.thawMs ?? 0,
        manifestDigest: stored.manifestDigest,
        sizeBytes: stored.sizeBytes,
        storedBytes: stored.storedBytes,
      };
    }),
  };
}

function timePassed(state: CoordinatorState, now: number): CoordinatorStep {
  const { phase } = state;
  if (phase.name === 'aborting') return abortTimePassed(state, phase, now);
  const deadline = nextDeadline(state);
  if (deadline === null || now < deadline) return stay(state);
  return becomeAborting(state, timeOut(state), 'aborted', tokenOf(phase), now);
}

/** Names the first member that has not answered. */
function timeOut(state: CoordinatorState): Failure {
  const { phase, config } = state;
  const late = (answered: ReadonlySet<string> | ReadonlyMap<string, unknown>, kind?: Round): string =>
    missing(names(state, kind), answered)[0] ?? 'a member';
  switch (phase.name) {
    case 'preparing':
      return timeOutFailure(
        'prepare-timeout',
        late(phase.prepared),
        'was not prepared',
        config.deadlines.prepareMs,
        'prepare',
      );
    case 'arming':
      return timeOutFailure(
        'arm-timeout',
        late(phase.attempt.armed),
        'was not armed',
        config.deadlines.armMs,
        'prepare',
      );
    case 'freezing':
      return timeOutFailure(
        'fence-not-reached',
        late(phase.attempt.marked, phase.round),
        'did not reach its fence and mark',
        config.deadlines.freezeMs,
        'freeze',
      );
    case 'thawing':
      return timeOutFailure(
        'thaw-unconfirmed',
        late(phase.attempt.proofs),
        'did not confirm its thaw',
        config.deadlines.thawMs,
        'thaw',
      );
    case 'collecting':
      return timeOutFailure(
        'collect-timeout',
        late(phase.collected),
        'was not collected',
        config.deadlines.collectMs,
        'collect',
      );
    case 'idle':
    case 'committing':
    case 'aborting':
    case 'over':
      throw new Error(`nothing is waited for while ${phase.name}`);
    default:
      return assertNever(phase);
  }
}

function timeOutFailure(
  code: string,
  member: string,
  what: string,
  limitMs: number | null,
  phase: Phase,
): Failure {
  return {
    code,
    message: `${member} ${what} in ${limitMs ?? 0} ms`,
    hint: 'look at the load and the log of its server and of its agent',
    member,
    phase,
  };
}

function endedItself(member: string): Failure {
  return {
    code: 'member-aborted',
    message: `${member} ended the operation by itself`,
    hint: "see its agent's log: another coordinator took the grid over, or its guard died",
    member,
  };
}

function phaseOf(phase: CoordinatorPhase): Phase {
  switch (phase.name) {
    case 'idle':
    case 'preparing':
    case 'arming':
      return 'prepare';
    case 'freezing':
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
