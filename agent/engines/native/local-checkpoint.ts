import { constants } from 'node:fs';
import {
  chown,
  copyFile,
  link as hardLink,
  lstat,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { parseCheckpointId } from '../../../shared/domain/checkpoint-id.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { Owner } from '../restore/owner.ts';
import { isThere, syncDirectory } from '../restore/places.ts';

/**
 * A checkpoint of one node beside its live data (design: "Files on hosts"):
 *
 *   <data>/checkpoints/<id>/data/        its files at the mark, as they lie in live/
 *   <data>/checkpoints/<id>/metadata/    nodes of the first copyset: realm definition, state keepers' state
 *   <data>/checkpoints/<id>/member.json  the member manifest
 *   <data>/checkpoints/<id>/grid.json    the commit object, written last: without it, this is no checkpoint
 */
const MARKER = 'grid.json';

export class LocalCheckpoint {
  /** The checkpoint's own directory. */
  readonly root: string;
  readonly #owner: Owner | null;

  /** Throws where the text is no checkpoint's id: it becomes a path. */
  constructor(data: string, checkpoint: string, owner: Owner | null) {
    this.root = join(roomOf(data), mustBeId(checkpoint));
    this.#owner = owner;
  }

  get data(): string {
    return join(this.root, 'data');
  }

  isBegun(): Promise<boolean> {
    return isThere(this.root);
  }

  async begin(): Promise<void> {
    await this.#directory(dirname(this.root));
    await this.#directory(this.root);
    await this.#directory(this.data);
  }

  /** A file that may be written again: its blocks are shared where the file system can, else copied. Durable. */
  async copy(source: string, path: string): Promise<void> {
    const target = await this.#place(path);
    await copyFile(source, target, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
    await this.#own(target);
    await syncFile(target);
  }

  /** A file that never changes again: the same file under another name, or a copy on another file system. Durable. */
  async link(source: string, path: string): Promise<void> {
    const target = await this.#place(path);
    try {
      await hardLink(source, target);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EEXIST') return;
      if (code !== 'EXDEV' && code !== 'EPERM' && code !== 'EMLINK') throw error;
      return this.copy(source, path);
    }
    await syncFile(target);
  }

  async write(path: string, bytes: Uint8Array | string): Promise<void> {
    const target = await this.#place(path);
    await writeFile(`${target}.new`, bytes, { mode: 0o600, flush: true });
    await this.#own(`${target}.new`);
    await rename(`${target}.new`, target);
    await syncDirectory(dirname(target));
  }

  /** Takes one file away again. Durable with `finish`. */
  async drop(path: string): Promise<void> {
    await rm(join(this.root, path), { force: true });
  }

  /** All names durable; then the marker makes it a checkpoint. */
  async finish(gridManifest: string): Promise<void> {
    for (const entry of await readdir(this.root, { recursive: true, withFileTypes: true }))
      if (entry.isDirectory()) await syncDirectory(join(entry.parentPath, entry.name));
    await syncDirectory(this.root);
    await syncDirectory(dirname(this.root));
    await this.write(MARKER, gridManifest);
  }

  /** The marker first: what a crash leaves is no checkpoint. Idempotent. */
  async remove(): Promise<void> {
    if (!(await this.isBegun())) return;
    await rm(join(this.root, MARKER), { force: true });
    await syncDirectory(this.root);
    await rm(this.root, { recursive: true, force: true });
    await syncDirectory(dirname(this.root));
  }

  async #place(path: string): Promise<string> {
    const target = join(this.root, path);
    if (relative(this.root, target).startsWith('..')) throw new Error(`${path} is not within the checkpoint`);
    await this.#directory(dirname(target));
    return target;
  }

  async #directory(path: string): Promise<void> {
    if (await isThere(path)) return;
    if (path !== this.root && path.startsWith(this.root)) await this.#directory(dirname(path));
    await mkdir(path, { mode: 0o700 });
    await this.#own(path);
  }

  async #own(path: string): Promise<void> {
    if (this.#owner !== null) await chown(path, this.#owner.uid, this.#owner.gid);
  }
}

/** Ids of the complete ones, in no order. */
export async function completeCheckpoints(data: string): Promise<string[]> {
  const found = await begunCheckpoints(data);
  const complete = await Promise.all(found.map((id) => isThere(join(roomOf(data), id, MARKER))));
  return found.filter((_, index) => complete[index]);
}

/** Removes what operations that were cut short left: everything without a marker. */
export async function sweepCheckpoints(data: string, owner: Owner | null): Promise<void> {
  const complete = new Set(await completeCheckpoints(data));
  for (const id of await begunCheckpoints(data))
    if (!complete.has(id)) await new LocalCheckpoint(data, id, owner).remove();
}

/** Regular files below a directory, relative; anything else but directories is refused. */
export async function filesBelow(directory: string): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) files.push(relative(directory, path));
    else if (!entry.isDirectory()) {
      throw new StillpointError({
        code: 'unsupported-file',
        message: `${path} is neither a file nor a directory`,
        hint: 'a process of a grid keeps files and directories below live/, nothing else',
      });
    }
  }
  return files.sort();
}

/** Directories below one, relative. */
export async function directoriesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const directories = entries.filter((entry) => entry.isDirectory());
  return directories.map((entry) => relative(directory, join(entry.parentPath, entry.name))).sort();
}

export async function* contentOf(path: string, length: number): AsyncIterable<Uint8Array> {
  const file = await open(path, 'r');
  try {
    for (let position = 0; position < length;) {
      const { bytesRead, buffer } = await file.read(
        Buffer.allocUnsafe(Math.min(1 << 20, length - position)),
        0,
        Math.min(1 << 20, length - position),
        position,
      );
      if (bytesRead === 0) throw new Error(`${path} is shorter than ${length} bytes`);
      yield buffer.subarray(0, bytesRead);
      position += bytesRead;
    }
  } finally {
    await file.close();
  }
}

function roomOf(data: string): string {
  return join(data, 'checkpoints');
}

async function begunCheckpoints(data: string): Promise<string[]> {
  const names = await readdir(roomOf(data)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return names.filter((name) => parseCheckpointId(name) !== null);
}

function mustBeId(checkpoint: string): string {
  if (parseCheckpointId(checkpoint) !== null) return checkpoint;
  throw new StillpointError({
    code: 'bad-message',
    message: `'${checkpoint}' is not the id of a checkpoint`,
    hint: 'use the stillpoint command',
  });
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Of a file that nobody writes to any more. */
export async function lengthOf(path: string): Promise<number> {
  return (await lstat(path)).size;
}
