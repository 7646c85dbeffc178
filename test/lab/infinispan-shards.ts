import type { Connection, Shard } from './causal-clients.ts';
import type { InfinispanNode } from './infinispan.ts';

/** Who is refused tries again; one whose cluster is gone gives up after this. */
const PATIENCE_MS = 15_000;
const AGAIN_MS = 5;

type Server = Pick<InfinispanNode, 'url'>;

/** Caches of a cluster as places to write to, each connection through the next of its servers. They are there. */
export function infinispanShards(servers: readonly Server[], caches: readonly string[]): Shard[] {
  return caches.map((cache) => {
    let connections = 0;
    return {
      connect: () => {
        const server = servers[connections % servers.length];
        connections += 1;
        return Promise.resolve(connectionTo(server, cache));
      },
      async rows() {
        const [server] = servers;
        const response = await fetch(`${server?.url ?? ''}/rest/v2/caches/${cache}?action=keys`);
        if (!response.ok) throw new Error(`the keys of ${cache}: ${response.status}`);
        return ((await response.json()) as string[]).map((key) => {
          const [client = '', sequence = ''] = key.split(' ');
          return { client: Number(client), sequence: Number(sequence) };
        });
      },
    };
  });
}

function connectionTo(server: Server | undefined, cache: string): Connection {
  const ended = new AbortController();
  return {
    async write(client, sequence) {
      const until = performance.now() + PATIENCE_MS;
      for (;;) {
        const response = await fetch(
          `${server?.url ?? ''}/rest/v2/caches/${cache}/${encodeURIComponent(`${client} ${sequence}`)}`,
          { method: 'PUT', body: 'x', headers: { 'content-type': 'text/plain' }, signal: ended.signal },
        );
        await response.arrayBuffer();
        if (response.status === 204) return;
        if (response.status !== 503 || performance.now() > until)
          throw new Error(`a write was answered with ${response.status}`);
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    },
    close: () => ended.abort(),
  };
}
