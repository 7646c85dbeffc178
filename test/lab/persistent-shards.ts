import type { Connection, Shard } from './causal-clients.ts';

/** How soon a client whose server is gone knocks again. */
const RECONNECT_EVERY_MS = 50;

/**
 * The same shards for clients that do not give up: after a lost connection they connect anew and write the
 * same row again, until it is acknowledged. A write rejects only when the signal is aborted meanwhile.
 */
export function persistentShards(shards: readonly Shard[], signal: AbortSignal): Shard[] {
  return shards.map((shard) => ({
    async connect() {
      let connection: Connection = await shard.connect();
      return {
        async write(client, sequence) {
          for (;;) {
            try {
              return await connection.write(client, sequence);
            } catch {
              connection.close();
              connection = await connectedAnew(shard, signal);
            }
          }
        },
        close: () => connection.close(),
      };
    },
    rows: () => shard.rows(),
  }));
}

async function connectedAnew(shard: Shard, signal: AbortSignal): Promise<Connection> {
  for (;;) {
    signal.throwIfAborted();
    try {
      return await shard.connect();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, RECONNECT_EVERY_MS));
    }
  }
}
