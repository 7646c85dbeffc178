import { createHash } from 'node:crypto';
import { createReadStream, readdirSync, statSync } from 'node:fs';
import { access, constants, copyFile, mkdir, readdir, readFile, stat, truncate } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import type { JournalCut, ParticipantDescription } from '../../shared/domain/participant.ts';

/** Path below the folder → size and digest. */
export type Listing = ReadonlyMap<string, { readonly sizeBytes: number; readonly digest: string }>;

/** The files of a process, looked at from beside it. */
export class LiveFiles {
  readonly data: string;
  readonly live: string;
  readonly journalDirectory: string;

  constructor({ dataDirectory, journalDirectory }: ParticipantDescription) {
    this.data = dataDirectory;
    this.live = join(dataDirectory, 'live');
    this.journalDirectory = join(this.live, journalDirectory);
  }

  async areReadable(): Promise<boolean> {
    return await access(this.live, constants.R_OK).then(
      () => true,
      () => false,
    );
  }

  /** The names of the journal files, in the order of writing. */
  async journalNames(): Promise<string[]> {
    return (await filesBelow(this.journalDirectory)).toSorted();
  }

  async journal(): Promise<Listing> {
    return await listing(this.journalDirectory, await filesBelow(this.journalDirectory));
  }

  /** How each journal file stands, at once: its size, and when it was written. */
  journalStands(): Map<string, string> {
    const stands = new Map<string, string>();
    for (const name of readdirSync(this.journalDirectory)) {
      const found = statSync(join(this.journalDirectory, name), { bigint: true, throwIfNoEntry: false });
      if (found?.isFile() === true) stands.set(name, `${found.size} bytes at ${found.mtimeNs}`);
    }
    return stands;
  }

  /** What lies in `live/` and is neither a file nor a directory. */
  async strangers(): Promise<string[]> {
    const entries = await readdir(this.live, { recursive: true, withFileTypes: true });
    return entries
      .filter((one) => !one.isFile() && !one.isDirectory())
      .map((one) => relative(this.live, join(one.parentPath, one.name)));
  }

  /** Of the bytes up to a length; null where the file is not there or shorter. */
  async digestUpTo(name: string, length: number): Promise<string | null> {
    const bytes = await readFile(join(this.journalDirectory, name)).catch(() => null);
    if (bytes === null || bytes.length < length) return null;
    return createHash('sha256').update(bytes.subarray(0, length)).digest('hex');
  }

  async sizeBytes(): Promise<number> {
    return [...(await this.database()).values(), ...(await this.journal()).values()].reduce(
      (sum, { sizeBytes }) => sum + sizeBytes,
      0,
    );
  }

  async database(): Promise<Listing> {
    return await listing(this.live, await this.#databaseNames());
  }

  async copyDatabase(into: string): Promise<void> {
    for (const name of await this.#databaseNames())
      await copy(join(this.live, name), join(into, 'live', name));
  }

  /** Copies the journal from a file on up to the cut, or to the end. Resolves to the files; the last is cut. */
  async copyJournal(into: string, first: string, cut: JournalCut | null): Promise<string[]> {
    const isWanted = (name: string): boolean => name >= first && (cut === null || name <= cut.journalFile);
    const names = (await this.journalNames()).filter(isWanted);
    const below = join(into, 'live', relative(this.live, this.journalDirectory));
    for (const name of names) await copy(join(this.journalDirectory, name), join(below, name));
    if (cut !== null && names.includes(cut.journalFile))
      await truncate(join(below, cut.journalFile), cut.length);
    return names;
  }

  async #databaseNames(): Promise<string[]> {
    const journal = relative(this.live, this.journalDirectory) + sep;
    return (await filesBelow(this.live)).filter((name) => journal === sep || !name.startsWith(journal));
  }
}

/** What differs between two looks at the same folder; null where nothing does. */
export function difference(before: Listing, after: Listing): string | null {
  for (const [name, { digest, sizeBytes }] of before) {
    const now = after.get(name);
    if (now === undefined) return `${name} is gone`;
    if (now.sizeBytes !== sizeBytes) return `${name} had ${sizeBytes} bytes and has ${now.sizeBytes}`;
    if (now.digest !== digest) return `the bytes of ${name} changed`;
  }
  const added = [...after.keys()].find((name) => !before.has(name));
  return added === undefined ? null : `${added} is new`;
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((one) => one.isFile()).map((one) => relative(folder, join(one.parentPath, one.name)));
}

async function listing(folder: string, names: readonly string[]): Promise<Listing> {
  const found = new Map<string, { sizeBytes: number; digest: string }>();
  for (const name of names) {
    try {
      const path = join(folder, name);
      const { size } = await stat(path);
      found.set(name, { sizeBytes: size, digest: await digestOf(path) });
    } catch (error) {
      // Between listing and reading it may be removed: then it is not there.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return found;
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const bytes of createReadStream(path)) hash.update(bytes as Buffer);
  return hash.digest('hex');
}

async function copy(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await copyFile(from, to);
}
