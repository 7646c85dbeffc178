import { dirname, join } from 'node:path';
import { z } from 'zod';
import { parseCheckpointId } from '../domain/checkpoint-id.ts';
import { namesIn } from './catalogue.ts';
import { createExclusively, ensureDirectory, removeDurably } from './durable-files.ts';
import type { Layout } from './layout.ts';
import type { Verification } from './repository.ts';
import { readStoredFile } from './stored-file.ts';

const MOST_BYTES = 4096;
const MOST_KEPT = 100;
/** Of a record; whatever else lies there is none, and stays. */
const NAME = /^\d{14}_.+\.json$/;

const verificationSchema = z.object({
  checkpoint: z.string().refine((text) => parseCheckpointId(text) !== null),
  verifiedAtMs: z.number().int().nonnegative(),
  durationMs: z.number().nonnegative(),
  bytes: z.number().int().nonnegative(),
  damagedPlaces: z.number().int().nonnegative(),
});

/**
 * That a checkpoint was read, every byte of it: for monitors, which must not read it again. Nothing relies on it, so one
 * that is damaged or missing means no more than that it was not verified. A file for each, the newest hundred are kept.
 */
export async function recordVerification(
  layout: Layout,
  grid: string,
  verification: Verification,
): Promise<void> {
  const path = layout.verification(grid, verification.checkpoint, verification.verifiedAtMs);
  await ensureDirectory(layout, dirname(path));
  await createExclusively(path, `${JSON.stringify(verification)}\n`, true);
  const names = await recordsOf(layout, grid);
  for (const name of names.slice(0, -MOST_KEPT)) await removeDurably(join(dirname(path), name));
}

/** The newest one that can be read; null where there is none. */
export async function lastVerification(layout: Layout, grid: string): Promise<Verification | null> {
  const directory = layout.verifications(grid);
  for (const name of (await recordsOf(layout, grid)).reverse()) {
    const stored = await readStoredFile(join(directory, name), MOST_BYTES);
    if (stored.type !== 'read') continue;
    const { data } = verificationSchema.safeParse(parseJson(stored.bytes.toString()));
    if (data !== undefined) return data;
  }
  return null;
}

/** Names of records, the oldest first. */
async function recordsOf(layout: Layout, grid: string): Promise<string[]> {
  const names = await namesIn(layout.verifications(grid));
  return names.filter((name) => NAME.test(name)).sort();
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
