import { plant, type Planted } from './plant.ts';

const COORDINATOR = 'protocol/coordinator-machine';
const MEMBER = 'protocol/member-machine';
const COMMANDS = 'protocol/member-commands';
const ENGINE = 'protocol/member-engine';
const MEMBER_LEASE = 'protocol/member-lease';
const MEMBER_ABORT = 'protocol/member-abort';
const MEMBER_DISARM = 'protocol/member-disarm';
const STEP = 'protocol/member-step';
const LEASE = 'protocol/lease';
const CLAIM = 'protocol/claim';
const TOKEN = 'domain/token';

/** Tokens, repeated commands, leases, the end on a member; and who holds the grid. */
export const PLANTED_IN_THE_MEMBER: readonly Planted[] = [
  // Tokens.
  plant('no-record-before-the-arm', 'durable-token', [COMMANDS, "[{ type: 'record', token }],", '[],']),
  plant('the-record-comes-after-the-arm', 'durable-token', [
    STEP,
    "effects: [...before, { type: 'engine', call: number, action }],",
    "effects: [{ type: 'engine', call: number, action }, ...before],",
  ]),
  plant('older-tokens-are-not-refused', 'tokens-grow', [
    COMMANDS,
    'if (highest !== null && !isNewer(state, token)) {',
    'if (false) {',
  ]),
  plant('the-same-token-is-not-refused', 'tokens-grow', [
    MEMBER_DISARM,
    'compareTokens(token, highest) > 0',
    'compareTokens(token, highest) >= 0',
  ]),
  plant('what-is-on-disk-is-not-read', 'tokens-grow', [
    MEMBER,
    "phase: { name: 'idle' },\n    highest,",
    "phase: { name: 'idle' },\n    highest: null,",
  ]),
  plant('only-attempts-are-compared', 'next-succeeds', [
    TOKEN,
    'a.epoch - b.epoch || a.counter - b.counter || a.attempt - b.attempt',
    'a.attempt - b.attempt',
  ]),

  // A command that is repeated.
  plant('first-answers-are-not-kept', 'no-reason', [
    STEP,
    'new Map(state.answers).set(key, message)',
    'state.answers',
  ]),
  plant('first-answers-are-not-repeated', 'no-reason', [
    COMMANDS,
    'if (first !== undefined) return answer(state, first);',
    '',
  ]),
  plant('first-answers-are-repeated-for-every-token', 'tries-again', [
    STEP,
    '`${command.type} ${formatToken(command.token)}`',
    '`${command.type}`',
  ]),
  plant(
    'a-freeze-after-its-thaw-is-done',
    'tokens-grow',
    [
      COMMANDS,
      'if (first !== undefined) return answer(state, first);',
      "if (first !== undefined && command.type !== 'freeze') return answer(state, first);",
    ],
    [
      COMMANDS,
      "if (phase.name !== 'armed' || !sameToken(phase.token, token)) {",
      "if (phase.name !== 'armed' && phase.name !== 'thawed') {",
    ],
    [COMMANDS, 'const { incarnation } = phase;', "const incarnation = '1';"],
  ),

  // Leases, and the word "held".
  plant('the-lease-of-a-freeze-is-ten-leases', 'thaws-by-itself', [
    COMMANDS,
    'incarnation,\n    lease: grantLease(leaseMs, now),',
    'incarnation,\n    lease: grantLease(leaseMs * 10, now),',
  ]),
  plant('the-end-of-a-lease-wakes-nobody', 'thaws-by-itself', [
    MEMBER,
    "return 'lease' in phase ? Math.min(silent, leaseEndsAt(phase.lease)) : silent;",
    'return silent;',
  ]),
  plant('a-lease-is-counted-from-long-ago', 'lease-lasts', [
    COMMANDS,
    'incarnation,\n    lease: grantLease(leaseMs, now),',
    'incarnation,\n    lease: grantLease(leaseMs, now - leaseMs),',
  ]),
  plant('no-word-renews-a-lease', 'lease-lasts', [
    MEMBER_LEASE,
    'phase: { ...phase, lease: renewLease(phase.lease, now) }',
    'phase',
  ]),
  plant('a-lease-that-ran-out-is-renewed', 'held', [
    MEMBER_LEASE,
    'if (leaseHasEnded(phase.lease, now)) return { ...state, heardAt: now };',
    '',
  ]),
  plant('a-thaw-after-the-lease-is-held', 'held', [
    COMMANDS,
    "if (phase.name === 'frozen' && leaseHasEnded(phase.lease, now))",
    'if (false)',
  ]),
  plant('already-resumed-is-told-as-held', 'held', [
    MEMBER_LEASE,
    "type: 'alreadyResumed', incarnation, cause",
    "type: 'held', incarnation, cause",
  ]),
  plant('broken-is-told-as-held', 'held', [
    ENGINE,
    'const proof = provenBy(state, result.proof);',
    "const proof = { type: 'held', incarnation: result.proof.incarnation } as const;",
  ]),
  plant('a-lease-is-never-renewed', 'lease-lasts', [
    LEASE,
    'return { ...lease, heardAt: now };',
    'return now < 0 ? { ...lease, heardAt: now } : lease;',
  ]),
  plant('a-lease-ends-early', 'lease-lasts', [
    LEASE,
    'return lease.heardAt + lease.leaseMs;',
    'return lease.heardAt + lease.leaseMs / 8;',
  ]),

  // The end on a member.
  plant('an-abort-is-answered-before-it-is-done', 'truth', [
    MEMBER_ABORT,
    'return becomeAborting(state, { closing: false });',
    "return becomeAborting(state, { closing: false }, [{ type: 'answer', answer: { type: 'aborted', state: 'running' } }]);",
  ]),
  plant('a-failed-abort-forgets-that-the-stream-is-gone', 'next-succeeds', [
    MEMBER_ABORT,
    "const closing = phase.name === 'aborting' && phase.closing;",
    'const closing = false;',
  ]),
  plant('a-closed-stream-aborts-nothing', 'next-succeeds', [
    MEMBER_ABORT,
    'return becomeAborting(state, { closing: true });',
    'return stay(state);',
  ]),
  plant('a-stream-that-closes-in-an-abort-is-forgotten', 'next-succeeds', [
    MEMBER_ABORT,
    'return stay({ ...state, phase: { ...phase, closing: true } });',
    'return stay(state);',
  ]),
  plant('who-ends-without-being-asked-says-nothing', 'ends', [
    MEMBER_ABORT,
    'effects: [told, ...closed.effects]',
    'effects: closed.effects',
  ]),
  plant('who-ended-by-itself-is-asked-again', 'confirms', [
    COORDINATOR,
    'const confirmed = answerReceived(aborting.state, member, answer, now);',
    "const confirmed = answerReceived(aborting.state, '', answer, now);",
  ]),
  plant('a-failure-is-not-told', 'names', [MEMBER_ABORT, "[{ type: 'answer', answer: told }]", '[]']),
  plant('an-engine-that-hangs-is-waited-for', 'thaws-by-itself', [
    MEMBER,
    'return becomeAborting(state, { closing: state.streamLost });',
    'return stay(now < 0 ? becomeAborting(state, { closing: false }).state : state);',
  ]),
  // Who holds the grid.
  plant('the-living-are-taken-over', 'claim', [CLAIM, 'leaseHasEnded(held.lease, now)', 'now > 0']),
  plant('the-dead-are-not-taken-over', 'claim', [
    CLAIM,
    "if (leaseHasEnded(held.lease, now)) return { type: 'takeOver' };",
    '',
  ]),
  plant('who-comes-back-is-refused', 'claim', [
    CLAIM,
    'if (held.operation === operation) return',
    'if (now < 0) return',
  ]),
];
