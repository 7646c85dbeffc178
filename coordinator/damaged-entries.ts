import { EXIT, StillpointError, type Failure } from '../shared/domain/errors.ts';
import type { CatalogueEntry } from '../shared/repository/repository.ts';

/**
 * What a damaged checkpoint needs is not known, so no chunk of its grid is removed any more: the repository grows
 * until somebody decides. Null for an entry that keeps nobody from collecting.
 */
export function damageOf({ checkpoint, state, cause }: CatalogueEntry): Failure | null {
  if (state !== 'damaged') return null;
  return {
    code: 'garbage-kept',
    message: `${checkpoint} is damaged (${cause ?? 'it cannot be read'}): while it is there, no space of deleted checkpoints comes back`,
    hint: `bring its files back from a copy, or delete it: stillpoint checkpoint delete ${checkpoint}`,
  };
}

/** Rejects with exit code 6. */
export function checkReadable(entry: CatalogueEntry): void {
  const failure = damageOf(entry);
  if (failure !== null) throw new StillpointError(failure, EXIT.invalid);
}
