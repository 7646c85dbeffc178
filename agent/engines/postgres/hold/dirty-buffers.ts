import type { Client, DatabaseError } from 'pg';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { SETTLE_MS } from '../../../../shared/domain/purpose.ts';
import type { HoldContext } from '../../engine.ts';
import { connect } from '../server/connection.ts';
import { settledInTime } from '../server/wait-until.ts';
import type { PostgresSettings } from '../settings.ts';

const QUERY_CANCELED = '57014';
/** What takes no longer is not worth a word. */
const TELL_AFTER_MS = 2000;
/** Of a server that does not end a statement when its time is up. */
const PATIENCE_MS = 2000;
const LOOK_MS = 1000;
const SETTLES = 'a CHECKPOINT writes its dirty buffers, before anybody is held';

/**
 * Has the server write to disk what it has in memory, with a CHECKPOINT of a session of its own: while that is under way
 * the session that freezes and thaws stays free.
 */
export class DirtyBuffers {
  readonly #settings: PostgresSettings;
  readonly #signal: AbortSignal;
  readonly #waitsFor: HoldContext['waitsFor'];
  #client: Client | null = null;

  constructor(settings: PostgresSettings, signal: AbortSignal, waitsFor: HoldContext['waitsFor']) {
    this.#settings = settings;
    this.#signal = signal;
    this.#waitsFor = waitsFor;
  }

  /** Writes what is dirty by now, so that little is left to be written while commits wait. */
  async prepare(): Promise<void> {
    const client = await connect(this.#settings, { applicationName: 'stillpoint-write' });
    this.#client = client;
    this.#signal.addEventListener('abort', () => this.close(), { once: true });
    if (this.#signal.aborted) this.close();
    // A server that is left alone with the statement would else go on, and keep the session.
    await client.query("SET client_connection_check_interval = '1s'");
    const tell = setTimeout(() => this.#waitsFor(SETTLES), TELL_AFTER_MS);
    try {
      await checkpoint(client, SETTLE_MS);
    } catch (error) {
      if ((error as DatabaseError).code !== QUERY_CANCELED) throw error;
      throw notSettled(this.#settings.name);
    } finally {
      clearTimeout(tell);
    }
  }

  /** Commits wait meanwhile. `control`: another session, to ask what it waits for. `wholeMs`: what the operator said. */
  async write(control: Client, limitMs: number, wholeMs: number): Promise<void> {
    const client = this.#client;
    if (client === null) throw new Error('not prepared');
    try {
      await settledInTime('the CHECKPOINT', checkpoint(client, limitMs), limitMs + PATIENCE_MS);
    } catch (error) {
      this.#signal.throwIfAborted();
      const isLate = error instanceof StillpointError || (error as DatabaseError).code === QUERY_CANCELED;
      if (!isLate) throw error;
      const activity = await settledInTime('the look', whatItDoes(control), LOOK_MS).catch(() => '');
      throw notWritten(this.#settings.name, wholeMs, activity);
    }
  }

  /** Whatever is under way. Idempotent. */
  close(): void {
    const client = this.#client;
    this.#client = null;
    (
      client as unknown as { connection: { stream: { destroy(): void } } } | null
    )?.connection.stream.destroy();
  }
}

async function checkpoint(client: Client, limitMs: number): Promise<void> {
  await client.query(`SET statement_timeout = ${Math.max(1, Math.ceil(limitMs))}`);
  await client.query('CHECKPOINT');
}

/** The server goes on with it, whoever has given up waiting. */
async function whatItDoes(control: Client): Promise<string> {
  const { rows } = await control.query<{ event: string | null }>(
    `SELECT wait_event_type || ' ' || wait_event AS event FROM pg_stat_activity WHERE backend_type = 'checkpointer'`,
  );
  const { event = null } = rows[0] ?? {};
  return `, and its checkpointer ${event === null ? 'writes' : `is in ${event}`}`;
}

function notSettled(member: string): StillpointError {
  return new StillpointError({
    code: 'quiesce-timeout',
    message: `a CHECKPOINT of ${member}, before anybody was held, was not done in ${SETTLE_MS / 60_000} min`,
    hint: 'quiesce at a quieter hour; look at the disks of its data',
    isFinal: true,
  });
}

function notWritten(member: string, limitMs: number, activity: string): StillpointError {
  return new StillpointError({
    code: 'quiesce-timeout',
    message: `${member} did not come to rest in ${limitMs / 1000} s: commits wait, but its CHECKPOINT, which writes its dirty buffers, is not done${activity}`,
    hint: 'give it longer (--time-out), or quiesce at a quieter hour; look at the disks of its data',
    isFinal: true,
  });
}
