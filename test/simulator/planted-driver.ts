import { plant, type Planted } from './plant.ts';

const RUN = '../coordinator/checkpoint-run';

/** What performs the effects of the coordinator's machine, and tells it what happened. */
export const PLANTED_IN_THE_DRIVER: readonly Planted[] = [
  plant('a-driver-calls-committed-what-it-has-only-begun-to-commit', 'ending', [
    RUN,
    'const failure = await this.#input.commit(proof).then(',
    'const failure = await Promise.resolve(void this.#input.commit(proof).catch(() => undefined)).then(',
  ]),
  plant('a-driver-calls-committed-what-could-not-be', 'ending', [
    RUN,
    "(error: unknown) => failureOf(error, { code: 'commit-failed', hint: 'look at the repository' }),",
    '() => null,',
  ]),
  plant('a-driver-never-hears-that-it-is-committed', 'ends', [
    RUN,
    "this.#dispatch(failure === null ? { type: 'committed', now }",
    "if (failure !== null) this.#dispatch(failure === null ? { type: 'committed', now }",
  ]),
  plant('a-driver-has-no-alarm', 'ends', [
    RUN,
    'this.#alarm.set(this.#over ? null : machine.nextDeadline(this.#state));',
    '',
  ]),
  plant('a-driver-sets-its-alarm-too-late', 'in-time', [
    RUN,
    'machine.nextDeadline(this.#state));',
    '(machine.nextDeadline(this.#state) ?? Infinity) + 5000);',
  ]),
  plant('a-driver-does-not-say-who-is-lost', 'ends', [
    RUN,
    "this.#dispatch({ type: 'memberLost', now: this.#now(), member, failure, mayReturn });",
    'void mayReturn;',
  ]),
  plant('a-driver-gives-up-whose-stream-breaks-once', 'resumes', [
    RUN,
    'const mayReturn = OF_THE_CONNECTION.includes(failure.code);',
    'const mayReturn = false;',
  ]),
  plant('a-driver-connects-anew-and-sends-to-the-old-stream', 'resumes', [
    RUN,
    'this.#input.streams.set(address, stream);',
    '',
  ]),
  plant('a-driver-does-not-listen-to-a-new-stream', 'ends', [
    RUN,
    'this.#reconnecting.delete(address);\n      this.#listenTo(address, stream);',
    'this.#reconnecting.delete(address);',
  ]),
  plant('a-driver-does-not-say-who-is-back', 'resumes', [
    RUN,
    "this.#dispatch({ type: 'memberReconnected', now: this.#now(), member, resumed });",
    'void resumed;',
  ]),
  plant('a-driver-believes-that-no-work-was-kept', 'resumes', [
    RUN,
    'const { stream, resumed } = reached;',
    'const { stream } = reached;\n      const resumed = false;',
  ]),
  plant('a-driver-connects-anew-once', 'confirms', [RUN, 'this.#reconnecting.delete(address);', '']),
  plant('a-driver-hears-one-word-of-a-person', 'ends', [
    RUN,
    "second.addEventListener('abort', cancel, { once: true });",
    '',
  ]),
  plant(
    'a-driver-sends-a-command-again-in-the-place-of-the-next',
    'no-reason',
    [
      RUN,
      '?.command(effect.member, effect.command);',
      '?.command(effect.member, (this.#first ??= effect.command));',
    ],
    [RUN, '  #over = false;', '  #over = false;\n  #first: MemberCommand | null = null;'],
  ),
  plant('a-driver-performs-the-first-effect-alone', 'no-reason', [
    RUN,
    'for (const effect of stepped.effects) this.#perform(effect);',
    'for (const effect of stepped.effects.slice(0, 1)) this.#perform(effect);',
  ]),
  plant('a-driver-acts-on-the-state-before', 'ends', [RUN, 'this.#state = stepped.state;', '']),
];
