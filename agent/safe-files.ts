import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { AnchoredDirectory, closing } from './anchored-directory.ts';
import { unsafePath, type Owner } from './foreign-files.ts';

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
 * Adds to a file, and makes it for `owner` where it is not there. In a directory of another user it must be a plain file of
 * that owner's, under one name alone: who puts the names there must not have us write to what is somebody else's.
 */
export async function appendBeside(path: string, text: string, owner: Owner | null): Promise<void> {
  const { O_WRONLY, O_APPEND, O_NOFOLLOW, O_NONBLOCK } = constants;
  await within(dirname(path), async (directory) => {
    const name = basename(path);
    const opened = await open(directory.at(name), O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK).catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'ELOOP') throw unsafePath(path, 'is a link', directory.stats);
        if (error.code === 'ENXIO') throw unsafePath(path, 'is not a plain file', directory.stats);
        if (error.code === 'ENOENT') return null;
        throw error;
      },
    );
    await closing(opened ?? (await directory.create(name)), async (file) => {
      const stats = await file.stat();
      const isOwn = owner === null || stats.uid === owner.uid;
      if (opened !== null && !(stats.isFile() && stats.nlink === 1 && isOwn))
        throw unsafePath(path, 'is not a plain file of its own', directory.stats);
      if (opened === null && owner !== null) await file.chown(owner.uid, owner.gid);
      await file.writeFile(text);
      await file.datasync();
    });
  });
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
