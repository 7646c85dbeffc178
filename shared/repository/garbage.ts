import { readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { EXIT, StillpointError } from '../domain/errors.ts';
import { checkpointMissing, isStillCommitted, listCheckpoints, namesIn, readMember } from './catalogue.ts';
import { giveUp, isThere, removeManifests, removeRemains, retire } from './deletion.ts';
import { TEMPORARY_PREFIX } from './durable-files.ts';
import type { MemberManifest } from '../domain/manifest.ts';
import { isName, type Layout } from './layout.ts';
import { dropLeftovers, keptSinceMs, readLeftovers } from './leftovers.ts';
import { beginCollection, beginDeletion, COLLECTION_REFRESH_MS } from './operations.ts';
import type { CatalogueEntry, OperationLease } from './repository.ts';
import { mustNotBeRetained } from './retention.ts';
import { storageError } from './storage-error.ts';

/** A temporary file outside the chunks that is older has no writer any more: each is written in one go. */
const STALE_MS = 60 * 60 * 1000;
/** How long a collection removes without asking whether it was taken for dead: far below that silence. */
const ASK_AGAIN_MS = 4000;

/** Rerunnable: what a crash left of the deletion is ended by the next, or by the next garbage collection. */
export async function deleteCheckpoint(
  layout: Layout,
  grid: string,
  checkpoint: string,
  holder: string,
): Promise<{ removedBytes: number }> {
  const directory = layout.checkpoint(grid, checkpoint);
  if (!(await isThere(directory))) throw checkpointMissing(grid, checkpoint);
  await retireUnread(layout, grid, checkpoint);
  await removeManifests(layout, grid, checkpoint);
  const { removedBytes, skipped } = await collectGarbage(layout, grid, holder);
  // An operation runs: the checkpoint goes now, its chunks with the next collection.
  if (skipped) await removeRemains(layout, grid, checkpoint);
  return { removedBytes };
}

/**
 * Rejects `repository-busy` while an operation reads it, and `checkpoint-held` where it is kept for good. One that begins
 * later finds no commit object.
 */
async function retireUnread(layout: Layout, grid: string, checkpoint: string): Promise<void> {
  const lease = await beginDeletion(layout, grid, checkpoint);
  try {
    await mustNotBeRetained(layout, grid, checkpoint);
    // Nothing of it was silent for long, or it was taken for dead.
    await asking(lease)();
    await retire(layout, grid, checkpoint);
  } finally {
    await lease.end();
  }
}

/** Does nothing to a checkpoint that is committed, or that is not there. */
export async function discardCheckpoint(layout: Layout, grid: string, checkpoint: string): Promise<void> {
  if (!(await isThere(layout.checkpoint(grid, checkpoint)))) return;
  if (!(await giveUp(layout, grid, checkpoint))) return;
  await removeManifests(layout, grid, checkpoint);
  await removeRemains(layout, grid, checkpoint);
}

/**
 * Removes every chunk that no committed checkpoint of the grid names, but for leftovers that wait for the next run,
 * and ends deletions that were begun.
 * Does nothing while an operation runs; rejects `manifest-damaged`, with nothing removed, when a committed
 * checkpoint cannot be read, for then it cannot know what is needed.
 */
export async function collectGarbage(
  layout: Layout,
  grid: string,
  holder: string,
): Promise<{ removedBytes: number; skipped: boolean }> {
  if (!(await isThere(layout.checkpoints(grid))) && !(await isThere(layout.chunks(grid)))) {
    return { removedBytes: 0, skipped: false };
  }
  const lease = await beginCollection(layout, grid, holder);
  if (lease === null) return { removedBytes: 0, skipped: true };
  const refreshing = setInterval(() => void lease.refresh().catch(() => undefined), COLLECTION_REFRESH_MS);
  try {
    const entries = await listCheckpoints(layout, grid);
    const needed = await neededChunks(layout, grid, entries);
    const dead = entries.filter(({ state }) => state === 'uncommitted' || state === 'deleting');
    // Nobody works here, so nobody will commit these; whoever tries late is shut out, then loses the chunks.
    for (const { checkpoint } of dead) {
      // Committed since we looked: then we were taken for dead, and know no more what is needed.
      if (!(await giveUp(layout, grid, checkpoint))) throw takenForDead();
      await removeManifests(layout, grid, checkpoint);
    }
    const leftovers = await readLeftovers(layout, grid);
    const isKept = keeping(needed, keptSinceMs(leftovers, lease.announcedMs));
    const removedBytes = await sweepChunks(layout, grid, isKept, lease);
    await dropLeftovers(layout, grid, ({ untilMs }) => lease.announcedMs > untilMs);
    for (const { checkpoint } of dead) await removeRemains(layout, grid, checkpoint);
    const living = entries.filter((entry) => !dead.includes(entry));
    await sweepTemporaries(layout, grid, living);
    return { removedBytes, skipped: false };
  } finally {
    clearInterval(refreshing);
    await lease.end();
  }
}

async function neededChunks(
  layout: Layout,
  grid: string,
  entries: readonly CatalogueEntry[],
): Promise<Set<string>> {
  const needed = new Set<string>();
  for (const { state, checkpoint, manifest, cause } of entries) {
    if (state === 'uncommitted' || state === 'deleting') continue;
    if (state === 'damaged' || manifest === null) throw unknownNeeds(checkpoint, cause);
    for (const { name, manifestDigest } of manifest.members) {
      let member: MemberManifest;
      try {
        member = await readMember(layout, grid, checkpoint, name, manifestDigest);
      } catch (error) {
        if (await isStillCommitted(layout, grid, checkpoint)) throw error;
        // Somebody deletes it: it needs nothing any more.
        break;
      }
      for (const artifact of member.artifacts) {
        if (artifact.kind === 'file') for (const { key } of artifact.chunks) needed.add(key);
      }
    }
  }
  return needed;
}

/**
 * The lease is asked before the first removal and in between: a collection that was stopped, and was taken for
 * dead, must not go on. Nothing is waited for between the last look at the clock and a removal, so what remains
 * is the one that was on its way to the disk.
 */
async function sweepChunks(
  layout: Layout,
  grid: string,
  isKept: (key: string, path: string) => Promise<boolean>,
  lease: OperationLease,
): Promise<number> {
  let removedBytes = 0;
  const isOurs = asking(lease);
  for (const room of await namesIn(layout.chunks(grid))) {
    const directory = join(layout.chunks(grid), room);
    for (const key of await entriesOf(directory)) {
      const path = join(directory, key);
      if (!(await isKept(key, path))) removedBytes += await removeFile(path, isOurs);
    }
  }
  return removedBytes;
}

/** What a checkpoint needs, and what was stored since the first run that left something. */
function keeping(
  needed: ReadonlySet<string>,
  sinceMs: number,
): (key: string, path: string) => Promise<boolean> {
  return async (key, path) => {
    if (needed.has(key)) return true;
    if (sinceMs === Infinity) return false;
    return stat(path).then(
      ({ mtimeMs }) => mtimeMs >= sinceMs,
      () => true,
    );
  };
}

/**
 * Asks the lease again when the last answer is old, by when it was asked for. By two clocks: the one does not
 * count the time for which a host was suspended, the other may be set back.
 */
function asking(lease: OperationLease): () => Promise<void> {
  let asked = { monotonicMs: -Infinity, wallMs: -Infinity };
  return async () => {
    for (;;) {
      const now = { monotonicMs: performance.now(), wallMs: Date.now() };
      const silentMs = Math.max(now.monotonicMs - asked.monotonicMs, now.wallMs - asked.wallMs);
      if (silentMs <= ASK_AGAIN_MS) return;
      if (!(await lease.refresh())) throw takenForDead();
      asked = now;
    }
  };
}

/** Those beside the chunks belong to nobody, as no operation runs; the others may be somebody's marker. */
async function sweepTemporaries(
  layout: Layout,
  grid: string,
  living: readonly CatalogueEntry[],
): Promise<void> {
  const now = Date.now();
  for (const directory of [
    layout.root,
    layout.operations(grid),
    layout.leftovers(grid),
    layout.verifications(grid),
    layout.restores(grid),
    layout.drills(grid),
    layout.epochs(grid),
    ...(await setDirectories(layout, grid)),
    // A power cut can bring back the second name of what was committed.
    ...living.flatMap(({ checkpoint }) => [
      layout.checkpoint(grid, checkpoint),
      layout.members(grid, checkpoint),
    ]),
  ]) {
    for (const name of await entriesOf(directory)) {
      if (!name.startsWith(TEMPORARY_PREFIX)) continue;
      const path = join(directory, name);
      const writtenAt = await stat(path).then(
        ({ mtimeMs }) => mtimeMs,
        () => now,
      );
      if (now - writtenAt > STALE_MS) await removeFile(path);
    }
  }
}

async function setDirectories(layout: Layout, grid: string): Promise<string[]> {
  const sets = (await namesIn(layout.sets(grid))).filter(isName);
  return sets.flatMap((set) => [
    layout.set(grid, set),
    ...(['begun', 'ended', 'read'] as const).map((kind) => layout.backups(grid, set, kind)),
    layout.images(grid, set),
  ]);
}

async function entriesOf(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw storageError(error, directory);
  }
}

/** Resolves to the bytes that it gave back; 0 when it was gone. `mayRemove` rejects when it may not any more. */
async function removeFile(path: string, mayRemove?: () => Promise<void>): Promise<number> {
  try {
    const { size } = await stat(path);
    await mayRemove?.();
    await unlink(path);
    return size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw storageError(error, path);
  }
}

function unknownNeeds(checkpoint: string, cause: string | null): StillpointError {
  return new StillpointError(
    {
      code: 'manifest-damaged',
      message: `no chunk was removed: what ${checkpoint} needs is not known (${cause ?? 'it cannot be read'})`,
      hint: `delete it too (stillpoint checkpoint delete ${checkpoint}), or bring its files back from a copy`,
    },
    EXIT.invalid,
  );
}

function takenForDead(): StillpointError {
  return new StillpointError({
    code: 'repository-busy',
    message: 'the garbage collection was silent for so long that another operation took it for dead',
    hint: 'what was removed was garbage; collect again when no operation runs',
  });
}
