import { parseCheckpointId, type CheckpointId } from '../shared/domain/checkpoint-id.ts';
import type { CatalogueEntry } from '../shared/repository/repository.ts';

export interface KeepRule {
  /** So many of the newest; null where this is not asked. */
  readonly keep: number | null;
  /** What is no older than the newest valid one by more than this; null where this is not asked. */
  readonly keepWithinMs: number | null;
}

export interface LocalCopies {
  readonly host: string;
  readonly checkpoints: readonly string[];
}

export interface PrunePlan {
  /** Oldest first. */
  readonly deleted: readonly string[];
  /** Newest first. */
  readonly kept: readonly string[];
  /** What is dropped on hosts; those with nothing to drop are not named. */
  readonly local: readonly LocalCopies[];
}

/**
 * What a rule keeps and what it deletes. Pure. Order is by epoch and counter; the time in an id counts for
 * `keepWithinMs` alone, and no clock does: ages count from the newest valid checkpoint, which is always kept. What is
 * not valid is neither kept nor deleted: it takes no place from a valid one. What somebody reads now stays this time.
 * A local copy stays with its checkpoint; one that the repository has no valid checkpoint of is measured by the same
 * rule, among all.
 */
export function planPrune(input: {
  readonly entries: readonly Pick<CatalogueEntry, 'checkpoint' | 'state'>[];
  readonly local: readonly LocalCopies[];
  readonly rule: KeepRule;
  /** Checkpoints that running operations read. */
  readonly read: readonly string[];
}): PrunePlan {
  const { entries, local, rule, read } = input;
  const valid = newestFirst(
    entries.filter(({ state }) => state === 'valid').map(({ checkpoint }) => checkpoint),
  );
  const kept = keptOf(valid, rule, valid[0]);
  const everywhere = newestFirst([...valid, ...local.flatMap(({ checkpoints }) => checkpoints)]);
  const stays = new Set([
    ...kept,
    ...read,
    ...keptOf(everywhere, rule, valid[0] ?? everywhere[0]).filter(
      (checkpoint) => !valid.includes(checkpoint),
    ),
  ]);
  return {
    deleted: valid.filter((checkpoint) => !kept.includes(checkpoint) && !read.includes(checkpoint)).reverse(),
    kept: valid.filter((checkpoint) => kept.includes(checkpoint) || read.includes(checkpoint)),
    local: local
      .map(({ host, checkpoints }) => ({
        host,
        checkpoints: newestFirst(checkpoints)
          .filter((checkpoint) => !stays.has(checkpoint))
          .reverse(),
      }))
      .filter(({ checkpoints }) => checkpoints.length > 0),
  };
}

/** What ages are counted among, newest first: what is valid, and only where nothing is, the copies that hosts have. */
export function agesFrom(valid: readonly string[], local: readonly LocalCopies[]): string[] {
  return newestFirst(valid.length > 0 ? valid : local.flatMap(({ checkpoints }) => checkpoints));
}

function keptOf(checkpoints: readonly string[], rule: KeepRule, newest: string | undefined): string[] {
  return checkpoints.filter((checkpoint, index) => {
    const age = newest === undefined ? 0 : timeOf(newest) - timeOf(checkpoint);
    return index < Math.max(1, rule.keep ?? 0) || (rule.keepWithinMs !== null && age <= rule.keepWithinMs);
  });
}

function timeOf(checkpoint: string): number {
  return parseCheckpointId(checkpoint)?.at.getTime() ?? 0;
}

/** Each once. What is not named as a checkpoint is not ours. */
function newestFirst(checkpoints: readonly string[]): string[] {
  return [...new Set(checkpoints)]
    .flatMap((checkpoint) => {
      const id = parseCheckpointId(checkpoint);
      return id === null ? [] : [{ checkpoint, id }];
    })
    .sort((a, b) => byNumber(b.id, a.id) || (a.checkpoint < b.checkpoint ? 1 : -1))
    .map(({ checkpoint }) => checkpoint);
}

function byNumber(a: CheckpointId, b: CheckpointId): number {
  return a.epoch - b.epoch || a.counter - b.counter;
}
