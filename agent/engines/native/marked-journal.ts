import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { AnchoredDirectory, closing } from '../../anchored-directory.ts';
import type { Owner } from '../../foreign-files.ts';
import type { JournalFile } from './hold-facts.ts';
import { standing } from './local-checkpoint.ts';

const READ_BYTES = 1 << 20;

/** How a node's journal stands: the same at two times, and nothing was journaled between. */
export class JournalWatch {
  readonly #directory: AnchoredDirectory;

  private constructor(directory: AnchoredDirectory) {
    this.#directory = directory;
  }

  static async open(path: string): Promise<JournalWatch> {
    return new JournalWatch(await AnchoredDirectory.open(path));
  }

  /**
   * How each file from this one on stands. Older ones are closed: that one of them goes is no sign of a write. Files that
   * are longer than what is in them show a write by its time alone.
   */
  async read(from: string): Promise<ReadonlyMap<string, string>> {
    const names = (await this.#directory.entries()).map(({ name }) => name).filter((name) => name >= from);
    const stands = new Map<string, string>();
    for (const name of names.toSorted()) {
      const stats = await this.#directory.stat(name);
      if (stats !== null) stands.set(name, standing(stats));
    }
    return stands;
  }

  /** What is there right after a mark, with the file that ended at it open: it may be removed when nobody retains it. */
  async marked(journalFile: string, length: number, owner: Owner | null): Promise<MarkedJournal> {
    const file = await this.#directory.openFile(journalFile, owner).catch(nullIfAbsent);
    try {
      const stands = file === null ? null : standing(await file.stat());
      const names = (await this.#directory.entries()).filter((entry) => entry.isFile());
      const files = new Map<string, number>([[journalFile, length]]);
      for (const { name } of names) {
        const stats = await this.#directory.stat(name);
        if (stats !== null) files.set(name, stats.size);
      }
      return new MarkedJournal(file, { stands, length, files });
    } catch (error) {
      await file?.close();
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#directory.close();
  }
}

/** The journal of a node as it was at a mark. */
export class MarkedJournal {
  /** In their order. */
  readonly files: readonly JournalFile[];
  readonly #file: FileHandle | null;
  readonly #stands: string | null;
  readonly #length: number;

  constructor(
    file: FileHandle | null,
    seen: { stands: string | null; length: number; files: ReadonlyMap<string, number> },
  ) {
    this.#file = file;
    this.#stands = seen.stands;
    this.#length = seen.length;
    this.files = [...seen.files]
      .map(([name, sizeBytes]) => ({ name, sizeBytes }))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Of what ended at the mark. Null where the file was gone by then, or was used again before it was read. Closes it. */
  async digest(): Promise<string | null> {
    if (this.#file === null) return null;
    return closing(this.#file, async (file) => {
      const hash = createHash('sha256');
      for (let position = 0; position < this.#length;) {
        const wanted = Math.min(READ_BYTES, this.#length - position);
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(wanted), 0, wanted, position);
        if (bytesRead === 0) return null;
        hash.update(buffer.subarray(0, bytesRead));
        position += bytesRead;
      }
      return standing(await file.stat()) === this.#stands ? hash.digest('hex') : null;
    });
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }
}

function nullIfAbsent(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}
