import { Client } from 'pg';
import { urlOf, type ClusterOnHost } from './shards-on-hosts.ts';

let number = 0;

/** How many ms a commit takes to return on a server, tried anew until it does; rejects when none does in time. */
export async function commits(cluster: ClusterOnHost, limitMs: number): Promise<number> {
  const began = performance.now();
  let cause = '';
  while (performance.now() - began < limitMs) {
    const client = new Client({
      connectionString: urlOf(cluster),
      connectionTimeoutMillis: 1000,
      query_timeout: 2000,
    });
    client.on('error', () => undefined);
    try {
      await client.connect();
      number += 1;
      await client.query('INSERT INTO causal VALUES ($1, $2)', [Date.now() % 1e9, number]);
      return performance.now() - began;
    } catch (error) {
      cause = error instanceof Error ? error.message : String(error);
      await new Promise((resolve) => setTimeout(resolve, 100));
    } finally {
      client.end().catch(() => undefined);
    }
  }
  throw new Error(`${cluster.member}: no commit returns in ${limitMs / 1000} s: ${cause}`);
}
