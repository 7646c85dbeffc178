import { readFile, realpath } from 'node:fs/promises';
import { StillpointError } from '../../../shared/domain/errors.ts';

/**
 * Throws where a file system is mounted below one of these directories, such as a disk of its own for the journal. It
 * would be moved away with the old directory, which nobody could remove then, and the new one would lie on another disk.
 */
export async function mustHoldNoMount(
  member: string,
  directories: readonly string[],
  mounts: () => Promise<string> = readMounts,
): Promise<void> {
  const table = await mounts();
  for (const path of directories) {
    // The table has the places themselves, and a path may lead there over links.
    const [mount] = mountsBelow(table, await realpath(path).catch(() => path));
    if (mount === undefined) continue;
    throw new StillpointError({
      code: 'data-has-mount',
      message: `${member}: ${mount} is a mount point below ${path}, which a restore replaces as a whole`,
      hint: 'mount it elsewhere, and let a link lead there (pg_wal may be one); or put the whole directory on that file system, one level below its mount point',
      member,
    });
  }
}

/** Of /proc/self/mountinfo: the fifth field of each line, with blanks and their like as octal numbers. */
export function mountsBelow(table: string, path: string): string[] {
  const root = `${path.replace(/\/+$/, '')}/`;
  return table
    .split('\n')
    .map((line) =>
      (line.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, code: string) =>
        String.fromCharCode(Number.parseInt(code, 8)),
      ),
    )
    .filter((mount) => mount.startsWith(root));
}

/** Empty where the system has no such table. */
function readMounts(): Promise<string> {
  return readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
}
