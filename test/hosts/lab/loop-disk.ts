import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../../lab/temporary.ts';
import { run, unmountBelow, until } from './machine.ts';
import { NoLabHere } from './tools.ts';

const GONE_MS = 20_000;

/** A disk that is a file: its loop device, and a place to mount what is on it. */
export interface LoopDisk {
  readonly device: string;
  /** A short path: sockets lie below it. */
  readonly place: string;
  /** Waits for processes on it to be gone, and unmounts what is mounted at or below `place`. Idempotent. */
  unmount(): Promise<void>;
  /** Unmounts, and removes the disk. */
  remove(): Promise<void>;
}

/** Throws `NoLabHere` where nobody can mount such a file system, or is not allowed to. */
export function mustKnow(fileSystem: string): void {
  if (process.platform !== 'linux') throw new NoLabHere('loop devices are of Linux');
  if (process.getuid?.() !== 0) throw new NoLabHere('only root can mount a disk');
  if (readFileSync('/proc/filesystems', 'utf8').split(/\s+/).includes(fileSystem)) return;
  // What is a module is not in the list before it is asked for.
  try {
    run('modprobe', [fileSystem]);
  } catch (error) {
    throw new NoLabHere(`the kernel has no ${fileSystem}: ${(error as Error).message}`);
  }
}

/** Only what is written takes room. Throws `NoLabHere` where there are no loop devices. */
export function loopDisk(gigabytes: number): LoopDisk {
  const folder = temporaryFolder('disk');
  const file = join(folder.path, 'file');
  const place = join(folder.path, 'on');
  writeFileSync(file, '');
  truncateSync(file, gigabytes * 1024 ** 3);
  mkdirSync(place);
  try {
    const device = run('losetup', ['--find', '--show', file]).trim();
    const unmount = (): Promise<void> => until(`nobody to use ${place}`, GONE_MS, () => isUnmounted(place));
    return {
      device,
      place,
      unmount,
      async remove() {
        await unmount();
        run('losetup', ['--detach', device]);
        folder.remove();
      },
    };
  } catch (error) {
    rmSync(folder.path, { recursive: true });
    throw new NoLabHere(`there are no loop devices: ${(error as Error).message}`);
  }
}

function isUnmounted(place: string): boolean {
  try {
    unmountBelow(place);
    return true;
  } catch {
    return false;
  }
}
