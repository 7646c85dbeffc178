import { plant, type Planted } from './plant.ts';

const OPERATION = '../agent/checkpoint-operation';
const GUARD = '../agent/guard/guard';
const WATCHES = '../agent/guard/watches';
const WATCH = '../agent/guard/watch';
const KEEPER = '../agent/undo-keeper';
const IDENTITY = '../agent/engines/postgres/server/server-identity';

/** What undoes when an agent is killed, stopped, or starts anew. Looked for where the real one runs. */
export const PLANTED_IN_THE_UNDO: readonly Planted[] = [
  // The guard.
  plant('a-guard-waits-for-a-silent-agent-for-ever', 'thaws-by-itself', [
    WATCH,
    'now - this.#heardAt > this.#silenceMs;',
    'now < 0;',
  ]),
  plant('a-guard-does-not-hear-its-agent', 'lease-lasts', [
    WATCH,
    'messageReceived(now: number): void {\n    this.#heardAt = now;',
    'messageReceived(now: number): void {\n    if (now < 0) this.#heardAt = now;',
  ]),
  plant('a-guard-calls-undone-what-it-has-tried-once', 'truth', [WATCH, 'await pause.wait();', 'return;']),
  plant('a-guard-tries-again-without-a-pause', 'pauses', [WATCH, 'await pause.wait();', '']),
  plant('a-guard-calls-undone-what-failed', 'truth', [
    WATCH,
    'const undo = this.#undo;',
    'const undo = this.#undo;\n      this.#undo = null;',
  ]),
  plant('a-guard-undoes-what-its-agent-has-undone-and-frozen-anew', 'undone-where-it-was-done', [
    WATCH,
    'if (!(await this.#isLeft()) && this.#undo === undo) this.#undo = null;',
    '',
  ]),
  // The agent that starts anew.
  plant('what-a-killed-agent-left-is-tried-once', 'thaws-by-itself', [
    KEEPER,
    'if (failure !== null) this.#keep(member, failure);',
    '',
  ]),
  plant('a-freeze-record-goes-before-its-undo', 'thaws-by-itself', [
    KEEPER,
    'const words = await known.engine.undo(record.undo);\n      await this.#records.clearFreeze(member);',
    'await this.#records.clearFreeze(member);\n      const words = await known.engine.undo(record.undo);',
  ]),
  plant('an-agent-tries-again-without-a-pause', 'pauses', [KEEPER, 'await pause.wait();', '']),
  // Which server it is.
  plant('any-server-is-the-one-that-was-frozen', 'undone-where-it-was-done', [
    IDENTITY,
    'if (frozen.systemIdentifier !== here.systemIdentifier)',
    "if (frozen.systemIdentifier === '')",
  ]),
  plant('a-new-primary-is-the-one-that-was-frozen', 'undone-where-it-was-done', [
    IDENTITY,
    "return here.timeline === null ? 'restarted' : 'other';",
    "return 'restarted';",
  ]),
  plant('a-restarted-server-is-another', 'thaws-by-itself', [
    IDENTITY,
    "if (here.timeline === frozen.timeline) return 'restarted';",
    "if (here.timeline === frozen.timeline) return 'other';",
  ]),
  // The agent's part, and the process that watches.
  plant('nobody-tells-the-guard-what-to-undo', 'thaws-by-itself', [
    OPERATION,
    'await this.#guard.watch(member, undo, silenceMs);',
    '',
  ]),
  plant('a-freeze-is-not-recorded', 'thaws-by-itself', [
    OPERATION,
    'await state.saveFreeze({ member, operation: id, undo });',
    '',
  ]),
  plant('a-guard-is-not-shown-that-its-agent-lives', 'lease-lasts', [
    GUARD,
    "this.#process.say({ type: 'alive' });",
    '',
  ]),
  plant('a-guard-goes-when-its-agent-is-gone', 'truth', [
    WATCHES,
    'const undone = this.undoAll();',
    'const undone = Promise.resolve();',
  ]),
  plant('a-guard-looks-once', 'thaws-by-itself', [
    WATCHES,
    'this.#looks.set(clock.now() + LOOKS_EVERY_MS);',
    '',
  ]),
];
