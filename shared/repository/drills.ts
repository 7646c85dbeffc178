import { dirname } from 'node:path';
import { namesIn } from './catalogue.ts';
import { createExclusively, ensureDirectory } from './durable-files.ts';
import { isName, type Layout } from './layout.ts';
import type { StoredDrill } from './repository.ts';
import { readStoredFile } from './stored-file.ts';

/** A timeline of a thousand members is a quarter of it. */
const MOST_BYTES = 4 * 1024 * 1024;

// Reports of drills stand beside the checkpoints. A version that does not know of them never looks there.

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
    const stored = await readStoredFile(layout.drill(grid, drillId), MOST_BYTES);
    if (stored.type === 'read') found.push({ drillId, report: stored.bytes.toString() });
  }
  return found;
}
