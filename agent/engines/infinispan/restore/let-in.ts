import { openFence, type Fenced } from '../hold/fence.ts';
import type { InfinispanServer } from '../server/infinispan-server.ts';

/**
 * Clients are served again. A server goes on ignoring the name of a cache that was removed, and refuses to be told
 * otherwise: so for a moment there is such a cache.
 */
export async function letClientsIn(
  server: InfinispanServer,
  fenced: Fenced,
  signal: AbortSignal,
): Promise<void> {
  const [ignored, there] = await Promise.all([server.ignored(signal), server.cacheNames(signal)]);
  const gone = fenced.caches.filter((cache) => ignored.includes(cache) && !there.includes(cache));
  for (const cache of gone) {
    await server.createCache(cache, PLAIN, signal, { isKept: false });
    await server.unIgnore(cache, signal);
    await server.removeCache(cache, signal);
  }
  await openFence(server, fenced, signal);
}

const PLAIN = JSON.stringify({ 'local-cache': {} });
