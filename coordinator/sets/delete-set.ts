import { EXIT, StillpointError } from '../../shared/domain/errors.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { holdsOf } from './holds.ts';

/**
 * Forgets a set. Rejects `repository-busy` while a restore brings some set to its moment: from which it restores nobody
 * can see here, and one that loses the lists of its images has to go back everywhere.
 */
export async function deleteSet(repository: Repository, grid: string, set: string): Promise<void> {
  const holds = await holdsOf(repository, grid);
  const readers = await repository.readers(grid);
  const reader = readers.find((one) => holds.some(({ checkpoint }) => checkpoint === one.checkpoint));
  if (reader !== undefined) throw beingRead(set, reader.holder);
  await repository.deleteSet(grid, set);
}

function beingRead(set: string, holder: string): StillpointError {
  return new StillpointError(
    {
      code: 'repository-busy',
      message: `set ${set} stays: ${holder} may read it`,
      hint: 'wait until it has ended, then delete the set again',
    },
    EXIT.refused,
  );
}
