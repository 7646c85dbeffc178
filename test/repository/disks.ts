import { spawnSync } from 'node:child_process';
import { chmodSync, closeSync, mkdirSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../lab/temporary.ts';
import { systemError, watchSteps } from './file-system-steps.ts';

export interface SmallDisk {
  readonly path: string;
  /** Takes all the room that is left. */
  fill(): void;
  /** Gives back what `fill` took. */
  makeRoom(): void;
  remove(): void;
}

/**
 * A disk of this size. A real one where this process may mount; elsewhere the same error comes from the
 * calls that write, when as many bytes were written.
 */
export function smallDisk(sizeBytes: number): SmallDisk {
  const folder = temporaryFolder('small-disk');
  const path = join(folder.path, 'disk');
  mkdirSync(path);
  if (mount('-t', 'tmpfs', '-o', `size=${sizeBytes},mode=755`, 'stillpoint-test', path)) {
    const filler = join(path, 'filler');
    return {
      path,
      fill: () => fillUp(filler),
      makeRoom: () => rmSync(filler),
      remove() {
        umount(path);
        folder.remove();
      },
    };
  }
  let leftBytes = sizeBytes;
  const watch = watchSteps(async (step) => {
    if (step.call !== 'write' || !step.path.startsWith(path)) return;
    if (step.sizeBytes > leftBytes) throw systemError('ENOSPC', step);
    leftBytes -= step.sizeBytes;
  });
  let filledBytes = 0;
  return {
    path,
    fill() {
      filledBytes = Math.max(0, leftBytes);
      leftBytes -= filledBytes;
    },
    makeRoom() {
      leftBytes += filledBytes;
    },
    remove() {
      watch.restore();
      folder.remove();
    },
  };
}

/** Makes what lies under a directory read-only, by the strongest means this process has. */
export function makeReadOnly(path: string): { undo(): void } {
  if (mount('--bind', path, path)) {
    if (mount('-o', 'remount,ro,bind', path)) return { undo: () => umount(path) };
    umount(path);
  }
  if (process.getuid?.() === 0) {
    // Permission bits do not bind root, and there is no right to mount: what is left is the error itself.
    const watch = watchSteps((step) => {
      if (step.path.startsWith(path) && step.call !== 'sync') throw systemError('EROFS', step);
    });
    return { undo: () => watch.restore() };
  }
  const entries = readdirSync(path, { recursive: true, withFileTypes: true });
  const directories = entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
  const all = [path, ...directories];
  for (const one of all) chmodSync(one, 0o555);
  return {
    undo() {
      for (const one of all) chmodSync(one, 0o755);
    },
  };
}

function mount(...words: string[]): boolean {
  return process.getuid?.() === 0 && run('mount', words).status === 0;
}

function run(program: string, words: readonly string[]): { status: number | null; stderr: string } {
  return spawnSync(program, words, { encoding: 'utf8' });
}

function umount(path: string): void {
  const { status, stderr } = run('umount', [path]);
  if (status !== 0) throw new Error(`cannot unmount ${path}: ${stderr}`);
}

function fillUp(path: string): void {
  const file = openSync(path, 'w');
  try {
    for (let bytes = 1024 * 1024; bytes > 0; bytes = Math.floor(bytes / 2)) {
      while (hasRoom(() => writeSync(file, Buffer.alloc(bytes)) === bytes));
    }
  } finally {
    closeSync(file);
  }
}

function hasRoom(write: () => boolean): boolean {
  try {
    return write();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false;
    throw error;
  }
}
