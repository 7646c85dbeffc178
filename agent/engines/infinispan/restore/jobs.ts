import { StillpointError } from '../../../../shared/domain/errors.ts';
import { backupDone, OUR_BACKUP, removeBackup, startBackup } from '../hold/backup-job.ts';
import type { ResourceNames } from '../server/answers.ts';
import type { InfinispanServer, JobState } from '../server/infinispan-server.ts';

const PREFIX = 'stillpoint-restore-';
const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 200;
/** To forget a job that has ended. */
const FORGET_MS = 30_000;

/** Has the server write all that the cluster holds into a file of this host. Not durable on return. */
export async function saveAll(server: InfinispanServer, file: string, signal: AbortSignal): Promise<void> {
  await startBackup(server, OUR_BACKUP, null);
  try {
    await backupDone(server, OUR_BACKUP, signal);
    await server.saveBackup(OUR_BACKUP, file, signal);
  } finally {
    await removeBackup(server, OUR_BACKUP, AbortSignal.timeout(FORGET_MS)).catch(() => undefined);
  }
}

/**
 * Has the server restore these resources from an archive that lies on its host. Resolves when it says that it is done.
 * Rejects `infinispan-restore-failed`; the server goes on with what it has begun where the signal ends the wait.
 */
export async function restoreFrom(
  server: InfinispanServer,
  location: string,
  resources: ResourceNames,
  signal: AbortSignal,
): Promise<void> {
  const name = `${PREFIX}${crypto.randomUUID()}`;
  await server.startRestore(name, { location }, resources, signal);
  const state = await restoreEnded(server, name, signal);
  await server.deleteRestore(name, AbortSignal.timeout(FORGET_MS)).catch(() => undefined);
  if (state !== 'done') throw restoreFailed(server.url, resources, location, state);
}

/** What a dead agent had asked for goes on without it. Resolves when nothing of it is under way on this server. */
export async function restoresEnded(server: InfinispanServer, signal: AbortSignal): Promise<void> {
  for (const name of await server.restores(signal)) {
    if (!name.startsWith(PREFIX)) continue;
    await restoreEnded(server, name, signal);
    await server.deleteRestore(name, signal);
  }
}

async function restoreEnded(
  server: InfinispanServer,
  name: string,
  signal: AbortSignal,
): Promise<Exclude<JobState, 'running'>> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 1.3)) {
    signal.throwIfAborted();
    const state = await server.restoreState(name, signal);
    if (state !== 'running') return state;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

function restoreFailed(
  url: string,
  resources: ResourceNames,
  location: string,
  state: 'failed' | 'none',
): StillpointError {
  const what = Object.keys(resources).join(', ');
  return new StillpointError({
    code: 'infinispan-restore-failed',
    message: `the server at ${url} could not restore ${what} from ${location}${state === 'none' ? ': it was restarted' : ''}`,
    hint: 'its log has the cause (ISPN005040): it cannot read the archive there, or another restore is under way on the cluster',
  });
}
