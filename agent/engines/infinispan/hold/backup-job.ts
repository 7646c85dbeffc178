import type { StillpointError } from '../../../../shared/domain/errors.ts';
import { freeBytesAt } from '../../../room-watch.ts';
import type { ResourceNames } from '../server/answers.ts';
import type { InfinispanServer, JobState } from '../server/infinispan-server.ts';
import { backupFailed, backupGone, otherBackup } from './failures.ts';

/** How our jobs begin, so that what a dead operation left can be told from what is an operator's. */
const PREFIX = 'stillpoint-';
/**
 * Always the same: a server that was killed keeps the archive of a job and forgets the job. It makes none under a name of
 * which an archive lies there, and removes that when it is told to remove the job that failed for it.
 */
export const OUR_BACKUP = `${PREFIX}backup`;
/** How long another's job is waited for. */
const OTHERS_S = 60;
const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 50;
/** Every server makes one so small in less. */
const REHEARSAL_MS = 30_000;
/** Of a look at another server, which may be down: its agent has more to say of it. */
const PEER_MS = 3000;

type JobServer = Pick<
  InfinispanServer,
  'url' | 'backups' | 'backupState' | 'deleteBackup' | 'startBackup' | 'stateDirectory'
>;

/** Sent as it is, and never taken back: a server that has read it would begin when nobody looks any more. */
export async function startBackup(
  server: JobServer,
  name: string,
  resources: ResourceNames | null,
): Promise<void> {
  await server.startBackup(name, resources, new AbortController().signal);
}

/** Resolves when it is done. Rejects when it is not any more, and with the signal's reason. */
export async function backupDone(server: JobServer, name: string, signal: AbortSignal): Promise<void> {
  const state = await ended(server, name, signal);
  if (state === 'failed') throw await failed(server);
  if (state === 'none') throw backupGone(server.url);
}

/**
 * Removes what operations left that are dead: nobody else is at work here while we are. Resolves when no other job is
 * under way on these servers: ours would fail, and make the first one forget that the other is.
 */
export async function makeWay(
  [own, ...peers]: readonly JobServer[],
  signal: AbortSignal,
  waitsFor: (cause: string) => void,
): Promise<void> {
  const until = performance.now() + OTHERS_S * 1000;
  if (own !== undefined) await makeWayOn(own, until, signal, waitsFor);
  for (const peer of peers) {
    const isThere = await peer.backups(AbortSignal.any([signal, AbortSignal.timeout(PEER_MS)])).then(
      () => true,
      () => false,
    );
    if (isThere) await makeWayOn(peer, until, signal, waitsFor);
  }
}

async function makeWayOn(
  server: JobServer,
  until: number,
  signal: AbortSignal,
  waitsFor: (cause: string) => void,
): Promise<void> {
  for (const name of await server.backups(signal)) {
    if (name.startsWith(PREFIX)) await removeBackup(server, name, signal);
    else if ((await server.backupState(name, signal)) === 'running') {
      waitsFor(`backup ${name} of the server at ${server.url}`);
      const late = AbortSignal.timeout(Math.max(0, Math.ceil(until - performance.now())));
      await ended(server, name, AbortSignal.any([signal, late])).catch((error: unknown) => {
        throw signal.aborted ? error : otherBackup(name, OTHERS_S);
      });
    }
  }
}

/**
 * Removes a job and its archive. One that is under way cannot be ended: it goes when it is done, and only then does the
 * server forget its name. Rejects with the signal's reason, when the server will remove the archive by itself.
 */
export async function removeBackup(server: JobServer, name: string, signal: AbortSignal): Promise<void> {
  await server.deleteBackup(name, signal);
  if ((await ended(server, name, signal)) !== 'none') await server.deleteBackup(name, signal);
}

/**
 * A backup of next to nothing, while nobody is held: it shows that the server can make one now. Twice where it cannot at
 * first, for what a killed server kept goes with the first.
 */
export async function rehearse(server: JobServer, signal: AbortSignal): Promise<void> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(REHEARSAL_MS)]);
  if ((await rehearsed(server, bounded)) === 'done') return;
  const state = await rehearsed(server, bounded);
  if (state !== 'done') throw state === 'none' ? backupGone(server.url) : await failed(server);
}

async function rehearsed(server: JobServer, signal: AbortSignal): Promise<JobState> {
  await startBackup(server, OUR_BACKUP, { protoSchemas: ['*'] });
  try {
    return await ended(server, OUR_BACKUP, signal);
  } finally {
    await removeBackup(server, OUR_BACKUP, AbortSignal.timeout(REHEARSAL_MS)).catch(() => undefined);
  }
}

async function failed(server: JobServer): Promise<StillpointError> {
  const path = await server.stateDirectory(AbortSignal.timeout(PEER_MS)).catch(() => null);
  const freeBytes = path === null ? null : await freeBytesAt(path);
  return backupFailed(server.url, path === null || freeBytes === null ? null : { path, freeBytes });
}

async function ended(server: JobServer, name: string, signal: AbortSignal): Promise<JobState> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 1.3)) {
    signal.throwIfAborted();
    const state = await server.backupState(name, signal);
    if (state !== 'running') return state;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
