import type { Connector } from '../server/answers.ts';
import type { InfinispanServer } from '../server/infinispan-server.ts';

/** What a cluster is made of, as one of its servers says it. While the cluster is held none of it may change. */
export interface Standing {
  /** Of the server that was asked. */
  readonly incarnation: string;
  readonly servers: Servers;
  /** With those in which servers keep schemas and scripts. */
  readonly caches: readonly string[];
  /** Of caches and templates, as JSON text, by name. */
  readonly configurations: ReadonlyMap<string, string>;
}

/** The members of a cluster, by name, and where they are among themselves, `host:port`. */
export interface Servers {
  readonly members: readonly string[];
  readonly addresses: readonly string[];
}

type AskedServer = Pick<
  InfinispanServer,
  'node' | 'container' | 'cacheNames' | 'configurations' | 'counter' | 'counterNames'
>;

export async function readStanding(server: AskedServer, signal: AbortSignal): Promise<Standing> {
  const [{ incarnation }, servers, caches, configurations] = await Promise.all([
    server.node(signal),
    readServers(server, signal),
    server.cacheNames(signal),
    server.configurations(signal),
  ]);
  return { incarnation, servers, caches: caches.toSorted(), configurations };
}

export async function readServers(
  server: Pick<InfinispanServer, 'container'>,
  signal: AbortSignal,
): Promise<Servers> {
  const { members, physicalAddresses } = await server.container(signal);
  return { members: members.toSorted(), addresses: physicalAddresses.toSorted() };
}

/** The value of each counter, by name. */
export async function readCounters(
  server: AskedServer,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const names = await server.counterNames(signal);
  const values = names.toSorted().map(async (name) => [name, await server.counter(name, signal)] as const);
  return new Map(await Promise.all(values));
}

/** In words, what has changed; null where nothing has. */
export function changeBetween(before: Standing, now: Standing): string | null {
  if (before.incarnation !== now.incarnation) return 'the server that was asked was restarted';
  return (
    serversChanged(before.servers, now.servers) ??
    namesChanged('cache', before.caches, now.caches) ??
    valueChanged('the configuration of', before.configurations, now.configurations)
  );
}

export function serversChanged(before: Servers, now: Servers): string | null {
  const [was, is] = [before, now].map(
    ({ members, addresses }) => `${members.join(', ')} at ${addresses.join(', ')}`,
  );
  return was === is ? null : `the cluster was ${was}, and is ${is}`;
}

/** Nothing can hold counters: that they stand as they stood is all that can be said of them. */
export function counterChanged(
  before: ReadonlyMap<string, string>,
  now: ReadonlyMap<string, string>,
): string | null {
  const cause =
    namesChanged('counter', [...before.keys()], [...now.keys()]) ?? valueChanged('counter', before, now);
  return cause === null ? null : `${cause}; servers let nobody hold counters`;
}

function namesChanged(what: string, before: readonly string[], now: readonly string[]): string | null {
  const created = now.find((name) => !before.includes(name));
  if (created !== undefined) return `${what} ${created} was created`;
  const removed = before.find((name) => !now.includes(name));
  return removed === undefined ? null : `${what} ${removed} was removed`;
}

function valueChanged(
  what: string,
  before: ReadonlyMap<string, string>,
  now: ReadonlyMap<string, string>,
): string | null {
  const [changed] = [...new Set([...before.keys(), ...now.keys()])].filter(
    (name) => before.get(name) !== now.get(name),
  );
  return changed === undefined ? null : `${what} ${changed} was changed`;
}

/** What clients may call a cache besides its name. Servers ignore by names, and let these pass. */
export function aliasesOf({ configurations }: Standing): { cache: string; alias: string } | null {
  for (const [cache, text] of configurations) {
    const [configuration] = Object.values(JSON.parse(text) as Record<string, { aliases?: unknown }>);
    const alias = Array.isArray(configuration?.aliases) ? (configuration.aliases as unknown[])[0] : undefined;
    if (typeof alias === 'string') return { cache, alias };
  }
  return null;
}

/** Those that do not look at the list of ignored caches, and can be stopped. */
export function passingConnectors(connectors: readonly Connector[]): string[] {
  return connectors
    .filter(({ protocol, isEnabled }) => isEnabled && (protocol === 'resp' || protocol === 'memcached'))
    .map(({ name }) => name);
}
