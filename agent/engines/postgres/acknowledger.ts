import { Worker } from 'node:worker_threads';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { FromAcknowledger, ToAcknowledger } from './acknowledge-thread.ts';
import type { ConnectionSettings } from './connection.ts';

/** The name by which the server knows our standby. */
export const STANDBY_NAME = 'stillpoint';

/** The agent's side of the acknowledging thread. */
export class Acknowledger {
  readonly processId: number;
  readonly #worker: Worker;
  #waiting: { resolve(position: bigint): void; reject(error: Error): void } | null = null;
  #lost: string | null = null;

  private constructor(worker: Worker, processId: number) {
    this.#worker = worker;
    this.processId = processId;
    worker.on('message', (message: FromAcknowledger) => this.#receive(message));
    worker.on('error', (error) => this.#becomeLost(error instanceof Error ? error.message : String(error)));
    worker.on('exit', () => this.#becomeLost('its thread ended'));
  }

  /** Resolves when the server streams to it. */
  static start(settings: ConnectionSettings): Promise<Acknowledger> {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const worker = new Worker(new URL(`./acknowledge-thread.${extension}`, import.meta.url), {
      workerData: {
        settings: {
          name: settings.name,
          connection: settings.connection,
          passwordFile: settings.passwordFile,
        },
        applicationName: STANDBY_NAME,
      },
    });
    return new Promise((resolve, reject) => {
      const fail = (cause: string): void => reject(lost(cause));
      worker.once('error', (error) => fail(String(error)));
      worker.once('exit', () => fail('its thread ended'));
      worker.once('message', (message: FromAcknowledger) => {
        if (message.type === 'streaming') resolve(new Acknowledger(worker, message.processId));
        else fail(message.type === 'lost' ? message.cause : message.type);
      });
    });
  }

  /** Why the stream is gone; null while it is there. */
  get lost(): string | null {
    return this.#lost;
  }

  /** Resolves with the last position acknowledged; nothing newer is acknowledged from then on. */
  freeze(): Promise<bigint> {
    return this.#order('freeze');
  }

  /** Acknowledges the latest position; resolves with it. */
  thaw(): Promise<bigint> {
    return this.#order('thaw');
  }

  async stop(): Promise<void> {
    this.#becomeLost('it was stopped');
    this.#worker.postMessage('stop' satisfies ToAcknowledger);
    await this.#worker.terminate();
  }

  #order(order: ToAcknowledger): Promise<bigint> {
    if (this.#lost !== null) return Promise.reject(lost(this.#lost));
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#worker.postMessage(order);
    });
  }

  #receive(message: FromAcknowledger): void {
    if (message.type === 'lost') return this.#becomeLost(message.cause);
    if (message.type === 'streaming') return;
    this.#waiting?.resolve(message.position);
    this.#waiting = null;
  }

  #becomeLost(cause: string): void {
    this.#lost ??= cause;
    this.#waiting?.reject(lost(cause));
    this.#waiting = null;
  }
}

function lost(cause: string): StillpointError {
  return new StillpointError({
    code: 'fence-lost',
    message: `the replication stream that is the fence was lost: ${cause}`,
    hint: "see the server's log; were its walsenders ended, or was it restarted?",
  });
}
