import { plant, type Planted } from './plant.ts';

const COORDINATOR = 'protocol/coordinator-machine';
const PREPARE = 'protocol/coordinator-prepare';
const ATTEMPT = 'protocol/coordinator-attempt';
const HOLD = 'protocol/coordinator-hold';
const COMMIT = 'protocol/coordinator-commit';
const STEP = 'protocol/coordinator-step';
const ABORT = 'protocol/coordinator-abort';
const VALIDITY = 'protocol/validity';
const COMMANDS = 'protocol/member-commands';
const ENGINE = 'protocol/member-engine';
const ALL_MARKED = 'if (isComplete(holders(state, round), next.marked)) {';
const NO_HELD_NEEDED = [ENGINE, "held: proof.type === 'held'", 'held: true'] as const;

/** The order of an attempt, what is judged, the commit, deadlines and the abort everywhere. */
export const PLANTED_IN_THE_COORDINATOR: readonly Planted[] = [
  // The order of an attempt.
  plant(
    'thaw-when-all-but-one-have-marked',
    'proven',
    [ATTEMPT, ALL_MARKED, 'if (next.marked.size >= holders(state, round).length - 1) {'],
    [
      ATTEMPT,
      "if (!isComplete(holders(state), attempt.marked)) throw new Error('thaw before every member has marked');",
      '',
    ],
    [
      COMMIT,
      'const marked = attempt.marked.get(name);',
      'const marked = attempt.marked.get(name) ?? [...attempt.marked.values()][0];',
    ],
    [VALIDITY, 'armed !== proof.incarnation || marked !== proof.incarnation', 'armed !== proof.incarnation'],
  ),
  plant('observers-last', 'order', [
    ATTEMPT,
    "['observer', 'fenced', 'instant']",
    "['fenced', 'observer', 'instant']",
  ]),
  plant('instants-first', 'order', [
    ATTEMPT,
    "['observer', 'fenced', 'instant']",
    "['instant', 'observer', 'fenced']",
  ]),
  plant('one-round-for-all', 'order', [
    ATTEMPT,
    "toEach(holders(state, round), { type: 'freeze'",
    "toEach(holders(state), { type: 'freeze'",
  ]),
  plant('freeze-when-all-but-one-are-armed', 'no-reason', [
    ATTEMPT,
    'if (!isComplete(holders(state), next.armed)) return',
    'if (next.armed.size < holders(state).length - 1) return',
  ]),
  plant('arm-when-all-but-one-are-prepared', 'no-reason', [
    PREPARE,
    'isComplete(names(state), prepared)',
    'prepared.size >= names(state).length - 1',
  ]),
  plant('thaw-only-the-fenced', 'no-reason', [
    HOLD,
    "toEach(holders(state), { type: 'thaw'",
    "toEach(holders(state, 'fenced'), { type: 'thaw'",
  ]),
  plant('answers-of-an-older-attempt-count', 'tries-again', [
    COORDINATOR,
    "if (!('token' in answer) || !sameToken(answer.token, phase.attempt.token)) return stay(state);",
    "if (!('token' in answer)) return stay(state);",
  ]),

  plant('marks-of-an-older-attempt-count', 'nothing-missing', [
    COORDINATOR,
    "if (!('token' in answer) || !sameToken(answer.token, phase.attempt.token)) return stay(state);",
    "if (!('token' in answer) || (answer.type !== 'marked' && !sameToken(answer.token, phase.attempt.token)))\n    return stay(state);",
  ]),

  // Validity.
  plant(
    'already-resumed-counts-as-held',
    'proven',
    [VALIDITY, "proof.type === 'alreadyResumed'", 'false'],
    NO_HELD_NEEDED,
  ),
  plant('broken-counts-as-held', 'proven', [VALIDITY, "proof.type === 'broken'", 'false'], NO_HELD_NEEDED),
  plant('a-restart-after-the-arm-counts-as-held', 'proven', [
    VALIDITY,
    'armed !== proof.incarnation || marked !== proof.incarnation',
    'false',
  ]),
  plant('a-restart-between-arm-and-mark-is-not-seen', 'proven', [
    VALIDITY,
    'armed !== proof.incarnation || marked !== proof.incarnation',
    'marked !== proof.incarnation',
  ]),
  plant(
    'a-missing-proof-counts-as-held',
    'proven',
    [
      ATTEMPT,
      'if (isComplete(holders(state), next.proofs)) return',
      'if (next.proofs.size >= holders(state).length - 1) return',
    ],
    [VALIDITY, "return { member: name, cause: 'it gave no proof that it held' };", 'continue;'],
    [
      COMMANDS,
      "if (phase.name !== 'thawed' || !phase.held || !sameToken(phase.token, token)) {",
      'if (false) {',
    ],
  ),
  plant(
    'the-last-attempt-needs-no-proof',
    'proven',
    [
      ATTEMPT,
      'if (invalid === null)\n',
      'if (invalid === null || attempt.token.attempt === state.config.maxAttempts)\n',
    ],
    NO_HELD_NEEDED,
  ),
  plant('invalid-is-never-tried-again', 'ending', [
    ATTEMPT,
    'attempt.token.attempt - state.failedArms < state.config.maxAttempts)',
    'attempt.token.attempt < 1)',
  ]),
  plant('one-attempt-too-many', 'tries-again', [
    ATTEMPT,
    'attempt.token.attempt - state.failedArms < state.config.maxAttempts)',
    'attempt.token.attempt - state.failedArms <= state.config.maxAttempts)',
  ]),
  plant('the-next-attempt-has-the-same-token', 'ends', [
    ATTEMPT,
    'token: tokenOf(state, number),',
    'token: tokenOf(state, 1),',
  ]),
  plant('invalid-told-as-committed', 'ending', [
    ABORT,
    'outcome: { kind: phase.kind, failure }',
    "outcome: phase.kind === 'invalid' ? ({ kind: 'committed', proof: {} } as never) : { kind: phase.kind, failure }",
  ]),

  // The commit.
  plant(
    'commit-without-one-collected-answer',
    'stored',
    [
      COMMIT,
      'return isComplete(names(state), next.collected)',
      'return next.collected.size >= names(state).length - 1 && next.collected.size > 0',
    ],
    [
      COMMIT,
      'const stored = collected.get(name);',
      'const stored = collected.get(name) ?? [...collected.values()][0];',
    ],
  ),
  plant('a-failed-commit-is-told-as-committed', 'ending', [
    COMMIT,
    "return becomeAborting(state, { phase: 'commit', ...failure }, 'aborted', token, now);",
    "return token === null ? becomeAborting(state, failure, 'aborted', token, now) : committed(state);",
  ]),
  plant('cancelled-while-committing', 'ending', [
    COORDINATOR,
    "if (phase.name === 'committing' || phase.name === 'over') return stay(state);\n  return abort(state, { phase: phaseOf(phase), ...failure }, now);",
    "if (phase.name === 'over') return stay(state);\n  return abort(state, { phase: phaseOf(phase), ...failure }, now);",
  ]),
  plant('a-lost-member-ends-the-commit', 'ending', [
    COORDINATOR,
    "if (phase.name === 'committing' || phase.name === 'over') return stay(gone);",
    "if (phase.name === 'over') return stay(gone);",
  ]),
  plant('the-window-ends-with-the-first-thaw', 'window', [STEP, 'Math.max(', 'Math.min(']),
  plant('the-window-begins-with-the-last-round', 'window', [
    ATTEMPT,
    "const fencedFrom = round === 'fenced' ? now : attempt.fencedFrom;",
    'const fencedFrom = now;',
  ]),
  plant('a-proof-before-its-release-has-no-time', 'window', [
    ATTEMPT,
    ': withEntry(attempt.released, member, { at: now, thawMs: 0 }),',
    ': attempt.released,',
  ]),

  // Deadlines.
  plant('arming-has-no-deadline', 'in-time', [ATTEMPT, 'now + deadlines.armMs', 'now + 1e9']),
  plant('freezing-has-no-deadline', 'in-time', [ATTEMPT, 'now + deadlines.freezeMs', 'now + 1e9']),
  plant('thawing-has-no-deadline', 'in-time', [HOLD, 'now + state.config.deadlines.thawMs', 'now + 1e9']),
  plant('an-abort-is-never-given-up', 'ends', [
    ABORT,
    'if (now >= phase.giveUpAt) return',
    'if (now >= 1e12) return',
  ]),
  plant('the-second-interrupt-is-ignored', 'ends', [
    COORDINATOR,
    "if (phase.name === 'aborting') return giveUp(state, phase);",
    "if (phase.name === 'aborting') return stay(state);",
  ]),
  plant('an-abort-is-retried-without-a-pause', 'pauses', [
    ABORT,
    'const next = { ...phase, retryAt: now + state.config.deadlines.abortRetryMs };',
    'const next = { ...phase, retryAt: now };',
  ]),
  plant('a-failed-member-is-not-heard', 'names', [
    COORDINATOR,
    "if (answer.type === 'failed' || answer.type === 'refused') {",
    "if (answer.type === 'refused') {",
  ]),
  plant('a-lost-member-is-not-noticed', 'ends', [
    COORDINATOR,
    'return abort(gone, { phase: phaseOf(phase), member, ...failure }, now);',
    'return stay(failure === null ? state : gone);',
  ]),

  // Abort everywhere.
  plant('an-abort-is-confirmed-by-all-but-one', 'thawed-after-the-end', [
    ABORT,
    'if (unconfirmed(state, phase).length > 0) return { state, effects };',
    'if (unconfirmed(state, phase).length > 1) return { state, effects };',
  ]),
  plant('a-lost-member-needs-no-confirmation', 'thawed-after-the-end', [
    ABORT,
    'return state.holdSent ? asked : asked.filter((name) => !state.lost.has(name));',
    'return asked.filter((name) => !state.lost.has(name));',
  ]),
  plant('any-answer-confirms-an-abort', 'thawed-after-the-end', [
    ABORT,
    "if (answer.type !== 'aborted') return stay(state);",
    "if (answer.type !== 'aborted') return finishWhenConfirmed(state, { ...phase, confirmed: withEntry(phase.confirmed, member, 'running') }, []);",
  ]),
  plant('maybe-frozen-is-told-as-aborted', 'thawed-after-the-end', [
    ABORT,
    "kind: 'maybeFrozen'",
    'kind: phase.kind',
  ]),
  plant('what-is-unknown-is-said-to-run', 'ending', [
    ABORT,
    "(phase.mayHold ? 'unknown' : 'running')",
    "'running'",
  ]),
  plant('who-was-never-armed-is-called-maybe-frozen', 'ending', [
    ABORT,
    'const unknown = phase.mayHold ? unconfirmed(state, phase) : [];',
    'const unknown = unconfirmed(state, phase);',
  ]),
  plant('who-may-be-held-is-taken-for-thawed', 'thawed-after-the-end', [
    ABORT,
    "return name === 'committing' || (name === 'collecting'",
    "return name === 'thawing' || name === 'committing' || (name === 'collecting'",
  ]),
  plant('who-has-proven-its-thaw-is-called-maybe-frozen', 'ending', [
    ABORT,
    "return name === 'committing' || (name === 'collecting'",
    "return name !== name && (name === 'collecting'",
  ]),
  plant('it-forgets-that-it-armed', 'thawed-after-the-end', [ATTEMPT, 'holdSent: true, ', '']),
  plant('who-is-lost-is-forgotten', 'confirms', [
    COORDINATOR,
    'new Set(state.lost).add(member)',
    'state.lost',
  ]),
  plant('who-is-lost-is-not-connected-anew', 'confirms', [
    ABORT,
    '[...aborts(next, phase), ...reconnects]',
    'aborts(next, phase)',
  ]),
  plant('who-is-lost-in-the-abort-is-not-connected-anew', 'confirms', [
    ABORT,
    "return { state, effects: [{ type: 'reconnect', member }] };",
    'return { state, effects: [] };',
  ]),

  plant('a-failure-names-nobody', 'names', [
    COORDINATOR,
    'return abort(state, { phase: phaseOf(phase), member, ...answer.failure }, now);',
    'return abort(state, { phase: phaseOf(phase), ...answer.failure }, now);',
  ]),
  plant('a-failure-in-a-freeze-is-told-of-the-thaw', 'names', [
    COORDINATOR,
    "return 'freeze';",
    "return 'thaw';",
  ]),
  plant('an-abort-says-nothing-of-the-members', 'names', [
    ABORT,
    'const failure: Failure = { ...phase.failure, members: memberStates(state, phase) };',
    'const failure: Failure = { ...phase.failure };',
  ]),
];
