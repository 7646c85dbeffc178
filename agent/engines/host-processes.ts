import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { controlGroups, systemctl } from './systemctl.ts';

const ASK_MS = 10_000;

/** A process of this host, as /proc shows it. */
export interface HostProcess {
  readonly pid: number;
  /** The file that it runs. */
  readonly program: string;
  readonly args: readonly string[];
  /** The directory that it works in. */
  readonly directory: string;
}

/** The processes whose program is wanted; those that we may not look at are not among them. */
export async function hostProcesses(isWanted: (program: string) => boolean): Promise<HostProcess[]> {
  const found: HostProcess[] = [];
  for (const pid of await processNumbers()) {
    try {
      // A program that was replaced by an upgrade since is `/path (deleted)`.
      const program = (await readlink(`/proc/${pid}/exe`)).replace(/ \(deleted\)$/, '');
      if (!isWanted(program)) continue;
      const args = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0').slice(0, -1);
      found.push({ pid, program, args, directory: await readlink(`/proc/${pid}/cwd`) });
    } catch {
      // It has ended meanwhile, or it is not for us to see.
    }
  }
  return found;
}

/** Of all processes of this host that we may see. */
export async function processNumbers(): Promise<number[]> {
  const names = await readdir('/proc').catch(() => []);
  return names.filter((name) => /^\d+$/.test(name)).map(Number);
}

/** Whether a path means the same to the process as to us: in a container it does not. */
export async function seesTheSame(pid: number, path: string): Promise<boolean> {
  try {
    const [theirs, ours] = await Promise.all([stat(`/proc/${pid}/root${path}`), stat(path)]);
    return theirs.dev === ours.dev && theirs.ino === ours.ino;
  } catch {
    return false;
  }
}

/** The systemd unit of the whole host whose main process this is, or was begun by; else why there is none. */
export async function unitOf(pid: number): Promise<{ unit: string | null; why: string }> {
  const unit = unitIn(await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => ''));
  if (unit === null) return { unit, why: 'systemd does not run it as a service of its own' };
  try {
    const said = await systemctl(unit, ['show', '--property=MainPID', '--value'], ASK_MS);
    if (await isBegunBy(pid, Number(said.trim()))) return { unit: unit.replace(/\.service$/, ''), why: '' };
    return { unit: null, why: `it runs in ${unit}, which has another main process` };
  } catch (error) {
    return { unit: null, why: `systemd was not asked: ${(error as Error).message.split('\n')[0] ?? ''}` };
  }
}

/** A script may stand between a unit and its server: it is the main process, and begins the server. */
export async function isBegunBy(pid: number, main: number): Promise<boolean> {
  for (let one = pid; one > 1; one = await parentOf(one)) if (one === main) return true;
  return false;
}

/** 0 where it is gone. */
async function parentOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^PPid:\t(\d+)$/m.exec(status)?.[1] ?? 0);
}

/** Of the text of /proc/PID/cgroup: the service of the host's own systemd, and none of a user's. */
export function unitIn(cgroup: string): string | null {
  for (const group of controlGroups(cgroup)) {
    const steps = group.split('/');
    if (steps.some((step) => step.startsWith('user@') || step.endsWith('.scope'))) continue;
    const last = steps.findLast((step) => step.endsWith('.service'));
    if (last !== undefined) return last;
  }
  return null;
}

/** The process that listens on a socket, by the socket's number in /proc/net/unix; null where it is not for us to see. */
export async function listenerOf(inode: string): Promise<number | null> {
  for (const pid of await processNumbers()) {
    const open = await readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const name of open) {
      const target = await readlink(`/proc/${pid}/fd/${name}`).catch(() => '');
      if (target === `socket:[${inode}]`) return pid;
    }
  }
  return null;
}
