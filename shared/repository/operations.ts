import { randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StillpointError } from '../domain/errors.ts';
import { makeDirectory, removeDurably, replaceFile } from './durable-files.ts';
import { part, type Layout } from './layout.ts';
import type { OperationLease } from './repository.ts';

/**
 * Who works in a grid's part of the repository. A running checkpoint may rely on a chunk that no committed
 * checkpoint names, so garbage collection must not run beside it.
 *
 * Both sides announce themselves first and look for the other afterwards. Whichever announcement is durable
 * second sees the first: a collection that sees an operation does nothing, an operation that sees a
 * collection waits for it. Neither can miss the other. A marker that was not refreshed for ten minutes is
 * that of a dead process.
 */
const SILENT_MS = 10 * 60 * 1000;
const PATIENCE_MS = 30_000;

interface Marker {
  readonly kind: 'operation' | 'collection';
  readonly holder: string;
  readonly refreshedAt: number;
}

export async function beginOperation(
  layout: Layout,
  grid: string,
  id: string,
  holder: string,
): Promise<OperationLease> {
  const lease = await announce(layout, grid, `${part(id)}.json`, 'operation', holder);
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    const collecting = (await othersOf(layout, grid, 'collection'))[0];
    if (collecting === undefined) return lease;
    if (Date.now() > until) {
      await lease.end();
      throw new StillpointError({
        code: 'repository-busy',
        message: `garbage is being collected in the repository by ${collecting}`,
        hint: 'try again when it is done; a killed one ends ten minutes after its last word',
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** Null when an operation runs: then nothing may be collected now. */
export async function beginCollection(
  layout: Layout,
  grid: string,
  holder: string,
): Promise<OperationLease | null> {
  const lease = await announce(layout, grid, `collection-${randomUUID()}.json`, 'collection', holder);
  if ((await othersOf(layout, grid, 'operation')).length === 0) return lease;
  await lease.end();
  return null;
}

async function announce(
  layout: Layout,
  grid: string,
  name: string,
  kind: Marker['kind'],
  holder: string,
): Promise<OperationLease> {
  const directory = layout.operations(grid);
  const path = join(directory, name);
  await makeDirectory(directory);
  const write = (): Promise<void> =>
    replaceFile(path, JSON.stringify({ kind, holder, refreshedAt: Date.now() } satisfies Marker));
  await write();
  return {
    async refresh() {
      const still = (await readMarker(path)) !== null;
      if (still) await write();
      return still;
    },
    end: () => removeDurably(path),
  };
}

/** The holders of live markers of this kind. Removes those of dead processes. */
async function othersOf(layout: Layout, grid: string, kind: Marker['kind']): Promise<string[]> {
  const directory = layout.operations(grid);
  const holders: string[] = [];
  for (const name of await readdir(directory)) {
    if (!name.endsWith('.json') || name.startsWith('.')) continue;
    const marker = await readMarker(join(directory, name));
    if (marker === null || marker.kind !== kind) continue;
    if (Date.now() - marker.refreshedAt > SILENT_MS) await removeDurably(join(directory, name));
    else holders.push(marker.holder);
  }
  return holders;
}

async function readMarker(path: string): Promise<Marker | null> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Marker;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    // Half a marker is somebody's who is there.
    return { kind: 'operation', holder: 'unknown', refreshedAt: Date.now() };
  }
}
