import { lstat } from 'node:fs/promises';
import { dirname } from 'node:path';
import * as z from 'zod';
import { parseCheckpointId } from '../domain/checkpoint-id.ts';
import { EXIT, StillpointError } from '../domain/errors.ts';
import { namesIn } from './catalogue.ts';
import { createExclusively, ensureDirectory, removeDurably } from './durable-files.ts';
import type { Layout } from './layout.ts';
import type { Retained, Retention } from './repository.ts';
import { storageError } from './storage-error.ts';
import { readStoredFile } from './stored-file.ts';

/**
 * That a checkpoint is kept for good is a file beside the checkpoints. Who writes it reads the checkpoint meanwhile, by an
 * operation of its own (operations.ts), and a deletion looks for the file when it has found no reader: so either the
 * deletion finds the one or the other, or there was nothing left to keep.
 */
const MOST_RETENTION_BYTES = 64 * 1024;

const retentionSchema = z.object({ reason: z.string(), by: z.string(), sinceMs: z.number() });

/** Of one that cannot be read: the checkpoint is kept all the same. */
const UNREADABLE: Retention = { reason: 'the reason cannot be read', by: '', sinceMs: 0 };

/** Once; rejects `checkpoint-held` where it is kept already. */
export async function retain(
  layout: Layout,
  grid: string,
  checkpoint: string,
  retention: Retention,
): Promise<void> {
  const path = layout.retention(grid, checkpoint);
  await ensureDirectory(layout, dirname(path));
  if (await createExclusively(path, `${JSON.stringify(retention)}\n`, true)) return;
  throw held(checkpoint, await readRetention(layout, grid, checkpoint));
}

/** Resolves to what was said of it. Rejects `checkpoint-not-held` where it is not kept. */
export async function release(layout: Layout, grid: string, checkpoint: string): Promise<Retention> {
  const path = layout.retention(grid, checkpoint);
  if (!(await isNamed(path))) throw notHeld(checkpoint);
  const retention = await readRetention(layout, grid, checkpoint);
  await removeDurably(path);
  return retention;
}

/** Newest first. */
export async function readRetained(layout: Layout, grid: string): Promise<Retained[]> {
  const found: Retained[] = [];
  for (const name of await namesIn(layout.retentions(grid))) {
    const checkpoint = name.replace(/\.json$/, '');
    if (checkpoint === name || parseCheckpointId(checkpoint) === null) continue;
    found.push({ grid, checkpoint, ...(await readRetention(layout, grid, checkpoint)) });
  }
  return found.sort((a, b) => (a.checkpoint < b.checkpoint ? 1 : -1));
}

/** Rejects `checkpoint-held` with why. */
export async function mustNotBeRetained(layout: Layout, grid: string, checkpoint: string): Promise<void> {
  if (await isNamed(layout.retention(grid, checkpoint)))
    throw held(checkpoint, await readRetention(layout, grid, checkpoint));
}

/** Whatever bears the name keeps the checkpoint, a link to nowhere too. */
async function isNamed(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw storageError(error, path);
  }
}

async function readRetention(layout: Layout, grid: string, checkpoint: string): Promise<Retention> {
  const stored = await readStoredFile(layout.retention(grid, checkpoint), MOST_RETENTION_BYTES);
  if (stored.type !== 'read') return UNREADABLE;
  try {
    return retentionSchema.parse(JSON.parse(stored.bytes.toString()));
  } catch {
    return UNREADABLE;
  }
}

function held(checkpoint: string, { reason, by, sinceMs }: Retention): StillpointError {
  const who = by === '' ? '' : ` (${by}, ${new Date(sinceMs).toISOString()})`;
  return new StillpointError(
    {
      code: 'checkpoint-held',
      message: `${checkpoint} is kept for good: ${reason}${who}`,
      hint: `where that is over: stillpoint checkpoint release ${checkpoint}`,
    },
    EXIT.refused,
  );
}

function notHeld(checkpoint: string): StillpointError {
  return new StillpointError(
    {
      code: 'checkpoint-not-held',
      message: `${checkpoint} is not kept for good`,
      hint: 'see which are: stillpoint checkpoint list',
    },
    EXIT.refused,
  );
}
