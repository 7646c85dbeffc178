import { plant, type Planted } from './plant.ts';

const RUNTIME = '../agent/member-runtime';

/** What performs the effects of a member's machine, and tells it what came of them. */
export const PLANTED_IN_THE_RUNTIME: readonly Planted[] = [
  plant('a-runtime-does-not-wait-for-its-disk', 'durable-token', [
    RUNTIME,
    'await this.#context.record(effect.token, this.#state.leaseMs);',
    'this.#context.record(effect.token, this.#state.leaseMs).catch(() => undefined);',
  ]),
  plant('a-runtime-goes-on-although-its-disk-has-failed', 'durable-token', [
    RUNTIME,
    "this.#effects = this.#effects.filter((effect) => effect.type !== 'engine');",
    '',
  ]),
  plant('a-runtime-performs-the-last-effect-first', 'durable-token', [
    RUNTIME,
    'for (let effect = this.#effects.shift(); effect !== undefined; effect = this.#effects.shift()) {',
    'for (let effect = this.#effects.pop(); effect !== undefined; effect = this.#effects.pop()) {',
  ]),
  plant('a-runtime-begins-effects-while-others-wait', 'durable-token', [
    RUNTIME,
    'if (!this.#performing) void this.#perform();',
    'void this.#perform();',
  ]),
  plant('a-runtime-calls-its-engine-twice', 'tries-again', [
    RUNTIME,
    'void this.#call(effect.call, effect.action);',
    'void this.#call(effect.call, effect.action);\n          void this.#call(effect.call, effect.action);',
  ]),
  plant('a-runtime-has-no-alarm', 'thaws-by-itself', [
    RUNTIME,
    'this.#alarm.set(machine.nextMemberDeadline(this.#state));',
    '',
  ]),
  plant('a-runtime-sets-its-alarm-too-late', 'thaws-by-itself', [
    RUNTIME,
    'this.#alarm.set(machine.nextMemberDeadline(this.#state));',
    'this.#alarm.set((machine.nextMemberDeadline(this.#state) ?? Infinity) + 5000);',
  ]),
  plant('a-runtime-says-prepared-too-early', 'truth', [
    RUNTIME,
    'await this.#opened().prepare();',
    'void this.#opened().prepare().catch(() => undefined);',
  ]),
  plant('a-runtime-says-released-too-early', 'truth', [
    RUNTIME,
    'const proof = await this.#opened().thaw(action.token, () => {',
    "answer({ type: 'released', thawMs: 0 });\n        const proof = await this.#opened().thaw(action.token, () => {",
  ]),
  plant('a-runtime-says-aborted-too-early', 'truth', [
    RUNTIME,
    'this.#abortFailure = await this.#tryAbort();',
    'void this.#tryAbort();',
  ]),
  plant('a-runtime-keeps-a-failure-to-itself', 'ends', [RUNTIME, "answer({ type: 'failed', failure });", '']),
  plant('a-runtime-does-not-say-that-it-is-done', 'next-succeeds', [RUNTIME, 'this.#resolveClosed();', '']),
  plant('a-runtime-does-not-hear-words', 'lease-lasts', [
    RUNTIME,
    "this.#dispatch({ type: 'messageReceived', now: this.#now() });",
    '',
  ]),
  plant('a-runtime-does-not-hear-that-its-operation-is-over', 'next-succeeds', [
    RUNTIME,
    "this.#dispatch({ type: 'operationEnded', now: this.#now() });",
    '',
  ]),
  plant('a-runtime-acts-on-the-state-before', 'no-reason', [RUNTIME, 'this.#state = stepped.state;', '']),
  plant('a-member-does-not-say-that-it-is-frozen', 'truth', [
    'protocol/member-commands',
    'call({ ...state, isFrozen: true }, ',
    'call(state, ',
  ]),
  plant('a-member-says-after-its-abort-that-it-is-frozen', 'truth', [
    'protocol/member-engine',
    'becomeAborted(opened(state), ',
    'becomeAborted(state, ',
  ]),
];
