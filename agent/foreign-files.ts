import type { Stats } from 'node:fs';
import { EXIT, StillpointError } from '../shared/domain/errors.ts';

/*
 * A directory is foreign when anybody but root and us can put names into it. In a foreign directory
 *   - no link is followed; links that an administrator put into directories of root's are,
 *   - a file is made new, and given away by its handle,
 *   - a file is read only where it is a plain file that the directory's user could read too: a hard link to a file
 *     of root's is none,
 *   - a directory of root's is not removed with what is in it: another user may have put it there, who could not
 *     remove it.
 */

/** Whose files are. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Whether anybody but root and us can put names into a directory with these attributes. */
export function isForeign({ uid, gid, mode }: Stats): boolean {
  if (uid !== 0 && uid !== process.getuid?.()) return true;
  return (mode & 0o002) !== 0 || ((mode & 0o020) !== 0 && gid !== 0 && gid !== process.getegid?.());
}

/**
 * Whether the user that can write in `directory` could read what is there with these attributes. `reader`: who that is
 * where the directory is root's or ours.
 */
export function mayRead(stats: Stats, directory: Stats, reader: Owner | null): boolean {
  if (!isForeign(directory)) return true;
  const own = directory.uid !== 0 && directory.uid !== process.getuid?.();
  const user = own ? directory : reader;
  const needed = stats.isDirectory() ? 0o5 : 0o4;
  if ((stats.mode & needed) === needed) return true;
  if (user === null || user.uid === 0) return false;
  if (stats.uid === user.uid) return true;
  return stats.gid === user.gid && (stats.mode & (needed << 3)) === needed << 3;
}

/** Something of root's where another user puts the names: it need not be what we left there. */
export function isTrap(stats: Stats, directory: Stats): boolean {
  return isForeign(directory) && stats.uid === 0 && process.getuid?.() === 0;
}

/** The error of a path in `directory` that is not what it must be, in words that go on after its name. */
export function unsafePath(path: string, what: string, directory: Stats): StillpointError {
  const where = isForeign(directory) ? `, in a directory that user ${directory.uid} can write` : '';
  return new StillpointError(
    {
      code: 'unsafe-path',
      message: `${path} ${what}${where}`,
      hint: 'name the real path in the agent file, or see who put it there; it was left as it is',
    },
    EXIT.aborted,
  );
}
