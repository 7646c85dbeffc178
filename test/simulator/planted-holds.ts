import { plant, type Planted } from './plant.ts';

const COORDINATOR = 'protocol/coordinator-machine';
const PREPARE = 'protocol/coordinator-prepare';
const ATTEMPT = 'protocol/coordinator-attempt';
const COMMIT = 'protocol/coordinator-commit';
const ABORT = 'protocol/coordinator-abort';
const TIMEOUT = 'protocol/coordinator-timeout';
const VALIDITY = 'protocol/validity';
const MEMBER = 'protocol/member-machine';
const MEMBER_LEASE = 'protocol/member-lease';
const COMMANDS = 'protocol/member-commands';
const CAPTURE = '../agent/capture';
const RUNTIME = '../agent/member-runtime';
const OPERATION = '../agent/checkpoint-operation';
const JOBS = '../agent/jobs';
const RUN = '../coordinator/checkpoint-run';
const HELD_JOB = '../coordinator/jobs/held-job';
const JUDGE = 'domain/judge-set';
const MEMBER_STEP = 'protocol/member-step';
const WRITE_DAEMON = '../test/simulator/write-daemon';
const WRITTEN = '../test/simulator/written';

const IS_FULL = 'const isFull = this.room !== null && this.#memory.length >= this.room;';

const ALL_MARKED = 'if (isComplete(holders(state, round), next.marked)) {';
const NO_DEADLINE =
  "    case 'idle':\n    case 'holding':\n    case 'committing':\n    case 'over':\n      return null;";

/** While it holds, this is waited for as if a member had not come to rest. */
function endsAt(id: string, deadline: string): Planted {
  return plant(
    id,
    'no-reason',
    [
      COORDINATOR,
      NO_DEADLINE,
      `    case 'holding':\n      return ${deadline};\n    case 'idle':\n    case 'committing':\n    case 'over':\n      return null;`,
    ],
    [TIMEOUT, "    case 'holding':\n", ''],
    [TIMEOUT, "    case 'freezing':\n", "    case 'holding' as never:\n    case 'freezing':\n"],
  );
}

/** What a job holds: when it has it, how it ends, and what is called proven of it. */
export const PLANTED_IN_HOLDS: readonly Planted[] = [
  // When the job has the grid.
  plant(
    'a-hold-is-told-before-all-have-marked',
    'holds',
    [ATTEMPT, ALL_MARKED, 'if (next.marked.size >= holders(state, round).length - 1) {'],
    [
      ATTEMPT,
      "if (!isComplete(holders(state), attempt.marked)) throw new Error('thaw before every member has marked');",
      '',
    ],
  ),
  plant('a-freeze-is-told-before-its-mark-is-let-go-of', 'holds', [
    ATTEMPT,
    "return state.config.purpose?.type === 'quiesce'\n",
    "return state.config.purpose?.type !== 'checkpoint'\n",
  ]),
  plant('members-are-not-told-what-they-are-held-for', 'holds', [
    PREPARE,
    'assignment, maintenance, purpose } };',
    'assignment, maintenance } };',
  ]),
  plant('a-write-daemon-is-not-waited-for', 'holds', [
    CAPTURE,
    'await suspension?.suspend();',
    'void suspension?.suspend().catch(() => undefined);',
  ]),
  plant('a-job-is-never-told-that-it-has-the-grid', 'no-reason', [
    RUN,
    'this.#input.job?.holding(effect.held);',
    '',
  ]),

  // Until it lets go.
  plant('a-quiesce-is-let-go-of-at-its-mark', 'holds', [
    ATTEMPT,
    "return state.config.purpose?.type === 'quiesce'\n",
    "return state.config.purpose?.type === 'checkpoint'\n",
  ]),
  plant('a-freeze-is-collected-at-its-mark', 'holds', [
    ATTEMPT,
    'return isFreeze ? becomeHolding(state, attempt)',
    'return isFreeze && now < 0 ? becomeHolding(state, attempt)',
  ]),
  plant('the-thaw-of-the-mark-ends-a-suspension', 'holds', [
    CAPTURE,
    'return this.#hold().thaw(token, released);',
    'return this.#hold().thaw(token, released).finally(() => this.#parts.suspension?.resume());',
  ]),
  plant('the-word-of-a-job-is-lost', 'no-reason', [
    RUN,
    "this.#dispatch({ type: 'letGo', now: this.#now() });",
    '',
  ]),
  endsAt(
    'the-time-out-of-a-quiesce-is-counted-on-while-it-holds',
    "state.config.purpose?.type === 'quiesce' ? (phase.attempt.fencedFrom ?? 0) + state.config.deadlines.freezeMs : null",
  ),
  endsAt(
    'a-freeze-ends-by-its-time-out',
    "state.config.purpose?.type === 'freeze' ? (phase.attempt.fencedFrom ?? 0) + state.config.purpose.timeOutMs : null",
  ),
  plant('the-time-out-of-a-round-is-counted-from-the-one-before', 'time-out', [
    ATTEMPT,
    'return becomeFreezing(state, next, ROUNDS.indexOf(round) + 1, now);',
    "const then = becomeFreezing(state, next, ROUNDS.indexOf(round) + 1, now);\n    return then.state.phase.name === 'freezing'\n      ? { ...then, state: { ...then.state, phase: { ...then.state.phase, deadline: phase.deadline } } }\n      : then;",
  ]),
  plant('what-a-job-had-it-gets-again', 'holds', [
    ATTEMPT,
    "return config.purpose?.type === 'quiesce' && attempt.marked.size > 0;",
    "return config.purpose?.type === 'checkpoint' && attempt.marked.size > 0;",
  ]),

  // Who ends it.
  plant('another-job-lets-go', 'job', [
    JOBS,
    "if (asked.operation !== '' && asked.operation !== held.operation) throw otherJob(held.holder);",
    '',
  ]),
  plant('a-quiesce-is-let-go-of-without-its-token', 'job', [
    JOBS,
    "(isThaw && purpose.type !== 'freeze')",
    'purpose === undefined',
  ]),
  plant('a-job-does-not-hear-that-it-is-asked', 'job', [
    OPERATION,
    'this.#listener?.letGoAsked(holder);',
    '',
  ]),
  plant('a-driver-does-not-hear-that-its-job-is-asked', 'job', [
    RUN,
    'letGoAsked: (holder) => this.#input.job?.letGoAsked(holder),',
    '',
  ]),

  // Without a living job nobody is held, and with one everybody is.
  plant('a-quiesce-of-a-dead-job-is-renewed', 'thaws-by-itself', [
    MEMBER,
    'return becomeReleasing(state, phase, now, false);',
    "return state.purpose.type === 'quiesce'\n      ? stay({ ...state, heardAt: now, phase: { ...phase, lease: { ...phase.lease, heardAt: now } } })\n      : becomeReleasing(state, phase, now, false);",
  ]),
  plant('a-suspension-outlives-its-lease', 'thaws-by-itself', [
    MEMBER,
    "return purpose.type === 'freeze' && phase.name !== 'collected' ? leaseMs :",
    "return purpose.type === 'freeze' && leaseMs < 0 && phase.name !== 'collected' ? leaseMs :",
  ]),
  plant('no-word-gives-a-quiesce-time-to-come-to-rest', 'lease-lasts', [
    MEMBER_LEASE,
    "if (phase.name === 'freezing' && state.purpose.type !== 'quiesce')",
    "if (phase.name === 'freezing')",
  ]),
  plant('an-engine-does-not-hear-that-it-is-still-held', 'no-reason', [
    RUNTIME,
    'this.#capture?.renew();',
    '',
  ]),
  plant('only-what-has-come-to-rest-is-renewed-in-its-engine', 'no-reason', [
    MEMBER_LEASE,
    "effects: isRenewed && state.isFrozen ? [{ type: 'renew' }] : [] };",
    "effects: isRenewed && state.phase.name === 'freezing' ? [{ type: 'renew' }] : [] };",
  ]),
  plant('who-may-be-suspended-is-not-waited-for', 'thawed-after-the-end', [
    ABORT,
    'return state.holdSent ? asked :',
    'return phase.token !== null ? asked :',
  ]),
  plant('who-collects-for-a-freeze-is-taken-for-resumed', 'thawed-after-the-end', [
    ABORT,
    "(name === 'collecting' && config.purpose?.type !== 'freeze')",
    "(name === 'collecting' && config.maxArms > 0)",
  ]),
  plant('an-abort-leaves-a-suspension', 'truth', [
    CAPTURE,
    'await all([hold?.release(), journal?.release(), copy?.abandon()]);',
    "await all([this.#purpose.type === 'freeze' ? undefined : hold?.release(), journal?.release(), copy?.abandon()]);",
  ]),

  // How long updates go on while it lasts, and that none of them is lost: by a process that breaks its contract, too.
  plant('the-time-for-which-updates-go-on-is-told-in-seconds', 'updates-go-on', [
    PREPARE,
    'maintenance, purpose } };',
    "maintenance, purpose: purpose?.type === 'freeze' ? { ...purpose, timeOutMs: purpose.timeOutMs / 1000 } : purpose } };",
  ]),
  plant('updates-wait-before-memory-is-full', 'updates-go-on', [
    WRITE_DAEMON,
    'this.#memory.length >= this.room;',
    'this.#memory.length >= this.room - 1;',
  ]),
  plant(
    'an-update-is-lost-when-memory-is-full',
    'updates-go-on',
    [WRITE_DAEMON, IS_FULL, 'const isFull = false;'],
    [
      WRITE_DAEMON,
      'this.#memory.push(effect);\n',
      'if (this.suspended === null || this.#memory.length < (this.room ?? Infinity)) this.#memory.push(effect);\n',
    ],
  ),
  plant('who-waits-for-room-is-told-that-it-is-written', 'updates-go-on', [
    WRITTEN,
    'this.#blocked.push({ effect, answer });',
    'this.#blocked.push({ effect, answer });\n    answer(true);',
  ]),
  plant('who-waits-for-room-is-let-in-where-there-is-none', 'updates-go-on', [
    WRITTEN,
    'while (this.#blocked.length > 0 && hasRoom()) {',
    'while (this.#blocked.length > 0) {',
  ]),
  plant('a-thaw-forgets-what-is-in-memory', 'updates-go-on', [
    WRITE_DAEMON,
    'if (!this.#ends(by)) return;\n    this.#write();',
    'if (!this.#ends(by)) return;\n    this.#memory = [];',
  ]),
  plant('a-thaw-forgets-who-waits-for-room', 'updates-go-on', [WRITE_DAEMON, 'this.#resumed();', '']),
  plant('a-start-forgets-what-was-in-memory', 'updates-go-on', [
    WRITE_DAEMON,
    'this.#memory = log.slice(this.files.length);\n    this.#write();',
    'this.#memory = log.slice(log.length);\n    this.#write();',
  ]),
  plant('files-are-written-where-memory-is-full', 'held-for-its-job', [
    WRITE_DAEMON,
    IS_FULL,
    'if (this.#memory.length >= (this.room ?? Infinity)) this.#write();\n    const isFull = false;',
  ]),
  plant('full-memory-ends-a-suspension', 'no-reason', [
    WRITE_DAEMON,
    IS_FULL,
    "if (this.#memory.length >= (this.room ?? Infinity)) this.resume('itself');\n    const isFull = false;",
  ]),
  plant('the-mark-counts-who-waits-for-room', 'one-moment', [
    WRITTEN,
    'return this.log.length;',
    'return this.log.length + this.#blocked.length;',
  ]),

  // What is called proven.
  plant('a-freeze-needs-no-proof-of-its-suspension', 'held-for-its-job', [
    COMMIT,
    "state.config.purpose?.type === 'freeze' ? findNotSuspended",
    "state.config.purpose?.type === 'checkpoint' ? findNotSuspended",
  ]),
  plant('a-write-daemon-that-had-resumed-counts-as-suspended', 'held-for-its-job', [
    VALIDITY,
    'if (!suspension.held) return { member, cause: suspension.cause };',
    '',
  ]),
  plant('whoever-collects-says-that-it-was-suspended', 'held-for-its-job', [
    CAPTURE,
    'suspension: suspended ?? { held: true }',
    'suspension: { held: suspended !== null }',
  ]),
  plant(
    'a-quiesce-that-had-resumed-is-called-valid',
    'proven',
    [
      ATTEMPT,
      'const invalid = unheldAtArm(state, attempt) ?? findInvalid(held, allowLogical);',
      'const invalid = wasHeld(state, attempt) ? null : (unheldAtArm(state, attempt) ?? findInvalid(held, allowLogical));',
    ],
    [
      COMMANDS,
      "if (phase.name !== 'thawed' || !phase.held || !sameToken(phase.token, token)) {",
      "if ((phase.name !== 'thawed' && phase.name !== 'released') || !sameToken(phase.token, token)) {",
    ],
  ),
  // What was copied, and what it can be restored to.
  plant('a-checkpoint-counts-for-a-backup-that-ended-later', 'stamp', [
    JUDGE,
    'if (epoch < hold.epoch || (epoch === hold.epoch && counter < hold.counter)) return [];',
    'if (epoch < hold.epoch || (epoch === hold.epoch && counter <= hold.counter)) return [];',
  ]),
  plant('a-checkpoint-counts-for-no-backup-that-ended-just-before', 'stamp', [
    JUDGE,
    'if (epoch < hold.epoch || (epoch === hold.epoch && counter < hold.counter)) return [];',
    'if (epoch < hold.epoch || (epoch === hold.epoch && counter < hold.counter - 1)) return [];',
  ]),
  plant('a-backup-that-begins-before-its-hold-is-taken', 'stamp', [
    JUDGE,
    'if (begun.heldBy === null) return outside(',
    'if (begun.heldBy === null) return begun.stoppedAs === null ? [] : outside(',
  ]),
  plant('a-backup-that-ends-after-its-hold-is-taken', 'stamp', [
    JUDGE,
    'if (ended === null || isThis(ended.stamp)) return [];',
    'if (ended === null || isThis(begun)) return [];',
  ]),
  plant('a-backup-of-another-hold-is-taken', 'stamp', [
    JUDGE,
    'stamp.heldBy?.checkpoint === hold.checkpoint;',
    'stamp.heldBy?.checkpoint !== undefined;',
  ]),
  plant('who-is-only-prepared-is-taken-for-held', 'stamp', [
    MEMBER_STEP,
    "if (purpose.type === 'quiesce') return phase.name === 'frozen';",
    "if (purpose.type === 'quiesce') return phase.name !== 'idle';",
  ]),
  plant('who-is-held-is-not-said-to-be', 'stamp', [
    MEMBER_STEP,
    "return purpose.type === 'freeze' && phase.name === 'thawed' && phase.held;",
    "return purpose.type === 'freeze' && phase.name === 'collected';",
  ]),
  plant('who-is-asked-before-it-has-the-grid-goes-on', 'job', [
    HELD_JOB,
    'this.#run?.cancel(endedEarly(by.who));',
    'void endedEarly(by.who);',
  ]),

  plant('proofs-of-an-older-attempt-count', 'tries-again', [
    COORDINATOR,
    "if (!('token' in answer) || !sameToken(answer.token, phase.attempt.token)) return stay(state);",
    "if (!('token' in answer) || (answer.type !== 'thawed' && !sameToken(answer.token, phase.attempt.token)))\n    return stay(state);",
  ]),
];
