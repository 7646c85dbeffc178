import { parseCheckpointId } from '../shared/domain/checkpoint-id.ts';
import { EXIT, StillpointError } from '../shared/domain/errors.ts';
import type { GridManifest } from '../shared/domain/manifest.ts';
import { PURPOSE_WORDS } from '../shared/domain/purpose.ts';
import {
  EVERYTHING,
  type CatalogueEntry,
  type ListOptions,
  type Repository,
} from '../shared/repository/repository.ts';

/**
 * The checkpoint that a person means: the full id, its name where only one of the lineage has it, or `latest`, the
 * newest valid one of the lineage that was made of the living grid. Entries that are no valid checkpoint, and operations that copied nothing, are found by
 * their full id only.
 */
export async function selectCheckpoint(
  repository: Repository,
  grid: string | null,
  selector: string,
  lineageOf: (entries: readonly CatalogueEntry[]) => Promise<string | null>,
): Promise<CatalogueEntry> {
  const all = await entriesOfOneGrid(repository, grid, EVERYTHING);
  const exact = all.find((entry) => entry.checkpoint === selector);
  if (exact !== undefined) return exact;
  const lineage = await lineageOf(all);
  const entries = all.filter(
    ({ manifest }) => manifest === null || (manifest.purpose === undefined && manifest.lineage === lineage),
  );
  const valid = entries.filter((entry) => entry.state === 'valid');
  if (selector === 'latest') {
    const newest = valid.find(({ manifest }) => manifest?.imported === undefined);
    if (newest !== undefined) return newest;
    throw fail(
      'checkpoint-missing',
      'the repository has no valid checkpoint',
      'create one: stillpoint checkpoint create NAME',
    );
  }
  const named = valid.filter((entry) => parseCheckpointId(entry.checkpoint)?.name === selector);
  const [only] = named;
  if (only !== undefined && named.length === 1) return only;
  if (named.length > 1) {
    const ids = named.map((entry) => entry.checkpoint).join(', ');
    throw fail(
      'checkpoint-ambiguous',
      `${named.length} checkpoints are named ${selector}`,
      `name one by its id: ${ids}`,
    );
  }
  const [other] = entries.filter((entry) => parseCheckpointId(entry.checkpoint)?.name === selector);
  if (other !== undefined) throw notValid(other);
  throw fail(
    'checkpoint-missing',
    `the repository has no checkpoint ${selector}`,
    'stillpoint checkpoint list shows what it has',
  );
}

/** What was written is not what is there: nothing can be restored from it. */
export function notValid({ checkpoint, state, cause }: CatalogueEntry): StillpointError {
  return new StillpointError(
    {
      code: 'checkpoint-not-valid',
      message: `${checkpoint} is ${state}${cause === null ? '' : `: ${cause}`}`,
      hint:
        state === 'damaged'
          ? `take another; stillpoint checkpoint verify ${checkpoint} tells all that is wrong with it`
          : 'take another: stillpoint checkpoint list',
    },
    EXIT.invalid,
  );
}

/** What was copied can be restored from the repository alone. */
export function checkCopied({ checkpoint, purpose }: GridManifest): void {
  if (purpose === undefined) return;
  throw new StillpointError(
    {
      code: 'nothing-copied',
      message: `${checkpoint} is a ${PURPOSE_WORDS[purpose]}: the repository has its marks, and no copy of its members`,
      hint: `bring the copies that your own tool made to it: stillpoint restore ${checkpoint} --set SET; or restore a checkpoint: stillpoint checkpoint list`,
      phase: 'plan',
    },
    EXIT.refused,
  );
}

/** Newest first. Where no grid is named, the repository must hold no more than one. */
export async function entriesOfOneGrid(
  repository: Repository,
  grid: string | null,
  options: ListOptions = {},
): Promise<CatalogueEntry[]> {
  const entries = await repository.list(grid ?? undefined, options);
  const grids = [...new Set(entries.map((entry) => entry.grid))];
  if (grids.length <= 1) return entries;
  throw fail(
    'several-grids',
    `the repository holds the grids ${grids.join(', ')}`,
    'say which with --grid FILE',
  );
}

function fail(code: string, message: string, hint: string): StillpointError {
  return new StillpointError({ code, message, hint }, EXIT.usage);
}
