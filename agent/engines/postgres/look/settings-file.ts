import { readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { mountsBelow } from '../../restore/mounts.ts';
import { refusalAs } from '../../restore/run-as.ts';
import { processOf } from '../restore/server-process.ts';

const FILE = 'postgresql.auto.conf';

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
    const asServer = (...command: string[]): Promise<string | null> => refusalAs({ uid, gid }, command);
    const seen = `/proc/${pid}/root${place}`;
    if ((await asServer('test', '-r', join(seen, 'PG_VERSION'))) !== null) return null;
    if ((await asServer('test', '-w', seen)) !== null) return `its user cannot write into ${place}`;
    const file = join(place, FILE);
    if (mountsBelow(await readFile(`/proc/${pid}/mountinfo`, 'utf8'), place).includes(file))
      return `${file} is a mount point, and no file can be renamed over it`;
    if ((await asServer('test', '-e', join(seen, FILE))) !== null) return null;
    const refused = await asServer(
      'dd',
      'if=/dev/null',
      `of=${join(seen, FILE)}`,
      'conv=nocreat,notrunc',
      'status=none',
    );
    // The system's own part of it: behind the last colon.
    return refused === null ? null : `its user cannot write ${file}: ${refused.split(': ').at(-1) ?? ''}`;
  } catch {
    return null;
  }
}
