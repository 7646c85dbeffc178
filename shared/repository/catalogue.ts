import { readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { parseCheckpointId } from '../domain/checkpoint-id.ts';
import { StillpointError } from '../domain/errors.ts';
import type { GridManifest, MemberManifest } from '../domain/manifest.ts';
import { forEachConcurrently } from './concurrency.ts';
import { sha256 } from './digest.ts';
import { isName, type Layout } from './layout.ts';
import { damaged, MOST_MANIFEST_BYTES, parseGridManifest, parseMemberManifest } from './manifest-schema.ts';
import type { CatalogueEntry } from './repository.ts';
import { readError } from './storage-error.ts';
import { readStoredFile } from './stored-file.ts';

const LOOKS_AT_ONCE = 16;

/**
 * Where there will never be a commit object, because the checkpoint was given up, its place is taken by
 * another name of repository.json. No damage makes a commit object look like that.
 */
export function isGivenUp(text: string): boolean {
  return /^\{"format":\d+,"id":"[0-9a-f-]{36}"(,"digest":"[0-9a-f]{64}")?\}\n$/.test(text);
}

/** Reads all that is stored, whatever its purpose. Needs nothing but the repository: no live grid, no agent. */
export async function listCheckpoints(layout: Layout, grid?: string): Promise<CatalogueEntry[]> {
  const grids = grid === undefined ? (await namesIn(layout.grids())).filter(isName) : [grid];
  const entries: CatalogueEntry[] = [];
  for (const one of grids) {
    await forEachConcurrently(await checkpointsOf(layout, one), LOOKS_AT_ONCE, async (checkpoint) => {
      entries.push(await lookAt(layout, one, checkpoint));
    });
  }
  return entries.sort(newestFirst);
}

/** Rejects `checkpoint-missing` where it was not committed, or was and is being deleted. */
export async function readCheckpoint(
  layout: Layout,
  grid: string,
  checkpoint: string,
): Promise<GridManifest> {
  const path = layout.gridManifest(grid, checkpoint);
  const text = (await readOrNull(path))?.toString();
  if (text === undefined || isGivenUp(text)) throw checkpointMissing(grid, checkpoint);
  const manifest = parseGridManifest(text, path);
  if (manifest.grid !== grid || manifest.checkpoint !== checkpoint) {
    throw damaged(path, `it is of ${manifest.checkpoint} of grid ${manifest.grid}`);
  }
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
  const manifest = parseMemberManifest((await readDigested(path, digest)).toString(), path);
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
  for (const checkpoint of await checkpointsOf(layout, grid)) {
    const id = parseCheckpointId(checkpoint);
    if (id === null) continue;
    highest = { epoch: Math.max(highest.epoch, id.epoch), counter: Math.max(highest.counter, id.counter) };
  }
  return highest;
}

export function checkpointMissing(grid: string, checkpoint: string): StillpointError {
  return new StillpointError({
    code: 'checkpoint-missing',
    message: `the repository has no checkpoint ${checkpoint} of grid ${grid}`,
    hint: 'stillpoint checkpoint list shows what it has',
  });
}

/** Everything in a directory but hidden entries, sorted; empty when it is not there. */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).filter((name) => !name.startsWith('.')).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw readError(error, directory);
  }
}

async function checkpointsOf(layout: Layout, grid: string): Promise<string[]> {
  return (await namesIn(layout.checkpoints(grid))).filter((name) => parseCheckpointId(name) !== null);
}

async function lookAt(layout: Layout, grid: string, checkpoint: string): Promise<CatalogueEntry> {
  const entry = { grid, checkpoint, manifest: null };
  let manifest: GridManifest;
  try {
    manifest = await readCheckpoint(layout, grid, checkpoint);
  } catch (error) {
    if (isMissing(error)) return lookAtUncommitted(layout, grid, checkpoint);
    return { ...entry, state: 'damaged', cause: messageOf(error) };
  }
  for (const { name, manifestDigest } of manifest.members) {
    try {
      // The commit has parsed what has this digest.
      await readDigested(layout.member(grid, checkpoint, name), manifestDigest);
    } catch (error) {
      if (!(await isStillCommitted(layout, grid, checkpoint)))
        return lookAtUncommitted(layout, grid, checkpoint);
      return { ...entry, state: 'damaged', manifest, cause: messageOf(error) };
    }
  }
  return { ...entry, state: 'valid', manifest, cause: null };
}

async function lookAtUncommitted(layout: Layout, grid: string, checkpoint: string): Promise<CatalogueEntry> {
  const entry = { grid, checkpoint, manifest: null };
  return (await isBeingDeleted(layout, grid, checkpoint))
    ? { ...entry, state: 'deleting', cause: 'its deletion was begun and not ended' }
    : { ...entry, state: 'uncommitted', cause: 'it was not committed' };
}

/**
 * Who finds something of a committed checkpoint missing asks this before it says that it is damaged: somebody may
 * have begun to delete it since. The commit object goes first, so when it is there, nothing else may be missing.
 */
export async function isStillCommitted(layout: Layout, grid: string, checkpoint: string): Promise<boolean> {
  try {
    await readCheckpoint(layout, grid, checkpoint);
    return true;
  } catch (error) {
    return !isMissing(error);
  }
}

const DAMAGE: ReadonlySet<string> = new Set(['manifest-damaged', 'chunk-damaged']);

/** What a reader rejects with, when it found damage: `checkpoint-missing` where somebody began to delete it meanwhile. */
export async function damageUnlessDeleted(
  layout: Layout,
  grid: string,
  checkpoint: string,
  damage: unknown,
): Promise<unknown> {
  if (!(damage instanceof StillpointError) || !DAMAGE.has(damage.failure.code)) return damage;
  return (await isStillCommitted(layout, grid, checkpoint)) ? damage : checkpointMissing(grid, checkpoint);
}

function isMissing(error: unknown): boolean {
  return error instanceof StillpointError && error.failure.code === 'checkpoint-missing';
}

async function isBeingDeleted(layout: Layout, grid: string, checkpoint: string): Promise<boolean> {
  const names = await namesIn(layout.checkpoint(grid, checkpoint));
  const marks = [layout.gridManifest(grid, checkpoint), layout.deletedManifest(grid, checkpoint)];
  return marks.some((mark) => names.includes(basename(mark)));
}

async function readDigested(path: string, digest: string): Promise<Buffer> {
  const bytes = await readOrNull(path);
  if (bytes === null) throw damaged(path, 'it is missing');
  if (sha256(bytes) !== digest) {
    throw damaged(path, 'it does not have the digest that the grid manifest names');
  }
  return bytes;
}

/** Null where there is no such file. */
export async function readOrNull(path: string): Promise<Buffer | null> {
  const stored = await readStoredFile(path, MOST_MANIFEST_BYTES);
  if (stored.type === 'damaged') throw damaged(path, `it ${stored.cause}`);
  return stored.type === 'read' ? stored.bytes : null;
}

function newestFirst(a: CatalogueEntry, b: CatalogueEntry): number {
  const [first, second] = [parseCheckpointId(a.checkpoint), parseCheckpointId(b.checkpoint)];
  if (first === null || second === null) return 0;
  return (
    second.epoch - first.epoch || second.counter - first.counter || (a.checkpoint < b.checkpoint ? 1 : -1)
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
