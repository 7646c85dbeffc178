import { join } from 'node:path';
import { EXIT, StillpointError } from '../shared/domain/errors.ts';
import { openRepository } from '../shared/repository/open.ts';
import type { Repository } from '../shared/repository/repository.ts';
import type { StateDirectory } from './state-directory.ts';

/**
 * The repository of this host: opened when it is first needed, and anew after it could not be, because an agent starts
 * before its mounts do. Each time it is looked at again, because a mount may go while the agent runs.
 *
 * The agent remembers the id of the first one that it meets at a location, and takes no other one there: what lies in a
 * mount point while nothing is mounted may be a repository too. A location that the agent file names for the first time
 * is the word of its owner, and whatever repository is there is taken.
 */
export function keptRepository(
  location: string,
  state: Pick<StateDirectory, 'path' | 'knownRepository' | 'saveRepository'>,
): () => Promise<Repository> {
  let opened: Promise<Repository> | null = null;
  return async () => {
    opened ??= openKnown(location, state);
    const current = opened;
    try {
      const repository = await current;
      await repository.recognise();
      return repository;
    } catch (error) {
      // Another call may have opened it anew meanwhile.
      if (opened === current) opened = null;
      throw error;
    }
  };
}

async function openKnown(
  location: string,
  state: Pick<StateDirectory, 'path' | 'knownRepository' | 'saveRepository'>,
): Promise<Repository> {
  const repository = await openRepository(location);
  try {
    const known = await state.knownRepository();
    if (known?.location === location && known.id !== repository.id)
      throw repositoryChanged(location, known.id, repository.id, join(state.path, 'repository.json'));
    if (known?.location !== location) await state.saveRepository({ location, id: repository.id });
    return repository;
  } catch (error) {
    await repository.close();
    throw error;
  }
}

function repositoryChanged(
  location: string,
  known: string,
  found: string,
  remembered: string,
): StillpointError {
  return new StillpointError(
    {
      code: 'repository-changed',
      message: `${location} is the repository ${found}, and not ${known}, which this host stored in so far`,
      hint: `is the right one mounted? If it is another one on purpose, remove ${remembered} on this host`,
    },
    EXIT.refused,
  );
}
