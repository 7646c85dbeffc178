import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { StillpointError } from '../domain/errors.ts';
import { listCheckpoints, names, readMember } from './catalogue.ts';
import { removeDurably, storageError, syncDirectory, TEMPORARY_PREFIX } from './durable-files.ts';
import type { Layout } from './layout.ts';
import { beginCollection } from './operations.ts';

/** A temporary file older than this has no writer any more. */
const STALE_MS = 60 * 60 * 1000;

/**
 * Deletes in reverse order of writing, so that a crash at any step leaves something that says what it is:
 * the commit object goes first (renamed: the checkpoint is valid no more, and listed as being deleted), then
 * the member manifests, then the directory. Its chunks are garbage from then on.
 */
export async function removeCheckpoint(layout: Layout, grid: string, checkpoint: string): Promise<void> {
  const directory = layout.checkpoint(grid, checkpoint);
  if (!(await isThere(directory))) {
    throw new StillpointError({
      code: 'checkpoint-missing',
      message: `the repository has no checkpoint ${checkpoint} of grid ${grid}`,
      hint: 'stillpoint checkpoint list shows what it has',
    });
  }
  try {
    if (await isThere(layout.gridManifest(grid, checkpoint))) {
      await rename(layout.gridManifest(grid, checkpoint), layout.deletedManifest(grid, checkpoint));
      await syncDirectory(directory);
    }
    await rm(layout.members(grid, checkpoint), { recursive: true, force: true });
    await syncDirectory(directory);
    await removeDurably(layout.deletedManifest(grid, checkpoint));
    await rm(directory, { recursive: true, force: true });
    await syncDirectory(layout.checkpoints(grid));
  } catch (error) {
    throw storageError(error, directory);
  }
}

/**
 * Removes every chunk that no checkpoint of the grid names. Does nothing while an operation runs; stops
 * before it removes anything when a manifest cannot be read, for then it cannot know what is needed.
 */
export async function collectGarbage(
  layout: Layout,
  grid: string,
  holder: string,
): Promise<{ removedBytes: number; skipped: boolean }> {
  const lease = await beginCollection(layout, grid, holder);
  if (lease === null) return { removedBytes: 0, skipped: true };
  const refreshing = setInterval(() => void lease.refresh().catch(() => undefined), 60_000);
  try {
    const needed = await neededChunks(layout, grid);
    return { removedBytes: await sweep(layout, grid, needed), skipped: false };
  } finally {
    clearInterval(refreshing);
    await lease.end();
  }
}

async function neededChunks(layout: Layout, grid: string): Promise<Set<string>> {
  const needed = new Set<string>();
  for (const { state, checkpoint, manifest, cause } of await listCheckpoints(layout, grid)) {
    if (state === 'uncommitted' || state === 'deleting') continue;
    if (state !== 'valid' || manifest === null) {
      throw new StillpointError({
        code: 'manifest-damaged',
        message: `no chunk was removed: ${checkpoint} is damaged, and what it needs is not known (${cause ?? ''})`,
        hint: `delete it (stillpoint checkpoint delete ${checkpoint}), then delete again to free the space`,
      });
    }
    for (const member of manifest.members) {
      const stored = await readMember(layout, grid, checkpoint, member.name, member.manifestDigest);
      for (const artifact of stored.artifacts) {
        if (artifact.kind === 'file') for (const chunk of artifact.chunks) needed.add(chunk.key);
      }
    }
  }
  return needed;
}

async function sweep(layout: Layout, grid: string, needed: ReadonlySet<string>): Promise<number> {
  let removedBytes = 0;
  for (const room of await names(layout.chunks(grid))) {
    const directory = join(layout.chunks(grid), room);
    for (const key of await readdir(directory)) {
      const path = join(directory, key);
      if (needed.has(key)) continue;
      const { size, mtimeMs } = await stat(path);
      if (key.startsWith(TEMPORARY_PREFIX) && Date.now() - mtimeMs < STALE_MS) continue;
      await rm(path, { force: true });
      removedBytes += size;
    }
  }
  return removedBytes;
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    return false;
  }
}
