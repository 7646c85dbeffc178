import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { madeRepository } from '../../repository/made.ts';
import type { Repository } from '../../../shared/repository/repository.ts';
import {
  checkpointId,
  GRID,
  readBack,
  storeCheckpoint,
  verified,
  type Files,
} from '../../repository/samples.ts';
import type { Expectations } from './expectations.ts';

/** Higher than any that a recorded run makes. */
const NEXT = checkpointId(9999);

/**
 * Asks a repository as a power cut left it: what is listed is true and whole, nothing that was reported is lost, and
 * it works on: a checkpoint that shares chunks with what lies there is stored, garbage is collected, and then all is
 * whole and nothing else is left. `shared`: files whose chunks the recorded run had stored.
 */
export async function checkAfterCut(location: string, expected: Expectations, shared: Files): Promise<void> {
  const repository = await madeRepository(location, { threads: 1 });
  try {
    const valid = await listedTruly(repository, expected);
    await storeCheckpoint(repository, NEXT, { next: shared });
    const { skipped } = await repository.collectGarbage(GRID);
    if (skipped) throw new Error('the garbage collection found somebody at work');
    const after = await repository.list(GRID);
    for (const { checkpoint, state, cause } of after)
      if (state !== 'valid') throw new Error(`after a collection ${checkpoint} is ${state}: ${cause}`);
    const kept = after.map(({ checkpoint }) => checkpoint).sort();
    if (kept.join() !== [...valid, NEXT].sort().join())
      throw new Error(`after a collection there are ${kept.join()}, before it were ${valid.join()}`);
    for (const checkpoint of kept) await mustBeWhole(repository, checkpoint);
    const read = await readBack(repository, NEXT, 'next');
    for (const [path, bytes] of Object.entries(shared))
      if (read[path]?.equals(bytes) !== true) throw new Error(`${path} reads as something else`);
    await nothingElseIsLeft(repository, location, kept);
  } finally {
    await repository.close();
  }
}

/** Resolves to the ids of the valid ones. */
async function listedTruly(repository: Repository, { valid, gone }: Expectations): Promise<string[]> {
  const entries = await repository.list(GRID);
  const found = entries.filter(({ state }) => state === 'valid').map(({ checkpoint }) => checkpoint);
  for (const { checkpoint, state, cause } of entries)
    if (state === 'damaged') throw new Error(`${checkpoint} is listed as damaged: ${cause}`);
  for (const checkpoint of valid)
    if (!found.includes(checkpoint)) throw new Error(`${checkpoint} was reported as committed`);
  for (const checkpoint of gone)
    if (found.includes(checkpoint)) throw new Error(`${checkpoint} was reported as deleted`);
  for (const checkpoint of found) await mustBeWhole(repository, checkpoint);
  return found;
}

async function mustBeWhole(repository: Repository, checkpoint: string): Promise<void> {
  const damage = await verified(repository, checkpoint);
  if (damage.length > 0) throw new Error(`${checkpoint} is listed as valid: ${damage.join(', ')}`);
}

async function nothingElseIsLeft(
  repository: Repository,
  location: string,
  checkpoints: readonly string[],
): Promise<void> {
  const needed = new Set<string>();
  for (const checkpoint of checkpoints) {
    const { members } = await repository.readCheckpoint(GRID, checkpoint);
    for (const { name, manifestDigest } of members) {
      const { artifacts } = await repository.readMember(GRID, checkpoint, name, manifestDigest);
      for (const artifact of artifacts)
        if (artifact.kind === 'file') for (const { key } of artifact.chunks) needed.add(key);
    }
  }
  const rooms = join(location, 'grids', GRID, 'chunks');
  const left = readdirSync(rooms).flatMap((room) => readdirSync(join(rooms, room)));
  const garbage = left.filter((key) => !needed.has(key));
  if (garbage.length > 0) throw new Error(`a collection left ${garbage.join(', ')}`);
}
