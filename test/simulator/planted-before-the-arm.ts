import { plant, type Planted } from './plant.ts';

const COORDINATOR = 'protocol/coordinator-machine';
const PREPARE = 'protocol/coordinator-prepare';
const ATTEMPT = 'protocol/coordinator-attempt';
const ARM_AGAIN = 'protocol/coordinator-arm-again';
const MEMBER = 'protocol/member-machine';
const COMMANDS = 'protocol/member-commands';
const ENGINE = 'protocol/member-engine';
const MEMBER_ABORT = 'protocol/member-abort';
const STREAM = 'protocol/member-abort';
const DISARM = 'protocol/member-disarm';
const CLAIM = 'protocol/claim';

/** Streams that are lost and come back, arms that fail, observers that pause. */
export const PLANTED_BEFORE_THE_ARM: readonly Planted[] = [
  // Streams.
  plant(
    'the-work-of-a-stream-that-closed-while-armed-is-kept',
    'thaws-by-itself',
    [
      STREAM,
      "if (wasArmed || maintenance || purpose.type === 'freeze') return false;",
      'if (wasArmed && maintenance) return false;',
    ],
    [
      STREAM,
      "return name === 'preparing' ||",
      "return name === 'armed' || name === 'frozen' || name === 'preparing' ||",
    ],
  ),
  plant('a-stream-that-is-lost-ends-what-is-prepared', 'resumes', [
    STREAM,
    'return isKept(state) ? stay({ ...state, streamLost: true }) : operationEnded(state);',
    'return operationEnded(state);',
  ]),
  plant('a-lost-stream-is-never-taken-up-again', 'resumes', [
    COORDINATOR,
    'const isPatient = mayReturn &&',
    'const isPatient = now < 0 && mayReturn &&',
  ]),
  plant('who-is-away-is-armed', 'resumes', [
    PREPARE,
    'prepared.delete(member);\n  return { ...phase, prepared };',
    'return { ...phase, prepared };',
  ]),
  plant('who-is-away-while-observers-pause-is-armed', 'resumes', [
    PREPARE,
    'missing: new Set(phase.missing).add(member)',
    'missing: phase.missing',
  ]),
  plant('who-comes-back-is-asked-nothing', 'resumes', [
    COORDINATOR,
    'return resumed ? cameBackPrepared(back.state, phase, member) :',
    'return resumed ? stay(cameBackPrepared(back.state, phase, member).state) :',
  ]),
  plant(
    'what-failed-meanwhile-is-still-called-prepared',
    'truth',
    [
      MEMBER_ABORT,
      "const next = state.wasArmed ? state : { ...state, answers: new Map(state.answers).set('prepare', told) };",
      'const next = state;',
    ],
    [
      COMMANDS,
      "if (first?.type === 'failed') return answer(state, first);",
      'if (first !== undefined) return answer(state, first);',
    ],
  ),
  plant('another-operation-takes-up-the-work', 'claim', [
    CLAIM,
    'if (held.operation === operation) return',
    'if (held.operation === operation || (mayBeResumed && leaseHasEnded(held.lease, now))) return',
  ]),
  plant('what-is-kept-is-kept-from-the-next', 'claim', [
    CLAIM,
    "if (leaseHasEnded(held.lease, now)) return { type: 'takeOver' };",
    "if (leaseHasEnded(held.lease, now) && !mayBeResumed) return { type: 'takeOver' };",
  ]),
  plant('what-is-kept-is-kept-for-ever', 'claim', [
    MEMBER,
    "return 'lease' in phase ? Math.min(silent, leaseEndsAt(phase.lease)) : silent;",
    "return 'lease' in phase ? Math.min(silent, leaseEndsAt(phase.lease)) : streamLost ? null : silent;",
  ]),
  plant('what-ended-unheard-holds-the-host-for-ever', 'claim', [
    MEMBER,
    "if (phase.name === 'aborted' && !streamLost) return null;",
    "if (phase.name === 'aborted') return null;",
  ]),

  // Arms.
  plant('an-arm-that-failed-is-tried-again-without-disarming', 'tries-again', [
    ARM_AGAIN,
    'return others.length === 0 ? becomeWaiting(next, phase, now) : { state: next, effects: sends };',
    'return sends.length >= 0 ? becomeWaiting(next, phase, now) : { state: next, effects: sends };',
  ]),
  plant('an-arm-that-failed-ends-it', 'tries-again', [
    ARM_AGAIN,
    'if (failedArms >= maxArms)',
    'if (failedArms >= 1)',
  ]),
  plant('an-arm-that-fails-is-tried-for-ever', 'in-time', [
    ARM_AGAIN,
    'if (failedArms >= maxArms)',
    'if (failedArms >= 1000)',
  ]),
  plant('an-arm-that-failed-is-tried-again-at-once', 'pauses', [
    ARM_AGAIN,
    'deadline: now + pauseMs',
    'deadline: now',
  ]),
  plant('arms-that-failed-use-up-the-attempts', 'ending', [
    ATTEMPT,
    'attempt.token.attempt - state.failedArms < state.config.maxAttempts',
    'attempt.token.attempt < state.config.maxAttempts',
  ]),
  plant('a-member-that-failed-to-arm-aborts', 'tries-again', [
    ENGINE,
    "phase.name === 'arming' && result.failure.isFinal !== true)",
    "phase.name === 'arming' && now < 0)",
  ]),
  plant('an-arm-that-failed-for-good-is-tried-again', 'in-vain', [
    ENGINE,
    "phase.name === 'arming' && result.failure.isFinal !== true)",
    "phase.name === 'arming')",
  ]),
  plant('an-arm-that-is-late-stays', 'tries-again', [
    ENGINE,
    'if (asked) return',
    'if (asked && now < 0) return',
  ]),
  plant('a-disarmed-member-is-never-armed-again', 'tries-again', [
    DISARM,
    "'released', 'disarmed'",
    "'released'",
  ]),

  // Observers.
  plant('nobody-waits-for-observers', 'order', [
    ATTEMPT,
    '  if (observers.length === 0) return becomeArming(state, number, now);',
    '  if (observers.length >= 0) return becomeArming(state, number, now);',
  ]),
  plant('observers-pause-for-the-first-attempt-alone', 'order', [
    ATTEMPT,
    '  if (observers.length === 0) return becomeArming(state, number, now);',
    '  if (observers.length === 0 || number > 1) return becomeArming(state, number, now);',
  ]),
  plant('one-observer-is-enough', 'order', [
    ATTEMPT,
    'if (missing.size === 0) return becomeArming',
    'if (missing.size <= 1) return becomeArming',
  ]),
  plant('observers-are-waited-for-without-an-end', 'in-time', [
    ATTEMPT,
    'now + state.config.deadlines.pauseMs',
    'now + 1e9',
  ]),
];
