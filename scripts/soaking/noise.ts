import type { Client } from 'pg';
import type { PostgresServer } from '../../test/lab/postgres.ts';
import { until } from '../../test/lab/processes.ts';

const WRITERS = 2;

/** Commits that no fence holds: what spoils a window. They go to a table that nobody reads. */
export class Traffic {
  readonly #server: PostgresServer;
  readonly #writing: Promise<void>[];
  #commits = 0;
  #stopped = false;

  private constructor(server: PostgresServer, connections: readonly Client[]) {
    this.#server = server;
    this.#writing = connections.map((connection) => this.#write(connection));
  }

  static async start(server: PostgresServer): Promise<Traffic> {
    const connections = await Promise.all(Array.from({ length: WRITERS }, () => server.connect()));
    return new Traffic(server, connections);
  }

  /** Resolves when commits that were begun after this call have returned. */
  async committed(): Promise<void> {
    const before = this.#commits;
    await until('commits past the fence', () => this.#commits > before + WRITERS);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#writing);
    await this.#server.query('TRUNCATE noise');
  }

  async #write(connection: Client): Promise<void> {
    try {
      await connection.query('SET synchronous_commit = off');
      for (; !this.#stopped; this.#commits += 1) await connection.query('INSERT INTO noise VALUES (1)');
    } finally {
      await connection.end();
    }
  }
}

/** Commits while the server is fenced, and has the wait of that commit cancelled: it becomes visible at once. */
export async function cancelOneWait(server: PostgresServer): Promise<void> {
  const client = await server.connect();
  try {
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const pid = rows[0]?.pid;
    const committing = client.query('INSERT INTO noise VALUES (2)');
    await until('the commit to wait', async () => {
      const waiting = await server.query(
        "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'SyncRep'",
        [pid],
      );
      return waiting.length === 1;
    });
    await server.query('SELECT pg_cancel_backend($1)', [pid]);
    await committing;
  } finally {
    await client.end();
  }
}
