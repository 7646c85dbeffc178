import { readFile, readlink, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { Owner } from '../../../foreign-files.ts';
import { beside, readPlainFile } from '../../../safe-files.ts';
import { answers, runCommand } from '../../restore/processes.ts';
import { commandUser } from '../../restore/run-as.ts';
import type { PostgresSettings } from '../settings.ts';
import { serverOwner } from './server-owner.ts';
import { hasUnit, isUnitUp, mustBeUsable, startUnit, stopUnit } from '../../restore/unit.ts';
import { isThere } from '../../../../shared/runtime/is-there.ts';

const STOP_SECONDS = 60;
/** A large server writes for minutes before it ends. */
const STOP_COMMAND_MS = 600_000;

/** Starts the server; resolves when the start was given or the server is there, not when the server is ready. */
export async function startServer(settings: PostgresSettings, signal: AbortSignal): Promise<void> {
  if (hasUnit(settings)) return startUnit(settings);
  if (settings.run?.start !== undefined) {
    const isReached = async (): Promise<boolean> =>
      (await hasProcess(settings)) && (await answers(settings.address));
    await runCommand(settings.name, settings.run.start, {
      user: await commandUser(settings),
      signal,
      goal: { isReached, afterwards: 'leave' },
    });
    return;
  }
  const user = await serverOwner(settings);
  await makeLog(logOf(settings), user);
  const command = [await pgCtl(settings), '-D', settings.data, '-l', logOf(settings), '-W', 'start'];
  await runCommand(settings.name, command, { user, signal });
}

/** The server's user may not be able to make its log: it is given one. What it has already is left as it is. */
async function makeLog(path: string, owner: Owner | null): Promise<void> {
  await beside(path, async (directory, name) => {
    if ((await directory.stat(name)) !== null) return;
    const log = await directory.create(name);
    if (owner !== null) await log.chown(owner.uid, owner.gid);
    await log.close();
  });
}

/** Stops the server: cleanly, and at once where it takes too long. Resolves when no process is left. */
export async function stopServer(settings: PostgresSettings, signal: AbortSignal): Promise<void> {
  if (hasUnit(settings)) await stopUnit(settings, signal, STOP_COMMAND_MS);
  if (!(await hasProcess(settings))) return;
  if (hasUnit(settings)) await mustBeUsable(settings, await processOf(settings.data));
  const isReached = async (): Promise<boolean> => !(await hasProcess(settings));
  if (settings.run?.stop !== undefined) {
    await runCommand(settings.name, settings.run.stop, {
      user: await commandUser(settings),
      signal,
      limitMs: STOP_COMMAND_MS,
      goal: { isReached, afterwards: 'endAtLimit' },
    });
  } else if (!hasUnit(settings)) {
    const user = await serverOwner(settings);
    const program = await pgCtl(settings);
    const stop = (mode: string): Promise<unknown> =>
      runCommand(
        settings.name,
        [program, '-D', settings.data, '-m', mode, '-w', '-t', String(STOP_SECONDS), 'stop'],
        { user, signal },
      );
    await stop('fast').catch(() => stop('immediate'));
  }
  for (let waited = 0; await hasProcess(settings); waited += 50) {
    signal.throwIfAborted();
    if (waited > STOP_SECONDS * 1000) throw cannotStop(settings);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** What systemd runs of it, a process of this data directory, or anything that answers at the member's address. */
export async function isServerRunning(settings: PostgresSettings): Promise<boolean> {
  if (hasUnit(settings) && (await isUnitUp(settings))) return true;
  return (await hasProcess(settings)) || (await answers(settings.address));
}

/** Whether a live server process works in this data directory. */
export async function hasProcess(settings: { readonly data: string }): Promise<boolean> {
  return (await processOf(settings.data)) !== null;
}

/** The number of the live server process that works in this directory. */
export async function processOf(data: string): Promise<number | null> {
  let pid: number;
  try {
    pid = Number((await readPlainFile(join(data, 'postmaster.pid'), 100)).split('\n')[0]);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
    throw error;
  }
  if (!Number.isInteger(pid) || pid <= 0) return null;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return null;
  }
  try {
    if ((await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.startsWith('Z') === true) return null;
    // A number that was given to another process after a crash is not the server.
    return (await readlink(`/proc/${pid}/cwd`)) === (await realpath(data)) ? pid : null;
  } catch {
    return isThere(`/proc/${pid}`).then((there) => (there || process.platform !== 'linux' ? pid : null));
  }
}

/** Ends a server on a directory that is thrown away: at once is right. */
export async function endServer(settings: PostgresSettings, staged: string): Promise<void> {
  const owner = await serverOwner(settings);
  for (let waited = 0; ; waited += 50) {
    const pid = await processOf(staged);
    if (pid === null) return;
    const { uid } = await stat(`/proc/${pid}`);
    // Only the server's own user is known to have started it.
    if (owner !== null && uid !== owner.uid) return;
    if (waited > STOP_SECONDS * 1000) throw cannotStop(settings);
    process.kill(pid, waited < 10_000 ? 'SIGQUIT' : 'SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** What it tells whoever asks to come in meanwhile, ourselves before all. */
const TURNED_AWAY =
  /FATAL: +the database system is (starting up|shutting down|in recovery mode|not (yet )?accepting connections)/;

/**
 * Why a server gave up, in its own words: the last FATAL or PANIC, and what it says to it right below. Nothing
 * else: the errors and statements of clients stand in the same log, with rows of theirs.
 */
export function whyItEnded(log: string): string {
  const lines = log.trim().split('\n');
  const last = lines.findLastIndex((line) => /\b(FATAL|PANIC):/.test(line) && !TURNED_AWAY.test(line));
  if (last < 0) return '';
  const [, ...after] = lines.slice(last);
  const end = after.findIndex((line) => !/\b(DETAIL|HINT):/.test(line));
  return lines.slice(last, last + 1 + (end < 0 ? after.length : end)).join(' | ');
}

/** Of a server that the agent starts itself. */
export function logOf(settings: PostgresSettings): string {
  return `${settings.data}.log`;
}

async function pgCtl(settings: PostgresSettings): Promise<string> {
  if (settings.binaries !== undefined) return join(settings.binaries, 'pg_ctl');
  const version = (await readPlainFile(join(settings.data, 'PG_VERSION'), 10).catch(() => '')).trim();
  const found = `/usr/lib/postgresql/${version}/bin/pg_ctl`;
  if (/^\d+$/.test(version) && (await isThere(found))) return found;
  throw new StillpointError({
    code: 'postgres-binaries',
    message: `it is not known how to start or stop ${settings.name}`,
    hint: 'name in the agent file its unit (unit: NAME), its programs (binaries: DIR) or its commands (run: { start: […], stop: […] })',
  });
}

function cannotStop(settings: PostgresSettings): StillpointError {
  return new StillpointError({
    code: 'cannot-stop',
    message: `${settings.name} still runs ${STOP_SECONDS} s after it was told to stop`,
    hint: 'stop it by hand; does unit or run.stop in the agent file stop this very server?',
  });
}
