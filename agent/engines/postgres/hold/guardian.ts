import type { Client } from 'pg';
import type { Guardian, Undo } from '../../engine.ts';
import { connect, connectionError, type ConnectionSettings } from '../server/connection.ts';
import { checkpointerListens, primaryUndoSchema, standbyNamesInForce } from '../fence/standby-setting.ts';
import { StandIn } from '../fence/stand-in.ts';
import { waitUntil } from '../server/wait-until.ts';
import { performUndo, SettingStays } from './undo.ts';

type MemberSettings = ConnectionSettings & { readonly data: string };

/** As long as a server may take for a CHECKPOINT. */
const FLUSH_MS = 600_000;
const NEVER = new AbortController().signal;

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

/**
 * A connection that waits for the bad moment; opened anew where it was lost. Undos that are asked for at once (a lost
 * stream and an abort) are done one after another: the connection takes one statement at a time.
 */
export class PostgresGuardian implements Guardian {
  readonly #settings: MemberSettings;
  #client: Client | null = null;
  #last: Promise<unknown> = Promise.resolve();
  readonly #standIn: StandIn;

  constructor(settings: MemberSettings) {
    this.#settings = settings;
    this.#standIn = new StandIn(settings);
  }

  async open(): Promise<this> {
    this.#client ??= await findWayIn(this.#settings);
    return this;
  }

  undo(undo: Undo): Promise<string | null> {
    const words = this.#last.then(async () => {
      const said = await this.#perform(undo);
      await this.#standIn.leave();
      return said;
    });
    this.#last = words.catch(() => undefined);
    return words;
  }

  /** Resolves when the server's checkpointer takes a setting, or `isOver`; at the latest when its longest flush would be done. */
  async whenCheckpointerListens(isOver: () => boolean): Promise<void> {
    const client = this.#client;
    if (client === null) return;
    const listens = async (): Promise<boolean> => isOver() || (await checkpointerListens(client));
    await waitUntil("the server's checkpointer to listen", NEVER, listens, FLUSH_MS);
  }

  async #perform(undo: Undo): Promise<string | null> {
    await this.#catchUp(undo);
    try {
      if (this.#client !== null) {
        try {
          return await performUndo(this.#client, this.#settings, undo);
        } catch (error) {
          if (this.#saysNo(error)) throw error;
          // Lost, perhaps with a restart of the server that is long over: a new one tells.
          this.#drop();
        }
      }
      this.#client = await findWayIn(this.#settings);
      return await performUndo(this.#client, this.#settings, undo);
    } catch (error) {
      if (this.#saysNo(error)) await this.#standIn.join(primaryUndoSchema.parse(undo));
      else this.#drop();
      throw connectionError(this.#settings, error instanceof SettingStays ? error.cause : error);
    }
  }

  /**
   * A session takes a reload up with its next statement. One that was idle since before the arm, and finds a mistake in
   * the files now, never has: it would take the server for one that is not armed. A new one begins with what is in force.
   * Where no other gets in, the old one is kept if it answers, and asks for the reload that it missed: it knows when the
   * files are right.
   */
  async #catchUp(undo: Undo): Promise<void> {
    const { success, data } = primaryUndoSchema.safeParse(undo);
    // Where nothing was set, there is nothing that a session could have missed.
    if (this.#client === null || !success || data.standing === true) return;
    const names = await standbyNamesInForce(this.#client).catch(() => null);
    if (names !== null && data.armed.includes(names)) return;
    try {
      const current = await findWayIn(this.#settings);
      this.#drop();
      this.#client = current;
    } catch (error) {
      if (names === null) this.#drop();
      else await this.#client.query('SELECT pg_reload_conf()').catch(() => undefined);
      throw connectionError(this.#settings, error);
    }
  }

  /** The server that was frozen, and no other: where the connection is lost, another one may answer by now. */
  #saysNo(error: unknown): boolean {
    if (!(error instanceof SettingStays)) return false;
    return connectionError(this.#settings, error.cause).failure.code !== 'postgres-connection-lost';
  }

  async close(): Promise<void> {
    this.#drop();
    await this.#standIn.leave();
  }

  #drop(): void {
    const client = this.#client;
    this.#client = null;
    client?.end().catch(() => undefined);
  }
}
