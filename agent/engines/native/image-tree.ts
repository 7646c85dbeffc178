import { createHash } from 'node:crypto';
import type { Dirent } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { EXIT, StillpointError } from '../../../shared/domain/errors.ts';
import type { ImageEntry } from '../../../shared/domain/backup-set.ts';
import { AnchoredDirectory, closing } from '../../anchored-directory.ts';
import type { Owner } from '../../foreign-files.ts';

const READ_BYTES = 1 << 20;

/** Who reads much of it, and is told of each part. */
export interface Reader {
  readonly signal?: AbortSignal;
  read(bytes: number): void;
}

const NOBODY_WAITS: Reader = { read: () => undefined };

/**
 * A directory of an operator, read and never changed: no link in it is followed, and in a place where another user puts
 * the names, nothing is read that this user could not read. `owner`: whose the member's files are.
 */
export class ImageTree {
  readonly path: string;
  readonly #owner: Owner | null;

  constructor(path: string, owner: Owner | null) {
    this.path = path;
    this.#owner = owner;
  }

  /** What lies directly in it; null where it is no directory. */
  async entries(): Promise<Dirent[] | null> {
    const directory = await AnchoredDirectory.openIfDirectory(this.path);
    return directory === null ? null : closing(directory, () => directory.entries());
  }

  /** The files directly in it, in the order of their names; null where it is no directory. */
  async files(): Promise<{ name: string; sizeBytes: number }[] | null> {
    const directory = await AnchoredDirectory.openIfDirectory(this.path);
    if (directory === null) return null;
    return closing(directory, async () => {
      const names = (await directory.entries()).filter((entry) => entry.isFile()).map(({ name }) => name);
      const files = names.toSorted().map(async (name) => ({
        name,
        sizeBytes: (await directory.stat(name))?.size ?? 0,
      }));
      return Promise.all(files);
    });
  }

  /** A directory and all that is below it, with the digests of all bytes. Anything but files and directories is refused. */
  async read(path: string, reader: Reader = NOBODY_WAITS): Promise<ImageEntry[]> {
    const found: ImageEntry[] = [];
    const entryOf = async (directory: AnchoredDirectory, name: string, inside: string): Promise<void> => {
      const file = await directory.openFile(name, this.#owner);
      const { mode, mtimeMs } = await closing(file, () => file.stat());
      const measured = await this.measure(inside, null, reader);
      found.push({ kind: 'file', path: inside, mode: mode & 0o7777, mtimeMs, ...measured });
    };
    const look = async (directory: AnchoredDirectory, below: string): Promise<void> => {
      if (below !== '') found.push({ kind: 'directory', path: below, mode: directory.stats.mode & 0o7777 });
      const entries = await directory.entries();
      for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
        reader.signal?.throwIfAborted();
        const inside = join(below, entry.name);
        if (entry.isDirectory())
          await closing(await directory.enter(entry.name), (inner) => look(inner, inside));
        else if (entry.isFile()) await entryOf(directory, entry.name, inside);
        else throw strange(join(directory.path, entry.name));
      }
    };
    await closing(await AnchoredDirectory.open(join(this.path, path)), (root) => look(root, path));
    return found;
  }

  /** How much of a file there is up to a length, and its digest. */
  async measure(
    path: string,
    length: number | null,
    reader: Reader = NOBODY_WAITS,
  ): Promise<{ sizeBytes: number; digest: string }> {
    const hash = createHash('sha256');
    let sizeBytes = 0;
    for await (const bytes of this.content(path, length)) {
      reader.signal?.throwIfAborted();
      reader.read(bytes.byteLength);
      hash.update(bytes);
      sizeBytes += bytes.byteLength;
    }
    return { sizeBytes, digest: hash.digest('hex') };
  }

  /** The bytes of a file, up to a length, or to its end. */
  async *content(path: string, length: number | null = null): AsyncIterable<Uint8Array> {
    const directory = await AnchoredDirectory.open(join(this.path, dirname(path)));
    const file = await closing(directory, () => directory.openFile(basename(path), this.#owner));
    try {
      yield* bytesOf(file, length);
    } finally {
      await file.close();
    }
  }
}

async function* bytesOf(file: FileHandle, length: number | null): AsyncIterable<Uint8Array> {
  for (let position = 0; length === null || position < length;) {
    const wanted = Math.min(READ_BYTES, length === null ? READ_BYTES : length - position);
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(wanted), 0, wanted, position);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
    position += bytesRead;
  }
}

function strange(path: string): StillpointError {
  return new StillpointError(
    {
      code: 'image-unfit',
      message: `${path} is neither a file nor a directory, and a process of a grid keeps nothing else below live/`,
      hint: 'let the process keep it beside live/, and copy it again',
    },
    EXIT.refused,
  );
}
