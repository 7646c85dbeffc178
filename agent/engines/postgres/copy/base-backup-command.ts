import type { PostgresSettings } from '../settings.ts';

/** How often a copy that says nothing of its progress is taken to have gone on, in bytes. */
const PROGRESS_BYTES = 1024 * 1024;

export interface BaseBackup {
  readonly command: string;
  /** Null where the server speaks as PostgreSQL 15 and later do. */
  readonly adapt: OldBackupStream | null;
}

/** BASE_BACKUP in the words of this server. `serverVersion`: `server_version_num`. */
export function baseBackup({
  settings: { copy },
  label,
  serverVersion,
}: {
  settings: Pick<PostgresSettings, 'copy'>;
  label: string;
  serverVersion: number;
}): BaseBackup {
  const named = `LABEL '${label.replaceAll("'", "''")}'`;
  const rate = copy.maxRate === undefined ? [] : [`MAX_RATE ${Math.floor(copy.maxRate / 1024)}`];
  // The journal comes over a stream of its own: an archive that is behind, or broken, must not hold us up.
  if (serverVersion >= 150_000) {
    const options = [
      named,
      'PROGRESS',
      `CHECKPOINT '${copy.checkpoint}'`,
      ...rate,
      'WAIT false',
      'TABLESPACE_MAP',
      "MANIFEST 'yes'",
      "MANIFEST_CHECKSUMS 'SHA256'",
    ];
    return { command: `BASE_BACKUP (${options.join(', ')})`, adapt: null };
  }
  const options = [
    named,
    'PROGRESS',
    ...(copy.checkpoint === 'fast' ? ['FAST'] : []),
    'NOWAIT',
    ...rate,
    'TABLESPACE_MAP',
    "MANIFEST 'yes'",
    "MANIFEST_CHECKSUMS 'SHA256'",
  ];
  return { command: `BASE_BACKUP ${options.join(' ')}`, adapt: new OldBackupStream() };
}

/**
 * Before PostgreSQL 15 each tablespace is a stream of its own, in the order of the rows before them, the data directory
 * among them, and the manifest is the last; nothing says what a stream holds. Told here in the words of later versions.
 */
class OldBackupStream {
  readonly #tablespaces: string[] = [];
  readonly #beginnings = new WeakSet<Buffer>();
  #bytes = 0;
  #told = 0;

  /** A row before the streams. `oid` is empty for the data directory. */
  tablespace(oid: string): void {
    this.#tablespaces.push(oid);
  }

  /** What stands before the stream of this number. */
  stream(index: number): Buffer {
    const oid = this.#tablespaces[index];
    const said = oid === undefined ? 'm' : `n${oid === '' ? 'base' : oid}.tar\0`;
    const beginning = Buffer.from(said);
    this.#beginnings.add(beginning);
    return beginning;
  }

  /** What a message of the server is, or one of `stream`. */
  messages(message: Buffer): Buffer[] {
    if (this.#beginnings.has(message)) return [message];
    this.#bytes += message.byteLength;
    const data = Buffer.concat([Buffer.from('d'), message]);
    if (this.#bytes - this.#told < PROGRESS_BYTES) return [data];
    this.#told = this.#bytes;
    const progress = Buffer.alloc(9);
    progress.write('p', 'latin1');
    progress.writeBigUInt64BE(BigInt(this.#bytes), 1);
    return [data, progress];
  }
}
