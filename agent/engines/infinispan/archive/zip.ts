import type { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { openPromise, type Entry, type ZipFile } from 'yauzl';
import { EXIT, StillpointError } from '../../../../shared/domain/errors.ts';

/** No archive has as many files by right: a name alone takes a hundred bytes of memory. */
const MOST_FILES = 1_000_000;
const MOST_TEXT_BYTES = 16 * 1024 * 1024;

/**
 * Opens a zip for a task, and closes it. Rejects `infinispan-archive` with the words of what is wrong with it, whether
 * the zip or the task finds that, and with the signal's reason. `progress`: bytes unpacked.
 */
export async function inZip<T>(
  file: string,
  { signal, progress = () => undefined }: { signal: AbortSignal; progress?: (bytesDone: number) => void },
  task: (zip: ArchiveZip) => Promise<T>,
): Promise<T> {
  let zip: ZipFile | null = null;
  try {
    zip = await openPromise(file, { autoClose: false, strictFileNames: true });
    if (zip.entryCount > MOST_FILES) throw new Error(`it has ${zip.entryCount} files`);
    return await task(new ArchiveZip(zip, signal, progress));
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw notRestorable(file, error);
  } finally {
    zip?.close();
  }
}

/** A zip that is read file by file. None of it is unpacked to a disk, and its library lets no name lead outside. */
export class ArchiveZip {
  readonly #zip: ZipFile;
  readonly #signal: AbortSignal;
  readonly #progress: (bytesDone: number) => void;
  #bytesDone = 0;

  constructor(zip: ZipFile, signal: AbortSignal, progress: (bytesDone: number) => void) {
    this.#zip = zip;
    this.#signal = signal;
    this.#progress = progress;
  }

  get fileSize(): number {
    return this.#zip.fileSize;
  }

  /** Not twice. */
  entries(): AsyncIterable<Entry> {
    return this.#zip.eachEntry();
  }

  /** Every byte, held against the CRC: the library looks at lengths alone. */
  async *bytes(entry: Entry): AsyncGenerator<Uint8Array> {
    if (entry.isEncrypted()) throw new Error(`${entry.fileName} is encrypted`);
    const stream: Readable = await this.#zip.openReadStreamPromise(entry);
    let sum = 0;
    try {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        this.#signal.throwIfAborted();
        sum = crc32(chunk, sum);
        this.#bytesDone += chunk.byteLength;
        this.#progress(this.#bytesDone);
        yield chunk;
      }
    } catch (error) {
      throw new Error(`${entry.fileName}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
    if (sum !== entry.crc32) throw new Error(`${entry.fileName}: its CRC is not the one that the zip names`);
  }

  async text(entry: Entry): Promise<string> {
    if (entry.uncompressedSize > MOST_TEXT_BYTES)
      throw new Error(`${entry.fileName} has ${entry.uncompressedSize} bytes`);
    const parts: Uint8Array[] = [];
    for await (const bytes of this.bytes(entry)) parts.push(bytes);
    return Buffer.concat(parts).toString('utf8');
  }
}

/** `error`: whose message says what is wrong, in words that go on after the name of the archive. */
export function notRestorable(file: string, error: unknown): StillpointError {
  if (error instanceof StillpointError) return error;
  return new StillpointError(
    {
      code: 'infinispan-archive',
      message: `${file} is no archive that could be restored: ${error instanceof Error ? error.message : String(error)}`,
      hint: 'nothing of it is used: take another archive, or have the server write it again',
    },
    EXIT.invalid,
    { cause: error },
  );
}
