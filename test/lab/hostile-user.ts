import {
  chownSync,
  existsSync,
  linkSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import fileSystem from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { syncBuiltinESMExports } from 'node:module';
import { dirname, join, resolve } from 'node:path';

/**
 * The user that a server runs as, against an agent that runs as root. It owns `home`, and strikes just before a
 * name in a directory of its own is looked up: then the name is something else. It finds the moments by itself,
 * because every call of node:fs/promises passes it first: so each path that the agent touches is met, at each time.
 */
const HOSTILE = { uid: 65534, gid: 65534 } as const;

/** What it puts at a name. */
export const PLANTS = [
  "a link to a directory of root's",
  "a link to a file of root's",
  "a hard link to a file of root's",
  'a pipe',
  'a directory full of links',
  "a directory of root's that lay beside it",
] as const;
export type Plant = (typeof PLANTS)[number];

const SECRET = 'a secret of root';

export class HostileUser {
  readonly home: string;
  /** The names in directories of its own that were looked up so far, in this order. */
  readonly lookups: string[] = [];
  struck = '';
  readonly #canary: string;
  readonly #before: string;
  readonly #strikeAt: number;
  readonly #plant: Plant;
  #watching = false;

  /** `strikeAt`: the number of the look-up before which it strikes; 0: never. */
  constructor(folder: string, plant: Plant, strikeAt: number) {
    this.home = join(folder, 'home');
    this.#canary = join(folder, 'canary');
    this.#plant = plant;
    this.#strikeAt = strikeAt;
    mkdirSync(join(this.#canary, 'inner'), { recursive: true, mode: 0o755 });
    writeFileSync(join(this.#canary, 'file'), SECRET, { mode: 0o600 });
    writeFileSync(join(this.#canary, 'inner/file'), SECRET, { mode: 0o600 });
    mkdirSync(this.home, { mode: 0o755 });
    mkdirSync(join(this.home, 'lost+found'), { mode: 0o700 });
    writeFileSync(join(this.home, 'lost+found/found'), SECRET, { mode: 0o600 });
    chownSync(this.home, HOSTILE.uid, HOSTILE.gid);
    this.#before = imageOf(this.#canary);
  }

  /** A file or directory (no content) of its own. */
  owns(path: string, content?: string): string {
    const full = join(this.home, path);
    mkdirSync(content === undefined ? full : dirname(full), { recursive: true });
    if (content !== undefined) writeFileSync(full, content, { mode: 0o600 });
    for (let at = full; at !== this.home; at = dirname(at)) lchownSync(at, HOSTILE.uid, HOSTILE.gid);
    return full;
  }

  /** Runs the agent's work while this user looks on. What fails is refused: that is right too. */
  async watch(work: () => Promise<void>): Promise<unknown> {
    const calls = fileSystem as unknown as Record<string, unknown>;
    const originals = Object.entries(calls).filter(([, call]) => typeof call === 'function');
    for (const [name, call] of originals) {
      calls[name] = (...args: unknown[]): unknown => {
        // The second name of a rename or link is looked up too.
        for (const arg of args.slice(0, 2)) if (typeof arg === 'string') this.#lookUp(arg);
        return (call as (...all: unknown[]) => unknown)(...args);
      };
    }
    syncBuiltinESMExports();
    this.#watching = true;
    try {
      await work();
      return null;
    } catch (error) {
      return error;
    } finally {
      this.#watching = false;
      Object.assign(calls, Object.fromEntries(originals));
      syncBuiltinESMExports();
    }
  }

  /** Null when nothing of root's was changed, given away, removed or shown; else what was. */
  harm(shown: readonly Uint8Array[] = []): string | null {
    const where = ` (${this.#plant} at ${this.struck})`;
    if (imageOf(this.#canary) !== this.#before) return `files of root's were changed${where}`;
    if (shown.some((bytes) => Buffer.from(bytes).includes(SECRET))) return `a secret was read${where}`;
    const lost = filesBelow(this.home).filter((path) => path.endsWith('/found') && isRoots(path));
    if (lost.length !== 1) return `a directory of root's was removed or given away${where}`;
    const given = filesBelow(this.home).find(
      (path) => !isRoots(path) && readFileSync(path, 'utf8').includes(SECRET),
    );
    return given === undefined ? null : `${given} has a secret of root's in it${where}`;
  }

  #lookUp(path: string): void {
    if (!this.#watching) return;
    const found = this.#ownName(path);
    if (found === null) return;
    this.lookups.push(found.slice(this.home.length));
    if (this.lookups.length !== this.#strikeAt) return;
    this.struck = found;
    this.#strike(found);
  }

  /** The first name on the path that lies in a directory of this user's; null where there is none. */
  #ownName(path: string): string | null {
    const [, descriptor, rest = ''] = /^\/proc\/self\/fd\/(\d+)(\/.*)?$/.exec(path) ?? [];
    if (descriptor !== undefined && rest === '') return null;
    const from = descriptor === undefined ? '' : readlinkSync(`/proc/self/fd/${descriptor}`);
    const whole = descriptor === undefined ? resolve(path) : join(from, rest);
    if (whole !== this.home && !whole.startsWith(`${this.home}/`)) return null;
    const names = whole.slice(from.length).split('/').filter(Boolean);
    let at = from === '' ? '/' : from;
    for (const name of names) {
      const stats = lstatSync(at, { throwIfNoEntry: false });
      if (stats?.isDirectory() !== true) return null;
      if (stats.uid === HOSTILE.uid) return join(at, name);
      at = join(at, name);
    }
    return null;
  }

  #strike(path: string): void {
    if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) renameSync(path, `${path}.aside`);
    switch (this.#plant) {
      case "a link to a directory of root's":
        return symlinkSync(this.#canary, path);
      case "a link to a file of root's":
        return symlinkSync(join(this.#canary, 'file'), path);
      case "a hard link to a file of root's":
        return linkSync(join(this.#canary, 'file'), path);
      case 'a pipe':
        spawnSync('mkfifo', [path]);
        return lchownSync(path, HOSTILE.uid, HOSTILE.gid);
      case 'a directory full of links':
        return this.#fill(path);
      case "a directory of root's that lay beside it": {
        const beside = join(dirname(path), 'lost+found');
        // There is one in its home only.
        if (existsSync(beside)) renameSync(beside, path);
      }
    }
  }

  /** A directory of its own, in which every name that the agent may ask for leads to root's. */
  #fill(path: string): void {
    mkdirSync(path);
    const links = [
      'stage',
      'old',
      'global',
      'base',
      'pg_wal',
      'pg_tblspc',
      'data',
      'live',
      'journal',
      '1',
      '16384',
    ];
    for (const name of links) symlinkSync(this.#canary, join(path, name));
    const files = [
      'postgresql.auto.conf',
      'postgresql.conf',
      'pg_hba.conf',
      'PG_VERSION',
      'postmaster.pid',
      'nested',
    ];
    for (const name of [...files, 'recovery', 'postgresql.auto.conf.stillpoint-new'])
      symlinkSync(join(this.#canary, 'file'), join(path, name));
    const record = {
      format: 1,
      checkpoint: 'c',
      directories: [
        { path: join(this.home, 'data'), existed: false },
        { path: join(this.#canary, 'inner'), existed: false },
      ],
      made: [join(this.#canary, 'inner')],
    };
    writeFileSync(join(path, 'restore.json'), JSON.stringify(record));
    for (const name of readdirSync(path)) lchownSync(join(path, name), HOSTILE.uid, HOSTILE.gid);
    chownSync(path, HOSTILE.uid, HOSTILE.gid);
  }
}

function isRoots(path: string): boolean {
  return lstatSync(path).uid === 0;
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Names, owners, modes and contents. */
function imageOf(directory: string): string {
  const lines = [
    directory,
    ...readdirSync(directory, { recursive: true }).map((name) => join(directory, String(name))),
  ];
  return lines
    .sort()
    .map((path) => {
      const { uid, gid, mode } = lstatSync(path);
      const content = lstatSync(path).isFile() ? readFileSync(path, 'utf8') : '';
      return `${path} ${uid}:${gid} ${mode.toString(8)} ${content}`;
    })
    .join('\n');
}
