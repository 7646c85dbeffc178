import { dirname } from 'node:path';
import { z } from 'zod';
import { EXIT, StillpointError } from '../domain/errors.ts';
import { createExclusively, ensureDirectory } from './durable-files.ts';
import type { Layout } from './layout.ts';
import type { RestoreOutcome } from './repository.ts';
import { readStoredFile } from './stored-file.ts';

const MOST_BYTES = 4096;
const decisionSchema = z.object({ outcome: z.enum(['restored', 'rolledBack']) });

/**
 * The first decision stands; rejects `decision-damaged` where nobody can tell any more what it was. It is durable
 * on return also for those who only read it.
 */
export async function decideRestore(
  layout: Layout,
  grid: string,
  restoreId: string,
  outcome: RestoreOutcome,
): Promise<RestoreOutcome> {
  const path = layout.restore(grid, restoreId);
  await ensureDirectory(layout, dirname(path));
  if (await createExclusively(path, `${JSON.stringify({ outcome })}\n`, true)) return outcome;
  const stored = await readStoredFile(path, MOST_BYTES);
  if (stored.type !== 'read') throw damaged(path, stored.type === 'missing' ? 'is gone' : stored.cause);
  try {
    return decisionSchema.parse(JSON.parse(stored.bytes.toString())).outcome;
  } catch {
    throw damaged(path, 'holds no decision');
  }
}

function damaged(path: string, cause: string): StillpointError {
  return new StillpointError(
    {
      code: 'decision-damaged',
      message: `the decision of a restore is damaged: ${path} ${cause}`,
      hint: 'see on which hosts the restored data runs; write {"outcome":"restored"} or {"outcome":"rolledBack"} into the file, then restart the agents',
    },
    EXIT.invalid,
  );
}
