import { buffer } from 'node:stream/consumers';
import { extract, type Extract, type Header } from 'tar-stream';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { ArtifactSink } from '../../engine.ts';
import { modeAsOwners } from './collect.ts';
import { checkBackupManifest, damagedCopy, type StoredFile } from './backup-manifest.ts';
import { parseLsn, type Lsn } from '../journal/lsn.ts';
import { once } from '../../once.ts';

export interface BaseCopy {
  readonly start: Lsn;
  readonly tablespaces: readonly { readonly oid: string; readonly location: string }[];
}

/** One entry of a tar: its header, and its bytes as they come. */
type Entry = AsyncIterable<Uint8Array> & { readonly header: Header };

/** Small files are stored side by side; a large one alone, as it arrives. */
const SMALL_BYTES = 4 * 1024 * 1024;
const SMALL_AT_ONCE = 24;
/** A file has some 150 bytes in it: enough for three million files, and still one string. */
const MOST_MANIFEST_BYTES = 450 * 1024 * 1024;

/**
 * Takes the messages of BASE_BACKUP apart: `n`ew archive, `d`ata of it, `p`rogress, `m`anifest. What is not as
 * PostgreSQL sends it rejects `base-copy-damaged`; no more of it is in memory than small files on their way.
 */
export class ArchiveReceiver {
  readonly #artifacts: ArtifactSink;
  readonly #progress: (bytesDone: number, bytesTotal: number) => void;
  readonly #stored = new Map<string, StoredFile>();
  readonly #manifest: Buffer[] = [];
  /** The server's own user, whose the label of the copy is: the first entry of its archive. */
  #serverUser: number | null = null;
  #archive: { stream: Extract; done: Promise<void> } | null = null;
  #inManifest = false;
  #manifestBytes = 0;
  #totalBytes = 0;

  constructor(input: { artifacts: ArtifactSink; progress: (bytesDone: number, bytesTotal: number) => void }) {
    this.#artifacts = input.artifacts;
    this.#progress = input.progress;
  }

  /** So much more will come, as the server estimates it. */
  expect(bytes: number): void {
    if (Number.isFinite(bytes)) this.#totalBytes += bytes;
  }

  receive(message: Buffer): Promise<void> {
    return this.#receive(message).catch(asDamage);
  }

  finish(rows: readonly string[][]): Promise<BaseCopy> {
    return this.#finish(rows).catch(asDamage);
  }

  async #receive(message: Buffer): Promise<void> {
    const kind = message.toString('latin1', 0, 1);
    const body = message.subarray(1);
    if (kind === 'n') {
      await this.#endArchive();
      const [archive = ''] = body.toString('utf8').split('\0');
      this.#beginArchive(archive);
    } else if (kind === 'm') {
      await this.#endArchive();
      this.#inManifest = true;
    } else if (kind === 'd') {
      if (this.#inManifest) this.#keepManifest(body);
      else await this.#feed(body);
    } else if (kind === 'p') {
      const done = Number(body.readBigUInt64BE(0));
      this.#progress(done, Math.max(this.#totalBytes, done));
    }
  }

  /** The rows around the stream: start position and timeline; tablespaces; end position and timeline. */
  async #finish(rows: readonly string[][]): Promise<BaseCopy> {
    await this.#endArchive();
    const manifest = Buffer.concat(this.#manifest);
    checkBackupManifest(manifest.toString('utf8'), this.#stored);
    await this.#artifacts.file(
      { path: 'base/backup_manifest', mode: 0o600, mtimeMs: Date.now() },
      once(manifest),
    );
    const [first, ...others] = rows;
    if (first?.[0] === undefined) throw new Error('BASE_BACKUP gave no start position');
    const tablespaces = others.slice(0, -1).filter(([oid]) => oid !== undefined && oid !== '');
    return {
      start: parseLsn(first[0]),
      tablespaces: tablespaces.map(([oid = '', location = '']) => ({ oid, location })),
    };
  }

  /** What was begun is given up, and nothing more is read of it. Idempotent. */
  end(): void {
    this.#archive?.stream.destroy(new Error('the base copy was given up'));
    this.#archive = null;
  }

  #keepManifest(part: Buffer): void {
    this.#manifestBytes += part.byteLength;
    if (this.#manifestBytes > MOST_MANIFEST_BYTES)
      throw damagedCopy(`the backup manifest is longer than ${MOST_MANIFEST_BYTES} bytes`);
    this.#manifest.push(part);
  }

  #beginArchive(archive: string): void {
    const oid = /^(\d+)\.tar/.exec(archive)?.[1];
    const room = oid === undefined ? 'base' : `tablespaces/${oid}`;
    const stream = extract();
    const done = this.#unpack(stream, room, oid);
    // Met when the archive ends; a failure in between shows in the next `feed`.
    done.catch((error: unknown) => stream.destroy(error instanceof Error ? error : new Error(String(error))));
    this.#archive = { stream, done };
  }

  async #feed(bytes: Buffer): Promise<void> {
    if (this.#archive === null) throw new Error('data before the first archive');
    const { stream, done } = this.#archive;
    if (stream.destroyed) return done;
    if (stream.write(bytes)) return;
    await Promise.race([new Promise<void>((resolve) => stream.once('drain', resolve)), done]);
  }

  async #endArchive(): Promise<void> {
    if (this.#archive === null) return;
    const { stream, done } = this.#archive;
    this.#archive = null;
    (stream as unknown as { end(): void }).end();
    await done;
  }

  async #unpack(stream: Extract, room: string, oid: string | undefined): Promise<void> {
    const small = new Set<Promise<void>>();
    let failure: unknown = null;
    for await (const entry of stream as unknown as AsyncIterable<Entry>) {
      const name = entry.header.name.replace(/^\.\//, '').replace(/\/+$/, '');
      const size = entry.header.size ?? 0;
      if (room === 'base' && name === 'backup_label') this.#serverUser = entry.header.uid ?? null;
      if (entry.header.type === 'file' && size < SMALL_BYTES) {
        const bytes = await buffer(entry);
        const storing = this.#store(entry, room, oid, name, once(bytes)).catch((error: unknown) => {
          failure ??= error;
        });
        small.add(storing);
        void storing.finally(() => small.delete(storing));
        if (small.size >= SMALL_AT_ONCE) await Promise.race(small);
      } else if (entry.header.type === 'file') {
        await this.#store(entry, room, oid, name, entry);
      } else {
        // Its bytes would be waited for in vain: the library takes those of a directory for the next entry.
        if (entry.header.type === 'directory' && size > 0)
          throw damagedCopy(`${name} is a directory of ${size} bytes`);
        this.#keepEntry(entry, room, name);
        await skipped(entry);
      }
      if (failure !== null) throw failure;
    }
    await Promise.all(small);
    if (failure !== null) throw failure;
  }

  #keepEntry(entry: Entry, room: string, name: string): void {
    const path = name === '' || name === '.' ? room : `${room}/${name}`;
    if (entry.header.type === 'directory')
      this.#artifacts.directory({ path, mode: (entry.header.mode ?? 0o700) & 0o7777 });
    else if (entry.header.type === 'symlink')
      this.#artifacts.symlink({ path, target: entry.header.linkname ?? '' });
    else throw new Error(`the base copy has an entry of type ${entry.header.type ?? 'unknown'}: ${name}`);
  }

  async #store(
    entry: Entry,
    room: string,
    oid: string | undefined,
    name: string,
    content: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const stored = await this.#artifacts.file(
      {
        path: `${room}/${name}`,
        mode: this.#modeOf(entry.header),
        mtimeMs: entry.header.mtime?.getTime() || 0,
      },
      content,
    );
    this.#stored.set(oid === undefined ? name : `pg_tblspc/${oid}/${name}`, stored);
  }

  #modeOf({ mode, uid }: Header): number {
    const isOthers = this.#serverUser !== null && uid !== this.#serverUser;
    return isOthers ? modeAsOwners(mode) : mode & 0o7777;
  }
}

/** An entry that is not kept: read to its end, for the next one begins there. */
async function skipped(entry: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of entry);
}

/** What artifacts and the agent's disk say stands; anything else is of the copy itself. */
function asDamage(error: unknown): never {
  if (error instanceof StillpointError) throw error;
  if (error instanceof Error && 'syscall' in error) throw error;
  throw damagedCopy(error instanceof Error ? error.message : String(error), error);
}
