import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

// What the lab does on the machine that it runs on. Everything of it has a name of the lab's, or lies in its folder, so
// that another run finds it, whatever became of the one that made it.

/** All that the lab keeps: root images, and the disks of hosts. Never in the repository. */
export const LAB = process.env['STILLPOINT_LAB'] ?? '/var/cache/stillpoint-lab';
export const HOSTS = join(LAB, 'hosts');
/** Wherever its disks are: its networks and control groups have the same names. */
export const LOCK = '/run/stillpoint-lab';

/** Why hosts cannot be booted here, whatever is installed; null where they can. Leaves nothing. */
export function whyNotHere(): string | null {
  if (process.platform !== 'linux') return 'hosts are booted on Linux only';
  if (process.getuid?.() !== 0) return 'only root can boot hosts';
  if (!existsSync('/etc/debian_version')) return 'hosts are made with the tools of Debian';
  if (!readFileSync('/proc/filesystems', 'utf8').includes('overlay'))
    return 'the kernel has no overlay file system';
  if (unifiedHierarchy() === null) return 'there is no cgroup2 here';
  return kernelRefuses();
}

function kernelRefuses(): string | null {
  const folder = mkdtempSync(join(makeDirectory(LAB), 'probe-'));
  const group = controlGroup('probe');
  try {
    for (const name of ['lower', 'upper', 'work', 'root']) mkdirSync(join(folder, name));
    const layers = ['lower', 'upper', 'work'].map((name) => `${name}dir=${folder}/${name}`).join(',');
    const mounts = ['mount', '-t', 'overlay', '-o', layers, 'probe', `${folder}/root`];
    // They end with the process.
    if (spawnSync('unshare', ['--mount', '--pid', '--net', '--fork', ...mounts]).status !== 0)
      return 'the kernel does not let us make namespaces, and mount in them';
    mkdirSync(group, { recursive: true });
    return null;
  } catch {
    return 'the kernel does not let us make control groups';
  } finally {
    rmSync(folder, { recursive: true, force: true });
    spawnSync('rmdir', ['--parents', '--ignore-fail-on-non-empty', group]);
  }
}

/** Runs a program to its end; its output, or an error that has it. */
export function run(program: string, args: readonly string[], options: { timeoutMs?: number } = {}): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: 'utf8',
    timeout: options.timeoutMs ?? 60_000,
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, LC_ALL: 'C' },
  });
  if (status === 0) return stdout;
  const why = error?.message ?? `it ended with ${status}: ${(stderr + stdout).trim().slice(-2000)}`;
  throw new Error(`${program} ${args.join(' ')}: ${why}`);
}

/** Polls a condition of the machine; says what it waited for. */
export async function until(what: string, limitMs: number, holds: () => boolean): Promise<void> {
  const limit = performance.now() + limitMs;
  while (!holds()) {
    if (performance.now() > limit) throw new Error(`${what}: not in ${limitMs / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function unifiedHierarchy(): string | null {
  for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
    const [, place, type] = line.split(' ');
    if (type === 'cgroup2' && place !== undefined) return place;
  }
  return null;
}

/** Each host has a control group of its own: systemd of one would else end the processes of another. */
export function controlGroup(host: string): string {
  return join(unifiedHierarchy() ?? '', 'stillpoint-lab', host);
}

/** Ends all that runs in the control groups of the lab, and takes these away. */
export async function endControlGroups(): Promise<void> {
  const unified = join(unifiedHierarchy() ?? '', 'stillpoint-lab');
  // Where there are hierarchies of the first kind too, systemd-nspawn makes its own in that of systemd.
  const roots = [unified, '/sys/fs/cgroup/systemd/stillpoint-lab'];
  // A process that has ended may hold its group for a moment more.
  await until('the processes of the lab to end', 30_000, () => {
    for (const pid of processesBelow(unified)) kill(pid);
    const left = roots.filter((root) => existsSync(root));
    for (const root of left) spawnSync('find', [root, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', '+']);
    return left.every((root) => !existsSync(root));
  });
}

export function processesBelow(group: string): number[] {
  try {
    const here = readFileSync(join(group, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
    const below = readdirSync(group, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .flatMap((entry) => processesBelow(join(group, entry.name)));
    return [...here, ...below];
  } catch {
    // It is gone, or goes while it is read.
    return [];
  }
}

export function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is gone.
  }
}

export function makeDirectory(path: string): string {
  mkdirSync(path, { recursive: true, mode: 0o755 });
  return path;
}

/** Takes away what is mounted at or below a path. */
export function unmountBelow(path: string): void {
  const places = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((place) => place === path || place.startsWith(`${path}/`));
  for (const place of places.reverse()) run('umount', [place]);
}
