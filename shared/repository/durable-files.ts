import { randomUUID } from 'node:crypto';
import { link, mkdir, open, rename, rm, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StillpointError } from '../domain/errors.ts';

/** Marks files that are being written; garbage collection removes those that a dead writer left. */
export const TEMPORARY_PREFIX = '.writing-';

/** Makes a directory and the entries that lead to it durable. */
export async function makeDirectory(path: string): Promise<void> {
  const made = await mkdir(path, { recursive: true });
  if (made === undefined) return;
  for (let at = path; at.length >= made.length; at = dirname(at)) await syncDirectory(dirname(at));
}

export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Writes a file that must not be there yet. False when it is; then nothing was changed. Durable on return,
 * the directory entry only with `syncEntry`.
 */
export async function createExclusively(
  path: string,
  bytes: Uint8Array | string,
  syncEntry: boolean,
): Promise<boolean> {
  const temporary = join(dirname(path), `${TEMPORARY_PREFIX}${randomUUID()}`);
  try {
    await writeSynced(temporary, bytes);
    try {
      // A link fails where the name exists; a rename would overwrite.
      await link(temporary, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    }
    if (syncEntry) await syncDirectory(dirname(path));
    return true;
  } catch (error) {
    throw storageError(error, path);
  } finally {
    await rm(temporary, { force: true }).catch(() => undefined);
  }
}

/** For what may be written anew (an operation's marker): the new content replaces the old at once. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = join(dirname(path), `${TEMPORARY_PREFIX}${randomUUID()}`);
  try {
    await writeSynced(temporary, text);
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw storageError(error, path);
  }
}

/** Removes a file and makes its absence durable. No error when it is not there. */
export async function removeDurably(path: string): Promise<void> {
  try {
    await unlink(path);
    await syncDirectory(dirname(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw storageError(error, path);
  }
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

/** What the operating system says about the repository's disk, in words that help. */
export function storageError(error: unknown, path: string): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG') {
    return new StillpointError(
      {
        code: 'repository-full',
        message: `the repository is full (${code} at ${path})`,
        hint: 'make room or delete old checkpoints (stillpoint checkpoint delete), then try again',
      },
      4,
      { cause: error },
    );
  }
  if (code === 'EROFS' || code === 'EACCES' || code === 'EPERM') {
    return new StillpointError(
      {
        code: 'repository-read-only',
        message: `the repository cannot be written (${code} at ${path})`,
        hint: 'look at its mount options and at the owner of its directory',
      },
      4,
      { cause: error },
    );
  }
  return error;
}
