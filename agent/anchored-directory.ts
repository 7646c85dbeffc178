import { constants, type Dirent, type Stats } from 'node:fs';
import {
  chmod,
  chown,
  lstat,
  mkdir,
  open,
  readdir,
  readlink,
  rename,
  rmdir,
  unlink,
  type FileHandle,
} from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { isForeign, isTrap, mayRead, unsafePath, type Owner } from './foreign-files.ts';

/*
 * Files in directories that somebody else can write.
 *
 * An agent that runs as root works below directories of the users that its members run as. Such a user can put
 * a link, a hard link, a pipe or another directory at every name there, also between two steps of ours. A path that
 * was looked at is therefore worth nothing a moment later. What helps is what the openat family of calls is for: a
 * directory is opened once, component by component, and from then on names are looked up in that very directory,
 * whatever becomes of the path. Node has no openat; on Linux /proc/self/fd/N/name is looked up in the directory that
 * is open as N. Elsewhere names are looked up by path: the last component is never followed there either, but a
 * directory that is swapped between two steps is not noticed.
 * What is done and not done in such a directory: `foreign-files.ts`.
 */

const ON_LINUX = process.platform === 'linux';
/** Only a place to start from: works where a directory may be passed and not be listed. Not among Node's constants. */
const O_PATH = ON_LINUX ? 0o10_000_000 : 0;
const ENTER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW | O_PATH;
const MOST_LINKS = 40;
const MOST_LEVELS = 200;
/** Of a file that is read as a whole. */
const MOST_BYTES = 16 * 1024 * 1024;

export class AnchoredDirectory {
  /** As it was asked for: for messages. */
  readonly path: string;
  readonly stats: Stats;
  readonly #handle: FileHandle;

  private constructor(path: string, handle: FileHandle, stats: Stats) {
    this.path = path;
    this.#handle = handle;
    this.stats = stats;
  }

  /** Rejects as `open` does where it is not there, and with `unsafe-path` where a foreign link is on the way. */
  static async open(path: string): Promise<AnchoredDirectory> {
    const { directory, missing } = await walk(path);
    if (missing.length === 0) return directory;
    await directory.close();
    throw absent(path);
  }

  static async openIfThere(path: string): Promise<AnchoredDirectory | null> {
    return AnchoredDirectory.open(path).catch(nullIfAbsent);
  }

  /** Null also where something else than a directory is there. */
  static async openIfDirectory(path: string): Promise<AnchoredDirectory | null> {
    try {
      return await AnchoredDirectory.openIfThere(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return null;
      throw error;
    }
  }

  /** The deepest directory of the path that is there. */
  static async openNearest(path: string): Promise<AnchoredDirectory> {
    return (await walk(path)).directory;
  }

  /** Opens it, or makes it: with this mode, for `owner`. What is absent on the way is ours, and passable by all. */
  static async make(path: string, mode = 0o755, owner: Owner | null = null): Promise<AnchoredDirectory> {
    const { directory, missing } = await walk(path);
    let at = directory;
    for (const [index, name] of missing.entries()) {
      const made = await closing(at, (above) => above.makeDirectory(name));
      at = made;
      await (index === missing.length - 1 ? at.handOver(owner, mode) : at.handOver(null, 0o755));
    }
    return at;
  }

  /** Whether anybody but root and us can put names into it. */
  get isForeign(): boolean {
    return isForeign(this.stats);
  }

  /** A name in it, for one call that does not follow links. */
  at(name: string): string {
    if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0'))
      throw new Error(`${JSON.stringify(name)} is not a name in ${this.path}`);
    return join(this.#self, name);
  }

  /** A path of several steps; only for a directory that nobody but us can enter. */
  below(path: string): string {
    if (this.isForeign || (this.stats.mode & 0o077) !== 0) throw new Error(`${this.path} is not private`);
    if (path.split('/').includes('..')) throw new Error(`${path} leads out of ${this.path}`);
    // With a dot, for the handle's own name is a link in /proc.
    return `${this.#self}/${path === '' ? '.' : path}`;
  }

  /** A directory in it, and no link to one. */
  async enter(name: string): Promise<AnchoredDirectory> {
    const path = join(this.path, name);
    const handle = await open(this.at(name), ENTER).catch((error: unknown) =>
      this.#whyNotEntered(name, error),
    );
    return AnchoredDirectory.#holding(path, handle);
  }

  static async #holding(path: string, handle: FileHandle): Promise<AnchoredDirectory> {
    try {
      return new AnchoredDirectory(path, handle, await handle.stat());
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async #whyNotEntered(name: string, error: unknown): Promise<never> {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTDIR' && code !== 'ELOOP') throw error;
    const found = await this.stat(name);
    throw found?.isSymbolicLink() === true
      ? unsafePath(join(this.path, name), 'is a link', this.stats)
      : error;
  }

  /** A new directory, empty and for nobody but us until it is handed over. */
  async makeDirectory(name: string): Promise<AnchoredDirectory> {
    await mkdir(this.at(name), { mode: 0o700 });
    const made = await this.enter(name);
    const { uid, dev } = made.stats;
    const isOurs = uid === (process.getuid?.() ?? uid) && dev === this.stats.dev;
    try {
      // Another one may have been put in its place.
      if (isOurs && (await made.entries()).length === 0) return made;
      throw unsafePath(made.path, 'is not the directory that was made there', this.stats);
    } catch (error) {
      await made.close();
      throw error;
    }
  }

  /**
   * The directories of a path of several steps, for nobody but us; those that are there stay as they are. Rejects ENOENT
   * when this one was removed meanwhile: Node's own recursive `mkdir` never returns then, because the name of a handle
   * in /proc goes on to exist.
   */
  async makeBelow(path: string): Promise<void> {
    const make = async (): Promise<void> => {
      await mkdir(this.below(path), { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
    };
    const above = dirname(path);
    await make().catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT' || above === '.') throw error;
      await this.makeBelow(above);
      await make();
    });
  }

  /** Null: it stays whose it is. */
  async handOver(owner: Owner | null, mode: number): Promise<void> {
    if (owner !== null) await chown(this.#self, owner.uid, owner.gid);
    await chmod(this.#self, mode & 0o7777);
  }

  /** A new file, ours and private; nothing may bear the name. */
  async create(name: string): Promise<FileHandle> {
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    return open(this.at(name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  }

  /** Puts a file with this content at the name, in one step. Durable on return. */
  async write(name: string, content: string | Uint8Array, owner: Owner | null = null): Promise<void> {
    const temporary = `${name}.stillpoint-new`;
    await this.remove(temporary);
    const file = await this.create(temporary);
    try {
      await file.writeFile(content);
      if (owner !== null) await file.chown(owner.uid, owner.gid);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(this.at(temporary), this.at(name));
    await this.sync();
  }

  /**
   * A plain file to read from. `reader`: whose the files of the member are. In a foreign directory only what its
   * user could read by itself is opened.
   */
  async openFile(name: string, reader: Owner | null = null): Promise<FileHandle> {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = constants;
    const path = join(this.path, name);
    let file: FileHandle;
    try {
      file = await open(this.at(name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ELOOP' || code === 'EMLINK') throw unsafePath(path, 'is a link', this.stats);
      if (code === 'ENXIO') throw unsafePath(path, 'is not a plain file', this.stats);
      throw error;
    }
    try {
      const stats = await file.stat();
      if (!stats.isFile()) throw unsafePath(path, 'is not a plain file', this.stats);
      if (!this.mayRead(stats, reader))
        throw unsafePath(
          path,
          `belongs to user ${stats.uid} and cannot be read by its directory's`,
          this.stats,
        );
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Whether the user that can write here could read what has these attributes. */
  mayRead(stats: Stats, reader: Owner | null = null): boolean {
    return mayRead(stats, this.stats, reader);
  }

  /** Null where it is not there. */
  async read(name: string, reader: Owner | null = null): Promise<Buffer | null> {
    const file = await this.openFile(name, reader).catch(nullIfAbsent);
    if (file === null) return null;
    try {
      const { size } = await file.stat();
      if (size > MOST_BYTES) throw unsafePath(join(this.path, name), `is ${size} bytes long`, this.stats);
      return await file.readFile();
    } finally {
      await file.close();
    }
  }

  /** Something of root's where another user puts the names: it need not be what we left there. */
  isTrap(stats: Stats): boolean {
    return isTrap(stats, this.stats);
  }

  async entries(): Promise<Dirent[]> {
    return readdir(this.#self, { withFileTypes: true });
  }

  /** Of the name itself, not of what it links to. Null where it is not there. */
  async stat(name: string): Promise<Stats | null> {
    return lstat(this.at(name)).catch(nullIfAbsent);
  }

  async readLink(name: string): Promise<string | null> {
    return readlink(this.at(name)).catch(nullIfAbsent);
  }

  async move(name: string, to: AnchoredDirectory, toName: string): Promise<void> {
    await rename(this.at(name), to.at(toName));
  }

  /** With everything in it, following nothing. Nothing to do where it is not there. */
  async remove(name: string): Promise<void> {
    this.at(name);
    await this.#remove(Buffer.from(name), 0);
  }

  /** A name is bytes: one that is no text is removed as well. */
  async #remove(name: Buffer, level: number): Promise<void> {
    const path = Buffer.concat([Buffer.from(`${this.#self}/`), name]);
    const shown = join(this.path, name.toString());
    const found = await lstat(path).catch(nullIfAbsent);
    if (found === null) return;
    if (!found.isDirectory()) return unlink(path).catch(passIfAbsent);
    if (level > MOST_LEVELS) throw unsafePath(shown, `lies more than ${MOST_LEVELS} levels deep`, this.stats);
    const directory = await AnchoredDirectory.#holding(shown, await open(path, ENTER));
    try {
      const names = await readdir(directory.#self, { encoding: 'buffer' });
      if (level === 0 && this.isTrap(directory.stats) && names.length > 0)
        throw unsafePath(directory.path, 'belongs to root and is not removed', this.stats);
      for (const inner of names) await directory.#remove(inner, level + 1);
    } finally {
      await directory.close();
    }
    await rmdir(path).catch(passIfAbsent);
  }

  /** Only where it is empty. */
  async removeEmpty(name: string): Promise<void> {
    await rmdir(this.at(name)).catch(() => undefined);
  }

  /** Its names are durable on return. */
  async sync(): Promise<void> {
    const file = await open(this.#self, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  get #self(): string {
    return ON_LINUX ? `/proc/self/fd/${this.#handle.fd}` : this.path;
  }

  static async root(): Promise<AnchoredDirectory> {
    return AnchoredDirectory.#holding('/', await open('/', ENTER));
  }
}

/** Enters every component; stops at the first that is not there. Links of administrators are followed. */
async function walk(path: string): Promise<{ directory: AnchoredDirectory; missing: string[] }> {
  const left = namesOf(resolve(path));
  let at = await AnchoredDirectory.root();
  let links = 0;
  for (let name = left.shift(); name !== undefined; name = left.shift()) {
    try {
      const target = await linkOf(at, name);
      if (target !== null) {
        links += 1;
        if (links > MOST_LINKS)
          throw unsafePath(join(at.path, name), 'is a link to a link without end', at.stats);
        left.unshift(...namesOf(resolve(at.path, target)));
        await at.close();
        at = await AnchoredDirectory.root();
        continue;
      }
      const next = await at.enter(name).catch(nullIfAbsent);
      if (next === null) return { directory: at, missing: [name, ...left] };
      await at.close();
      at = next;
    } catch (error) {
      await at.close();
      throw error;
    }
  }
  return { directory: at, missing: [] };
}

/** Where an administrator's link leads. In a foreign directory no link is one: `enter` then refuses it. */
async function linkOf(directory: AnchoredDirectory, name: string): Promise<string | null> {
  if (directory.isForeign) return null;
  const found = await directory.stat(name);
  return found?.isSymbolicLink() === true ? directory.readLink(name) : null;
}

function namesOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '');
}

/** Does one piece of work with what is open, and closes it. */
export async function closing<T extends { close(): Promise<void> }, R>(
  opened: T,
  work: (it: T) => Promise<R>,
): Promise<R> {
  try {
    return await work(opened);
  } finally {
    await opened.close();
  }
}

function absent(path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`ENOENT: no such directory: ${path}`), { code: 'ENOENT', path });
}

function nullIfAbsent(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}

function passIfAbsent(error: NodeJS.ErrnoException): void {
  nullIfAbsent(error);
}
