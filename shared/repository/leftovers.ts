import { lstat, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseCheckpointId } from '../domain/checkpoint-id.ts';
import { createExclusively, ensureDirectory, removeDurably } from './durable-files.ts';
import type { Layout } from './layout.ts';
import type { Leftover } from './repository.ts';
import { storageError } from './storage-error.ts';

/** So long what an aborted run has stored waits for the next. */
const LEFTOVERS_MS = 7 * 24 * 60 * 60 * 1000;
/** Chunks and markers may be dated by the clocks of different hosts. */
const CLOCKS_DIFFER_MS = 60_000;

/**
 * What a checkpoint stored that was aborted, or whose coordinator died. The hours that it took are not lost: the next
 * run finds these chunks and stores nothing twice.
 *
 * A marker is made before the first chunk is stored, so nothing has to be done when things go wrong. As long as one
 * stands, garbage collection leaves the chunks that were stored since, though no checkpoint names them. A commit
 * removes all markers, for by then they have served; so does `prune --leftovers`; and after seven days a collection
 * does. Ages are differences of times that the same file system gave, of the marker and of one just written.
 */
export async function expectLeftovers(layout: Layout, grid: string, checkpoint: string): Promise<void> {
  const path = layout.leftover(grid, checkpoint);
  await ensureDirectory(layout, dirname(path));
  await createExclusively(path, '', true);
}

export async function readLeftovers(layout: Layout, grid: string): Promise<Leftover[]> {
  const directory = layout.leftovers(grid);
  const found: Leftover[] = [];
  try {
    for (const name of (await readdir(directory)).sort()) {
      const checkpoint = name.replace(/\.json$/, '');
      if (checkpoint === name || parseCheckpointId(checkpoint) === null) continue;
      const { mtimeMs } = await lstat(join(directory, name));
      found.push({ checkpoint, sinceMs: mtimeMs, untilMs: mtimeMs + LEFTOVERS_MS });
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw storageError(error, directory);
  }
  return found;
}

/** Nobody keeps them any more; the next collection removes them. */
export async function dropLeftovers(
  layout: Layout,
  grid: string,
  isDropped: (leftover: Leftover) => boolean = () => true,
): Promise<void> {
  for (const leftover of await readLeftovers(layout, grid))
    if (isDropped(leftover)) await removeDurably(layout.leftover(grid, leftover.checkpoint));
}

/** Chunks that were stored since then stay; Infinity: none does. */
export function keptSinceMs(leftovers: readonly Leftover[], nowMs: number): number {
  const living = leftovers.filter(({ untilMs }) => nowMs <= untilMs);
  return Math.min(...living.map(({ sinceMs }) => sinceMs - CLOCKS_DIFFER_MS));
}
