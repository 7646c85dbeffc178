import { open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Writes a file that is not there yet, for its owner alone. Durable on return, and not there where it fails. Rejects with
 * the system's own error: `EEXIST` where something has the name, which stays as it is.
 */
export async function writeNewFile(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  const directory = await open(dirname(path), 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
