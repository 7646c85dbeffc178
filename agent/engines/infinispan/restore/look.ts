import { createHash } from 'node:crypto';
import { failureOf } from '../../../../shared/domain/errors.ts';
import type { RestoreRoom } from '../../../../shared/domain/wire.ts';
import type { Warning } from '../../../../shared/domain/warning.ts';
import { freeAt } from '../../restore/host-check.ts';
import type { ClusterFacts } from '../copy/facts.ts';
import { whoIsConnected } from '../look/warnings.ts';
import type { CacheInfo, ContainerInfo } from '../server/answers.ts';
import type { InfinispanServer } from '../server/infinispan-server.ts';
import { startOf, type RestoreSettings } from '../settings.ts';
import { moving, notRunning, notWhole, olderServer, otherContainer } from './failures.ts';
import { keptCaches } from './kept-caches.ts';

const MOVING_S = 120;
const LOOK_AGAIN_MS = 250;
/** Of an entry in an archive of which nothing is known. */
const SOME_ENTRY_BYTES = 1024;

/** The cluster has all of its entries, and none is on its way. */
export async function mustBeAtRest(
  server: InfinispanServer,
  settings: RestoreSettings,
  signal: AbortSignal,
): Promise<ContainerInfo> {
  const member = settings.name;
  const until = performance.now() + MOVING_S * 1000;
  for (;;) {
    const { status } = await server.health(signal).catch((error: unknown) => {
      signal.throwIfAborted();
      const { code, message } = failureOf(error, { code: '', hint: '' });
      throw code === 'infinispan-unreachable' ? notRunning(member, message, startOf(settings)) : error;
    });
    if (status === 'HEALTHY') return server.container(signal);
    if (status !== 'HEALTHY_REBALANCING') throw notWhole(member, status);
    if (performance.now() > until) throw moving(member, MOVING_S);
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

/** A server reads archives of its own release and of earlier ones, of containers that are called as its own. */
export function mustBeRestorable(facts: ClusterFacts, container: ContainerInfo, member: string): void {
  if (isLater(facts.version, container.version)) throw olderServer(member, facts.version, container.version);
  if (facts.container !== container.name) throw otherContainer(member, facts.container, container.name);
}

/** Of another major release than a server's, and a later one. */
export function isLater(archived: string, running: string): boolean {
  const [archive, server] = [archived, running].map((version) => Number.parseInt(version, 10));
  return archive !== undefined && server !== undefined && archive > server;
}

/** All that a restore will change of the cluster, and what may change it meanwhile, is said before. */
export async function lookAtCluster(
  server: InfinispanServer,
  input: {
    readonly name: string;
    readonly facts: ClusterFacts;
    readonly container: ContainerInfo;
    /** Where the restore works. */
    readonly path: string;
    readonly signal: AbortSignal;
  },
): Promise<{ warnings: readonly Warning[]; rooms: readonly RestoreRoom[] }> {
  const { facts, container, signal, path, name: about } = input;
  const [caches, resources, clients, stateDirectory] = await Promise.all([
    server.caches(signal),
    server.resources(signal),
    server.clients(signal),
    server.stateDirectory(signal),
  ]);
  const kept = await keptCaches(stateDirectory);
  const archived = new Set(facts.caches.map(({ name }) => name));
  const apart = apartOf({ caches, servers: container.members });
  const touched = caches.filter(({ name }) => !apart.has(name));
  const counts = await entriesOf(server, touched, signal);
  const other = await configuredOtherwise(server, { facts, container, caches, signal });
  const more = touched.filter(({ name }) => !archived.has(name));
  const entries = counts.reduce((sum, count) => sum + count.entries, 0);
  const written = counts.filter((cache) => cache.entries > 0);
  const counters = resources.counters.length;

  const warnings: Warning[] = [];
  const warn = (code: string, text: string, hint: string): void => {
    warnings.push({ code, about, text, hint });
  };
  const who = whoIsConnected(clients, 'the cluster');
  if (who !== null)
    warn(
      'infinispan-clients',
      who,
      'disconnect them: they are refused from the switch until the restore is decided, but for what they do with counters, which no server refuses',
    );
  if (written.length > 0 || counters > 0)
    warn(
      'infinispan-overwritten',
      `the cluster holds ${entries} entries in ${written.length} caches, and ${counters} counters: the checkpoint takes their place, also of what is newer`,
      'create a checkpoint first where any of it is needed',
    );
  if (other.length > 0)
    warn(
      'infinispan-configuration-kept',
      `${listed(other)}: configured otherwise than in the checkpoint; the cluster's configuration stays, the entries are the checkpoint's`,
      'remove the cache first where it is to have the configuration of the checkpoint',
    );
  const removed = more.filter(({ name }) => kept.has(name));
  if (removed.length > 0)
    warn(
      'infinispan-cache-removed',
      `${listed(removed)}: not in the checkpoint, and removed`,
      'back it up by itself where it is needed',
    );
  const emptied = more.filter(({ name }) => !kept.has(name));
  if (emptied.length > 0)
    warn(
      'infinispan-cache-emptied',
      `${listed(emptied)}: not in the checkpoint; the servers' configuration defines it, so it is emptied and stays`,
      'back it up by itself where it is needed',
    );
  if (apart.size > 0)
    warn(
      'infinispan-cache-apart',
      `${[...apart].join(', ')}: each server has entries of its own in it, of which a checkpoint has those of one; it is left as it is`,
      'use a distributed or a replicated cache for what must come back',
    );
  return { warnings, rooms: [await roomOf(path, facts, entries)] };
}

/** Caches that each server of several has for itself: an archive has those of one alone. */
export function apartOf(cluster: {
  readonly caches: readonly { readonly name: string; readonly type: string }[];
  readonly servers: readonly string[];
}): ReadonlySet<string> {
  if (cluster.servers.length < 2) return new Set();
  const isApart = (type: string): boolean => type === 'local-cache' || type === 'invalidation-cache';
  return new Set(cluster.caches.filter(({ type }) => isApart(type)).map(({ name }) => name));
}

async function entriesOf(
  server: InfinispanServer,
  caches: readonly CacheInfo[],
  signal: AbortSignal,
): Promise<{ name: string; entries: number }[]> {
  const counts = [];
  for (const { name, status } of caches)
    // One that its operators ignore does not say how many it has.
    if (status === 'RUNNING') counts.push({ name, entries: await server.entries(name, signal) });
  return counts;
}

/** An archive has a cache's configuration as the server writes it, between the same words: so digests tell. */
async function configuredOtherwise(
  server: InfinispanServer,
  input: {
    readonly facts: ClusterFacts;
    readonly container: ContainerInfo;
    readonly caches: readonly CacheInfo[];
    readonly signal: AbortSignal;
  },
): Promise<{ name: string }[]> {
  const release = (version: string): string => version.split('.').slice(0, 2).join('.');
  const { facts, container, caches, signal } = input;
  // Releases write the same configuration in different words.
  if (release(facts.version) !== release(container.version)) return [];
  const there = new Set(caches.map(({ name }) => name));
  const other = [];
  for (const { name, configurationSha256 } of facts.caches) {
    if (!there.has(name)) continue;
    const xml = archivedConfiguration(await server.configurationXml(name, signal), release(facts.version));
    if (createHash('sha256').update(xml).digest('hex') !== configurationSha256) other.push({ name });
  }
  return other;
}

function archivedConfiguration(xml: string, release: string): string {
  const [head = '', element = ''] = xml.split(/(?<=\?>)/, 2);
  return `${head}<infinispan xmlns="urn:infinispan:config:${release}"><cache-container><caches>${element}</caches></cache-container></infinispan>`;
}

/** For the archive of the checkpoint, for one of what is there, and for one of what is there afterwards. */
async function roomOf(path: string, facts: ClusterFacts, entries: number): Promise<RestoreRoom> {
  const archived = facts.caches.reduce((sum, cache) => sum + cache.entries, 0);
  const each = archived === 0 ? SOME_ENTRY_BYTES : facts.archive.sizeBytes / archived;
  const neededBytes = Math.ceil(2 * facts.archive.sizeBytes + entries * each);
  return { ...(await freeAt(path)), path, neededBytes };
}

export function listed(caches: readonly { readonly name: string }[]): string {
  const names = caches.map(({ name }) => name);
  return names.length > 5 ? `${names.slice(0, 5).join(', ')} and ${names.length - 5} more` : names.join(', ');
}
