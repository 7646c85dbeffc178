import { constants, type Stats } from 'node:fs';
import {
  copyFile,
  link as hardLink,
  open,
  readdir,
  rename,
  rm,
  writeFile,
  type FileHandle,
} from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { parseCheckpointId } from '../../../shared/domain/checkpoint-id.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { AnchoredDirectory, closing } from '../../anchored-directory.ts';
import type { Owner } from '../../foreign-files.ts';

/**
 * A checkpoint of one node beside its live data:
 *
 *   <data>/checkpoints/<id>/data/        its files at the mark, as they lie in live/
 *   <data>/checkpoints/<id>/metadata/    nodes of the first copyset: realm definition, state keepers' state
 *   <data>/checkpoints/<id>/member.json  the member manifest
 *   <data>/checkpoints/<id>/grid.json    the commit object, written last: without it, this is no checkpoint
 *
 * It is the agent's own: the user that the process runs as can neither enter nor change it.
 */
const MARKER = 'grid.json';
const ROOM = 'checkpoints';
const COPY = 'data';

export class LocalCheckpoint {
  /** The checkpoint's own directory, for messages. */
  readonly path: string;
  readonly #data: string;
  readonly #id: string;
  #root: AnchoredDirectory | null = null;
  /** By path: how the process's file stood when it was copied, where it could not be linked. */
  readonly #copiedFrom = new Map<string, string>();

  /** Throws where the text is no checkpoint's id: it becomes a path. */
  constructor(data: string, checkpoint: string) {
    this.#data = data;
    this.#id = mustBeId(checkpoint);
    this.path = join(data, ROOM, this.#id);
  }

  async isBegun(): Promise<boolean> {
    return (await this.#open()) !== null;
  }

  async begin(): Promise<void> {
    if (!(await this.isBegun())) {
      const room = await AnchoredDirectory.make(join(this.#data, ROOM), 0o700);
      try {
        mustBeOurs(room);
        this.#root = await room.makeDirectory(this.#id);
      } finally {
        await room.close();
      }
    }
    await this.#there().makeBelow(COPY);
  }

  /** Every file below a directory, but those of `except`. Resolves to their paths. Anything else in it is refused. */
  async copyTree(
    from: AnchoredDirectory,
    place: string,
    options: { except: string; owner: Owner | null; signal: AbortSignal },
  ): Promise<string[]> {
    const files: string[] = [];
    const copy = async (directory: AnchoredDirectory, below: string): Promise<void> => {
      for (const entry of await directory.entries()) {
        options.signal.throwIfAborted();
        const path = join(below, entry.name);
        if (path === options.except) continue;
        if (entry.isDirectory())
          await closing(await directory.enter(entry.name), (inner) => copy(inner, path));
        else if (entry.isFile()) {
          const file = await directory.openFile(entry.name, options.owner);
          await closing(file, () => this.copy(file, join(place, path)));
          files.push(path);
        } else throw unsupported(join(directory.path, entry.name));
      }
    };
    await copy(from, '');
    return files.sort();
  }

  /**
   * A file that may be written again: its blocks are shared where the file system can, else copied. Durable.
   * `source` is open already: what its name leads to by now does not matter.
   */
  async copy(source: FileHandle, path: string): Promise<void> {
    const target = await this.#place(path);
    if (process.platform === 'linux') {
      const modes = constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL;
      await copyFile(`/proc/self/fd/${source.fd}`, target, modes);
    } else await writeFile(target, source.createReadStream({ autoClose: false }), { flag: 'wx' });
    await syncPath(target);
  }

  /**
   * A file that never changes again: the same file under another name, or a copy on another file system. Durable.
   * `owner`: the user of the process, whose file it must be, or one that it may read.
   */
  async link(directory: AnchoredDirectory, name: string, path: string, owner: Owner | null): Promise<void> {
    const target = await this.#place(path);
    try {
      await hardLink(directory.at(name), target);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EEXIST') return;
      if (code !== 'EXDEV' && code !== 'EPERM' && code !== 'EMLINK') throw error;
      const source = await directory.openFile(name, owner);
      return closing(source, async () => {
        await this.copy(source, path);
        this.#copiedFrom.set(path, standing(await source.stat()));
      });
    }
    try {
      // What was linked is looked at here, where nobody can put something else in its place.
      await mustBeReadable(directory, name, target, owner);
    } catch (error) {
      await rm(target, { force: true });
      throw error;
    }
  }

  /**
   * A linked file becomes one of our own, of `length` bytes where that is given: what the process does with its file
   * from then on (it may use it again under another name) does not reach it. Durable.
   */
  async detach(path: string, length: number | null): Promise<void> {
    const own = `${path}.own`;
    await this.drop(own);
    await closing(await open(this.#at(path), constants.O_RDONLY | constants.O_NOFOLLOW), (linked) =>
      this.copy(linked, own),
    );
    if (length !== null)
      await closing(await open(this.#at(own), constants.O_RDWR | constants.O_NOFOLLOW), async (file) => {
        await file.truncate(length);
        await file.sync();
      });
    await rename(this.#at(own), this.#at(path));
    await syncPath(this.#at(dirname(path)));
  }

  /** How the process's own file stands, or stood when it was copied: its length, and when it was last written. */
  async standsAs(path: string): Promise<string> {
    return this.#copiedFrom.get(path) ?? this.#reading(path, async (file) => standing(await file.stat()));
  }

  async write(path: string, bytes: Uint8Array | string): Promise<void> {
    const target = await this.#place(path);
    const temporary = `${target}.new`;
    await rm(temporary, { force: true });
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, target);
    await syncPath(this.#at(dirname(path)));
  }

  /** Takes one file away again. Durable with `finish`. */
  async drop(path: string): Promise<void> {
    await rm(this.#at(path), { force: true });
  }

  /** All names durable; then the marker makes it a checkpoint. */
  async finish(gridManifest: string): Promise<void> {
    for (const path of await directoriesBelow(this.#at('.'))) await syncPath(this.#at(path));
    await this.#inRoom((room) => room.sync());
    await this.write(MARKER, gridManifest);
  }

  /** The marker first: what a crash leaves is no checkpoint. Idempotent. */
  async remove(): Promise<void> {
    const root = await this.#open();
    if (root === null) return;
    try {
      await root.remove(MARKER);
      await root.sync();
    } finally {
      await this.close();
    }
    await this.#inRoom(async (room) => {
      await room.remove(this.#id);
      await room.sync();
    });
  }

  /** Null where it is not there. */
  async read(path: string): Promise<Buffer | null> {
    return (await this.#open()) === null
      ? null
      : open(this.#at(path), constants.O_RDONLY | constants.O_NOFOLLOW).then(
          (file) => closing(file, () => file.readFile()),
          nullIfAbsent,
        );
  }

  /** Of a file that nobody writes to any more. */
  async lengthOf(path: string): Promise<number> {
    return this.#reading(path, async (file) => (await file.stat()).size);
  }

  async *content(path: string, length: number): AsyncIterable<Uint8Array> {
    await this.#open();
    const file = await open(this.#at(path), constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      for (let position = 0; position < length;) {
        const wanted = Math.min(1 << 20, length - position);
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(wanted), 0, wanted, position);
        if (bytesRead === 0) throw new Error(`${join(this.path, path)} is shorter than ${length} bytes`);
        yield buffer.subarray(0, bytesRead);
        position += bytesRead;
      }
    } finally {
      await file.close();
    }
  }

  /** Directories below `path`, relative to it. */
  async directories(path: string): Promise<string[]> {
    return directoriesBelow(this.#at(path));
  }

  /** Files below `path`, relative to it; null where it is not there. */
  async files(path: string): Promise<string[] | null> {
    if ((await this.#open()) === null) return null;
    const entries = await readdir(this.#at(path), { recursive: true, withFileTypes: true }).catch(
      nullIfAbsent,
    );
    if (entries === null) return null;
    const files = entries.filter((entry) => entry.isFile());
    return files.map((entry) => relative(this.#at(path), join(entry.parentPath, entry.name))).sort();
  }

  async close(): Promise<void> {
    const root = this.#root;
    this.#root = null;
    await root?.close();
  }

  async #open(): Promise<AnchoredDirectory | null> {
    if (this.#root !== null) return this.#root;
    const root = await AnchoredDirectory.openIfThere(this.path);
    this.#root = root;
    if (root !== null) await this.#mustBeOurs(root);
    return root;
  }

  async #mustBeOurs(root: AnchoredDirectory): Promise<void> {
    try {
      mustBeOurs(root);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async #inRoom(work: (room: AnchoredDirectory) => Promise<void>): Promise<void> {
    const room = await AnchoredDirectory.open(join(this.#data, ROOM));
    try {
      await work(room);
    } finally {
      await room.close();
    }
  }

  async #reading<T>(path: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
    await this.#open();
    const file = await open(this.#at(path), constants.O_RDONLY | constants.O_NOFOLLOW);
    return closing(file, work);
  }

  #at(path: string): string {
    return this.#there().below(path);
  }

  #there(): AnchoredDirectory {
    if (this.#root === null) throw new Error(`${this.path} is not there`);
    return this.#root;
  }

  async #place(path: string): Promise<string> {
    const target = this.#at(path);
    await this.#there().makeBelow(dirname(path));
    return target;
  }
}

/** Ids of the complete ones, in no order. */
export async function completeCheckpoints(data: string): Promise<string[]> {
  const complete: string[] = [];
  for (const id of await begunCheckpoints(data)) {
    const directory = await AnchoredDirectory.openIfThere(join(data, ROOM, id));
    if (directory === null) continue;
    const marker = await closing(directory, () => directory.stat(MARKER));
    if (marker !== null && !directory.isForeign) complete.push(id);
  }
  return complete;
}

/** Removes what operations that were cut short left: everything without a marker. */
export async function sweepCheckpoints(data: string): Promise<void> {
  const complete = new Set(await completeCheckpoints(data));
  for (const id of await begunCheckpoints(data))
    if (!complete.has(id)) await new LocalCheckpoint(data, id).remove();
}

/** Directories below one, relative. */
async function directoriesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const directories = entries.filter((entry) => entry.isDirectory());
  return directories.map((entry) => relative(directory, join(entry.parentPath, entry.name))).sort();
}

async function begunCheckpoints(data: string): Promise<string[]> {
  const room = await AnchoredDirectory.openIfThere(join(data, ROOM)).catch(nullIfUnsafe);
  if (room === null) return [];
  const entries = await closing(room, () => room.entries());
  if (room.isForeign) return [];
  return entries.map(({ name }) => name).filter((name) => parseCheckpointId(name) !== null);
}

/** The same at two times: nobody wrote to the file between. */
export function standing({ size, mtimeMs }: Stats): string {
  return `${size} bytes, written at ${mtimeMs}`;
}

function mustBeId(checkpoint: string): string {
  if (parseCheckpointId(checkpoint) !== null) return checkpoint;
  throw new StillpointError({
    code: 'bad-message',
    message: `'${checkpoint}' is not the id of a checkpoint`,
    hint: 'use the stillpoint command',
  });
}

function mustBeOurs(directory: AnchoredDirectory): void {
  if (!directory.isForeign && (directory.stats.mode & 0o077) === 0) return;
  throw new StillpointError({
    code: 'unsafe-path',
    message: `${directory.path} is not the agent's own and private`,
    hint: 'the agent did not make it so: see who did; then give it to the user of the agent, mode 700, or remove it',
  });
}

async function mustBeReadable(
  directory: AnchoredDirectory,
  name: string,
  target: string,
  owner: Owner | null,
): Promise<void> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const file = await open(target, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const stats: Stats = await file.stat();
    if (!stats.isFile() || !directory.mayRead(stats, owner)) throw unsupported(join(directory.path, name));
    await file.sync();
  } finally {
    await file.close();
  }
}

function unsupported(path: string): StillpointError {
  return new StillpointError({
    code: 'unsupported-file',
    message: `${path} is neither a file of the process's user nor a directory`,
    hint: 'a process of a grid keeps files and directories of its own below live/, nothing else',
  });
}

/** What was put in the place of our checkpoints holds none. */
function nullIfUnsafe(error: unknown): null {
  if (error instanceof StillpointError) return null;
  throw error;
}

function nullIfAbsent(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
  throw error;
}

async function syncPath(path: string): Promise<void> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
