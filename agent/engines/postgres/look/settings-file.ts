import { readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { mountsBelow } from '../../restore/mounts.ts';
import { refusalAs } from '../../restore/run-as.ts';
import { processOf } from '../restore/server-process.ts';

const FILE = 'postgresql.auto.conf';
const UNSEEN = 'unseen';
const DIRECTORY = 'directory';
/** One process for all of it: each costs an agent that holds much memory some milliseconds of standing still. */
const LOOK = `
test -r "$1/PG_VERSION" || { echo ${UNSEEN} >&2; exit 1; }
test -w "$1" || { echo ${DIRECTORY} >&2; exit 1; }
test -e "$2" || exit 0
exec dd if=/dev/null of="$2" conv=nocreat,notrunc status=none`;

/**
 * Why ALTER SYSTEM could not write its file, in words; null where nothing speaks against it, or where this agent cannot
 * see it (a server in a container, an agent that is neither root nor the server's user). The server opens the file for
 * writing, makes another beside it and renames that over it: asked as its own user, in the mounts that it has. Nothing
 * is written.
 */
export async function whySettingsFileStays(data: string): Promise<string | null> {
  const pid = await processOf(data).catch(() => null);
  if (pid === null) return null;
  try {
    const { uid, gid } = await stat(`/proc/${pid}`);
    if (![0, uid].includes(process.getuid?.() ?? -1)) return null;
    const place = await realpath(data);
    const seen = `/proc/${pid}/root${place}`;
    const refused = await refusalAs({ uid, gid }, ['sh', '-c', LOOK, 'sh', seen, join(seen, FILE)]);
    if (refused === UNSEEN) return null;
    if (refused === DIRECTORY) return `its user cannot write into ${place}`;
    const file = join(place, FILE);
    if (mountsBelow(await readFile(`/proc/${pid}/mountinfo`, 'utf8'), place).includes(file))
      return `${file} is a mount point, and no file can be renamed over it`;
    // The system's own part of it: behind the last colon.
    return refused === null ? null : `its user cannot write ${file}: ${refused.split(': ').at(-1) ?? ''}`;
  } catch {
    return null;
  }
}
