import { randomUUID } from 'node:crypto';
import { link, mkdir, open, rm, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Layout } from './layout.ts';
import { missingRepository, storageError } from './storage-error.ts';

const MAKING_ATTEMPTS = 3;

/** Marks files that are being written; garbage collection removes those that a dead writer left. */
export const TEMPORARY_PREFIX = '.writing-';

/**
 * Makes a directory and those that lead to it; resolves to the first one made. Node reports ENOENT where a
 * read-only file system refused a directory in the middle; asked for that one alone, it tells the truth.
 */
export async function makeDirectories(path: string): Promise<string | undefined> {
  try {
    return await mkdir(path, { recursive: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || dirname(path) === path) throw error;
    const first = await makeDirectories(dirname(path));
    await mkdir(path).catch((refusal: NodeJS.ErrnoException) => {
      if (refusal.code !== 'EEXIST') throw refusal;
    });
    return first ?? path;
  }
}

/**
 * Makes a directory and those that lead to it, but never `base`: it is not there where the repository is not
 * mounted any more, and then nothing may be made in its place. Others may remove directories meanwhile.
 */
export async function makeBelow(base: string, path: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await mkdir(path);
      return;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EEXIST') return;
      if (code !== 'ENOENT' || attempt === MAKING_ATTEMPTS) throw error;
      if (dirname(path) === base) throw missingRepository(dirname(base));
      await makeBelow(base, dirname(path));
    }
  }
}

/**
 * Makes a directory of the repository. Durable on return, with every directory that leads to it: also those that
 * were there already, because whoever made them may not have come to the sync yet.
 */
export async function ensureDirectory(layout: Layout, path: string): Promise<void> {
  try {
    await makeBelow(layout.grids(), path);
    await syncUpTo(layout.root, [dirname(path)]);
  } catch (error) {
    throw storageError(error, path);
  }
}

/** Makes the entries in these directories durable, and the directories themselves, up to the root. */
export async function syncUpTo(root: string, directories: Iterable<string>): Promise<void> {
  const all = new Set([root]);
  for (const directory of directories) {
    for (let at = directory; at.length > root.length; at = dirname(at)) all.add(at);
  }
  await Promise.all([...all].map((directory) => syncDirectory(directory)));
}

export async function syncDirectory(path: string): Promise<void> {
  try {
    await syncEntries(path);
  } catch (error) {
    throw storageError(error, path);
  }
}

/** The same where somebody else may remove the directory meanwhile: then there is nothing to make durable. */
export async function syncIfThere(path: string): Promise<void> {
  try {
    await syncEntries(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw storageError(error, path);
  }
}

async function syncEntries(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Writes a file that must not be there yet: false when it is, and then nothing was changed. The content is
 * durable before the name exists. With `syncEntry` the name is durable on return too, whoever made it.
 */
export async function createExclusively(
  path: string,
  bytes: Uint8Array | string,
  syncEntry: boolean,
): Promise<boolean> {
  const temporary = join(dirname(path), `${TEMPORARY_PREFIX}${randomUUID()}`);
  try {
    await writeSynced(temporary, bytes);
    const created = await linkExclusively(temporary, path);
    if (syncEntry) await syncDirectory(dirname(path));
    return created;
  } catch (error) {
    throw storageError(error, path);
  } finally {
    // What cannot be removed now is removed by the next garbage collection.
    await rm(temporary, { force: true }).catch(() => undefined);
  }
}

/** A link fails where the name exists; a rename would overwrite. */
async function linkExclusively(temporary: string, path: string): Promise<boolean> {
  try {
    await link(temporary, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    // An NFS client that lost the answer asks again and is told EEXIST of its own link: two names tell.
    return (await stat(temporary)).nlink > 1;
  }
}

/** Removes a file and makes its absence durable. No error when it is not there. */
export async function removeDurably(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw storageError(error, path);
  }
  await syncDirectory(dirname(path));
}

async function writeSynced(path: string, bytes: Uint8Array | string): Promise<void> {
  const file = await open(path, 'wx', 0o640);
  try {
    await file.writeFile(bytes);
    await file.datasync();
  } finally {
    await file.close();
  }
}
