import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { copyFile, open, readFile, rename, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { LogEntry } from './calls.ts';

/** A place in the journal: so many bytes of this file. */
export interface Place {
  readonly file: string;
  readonly offset: number;
}

const HEADER_BYTES = 8;

/**
 * Files of records, numbered, only ever appended to. Every start begins a new file, so a torn end stays where it is
 * and is passed over. What is asked of it is done in turn.
 */
export class Journal {
  readonly #folder: string;
  readonly #maxFileBytes: number;
  readonly #archive: string;
  #number: number;
  #handle: FileHandle | undefined;
  #length = 0;
  #retainedFrom: string | undefined;
  #last: Promise<unknown> = Promise.resolve();

  /** `archive`: where each file goes when it has ended; empty: nowhere. */
  constructor(folder: string, maxFileBytes: number, archive = '') {
    mkdirSync(folder, { recursive: true });
    if (archive !== '') mkdirSync(archive, { recursive: true });
    this.#archive = archive;
    this.#folder = folder;
    this.#maxFileBytes = maxFileBytes;
    this.#number = Number.parseInt(this.files().at(-1) ?? '0', 10);
  }

  /** Where the next append goes. */
  get end(): Place {
    return { file: nameOf(this.#number), offset: this.#length };
  }

  files(): string[] {
    return readdirSync(this.#folder).sort();
  }

  /** Begins the next file; the one before is durable, and changes no more. */
  begin(): Promise<void> {
    return this.#inTurn(() => this.#begin());
  }

  async #begin(): Promise<void> {
    await this.#close();
    await this.#archiveEnded();
    this.#number += 1;
    this.#handle = await open(join(this.#folder, nameOf(this.#number)), 'ax');
    this.#length = 0;
    await syncFolder(this.#folder);
  }

  /** Nobody sees a part of one there: it gets its name when it is whole. */
  async #archiveEnded(): Promise<void> {
    if (this.#archive === '') return;
    for (const name of this.files()) {
      const place = join(this.#archive, name);
      if (existsSync(place)) continue;
      await copyFile(join(this.#folder, name), `${place}.new`);
      await rename(`${place}.new`, place);
    }
    await syncFolder(this.#archive);
  }

  /** Makes all of them durable together; answers where each of them ends. */
  append(entries: readonly LogEntry[]): Promise<Place[]> {
    return this.#inTurn(() => this.#append(entries));
  }

  async #append(entries: readonly LogEntry[]): Promise<Place[]> {
    if (this.#length >= this.#maxFileBytes) await this.#begin();
    const records = entries.map(recordOf);
    const file = nameOf(this.#number);
    const places = records.map((record) => ({ file, offset: (this.#length += record.length) }));
    await this.#handle?.appendFile(Buffer.concat(records));
    await this.#handle?.datasync();
    return places;
  }

  /** Ends the current file; answers with its name and length. */
  switch(): Promise<{ file: string; length: number }> {
    return this.#inTurn(async () => {
      const { file, offset } = this.end;
      await this.#begin();
      return { file, length: offset };
    });
  }

  /** From a place on, to the end; a file or a part of one that is not there is an error. */
  async *read(from: Place): AsyncGenerator<{ entry: LogEntry; end: Place }> {
    const files = this.files().filter((name) => name >= from.file);
    for (const [index, file] of files.entries()) {
      const expected = nameOf(Number.parseInt(from.file, 10) + index);
      if (file !== expected)
        throw new Error(`journal file ${expected} is missing; hint: restore all of them`);
      const bytes = await readFile(join(this.#folder, file));
      let offset = file === from.file ? from.offset : 0;
      if (offset > bytes.length)
        throw new Error(`journal file ${file} is cut before ${offset}; hint: restore it`);
      for (let record = recordAt(bytes, offset); record !== undefined; record = recordAt(bytes, offset)) {
        offset = record.end;
        yield { entry: record.entry, end: { file, offset } };
      }
    }
    if (files.length === 0 && from.offset > 0)
      throw new Error(`journal file ${from.file} is missing; hint: restore it`);
  }

  /** No file from this one on is removed. */
  retainFrom(file: string | undefined): void {
    this.#retainedFrom = file;
  }

  removeBefore(file: string): void {
    const first = this.#retainedFrom !== undefined && this.#retainedFrom < file ? this.#retainedFrom : file;
    for (const name of this.files()) if (name < first) rmSync(join(this.#folder, name));
  }

  close(): Promise<void> {
    return this.#inTurn(() => this.#close());
  }

  async #close(): Promise<void> {
    await this.#handle?.sync();
    await this.#handle?.close();
    this.#handle = undefined;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

export const FIRST_PLACE: Place = { file: nameOf(1), offset: 0 };

function nameOf(number: number): string {
  return `${String(number).padStart(12, '0')}.journal`;
}

function recordOf(entry: LogEntry): Buffer {
  const body = Buffer.from(JSON.stringify(entry));
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(body.length, 0);
  header.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([header, body]);
}

function recordAt(bytes: Buffer, offset: number): { entry: LogEntry; end: number } | undefined {
  if (offset + HEADER_BYTES > bytes.length) return undefined;
  const begin = offset + HEADER_BYTES;
  const end = begin + bytes.readUInt32BE(offset);
  if (end > bytes.length) return undefined;
  const body = bytes.subarray(begin, end);
  if (crc32(body) !== bytes.readUInt32BE(offset + 4)) return undefined;
  return { entry: JSON.parse(body.toString()) as LogEntry, end };
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
