import { lstatSync, readdirSync } from 'node:fs';
import files from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { dirname, join } from 'node:path';
import { toLine, type Change } from './changes.ts';

/**
 * Records every change that this process makes at or below a directory, and syncs of the directory above it. As in
 * test/repository/file-system-steps.ts the functions of node:fs/promises themselves are replaced; `restore` puts them
 * back. `append` gets whole lines. What the repository does not use is not replaced: that nothing was missed shows
 * when the record, replayed to its end, is what lies on the disk.
 */
export function recordChanges(below: string, append: (line: string) => void): { restore(): void } {
  const original = { ...files };
  const isOurs = (path: unknown): boolean => {
    const text = String(path);
    return text === below || text.startsWith(`${below}/`) || text === dirname(below);
  };
  const recording = async <T>(
    changes: (result: T) => readonly Change[],
    work: () => Promise<T>,
  ): Promise<T> => {
    const askedNs = process.hrtime.bigint();
    const result = await work();
    const answeredNs = process.hrtime.bigint();
    for (const change of changes(result)) append(toLine(change, askedNs, answeredNs));
    return result;
  };

  files.mkdir = ((path: string, options?: { recursive?: boolean }) => {
    const work = (): Promise<string | undefined> => original.mkdir(path, { recursive: false, ...options });
    if (!isOurs(path)) return work();
    const made = (first: string | undefined): Change[] =>
      options?.recursive === true
        ? (first === undefined ? [] : leadingTo(path, first))
            .filter(isOurs)
            .map((one) => ({ call: 'mkdir', path: one }))
        : [{ call: 'mkdir', path }];
    return recording(made, work);
  }) as typeof files.mkdir;
  for (const call of ['link', 'rename'] as const) {
    files[call] = (from, path) => {
      const work = (): Promise<void> => original[call](from, path);
      return isOurs(path)
        ? recording(() => [{ call, path: String(path), from: String(from) }], work)
        : work();
    };
  }
  files.unlink = (path) =>
    isOurs(path)
      ? recording(
          () => [{ call: 'unlink', path: String(path) }],
          () => original.unlink(path),
        )
      : original.unlink(path);
  files.rm = (path, options) => {
    if (!isOurs(path)) return original.rm(path, options);
    const names = treeBelow(String(path));
    return recording(
      () => names.map((name): Change => ({ call: 'unlink', path: name })),
      () => original.rm(path, options),
    );
  };
  files.open = async (path, flags, mode) => {
    const work = (): Promise<files.FileHandle> => original.open(path, flags, mode);
    if (!isOurs(path)) return work();
    const makes = String(flags).startsWith('w');
    const handle = await recording<files.FileHandle>(
      () => (makes ? [{ call: 'create', path: String(path) }] : []),
      work,
    );
    recordHandle(handle, String(path), recording);
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

type Recording = <T>(changes: (result: T) => readonly Change[], work: () => Promise<T>) => Promise<T>;

function recordHandle(handle: files.FileHandle, path: string, recording: Recording): void {
  const writeFile = handle.writeFile.bind(handle);
  handle.writeFile = (data, ...options) =>
    recording(
      () => [{ call: 'write', path, at: null, content: inBase64(data) }],
      () => writeFile(data, ...options),
    );
  const write = handle.write.bind(handle) as (data: string, at: number) => Promise<never>;
  // Only in the one way in which the repository writes in the middle of a file.
  handle.write = (data: unknown, at: unknown) => {
    if (typeof data !== 'string' || typeof at !== 'number')
      throw new Error(`a write to ${path} of another kind`);
    return recording(
      () => [{ call: 'write', path, at, content: inBase64(data) }],
      () => write(data, at),
    );
  };
  for (const call of ['sync', 'datasync'] as const) {
    const sync = handle[call].bind(handle);
    handle[call] = () => recording(() => [{ call: 'sync', path }], sync);
  }
}

function inBase64(data: unknown): string {
  if (typeof data === 'string') return Buffer.from(data).toString('base64');
  if (data instanceof Uint8Array)
    return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64');
  throw new Error('written was something else than text or bytes');
}

/** From the first on, each directory down to the last. */
function leadingTo(last: string, first: string): string[] {
  const all: string[] = [];
  for (let at = last; at.length >= first.length; at = dirname(at)) all.unshift(at);
  return all;
}

/** Everything in a tree and the tree itself, in an order in which it can be removed; empty where nothing is. */
function treeBelow(path: string): string[] {
  try {
    if (!lstatSync(path).isDirectory()) return [path];
    return [...readdirSync(path).flatMap((name) => treeBelow(join(path, name))), path];
  } catch {
    return [];
  }
}
