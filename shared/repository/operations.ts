import { randomUUID } from 'node:crypto';
import { lstat, open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import * as z from 'zod';
import { EXIT, StillpointError } from '../domain/errors.ts';
import { createExclusively, ensureDirectory, removeDurably } from './durable-files.ts';
import type { Layout } from './layout.ts';
import type { OperationLease, OperationStart } from './repository.ts';
import { readError, storageError } from './storage-error.ts';
import { readStoredFile } from './stored-file.ts';

/**
 * Who works in a grid's part of the repository. A running checkpoint relies on chunks that no committed
 * checkpoint names yet, so garbage collection must not run beside it.
 *
 * Both sides announce themselves first, by a marker in one directory, and look for the other afterwards.
 * Of two announcements one is second, and whoever made it sees the first: a collection that sees an
 * operation does nothing, an operation that sees a collection waits for it or gives up. If each sees the
 * other, the collection yields. Neither can miss the other. Over NFS this holds too: the look follows a
 * change of our own in the same directory, which makes the client drop what it had cached of it.
 *
 * The marker of a collection has its kind and its holder in its name, and no content: on a full disk, which it is to
 * clear, a content could not be written. That of an operation has them in its content.
 *
 * An operation that reads a checkpoint names it in its marker, and a deletion announces itself by a marker that has
 * the checkpoint in its name. Each looks for the other afterwards, and whoever finds the other gives up. The marker of
 * a deletion goes as soon as the checkpoint has lost its commit object: an operation that comes later finds none.
 *
 * A marker is refreshed by writing it again. One that was silent for too long is that of a dead process and
 * is removed by the other side. Its age is the difference between its time and that of a marker just
 * written by ourselves. Clocks that differ between hosts can make it look dead too early; that costs an
 * abort, and no chunk, by what follows.
 *
 * A process may only have been stopped, and go on. Removal of its marker is how it learns that it lost its
 * right: `refresh` finds that the file it wrote has its name no more. A commit asks after its commit object
 * stands, and takes it back if it must; a collection asks again and again while it removes.
 */
const SILENT_MS = {
  /** Its coordinator refreshes it every half minute, and a checkpoint that loses it is lost. */
  operation: 10 * 60 * 1000,
  /** Refreshed every few seconds; operations wait for it, so a killed one must not hold them up for long. */
  collection: 20_000,
  /** Not refreshed: what it announces takes one step. A killed one keeps readers off that checkpoint alone. */
  deletion: 10 * 60 * 1000,
} as const;
export const COLLECTION_REFRESH_MS = 4000;
const LOOK_AGAIN_MS = 200;
/** A marker says who holds it, and no more. */
const MOST_MARKER_BYTES = 64 * 1024;

const markerSchema = z.object({ holder: z.string(), reads: z.string().optional() });
const COLLECTION = /^collection-([^~]*)~[0-9a-f-]{36}\.json$/;
const DELETION = /^deletion-[0-9a-f-]{36}~(.+)\.json$/;

interface CollectionLease extends OperationLease {
  /** By the clock that dates the files of the repository. */
  readonly announcedMs: number;
}

type Kind = keyof typeof SILENT_MS;

/** What a marker says. */
interface Announced {
  readonly holder: string;
  /** The checkpoint that is read or deleted; null where none is, or where the marker does not say. */
  readonly checkpoint: string | null;
  /** False where the marker cannot be read: then it may read everything. */
  readonly isReadable: boolean;
}

/**
 * Rejects `repository-busy` when garbage is collected for longer than the patience, or the checkpoint that is to be
 * read is being deleted. That it is committed is for the caller to ask afterwards.
 */
export async function beginOperation(
  layout: Layout,
  operation: OperationStart,
  patienceMs: number,
): Promise<OperationLease> {
  const { grid, id, holder, reads } = operation;
  const path = layout.operation(grid, id);
  const lease = await announce(layout, path, JSON.stringify({ holder, reads }));
  const until = performance.now() + patienceMs;
  try {
    for (;;) {
      if (!(await lease.refresh())) throw takenForDead();
      const deletions = reads === undefined ? [] : await othersOf(layout, grid, 'deletion', path);
      if (deletions.some(({ checkpoint }) => checkpoint === reads)) throw busy(`a deletion of ${reads}`);
      const [collecting] = await othersOf(layout, grid, 'collection', path);
      if (collecting === undefined) return lease;
      if (performance.now() > until) throw busy(collecting.holder);
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
  } catch (error) {
    await lease.end();
    throw error;
  }
}

/** Null when an operation runs: then nothing may be collected now. */
export async function beginCollection(
  layout: Layout,
  grid: string,
  holder: string,
): Promise<CollectionLease | null> {
  const path = layout.collection(grid, holder, randomUUID());
  const lease = await announce(layout, path, '');
  try {
    // Markers of deletions that were killed keep readers off for nothing.
    await othersOf(layout, grid, 'deletion', path);
    if ((await othersOf(layout, grid, 'operation', path)).length === 0)
      return { ...lease, announcedMs: await announcedAt(path) };
  } catch (error) {
    await lease.end();
    throw error;
  }
  await lease.end();
  return null;
}

/** Rejects `repository-busy` where the marker lost its name: somebody took its process for dead. */
async function announcedAt(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw busy('another process, which took this one for dead');
    throw storageError(error, path);
  }
}

/** Rejects `repository-busy` where an operation reads this checkpoint. While it is held, no other begins to. */
export async function beginDeletion(
  layout: Layout,
  grid: string,
  checkpoint: string,
): Promise<OperationLease> {
  const path = layout.deletion(grid, checkpoint, randomUUID());
  const lease = await announce(layout, path, '');
  try {
    const operations = await othersOf(layout, grid, 'operation', path);
    const reader = operations.find((other) => !other.isReadable || other.checkpoint === checkpoint);
    if (reader === undefined) return lease;
    throw busy(`${reader.holder}, which reads ${checkpoint}`);
  } catch (error) {
    await lease.end();
    throw error;
  }
}

/** The checkpoints that running operations read, and who reads them. */
export async function readersOf(
  layout: Layout,
  grid: string,
): Promise<{ checkpoint: string; holder: string }[]> {
  const readers: { checkpoint: string; holder: string }[] = [];
  for (const name of await namesOf(layout.operations(grid))) {
    if (kindOf(name) !== 'operation') continue;
    const found = await look(join(layout.operations(grid), name));
    const { checkpoint = null, holder = '' } = found ?? {};
    if (checkpoint !== null) readers.push({ checkpoint, holder });
  }
  return readers;
}

async function namesOf(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).filter((name) => name.endsWith('.json') && !name.startsWith('.'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw readError(error, directory);
  }
}

/** What is named in no way that we know is taken for the kind that keeps every chunk. */
function kindOf(name: string): Kind {
  if (COLLECTION.test(name)) return 'collection';
  return DELETION.test(name) ? 'deletion' : 'operation';
}

async function announce(layout: Layout, path: string, text: string): Promise<OperationLease> {
  await ensureDirectory(layout, dirname(path));
  if (!(await createExclusively(path, text, true))) throw busy(`an operation of the same name at ${path}`);
  return {
    refresh: () => rewrite(path, text),
    end: () => removeDurably(path),
  };
}

/** False when the file lost its name meanwhile. It is never created anew: that would undo its removal. */
async function rewrite(path: string, text: string): Promise<boolean> {
  try {
    const file = await open(path, 'r+');
    try {
      const now = new Date();
      if (text === '') await file.utimes(now, now);
      else await file.write(text, 0);
      await file.datasync();
      return (await file.stat()).ino === (await stat(path)).ino;
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw storageError(error, path);
  }
}

/** What the live markers of one kind say. Removes those of dead processes. */
async function othersOf(layout: Layout, grid: string, kind: Kind, ownPath: string): Promise<Announced[]> {
  const directory = layout.operations(grid);
  const others: Announced[] = [];
  try {
    const now = (await stat(ownPath)).mtimeMs;
    for (const name of await namesOf(directory)) {
      const path = join(directory, name);
      if (name === basename(ownPath) || kindOf(name) !== kind) continue;
      const found = await look(path);
      if (found === null) continue;
      if (now - found.writtenAt > SILENT_MS[kind]) await removeDurably(path);
      else others.push(found);
    }
  } catch (error) {
    throw storageError(error, directory);
  }
  return others;
}

/** A marker that cannot be read is still one: its name has to do for its holder's. */
async function look(path: string): Promise<(Announced & { writtenAt: number }) | null> {
  try {
    const writtenAt = (await lstat(path)).mtimeMs;
    const name = basename(path);
    if (kindOf(name) !== 'operation') {
      const checkpoint = DELETION.exec(name)?.[1] ?? null;
      return { holder: COLLECTION.exec(name)?.[1] ?? name, checkpoint, isReadable: true, writtenAt };
    }
    const stored = await readStoredFile(path, MOST_MARKER_BYTES);
    if (stored.type === 'missing') return null;
    const text = stored.type === 'read' ? stored.bytes.toString() : '';
    const { data } = markerSchema.safeParse(parseJson(text));
    return {
      holder: data?.holder ?? name,
      checkpoint: data?.reads ?? null,
      isReadable: data !== undefined,
      writtenAt,
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** An operation was silent for so long that others took its marker away. */
export function takenForDead(): StillpointError {
  return busy('another process, which took this operation for dead');
}

function busy(holder: string): StillpointError {
  return new StillpointError(
    {
      code: 'repository-busy',
      message: `the repository is in use by ${holder}`,
      hint: 'try again when it is done; a killed one is forgotten ten minutes after its last word',
    },
    EXIT.refused,
  );
}
