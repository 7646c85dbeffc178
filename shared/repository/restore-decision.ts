import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { createExclusively, ensureDirectory } from './durable-files.ts';
import type { Layout } from './layout.ts';
import { damaged } from './manifest-schema.ts';
import type { RestoreOutcome } from './repository.ts';
import { readError } from './storage-error.ts';

const decisionSchema = z.object({ outcome: z.enum(['restored', 'rolledBack']) });

/** The first decision stands. It is durable on return also for those who only read it. */
export async function decideRestore(
  layout: Layout,
  grid: string,
  restoreId: string,
  outcome: RestoreOutcome,
): Promise<RestoreOutcome> {
  const path = layout.restore(grid, restoreId);
  await ensureDirectory(layout.root, dirname(path));
  if (await createExclusively(path, `${JSON.stringify({ outcome })}\n`, true)) return outcome;
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw readError(error, path);
  }
  try {
    return decisionSchema.parse(JSON.parse(text)).outcome;
  } catch {
    throw damaged(path, 'it holds no decision');
  }
}
