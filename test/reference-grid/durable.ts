import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncFolder } from './journal.ts';

let lastWrite = Promise.resolve();

/** Replaces a file by these bytes, so that whoever opens it finds the old or the new, also after a crash; in order. */
export async function writeDurably(path: string, bytes: string | Buffer): Promise<void> {
  const write = lastWrite.then(() => replace(path, bytes));
  lastWrite = write.catch(() => undefined);
  await write;
}

async function replace(path: string, bytes: string | Buffer): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  const handle = await open(`${path}.new`, 'w');
  await handle.writeFile(bytes);
  await handle.sync();
  await handle.close();
  await rename(`${path}.new`, path);
  await syncFolder(dirname(path));
}

/** Undefined where there is no such file. */
export function readIfThere(path: string): unknown {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined;
}

/**
 * What a process starts from: `live/recovery`, if it is there, made its state by `recovered`; else its state.
 * The recovery file goes when the state is durable.
 */
export async function startingState<T>(
  live: string,
  name: string,
  recovered: (state: T) => T,
): Promise<T | undefined> {
  const recovery = readIfThere(join(live, 'recovery')) as T | undefined;
  if (recovery === undefined) return readIfThere(join(live, name)) as T | undefined;
  const state = recovered(recovery);
  await writeDurably(join(live, name), JSON.stringify(state));
  rmSync(join(live, 'recovery'));
  await syncFolder(live);
  return state;
}
