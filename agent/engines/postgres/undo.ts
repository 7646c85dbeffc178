import type { Client } from 'pg';
import { z } from 'zod';
import type { Guardian, Undo } from '../engine.ts';
import { connect, connectionError, type ConnectionSettings } from './connection.ts';
import { primaryUndoSchema, restoreStandbyNames } from './standby-setting.ts';

/** The session that freezes and thaws; there is one on a server. */
export const CONTROL_NAME = 'stillpoint-control';

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
  await endControl(client);
  if (undo.kind === 'primary') await restoreStandbyNames(client, undo);
  else if (!undo.wasPaused) await resumeReplay(client);
}

/**
 * A statement that the dead agent had sent may still be on its way: done after the undo it would freeze the
 * server for good. So its session goes first. A role may always end sessions of its own.
 */
async function endControl(client: Client): Promise<void> {
  const until = performance.now() + 2000;
  for (;;) {
    const { rows } = await client.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = $1 AND usename = current_user AND pid <> pg_backend_pid()`,
      [CONTROL_NAME],
    );
    if (rows.length === 0 || performance.now() > until) return;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Nothing to resume on a server that was promoted meanwhile. */
export async function resumeReplay(client: Client): Promise<void> {
  await client.query(
    `DO $$ BEGIN
       IF pg_is_in_recovery() THEN
         IF pg_is_wal_replay_paused() THEN PERFORM pg_wal_replay_resume(); END IF;
       END IF;
     END $$`,
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
    this.#client ??= await this.#connect();
    return this;
  }

  async undo(undo: Undo): Promise<void> {
    const held = this.#client;
    if (held !== null) {
      try {
        return await performUndo(held, undo);
      } catch {
        // Lost, perhaps with a restart of the server that is long over: a new one tells.
        this.#drop();
      }
    }
    await this.open();
    try {
      if (this.#client !== null) await performUndo(this.#client, undo);
    } catch (error) {
      this.#drop();
      throw connectionError(this.#settings, error);
    }
  }

  close(): Promise<void> {
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
