import { BY_ITSELF } from '../domain/assignment.ts';
import type { Failure } from '../domain/errors.ts';
import type { MemberAnswer } from '../domain/messages.ts';
import { becomeAborting } from './coordinator-abort.ts';
import type {
  Attempt,
  CommitProof,
  CoordinatorPhase,
  CoordinatorState,
  CoordinatorStep,
} from './coordinator-state.ts';
import { names, stay, toEach, isComplete, windowMs, withEntry } from './coordinator-step.ts';
import { findNotSuspended } from './validity.ts';

/**
 * From a proven cut to a commit. The grid runs again: members store what belongs to their marks, and only
 * when each has said what it stored is the commit asked for, once, with all that is known of the cut. From
 * there the commit object decides: it is durable or it is not, and nobody's abort can change that.
 */
type Collecting = Extract<CoordinatorPhase, { name: 'collecting' }>;

export function becomeCollecting(state: CoordinatorState, attempt: Attempt, now: number): CoordinatorStep {
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

export function collectAnswered(
  state: CoordinatorState,
  phase: Collecting,
  member: string,
  answer: MemberAnswer,
  now: number,
): CoordinatorStep {
  if (answer.type !== 'collected') return stay(state);
  const next = { ...phase, collected: withEntry(phase.collected, member, answer) };
  return isComplete(names(state), next.collected)
    ? allCollected({ ...state, phase: next }, next, now)
    : stay({ ...state, phase: next });
}

/** Of a freeze this is the end of what it was for: what was copied meanwhile is worth something only where it held. */
function allCollected(state: CoordinatorState, phase: Collecting, now: number): CoordinatorStep {
  const invalid = state.config.purpose?.type === 'freeze' ? findNotSuspended(phase.collected) : null;
  if (invalid === null) return becomeCommitting(state, commitProof(state, phase));
  const failure: Failure = {
    code: 'already-resumed',
    message: `${invalid.member} had resumed writing to its database files already: ${invalid.cause}`,
    hint: 'what was copied during this freeze is not to be trusted: freeze again, and copy again',
    member: invalid.member,
    phase: 'thaw',
  };
  return becomeAborting(state, failure, 'invalid', phase.attempt.token, now);
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

export function committed(state: CoordinatorState): CoordinatorStep {
  if (state.phase.name !== 'committing') return stay(state);
  const { proof } = state.phase;
  return {
    state: { ...state, phase: { name: 'over' } },
    effects: [{ type: 'finish', outcome: { kind: 'committed', proof } }],
  };
}

export function commitFailed(state: CoordinatorState, failure: Failure, now: number): CoordinatorStep {
  if (state.phase.name !== 'committing') return stay(state);
  const { token } = state.phase.proof;
  return becomeAborting(state, { phase: 'commit', ...failure }, 'aborted', token, now);
}

function commitProof(state: CoordinatorState, phase: Collecting): CommitProof {
  const { attempt, collected } = phase;
  return {
    token: attempt.token,
    windowMs: windowMs(state, attempt) ?? 0,
    members: state.config.members.map(({ name, kind, assignment = BY_ITSELF }) => {
      const marked = attempt.marked.get(name);
      const stored = collected.get(name);
      if (stored === undefined || (marked === undefined && assignment.hold !== 'none'))
        throw new Error(`commit without the proof of ${name}`);
      return {
        name,
        kind,
        assignment,
        incarnation: marked?.incarnation ?? null,
        mark: marked?.mark ?? null,
        fenceMs: marked?.fenceMs ?? 0,
        markMs: marked?.markMs ?? 0,
        thawMs: attempt.released.get(name)?.thawMs ?? 0,
        manifestDigest: stored.manifestDigest,
        sizeBytes: stored.sizeBytes,
        storedBytes: stored.storedBytes,
      };
    }),
  };
}
