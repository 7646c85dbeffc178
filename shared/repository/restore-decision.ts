import { dirname } from 'node:path';
import * as z from 'zod';
import { EXIT, StillpointError } from '../domain/errors.ts';
import { sha256 } from './digest.ts';
import { createExclusively, ensureDirectory } from './durable-files.ts';
import type { Layout } from './layout.ts';
import type { AnnouncedRestore, Repository, RestoreDecision, RestoreOutcome } from './repository.ts';
import { readStoredFile } from './stored-file.ts';

/** A grid may have thousands of hosts. */
const MOST_BYTES = 4 * 1024 * 1024;
const decisionSchema = z.object({ outcome: z.enum(['restored', 'rolledBack']) });

/** The digest is of all that is said: with a flipped bit an id is an id too. */
const announcementSchema = z
  .object({
    checkpoint: z.string(),
    hosts: z.array(z.string()).default([]),
    lineage: z.uuid().nullable().default(null),
    digest: z.string(),
  })
  .refine(({ digest, ...said }) => digest === digestOf(said));

function digestOf({ checkpoint, hosts, lineage }: AnnouncedRestore): string {
  return sha256([checkpoint, ...hosts, ...(lineage === null ? [] : [lineage])].join('\n'));
}

/** Where it stands, a decision may be made here: whoever finds none looks at another repository, or at none. */
export async function announceRestore(
  layout: Layout,
  grid: string,
  restoreId: string,
  announced: AnnouncedRestore,
): Promise<void> {
  const path = layout.announcedRestore(grid, restoreId);
  await ensureDirectory(layout, dirname(path));
  const text = `${JSON.stringify({ ...announced, digest: digestOf(announced) })}\n`;
  if (await createExclusively(path, text, true)) return;
  throw new Error(`a restore ${restoreId} was announced before`);
}

/** What was announced, and null where this repository knows of no such restore. */
export async function readRestore(
  layout: Layout,
  grid: string,
  restoreId: string,
): Promise<AnnouncedRestore | null> {
  const path = layout.announcedRestore(grid, restoreId);
  const stored = await readStoredFile(path, MOST_BYTES);
  if (stored.type === 'missing') return null;
  try {
    if (stored.type === 'read') {
      const { digest: _, ...announced } = announcementSchema.parse(JSON.parse(stored.bytes.toString()));
      return announced;
    }
  } catch {
    // Told below.
  }
  throw damaged(path, stored.type === 'read' ? 'does not say what is restored' : stored.cause);
}

/**
 * Decides a restore in the repository that it was announced in. Rejects `restore-undecided` where that cannot be
 * said of this one: nothing is known then, and nobody may act as if it were. The lineage is what was announced: so
 * everybody who goes forward, whoever has died, goes on as the same grid.
 */
export async function decideAnnounced(
  repository: Repository,
  restore: { grid: string; restoreId: string; repositoryId: string },
  outcome: RestoreOutcome,
): Promise<RestoreDecision> {
  const { grid, restoreId, repositoryId } = restore;
  if (repository.id !== repositoryId)
    throw undecided(restoreId, `${repository.location} is another repository than that of the restore`);
  let known: AnnouncedRestore | null;
  try {
    known = await repository.readRestore(grid, restoreId);
    if (known !== null)
      return { outcome: await repository.decideRestore(grid, restoreId, outcome), lineage: known.lineage };
  } catch (error) {
    throw undecided(restoreId, error instanceof Error ? error.message : String(error), error);
  }
  throw undecided(restoreId, `${repository.location} does not know of it`);
}

export function undecided(restoreId: string, why: string, cause?: unknown): StillpointError {
  return new StillpointError(
    {
      code: 'restore-undecided',
      message: `what became of restore ${restoreId} cannot be read: ${why}`,
      hint: `is the repository mounted? Agents go on asking it; when it is back, end the restore with: stillpoint restore --finish ${restoreId}`,
    },
    EXIT.undecided,
    { cause },
  );
}

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
