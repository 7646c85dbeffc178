import type { ArchiveContent } from '../archive/archive.ts';
import type { InfinispanServer } from '../server/infinispan-server.ts';
import { closeFence, type Fenced } from '../hold/fence.ts';
import { restoreFrom, restoresEnded } from './jobs.ts';
import type { CacheBefore } from './work-room.ts';

/**
 * A server restores by putting an archive's entries over what is there. It overwrites no configuration, no counter and
 * no template; leaves entries and caches that the archive does not have; and fails where a cache is faster than the
 * schema of its entries. So all that the cluster holds is taken away first, caches that stay are made anew with the
 * configuration they have, and each kind is restored after those that it needs.
 *
 * An ignored cache cannot be cleared, but it can be removed and made again, and stays ignored all the while.
 */
export interface Replacement {
  /** On the server's host. */
  readonly location: string;
  readonly content: ArchiveContent;
  /** What was on the cluster before the restore: these keep their configurations. */
  readonly before: readonly CacheBefore[];
  /** Caches that each server has for itself: they are left as they are. */
  readonly apart: ReadonlySet<string>;
}

/** Idempotent: whatever is on the cluster, afterwards it is what the archive has. */
export async function replaceAll(
  server: InfinispanServer,
  { location, content, before, apart }: Replacement,
  fenced: Fenced,
  signal: AbortSignal,
): Promise<void> {
  await restoresEnded(server, signal);
  const now = await server.resources(signal);
  const archived = new Set(content.caches.map(({ name }) => name));
  const kept = new Map(before.map((cache) => [cache.name, cache]));

  for (const counter of now.counters) await server.removeCounter(counter, signal);
  for (const cache of now.caches) {
    if (apart.has(cache)) continue;
    await server.removeCache(cache, signal);
    const known = kept.get(cache);
    if (known?.isKept !== false) continue;
    // What its file defines a server removes for itself alone. Made here, it is known to all, and removed by all.
    await server.createCache(cache, known.configuration, signal, { isKept: false });
    await server.removeCache(cache, signal);
  }
  for (const { name, configuration, isKept } of before) {
    // What a server's file defines comes back with its next start, so it is not gone for good here either.
    const stays = archived.has(name) || !isKept;
    if (stays && !apart.has(name)) await server.createCache(name, configuration, signal, { isKept });
  }
  const schemas = content.protoSchemas.map(({ name }) => name);
  for (const schema of now.protoSchemas)
    if (!schemas.includes(schema)) await server.removeSchema(schema, signal);

  // One that is there is not restored: it would not be overwritten, and one of a server's file would be kept besides.
  const templates = namesOf(content.templates).filter((name) => !now.templates.includes(name));
  const caches = namesOf(content.caches).filter((name) => !apart.has(name));
  for (const resources of [
    { templates },
    { protoSchemas: schemas },
    { tasks: namesOf(content.tasks) },
    { caches },
    { counters: namesOf(content.counters) },
  ]) {
    const [names = []] = Object.values(resources);
    // No name at all would mean all of them.
    if (names.length > 0) await restoreFrom(server, location, resources, signal);
  }
  await closeFence(server, fenced, signal);
}

function namesOf(things: readonly { readonly name: string }[]): string[] {
  return things.map(({ name }) => name);
}
