import { appendFile, open, rm } from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as z from 'zod';
import type { ArtifactSink } from '../../engine.ts';
import { cutFile } from './cut-file.ts';
import { segmentName, segmentOf, segmentStart, type Lsn } from './lsn.ts';
import type { JournalFiles } from './journal-bytes.ts';
import { TransactionWalk, type TransactionRecord } from './wal-records.ts';

/** Files that wait in the spool until it is known where the base copy starts. */
const MOST_WAITING = 4n;
const PREPARED_LOG = 'prepared.log';

export interface JournalStoreInput {
  readonly artifacts: ArtifactSink;
  readonly files: JournalFiles;
  /** The beginning of the first file. */
  readonly from: Lsn;
  readonly serverVersion: number;
  /** Where there can be prepared transactions, what the journal says of them is kept when its files go. */
  readonly keepsPrepared: boolean;
  /** Called once, when a file could not be stored. */
  failed(error: unknown): void;
}

/**
 * Received journal files go to the repository as they fill, and leave the spool: of a checkpoint that is prepared
 * for hours a few of them lie on the agent's disk. From where `keepFrom` says they stay, for the mark and its proof.
 */
export class JournalStore {
  readonly #input: JournalStoreInput;
  readonly #walk: TransactionWalk | null;
  /** The next file to be stored, and the next to be dropped. */
  #next: bigint;
  #oldest: bigint;
  /** This file and those behind it are not complete yet. */
  #filling: bigint;
  #keptFrom: bigint | null = null;
  #start: Lsn | null = null;
  #storing: Promise<void> | null = null;
  #stopped = false;

  constructor(input: JournalStoreInput) {
    this.#input = input;
    this.#next = segmentOf(input.from, input.files.segmentBytes);
    this.#oldest = this.#next;
    this.#filling = this.#next;
    this.#walk = input.keepsPrepared
      ? new TransactionWalk({ ...input.files, serverVersion: input.serverVersion }, input.from)
      : null;
  }

  /** This file is complete. */
  filled(segment: bigint): void {
    this.#filling = segment + 1n;
    this.#begin();
  }

  /** The base copy starts here: nothing before it is needed. */
  startsAt(start: Lsn): void {
    this.#start = start;
    this.#begin();
  }

  /** No file that holds this position, or a later one, leaves the spool. It only grows. */
  keepFrom(position: Lsn): void {
    this.#keptFrom = segmentOf(position, this.#input.files.segmentBytes);
    this.#begin();
  }

  /**
   * Stores what is left up to the mark: whole files, with zeros from the mark on, so that nothing that restores
   * this checkpoint can replay past its mark.
   */
  async finish(mark: Lsn): Promise<void> {
    await this.#storing;
    if (this.#stopped) return;
    const { segmentBytes } = this.#input.files;
    const last = segmentOf(mark - 1n, segmentBytes);
    // What was received may have been behind the start of the base copy when it had to stay.
    const first = this.#start === null ? this.#next : segmentOf(this.#start, segmentBytes);
    if (this.#next < first) this.#next = first;
    for (; this.#next <= last; this.#next += 1n)
      await this.#store(this.#next, Number(mark - segmentStart(this.#next, segmentBytes)));
  }

  /** What the journal says of prepared transactions between the start of the base copy and the mark. */
  async *preparedRecords(mark: Lsn): AsyncGenerator<TransactionRecord> {
    if (this.#walk === null || this.#start === null) return;
    const log = join(this.#input.files.directory, PREPARED_LOG);
    await appendFile(log, '');
    for await (const line of createInterface({ input: createReadStream(log) })) {
      const record = loggedSchema.parse(JSON.parse(line));
      if (record.start >= this.#start) yield { ...record, commit: null };
    }
    for await (const record of this.#walk.through(mark))
      if (isOfPrepared(record) && record.start >= this.#start) yield record;
  }

  /** Begins nothing more, and what is under way ends soon. Idempotent. */
  stop(): void {
    this.#stopped = true;
    if (this.#storing === null) void this.#walk?.close();
  }

  #begin(): void {
    this.#storing ??= this.#storeFilled()
      .catch((error: unknown) => {
        if (this.#stopped) return;
        this.#stopped = true;
        this.#input.failed(error);
      })
      .finally(() => {
        this.#storing = null;
        if (this.#stopped) void this.#walk?.close();
      });
  }

  async #storeFilled(): Promise<void> {
    const { segmentBytes } = this.#input.files;
    while (!this.#stopped && this.#mayGo(this.#next)) {
      const segment = this.#next;
      const end = segmentStart(segment + 1n, segmentBytes);
      if (this.#walk !== null) await this.#keepPrepared(this.#walk.upToFile(end));
      if (this.#start === null || segment >= segmentOf(this.#start, segmentBytes))
        await this.#store(segment, segmentBytes);
      this.#next = segment + 1n;
      await this.#drop();
    }
  }

  #mayGo(segment: bigint): boolean {
    if (segment >= this.#filling || (this.#keptFrom !== null && segment >= this.#keptFrom)) return false;
    // A file too many in the repository does no harm; a full disk does.
    return this.#start !== null || this.#filling - segment > MOST_WAITING;
  }

  async #keepPrepared(records: AsyncIterable<TransactionRecord>): Promise<void> {
    const lines: string[] = [];
    for await (const record of records) {
      if (!isOfPrepared(record)) continue;
      lines.push(`${JSON.stringify({ ...record, start: record.start.toString() })}\n`);
    }
    if (lines.length > 0)
      await appendFile(join(this.#input.files.directory, PREPARED_LOG), lines.join(''), { mode: 0o600 });
  }

  /** Files that are stored, and of which the walk needs nothing more. */
  async #drop(): Promise<void> {
    const { segmentBytes } = this.#input.files;
    const read = this.#walk === null ? this.#next : segmentOf(this.#walk.position, segmentBytes);
    for (; this.#oldest < this.#next && this.#oldest < read; this.#oldest += 1n)
      await rm(this.#pathOf(this.#oldest));
  }

  async #store(segment: bigint, keep: number): Promise<void> {
    const { segmentBytes } = this.#input.files;
    const path = this.#pathOf(segment);
    await this.#input.artifacts.file(
      { path: `journal/${this.#nameOf(segment)}`, mode: 0o600, mtimeMs: Date.now() },
      this.#cutFile(path, Math.min(segmentBytes, keep), segmentBytes),
    );
  }

  /** The first `keep` bytes of the file, then zeros up to `length`, as long as they are wanted. */
  async *#cutFile(path: string, keep: number, length: number): AsyncIterable<Uint8Array> {
    const file = await open(path, 'r');
    try {
      for await (const block of cutFile(file, { path, keep, length })) {
        if (this.#stopped) throw new Error('the journal is not stored any more');
        yield block;
      }
    } finally {
      await file.close();
    }
  }

  #nameOf(segment: bigint): string {
    const { timeline, segmentBytes } = this.#input.files;
    return segmentName(segment, timeline, segmentBytes);
  }

  #pathOf(segment: bigint): string {
    return join(this.#input.files.directory, this.#nameOf(segment));
  }
}

const loggedSchema = z.object({
  type: z.enum(['prepare', 'commitPrepared', 'abortPrepared']),
  xid: z.number(),
  prepared: z.object({ gid: z.string(), databaseOid: z.number(), ownerOid: z.number() }).nullable(),
  start: z.string().transform(BigInt),
});

function isOfPrepared({ type }: TransactionRecord): boolean {
  return type === 'prepare' || type === 'commitPrepared' || type === 'abortPrepared';
}
