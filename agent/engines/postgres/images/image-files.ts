import { createHash } from 'node:crypto';
import type { Dirent } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { ImageEntry } from '../../../../shared/domain/backup-set.ts';
import { AnchoredDirectory, closing } from '../../../anchored-directory.ts';
import type { Owner } from '../../../foreign-files.ts';
import { imageMissing, imageUnfit } from './image-failures.ts';

/** An entry as it lies there; the digest of a file is not known yet. */
export type FoundEntry =
  Exclude<ImageEntry, { kind: 'file' }> | Omit<Extract<ImageEntry, { kind: 'file' }>, 'digest'>;

export const JOURNAL_ROOM = 'pg_wal';
export const TABLESPACES_ROOM = 'pg_tblspc';

/** Directories whose content a server makes anew (https://www.postgresql.org/docs/current/protocol-replication.html). */
export const EMPTIED: ReadonlySet<string> = new Set([
  'pg_dynshmem',
  'pg_notify',
  'pg_replslot',
  'pg_serial',
  'pg_snapshots',
  'pg_stat_tmp',
  'pg_subtrans',
]);
const LEFT_OUT = new Set([
  'postmaster.pid',
  'postmaster.opts',
  'pg_internal.init',
  'backup_label.old',
  'tablespace_map.old',
]);
const READ_BYTES = 1 << 20;

/**
 * The files of one image: a data directory as its operator's tool has copied it. Tablespaces, and the journal, may lie
 * behind the links that such a copy has for them, as long as it is below the directory for images. No other link is
 * followed, nothing is changed, and where another user puts the names nothing is read that this user could not read.
 */
export class ImageFiles {
  readonly #root: string;
  readonly #name: string;
  readonly #owner: Owner | null;
  /** Path in the image → where that lies, of what is behind a link. */
  readonly #behind = new Map<string, string>();
  /** Its journal room leads to somewhere else: that of the living server, whose files are none of the copy's. */
  #journalIsElsewhere = false;

  private constructor(root: string, name: string, owner: Owner | null) {
    this.#root = resolve(root);
    this.#name = name;
    this.#owner = owner;
  }

  /** `root`: the directory for images. `owner`: whose the member's files are. */
  static async open(root: string, name: string, owner: Owner | null): Promise<ImageFiles> {
    const isBelow = name.split('/').every((part) => !['', '.', '..'].includes(part) && !part.includes('\0'));
    if (!isBelow) throw imageMissing(name, root);
    const files = new ImageFiles(root, name, owner);
    const directory = await AnchoredDirectory.openIfDirectory(join(files.#root, name));
    if (directory === null) throw imageMissing(name, root);
    await closing(directory, (image) => files.#findBehind(image));
    return files;
  }

  get path(): string {
    return join(this.#root, this.#name);
  }

  /** Numbers of tablespaces that are in the image. */
  get tablespaces(): string[] {
    return [...this.#behind.keys()].flatMap((path) => /^pg_tblspc\/(\d+)$/.exec(path)?.[1] ?? []).toSorted();
  }

  /** All that counts of it, in the order of the paths. */
  async list(signal: AbortSignal): Promise<FoundEntry[]> {
    const found: FoundEntry[] = [];
    const places = new Set(this.#behind.values());
    const visit = async (directory: AnchoredDirectory, below: string): Promise<void> => {
      signal.throwIfAborted();
      if (below !== '') found.push({ kind: 'directory', path: below, mode: directory.stats.mode & 0o7777 });
      if (EMPTIED.has(below)) return;
      for (const entry of (await directory.entries()).toSorted(byName)) {
        const path = below === '' ? entry.name : `${below}/${entry.name}`;
        if (isLeftOut(entry.name)) continue;
        const elsewhere = this.#behind.get(path);
        // A tablespace that was mapped into the image itself is seen where its link is.
        if (elsewhere === undefined && places.has(join(directory.path, entry.name))) continue;
        if (elsewhere !== undefined)
          await closing(await AnchoredDirectory.open(elsewhere), (it) => visit(it, path));
        else if (entry.isDirectory())
          await closing(await directory.enter(entry.name), (it) => visit(it, path));
        else await this.#found(directory, entry, path, found);
      }
    };
    await closing(await AnchoredDirectory.open(this.path), (image) => visit(image, ''));
    return found;
  }

  async #found(
    directory: AnchoredDirectory,
    entry: Dirent,
    path: string,
    found: FoundEntry[],
  ): Promise<void> {
    const stats = await directory.stat(entry.name);
    if (entry.isSymbolicLink())
      found.push({ kind: 'symlink', path, target: (await directory.readLink(entry.name)) ?? '' });
    else if (stats !== null && entry.isFile())
      found.push({
        kind: 'file',
        path,
        mode: stats.mode & 0o7777,
        mtimeMs: stats.mtimeMs,
        sizeBytes: stats.size,
      });
    // A socket or a pipe is no data of a server's.
  }

  /** Rejects with ENOENT where the copy has no such file. */
  async open(path: string): Promise<FileHandle> {
    if (this.#isElsewhere(path)) throw Object.assign(new Error(`${path} is not in it`), { code: 'ENOENT' });
    const directory = await AnchoredDirectory.open(dirname(this.#placeOf(path)));
    return closing(directory, (it) => it.openFile(basename(path), this.#owner));
  }

  async *content(path: string): AsyncIterable<Uint8Array> {
    const file = await this.open(path);
    try {
      for (let position = 0; ;) {
        const { bytesRead, buffer } = await file.read(
          Buffer.allocUnsafe(READ_BYTES),
          0,
          READ_BYTES,
          position,
        );
        if (bytesRead === 0) return;
        yield buffer.subarray(0, bytesRead);
        position += bytesRead;
      }
    } finally {
      await file.close();
    }
  }

  /** A small file; null where it is not there. */
  async read(path: string): Promise<Buffer | null> {
    if (this.#isElsewhere(path)) return null;
    const directory = await AnchoredDirectory.openIfThere(dirname(this.#placeOf(path)));
    return directory === null ? null : closing(directory, (it) => it.read(basename(path), this.#owner));
  }

  async digest(path: string, seen: (bytes: Uint8Array) => void = () => undefined): Promise<string> {
    const hash = createHash('sha256');
    for await (const bytes of this.content(path)) {
      hash.update(bytes);
      seen(bytes);
    }
    return hash.digest('hex');
  }

  async #findBehind(image: AnchoredDirectory): Promise<void> {
    await this.#follow(image, JOURNAL_ROOM, JOURNAL_ROOM);
    const room = await image.enter(TABLESPACES_ROOM).catch(nullIfAbsent);
    if (room === null) return;
    await closing(room, async (directory) => {
      for (const { name } of await directory.entries())
        if (/^\d{1,10}$/.test(name)) await this.#follow(directory, name, `${TABLESPACES_ROOM}/${name}`);
    });
  }

  async #follow(directory: AnchoredDirectory, name: string, path: string): Promise<void> {
    const stats = await directory.stat(name);
    if (stats?.isDirectory() === true && path !== JOURNAL_ROOM)
      this.#behind.set(path, join(directory.path, name));
    if (stats?.isSymbolicLink() !== true) return;
    const target = resolve(directory.path, (await directory.readLink(name)) ?? '');
    if (!target.startsWith(`${this.#root}/`)) {
      // Of a copy without its journal an archive has all of it.
      if (path === JOURNAL_ROOM) {
        this.#journalIsElsewhere = true;
        return;
      }
      throw imageUnfit(
        this.#name,
        this.#root,
        `has ${path}, which leads to ${target}: that is no part of it`,
        'copy tablespaces too, into a directory below that of the images, and let the links of the copy lead there (pg_basebackup --tablespace-mapping)',
      );
    }
    const found = await AnchoredDirectory.openIfDirectory(target);
    if (found === null)
      throw imageUnfit(
        this.#name,
        this.#root,
        `has ${path}, which leads to ${target}, and nothing is there`,
        'copy it too',
      );
    await found.close();
    this.#behind.set(path, target);
  }

  #isElsewhere(path: string): boolean {
    return this.#journalIsElsewhere && path.startsWith(`${JOURNAL_ROOM}/`);
  }

  #placeOf(path: string): string {
    for (const [prefix, place] of this.#behind)
      if (path.startsWith(`${prefix}/`)) return join(place, path.slice(prefix.length + 1));
    return join(this.path, path);
  }
}

/** By the name of a file or directory, wherever it lies: it counts for nothing. */
export function isLeftOut(name: string): boolean {
  return LEFT_OUT.has(name) || name.startsWith('pgsql_tmp');
}

function byName(one: Dirent, other: Dirent): number {
  return one.name < other.name ? -1 : 1;
}

function nullIfAbsent(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}
