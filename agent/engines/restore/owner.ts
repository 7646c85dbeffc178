import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { isThere } from './places.ts';

const run = promisify(execFile);

/** Whose files and processes a member's are. Null: we are not root, and they are our own. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** What is asked of a member's settings here. */
export interface Owned {
  readonly data: string;
  readonly run?: { readonly user?: string | undefined } | undefined;
}

/** `run.user`, else the owner of the data directory, else of the folder it will stand in. */
export async function ownerOf(settings: Owned): Promise<Owner | null> {
  return process.getuid?.() === 0 ? findOwner(settings) : null;
}

async function findOwner(settings: Owned): Promise<Owner> {
  const user = settings.run?.user;
  if (user !== undefined) return userNamed(user);
  for (let path = settings.data; ; path = dirname(path)) {
    if (!(await isThere(path))) continue;
    const { uid, gid } = await stat(path);
    return { uid, gid };
  }
}

async function userNamed(user: string): Promise<Owner> {
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
        hint: 'correct run.user in the agent file, or make the user',
      },
      2,
      { cause: error },
    );
  }
}
