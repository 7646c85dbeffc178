import { Worker } from 'node:worker_threads';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { AcknowledgementGate } from './acknowledgement-gate.ts';
import type { AcknowledgerData, FromAcknowledger, ToAcknowledger } from './acknowledge-thread.ts';
import { machineMs } from '../../../../shared/runtime/clock.ts';
import type { ConnectionSettings } from '../server/connection.ts';

/** The name by which the server knows our standby. */
export const STANDBY_NAME = 'stillpoint';
/** For quorum lists: nobody has this name while the fence is closed, and who takes it opens the fence. */
export const ABSENT_STANDBY = 'stillpoint_absent';
export const OUR_STANDBYS: readonly string[] = [STANDBY_NAME, ABSENT_STANDBY];

type Answer = Exclude<FromAcknowledger, { type: 'lost' }>;

const ANSWERS = { connect: 'streaming', thaw: 'thawed' } as const;

interface PendingAnswer {
  readonly for: Answer['type'];
  resolve(answer: Answer): void;
  reject(error: Error): void;
}

/**
 * The agent's side of the acknowledging thread. The thread starts at once; it becomes a standby of the server
 * with `connect`. One order at a time is under way.
 */
export class Acknowledger {
  readonly #worker: Worker;
  readonly #gate = new AcknowledgementGate();
  #processId = 0;
  #waiting: PendingAnswer | null = null;
  #lost: string | null = null;
  #tellLost: () => void;

  /**
   * `tellLost` is called when the stream is gone, and nobody has stopped it. `timeoutMs`: silent for so long, it is
   * dropped by the server.
   */
  constructor(
    settings: ConnectionSettings,
    tellLost: () => void,
    { applicationName = STANDBY_NAME, timeoutMs }: { applicationName?: string; timeoutMs?: number } = {},
  ) {
    this.#tellLost = tellLost;
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    this.#worker = new Worker(new URL(`./acknowledge-thread.${extension}`, import.meta.url), {
      workerData: {
        settings: {
          name: settings.name,
          connection: settings.connection,
          passwordFile: settings.passwordFile,
        },
        applicationName,
        timeoutMs,
        gate: this.#gate.memory,
      } satisfies AcknowledgerData,
    });
    this.#worker.on('message', (message: FromAcknowledger) => this.#receive(message));
    this.#worker.on('error', (error) =>
      this.#becomeLost(error instanceof Error ? error.message : String(error)),
    );
    this.#worker.on('exit', () => this.#becomeLost('its thread ended'));
  }

  /** The server's process for our stream, as in pg_stat_replication.pid; 0 before `connect`. */
  get processId(): number {
    return this.#processId;
  }

  /** Why the stream is gone; null while it is there. */
  get lost(): string | null {
    return this.#lost;
  }

  /** Resolves when the server streams to us. From then on everything is acknowledged as it comes. */
  async connect(): Promise<void> {
    const answer = await this.#order('connect');
    if (answer.type === 'streaming') this.#processId = answer.processId;
  }

  /** The last position acknowledged; nothing newer is acknowledged from now on. */
  freeze(): bigint {
    if (this.#lost !== null) throw fenceLost(this.#lost);
    return this.#gate.close();
  }

  /** Acknowledges the latest position; resolves with it, and with when that was by the machine's clock. */
  async thaw(): Promise<{ readonly position: bigint; readonly atMs: number }> {
    this.#gate.open();
    const answer = await this.#order('thaw');
    return answer.type === 'thawed' ? answer : { position: 0n, atMs: machineMs() };
  }

  /** Acknowledges everything from now on, whatever else is under way; waits for no answer. */
  release(): void {
    this.#gate.open();
    if (this.#lost === null) this.#worker.postMessage('release' satisfies ToAcknowledger);
  }

  /** Ends the stream and the thread. Idempotent. */
  async stop(): Promise<void> {
    this.#tellLost = () => undefined;
    this.#becomeLost('it was stopped');
    await this.#worker.terminate();
  }

  #order(order: 'connect' | 'thaw'): Promise<Answer> {
    if (this.#lost !== null) return Promise.reject(fenceLost(this.#lost));
    return new Promise((resolve, reject) => {
      this.#waiting = { for: ANSWERS[order], resolve, reject };
      this.#worker.postMessage(order);
    });
  }

  #receive(message: FromAcknowledger): void {
    if (message.type === 'lost') return this.#becomeLost(message.cause);
    if (this.#waiting?.for !== message.type) return;
    this.#waiting.resolve(message);
    this.#waiting = null;
  }

  #becomeLost(cause: string): void {
    const isNews = this.#lost === null;
    this.#lost ??= cause;
    this.#waiting?.reject(fenceLost(this.#lost));
    this.#waiting = null;
    if (isNews) this.#tellLost();
  }
}

export function fenceLost(cause: string): StillpointError {
  return new StillpointError({
    code: 'fence-lost',
    message: `the replication stream that is the fence was lost: ${cause}`,
    hint: "see the server's log; were its walsenders ended, or was it restarted?",
  });
}
