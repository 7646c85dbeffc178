import { stat } from 'node:fs/promises';

/** Only what the system says is absent is: a disk that does not answer, or a path that is not ours to enter, rejects. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}
