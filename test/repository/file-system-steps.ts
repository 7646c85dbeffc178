import { constants, rmSync } from 'node:fs';
import files from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

/**
 * Watches the calls by which the repository changes the file system, so that a test can stop, fail or hold
 * it at exactly one of them. The production code has no seam for this: the functions of node:fs/promises
 * themselves are replaced, and put back by `restore`.
 */
export interface Step {
  readonly call: 'open' | 'mkdir' | 'link' | 'rename' | 'unlink' | 'rm' | 'write' | 'sync';
  /** The path that is changed; of a link or rename, the new name. */
  readonly path: string;
  /** The other path of a link or rename. */
  readonly from: string | null;
  /** What is to be written. */
  readonly sizeBytes: number;
}

/** Called before each step; what it throws the step throws, and while it waits the step waits. */
export type Watcher = (step: Step) => Promise<void> | void;

export function watchSteps(watcher: Watcher): { restore(): void } {
  const original = { ...files };
  files.mkdir = (async (path: string, options: object) => {
    await watcher({ call: 'mkdir', path, from: null, sizeBytes: 0 });
    return original.mkdir(path, options);
  }) as typeof files.mkdir;
  for (const call of ['link', 'rename'] as const) {
    files[call] = async (from, to) => {
      await watcher({ call, path: String(to), from: String(from), sizeBytes: 0 });
      return original[call](from, to);
    };
  }
  for (const call of ['unlink', 'rm'] as const) {
    files[call] = async (path: unknown, options?: object) => {
      await watcher({ call, path: String(path), from: null, sizeBytes: 0 });
      return original[call](path as string, options);
    };
  }
  files.open = async (path, flags, mode) => {
    if (!reads(flags)) await watcher({ call: 'open', path: String(path), from: null, sizeBytes: 0 });
    const handle = await original.open(path, flags, mode);
    watchHandle(handle, String(path), watcher);
    return handle;
  };
  syncBuiltinESMExports();
  return {
    restore() {
      Object.assign(files, original);
      syncBuiltinESMExports();
    },
  };
}

/** Opened for reading alone, in words or in bits: that changes nothing. */
function reads(flags: string | number | undefined): boolean {
  if (typeof flags === 'number') return (flags & (constants.O_WRONLY | constants.O_RDWR)) === 0;
  return flags === 'r';
}

function watchHandle(handle: files.FileHandle, path: string, watcher: Watcher): void {
  const writeFile = handle.writeFile.bind(handle);
  handle.writeFile = async (...content) => {
    const [data] = content;
    const sizeBytes = typeof data === 'string' || data instanceof Uint8Array ? Buffer.byteLength(data) : 0;
    await watcher({ call: 'write', path, from: null, sizeBytes });
    return writeFile(...content);
  };
  for (const call of ['sync', 'datasync'] as const) {
    const sync = handle[call].bind(handle);
    handle[call] = async () => {
      await watcher({ call: 'sync', path, from: null, sizeBytes: 0 });
      return sync();
    };
  }
}

/** What the operating system would say. */
export function systemError(code: string, step: Step): Error {
  return Object.assign(new Error(`${code}: made by a test, ${step.call} '${step.path}'`), {
    code,
    syscall: step.call,
  });
}

/** Runs the work; from its step number `count` on, nothing can be changed any more, as after a crash. */
export async function crashAfter(count: number, work: () => Promise<unknown>): Promise<'crashed' | 'done'> {
  let steps = 0;
  const watch = watchSteps(async (step) => {
    steps += 1;
    if (steps === count + 1 && step.call === 'rm') await tear(step.path);
    if (steps > count) throw systemError('EIO', step);
  });
  try {
    await work();
    return 'done';
  } catch (error) {
    if (steps > count) return 'crashed';
    throw error;
  } finally {
    watch.restore();
  }
}

/** Removing a tree takes many steps of the kernel: it may end with one file gone and the others there. */
async function tear(tree: string): Promise<void> {
  const entries = await files.readdir(tree, { recursive: true, withFileTypes: true }).catch(() => []);
  const first = entries.find((entry) => entry.isFile());
  if (first !== undefined) rmSync(`${first.parentPath}/${first.name}`);
}
