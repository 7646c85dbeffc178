import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { watch, type FSWatcher } from 'chokidar';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { LocalCheckpoint } from './local-checkpoint.ts';

/**
 * The journal files of a node that belong to a checkpoint: from the first that its database files need to the one
 * that ends at the mark. Each is kept as soon as its successor is there, for then it never changes again: a rotation
 * takes nothing away, however long the checkpoint takes.
 */
export class JournalFiles {
  readonly #directory: string;
  readonly #first: string;
  readonly #local: LocalCheckpoint;
  readonly #place: string;
  readonly #watcher: FSWatcher;
  readonly #kept = new Set<string>();
  #lost: string | null = null;
  #keeping: Promise<void> = Promise.resolve();
  #failure: unknown = null;

  private constructor(directory: string, first: string, local: LocalCheckpoint, place: string) {
    this.#directory = directory;
    this.#first = first;
    this.#local = local;
    this.#place = place;
    this.#watcher = watch(directory, { depth: 0, ignoreInitial: true });
    this.#watcher.on('add', () => this.#keepClosed());
    this.#watcher.on('unlink', (path) => this.#removed(path));
    this.#watcher.on('error', (error) => (this.#failure ??= error));
  }

  /** `place`: where the files lie within the checkpoint. Resolves when it watches. */
  static async watch(input: {
    directory: string;
    first: string;
    local: LocalCheckpoint;
    place: string;
  }): Promise<JournalFiles> {
    const files = new JournalFiles(input.directory, input.first, input.local, input.place);
    await new Promise<void>((resolve) => files.#watcher.once('ready', resolve));
    files.#keepClosed();
    return files;
  }

  /**
   * Keeps the rest up to the file that ends at the mark, and nothing after it: what came after the mark is not of the
   * checkpoint. Watches no more. Resolves to all names, in their order.
   */
  async keepThrough(last: string): Promise<string[]> {
    await this.close();
    if (this.#failure !== null) throw this.#failure;
    const wanted = (await this.#names()).filter((name) => name >= this.#first && name <= last);
    for (const name of wanted) await this.#keep(name);
    if (this.#lost !== null) throw lost(this.#lost);
    const names = [...this.#kept].filter((name) => name <= last).sort();
    for (const needed of [this.#first, last]) if (!names.includes(needed)) throw lost(needed);
    for (const name of this.#kept) if (name > last) await this.#local.drop(`${this.#place}/${name}`);
    return names;
  }

  /** How the newest file stands: the same at two times, nothing was journaled between. */
  async sight(): Promise<string> {
    const names = await this.#names();
    const newest = names.at(-1);
    if (newest === undefined) return '';
    return `${names.length} ${newest} ${(await stat(join(this.#directory, newest))).size}`;
  }

  async close(): Promise<void> {
    await this.#watcher.close();
    await this.#keeping.catch(() => undefined);
  }

  #keepClosed(): void {
    this.#keeping = this.#keeping
      .then(async () => {
        const names = await this.#names();
        for (const name of names.slice(0, -1)) if (name >= this.#first) await this.#keep(name);
      })
      .catch((error: unknown) => {
        this.#failure ??= error;
      });
  }

  async #keep(name: string): Promise<void> {
    if (this.#kept.has(name)) return;
    await this.#local.link(join(this.#directory, name), `${this.#place}/${name}`);
    this.#kept.add(name);
  }

  #removed(path: string): void {
    const name = path.slice(this.#directory.length + 1);
    if (name >= this.#first && !this.#kept.has(name)) this.#lost ??= name;
  }

  async #names(): Promise<string[]> {
    return (await readdir(this.#directory)).sort();
  }
}

function lost(name: string): StillpointError {
  return new StillpointError({
    code: 'journal-lost',
    message: `the journal file ${name} was removed before it was copied`,
    hint: 'the process must keep it until it is told otherwise; create the checkpoint again',
  });
}
