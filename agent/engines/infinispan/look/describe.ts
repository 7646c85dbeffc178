import { StillpointError, type Failure } from '../../../../shared/domain/errors.ts';
import type { MemberDescription, Traits } from '../../../../shared/domain/grid.ts';
import type { Abilities } from '../../../../shared/domain/purpose.ts';
import { ARCHIVE_PATH } from '../copy/facts.ts';
import { freeBytesAt } from '../../../room-watch.ts';
import { isFenceLeft } from '../hold/fence.ts';
import type { HoldPace } from '../hold/hold-pace.ts';
import { isZeroCapacity } from '../server/host-servers.ts';
import { InfinispanServer } from '../server/infinispan-server.ts';
import { isServerRunning } from '../server-process.ts';
import { archivePlace, noRoom } from './room.ts';
import { serversOf, type InfinispanSettings } from '../settings.ts';
import { problemsOf, splitProblems } from './problems.ts';
import type { Seen } from './seen.ts';
import { warningsOf } from './warnings.ts';

export interface Looking {
  readonly signal: AbortSignal;
  /** An operation has the cluster now, from here or from the host of another server. */
  readonly isOurs: boolean;
  readonly pace: HoldPace;
}

/** A look must not wait for a server that hangs as long as its agent would. */
const LOOK_MS = 8000;
/** Caches whose entries are counted; those beyond them are taken to be like these. */
const MOST_COUNTED = 100;

/** What its server says of itself and of its cluster. */
export async function describeInfinispan(
  settings: InfinispanSettings,
  { signal, isOurs, pace }: Looking,
): Promise<MemberDescription> {
  const server = new InfinispanServer(settings);
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(LOOK_MS)]);
  try {
    return await described(settings, server, { signal: bounded, isOurs, pace });
  } catch (error) {
    const failure = failureOfLook(settings, error);
    if (failure.code === 'infinispan-unreachable' && !(await isServerRunning(settings)))
      return { ...unknown(settings), warnings: [] };
    return { ...unknown(settings), running: true, problems: [failure] };
  } finally {
    server.close();
  }
}

async function described(
  settings: InfinispanSettings,
  server: InfinispanServer,
  { signal, isOurs, pace }: Looking,
): Promise<MemberDescription> {
  const [{ id, coordinatorId, version, incarnation }, seen] = await Promise.all([
    server.node(signal),
    look(server, settings.root, isOurs, signal),
  ]);
  const { container } = seen;
  const isLead = id === coordinatorId;
  const [entries, clients, split, freeBytes] = await Promise.all([
    isLead && !seen.isLeft && !isOurs ? countEntries(server, seen, signal) : 0,
    isLead ? server.clients(signal) : null,
    splitProblems(settings, serversOf(settings).slice(1), container, signal),
    freeBytesAt(archivePlace(settings)),
    pace.remember(),
  ]);
  const predictedMs = pace.predictMs(entries, seen.caches.length);
  const archive = pace.predictBytes(entries);
  const isShort = isLead && freeBytes !== null && freeBytes < archive.bytes;
  const short = isShort ? [noRoom(settings, archive.bytes, freeBytes)] : [];
  return {
    ...unknown(settings),
    running: true,
    primary: isLead,
    leftFrozen: seen.isLeft,
    traits: traitsOf(container.clusterName, version),
    incarnation,
    version,
    dataIdentity: `${container.clusterName} ${coordinatorId}`,
    sizeBytes: archive.bytes,
    problems: [
      ...problemsOf(settings, seen, isLead ? { entries, predictedMs } : null),
      ...split,
      ...(archive.isKnown ? short : []),
    ],
    warnings: [
      ...warningsOf(settings, seen, clients === null ? null : { clients, predictedMs }),
      // A guess refuses nobody.
      ...(archive.isKnown
        ? []
        : short.map(({ code, message, hint }) => ({ code, about: settings.name, text: message, hint }))),
    ],
  };
}

async function look(
  server: InfinispanServer,
  root: string,
  isOurs: boolean,
  signal: AbortSignal,
): Promise<Seen> {
  const [container, { status }, caches, ignored, isEmpty] = await Promise.all([
    server.container(signal),
    server.health(signal),
    server.caches(signal),
    server.ignored(signal),
    isZeroCapacity(root),
  ]);
  return {
    container,
    status,
    caches,
    ignored,
    isLeft: !isOurs && isFenceLeft(ignored),
    isZeroCapacity: isEmpty,
  };
}

async function countEntries(
  server: InfinispanServer,
  { caches, ignored }: Seen,
  signal: AbortSignal,
): Promise<number> {
  const served = caches.filter(({ name }) => !ignored.includes(name));
  const counted = await Promise.all(
    served.slice(0, MOST_COUNTED).map(({ name }) => server.entries(name, signal)),
  );
  const entries = counted.reduce((sum, one) => sum + one, 0);
  return counted.length === 0 ? 0 : Math.round((entries * served.length) / counted.length);
}

/** One server leads: the one that coordinates the cluster, which all of them name alike. */
function traitsOf(clusterName: string, version: string): Traits {
  return {
    domain: `cluster ${clusterName}`,
    copies: 'one',
    standbys: 'peer',
    maintenance: false,
    inRealm: false,
    renamable: true,
    maxMembers: null,
    compatibility: version.split('.').slice(0, 2).join('.'),
    marksJournalFile: false,
    restoresRunning: true,
    archive: ARCHIVE_PATH,
  };
}

function unknown(settings: InfinispanSettings): MemberDescription {
  return {
    name: settings.name,
    role: settings.role,
    copyset: settings.copyset,
    engine: 'infinispan',
    address: settings.address,
    running: false,
    primary: false,
    frozen: false,
    leftFrozen: false,
    freezeKind: 'fenced',
    traits: traitsOf(settings.copyset, ''),
    incarnation: '',
    version: '',
    dataIdentity: '',
    sizeBytes: 0,
    journalBytesPerSecond: 0,
    copyBytesPerSecond: 0,
    problems: [],
    warnings: [],
    dataDirectory: settings.root,
    localCheckpoints: [],
    realm: null,
    quorum: null,
    abilities: abilitiesOf(settings.name),
    updatesHaveRoomMs: null,
  };
}

/** What is in memory has no files that an operator copies, and no journal that ends. */
function abilitiesOf(name: string): Abilities {
  const failure: Failure = {
    code: 'infinispan-in-memory',
    message: `${name} is an Infinispan server: its data is in memory, and no file of it is anybody's to copy`,
    hint: 'stillpoint checkpoint create copies it by itself',
  };
  return { journalCheckpoint: failure, quiesce: failure, quiesceAllowingReads: failure, freeze: failure };
}

function failureOfLook({ name, url }: InfinispanSettings, error: unknown): Failure {
  if (error instanceof StillpointError) return error.failure;
  if (!(error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError')))
    throw error;
  return {
    code: 'infinispan-slow',
    message: `${name}: the server at ${url} did not say within ${LOOK_MS / 1000} s how its cluster is`,
    hint: 'look at its log and at the load of its host',
  };
}
