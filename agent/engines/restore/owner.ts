import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { AnchoredDirectory, type Owner } from '../../anchored-directory.ts';

const run = promisify(execFile);

/** What is asked of a member's settings here. */
export interface Owned {
  readonly data: string;
  readonly owner?: string | undefined;
}

/**
 * Whose files a member's are: `owner`, else the owner of the data directory, else of the folder it will stand in.
 * Null: we are not root, and they are our own.
 */
export async function ownerOf(settings: Owned): Promise<Owner | null> {
  if (process.getuid?.() !== 0) return null;
  if (settings.owner !== undefined) return userNamed(settings.owner, 'owner');
  const directory = await AnchoredDirectory.openNearest(settings.data);
  await directory.close();
  const { uid, gid } = directory.stats;
  return { uid, gid };
}

/** `key`: where the agent's file names the user. */
export async function userNamed(user: string, key: string): Promise<Owner> {
  try {
    const [uid, gid] = await Promise.all(
      ['-u', '-g'].map(async (flag) => Number((await run('id', [flag, '--', user])).stdout)),
    );
    if (uid === undefined || gid === undefined || Number.isNaN(uid) || Number.isNaN(gid))
      throw new Error('id gave no number');
    return { uid, gid };
  } catch (error) {
    throw new StillpointError(
      {
        code: 'unknown-user',
        message: `there is no user ${user} on this host`,
        hint: `correct ${key} in the agent file, or make the user`,
      },
      2,
      { cause: error },
    );
  }
}
