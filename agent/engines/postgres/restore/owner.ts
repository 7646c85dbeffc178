import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { PostgresSettings } from '../settings.ts';
import { isThere } from './places.ts';

const run = promisify(execFile);

/** Whose files and processes a member's are. Null: we are not root, and they are our own. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** `run.user`, else the owner of the data directory, else of the folder it will stand in. Never root. */
export async function ownerOf(settings: PostgresSettings): Promise<Owner | null> {
  if (process.getuid?.() !== 0) return null;
  const owner = await findOwner(settings);
  if (owner.uid !== 0) return owner;
  throw new StillpointError({
    code: 'postgres-owner',
    message: `${settings.name} would belong to root, and PostgreSQL does not run as root`,
    hint: `name its user in the agent file: run: { user: postgres }`,
  });
}

async function findOwner(settings: PostgresSettings): Promise<Owner> {
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
        code: 'postgres-owner',
        message: `there is no user ${user} on this host`,
        hint: 'correct run.user in the agent file, or make the user',
      },
      2,
      { cause: error },
    );
  }
}
