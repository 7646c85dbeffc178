import type { StillpointError } from '../../../../shared/domain/errors.ts';
import { aligned, JournalBytes, journalDamaged, type JournalFiles } from './journal-bytes.ts';
import { formatLsn, segmentOf, segmentStart, type Lsn } from './lsn.ts';

/**
 * Walks the records of received journal files. Layout: src/include/access/xlog_internal.h and xlogrecord.h
 * of PostgreSQL 14 to 18: pages of 8 KiB, each with a header of 24 bytes (40 on the first page of a file);
 * records begin at multiples of 8 with a header of 24 bytes (total length, transaction, previous record,
 * info, resource manager, checksum) and go on over page and file boundaries behind the page headers.
 */
export interface TransactionRecord {
  readonly type: 'commit' | 'abort' | 'prepare' | 'commitPrepared' | 'abortPrepared';
  /** Low 32 bits of the transaction; for the ends of a prepared one, that one's. */
  readonly xid: number;
  /** Of a `commit`. */
  readonly commit: CommitRecord | null;
  /** Of a `prepare`. */
  readonly prepared: PreparedRecord | null;
  readonly start: Lsn;
}

interface CommitRecord {
  /**
   * Besides the fact, and the subtransactions of which it is one. `housekeeping`: caches that it empties, locks that it
   * lets go of. `more`: files that it drops, an origin that it moves on.
   */
  readonly carries: 'nothing' | 'housekeeping' | 'more';
  readonly subtransactions: readonly number[];
}

interface PreparedRecord {
  readonly gid: string;
  readonly databaseOid: number;
  readonly ownerOid: number;
}

export const RECORD_HEADER = 24;
/** XLogRecordMaxSize. */
export const MOST_RECORD_BYTES = 1020 * 1024 * 1024;
export const XLOG_RESOURCE_MANAGER = 0;
const XLOG_SWITCH = 0x40;
export const XACT_RESOURCE_MANAGER = 1;
const XACT_OPERATIONS: Readonly<Record<number, TransactionRecord['type']>> = {
  0x00: 'commit',
  0x10: 'prepare',
  0x20: 'abort',
  0x30: 'commitPrepared',
  0x40: 'abortPrepared',
};

type JournalOfServer = JournalFiles & {
  /** `server_version_num`. */
  readonly serverVersion: number;
};

/** A stretch of received journal. `from` is where a record begins or ends. */
export type JournalSpan = JournalOfServer & { readonly from: Lsn; readonly to: Lsn };

/** All commits, aborts and prepares that begin in [from, to). */
export async function* transactionRecords(span: JournalSpan): AsyncGenerator<TransactionRecord> {
  const walk = new TransactionWalk(span, span.from);
  try {
    yield* walk.through(span.to);
  } finally {
    await walk.close();
  }
}

/** Transaction records in several goes, so that files can be dropped when everything in them was seen. */
export class TransactionWalk {
  readonly #records: RecordWalk;
  readonly #serverVersion: number;

  /** `from` is where a record begins or ends, or the beginning of a file. */
  constructor(where: JournalOfServer, from: Lsn) {
    this.#records = new RecordWalk(where, from, ({ manager }) => manager === XACT_RESOURCE_MANAGER);
    this.#serverVersion = where.serverVersion;
  }

  /** No byte before this is read again. */
  get position(): Lsn {
    return this.#records.position;
  }

  /** Records in the files before `end`, which are complete. One that goes on behind them is left to the next go. */
  upToFile(end: Lsn): AsyncGenerator<TransactionRecord> {
    return this.#transactions(this.#records.upToFile(end));
  }

  /** Records that begin before `to`. The file in which that lies is the last one. */
  through(to: Lsn): AsyncGenerator<TransactionRecord> {
    return this.#transactions(this.#records.through(to));
  }

  close(): Promise<void> {
    return this.#records.close();
  }

  async *#transactions(records: AsyncIterable<JournalRecord>): AsyncGenerator<TransactionRecord> {
    for await (const { start, xid, info, bytes } of records) {
      const found = readable(start, bytes.length, () =>
        parseTransaction(bytes, info, xid, start, this.#serverVersion),
      );
      if (found !== null) yield found;
    }
  }
}

interface RecordHeader {
  readonly xid: number;
  readonly manager: number;
  readonly info: number;
}

export interface JournalRecord extends RecordHeader {
  readonly start: Lsn;
  /** The whole record, where such were asked for; else its header. */
  readonly bytes: Buffer;
}

/** Those records whole that are `wanted`, or all of them and their headers (null). */
export class RecordWalk {
  readonly #journal: JournalBytes;
  readonly #segmentBytes: number;
  readonly #from: Lsn;
  readonly #wanted: ((header: RecordHeader) => boolean) | null;
  #at: Lsn | null = null;

  constructor(where: JournalFiles, from: Lsn, wanted: ((header: RecordHeader) => boolean) | null) {
    this.#journal = new JournalBytes(where);
    this.#segmentBytes = where.segmentBytes;
    this.#from = from;
    this.#wanted = wanted;
  }

  get position(): Lsn {
    return this.#at ?? this.#from;
  }

  upToFile(end: Lsn): AsyncGenerator<JournalRecord> {
    return this.#walk(end, end, false);
  }

  through(to: Lsn): AsyncGenerator<JournalRecord> {
    const segmentBytes = this.#segmentBytes;
    return this.#walk(to, segmentStart(segmentOf(to, segmentBytes) + 1n, segmentBytes), true);
  }

  close(): Promise<void> {
    return this.#journal.close();
  }

  async *#walk(to: Lsn, received: Lsn, isLast: boolean): AsyncGenerator<JournalRecord> {
    const journal = this.#journal;
    const segmentBytes = this.#segmentBytes;
    this.#at ??= await journal.firstRecord(aligned(this.#from));
    while (this.#at + BigInt(RECORD_HEADER) <= to) {
      const start: Lsn = this.#at;
      const { bytes: header } = await journal.read(start, RECORD_HEADER);
      const length = header.readUInt32LE(0);
      if (length < RECORD_HEADER) throw badRecord(start, length);
      const info = header[16] ?? 0;
      const manager = header[17] ?? 0;
      const xid = header.readUInt32LE(4);
      let end = journal.advance(start, length);
      const over = await journal.overwrittenAt(start, end < received ? end : received);
      if (over !== null) {
        this.#at = over;
        continue;
      }
      let found: JournalRecord | null = null;
      if (isSwitch({ manager, info })) {
        // The rest of this file is empty.
        end = segmentStart(segmentOf(start, segmentBytes) + 1n, segmentBytes);
      } else if (this.#wanted?.({ xid, manager, info }) === true) {
        // Nothing is there behind the last file: such a length is none, and not to be held.
        if (end > received && (isLast || length > MOST_RECORD_BYTES)) throw badRecord(start, length);
        if (end > received) return;
        const { bytes } = await journal.read(start, length);
        found = { start, xid, manager, info, bytes };
      } else if (this.#wanted === null) {
        found = { start, xid, manager, info, bytes: header };
      }
      this.#at = journal.skipPageHeader(aligned(end));
      if (found !== null) yield found;
    }
  }
}

/** The server goes on in the next file. */
export function isSwitch({ manager, info }: { readonly manager: number; readonly info: number }): boolean {
  return manager === XLOG_RESOURCE_MANAGER && (info & 0xf0) === XLOG_SWITCH;
}

/** Not "the end": everything up to the end that is asked for was received, so here something is wrong. */
function badRecord(at: Lsn, length: number): StillpointError {
  return journalDamaged(`the received journal has a record of ${length} bytes at ${formatLsn(at)}`);
}

/** A record whose parts point out of it is none. */
export function readable<T>(at: Lsn, length: number, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof RangeError) throw badRecord(at, length);
    throw error;
  }
}

function parseTransaction(
  record: Buffer,
  info: number,
  xid: number,
  start: Lsn,
  serverVersion: number,
): TransactionRecord | null {
  const type = XACT_OPERATIONS[info & 0x70];
  if (type === undefined) return null;
  const main = mainData(record);
  if (main === null) return null;
  const hasFlags = (info & 0x80) !== 0;
  const one = { type, xid, prepared: null, commit: null, start };
  if (type === 'prepare') return { ...one, prepared: preparedRecord(main, serverVersion) };
  if (type === 'abort') return one;
  if (type === 'commit') return { ...one, commit: commitRecord(main, hasFlags) };
  return { ...one, xid: preparedXid(main, hasFlags, serverVersion) ?? xid };
}

/** Flags of xl_xact_xinfo that say more than a database and subtransactions. */
const MORE_OF_COMMIT = 0x1fc;
const HOUSEKEEPING = 0x48;

function commitRecord(main: Buffer, hasFlags: boolean): CommitRecord {
  const flags = hasFlags ? main.readUInt32LE(8) : 0;
  const more = flags & MORE_OF_COMMIT;
  const carries = more === 0 ? 'nothing' : (more & ~HOUSEKEEPING) === 0 ? 'housekeeping' : 'more';
  if ((flags & 0x02) === 0) return { carries, subtransactions: [] };
  const at = (flags & 0x01) === 0 ? 12 : 20;
  const count = main.readInt32LE(at);
  const subtransactions = Array.from({ length: count }, (_, index) => main.readUInt32LE(at + 4 + 4 * index));
  return { carries, subtransactions };
}

/** Transaction records refer to no pages: after the header comes one block of main data. */
function mainData(record: Buffer): Buffer | null {
  let at = RECORD_HEADER;
  for (;;) {
    const id = record[at];
    if (id === 255) return record.subarray(at + 2, at + 2 + (record[at + 1] ?? 0));
    if (id === 254) return record.subarray(at + 5, at + 5 + record.readUInt32LE(at + 1));
    // An origin (253: 2 bytes) or a top-level transaction (252: 4 bytes) may come first.
    if (id === 253) at += 3;
    else if (id === 252) at += 5;
    else return null;
  }
}

/**
 * xl_xact_prepare: at 12 the database, at 24 the owner, and the length of the gid with its closing zero; the gid follows
 * the structure. Since PostgreSQL 15 it has two numbers more before that length: 72 bytes, else 64.
 */
function preparedRecord(main: Buffer, serverVersion: number): PreparedRecord | null {
  const more = serverVersion >= 150_000 ? 8 : 0;
  const size = 64 + more;
  const gidLength = main.length > size ? main.readUInt16LE(46 + more) : 0;
  if (gidLength === 0) return null;
  return {
    gid: main.toString('utf8', size, size + gidLength - 1),
    databaseOid: main.readUInt32LE(12),
    ownerOid: main.readUInt32LE(24),
  };
}

/**
 * xl_xact_commit / xl_xact_abort: the time, then, where the info says so, flags and the parts they announce:
 * database, subtransactions, relations, statistics, invalidations, and the prepared transaction itself.
 */
function preparedXid(main: Buffer, hasFlags: boolean, serverVersion: number): number | null {
  if (!hasFlags) return null;
  const flags = main.readUInt32LE(8);
  let at = 12;
  if (flags & 0x01) at += 8;
  if (flags & 0x02) at += 4 + 4 * main.readInt32LE(at);
  if (flags & 0x04) at += 4 + 12 * main.readInt32LE(at);
  if (flags & 0x100) at += 4 + (serverVersion >= 180_000 ? 16 : 12) * main.readInt32LE(at);
  if (flags & 0x08) at += 4 + 16 * main.readInt32LE(at);
  return flags & 0x10 ? main.readUInt32LE(at) : null;
}
