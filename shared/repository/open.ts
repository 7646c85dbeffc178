import { StillpointError } from '../domain/errors.ts';
import { type DirectoryRepositoryOptions, openDirectoryRepository } from './directory-repository.ts';
import type { Repository } from './repository.ts';

/**
 * Opens a repository by its location. With `create`, one is made where there is none: the first checkpoint
 * does so. Rejects `repository-missing`, `repository-format`, `repository-unsupported`.
 */
export async function openRepository(
  location: string,
  options: DirectoryRepositoryOptions = {},
): Promise<Repository> {
  const scheme = /^([a-z0-9]+):\/\//i.exec(location)?.[1];
  if (scheme === undefined) return openDirectoryRepository(location, options);
  throw new StillpointError({
    code: 'repository-unsupported',
    message: `a repository at ${scheme}:// is not supported by this version`,
    hint: 'name a directory; it may be mounted from another machine (NFS)',
  });
}
