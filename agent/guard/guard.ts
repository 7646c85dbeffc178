import { StillpointError } from '../../shared/domain/errors.ts';
import type { Alarm, Clock } from '../../shared/runtime/clock.ts';
import type { Logger } from '../../shared/runtime/log.ts';
import type { Undo } from '../engines/engine.ts';
import type { GuardProcess, StartGuard } from './guard-process.ts';
import type { FromGuard } from './messages.ts';

const ALIVE_EVERY_MS = 500;
const ANSWER_WITHIN_MS = 15_000;
/** One that has nothing to undo closes its connections and goes. */
const ENDS_WITHIN_MS = 5000;

/**
 * The agent's side of the guard: starts the process with the operation, tells it what to undo, and shows it
 * that the agent lives. A guard that dies fails the operation: without it nobody may be frozen.
 */
export class Guard {
  readonly #process: GuardProcess;
  readonly #clock: Clock;
  readonly #waiting = new Map<string, { resolve(): void; reject(error: Error): void }>();
  readonly #alive: Alarm;
  readonly #undone: (member: string) => void;
  #isGone = false;
  #ended = false;

  /** `undone` is called when the guard thawed a member by itself; `lost` when the guard died. */
  constructor(input: {
    start: StartGuard;
    operation: string;
    clock: Clock;
    log: Pick<Logger, 'error'>;
    undone: (member: string) => void;
    lost: () => void;
  }) {
    this.#clock = input.clock;
    this.#undone = input.undone;
    this.#process = input.start(input.operation, (message) => this.#heard(message));
    this.#alive = input.clock.alarm(() => this.#showAlive());
    this.#alive.set(input.clock.now() + ALIVE_EVERY_MS);
    void this.#process.gone.then(() => {
      this.#isGone = true;
      this.#alive.set(null);
      const error = guardLost();
      for (const waiting of this.#waiting.values()) waiting.reject(error);
      this.#waiting.clear();
      if (!this.#ended) {
        input.log.error({ event: 'guardLost' }, 'the guard process died');
        input.lost();
      }
    });
  }

  /** Resolves when the guard holds the undo and a connection of its own. */
  async watch(member: string, undo: Undo, silenceMs: number): Promise<void> {
    if (this.#isGone || this.#ended) throw guardLost();
    const answered = new Promise<void>((resolve, reject) => {
      const late = this.#clock.alarm(() => settle(() => reject(guardLost())));
      late.set(this.#clock.now() + ANSWER_WITHIN_MS);
      const settle = (then: () => void): void => {
        late.set(null);
        this.#waiting.delete(member);
        then();
      };
      this.#waiting.set(member, {
        resolve: () => settle(resolve),
        reject: (error) => settle(() => reject(error)),
      });
    });
    this.#process.say({ type: 'watch', member, undo, silenceMs });
    await answered;
  }

  unwatch(member: string): void {
    this.#process.say({ type: 'unwatch', member });
  }

  /**
   * Ends a guard that has nothing left to undo. Resolves when its process is gone; one that does not go by itself, as a
   * stopped process cannot, is killed.
   */
  async end(): Promise<void> {
    this.leave();
    const late = this.#clock.alarm(() => this.#process.kill());
    late.set(this.#clock.now() + ENDS_WITHIN_MS);
    await this.#process.gone;
    late.set(null);
  }

  /** Lets go of a guard that has still something to undo: it tries on, and goes when that is done. */
  leave(): void {
    this.#ended = true;
    this.#alive.set(null);
    this.#process.hangUp();
  }

  #showAlive(): void {
    this.#process.say({ type: 'alive' });
    this.#alive.set(this.#clock.now() + ALIVE_EVERY_MS);
  }

  #heard(message: FromGuard): void {
    if (message.type === 'undone') return this.#undone(message.member);
    const waiting = this.#waiting.get(message.member);
    if (message.type === 'watching') waiting?.resolve();
    else waiting?.reject(guardRefused(message.member, message.cause));
  }
}

function guardRefused(member: string, cause: string): StillpointError {
  return new StillpointError({
    code: 'guard-refused',
    message: `the guard cannot watch ${member}: ${cause}`,
    hint: 'the guard needs a connection of its own to the member: look at the connection limits of its server',
  });
}

function guardLost(): StillpointError {
  return new StillpointError({
    code: 'guard-lost',
    message: 'the guard process, which thaws when the agent dies, is not there',
    hint: "see the agent's log for why it ended; nothing is frozen without it",
  });
}
