import { readdir, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { parseCheckpointId } from '../domain/checkpoint-id.ts';
import { StillpointError } from '../domain/errors.ts';
import type { GridManifest, MemberManifest } from '../domain/manifest.ts';
import { sha256 } from './digest.ts';
import type { Layout } from './layout.ts';
import { damaged, parseGridManifest, parseMemberManifest } from './manifest-schema.ts';
import type { CatalogueEntry } from './repository.ts';

/** Reads what is stored. Needs nothing but the repository: no live grid, no agent. */
export async function listCheckpoints(layout: Layout, grid?: string): Promise<CatalogueEntry[]> {
  const grids = grid === undefined ? await names(layout.grids()) : [grid];
  const entries: CatalogueEntry[] = [];
  for (const one of grids) {
    for (const checkpoint of await names(layout.checkpoints(one))) {
      if (parseCheckpointId(checkpoint) !== null) entries.push(await lookAt(layout, one, checkpoint));
    }
  }
  return entries.sort(newestFirst);
}

export async function readCheckpoint(
  layout: Layout,
  grid: string,
  checkpoint: string,
): Promise<GridManifest> {
  const path = layout.gridManifest(grid, checkpoint);
  const text = await readOrNull(path);
  if (text === null) {
    throw new StillpointError({
      code: 'checkpoint-missing',
      message: `the repository has no checkpoint ${checkpoint} of grid ${grid}`,
      hint: 'stillpoint checkpoint list shows what it has',
    });
  }
  const manifest = parseGridManifest(text, path, sha256);
  if (manifest.grid !== grid || manifest.checkpoint !== checkpoint)
    throw damaged(path, `it is of ${manifest.checkpoint}`);
  return manifest;
}

export async function readMember(
  layout: Layout,
  grid: string,
  checkpoint: string,
  member: string,
  digest: string,
): Promise<MemberManifest> {
  const path = layout.member(grid, checkpoint, member);
  const text = await readOrNull(path);
  if (text === null) throw damaged(path, 'it is missing');
  if (sha256(text) !== digest)
    throw damaged(path, 'it does not have the digest that the grid manifest names');
  const manifest = parseMemberManifest(text, path);
  if (manifest.grid !== grid || manifest.checkpoint !== checkpoint || manifest.member.name !== member) {
    throw damaged(path, `it is of ${manifest.member.name} in ${manifest.checkpoint}`);
  }
  return manifest;
}

/** Counts also what is damaged, half deleted or never committed: a number is never used twice. */
export async function highestNumber(
  layout: Layout,
  grid: string,
): Promise<{ epoch: number; counter: number }> {
  let highest = { epoch: 0, counter: 0 };
  for (const checkpoint of await names(layout.checkpoints(grid))) {
    const id = parseCheckpointId(checkpoint);
    if (id === null) continue;
    highest = { epoch: Math.max(highest.epoch, id.epoch), counter: Math.max(highest.counter, id.counter) };
  }
  return highest;
}

async function lookAt(layout: Layout, grid: string, checkpoint: string): Promise<CatalogueEntry> {
  const entry = { grid, checkpoint, manifest: null, cause: null };
  let manifest: GridManifest;
  try {
    manifest = await readCheckpoint(layout, grid, checkpoint);
  } catch (error) {
    const { failure } = error as StillpointError;
    if (failure?.code !== 'checkpoint-missing')
      return { ...entry, state: 'damaged', cause: messageOf(error) };
    const deleting = (await readOrNull(layout.deletedManifest(grid, checkpoint))) !== null;
    return deleting
      ? { ...entry, state: 'deleting', cause: 'its deletion was begun and not ended' }
      : { ...entry, state: 'uncommitted', cause: 'it was never committed' };
  }
  for (const member of manifest.members) {
    try {
      await readMember(layout, grid, checkpoint, member.name, member.manifestDigest);
    } catch (error) {
      return { ...entry, state: 'damaged', manifest, cause: messageOf(error) };
    }
  }
  return { ...entry, state: 'valid', manifest };
}

function newestFirst(a: CatalogueEntry, b: CatalogueEntry): number {
  const [first, second] = [parseCheckpointId(a.checkpoint), parseCheckpointId(b.checkpoint)];
  if (first === null || second === null) return 0;
  return (
    second.epoch - first.epoch || second.counter - first.counter || (a.checkpoint < b.checkpoint ? 1 : -1)
  );
}

export async function names(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).filter((name) => !basename(name).startsWith('.')).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

async function readOrNull(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
