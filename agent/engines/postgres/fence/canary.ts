import type { Client } from 'pg';
import { connect, processIdOf, type ConnectionSettings } from '../server/connection.ts';

/**
 * A commit of our own that writes nothing but a mark in the journal: where it waits, every commit waits.
 */
export class Canary {
  readonly #client: Client;
  readonly #processId: number;

  private constructor(client: Client) {
    this.#client = client;
    this.#processId = processIdOf(client);
  }

  /** Rejects, with nothing left open, where the signal was aborted meanwhile. */
  static async open(settings: ConnectionSettings, signal: AbortSignal): Promise<Canary> {
    const canary = new Canary(await connect(settings, { applicationName: 'stillpoint-canary' }));
    try {
      await canary.#client.query('SET synchronous_commit = on');
      signal.throwIfAborted();
      return canary;
    } catch (error) {
      canary.close();
      throw error;
    }
  }

  /** Resolves when the commit has returned. */
  async commit(): Promise<void> {
    await this.#client.query("SELECT pg_logical_emit_message(true, 'stillpoint', '')");
  }

  /** Asks over another connection whether it waits for a synchronous standby. */
  async isWaiting(control: Client): Promise<boolean> {
    const { rows } = await control.query<{ waiting: boolean }>(
      "SELECT wait_event IS NOT DISTINCT FROM 'SyncRep' AS waiting FROM pg_stat_activity WHERE pid = $1",
      [this.#processId],
    );
    return rows[0]?.waiting ?? false;
  }

  close(): void {
    (this.#client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  }
}
