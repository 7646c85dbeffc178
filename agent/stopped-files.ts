import { createHash, type Hash } from 'node:crypto';
import { join } from 'node:path';
import { AnchoredDirectory, closing } from './anchored-directory.ts';

/**
 * How the files of a process that does not run lie, in one word. Nothing is read of them: a process that is started
 * writes something, if only its own number, and then a time, a length or an inode is another. So two equal words say that
 * nobody ran there in between. A time is compared for being the same here, and never for being earlier.
 */
export async function lieOf(directories: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const path of directories) {
    hash.update(`${path}\n`);
    const directory = await AnchoredDirectory.openIfThere(path);
    if (directory !== null) await closing(directory, () => addTree(hash, directory, ''));
  }
  return hash.digest('hex');
}

async function addTree(hash: Hash, directory: AnchoredDirectory, below: string): Promise<void> {
  const { ino, mtimeMs, ctimeMs } = directory.stats;
  hash.update(`${JSON.stringify([below, ino, mtimeMs, ctimeMs])}\n`);
  const entries = await directory.entries();
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(below, entry.name);
    if (entry.isDirectory()) {
      await closing(await directory.enter(entry.name), (inner) => addTree(hash, inner, path));
      continue;
    }
    const found = await directory.stat(entry.name);
    hash.update(`${JSON.stringify([path, found?.ino, found?.size, found?.mtimeMs, found?.ctimeMs])}\n`);
  }
}
