import { parseCheckpointId } from '../shared/domain/checkpoint-id.ts';
import { EXIT, StillpointError } from '../shared/domain/errors.ts';
import type { CatalogueEntry, Repository } from '../shared/repository/repository.ts';

/**
 * The checkpoint that a person means: the full id, its name where only one of the lineage has it, or `latest`, the
 * newest valid one of the lineage. Entries that are no valid checkpoint are found by their full id only.
 */
export async function selectCheckpoint(
  repository: Repository,
  grid: string | null,
  selector: string,
  lineageOf: (entries: readonly CatalogueEntry[]) => Promise<string | null>,
): Promise<CatalogueEntry> {
  const all = await entriesOfOneGrid(repository, grid);
  const exact = all.find((entry) => entry.checkpoint === selector);
  if (exact !== undefined) return exact;
  const lineage = await lineageOf(all);
  const entries = all.filter(({ manifest }) => manifest === null || manifest.lineage === lineage);
  const valid = entries.filter((entry) => entry.state === 'valid');
  if (selector === 'latest') {
    const [newest] = valid;
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

/** Newest first. Where no grid is named, the repository must hold no more than one. */
export async function entriesOfOneGrid(
  repository: Repository,
  grid: string | null,
): Promise<CatalogueEntry[]> {
  const entries = await repository.list(grid ?? undefined);
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
