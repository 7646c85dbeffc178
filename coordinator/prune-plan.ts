import { parseCheckpointId, type CheckpointId } from '../shared/domain/checkpoint-id.ts';
import type { CatalogueEntry } from '../shared/repository/repository.ts';
import { keptOf, type KeepRule } from './keep-rule.ts';

export interface LocalCopies {
  readonly host: string;
  readonly checkpoints: readonly string[];
}

export interface PrunePlan {
  /** Oldest first. */
  readonly deleted: readonly string[];
  /** Newest first. */
  readonly kept: readonly string[];
  /** Of each that the rule keeps: the parts of the rule, in the words of the command's options. */
  readonly keptBy: Readonly<Record<string, readonly string[]>>;
  /** What is dropped on hosts; those with nothing to drop are not named. */
  readonly local: readonly LocalCopies[];
}

/**
 * What a rule keeps and what it deletes. Pure. Order is by epoch and counter; the time in an id counts for
 * `keepWithinMs` and the calendar alone, and no clock does: ages count from the newest valid checkpoint, which is
 * always kept. What is not valid is neither kept nor deleted: it takes no place from a valid one. What somebody reads
 * now stays this time, and what is kept for good until it is released. A local copy stays with its checkpoint; one that the repository has no valid checkpoint of is
 * measured by the same rule, among all.
 */
export function planPrune(input: {
  readonly entries: readonly Pick<CatalogueEntry, 'checkpoint' | 'state'>[];
  readonly local: readonly LocalCopies[];
  readonly rule: KeepRule;
  /** Checkpoints that running operations read. */
  readonly read: readonly string[];
  /** Those that are kept for good. */
  readonly retained: readonly string[];
}): PrunePlan {
  const { entries, local, rule, read, retained } = input;
  const valid = newestFirst(
    entries.filter(({ state }) => state === 'valid').map(({ checkpoint }) => checkpoint),
  );
  const kept = new Map(keptOf(valid, rule, valid[0]));
  for (const checkpoint of retained.filter((one) => valid.includes(one)))
    kept.set(checkpoint, [...(kept.get(checkpoint) ?? []), 'held']);
  const stayed = (checkpoint: string): boolean => kept.has(checkpoint) || read.includes(checkpoint);
  const everywhere = newestFirst([...valid, ...local.flatMap(({ checkpoints }) => checkpoints)]);
  const stays = new Set([
    ...kept.keys(),
    ...read,
    ...retained,
    ...[...keptOf(everywhere, rule, valid[0] ?? everywhere[0]).keys()].filter(
      (checkpoint) => !valid.includes(checkpoint),
    ),
  ]);
  return {
    deleted: valid.filter((checkpoint) => !stayed(checkpoint)).reverse(),
    kept: valid.filter(stayed),
    keptBy: Object.fromEntries(kept),
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

/** Of what held the grid and copied nothing. `keptBy` names sets too, beside the parts of the rule. */
export type HoldsPlan = Pick<PrunePlan, 'deleted' | 'kept' | 'keptBy'>;

/**
 * The same rule for quiesces, freezes and journal checkpoints, counted apart. `needed`: which sets have backups that were
 * made under each; without it these sets could be restored to nothing.
 */
export function planHolds(
  holds: readonly string[],
  rule: KeepRule,
  needed: ReadonlyMap<string, readonly string[]>,
  retained: readonly string[],
): HoldsPlan {
  const entries = holds.map((checkpoint) => ({ checkpoint, state: 'valid' as const }));
  const { deleted, kept, keptBy } = planPrune({
    entries,
    local: [],
    rule,
    read: [...needed.keys()],
    retained,
  });
  return {
    deleted,
    kept,
    keptBy: Object.fromEntries(
      kept.map((checkpoint) => [
        checkpoint,
        [...(keptBy[checkpoint] ?? []), ...(needed.get(checkpoint) ?? []).map((set) => `set ${set}`)],
      ]),
    ),
  };
}

/** What ages are counted among, newest first: what is valid, and only where nothing is, the copies that hosts have. */
export function agesFrom(valid: readonly string[], local: readonly LocalCopies[]): string[] {
  return newestFirst(valid.length > 0 ? valid : local.flatMap(({ checkpoints }) => checkpoints));
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
