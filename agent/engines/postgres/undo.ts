import type { Client } from 'pg';
import { z } from 'zod';
import type { Guardian, Undo } from '../engine.ts';
import { connect, type ConnectionSettings } from './connection.ts';
import { primaryUndoSchema, restoreStandbyNames } from './standby-setting.ts';

const observerUndoSchema = z.object({
  kind: z.literal('observer'),
  /** Its owner had paused replay before us: then it stays paused. */
  wasPaused: z.boolean(),
});

export type ObserverUndo = z.infer<typeof observerUndoSchema>;

const undoSchema = z.discriminatedUnion('kind', [primaryUndoSchema, observerUndoSchema]);

/** Takes back whatever a freeze changed. Idempotent; rejects where the server cannot be asked. */
async function performUndo(client: Client, given: Undo): Promise<void> {
  const undo = undoSchema.parse(given);
  if (undo.kind === 'primary') await restoreStandbyNames(client, undo);
  else if (!undo.wasPaused) await resumeReplay(client);
}

/** Nothing to resume on a server that was promoted meanwhile. */
export async function resumeReplay(client: Client): Promise<void> {
  await client.query(
    `DO $$ BEGIN IF pg_is_in_recovery() AND pg_is_wal_replay_paused() THEN PERFORM pg_wal_replay_resume(); END IF; END $$`,
  );
}

/** A connection that waits for the bad moment; opened anew where it was lost. */
export class PostgresGuardian implements Guardian {
  readonly #settings: ConnectionSettings;
  #client: Client | null = null;

  constructor(settings: ConnectionSettings) {
    this.#settings = settings;
  }

  async open(): Promise<this> {
    this.#client = await this.#connect();
    return this;
  }

  async undo(undo: Undo): Promise<void> {
    this.#client ??= await this.#connect();
    try {
      await performUndo(this.#client, undo);
    } catch (error) {
      this.#drop();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#drop();
    return Promise.resolve();
  }

  #connect(): Promise<Client> {
    return connect(this.#settings, {
      applicationName: 'stillpoint-guard',
      queryTimeoutMs: 5000,
      timeoutMs: 2000,
    });
  }

  #drop(): void {
    const client = this.#client;
    this.#client = null;
    client?.end().catch(() => undefined);
  }
}
