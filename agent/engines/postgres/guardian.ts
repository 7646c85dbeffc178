import type { Client } from 'pg';
import type { Guardian, Undo } from '../engine.ts';
import { connect, connectionError, type ConnectionSettings } from './connection.ts';
import { performUndo } from './undo.ts';

type MemberSettings = ConnectionSettings & { readonly data: string };

const OPTIONS = { applicationName: 'stillpoint-guard', queryTimeoutMs: 5000, timeoutMs: 2000 };

/**
 * The way in to a server whose commits may all be waiting. Then every connection of the application's pool is taken,
 * and none becomes free before the undo: so where an ordinary session is turned away, a walsender's is tried, which has
 * slots of its own and takes statements as well. And the other way round, where the wal senders are all taken.
 */
function findWayIn(settings: ConnectionSettings): Promise<Client> {
  return connect(settings, OPTIONS).catch((error: unknown) =>
    connect(settings, { ...OPTIONS, replication: 'database' }).catch(() => {
      throw error;
    }),
  );
}

/** A connection that waits for the bad moment; opened anew where it was lost. */
export class PostgresGuardian implements Guardian {
  readonly #settings: MemberSettings;
  #client: Client | null = null;

  constructor(settings: MemberSettings) {
    this.#settings = settings;
  }

  async open(): Promise<this> {
    this.#client ??= await findWayIn(this.#settings);
    return this;
  }

  async undo(undo: Undo): Promise<string | null> {
    const held = this.#client;
    if (held !== null) {
      try {
        return await performUndo(held, this.#settings, undo);
      } catch {
        // Lost, perhaps with a restart of the server that is long over: a new one tells.
        this.#drop();
      }
    }
    try {
      const client = await findWayIn(this.#settings);
      this.#client = client;
      return await performUndo(client, this.#settings, undo);
    } catch (error) {
      this.#drop();
      throw connectionError(this.#settings, error);
    }
  }

  close(): Promise<void> {
    this.#drop();
    return Promise.resolve();
  }

  #drop(): void {
    const client = this.#client;
    this.#client = null;
    client?.end().catch(() => undefined);
  }
}
