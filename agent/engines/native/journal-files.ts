import { once } from 'node:events';
import { watch, type FSWatcher } from 'chokidar';
import { EXIT, StillpointError } from '../../../shared/domain/errors.ts';
import { AnchoredDirectory } from '../../anchored-directory.ts';
import type { Owner } from '../../foreign-files.ts';
import type { LocalCheckpoint } from './local-checkpoint.ts';

const READY_MS = 3000;

interface Watched {
  readonly first: string;
  readonly local: LocalCheckpoint;
  /** Where the files lie within the checkpoint. */
  readonly place: string;
  /** The process's user. */
  readonly owner: Owner | null;
  /** What is wrong where the process named a file, as the first or the last, that was not there at any time. */
  neverThere(name: string, asked: 'first' | 'last'): Error;
}

/**
 * The journal files of a node that belong to a checkpoint: from the first that its database files need to the one
 * that ends at the mark. Each is kept as soon as its successor is there, for then it never changes again: a rotation
 * takes nothing away, however long the checkpoint takes.
 */
export class JournalFiles {
  readonly #directory: AnchoredDirectory;
  readonly #owner: Owner | null;
  readonly #first: string;
  readonly #local: LocalCheckpoint;
  readonly #place: string;
  readonly #watcher: FSWatcher;
  readonly #kept = new Set<string>();
  /** Every name that was there at some time. */
  readonly #seen = new Set<string>();
  readonly #neverThere: Watched['neverThere'];
  #lost: string | null = null;
  #keeping: Promise<void> = Promise.resolve();
  #failure: unknown = null;

  private constructor(directory: AnchoredDirectory, { first, local, place, owner, neverThere }: Watched) {
    this.#directory = directory;
    this.#first = first;
    this.#local = local;
    this.#place = place;
    this.#owner = owner;
    this.#neverThere = neverThere;
    this.#watcher = watch(directory.path, { depth: 0, ignoreInitial: true, followSymlinks: false });
    this.#watcher.on('add', () => this.#keepClosed());
    this.#watcher.on('unlink', (path) => this.#removed(path));
    this.#watcher.on('error', (error) => (this.#failure ??= error));
  }

  /** Resolves when it watches. */
  static async watch(input: Watched & { readonly directory: string }): Promise<JournalFiles> {
    const files = new JournalFiles(await AnchoredDirectory.open(input.directory), input);
    try {
      // What stands at the path by now need not be a directory, and is never ready then.
      await once(files.#watcher, 'ready', { signal: AbortSignal.timeout(READY_MS) });
    } catch (error) {
      await files.end();
      throw notWatched(input.directory, error);
    }
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
    for (const [needed, asked] of [
      [this.#first, 'first'],
      [last, 'last'],
    ] as const) {
      if (names.includes(needed)) continue;
      throw this.#seen.has(needed) ? lost(needed) : this.#neverThere(needed, asked);
    }
    for (const name of this.#kept) if (name > last) await this.#local.drop(`${this.#place}/${name}`);
    return names;
  }

  async close(): Promise<void> {
    await this.#watcher.close();
    await this.#keeping.catch(() => undefined);
  }

  /** Closed, and nothing is asked of it any more. */
  async end(): Promise<void> {
    await this.close();
    await this.#directory.close();
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
    await this.#local.link(this.#directory, name, `${this.#place}/${name}`, this.#owner);
    this.#kept.add(name);
  }

  #removed(path: string): void {
    const name = path.slice(this.#directory.path.length + 1);
    if (name >= this.#first && !this.#kept.has(name)) this.#lost ??= name;
  }

  async #names(): Promise<string[]> {
    const names = (await this.#directory.entries()).map(({ name }) => name).sort();
    for (const name of names) this.#seen.add(name);
    return names;
  }
}

function notWatched(directory: string, cause: unknown): StillpointError {
  return new StillpointError(
    {
      code: 'journal-lost',
      message: `${directory} could not be watched within ${READY_MS} ms`,
      hint: 'see what stands there: it must be the directory with the journal of the process',
    },
    EXIT.aborted,
    { cause },
  );
}

function lost(name: string): StillpointError {
  return new StillpointError({
    code: 'journal-lost',
    message: `the journal file ${name} was removed before it was copied`,
    hint: 'the process must keep it until it is told otherwise; create the checkpoint again',
  });
}
