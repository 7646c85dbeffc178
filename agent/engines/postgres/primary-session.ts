import type { Client } from 'pg';
import { aborted, outOfOrder } from '../engine.ts';
import { connect } from './server/connection.ts';
import { contractCall } from './server/contract-call.ts';
import { PREPARE_STATEMENTS } from './hold/look-statements.ts';
import type { ReceivedJournal } from './journal/received-journal.ts';
import { readServerFacts, type ServerFacts } from './server/server-facts.ts';
import type { PostgresSettings } from './settings.ts';
import type { PrimaryUndo } from './fence/standby-setting.ts';
import { CONTROL_NAME } from './hold/undo.ts';

/** What is there once hold and journal are prepared. */
export interface PreparedSession {
  readonly control: Client;
  readonly facts: ServerFacts;
  readonly journal: ReceivedJournal;
}

/**
 * What hold, journal and copy of one checkpoint of a primary share: the connection that freezes and thaws, what the
 * server said of itself, its journal (the proof of the hold is read from it, and the copy needs all of it), and the one
 * signal that ends them. The hold opens and closes it.
 */
export class PrimarySession {
  readonly settings: PostgresSettings;
  readonly #cancelled = new AbortController();
  #control: Client | null = null;
  #facts: ServerFacts | null = null;
  #journal: ReceivedJournal | null = null;
  /** Why the journal is not complete; null as long as it is. */
  #lost: unknown = null;
  /** The owner's setting as it was at the mark. */
  owners: PrimaryUndo | null = null;

  constructor(settings: PostgresSettings) {
    this.settings = settings;
  }

  get signal(): AbortSignal {
    return this.#cancelled.signal;
  }

  get control(): Client | null {
    return this.#control;
  }

  async open(): Promise<void> {
    const control = await connect(this.settings, { applicationName: CONTROL_NAME });
    this.#control = control;
    await control.query(PREPARE_STATEMENTS);
    this.signal.throwIfAborted();
    this.#facts = await readServerFacts(control);
    this.signal.throwIfAborted();
  }

  followed(journal: ReceivedJournal): void {
    this.#journal = journal;
  }

  /** False where it ends anyway, and nobody has to be told. */
  lose(cause: unknown): boolean {
    if (this.signal.aborted) return false;
    this.#lost ??= cause;
    return true;
  }

  connected(): Omit<PreparedSession, 'journal'> {
    if (this.#control === null || this.#facts === null) throw outOfOrder('not prepared');
    return { control: this.#control, facts: this.#facts };
  }

  ready(): PreparedSession {
    if (this.#lost !== null) throw this.#lost;
    if (this.#journal === null) throw outOfOrder('not prepared');
    return { ...this.connected(), journal: this.#journal };
  }

  /** One call of a part. `close`: what it may have opened although an abort came. */
  call<T>(work: () => Promise<T>, close: () => Promise<void> = () => Promise.resolve()): Promise<T> {
    return contractCall({ settings: this.settings, signal: this.signal, close }, work);
  }

  /** What is under way ends soon, and nothing begins any more. */
  cancel(): void {
    this.#cancelled.abort(aborted());
  }

  close(): void {
    this.#control?.end().catch(() => undefined);
  }
}
