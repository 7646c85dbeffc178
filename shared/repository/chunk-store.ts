import { lstat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { EXIT, StillpointError } from '../domain/errors.ts';
import type { ChunkReference } from '../domain/manifest.ts';
import type { BlockBuffers } from './blocks.ts';
import type { ChunkPool } from './chunk-pool.ts';
import type { ResultsOf } from './chunk-tasks.ts';
import { createExclusively, makeBelow } from './durable-files.ts';
import type { Layout } from './layout.ts';
import { readError, storageError } from './storage-error.ts';
import { readStoredFile, type StoredFile } from './stored-file.ts';

/** Fixed size: journals only append and page files change in place, so boundaries stay where they are. */
export const CHUNK_BYTES = 4 * 1024 * 1024;
const MOST_COPIES = 999;

type Bytes = Uint8Array<ArrayBuffer>;

/** A chunk that can be relied on, and where. */
export interface StoredChunk {
  readonly reference: ChunkReference;
  /** New bytes in the repository; 0 when the chunk was there. */
  readonly addedBytes: number;
  /** The directory that holds it: its entry is durable when the caller has synced it. */
  readonly directory: string;
}

/**
 * The chunks of a repository's grids. A chunk is written once, under its content's digest. One that is there
 * already is read and verified before anything relies on it; if it is damaged, the good bytes go beside it,
 * under the next key, and the damaged one is left for `verify` to name.
 */
export class ChunkStore {
  /** Where blocks for `put` come from, and go back to. */
  readonly buffers: BlockBuffers;
  readonly #layout: Layout;
  readonly #pool: ChunkPool;
  /** Chunks known good through this handle, or being stored through it now, by grid and digest. */
  readonly #known = new Map<string, Promise<StoredChunk>>();
  readonly #rooms = new Map<string, Promise<unknown>>();

  constructor(layout: Layout, pool: ChunkPool, buffers: BlockBuffers) {
    this.buffers = buffers;
    this.#layout = layout;
    this.#pool = pool;
  }

  /**
   * Stores one chunk; takes the bytes over. Its content is durable on return, its name when the caller has
   * synced `directory` and what leads to it: many chunks share one such sync.
   */
  async put(grid: string, bytes: Bytes): Promise<StoredChunk> {
    const { digest, plain } = await this.#pool.run<'digest'>({ type: 'digest', plain: bytes });
    const name = `${grid}/${digest}`;
    const known = this.#known.get(name);
    if (known !== undefined) {
      this.buffers.giveBack(plain);
      return { ...(await known), addedBytes: 0 };
    }
    const storing = this.#store(grid, digest, plain);
    this.#known.set(name, storing);
    // The caller is told of a failure below; the next one shall try anew.
    storing.catch(() => this.#known.delete(name));
    return storing;
  }

  async #store(grid: string, digest: string, plain: Bytes): Promise<StoredChunk> {
    const sizeBytes = plain.byteLength;
    let compressed: ResultsOf['compress'] | null = null;
    for (let copy = 0; copy <= MOST_COPIES; copy += 1) {
      const key = copy === 0 ? digest : `${digest}-${copy}`;
      const path = this.#layout.chunk(grid, key);
      const directory = dirname(path);
      let found = await this.#find(path, key, digest, sizeBytes);
      if (found === 'missing') {
        compressed ??= await this.#pool.run<'compress'>({ type: 'compress', plain, digest });
        const reference = await this.#create(path, key, compressed);
        if (reference !== null) {
          this.buffers.giveBack(compressed.plain);
          return { reference, addedBytes: reference.storedBytes, directory };
        }
        // Another writer was faster. What it wrote is as good as what was there before: to be verified.
        found = await this.#find(path, key, digest, sizeBytes);
      }
      if (typeof found === 'object') {
        this.buffers.giveBack(compressed?.plain ?? plain);
        return { reference: found, addedBytes: 0, directory };
      }
    }
    throw new StillpointError(
      {
        code: 'chunk-damaged',
        message: `every stored copy of chunk ${digest} is damaged`,
        hint: 'look at the disk of the repository: stillpoint checkpoint verify names what is damaged',
      },
      EXIT.aborted,
    );
  }

  /** Null when the key is taken. */
  async #create(
    path: string,
    key: string,
    { plain, packed, storedDigest }: ResultsOf['compress'],
  ): Promise<ChunkReference | null> {
    const stored = packed ?? plain;
    await this.#makeRoom(dirname(path));
    if (!(await createExclusively(path, stored, false))) return null;
    return {
      key,
      digest: key.slice(0, 64),
      sizeBytes: plain.byteLength,
      storedDigest,
      storedBytes: stored.byteLength,
      codec: packed === null ? 'none' : 'zstd',
    };
  }

  /** The reference under which what is stored there can be relied on. */
  async #find(
    path: string,
    key: string,
    digest: string,
    sizeBytes: number,
  ): Promise<ChunkReference | 'missing' | 'damaged'> {
    // What is compressed is stored only where that makes it smaller.
    const found = await readStoredFile(path, sizeBytes);
    if (found.type !== 'read') return found.type;
    const { bytes: stored } = found;
    const storedBytes = stored.byteLength;
    const examined = await this.#pool.run<'examine'>({ type: 'examine', stored, digest, sizeBytes });
    if (examined.type === 'damaged') return 'damaged';
    const { storedDigest, codec } = examined;
    return { key, digest, sizeBytes, storedDigest, storedBytes, codec };
  }

  /** The plain bytes, verified; a string says what is wrong. */
  async read(grid: string, reference: ChunkReference): Promise<Bytes | string> {
    const path = this.#layout.chunk(grid, reference.key);
    let found: StoredFile;
    try {
      found = await readStoredFile(path, reference.storedBytes);
    } catch (error) {
      return `chunk ${reference.key} cannot be read (${error instanceof Error ? error.message : String(error)})`;
    }
    if (found.type === 'missing') return `chunk ${reference.key} is missing`;
    if (found.type === 'damaged') return `chunk ${reference.key} ${found.cause}`;
    const { bytes: stored } = found;
    const decoded = await this.#pool.run<'decode'>({ type: 'decode', stored, reference });
    return decoded.type === 'decoded' ? decoded.plain : `chunk ${reference.key} ${decoded.cause}`;
  }

  /** Is the chunk there with its stored size? A look at the directory, not at the bytes. */
  async isStored(grid: string, reference: ChunkReference): Promise<boolean> {
    const path = this.#layout.chunk(grid, reference.key);
    try {
      const found = await lstat(path);
      return found.isFile() && found.size === reference.storedBytes;
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ENOTDIR') return false;
      throw readError(error, path);
    }
  }

  /** Chunks may have been removed by a garbage collection in between: nothing is known any more. */
  forget(): void {
    this.#known.clear();
  }

  #makeRoom(directory: string): Promise<unknown> {
    const made = this.#rooms.get(directory);
    if (made !== undefined) return made;
    const making = makeBelow(this.#layout.grids(), directory).catch((error: unknown) => {
      this.#rooms.delete(directory);
      throw storageError(error, directory);
    });
    this.#rooms.set(directory, making);
    return making;
  }
}
