import { dirname, join } from 'node:path';
import * as z from 'zod';
import { parseCheckpointId } from '../domain/checkpoint-id.ts';
import { namesIn } from './catalogue.ts';
import { createExclusively, ensureDirectory, removeDurably } from './durable-files.ts';
import { isName, type Layout } from './layout.ts';
import type { StoredDrill, Verification } from './repository.ts';
import { readStoredFile } from './stored-file.ts';

// Small files of a grid beside its checkpoints, each written once. A version that does not know of a kind never looks there.

const EPOCH = /^(\d{8})\.json$/;
/** A timeline of a thousand members is a quarter of it. */
const MOST_DRILL_BYTES = 4 * 1024 * 1024;
const MOST_VERIFICATION_BYTES = 4096;
const MOST_VERIFICATIONS_KEPT = 100;
/** Of a verification; whatever else lies there is none, and stays. */
const VERIFICATION = /^\d{14}_.+\.json$/;

/** One file for each epoch, written once: its name says all, its content is for people. */
export async function raiseEpoch(layout: Layout, grid: string, epoch: number): Promise<void> {
  const path = layout.epoch(grid, epoch);
  await ensureDirectory(layout, dirname(path));
  await createExclusively(path, `${JSON.stringify({ epoch })}\n`, true);
}

export async function highestEpoch(layout: Layout, grid: string): Promise<number> {
  const raised = (await namesIn(layout.epochs(grid))).flatMap((name) => EPOCH.exec(name)?.[1] ?? []);
  return Math.max(0, ...raised.map(Number));
}

export async function saveDrill(
  layout: Layout,
  grid: string,
  drillId: string,
  report: string,
): Promise<void> {
  const path = layout.drill(grid, drillId);
  await ensureDirectory(layout, dirname(path));
  await createExclusively(path, `${report}\n`, true);
}

export async function readDrills(layout: Layout, grid: string): Promise<StoredDrill[]> {
  const found: StoredDrill[] = [];
  for (const name of await namesIn(layout.drills(grid))) {
    const drillId = name.replace(/\.json$/, '');
    if (drillId === name || !isName(drillId)) continue;
    const stored = await readStoredFile(layout.drill(grid, drillId), MOST_DRILL_BYTES);
    if (stored.type === 'read') found.push({ drillId, report: stored.bytes.toString() });
  }
  return found;
}

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
  const names = await verificationsOf(layout, grid);
  for (const name of names.slice(0, -MOST_VERIFICATIONS_KEPT)) await removeDurably(join(dirname(path), name));
}

/** The newest one that can be read; null where there is none. */
export async function lastVerification(layout: Layout, grid: string): Promise<Verification | null> {
  const directory = layout.verifications(grid);
  for (const name of (await verificationsOf(layout, grid)).reverse()) {
    const stored = await readStoredFile(join(directory, name), MOST_VERIFICATION_BYTES);
    if (stored.type !== 'read') continue;
    const { data } = verificationSchema.safeParse(parsedOrNull(stored.bytes.toString()));
    if (data !== undefined) return data;
  }
  return null;
}

/** Names of files, the oldest first. */
async function verificationsOf(layout: Layout, grid: string): Promise<string[]> {
  const names = await namesIn(layout.verifications(grid));
  return names.filter((name) => VERIFICATION.test(name)).sort();
}

function parsedOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
