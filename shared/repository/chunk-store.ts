import { readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { StillpointError } from '../domain/errors.ts';
import type { ChunkReference } from '../domain/manifest.ts';
import type { ChunkPool } from './chunk-pool.ts';
import { sha256 } from './digest.ts';
import { createExclusively, makeDirectory, syncDirectory } from './durable-files.ts';
import type { Layout } from './layout.ts';

/** Fixed size: journals only append and page files change in place, so boundaries stay where they are. */
export const CHUNK_BYTES = 4 * 1024 * 1024;
const MAX_COPIES = 999;

/**
 * The chunks of a repository's grids. A chunk is written once, under its content's digest. One that is there
 * already is read and verified before anything relies on it; if it is damaged, the good bytes go beside it,
 * under the next key, and the damaged one is left for `verify` to name.
 */
export class ChunkStore {
  readonly #layout: Layout;
  readonly #pool: ChunkPool;
  /** Chunks known good in this process, or being stored by it now. */
  readonly #known = new Map<string, Promise<{ reference: ChunkReference; added: boolean }>>();
  readonly #directories = new Map<string, Promise<void>>();
  /** Directories with entries that a power cut could still take. */
  readonly #unsynced = new Set<string>();

  constructor(layout: Layout, pool: ChunkPool) {
    this.#layout = layout;
    this.#pool = pool;
  }

  /**
   * Stores one chunk; takes the bytes over. `added` is the number of new bytes, 0 when it was there. The
   * content is durable on return, its directory entry after `sync`.
   */
  async put(grid: string, bytes: Uint8Array): Promise<{ reference: ChunkReference; addedBytes: number }> {
    const sizeBytes = bytes.byteLength;
    const encoded = await this.#pool.run({ type: 'encode', bytes });
    if (encoded.type !== 'encoded') throw new Error('a chunk thread answered with something else');
    const { digest, stored, storedDigest, codec } = encoded;
    const content = { digest, sizeBytes, storedDigest, storedBytes: stored.byteLength, codec };
    const name = `${grid}/${digest}`;
    const known = this.#known.get(name);
    if (known !== undefined) return { reference: (await known).reference, addedBytes: 0 };
    const storing = this.#store(grid, content, stored);
    this.#known.set(name, storing);
    storing.catch(() => this.#known.delete(name));
    const { reference, added } = await storing;
    return { reference, addedBytes: added ? reference.storedBytes : 0 };
  }

  async #store(
    grid: string,
    content: Omit<ChunkReference, 'key'>,
    stored: Uint8Array,
  ): Promise<{ reference: ChunkReference; added: boolean }> {
    for (let copy = 0; copy <= MAX_COPIES; copy += 1) {
      const reference = { key: copy === 0 ? content.digest : `${content.digest}-${copy}`, ...content };
      const path = this.#layout.chunk(grid, reference.key);
      await this.#makeDirectory(dirname(path));
      // Looking first saves writing what is there already; who wins a race is told by the exclusive create.
      if (!(await exists(path)) && (await createExclusively(path, stored, false))) {
        this.#unsynced.add(dirname(path));
        return { reference, added: true };
      }
      const found = await this.#goodCopy(grid, reference);
      if (found !== null) return { reference: found, added: false };
    }
    throw new StillpointError({
      code: 'chunk-damaged',
      message: `every stored copy of chunk ${content.digest} is damaged`,
      hint: 'look at the disk of the repository: stillpoint checkpoint verify names what is damaged',
    });
  }

  /** Makes the directory entries of all chunks put before this call durable. */
  async sync(): Promise<void> {
    const directories = [...this.#unsynced];
    this.#unsynced.clear();
    await Promise.all(directories.map((directory) => syncDirectory(directory)));
  }

  /** The reference under which the chunk found at this key can be relied on; null when it is damaged. */
  async #goodCopy(grid: string, wanted: ChunkReference): Promise<ChunkReference | null> {
    // Another version may have compressed it to other bytes: what counts is the content.
    for (const codec of ['zstd', 'none'] as const) {
      const bytes = await readFile(this.#layout.chunk(grid, wanted.key));
      const storedBytes = bytes.byteLength;
      const reference = { ...wanted, codec, storedBytes, storedDigest: sha256(bytes) };
      const decoded = await this.#pool.run({ type: 'decode', bytes: new Uint8Array(bytes), reference });
      if (decoded.type !== 'decoded') continue;
      // Whoever wrote it may not have synced its directory yet.
      this.#unsynced.add(dirname(this.#layout.chunk(grid, wanted.key)));
      return reference;
    }
    return null;
  }

  /** The plain bytes, verified; a string says what is wrong. */
  async read(grid: string, reference: ChunkReference): Promise<Uint8Array | string> {
    let bytes: Buffer;
    try {
      bytes = await readFile(this.#layout.chunk(grid, reference.key));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      return code === 'ENOENT'
        ? `chunk ${reference.key} is missing`
        : `chunk ${reference.key} cannot be read (${code ?? String(error)})`;
    }
    const decoded = await this.#pool.run({ type: 'decode', bytes: new Uint8Array(bytes), reference });
    if (decoded.type === 'decoded') return decoded.plain;
    return `chunk ${reference.key} ${decoded.type === 'damaged' ? decoded.cause : 'cannot be read'}`;
  }

  /** Is the chunk there with its stored size? A look at the directory, not at the bytes. */
  async isStored(grid: string, reference: ChunkReference): Promise<boolean> {
    try {
      return (await stat(this.#layout.chunk(grid, reference.key))).size === reference.storedBytes;
    } catch {
      return false;
    }
  }

  /** Chunks may have been removed by a garbage collection in between: nothing is known any more. */
  forget(): void {
    this.#known.clear();
  }

  #makeDirectory(path: string): Promise<void> {
    let made = this.#directories.get(path);
    if (made === undefined) {
      made = makeDirectory(path);
      this.#directories.set(path, made);
      made.catch(() => this.#directories.delete(path));
    }
    return made;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    return false;
  }
}
