import { spawn, type ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { StillpointError } from '../../shared/domain/errors.ts';
import type { Logger } from '../../shared/runtime/log.ts';
import type { Undo } from '../engines/engine.ts';
import { jsonLines, type FromGuard, type ToGuard } from './messages.ts';

const ALIVE_EVERY_MS = 500;
const ANSWER_WITHIN_MS = 15_000;
/** One that has nothing to undo closes its connections and goes. */
const ENDS_WITHIN_MS = 5000;

type GuardProcess = ChildProcessByStdio<Writable, Readable, null>;

/**
 * The agent's side of the guard: starts the process with the operation, tells it what to undo, and shows it
 * that the agent lives. A guard that dies fails the operation: without it nobody may be frozen.
 */
export class Guard {
  readonly #child: GuardProcess;
  readonly #waiting = new Map<string, { resolve(): void; reject(error: Error): void }>();
  readonly #alive: NodeJS.Timeout;
  readonly #gone: Promise<void>;
  #isGone = false;
  #ended = false;

  /** `undone` is called when the guard thawed a member by itself; `lost` when the guard died. */
  constructor(input: {
    configuration: string;
    operation: string;
    log: Logger;
    undone: (member: string) => void;
    lost: () => void;
  }) {
    const program = fileURLToPath(
      new URL(`./main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url),
    );
    // Detached: a signal to the agent's process group must not take the guard with it.
    this.#child = spawn(process.execPath, [program, input.configuration, input.operation], {
      stdio: ['pipe', 'pipe', 'inherit'],
      detached: true,
    });
    this.#child.stdin.on('error', () => undefined);
    this.#gone = new Promise((resolve) => {
      this.#child.once('error', () => resolve());
      this.#child.once('exit', () => resolve());
    });
    void this.#gone.then(() => {
      this.#isGone = true;
      clearInterval(this.#alive);
      const error = guardLost();
      for (const waiting of this.#waiting.values()) waiting.reject(error);
      this.#waiting.clear();
      if (!this.#ended) {
        input.log.error({ event: 'guardLost' }, 'the guard process died');
        input.lost();
      }
    });
    void this.#listen(input.undone);
    this.#alive = setInterval(() => this.#say({ type: 'alive' }), ALIVE_EVERY_MS);
  }

  /** Resolves when the guard holds the undo and a connection of its own. */
  async watch(member: string, undo: Undo, silenceMs: number): Promise<void> {
    if (this.#isGone || this.#ended) throw guardLost();
    const answered = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(guardLost()), ANSWER_WITHIN_MS);
      const settle = (then: () => void): void => {
        clearTimeout(timer);
        this.#waiting.delete(member);
        then();
      };
      this.#waiting.set(member, {
        resolve: () => settle(resolve),
        reject: (error) => settle(() => reject(error)),
      });
    });
    this.#say({ type: 'watch', member, undo, silenceMs });
    await answered;
  }

  unwatch(member: string): void {
    this.#say({ type: 'unwatch', member });
  }

  /**
   * Ends a guard that has nothing left to undo. Resolves when its process is gone; one that does not go by itself, as a
   * stopped process cannot, is killed.
   */
  async end(): Promise<void> {
    this.leave();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), ENDS_WITHIN_MS);
    await this.#gone;
    clearTimeout(timer);
  }

  /** Lets go of a guard that has still something to undo: it tries on, and goes when that is done. */
  leave(): void {
    this.#ended = true;
    clearInterval(this.#alive);
    this.#child.stdin.end();
  }

  #say(message: ToGuard): void {
    if (this.#child.stdin.writable) this.#child.stdin.write(`${JSON.stringify(message)}\n`);
  }

  async #listen(undone: (member: string) => void): Promise<void> {
    for await (const message of jsonLines<FromGuard>(this.#child.stdout)) {
      const waiting = this.#waiting.get(message.member);
      if (message.type === 'watching') waiting?.resolve();
      else if (message.type === 'undone') undone(message.member);
      else {
        waiting?.reject(
          new StillpointError({
            code: 'guard-refused',
            message: `the guard cannot watch ${message.member}: ${message.cause}`,
            hint: 'the guard needs a connection of its own to the member: look at the connection limits of its server',
          }),
        );
      }
    }
  }
}

function guardLost(): StillpointError {
  return new StillpointError({
    code: 'guard-lost',
    message: 'the guard process, which thaws when the agent dies, is not there',
    hint: "see the agent's log for why it ended; nothing is frozen without it",
  });
}
