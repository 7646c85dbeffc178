import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { access, copyFile, open, rename, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { quantityOf } from '../../shared/documents/quantity.ts';
import { syncDirectory } from '../../shared/runtime/whole-file.ts';
import { AnchoredDirectory, closing } from '../anchored-directory.ts';
import { fullDisk } from '../disk-error.ts';
import {
  archiveChanged,
  archiveInTheWay,
  archiveMissing,
  noRoom,
  tooLarge,
  volumeUnusable,
} from './failures.ts';

export interface ArchiveFacts {
  readonly sizeBytes: number;
  readonly sha256: string;
}

const ROOMS = '.stillpoint';

/** The root of the member that works for this document. */
export function roomIn(directory: string, uid: string): string {
  return join(directory, ROOMS, uid);
}

/** A place that users of members can come through to, and list nothing of; no room of this document is left in it. */
export async function makeRoom(directory: string, uid: string): Promise<void> {
  await usable(directory);
  const rooms = await AnchoredDirectory.make(join(directory, ROOMS), 0o711);
  await closing(rooms, (there) => there.remove(uid));
}

/** With all that a member, or others of its user, have left in it. No link is followed. */
export async function removeRoom(directory: string, uid: string): Promise<void> {
  const rooms = await AnchoredDirectory.openIfThere(join(directory, ROOMS));
  if (rooms !== null) await closing(rooms, (there) => there.remove(uid));
}

/** What a Backup has of its storage class: backups/NAME/NAME.zip in its directory, and no more than it asked for. */
export class Volume {
  readonly #directory: string;
  readonly #name: string;
  readonly #storage: string;
  readonly #limitBytes: number;

  constructor(input: {
    readonly directory: string;
    readonly name: string;
    readonly storage: string;
    readonly limitBytes: number;
  }) {
    this.#directory = input.directory;
    this.#name = input.name;
    this.#storage = input.storage;
    this.#limitBytes = input.limitBytes;
  }

  get archive(): string {
    return join(this.#directory, 'backups', this.#name, `${this.#name}.zip`);
  }

  /** What is being written. */
  get #partial(): string {
    return `${this.archive}.partial`;
  }

  /** Rejects where there is no room, or where an archive lies there that no document is kept for. */
  async prepare(): Promise<void> {
    await usable(this.#directory);
    const { bavail, bsize } = await statfs(this.#directory);
    const free = bavail * bsize;
    if (free < this.#limitBytes) throw noRoom(this.#directory, this.#storage, quantityOf(free));
    if ((await stat(this.archive).catch(() => null)) !== null) throw archiveInTheWay(this.archive);
    const place = await AnchoredDirectory.make(dirname(this.archive), 0o700);
    await place.close();
    await syncDirectory(this.#directory);
    await syncDirectory(join(this.#directory, 'backups'));
  }

  /**
   * Has `write` write the archive, and `prove` look at it; then it is at its place, and durable. Rejects
   * `storage-exceeded` as soon as it is larger than what was asked for, and nothing of it is left.
   */
  async store(
    write: (file: string, signal: AbortSignal) => Promise<void>,
    prove: (file: string) => Promise<void>,
    signal: AbortSignal,
  ): Promise<ArchiveFacts> {
    const exceeded = new AbortController();
    const watch = setInterval(() => {
      void stat(this.#partial).then(
        ({ size }) => size > this.#limitBytes && exceeded.abort(),
        () => undefined,
      );
    }, 50);
    try {
      await write(this.#partial, AbortSignal.any([signal, exceeded.signal]));
      const { size } = await stat(this.#partial);
      if (size > this.#limitBytes) exceeded.abort();
      exceeded.signal.throwIfAborted();
      await prove(this.#partial);
      const facts = { sizeBytes: size, sha256: await digestOf(this.#partial) };
      const file = await open(this.#partial, 'r');
      await closing(file, (written) => written.sync());
      await rename(this.#partial, this.archive);
      await syncDirectory(dirname(this.archive));
      return facts;
    } catch (error) {
      await rm(this.#partial, { force: true });
      if (exceeded.signal.aborted) throw tooLarge(this.#name, this.#storage);
      throw fullDisk(error) === null ? error : volumeUnusable(this.#directory, (error as Error).message);
    } finally {
      clearInterval(watch);
    }
  }

  /** Null where no archive was stored. What is there under its name is whole: it was renamed when it was. */
  async stored(): Promise<ArchiveFacts | null> {
    const found = await stat(this.archive).catch(() => null);
    return found === null ? null : { sizeBytes: found.size, sha256: await digestOf(this.archive) };
  }

  /** Durable on return. */
  async remove(): Promise<void> {
    const backups = await AnchoredDirectory.openIfThere(join(this.#directory, 'backups'));
    if (backups === null) return;
    await closing(backups, async (there) => {
      await there.remove(this.#name);
      await there.sync();
    });
  }
}

/** Copies the archive, and proves that the copy is what the backup wrote: whatever becomes of the archive meanwhile. */
export async function copyProven(archive: string, copy: string, expected: ArchiveFacts): Promise<void> {
  try {
    await copyFile(archive, copy, constants.COPYFILE_FICLONE);
  } catch (error) {
    throw fullDisk(error) === null
      ? archiveMissing(archive, (error as Error).message)
      : volumeUnusable(dirname(copy), (error as Error).message);
  }
  if ((await digestOf(copy)) !== expected.sha256) throw archiveChanged(archive);
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

async function usable(directory: string): Promise<void> {
  try {
    await access(directory, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw volumeUnusable(directory, (error as Error).message);
  }
}
