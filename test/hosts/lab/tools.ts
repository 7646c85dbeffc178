import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LAB, makeDirectory, run } from './machine.ts';

// What hosts are made with. Whatever is missing of it here is no failure of stillpoint: it is why there is no lab.

/** Debian's release on the hosts. */
export const SUITE = 'bookworm';

/** By program: the package of Debian's that brings it. */
const TOOLS = {
  'systemd-nspawn': 'systemd-container',
  debootstrap: 'debootstrap',
  ip: 'iproute2',
  nsenter: 'util-linux',
  unshare: 'util-linux',
  setpriv: 'util-linux',
  mount: 'mount',
  'dpkg-deb': 'dpkg',
} as const;

/** Of the root image, and of what hosts write besides. */
const ROOM_BYTES = 4e9;
const APT_MS = 240_000;
const ANSWER_S = 20;

/** The lab cannot be here, and nobody has to mend stillpoint for that. */
export class NoLabHere extends Error {}

/** What hosts are made with. As `bringPrograms`. */
export function bringTools(say: (words: string) => void): void {
  bringPrograms(TOOLS, say);
}

/** Installs what is missing of these programs, as Debian has them. Throws `NoLabHere`; ends within minutes. */
export function bringPrograms(
  packageOf: Readonly<Record<string, string>>,
  say: (words: string) => void,
): void {
  const missing = Object.entries(packageOf).filter(([program]) => !hasProgram(program));
  if (missing.length === 0) return;
  const programs = missing.map(([program]) => program).join(', ');
  if (!hasProgram('apt-get')) throw new NoLabHere(`${programs} not found, and there is no apt to install it`);
  const packages = [...new Set(missing.map(([, name]) => name))];
  say(`installing ${packages.join(' ')}`);
  try {
    if (!apt('install', ...packages)) {
      // Its lists may be old, or not there at all.
      run('apt-get', [...patience(), 'update', '-qq'], { timeoutMs: APT_MS });
      if (!apt('install', ...packages)) throw new Error(`apt-get install ${packages.join(' ')} failed`);
    }
  } catch (error) {
    throw new NoLabHere(`${programs} not found, and cannot be installed: ${messageOf(error)}`);
  }
}

/** Rejects with `NoLabHere` where the disk of the lab has no room for it. */
export function findRoom(): void {
  const { bavail, bsize } = statfsSync(makeDirectory(LAB));
  const free = bavail * bsize;
  if (free >= ROOM_BYTES) return;
  const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
  throw new NoLabHere(`${LAB} has ${gigabytes(free)} free, and hosts need ${gigabytes(ROOM_BYTES)}`);
}

/** Where this machine's own apt gets Debian's packages from, asked whether it answers. Rejects with `NoLabHere`. */
export function answeringMirror(): string {
  const asked = run('apt-get', [
    'indextargets',
    '--format',
    '$(REPO_URI)',
    'Created-By: Packages',
    `Codename: ${SUITE}`,
  ]);
  const [address] = asked.trim().split('\n');
  if (address === undefined || address === '')
    throw new NoLabHere(`apt of this machine has no source for Debian ${SUITE}: see its sources`);
  const folder = mkdtempSync(join(tmpdir(), 'stillpoint-mirror-'));
  try {
    // By apt's own way to it, proxies included.
    run('/usr/lib/apt/apt-helper', [
      ...patience(),
      'download-file',
      `${address}dists/${SUITE}/InRelease`,
      join(folder, 'InRelease'),
    ]);
  } catch (error) {
    const why = /^E: (.*)$/m.exec(messageOf(error))?.[1] ?? messageOf(error);
    throw new NoLabHere(`Debian's packages cannot be reached: ${why}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return address;
}

export function hasProgram(program: string): boolean {
  const places = (process.env['PATH'] ?? '').split(':');
  return places.some((place) => place !== '' && existsSync(join(place, program)));
}

function apt(...words: readonly string[]): boolean {
  const { status } = spawnSync('apt-get', [...patience(), '-qq', '-y', '--no-install-recommends', ...words], {
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: APT_MS,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  return status === 0;
}

function patience(): string[] {
  const one = [`Acquire::http::Timeout=${ANSWER_S}`, `Acquire::https::Timeout=${ANSWER_S}`];
  return [...one, 'Acquire::Retries=1', 'DPkg::Lock::Timeout=60'].flatMap((setting) => ['-o', setting]);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
