import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { readBackupManifest, type BackupManifest, type ListedFile } from '../copy/backup-manifest.ts';
import { Crc32c } from '../journal/crc32c.ts';
import type { Lsn } from '../journal/lsn.ts';
import { imageUnfit } from './image-failures.ts';
import { isLeftOut, JOURNAL_ROOM, type FoundEntry, type ImageFiles } from './image-files.ts';

const LIST = 'backup_manifest';
/** What pg_basebackup, or who prepares a server, writes after the list was made. */
const NOT_LISTED = new Set([LIST, 'postgresql.auto.conf', 'standby.signal', 'recovery.signal']);

interface ListedImage {
  readonly files: ImageFiles;
  /** For messages: its name, and the directory for images. */
  readonly name: string;
  readonly root: string;
}

const OPENSSL: Readonly<Record<string, string>> = {
  SHA224: 'sha224',
  SHA256: 'sha256',
  SHA384: 'sha384',
  SHA512: 'sha512',
};

/**
 * What pg_basebackup says of the files that it made (backup_manifest): while they are read, each is held against it. Of a
 * copy that has no such list nothing is known.
 */
export class ListedFiles {
  readonly #image: ListedImage;
  readonly #listed: Map<string, ListedFile>;
  /** Where the backup ended; null where no list says it. */
  readonly stop: Lsn | null;

  private constructor(image: ListedImage, listed: Map<string, ListedFile>, stop: Lsn | null) {
    this.#image = image;
    this.#listed = listed;
    this.stop = stop;
  }

  /**
   * `redo`: where the server would begin, by its control file. One that was itself brought up from a base backup keeps the
   * list of that, which says nothing of it any more: its last checkpoint lies behind the end of that backup.
   */
  static async read(image: ListedImage, redo: Lsn): Promise<ListedFiles> {
    const bytes = await bytesOf(image.files);
    if (bytes === null) return new ListedFiles(image, new Map(), null);
    const list = listOf(bytes.toString('utf8'));
    if (list === null)
      throw imageUnfit(image.name, image.root, `has a ${LIST} that is damaged`, 'make the copy anew');
    if (list.stop !== null && redo > list.stop) return new ListedFiles(image, new Map(), null);
    return new ListedFiles(image, new Map(list.files.map((file) => [file.path, file])), list.stop);
  }

  /** SHA-256 of a file that is what the list says. */
  async digest(
    { path, sizeBytes }: Extract<FoundEntry, { kind: 'file' }>,
    seen: (bytes: Uint8Array) => void,
  ): Promise<string> {
    const listed = NOT_LISTED.has(path) ? undefined : this.#listed.get(path);
    this.#listed.delete(path);
    const check = listed === undefined ? null : checkOf(listed.algorithm);
    const digest = await this.#image.files.digest(path, (bytes) => {
      check?.update(bytes);
      seen(bytes);
    });
    if (listed === undefined) return digest;
    if (listed.sizeBytes !== sizeBytes)
      throw this.#damaged(`${path} has ${sizeBytes} bytes, not ${listed.sizeBytes}`);
    if (check !== null && check.digest() !== listed.checksum)
      throw this.#damaged(`${path} does not have its checksum`);
    return digest;
  }

  /** Nothing of the list was missed. */
  mustBeWhole(): void {
    const missed = [...this.#listed.keys()].find(
      (path) => !NOT_LISTED.has(path) && !isLeftOut(basename(path)) && !path.startsWith(`${JOURNAL_ROOM}/`),
    );
    if (missed !== undefined) throw this.#damaged(`${missed} is not there`);
  }

  #damaged(fact: string): Error {
    const { name, root } = this.#image;
    return imageUnfit(
      name,
      root,
      `is not what its ${LIST} says: ${fact}`,
      'look at the disk that it lies on, and make the copy anew',
    );
  }
}

function listOf(text: string): BackupManifest | null {
  try {
    return readBackupManifest(text);
  } catch {
    return null;
  }
}

/** It may be larger than any file of configuration. */
async function bytesOf(files: ImageFiles): Promise<Buffer | null> {
  try {
    return await buffer(files.content(LIST));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function checkOf(algorithm: string): { update(bytes: Uint8Array): unknown; digest(): string } | null {
  if (algorithm === 'CRC32C') {
    const crc = new Crc32c();
    return { update: (bytes) => crc.update(bytes), digest: () => littleEndian(crc.digest()) };
  }
  const name = OPENSSL[algorithm];
  if (name === undefined) return null;
  const hash = createHash(name);
  return { update: (bytes) => hash.update(bytes), digest: () => hash.digest('hex') };
}

/** As the server prints it: byte by byte, as it lies in memory. */
function littleEndian(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes.toString('hex');
}
