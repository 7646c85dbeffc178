import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { ensureDir } from 'fs-extra/esm';
import { StillpointError } from '../shared/domain/errors.ts';

/** What is locked stays so until the process is gone: nothing here may be collected as garbage. */
const held: DatabaseSync[] = [];

const SQLITE_BUSY = 5;

/**
 * One agent on a state directory: a second one would empty the spool of the first, undo its freezes and roll back its
 * restores, before it noticed that their address is taken. The lock is the kernel's, on a file, so it ends with the
 * process, however that ends, and holds between containers that share the directory. Node itself has no call for such a
 * lock; SQLite takes one for a transaction that is never ended, and nothing is ever written to the file.
 */
export async function lockState(path: string): Promise<void> {
  await ensureDir(path, { mode: 0o700 });
  const file = join(path, 'lock');
  try {
    const database = new DatabaseSync(file, { timeout: 0 });
    database.exec('BEGIN EXCLUSIVE');
    held.push(database);
  } catch (error) {
    throw (error as { errcode?: number }).errcode === SQLITE_BUSY
      ? alreadyRuns(path)
      : cannotLock(file, error);
  }
}

function alreadyRuns(path: string): StillpointError {
  return new StillpointError({
    code: 'agent-runs',
    message: `another agent runs on the state directory ${path}`,
    hint: 'there may be one: stop it first, or see whether a file is right with stillpoint-agent --check --config FILE',
  });
}

function cannotLock(file: string, error: unknown): StillpointError {
  return new StillpointError(
    {
      code: 'agent-disk',
      message: `${file} cannot be locked: ${error instanceof Error ? error.message : String(error)}`,
      hint: "look at the disk of the agent's state directory, and whether the agent may write there",
    },
    2,
    { cause: error },
  );
}
