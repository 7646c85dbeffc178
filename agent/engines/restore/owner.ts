import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { AnchoredDirectory } from '../../anchored-directory.ts';
import type { Owner } from '../../foreign-files.ts';

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

/** A user keeps his numbers for so long at least: to ask costs a process. */
const FRESH_MS = 60_000;
const known = new Map<string, { readonly owner: Owner; readonly askedAt: number }>();

/** `key`: where the agent's file names the user. */
export async function userNamed(user: string, key: string): Promise<Owner> {
  const before = known.get(user);
  if (before !== undefined && performance.now() - before.askedAt < FRESH_MS) return before.owner;
  try {
    const askedAt = performance.now();
    // uid=26(postgres) gid=26(postgres) groups=…: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/id.html
    const { stdout } = await run('id', ['--', user], { env: { ...process.env, LC_ALL: 'C' } });
    const [, uid, gid] = /^uid=(\d+)(?:\(.*?\))? gid=(\d+)/.exec(stdout) ?? [];
    if (uid === undefined || gid === undefined) throw new Error(`id said: ${stdout.trim()}`);
    const owner = { uid: Number(uid), gid: Number(gid) };
    known.set(user, { owner, askedAt });
    return owner;
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
