import type { ArchivedCache } from '../engines/infinispan/archive/archive.ts';
import type { InfinispanServer } from '../engines/infinispan/server/infinispan-server.ts';
import { replicatedEmpty } from './failures.ts';

/*
 * A server without capacity has no entries of a replicated cache, and asks no other server for them when it makes a
 * backup (16.0): the archive then has such a cache without entries, and the server says that it is done.
 */

/** How many entries each replicated cache of the cluster has; without those that are ignored. */
export async function replicatedEntries(
  cluster: InfinispanServer,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const replicated = (await cluster.caches(signal)).filter(
    ({ type, status }) => type === 'replicated-cache' && status === 'RUNNING',
  );
  const found = new Map<string, number>();
  for (const { name } of replicated) found.set(name, await cluster.entries(name, signal));
  return found;
}

/**
 * Rejects `backup-replicated` where a replicated cache has entries and the archive has none of them. `before`: as they
 * were before the backup; null where that is not known any more.
 */
export function mustHaveReplicated(
  archived: readonly ArchivedCache[],
  before: ReadonlyMap<string, number> | null,
  now: ReadonlyMap<string, number>,
): void {
  const lost = archived.find(({ name, entries }) => {
    const had = before === null ? 1 : (before.get(name) ?? 0);
    return entries === 0 && had > 0 && (now.get(name) ?? 0) > 0;
  });
  if (lost !== undefined) throw replicatedEmpty(lost.name, now.get(lost.name) ?? 0);
}
