import type { Client } from 'pg';
import type { PostgresServer } from '../../test/lab/postgres.ts';

export interface Window {
  readonly from: number;
  readonly to: number;
}

/**
 * The fence by ALTER SYSTEM alone, by hand: on every shard name a standby that does not exist, reload, wait
 * until a commit of our own waits; mark; put it back. The window is from the first setting to the last release.
 */
export async function fenceByAlterSystem(servers: readonly PostgresServer[]): Promise<Window> {
  const shards = await Promise.all(
    servers.map(async (server) => ({ control: await server.connect(), canary: await server.connect() })),
  );
  try {
    const from = performance.now();
    const waiting = await Promise.all(
      shards.map(async ({ control, canary }) => {
        await control.query("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
        await control.query('SELECT pg_reload_conf()');
        const commit = await waitingCommit(control, canary);
        await control.query("SELECT pg_create_restore_point('baseline')");
        return commit;
      }),
    );
    await Promise.all(
      shards.map(async ({ control }, index) => {
        await control.query('ALTER SYSTEM RESET synchronous_standby_names');
        await control.query('SELECT pg_reload_conf()');
        await waiting[index]?.commit;
      }),
    );
    return { from, to: performance.now() };
  } finally {
    await Promise.all(shards.flatMap(({ control, canary }) => [control.end(), canary.end()]));
  }
}

async function waitingCommit(control: Client, canary: Client): Promise<{ commit: Promise<unknown> }> {
  const { rows } = await canary.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  for (;;) {
    let returned = false;
    const commit = canary.query("SELECT pg_logical_emit_message(true, 'bench', '')").finally(() => {
      returned = true;
    });
    while (!returned) {
      const waits = await control.query(
        "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'SyncRep'",
        [rows[0]?.pid],
      );
      if (waits.rowCount === 1) return { commit };
    }
  }
}

/** LOCK TABLE … EXCLUSIVE on every shard, mark, release: what people do by hand. */
export async function fenceByLockTable(servers: readonly PostgresServer[]): Promise<Window> {
  const clients = await Promise.all(servers.map((server) => server.connect()));
  try {
    const from = performance.now();
    await Promise.all(
      clients.map(async (client) => {
        await client.query('BEGIN');
        await client.query('LOCK TABLE causal IN EXCLUSIVE MODE');
        await client.query("SELECT pg_create_restore_point('baseline')");
      }),
    );
    await Promise.all(clients.map((client) => client.query('COMMIT')));
    return { from, to: performance.now() };
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}
