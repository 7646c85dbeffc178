import { failureOf, type Failure } from '../shared/domain/errors.ts';
import type { Repository } from '../shared/repository/repository.ts';
import type { GridFile } from './grid-file.ts';
import { withRepository } from './with-grid.ts';

/** For commands that look: what keeps the repository from being read is something they found. The signal ends the wait. */
export async function lookInRepository<T>(
  { gridFile, signal }: { readonly gridFile: Pick<GridFile, 'repository'>; readonly signal: AbortSignal },
  look: (repository: Repository) => Promise<T>,
): Promise<
  { readonly seen: T; readonly failure: null } | { readonly seen: null; readonly failure: Failure }
> {
  try {
    return { seen: await withRepository(gridFile.repository, signal, look, asItIs), failure: null };
  } catch (error) {
    signal.throwIfAborted();
    return {
      seen: null,
      failure: failureOf(error, {
        code: 'repository-failed',
        hint: 'ls -la in the directory that repository in the grid file names: it must be mounted, and for you to read',
      }),
    };
  }
}

function asItIs(error: unknown): never {
  throw error;
}
