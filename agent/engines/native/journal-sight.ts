import { AnchoredDirectory } from '../../anchored-directory.ts';

/** How a node's journal stands: the same at two times, and nothing was journaled between. */
export class JournalSight {
  readonly #directory: AnchoredDirectory;

  private constructor(directory: AnchoredDirectory) {
    this.#directory = directory;
  }

  static async open(path: string): Promise<JournalSight> {
    return new JournalSight(await AnchoredDirectory.open(path));
  }

  /** How many files there are, the newest of them, and its length. */
  async read(): Promise<string> {
    const names = (await this.#directory.entries()).map(({ name }) => name).sort();
    const newest = names.at(-1);
    if (newest === undefined) return '';
    return `${names.length} ${newest} ${(await this.#directory.stat(newest))?.size ?? 'gone'}`;
  }

  close(): Promise<void> {
    return this.#directory.close();
  }
}
