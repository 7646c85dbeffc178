import type { ResourceNames } from '../server/answers.ts';
import type { InfinispanServer, JobState } from '../server/infinispan-server.ts';
import { backupFailed, backupGone, otherBackup } from './failures.ts';

/** Of our jobs, so that what a dead operation left can be told from what is an operator's. */
const PREFIX = 'stillpoint-';
/** How long another's job is waited for. */
const OTHERS_S = 60;
const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 50;
/** Every server makes one so small in less. */
const REHEARSAL_MS = 30_000;

type JobServer = Pick<InfinispanServer, 'url' | 'backups' | 'backupState' | 'deleteBackup' | 'startBackup'>;

export function nameOfBackup(checkpoint: string, attempt: number): string {
  return `${PREFIX}${checkpoint}-${attempt}`;
}

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
  if (state === 'failed') throw backupFailed(server.url);
  if (state === 'none') throw backupGone(server.url);
}

/**
 * Removes what operations left that are dead: nobody else is at work here while we are. Resolves when no other job is
 * under way on this server: ours would fail, and make the server forget that the other one is.
 */
export async function makeWay(
  server: JobServer,
  signal: AbortSignal,
  waitsFor: (cause: string) => void,
): Promise<void> {
  const until = performance.now() + OTHERS_S * 1000;
  for (const name of await server.backups(signal)) {
    if (name.startsWith(PREFIX)) await removeBackup(server, name, signal);
    else if ((await server.backupState(name, signal)) === 'running') {
      waitsFor(`backup ${name} of the server`);
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

/** A backup of next to nothing, while nobody is held: it shows that the server can make one now. */
export async function rehearse(server: JobServer, signal: AbortSignal): Promise<void> {
  const name = `${PREFIX}${crypto.randomUUID()}`;
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(REHEARSAL_MS)]);
  await startBackup(server, name, { protoSchemas: ['*'] });
  try {
    await backupDone(server, name, bounded);
  } finally {
    await removeBackup(server, name, AbortSignal.timeout(REHEARSAL_MS)).catch(() => undefined);
  }
}

async function ended(server: JobServer, name: string, signal: AbortSignal): Promise<JobState> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 1.3)) {
    signal.throwIfAborted();
    const state = await server.backupState(name, signal);
    if (state !== 'running') return state;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
