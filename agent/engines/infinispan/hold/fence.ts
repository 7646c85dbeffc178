import { forEachConcurrently } from '../../../../shared/repository/concurrency.ts';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { InfinispanServer } from '../server/infinispan-server.ts';

/**
 * Where servers keep schemas and scripts. They are held as any cache is, first and until the last; nobody else ignores
 * them, so where both are ignored it is a fence of ours that stands.
 */
export const SERVERS_OWN: readonly string[] = ['___protobuf_metadata', '___script_cache'];

/** Requests that a server has at once from us. */
const AT_ONCE = 8;
/** Sent as it is, and never taken back: what a server has read already it does later, when nobody looks any more. */
const SENT = new AbortController().signal;
/** How often what is missing is set again; each time by itself, which nothing but another's change can undo. */
const MOST_ROUNDS = 5;

/** What is closed: caches that were served before, and connectors that were open. */
export interface Fenced {
  readonly caches: readonly string[];
  readonly connectors: readonly string[];
}

type FencedServer = Pick<
  InfinispanServer,
  'ignored' | 'ignore' | 'unIgnore' | 'startConnector' | 'stopConnector'
>;

/**
 * Refuses readers and writers of these caches, on every server of the cluster. Connectors that would not refuse them are
 * stopped. Resolves when it holds: a server answers when all the others have it. The signal ends it between two requests.
 */
export async function closeFence(server: FencedServer, fenced: Fenced, signal: AbortSignal): Promise<void> {
  await Promise.all(fenced.connectors.map((connector) => server.stopConnector(connector, SENT)));
  await setAll(server, ownFirst(fenced.caches), true, signal);
}

/** Idempotent. A cache that is not there any more needs nothing. */
export async function openFence(server: FencedServer, fenced: Fenced, signal: AbortSignal): Promise<void> {
  const ignored = new Set(await server.ignored(signal));
  const closed = ownFirst(fenced.caches).filter((cache) => ignored.has(cache));
  await setAll(server, closed.reverse(), false, signal);
  await Promise.all(fenced.connectors.map((connector) => server.startConnector(connector, SENT)));
}

/** Whether a fence of ours stands, or what is left of one, by the list of ignored caches. */
export function isFenceLeft(ignored: readonly string[]): boolean {
  return SERVERS_OWN.every((cache) => ignored.includes(cache));
}

function ownFirst(caches: readonly string[]): string[] {
  const own = SERVERS_OWN.filter((cache) => caches.includes(cache));
  return [...own, ...caches.filter((cache) => !own.includes(cache))];
}

/**
 * A server changes the list of ignored caches by reading and writing the whole of it. The one that keeps it does so under
 * a lock; on another, changes that are asked for at once undo each other. Which one it is cannot be asked: the first
 * ones, asked for at once, tell.
 */
async function setAll(
  server: FencedServer,
  caches: readonly string[],
  isIgnored: boolean,
  signal: AbortSignal,
): Promise<void> {
  const gone = new Set<string>();
  const set = async (cache: string): Promise<void> => {
    signal.throwIfAborted();
    const isThere = await (isIgnored ? server.ignore(cache, SENT) : server.unIgnore(cache, SENT));
    if (!isThere) gone.add(cache);
  };
  const missing = async (among: readonly string[]): Promise<string[]> => {
    const ignored = new Set(await server.ignored(signal));
    return among.filter((cache) => !gone.has(cache) && ignored.has(cache) !== isIgnored);
  };

  const [first, others] = [caches.slice(0, AT_ONCE), caches.slice(AT_ONCE)];
  await forEachConcurrently(first, AT_ONCE, set);
  const undone = await missing(first);
  if (undone.length === 0) await forEachConcurrently(others, AT_ONCE, set);
  else await forEachConcurrently([...undone, ...others], 1, set);

  for (let rounds = 1; ; rounds += 1) {
    const left = await missing(caches);
    if (left.length === 0) break;
    if (rounds === MOST_ROUNDS) throw changedByOthers(left);
    await forEachConcurrently(left, 1, set);
  }
  // Alone, when nothing else is under way: with it every server has the whole list.
  await forEachConcurrently(caches.slice(-1), 1, set);
}

function changedByOthers(left: readonly string[]): StillpointError {
  return new StillpointError({
    code: 'infinispan-fence',
    message: `the list of ignored caches does not come to what was asked for: ${left.slice(0, 5).join(', ')}`,
    hint: 'somebody else changes it at the same time, or a server of the cluster is overloaded: see their logs',
  });
}
