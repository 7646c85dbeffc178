import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { readError } from './storage-error.ts';

/** What stands at a path where a file of the repository belongs. */
export type StoredFile =
  | { readonly type: 'read'; readonly bytes: Buffer<ArrayBuffer> }
  | { readonly type: 'missing' }
  /** Reads on after the name of the file: `is not a file`. */
  | { readonly type: 'damaged'; readonly cause: string };

/** A link is not followed: what it leads to is no part of the repository. A pipe must not hold us up. */
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** What the system says where something else stands in the place of the file, or the disk gives no bytes back. */
const DAMAGE: Readonly<Record<string, string>> = {
  ELOOP: 'is a symbolic link',
  ENOTDIR: 'lies below what should be a directory and is none',
  ENXIO: 'is not a file',
  EISDIR: 'is not a file',
  EIO: 'cannot be read (EIO)',
};

/**
 * Reads a file of the repository, of whatever stands there no more than `mostBytes`. Rejects
 * `repository-failed` where the reason is not the file: nobody may read it, nothing is mounted.
 */
export async function readStoredFile(path: string, mostBytes: number): Promise<StoredFile> {
  try {
    const file = await open(path, READ);
    try {
      const stat = await file.stat();
      if (!stat.isFile()) return { type: 'damaged', cause: 'is not a file' };
      if (stat.size > mostBytes) {
        return { type: 'damaged', cause: `is ${stat.size} bytes long, more than ${mostBytes}` };
      }
      // In a buffer of its own, so that it can be handed to another thread.
      const bytes = Buffer.allocUnsafeSlow(stat.size);
      let done = 0;
      while (done < bytes.byteLength) {
        const { bytesRead } = await file.read(bytes, done, bytes.byteLength - done, done);
        if (bytesRead === 0) return { type: 'damaged', cause: `ended at ${done} of ${stat.size} bytes` };
        done += bytesRead;
      }
      return { type: 'read', bytes };
    } finally {
      await file.close();
    }
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return { type: 'missing' };
    const cause = DAMAGE[code];
    if (cause === undefined) throw readError(error, path);
    return { type: 'damaged', cause };
  }
}
