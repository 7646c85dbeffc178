import { link, rename, rm, stat } from 'node:fs/promises';
import { isGivenUp } from './catalogue.ts';
import { syncIfThere } from './durable-files.ts';
import type { Layout } from './layout.ts';
import { MOST_IDENTITY_BYTES } from './identity.ts';
import { storageError } from './storage-error.ts';
import { readStoredFile } from './stored-file.ts';

const REMOVALS = 3;

/**
 * A checkpoint goes in the reverse order of its making, in three steps, each durable before the next and
 * each without harm when done again. A crash between any two leaves something that says what it is:
 *
 *   retire           the commit object loses its name, so the checkpoint is valid no more
 *   removeManifests  nothing names its chunks any more
 *   (garbage collection removes the chunks that nothing else names)
 *   removeRemains    the mark of the deletion, and the directory
 */
export async function retire(layout: Layout, grid: string, checkpoint: string): Promise<void> {
  if (await giveUp(layout, grid, checkpoint)) return;
  const directory = layout.checkpoint(grid, checkpoint);
  try {
    await rename(layout.gridManifest(grid, checkpoint), layout.deletedManifest(grid, checkpoint));
  } catch (error) {
    // Another who deletes it was faster, and may not have come to the sync yet.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw storageError(error, directory);
  }
  await syncIfThere(directory);
}

/**
 * Makes sure that a checkpoint that was not committed never will be. False, with nothing changed, when it is
 * committed. A late commit and this exclude each other, because both create the same file exclusively.
 *
 * The file is a link to repository.json and so takes no disk space: on a full disk a new file could not be made, and what
 * filled it could not be discarded.
 */
export async function giveUp(layout: Layout, grid: string, checkpoint: string): Promise<boolean> {
  if (await isThere(layout.deletedManifest(grid, checkpoint))) return true;
  const path = layout.gridManifest(grid, checkpoint);
  try {
    await link(layout.identity(), path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Another who deletes it has removed all of it.
    if (code === 'ENOENT') return true;
    if (code !== 'EEXIST') throw storageError(error, path);
    const stored = await readStoredFile(path, MOST_IDENTITY_BYTES);
    // Between the two looks another has begun to delete it.
    if (stored.type === 'missing') return giveUp(layout, grid, checkpoint);
    // Longer than that, or no file at all: a commit object, sound or damaged.
    return stored.type === 'read' && isGivenUp(stored.bytes.toString());
  }
  await syncIfThere(layout.checkpoint(grid, checkpoint));
  return true;
}

export async function removeManifests(layout: Layout, grid: string, checkpoint: string): Promise<void> {
  await removeTree(layout.members(grid, checkpoint), layout.checkpoint(grid, checkpoint));
}

export async function removeRemains(layout: Layout, grid: string, checkpoint: string): Promise<void> {
  await removeTree(layout.checkpoint(grid, checkpoint), layout.checkpoints(grid));
}

export async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw storageError(error, path);
  }
}

async function removeTree(path: string, parent: string): Promise<void> {
  try {
    // Another who deletes the same checkpoint may have put a mark there meanwhile: once more.
    await rm(path, { recursive: true, force: true, maxRetries: REMOVALS });
    await syncIfThere(parent);
  } catch (error) {
    throw storageError(error, path);
  }
}
