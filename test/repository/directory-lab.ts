import { readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { madeRepository } from './made.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { GRID } from './samples.ts';

/** A repository in a fresh directory, and hands to do to its files what disks and crashes do. */
export interface DirectoryLab {
  readonly path: string;
  readonly repository: Repository;
  /** Another handle, as another process on another host would have. */
  open(options?: { patienceMs?: number }): Promise<Repository>;
  file(...parts: string[]): string;
  checkpointFile(checkpoint: string, ...parts: string[]): string;
  chunkFile(key: string): string;
  /** Keys of all chunk files, sorted; with temporary files, if there are any. */
  chunkFiles(): string[];
  /** Every file of the repository, relative to it, sorted. */
  allFiles(): string[];
  /** As if the processes that work here had been dead for an hour. */
  ageOperations(): void;
  close(): Promise<void>;
}

export async function directoryLab(): Promise<DirectoryLab> {
  const folder = temporaryFolder('repository');
  const path = join(folder.path, 'repository');
  const opened: Repository[] = [];
  const open = async (options: { patienceMs?: number } = {}): Promise<Repository> => {
    const one = await madeRepository(path, { ...options });
    opened.push(one);
    return one;
  };
  const grid = (...parts: string[]): string => join(path, 'grids', GRID, ...parts);
  const listed = (directory: string): string[] => {
    const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
      .sort();
  };
  return {
    path,
    repository: await open(),
    open,
    file: (...parts) => grid(...parts),
    checkpointFile: (checkpoint, ...parts) => grid('checkpoints', checkpoint, ...parts),
    chunkFile: (key) => grid('chunks', key.slice(0, 2), key),
    chunkFiles: () => listed(grid('chunks')).map((file) => file.slice(3)),
    allFiles: () => listed(path),
    ageOperations() {
      for (const name of readdirSync(grid('operations'))) age(grid('operations', name), 3_600_000);
    },
    async close() {
      await Promise.all(opened.map((one) => one.close()));
      folder.remove();
    },
  };
}

export function flipBit(path: string, at: number, bit = at % 8): void {
  const bytes = readFileSync(path);
  const index = at < 0 ? bytes.byteLength + at : at;
  bytes[index] = (bytes[index] ?? 0) ^ (1 << ((bit + 8) % 8));
  writeFileSync(path, bytes);
}

export function sizeOf(path: string): number {
  return statSync(path).size;
}

/** Makes a file as old as this, as if its writer had been silent since. */
export function age(path: string, byMs: number): void {
  const at = new Date(Date.now() - byMs);
  utimesSync(path, at, at);
}
