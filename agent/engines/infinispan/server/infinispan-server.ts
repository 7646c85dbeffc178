import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import * as z from 'zod';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { fullDisk } from '../../../disk-error.ts';
import {
  cacheList,
  clusterHealth,
  configurations,
  connections,
  connector,
  containerInfo,
  namedThings,
  names,
  nodeInfo,
  stateDirectory,
  type CacheInfo,
  type ClusterHealth,
  type Clients,
  type Connector,
  type ContainerInfo,
  type NodeInfo,
  type ResourceNames,
  type Resources,
} from './answers.ts';
import { misread } from './failures.ts';
import { runOf } from './host-servers.ts';
import { clientName, isOurClient, Rest, type Ask } from './rest.ts';
import type { ServerSettings } from './settings.ts';
import { workerOf, type Worker } from './worker.ts';

/**
 * `running`: not ended yet. `none`: the server knows of none with this name. `failed`: the server's log has the cause,
 * REST does not tell it.
 */
export type JobState = 'running' | 'done' | 'failed' | 'none';

type Question = Pick<Ask, 'path' | 'signal'>;

/** A job of the server answers slowly while it begins: it opens the archive first. */
const JOB_SILENT_MS = 60_000;

/** One of us at work, and the connection that says so: another one each time. */
export interface WorkerSeen {
  readonly worker: Worker;
  readonly mark: string;
}

/**
 * One server of a cluster, asked over REST. Every call is bounded: by its signal, and by how long a server may be silent.
 * A rejection is a `StillpointError`: `infinispan-unreachable`, `infinispan-certificate`, `infinispan-refused` (who we
 * are, or what we may), `infinispan-secret` (a file with a password), `infinispan-answer` (all else that a server says);
 * or the reason of the signal.
 *
 * What is said of the cluster is the same from each of its servers; a backup and a restore are of the server that was
 * asked for them, and only it knows of them.
 */
export class InfinispanServer {
  readonly #settings: ServerSettings;
  readonly #rest: Rest;

  constructor(settings: ServerSettings) {
    this.#settings = settings;
    this.#rest = new Rest(settings);
  }

  get url(): string {
    return this.#settings.url;
  }

  /** What is under way rejects. */
  close(): void {
    this.#rest.close();
  }

  // The cluster and its servers.

  health(signal: AbortSignal): Promise<ClusterHealth> {
    return this.#get(clusterHealth, { path: 'container/health', signal });
  }

  container(signal: AbortSignal): Promise<ContainerInfo> {
    return this.#get(containerInfo, { path: 'container', signal });
  }

  async node(signal: AbortSignal): Promise<NodeInfo> {
    const { root } = this.#settings;
    const [said, run] = await Promise.all([
      this.#get(nodeInfo, { path: 'server/overview-report', signal }),
      root === undefined ? '' : runOf(root),
    ]);
    return { ...said, incarnation: `${said.id} ${run}`.trim() };
  }

  connectors(signal: AbortSignal): Promise<Connector[]> {
    return this.#get(names, { path: 'server/connectors', signal }).then((all) =>
      Promise.all(
        all.map((one) => this.#get(connector, { path: `server/connectors/${encode(one)}`, signal })),
      ),
    );
  }

  /** Refuses new and ends the present connections of a connector, on every server of the cluster. Idempotent. */
  async stopConnector(name: string, signal: AbortSignal): Promise<void> {
    await this.#connector(name, 'stop', signal);
  }

  /** Idempotent. */
  async startConnector(name: string, signal: AbortSignal): Promise<void> {
    await this.#connector(name, 'start', signal);
  }

  async #connector(name: string, action: 'start' | 'stop', signal: AbortSignal): Promise<void> {
    await this.#rest.ask({
      method: 'POST',
      path: `server/connectors/${encode(name)}?action=${action}`,
      signal,
      expected: [200, 204],
      isIdempotent: true,
    });
  }

  /** The clients that are connected to any server of the cluster; not we. */
  async clients(signal: AbortSignal): Promise<Clients> {
    const { known, isWhole } = await this.#connected(signal);
    // One that has not spoken yet may be our own.
    return {
      known: known.filter(({ library, protocol }) => protocol !== null && !isOurClient(library)),
      isWhole,
    };
  }

  /**
   * Whoever is connected to any server of the cluster. A server that cannot ask the others, as one of 16.0.5 whose classes
   * its own loader has loaded, tells of those that are connected to itself.
   */
  async #connected(signal: AbortSignal): Promise<Clients> {
    const path = 'server/connections';
    try {
      return { known: await this.#get(connections, { path: `${path}?global=true`, signal }), isWhole: true };
    } catch (error) {
      if (!(error instanceof StillpointError) || error.failure.code !== 'infinispan-answer') throw error;
      return {
        known: await this.#get(connections, { path: `${path}?global=false`, signal }),
        isWhole: false,
      };
    }
  }

  /** Whether the server that is asked still has a connection of this asker. */
  async hears(asker: string, signal: AbortSignal): Promise<boolean> {
    const own = await this.#get(connections, { path: 'server/connections', signal });
    return own.some(({ library }) => library === clientName(asker));
  }

  /** Of us, who shows any server of the cluster that it is at work. */
  async workers(signal: AbortSignal): Promise<WorkerSeen[]> {
    const { known } = await this.#connected(signal);
    return known.flatMap(({ node, remote, created, library }) => {
      const worker = workerOf(library ?? '');
      return worker === null ? [] : [{ worker, mark: `${node} ${remote} ${created}` }];
    });
  }

  /** Resolves when the server knows this client by its name. */
  async greet(signal: AbortSignal): Promise<void> {
    await this.#rest.ask({ method: 'GET', path: 'server', signal, expected: [200] });
  }

  /** The directory in which the server that is asked keeps its state, on its host. */
  stateDirectory(signal: AbortSignal): Promise<string> {
    return this.#get(stateDirectory, { path: 'container/config', signal });
  }

  /** Ends the process of the server that is asked, and of no other. Resolves when it has begun to stop. */
  async stop(signal: AbortSignal): Promise<void> {
    await this.#rest.ask({ method: 'POST', path: 'server?action=stop', signal, expected: [200, 204] });
  }

  // What it holds.

  /** Without those of the server itself. */
  async caches(signal: AbortSignal): Promise<CacheInfo[]> {
    const [details, configured] = await Promise.all([
      this.#get(cacheList, { path: 'caches?action=detailed', signal }),
      this.#get(configurations, { path: 'container/cache-configs', signal }),
    ]);
    const byName = new Map(configured.map(({ name, configuration }) => [name, configuration]));
    return details.map((cache) => ({ ...cache, configuration: byName.get(cache.name) ?? '{}' }));
  }

  /** Of all caches, also those in which servers keep schemas and scripts. */
  cacheNames(signal: AbortSignal): Promise<string[]> {
    return this.#get(names, { path: 'caches', signal });
  }

  /** Of all caches and templates: what they are made by, as JSON text, by name. */
  async configurations(signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
    const all = await this.#get(configurations, { path: 'container/cache-configs', signal });
    return new Map(all.map(({ name, configuration }) => [name, configuration]));
  }

  /** Of a cache: what it is made by, as the server writes it into archives. */
  async configurationXml(cache: string, signal: AbortSignal): Promise<string> {
    const path = `caches/${encode(cache)}?action=config`;
    const headers = { accept: 'application/xml' };
    return (await this.#rest.ask({ method: 'GET', path, signal, headers, expected: [200] })).text;
  }

  counterNames(signal: AbortSignal): Promise<string[]> {
    return this.#get(names, { path: 'counters', signal });
  }

  /** Without what every server has: its own caches, templates and tasks. */
  async resources(signal: AbortSignal): Promise<Resources> {
    const [caches, templates, counters, protoSchemas, tasks] = await Promise.all([
      this.#get(namedThings, { path: 'caches?action=detailed', signal }),
      this.#get(namedThings, { path: 'container/cache-configs/templates', signal }),
      this.#get(names, { path: 'counters', signal }),
      this.#get(namedThings, { path: 'schemas', signal }),
      this.#get(namedThings, { path: 'tasks?type=user', signal }),
    ]);
    return {
      templates: sorted(templates.map(({ name }) => name).filter((name) => !name.startsWith(SERVERS_OWN))),
      caches: sorted(caches.map(({ name }) => name)),
      counters: sorted(counters),
      protoSchemas: sorted(protoSchemas.map(({ name }) => name)),
      tasks: sorted(tasks.map(({ name }) => name)),
    };
  }

  /** How many entries the whole cluster has in a cache, each once. Rejects while the cache is ignored. */
  entries(cache: string, signal: AbortSignal): Promise<number> {
    return this.#get(z.number().int().min(0), { path: `caches/${encode(cache)}?action=size`, signal });
  }

  async clear(cache: string, signal: AbortSignal): Promise<void> {
    const path = `caches/${encode(cache)}?action=clear`;
    await this.#rest.ask({ method: 'POST', path, signal, expected: [200, 204], isIdempotent: true });
  }

  /** `configuration`: as `caches` tells it, or XML as archives have it. `isKept`: the servers keep it in their state; else it ends with them. */
  async createCache(
    cache: string,
    configuration: string,
    signal: AbortSignal,
    { isKept = true }: { isKept?: boolean } = {},
  ): Promise<void> {
    const type = configuration.startsWith('<') ? 'application/xml' : 'application/json';
    const body = { type, bytes: Buffer.from(configuration) };
    await this.#rest.ask({
      method: 'POST',
      path: `caches/${encode(cache)}`,
      body,
      signal,
      ...(!isKept && { headers: { flags: 'VOLATILE' } }),
      expected: [200, 204],
    });
  }

  /** With all that is in it, for ever. Idempotent. */
  removeCache(cache: string, signal: AbortSignal): Promise<void> {
    return this.#remove(`caches/${encode(cache)}`, signal);
  }

  removeCounter(counter: string, signal: AbortSignal): Promise<void> {
    return this.#remove(`counters/${encode(counter)}`, signal);
  }

  removeSchema(schema: string, signal: AbortSignal): Promise<void> {
    return this.#remove(`schemas/${encode(schema)}`, signal);
  }

  /** The value of a counter, in decimal digits: it may be greater than a number can be. */
  async counter(counter: string, signal: AbortSignal): Promise<string> {
    const path = `counters/${encode(counter)}`;
    const { text } = await this.#rest.ask({ method: 'GET', path, signal, expected: [200] });
    return text.trim();
  }

  async #remove(path: string, signal: AbortSignal): Promise<void> {
    await this.#rest.ask({ method: 'DELETE', path, signal, expected: [200, 204, 404], isIdempotent: true });
  }

  // Ignored caches: their readers and writers are refused with 503, over REST and Hot Rod, on every server.

  ignored(signal: AbortSignal): Promise<string[]> {
    return this.#get(names, { path: 'server/ignored-caches', signal });
  }

  /** Idempotent. Resolves when it holds on every server; to false where there is no such cache. */
  async ignore(cache: string, signal: AbortSignal): Promise<boolean> {
    return this.#setIgnored('POST', cache, signal);
  }

  /** Idempotent. Resolves to false where there is no such cache. */
  async unIgnore(cache: string, signal: AbortSignal): Promise<boolean> {
    return this.#setIgnored('DELETE', cache, signal);
  }

  async #setIgnored(method: 'POST' | 'DELETE', cache: string, signal: AbortSignal): Promise<boolean> {
    const path = `server/ignored-caches/${encode(cache)}`;
    const { status } = await this.#rest.ask({
      method,
      path,
      signal,
      expected: [200, 204, 404],
      isIdempotent: true,
    });
    return status !== 404;
  }

  // Jobs: archives written and read by the server that is asked.

  /**
   * Begins a backup of what is named, or of all. `directory`: on the server's host, there already; else the server's own.
   * A server makes one at a time; a second one fails, and may make the server forget that the first is under way.
   * Rejects `infinispan-answer` where there is one with this name.
   */
  async startBackup(
    name: string,
    resources: ResourceNames | null,
    signal: AbortSignal,
    directory?: string,
  ): Promise<void> {
    const json = {
      ...(directory !== undefined && { directory }),
      ...(resources !== null && { resources: asServerSays(resources) }),
    };
    const path = `container/backups/${encode(name)}`;
    await this.#rest.ask({ method: 'POST', path, json, signal, expected: [202], silentMs: JOB_SILENT_MS });
  }

  backupState(name: string, signal: AbortSignal): Promise<JobState> {
    return this.#state(`container/backups/${encode(name)}`, signal);
  }

  /** Writes the archive of a backup that is done into a file of this host. Not durable on return. Rejects with the disk's own error where that is full. */
  async saveBackup(name: string, file: string, signal: AbortSignal): Promise<void> {
    const path = `container/backups/${encode(name)}`;
    const asked = { method: 'GET', path, signal, expected: [200], silentMs: JOB_SILENT_MS } as const;
    const archive = await this.#rest.stream(asked);
    try {
      await pipeline(archive, createWriteStream(file, { flags: 'w', mode: 0o600 }), { signal });
    } catch (error) {
      throw fullDisk(error) === null ? this.#rest.explained(asked, error) : error;
    }
  }

  /** With its archive on the server's host. Idempotent. One that is under way goes when it has ended. */
  async deleteBackup(name: string, signal: AbortSignal): Promise<void> {
    await this.#deleteJob(`container/backups/${encode(name)}`, signal);
  }

  backups(signal: AbortSignal): Promise<string[]> {
    return this.#get(names, { path: 'container/backups', signal });
  }

  /**
   * Begins to restore what is named, or all, from an archive: `location` lies on the server's host, `file` on this one
   * and is sent. Entries of caches that are there are overwritten, others stay, configurations too.
   */
  async startRestore(
    name: string,
    archive: { readonly location: string } | { readonly file: string },
    resources: ResourceNames | null,
    signal: AbortSignal,
  ): Promise<void> {
    const path = `container/restores/${encode(name)}`;
    const named = resources === null ? {} : { resources: asServerSays(resources) };
    const begun = { method: 'POST', path, signal, expected: [202], silentMs: JOB_SILENT_MS } as const;
    if ('location' in archive) {
      await this.#rest.ask({ ...begun, json: { location: archive.location, ...named } });
      return;
    }
    // The server's challenge is had by something small: it would be asked for after the archive was sent.
    await this.#rest.ask({ method: 'GET', path: 'server', signal, expected: [200] });
    const fields = resources === null ? {} : { resources: JSON.stringify(named.resources) };
    await this.#rest.ask({ ...begun, upload: { field: 'backup', file: archive.file, fields } });
  }

  restoreState(name: string, signal: AbortSignal): Promise<JobState> {
    return this.#state(`container/restores/${encode(name)}`, signal);
  }

  /** Forgets a restore that has ended. Idempotent. */
  async deleteRestore(name: string, signal: AbortSignal): Promise<void> {
    await this.#deleteJob(`container/restores/${encode(name)}`, signal);
  }

  restores(signal: AbortSignal): Promise<string[]> {
    return this.#get(names, { path: 'container/restores', signal });
  }

  async #state(path: string, signal: AbortSignal): Promise<JobState> {
    const { status } = await this.#rest.ask({
      method: 'HEAD',
      path,
      signal,
      expected: [200, 201, 202, 404, 500],
    });
    if (status === 202) return 'running';
    if (status === 404) return 'none';
    return status === 500 ? 'failed' : 'done';
  }

  async #deleteJob(path: string, signal: AbortSignal): Promise<void> {
    await this.#rest.ask({
      method: 'DELETE',
      path,
      signal,
      // One that has failed goes too, and is answered with 500 (ISPN012041).
      expected: [200, 202, 204, 404, 500],
      isIdempotent: true,
    });
  }

  async #get<T>(schema: z.ZodType<T>, question: Question): Promise<T> {
    const asked = { method: 'GET', expected: [200], ...question } as const;
    const { text } = await this.#rest.ask(asked);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw misread(this.#settings, `GET ${question.path}`, 'it is no JSON');
    }
    const read = schema.safeParse(value);
    if (read.success) return read.data;
    const [issue] = read.error.issues;
    throw misread(
      this.#settings,
      `GET ${question.path}`,
      `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`,
    );
  }
}

/** How the names of templates begin that come with the server. No archive holds them. */
const SERVERS_OWN = 'org.infinispan.';

const encode = encodeURIComponent;

function sorted(all: readonly string[]): string[] {
  return [...all].sort();
}

/** A kind with no name in it is left out: to the server it would mean all of the kind. */
function asServerSays(resources: ResourceNames): Record<string, readonly string[]> {
  const { templates, caches, counters, protoSchemas, tasks } = resources;
  const all = { templates, caches, counters, 'proto-schemas': protoSchemas, tasks };
  const named = Object.entries(all).filter(([, some]) => some !== undefined && some.length > 0);
  return Object.fromEntries(named) as Record<string, readonly string[]>;
}
