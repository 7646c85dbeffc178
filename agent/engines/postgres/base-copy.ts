import type { ArtifactSink } from '../engine.ts';
import { extract, type Extract, type Header } from 'tar-stream';
import { checkBackupManifest, type StoredFile } from './backup-manifest.ts';
import type { ConnectionSettings } from './connection.ts';
import { parseLsn, type Lsn } from './lsn.ts';
import { ReplicationConnection } from './replication-connection.ts';

export interface BaseCopy {
  readonly start: Lsn;
  readonly tablespaces: readonly { readonly oid: string; readonly location: string }[];
}

/** One entry of a tar: its header, and its bytes as they come. */
type Entry = AsyncIterable<Uint8Array> & { readonly header: Header };

/** Small files are stored side by side; a large one alone, as it arrives. */
const SMALL_BYTES = 4 * 1024 * 1024;
const SMALL_AT_ONCE = 24;

/**
 * Copies the whole server with BASE_BACKUP over the replication protocol
 * (https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP): no
 * access to its files, nobody blocked. Each file of the tar streams becomes an artifact of its own, and is
 * checked against the server's own backup manifest.
 */
export async function copyBase(input: {
  settings: ConnectionSettings;
  label: string;
  artifacts: ArtifactSink;
  signal: AbortSignal;
  progress: (bytesDone: number, bytesTotal: number) => void;
  totalBytes: number;
}): Promise<BaseCopy> {
  const { settings, label, signal } = input;
  const connection = await ReplicationConnection.open(settings, 'stillpoint-base');
  const abort = (): void => connection.close();
  signal.addEventListener('abort', abort, { once: true });
  try {
    // It may have come while the connection was opened.
    signal.throwIfAborted();
    const options = [
      `LABEL '${label.replaceAll("'", "''")}'`,
      'PROGRESS',
      "CHECKPOINT 'fast'",
      // The journal comes over a stream of its own: an archive that is behind, or broken, must not hold us up.
      'WAIT false',
      'TABLESPACE_MAP',
      "MANIFEST 'yes'",
      "MANIFEST_CHECKSUMS 'SHA256'",
    ];
    const receiver = new ArchiveReceiver(input);
    const messages = connection.copyOut(`BASE_BACKUP (${options.join(', ')})`);
    for (;;) {
      const next = await messages.next();
      if (next.done === true) return await receiver.finish(next.value);
      await receiver.receive(next.value);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
    connection.close();
  }
}

/** Takes the messages apart: `n`ew archive, `d`ata of it, `p`rogress, `m`anifest. */
class ArchiveReceiver {
  readonly #artifacts: ArtifactSink;
  readonly #progress: (bytesDone: number, bytesTotal: number) => void;
  readonly #totalBytes: number;
  readonly #stored = new Map<string, StoredFile>();
  readonly #manifest: Buffer[] = [];
  #archive: { stream: Extract; done: Promise<void> } | null = null;
  #inManifest = false;

  constructor(input: {
    artifacts: ArtifactSink;
    progress: (bytesDone: number, bytesTotal: number) => void;
    totalBytes: number;
  }) {
    this.#artifacts = input.artifacts;
    this.#progress = input.progress;
    this.#totalBytes = input.totalBytes;
  }

  async receive(message: Buffer): Promise<void> {
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
      if (this.#inManifest) this.#manifest.push(body);
      else await this.#feed(body);
    } else if (kind === 'p') {
      const done = Number(body.readBigUInt64BE(0));
      this.#progress(done, Math.max(this.#totalBytes, done));
    }
  }

  /** The rows around the stream: start position and timeline; tablespaces; end position and timeline. */
  async finish(rows: readonly string[][]): Promise<BaseCopy> {
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
      if (entry.header.type === 'file' && size < SMALL_BYTES) {
        const bytes = await collected(entry);
        const storing = this.#store(entry, room, oid, name, once(bytes)).catch((error: unknown) => {
          failure ??= error;
        });
        small.add(storing);
        void storing.finally(() => small.delete(storing));
        if (small.size >= SMALL_AT_ONCE) await Promise.race(small);
      } else if (entry.header.type === 'file') {
        await this.#store(entry, room, oid, name, entry);
      } else {
        this.#keepEntry(entry, room, name);
        await collected(entry);
      }
      if (failure !== null) throw failure;
    }
    await Promise.all(small);
    if (failure !== null) throw failure;
  }

  #keepEntry(entry: Entry, room: string, name: string): void {
    const path = name === '' || name === '.' ? room : `${room}/${name}`;
    if (entry.header.type === 'directory')
      this.#artifacts.directory({ path, mode: entry.header.mode ?? 0o700 });
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
        mode: entry.header.mode ?? 0o600,
        mtimeMs: entry.header.mtime?.getTime() ?? 0,
      },
      content,
    );
    this.#stored.set(oid === undefined ? name : `pg_tblspc/${oid}/${name}`, stored);
  }
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  if (bytes.byteLength > 0) yield bytes;
}

async function collected(entry: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of entry) parts.push(part);
  return Buffer.concat(parts);
}
