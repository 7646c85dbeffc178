import { EXIT, StillpointError } from '../domain/errors.ts';

const FULL = new Set(['ENOSPC', 'EDQUOT']);
const READ_ONLY = new Set(['EROFS', 'EACCES', 'EPERM']);

/** What the operating system says when the repository is written, in words that help. */
export function storageError(error: unknown, path: string): unknown {
  const code = errnoOf(error);
  if (code === null) return error;
  if (FULL.has(code)) {
    return new StillpointError(
      {
        code: 'repository-full',
        message: `the repository is full (${code} at ${path})`,
        hint: 'make room or delete old checkpoints (stillpoint checkpoint delete), then try again',
      },
      EXIT.aborted,
      { cause: error },
    );
  }
  if (READ_ONLY.has(code)) {
    return new StillpointError(
      {
        code: 'repository-read-only',
        message: `the repository cannot be written (${code} at ${path})`,
        hint: 'mount it for writing (mount -o remount,rw), or let its directory belong to the user of agents and commands (root, where NFS does not squash it)',
      },
      EXIT.aborted,
      { cause: error },
    );
  }
  return repositoryFailed(error, code, path);
}

/** The same when it is read. */
export function readError(error: unknown, path: string): unknown {
  const code = errnoOf(error);
  return code === null ? error : repositoryFailed(error, code, path);
}

/** Nothing tells an empty mount point from a directory that is to become a repository, but the person who knows. */
export function missingRepository(root: string): StillpointError {
  return new StillpointError(
    {
      code: 'repository-missing',
      message: `there is no repository in ${root}`,
      hint: `is it mounted? A new one is made by: stillpoint repository init --repository ${root}`,
    },
    EXIT.refused,
  );
}

/** What is mounted there now is not what was: nothing may be written into it. */
export function otherRepository(root: string, id: string): StillpointError {
  return new StillpointError(
    {
      code: 'repository-missing',
      message: `the repository ${id} is in ${root} no more, another one is there`,
      hint: 'is the right one mounted?',
    },
    EXIT.refused,
  );
}

function repositoryFailed(error: unknown, code: string, path: string): StillpointError {
  return new StillpointError(
    {
      code: 'repository-failed',
      message: `the repository cannot be used (${code} at ${path})`,
      hint: 'is it mounted, may this user read it, and is its disk sound?',
    },
    EXIT.aborted,
    { cause: error },
  );
}

function errnoOf(error: unknown): string | null {
  if (!(error instanceof Error) || error instanceof StillpointError) return null;
  const { code, syscall } = error as NodeJS.ErrnoException;
  return typeof code === 'string' && syscall !== undefined ? code : null;
}
