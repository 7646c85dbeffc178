import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { forEachConcurrently } from './concurrency.ts';
import { readError } from './storage-error.ts';

const LOOKS_AT_ONCE = 32;

/** The bytes of all files below a directory, as long as each is when it is looked at; what goes meanwhile has none. */
export async function bytesBelow(directory: string): Promise<number> {
  let bytes = 0;
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    await forEachConcurrently(entries, LOOKS_AT_ONCE, async (entry) => {
      if (entry.isFile()) bytes += await sizeOf(join(directory, entry.name));
    });
    for (const entry of entries)
      if (entry.isDirectory()) bytes += await bytesBelow(join(directory, entry.name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw readError(error, directory);
  }
  return bytes;
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await lstat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}
