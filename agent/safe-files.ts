import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { AnchoredDirectory, closing } from './anchored-directory.ts';

/** Does one piece of work in a directory that is open for as long. */
export async function within<T>(
  path: string,
  work: (directory: AnchoredDirectory) => Promise<T>,
): Promise<T> {
  return closing(await AnchoredDirectory.open(path), work);
}

/** The same in the directory that a file lies in. Null where that is not there. */
export async function beside<T>(
  path: string,
  work: (directory: AnchoredDirectory, name: string) => Promise<T>,
): Promise<T | null> {
  const directory = await AnchoredDirectory.openIfThere(dirname(path));
  return directory === null ? null : closing(directory, () => work(directory, basename(path)));
}

/** A whole file below a directory of another user: no link of theirs is followed. Null where it is not there. */
export async function readBeside(path: string): Promise<Buffer | null> {
  return beside(path, (directory, name) => directory.read(name));
}

/**
 * The beginning of a file, wherever its path leads: for a number that is looked at and goes nowhere. Neither a link
 * in the file's place is followed, nor a pipe waited for.
 */
export async function readPlainFile(path: string, mostBytes: number): Promise<string> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  return closing(await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK), async (file) => {
    if (!(await file.stat()).isFile()) return '';
    const { buffer, bytesRead } = await file.read(Buffer.alloc(mostBytes), 0, mostBytes, 0);
    return buffer.toString('utf8', 0, bytesRead);
  });
}
