import { AnchoredDirectory } from '../../anchored-directory.ts';

/** How a node's journal stands: the same at two times, and nothing was journaled between. */
export class JournalWatch {
  readonly #directory: AnchoredDirectory;

  private constructor(directory: AnchoredDirectory) {
    this.#directory = directory;
  }

  static async open(path: string): Promise<JournalWatch> {
    return new JournalWatch(await AnchoredDirectory.open(path));
  }

  /** The newest file and its length. Older ones are closed: that one of them goes is no sign of a write. */
  async read(): Promise<string> {
    const newest = (await this.#directory.entries())
      .map(({ name }) => name)
      .toSorted()
      .at(-1);
    if (newest === undefined) return '';
    return `${newest} ${(await this.#directory.stat(newest))?.size ?? 'gone'}`;
  }

  close(): Promise<void> {
    return this.#directory.close();
  }
}
