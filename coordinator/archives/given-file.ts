import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { StillpointError } from '../../shared/domain/errors.ts';

/** A file that a person names on the command line, open to be read. */
export interface GivenFile {
  /** Without the directories that it lies in. */
  readonly name: string;
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  /** Its bytes from the first on. Rejects with the signal's reason. */
  read(signal: AbortSignal): AsyncGenerator<Uint8Array>;
}

const PIECE_BYTES = 1024 * 1024;

/** Opens it for a task, and closes it. Rejects `archive-unreadable` (exit code 2) where it is no file that can be read. */
export async function withGivenFile<T>(file: string, task: (given: GivenFile) => Promise<T>): Promise<T> {
  const path = resolve(file);
  // A pipe must not hold us up.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(
    (error: NodeJS.ErrnoException) => {
      throw unreadable(path, error.code === 'ENOENT' ? 'there is no such file' : error.message);
    },
  );
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw unreadable(path, 'it is no file');
    if (stats.size === 0) throw unreadable(path, 'it is empty');
    return await task({
      name: basename(path),
      sizeBytes: stats.size,
      mtimeMs: Math.round(stats.mtimeMs),
      read: (signal) => bytesOf(handle, path, signal),
    });
  } finally {
    await handle.close();
  }
}

async function* bytesOf(handle: FileHandle, path: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  for (let at = 0; ;) {
    signal.throwIfAborted();
    const buffer = Buffer.allocUnsafe(PIECE_BYTES);
    const { bytesRead } = await handle.read(buffer, 0, PIECE_BYTES, at).catch((error: Error) => {
      throw unreadable(path, error.message);
    });
    if (bytesRead === 0) return;
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

function unreadable(path: string, cause: string): StillpointError {
  return new StillpointError({
    code: 'archive-unreadable',
    message: `${path} cannot be imported: ${cause}`,
    hint: 'name the archive that the server or the operator wrote, as it lies on this host, for you to read',
  });
}
