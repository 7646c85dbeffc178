import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { AnchoredDirectory, closing } from '../../../anchored-directory.ts';
import type { Owner } from '../../../foreign-files.ts';

/** Where journal files lie that an operator keeps (`journals` of the member): read, and never changed. */
export class JournalArchive {
  readonly path: string;
  readonly #owner: Owner | null;
  /** Name → size, of the plain files directly in it. */
  readonly #sizes: ReadonlyMap<string, number>;

  private constructor(path: string, owner: Owner | null, sizes: ReadonlyMap<string, number>) {
    this.path = path;
    this.#owner = owner;
    this.#sizes = sizes;
  }

  /** Null where there is no such directory. */
  static async open(path: string, owner: Owner | null): Promise<JournalArchive | null> {
    const directory = await AnchoredDirectory.openIfThere(path);
    if (directory === null) return null;
    return closing(directory, async (it) => {
      const sizes = new Map<string, number>();
      for (const entry of await it.entries()) {
        const stats = entry.isFile() ? await it.stat(entry.name) : null;
        if (stats !== null) sizes.set(entry.name, stats.size);
      }
      return new JournalArchive(path, owner, sizes);
    });
  }

  sizeOf(name: string): number | null {
    return this.#sizes.get(name) ?? null;
  }

  /** What else bears the name: `.partial`, compressed. */
  like(name: string): string | null {
    const isLike = (one: string): boolean => one.startsWith(`${name}.`) && !one.endsWith('.backup');
    return [...this.#sizes.keys()].find(isLike) ?? null;
  }

  async openFile(name: string): Promise<FileHandle> {
    const directory = await AnchoredDirectory.open(this.path);
    return closing(directory, (it) => it.openFile(name, this.#owner));
  }

  async read(name: string): Promise<Buffer | null> {
    const directory = await AnchoredDirectory.open(this.path);
    return closing(directory, (it) => it.read(name, this.#owner));
  }

  nameOf(name: string): string {
    return join(this.path, name);
  }
}
