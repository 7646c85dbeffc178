import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { segmentName, segmentOf, segmentStart, type Lsn } from './lsn.ts';

const PAGE = 8192n;
/** Read at once: a file has whole ones of these. */
const BLOCK = 256n * 1024n;
/** XLP_FIRST_IS_OVERWRITE_CONTRECORD of XLogPageHeaderData. */
const FIRST_IS_OVERWRITTEN = 0x0008;

/** Where journal files lie. */
export interface JournalFiles {
  readonly directory: string;
  readonly timeline: number;
  readonly segmentBytes: number;
  /** Of files that lie elsewhere, or were written on several timelines. */
  readonly openSegment?: (segment: bigint) => Promise<FileHandle>;
}

/** Journal files as one run of bytes without page headers. */
export class JournalBytes {
  readonly #files: JournalFiles;
  readonly #segmentBytes: number;
  #file: { segment: bigint; handle: FileHandle } | null = null;
  #block: { start: Lsn; bytes: Buffer } | null = null;

  constructor(files: JournalFiles) {
    this.#files = files;
    this.#segmentBytes = files.segmentBytes;
  }

  /** The position itself, or behind the header of the page that begins there. */
  skipPageHeader(at: Lsn): Lsn {
    if (at % PAGE !== 0n) return at;
    return at + BigInt(at % BigInt(this.#segmentBytes) === 0n ? 40 : 24);
  }

  /** The first position from here on where a record begins: a file may begin in the middle of one. */
  async firstRecord(at: Lsn): Promise<Lsn> {
    const first = this.skipPageHeader(at);
    if (at % BigInt(this.#segmentBytes) !== 0n) return first;
    // XLogPageHeaderData: at 2 its flags, at 16 how much is left of the record before.
    const header = (await this.#blockAt(at)).subarray(0, 20);
    const goesOn = (header.readUInt16LE(2) & 1) !== 0;
    return goesOn ? this.skipPageHeader(aligned(this.advance(first, header.readUInt32LE(16)))) : first;
  }

  /**
   * A server that died in the middle of a record goes on at the page of which nothing was written, and marks it. Where a
   * record that seems to lie in [start, end) was given up so: where the next begins; else null.
   */
  async overwrittenAt(start: Lsn, end: Lsn): Promise<Lsn | null> {
    for (let page = start - (start % PAGE) + PAGE; page < end; page += PAGE) {
      const block = await this.#blockAt(page - (page % BLOCK));
      if ((block.readUInt16LE(Number(page % BLOCK) + 2) & FIRST_IS_OVERWRITTEN) !== 0)
        return this.skipPageHeader(page);
    }
    return null;
  }

  /** The position after so many bytes of record, page headers skipped. */
  advance(from: Lsn, length: number): Lsn {
    let at = from;
    let rest = BigInt(length);
    for (;;) {
      const here = PAGE - (at % PAGE);
      if (rest <= here) return at + rest;
      rest -= here;
      at = this.skipPageHeader(at + here);
    }
  }

  async read(from: Lsn, length: number): Promise<{ bytes: Buffer; end: Lsn }> {
    const bytes = Buffer.alloc(length);
    let at = from;
    let done = 0;
    while (done < length) {
      if (done > 0) at = this.skipPageHeader(at);
      const block = await this.#blockAt(at - (at % BLOCK));
      const offset = Number(at % BLOCK);
      const inPage = Number(PAGE - (at % PAGE));
      const taken = block.copy(bytes, done, offset, offset + Math.min(length - done, inPage));
      done += taken;
      at += BigInt(taken);
    }
    return { bytes, end: at };
  }

  async close(): Promise<void> {
    await this.#file?.handle.close();
    this.#file = null;
  }

  async #blockAt(start: Lsn): Promise<Buffer> {
    if (this.#block?.start === start) return this.#block.bytes;
    const segment = segmentOf(start, this.#segmentBytes);
    if (this.#file?.segment !== segment) {
      await this.close();
      const handle = await openSegment(this.#files, segment);
      this.#file = { segment, handle };
    }
    const bytes = Buffer.alloc(Number(BLOCK));
    await this.#file.handle.read(
      bytes,
      0,
      bytes.length,
      Number(start - segmentStart(segment, this.#segmentBytes)),
    );
    this.#block = { start, bytes };
    return bytes;
  }
}

async function openSegment(files: JournalFiles, segment: bigint): Promise<FileHandle> {
  const name = segmentName(segment, files.timeline, files.segmentBytes);
  try {
    return await (files.openSegment?.(segment) ?? open(join(files.directory, name), 'r'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw journalDamaged(`the received journal has no file ${name}`);
    throw error;
  }
}

export function aligned(lsn: Lsn): Lsn {
  return (lsn + 7n) & ~7n;
}

export function journalDamaged(message: string): StillpointError {
  return new StillpointError({
    code: 'journal-damaged',
    message,
    hint: 'create the checkpoint again; if it comes back, look at the disk of the agent and of the server',
  });
}
