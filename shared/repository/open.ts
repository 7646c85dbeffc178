import { StillpointError } from '../domain/errors.ts';
import {
  type DirectoryRepositoryOptions,
  initDirectoryRepository,
  openDirectoryRepository,
} from './directory-repository.ts';
import type { Repository } from './repository.ts';

/** Opens a repository by its location. Rejects `repository-missing`, `repository-format`, `repository-unsupported`. */
export async function openRepository(
  location: string,
  options: DirectoryRepositoryOptions = {},
): Promise<Repository> {
  return openDirectoryRepository(directoryOf(location), options);
}

/**
 * Makes a repository, because a person said so: nobody else may, for nothing tells an empty mount point from a new
 * place. Where one is already, nothing is changed. Rejects `repository-foreign` where something else is.
 */
export async function initRepository(location: string): Promise<{ id: string; made: boolean }> {
  return initDirectoryRepository(directoryOf(location));
}

function directoryOf(location: string): string {
  const scheme = /^([a-z0-9]+):\/\//i.exec(location)?.[1];
  if (scheme === undefined) return location;
  throw new StillpointError({
    code: 'repository-unsupported',
    message: `a repository at ${scheme}:// is not supported by this version`,
    hint: 'name a directory; it may be mounted from another machine (NFS)',
  });
}
