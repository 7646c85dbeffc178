import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { Warning } from '../../../../shared/domain/warning.ts';
import type {
  OpenedMember,
  Restoration,
  RestoreCheck,
  RestoreContext,
  RestorePlace,
  VerifiedMember,
} from '../../engine.ts';
import { counted } from '../../../../shared/runtime/counted.ts';
import { mustBeMakeable } from '../../restore/host-check.ts';
import { readArchive } from '../archive/archive.ts';
import { ARCHIVE_PATH, clusterFactsSchema, type ClusterFacts } from '../copy/facts.ts';
import { rehearse } from '../hold/backup-job.ts';
import { closeFence } from '../hold/fence.ts';
import { passingConnectors } from '../hold/standing.ts';
import type { CacheInfo, ContainerInfo } from '../server/answers.ts';
import type { RestoreTurn } from './restore-turn.ts';
import { InfinispanServer } from '../server/infinispan-server.ts';
import type { ServerSettings } from '../server/settings.ts';
import type { RestoreSettings } from '../settings.ts';
import { mustBeEqual, type Equal } from './compare.ts';
import { saveAll } from './jobs.ts';
import { keptCaches } from './kept-caches.ts';
import { letClientsIn } from './let-in.ts';
import { elsewhere, lostCache, mustBeArchiveOf, mustBeSameServers, noFacts, otherLead } from './failures.ts';
import { apartOf, lookAtCluster, mustBeAtRest, mustBeRestorable } from './look.ts';
import { replaceAll } from './replace.ts';
import { serverOwner, WorkRoom, type CacheBefore, type Owner, type RestoreRecord } from './work-room.ts';

/** What a roll-back may take: a server that does not come to an end is tried again by the agent. */
const ROLLBACK_MS = 3_600_000;
/** What a look at a server may take when nothing of it is waited for. */
const LOOK_MS = 5000;

/**
 * Restores a cluster while its servers run: what they hold is in memory, and a stopped one would have nothing to go back
 * to. Clients are kept out by the fence of a hold from the switch until it is decided. What the cluster held is saved
 * first, behind the fence, so a roll-back brings back the last write that was acknowledged.
 *
 * The server that coordinates the cluster is gone through, by its own agent; the agents of the others look on.
 */
export class InfinispanRestoration implements Restoration {
  readonly #settings: RestoreSettings;
  readonly #context: RestoreContext;
  readonly #room: WorkRoom;
  readonly #turn: RestoreTurn;
  #leads = false;

  constructor(settings: RestoreSettings, context: RestoreContext, turn: RestoreTurn) {
    this.#settings = settings;
    this.#context = context;
    this.#turn = turn;
    this.#room = new WorkRoom(settings.root);
  }

  check(): Promise<RestoreCheck> {
    return this.#asked(async (server, signal) => {
      const facts = this.#facts;
      const container = await mustBeAtRest(server, this.#settings, signal);
      mustBeRestorable(facts, container, this.#settings.name);
      const none = { provesInPrivate: false, warnings: [], rooms: [] };
      if (!leads(container)) return none;
      await mustBeMakeable(this.#settings.name, this.#room.path);
      await this.#ownerOf(server, signal);
      const { warnings, rooms } = await lookAtCluster(server, {
        name: this.#settings.name,
        facts,
        container,
        path: this.#room.path,
        signal,
      });
      return { ...none, warnings, rooms };
    });
  }

  /** The archive comes to the host of the server that reads it, and is read there as a whole. */
  stage(): Promise<{ readonly followsAs: string | null }> {
    return this.#asked(async (server, signal) => {
      this.#leads = leads(await mustBeAtRest(server, this.#settings, signal));
      if (!this.#leads) return { followsAs: null };
      const { source, progress, restore } = this.#context;
      const facts = this.#facts;
      // What the cluster holds is saved by a backup: it fails now, or when nobody can be served meanwhile.
      await rehearse(server, signal);
      await this.#room.begin(restore);
      const owner = await this.#ownerOf(server, signal);
      await this.#room.put('checkpoint.zip', owner, (path) =>
        pipeline(
          counted(source.read(ARCHIVE_PATH), (done) => progress(done, facts.archive.sizeBytes)),
          createWriteStream(path, { mode: 0o600 }),
          { signal },
        ),
      );
      mustBeArchiveOf(facts, await readArchive(this.#room.archive('checkpoint.zip'), signal));
      return { followsAs: null };
    });
  }

  prove(): Promise<VerifiedMember> {
    return Promise.reject(new Error('it is proven when it is restored'));
  }

  /** Clients are kept out, and what the cluster holds is saved. */
  async switchIn(): Promise<void> {
    if (!this.#leads) return;
    const { restore, checkpoint, signal: until } = this.#context;
    await this.#turn.take(this.#settings, restore?.restoreId ?? checkpoint, until);
    await this.#asked(async (server, signal) => {
      const container = await mustBeAtRest(server, this.#settings, signal);
      if (!leads(container)) throw otherLead(container);
      const [caches, ignored, connectors, stateDirectory] = await Promise.all([
        server.caches(signal),
        server.ignored(signal),
        server.connectors(signal),
        server.stateDirectory(signal),
      ]);
      const kept = await keptCaches(stateDirectory);
      const names = new Set([...caches, ...this.#facts.caches].map(({ name }) => name));
      const record = await this.#record();
      const fencing: RestoreRecord = {
        ...record,
        isFenced: true,
        fenced: {
          caches: [...names].filter((name) => !ignored.includes(name)),
          connectors: passingConnectors(connectors),
        },
        servers: container.members,
        caches: caches.map(({ name, type, configuration }) => ({
          name,
          type,
          configuration,
          isKept: kept.has(name),
        })),
      };
      await this.#room.write(fencing);
      await closeFence(server, fencing.fenced, signal);
      const owner = await this.#ownerOf(server, signal);
      await this.#room.put('before.zip', owner, (path) => saveAll(server, path, signal));
      await readArchive(this.#room.archive('before.zip'), signal);
    });
  }

  async start(): Promise<void> {
    if (!this.#leads) return;
    await this.#asked(async (server, signal) => {
      const record = { ...(await this.#record()), isReplaced: true };
      // From here on a roll-back restores what was saved.
      await this.#room.write(record);
      await replaceAll(
        server,
        {
          location: this.#room.archive('checkpoint.zip'),
          content: this.#facts,
          before: record.caches,
          apart: apartOf(record),
        },
        record.fenced,
        signal,
      );
    });
  }

  verify(): Promise<VerifiedMember> {
    return this.#asked(async (server, signal) => {
      const container = await mustBeAtRest(server, this.#settings, signal);
      if (!this.#leads) {
        const there = await server.cacheNames(signal);
        const lost = this.#facts.caches.find(({ name }) => !there.includes(name));
        if (lost !== undefined) throw lostCache(lost.name, container);
        return { checks: [`member of ${container.members.length}`], warnings: [], prepared: [] };
      }
      const record = await this.#record();
      mustBeSameServers(record, container);
      const { name } = this.#settings;
      const compared = { name, room: this.#room, record, expected: 'checkpoint.zip', signal } as const;
      const equal = await compareWith(server, compared);
      return { checks: equal.checks, warnings: this.#missedByRight(equal), prepared: [] };
    });
  }

  open(): Promise<OpenedMember> {
    return openCluster(this.#settings, this.#room);
  }

  async finish(): Promise<void> {
    await this.#room.remove();
    this.#turn.end();
  }

  async rollBack(): Promise<void> {
    await rollBack(this.#settings, this.#room);
    this.#turn.end();
  }

  get #facts(): ClusterFacts {
    const { engineFacts, member } = this.#context.source.manifest;
    const read = clusterFactsSchema.safeParse(engineFacts);
    if (read.success) return read.data;
    throw noFacts(member.name, read.error.issues[0]?.path.join('.') ?? '');
  }

  async #record(): Promise<RestoreRecord> {
    const record = await this.#room.read();
    if (record === null) throw new Error('nothing is staged');
    return record;
  }

  #ownerOf(server: InfinispanServer, signal: AbortSignal): Promise<Owner> {
    return ownerOf(server, this.#settings.name, signal);
  }

  #missedByRight({ ended, thrownOut }: Equal): Warning[] {
    const about = this.#settings.name;
    const warnings: Warning[] = [];
    if (ended > 0)
      warnings.push({
        code: 'infinispan-entries-ended',
        about,
        text: `${ended} entries of the checkpoint had come to the end of their lifespan or idle time since`,
        hint: 'lifetimes go on by the clock while entries lie in a checkpoint; nothing is to be done',
      });
    if (thrownOut > 0)
      warnings.push({
        code: 'infinispan-entries-thrown-out',
        about,
        text: `${thrownOut} entries of the checkpoint found no place in caches with an upper bound`,
        hint: 'the cluster has fewer servers or less room than that of the checkpoint: see max-count and max-size',
      });
    return warnings;
  }

  async #asked<T>(task: (server: InfinispanServer, signal: AbortSignal) => Promise<T>): Promise<T> {
    return withServer(this.#settings, (server) => task(server, this.#context.signal));
  }
}

/** What a restore finds in the place of a server: the cluster as a whole. */
export async function infinispanRestorePlace(settings: RestoreSettings): Promise<RestorePlace> {
  const record = await new WorkRoom(settings.root).read();
  const left = record === null ? null : { restore: record.restore ?? null, switched: record.isFenced };
  const isOccupied = await withServer(settings, async (server) => {
    const { caches, counters, protoSchemas, tasks } = await server.resources(AbortSignal.timeout(LOOK_MS));
    return [caches, counters, protoSchemas, tasks].some((names) => names.length > 0);
  }).catch(() => true);
  return { isThere: true, isOccupied, left };
}

/** Of a restore that was cut short by the death of the agent, from what lies in its room. Idempotent. */
export async function recoverInfinispanRestore(
  settings: RestoreSettings,
  outcome: 'restored' | 'rolledBack',
): Promise<void> {
  const room = new WorkRoom(settings.root);
  if (outcome === 'rolledBack') return rollBack(settings, room);
  await openCluster(settings, room);
  await room.remove();
}

async function openCluster(settings: RestoreSettings, room: WorkRoom): Promise<OpenedMember> {
  const record = await room.read();
  if (record !== null) await openEverywhere(settings, record);
  return { warnings: [], problems: [] };
}

/** Brings back what the cluster held, where it may have been touched; then lets its clients in. */
async function rollBack(settings: RestoreSettings, room: WorkRoom): Promise<void> {
  const record = await room.read();
  if (record === null) return;
  await room.makeRoom();
  if (record.isReplaced) await bringBack(settings, room, record);
  if (record.isFenced) await openEverywhere(settings, record);
  await room.write({ ...record, isFenced: false, isReplaced: false });
  await room.remove();
}

async function bringBack(settings: RestoreSettings, room: WorkRoom, record: RestoreRecord): Promise<void> {
  const signal = AbortSignal.timeout(ROLLBACK_MS);
  const { name } = settings;
  await withServer(settings, async (server) => {
    // Where every server was started anew, nothing is ignored any more.
    await closeFence(server, record.fenced, signal);
    const location = room.archive('before.zip');
    const content = await readArchive(location, signal);
    const apart = apartOf(record);
    await replaceAll(server, { location, content, before: record.caches, apart }, record.fenced, signal);
    await compareWith(server, { name, room, record, expected: 'before.zip', signal });
  });
}

async function compareWith(
  server: InfinispanServer,
  input: {
    readonly name: string;
    readonly room: WorkRoom;
    readonly record: RestoreRecord;
    readonly expected: 'checkpoint.zip' | 'before.zip';
    readonly signal: AbortSignal;
  },
): Promise<Equal> {
  const { room, record, signal } = input;
  const owner = await ownerOf(server, input.name, signal);
  await room.put('now.zip', owner, (path) => saveAll(server, path, signal));
  const [expected, found] = await Promise.all(
    ([input.expected, 'now.zip'] as const).map(async (archive) => {
      const file = room.archive(archive);
      return { file, content: await readArchive(file, signal) };
    }),
  );
  if (expected === undefined || found === undefined) throw new Error('two archives are compared');
  const named = (caches: readonly CacheBefore[]): ReadonlySet<string> =>
    new Set(caches.map(({ name }) => name));
  const bounded = await server.caches(signal);
  return mustBeEqual(
    {
      expected,
      found,
      apart: apartOf(record),
      emptied: named(record.caches.filter(({ isKept }) => !isKept)),
      bounded: new Set(bounded.filter(mayThrowOut).map(({ name }) => name)),
      now: Date.now,
    },
    signal,
  );
}

/** Through one server for all of them; and through each that still refuses clients by a list of its own. */
async function openEverywhere(settings: RestoreSettings, { fenced }: RestoreRecord): Promise<void> {
  let first: unknown = null;
  let isOpen = false;
  for (const url of [settings.url, ...settings.peers]) {
    try {
      await withServer({ ...settings, url }, async (server) => {
        // One that does not answer refuses nobody, or is for its own agent.
        const ignored = isOpen ? await server.ignored(AbortSignal.timeout(LOOK_MS)).catch(() => []) : null;
        if (ignored !== null && !fenced.caches.some((cache) => ignored.includes(cache))) return;
        await letClientsIn(server, fenced, AbortSignal.timeout(ROLLBACK_MS));
      });
      isOpen = true;
    } catch (error) {
      if (isOpen) throw error;
      first ??= error;
    }
  }
  if (!isOpen) throw first;
}

async function withServer<T>(
  settings: ServerSettings,
  task: (server: InfinispanServer) => Promise<T>,
): Promise<T> {
  const { url, container, auth, tls } = settings;
  const server = new InfinispanServer({ url, container, auth, tls });
  try {
    return await task(server);
  } finally {
    server.close();
  }
}

async function ownerOf(server: InfinispanServer, member: string, signal: AbortSignal): Promise<Owner> {
  const directory = await server.stateDirectory(signal);
  const owner = await serverOwner(directory);
  if (owner !== null) return owner;
  throw elsewhere(member, directory);
}

function leads({ node, coordinator }: ContainerInfo): boolean {
  return node === coordinator;
}

function mayThrowOut({ isBounded, isPersistent }: CacheInfo): boolean {
  return isBounded && !isPersistent;
}
