import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import { access, constants as modes } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { EXIT, StillpointError } from '../../shared/domain/errors.ts';
import type { Occupation } from './held-job.ts';
import type { HeldGrid } from './hold-report.ts';
import { IN_BACKGROUND } from './background.ts';

/** So long a program that is told to end may take; then it is killed, with all that it started. */
const LAST_MS = 5000;
/** One that the system cannot even kill, say on a file server that hangs, is waited for no longer. */
const KILLED_MS = 2 * LAST_MS;

/**
 * The operator's own program, which copies while the grid is held: an argument list and no shell. It gets signals that we
 * get, in a group of its own, so that none comes twice. What it prints goes to stderr: stdout is for the result.
 */
export class HeldCommand implements Occupation {
  readonly #command: readonly string[];
  readonly #told: (held: HeldGrid) => Promise<void>;
  readonly #aborted: AbortSignal;
  readonly #letGo = Promise.withResolvers<void>();
  readonly #interrupted = (): void => this.#stop('SIGINT');
  #child: ChildProcess | null = null;
  #ended: Promise<void> = Promise.resolve();
  #exitCode: number | null = null;
  #cutShortBy: string | null = null;
  #wasTold = false;
  #killing: NodeJS.Timeout | null = null;

  constructor(command: readonly string[], told: (held: HeldGrid) => Promise<void>, aborted: AbortSignal) {
    this.#command = command;
    this.#told = told;
    this.#aborted = aborted;
  }

  /** As a shell has it; null where it was never begun. */
  get exitCode(): number | null {
    return this.#exitCode;
  }

  async begin(held: HeldGrid): Promise<void> {
    await this.#told(held);
    if (this.#aborted.aborted || this.#wasTold) return;
    const child = this.#start(held);
    this.#aborted.addEventListener('abort', this.#interrupted, { once: true });
    const done = Promise.withResolvers<void>();
    this.#ended = done.promise.catch(() => undefined);
    child.once('error', (error) => done.reject(notStarted(this.#command, error)));
    child.once('exit', (code, signal) => {
      this.#exitCode = code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
      done.resolve();
    });
    await Promise.race([done.promise, this.#letGo.promise]);
  }

  #start({ job, checkpoint, number }: HeldGrid): ChildProcess {
    const [program = '', ...given] = this.#command;
    const env: NodeJS.ProcessEnv = {
      ...process.env,
      STILLPOINT_JOB: job,
      STILLPOINT_CHECKPOINT: checkpoint,
      STILLPOINT_NUMBER: String(number),
    };
    delete env[IN_BACKGROUND];
    this.#child = spawn(program, given, { stdio: ['inherit', 2, 2], env, detached: true });
    return this.#child;
  }

  /** SIGTERM is for the program, whose end lets go. A word from elsewhere is for the grid: it lets go at once. */
  letGoAsked({ type, who }: Parameters<Occupation['letGoAsked']>[0]): void {
    // What comes before it is started is for nobody: then it is not started.
    this.#wasTold = true;
    if (type === 'signal' && this.#child !== null) return this.#send('SIGTERM');
    if (this.#exitCode === null) this.#cutShortBy ??= who;
    this.#letGo.resolve();
    this.#stop('SIGTERM');
  }

  async end(outcome: 'proven' | 'failed'): Promise<void> {
    if (outcome === 'failed') this.#stop('SIGTERM');
    const patience = Promise.withResolvers<void>();
    const timer = setTimeout(() => patience.resolve(), KILLED_MS);
    await Promise.race([this.#ended, patience.promise]);
    clearTimeout(timer);
    this.#aborted.removeEventListener('abort', this.#interrupted);
    if (this.#killing !== null) clearTimeout(this.#killing);
  }

  /** Rejects where the grid was let go of before the program had ended: what it copied then is not of the mark. */
  checkWhole(): void {
    if (this.#cutShortBy === null) return;
    throw new StillpointError(
      {
        code: 'let-go-early',
        message: `${this.#cutShortBy} had the grid let go ${this.#when()}`,
        hint: 'what it has copied is not to be trusted: start again, and let nobody resume or thaw meanwhile',
      },
      EXIT.invalid,
    );
  }

  #when(): string {
    const [program] = this.#command;
    return this.#child === null
      ? `before ${program} was started`
      : `while ${program} still ran; it was ended`;
  }

  #stop(signal: NodeJS.Signals): void {
    this.#send(signal);
    this.#killing ??= setTimeout(() => this.#send('SIGKILL'), LAST_MS);
  }

  #send(signal: NodeJS.Signals): void {
    const { pid } = this.#child ?? {};
    if (pid === undefined || this.#exitCode !== null) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // It has ended just now.
    }
  }
}

/** Before anybody is held for it. Rejects with what to mend in the command line. */
export async function checkRunnable([program = '']: readonly string[]): Promise<void> {
  const places = program.includes('/')
    ? [program]
    : (process.env['PATH'] ?? '').split(delimiter).map((directory) => join(directory, program));
  for (const place of places) {
    const found = await access(place, modes.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return;
  }
  throw new StillpointError({
    code: 'command-missing',
    message: `there is no program ${program} that could be run`,
    hint: 'name one that is in PATH, or by its path; a line of a shell is: sh -c "…"',
  });
}

function notStarted([program = '']: readonly string[], error: Error): StillpointError {
  return new StillpointError({
    code: 'command-missing',
    message: `${program} could not be started: ${error.message}`,
    hint: 'nothing was copied: mend that, and start again',
  });
}
