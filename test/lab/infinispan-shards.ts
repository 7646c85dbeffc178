import type { Connection, Shard } from './causal-clients.ts';
import type { InfinispanNode } from './infinispan.ts';

/** Who is refused tries again; one whose cluster is gone gives up after this. */
const PATIENCE_MS = 15_000;
const AGAIN_MS = 5;

type Server = Pick<InfinispanNode, 'url'>;

/** How a client asks a server: resolves with what it answers, whatever that is. `path` is below /rest/v2. */
export type AskServer = (
  server: Server | undefined,
  method: 'GET' | 'PUT',
  path: string,
  signal: AbortSignal,
) => Promise<{ readonly status: number; readonly text: string }>;

const asAnybody: AskServer = async (server, method, path, signal) => {
  const response = await fetch(`${server?.url ?? ''}/rest/v2/${path}`, {
    method,
    signal,
    ...(method === 'PUT' && { body: 'x', headers: { 'content-type': 'text/plain' } }),
  });
  return { status: response.status, text: await response.text() };
};

/** Caches of a cluster as places to write to, each connection through the next of its servers. They are there. */
export function infinispanShards(
  servers: readonly Server[],
  caches: readonly string[],
  ask: AskServer = asAnybody,
): Shard[] {
  return caches.map((cache) => {
    let connections = 0;
    return {
      connect: () => {
        const server = servers[connections % servers.length];
        connections += 1;
        return Promise.resolve(connectionTo(server, cache, ask));
      },
      async rows() {
        const path = `caches/${cache}?action=keys`;
        const { status, text } = await ask(servers[0], 'GET', path, AbortSignal.timeout(PATIENCE_MS));
        if (status !== 200) throw new Error(`the keys of ${cache}: ${status}`);
        return (JSON.parse(text) as string[]).map((key) => {
          const [client = '', sequence = ''] = key.split(' ');
          return { client: Number(client), sequence: Number(sequence) };
        });
      },
    };
  });
}

function connectionTo(server: Server | undefined, cache: string, ask: AskServer): Connection {
  const ended = new AbortController();
  return {
    async write(client, sequence) {
      const until = performance.now() + PATIENCE_MS;
      const path = `caches/${cache}/${encodeURIComponent(`${client} ${sequence}`)}`;
      for (;;) {
        const { status } = await ask(server, 'PUT', path, ended.signal);
        if (status === 204) return;
        if (status !== 503 || performance.now() > until)
          throw new Error(`a write was answered with ${status}`);
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    },
    close: () => ended.abort(),
  };
}
