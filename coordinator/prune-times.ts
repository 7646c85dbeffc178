import { parseCheckpointId } from '../shared/domain/checkpoint-id.ts';
import { EXIT, StillpointError } from '../shared/domain/errors.ts';
import { longestPeriodMs, type KeepRule } from './keep-rule.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
/** Hosts whose clocks are kept differ by less. */
export const AHEAD_MS = 15 * MINUTE;
/** A distance is a leap when it is so many times the usual one, and longer than two days. */
const LEAP = { times: 10, leastMs: 2 * DAY };

/**
 * Refuses to count ages where the times in the ids cannot all be right: a checkpoint that was made by a clock that was
 * ahead would make all others look old. The times of the valid checkpoints of a lineage, newest first by number, and
 * the time where the repository is stored. With fewer than three checkpoints nothing is known of what is usual.
 * Distances that the rule itself leaves, since it keeps one of each month, are none that a clock has made.
 */
export function checkTimes(checkpoints: readonly string[], now: number, rule: KeepRule): void {
  const times = checkpoints.flatMap((checkpoint) => {
    const at = parseCheckpointId(checkpoint)?.at.getTime();
    return at === undefined ? [] : [{ checkpoint, at }];
  });
  const ahead = times.find(({ at }) => at > now + AHEAD_MS);
  if (ahead !== undefined)
    throw leap(
      `${ahead.checkpoint} is of ${dated(ahead.at)}, and where the repository is stored it is ${dated(now)}`,
    );
  const all = [{ checkpoint: 'now', at: now }, ...times];
  const distances = all.slice(1).map(({ checkpoint, at }, index) => {
    const later = all[index] ?? { checkpoint, at };
    return { ms: later.at - at, later, earlier: { checkpoint, at } };
  });
  const between = distances.slice(1).map(({ ms }) => Math.abs(ms));
  if (between.length < 2) return;
  const thinnedMs = 2 * longestPeriodMs(rule);
  // Where a rule thins out what is old, what lies nearer to each other is what is usual.
  const share = thinnedMs > 0 ? 4 : 2;
  const usual = between.toSorted((a, b) => a - b)[Math.floor((between.length - 1) / share)] ?? 0;
  const longest = Math.max(LEAP.leastMs, LEAP.times * usual);
  const newest = times[0]?.at ?? now;
  const found = distances.find(({ ms, later }, index) => {
    // Beside the newest one, and among what keep-within keeps, no rule has thinned out anything.
    const thinned = index > 1 && newest - later.at >= (rule.keepWithinMs ?? 0) - longest;
    return Math.abs(ms) > longest && !(thinned && ms > 0 && ms <= thinnedMs);
  });
  if (found === undefined) return;
  const { earlier, later } = found;
  throw leap(
    `between ${earlier.checkpoint} of ${dated(earlier.at)} and ${later.checkpoint} of ${dated(later.at)} are ${inDays(found.ms)} days, where ${inDays(usual)} are usual`,
  );
}

function leap(message: string): StillpointError {
  return new StillpointError(
    {
      code: 'time-leap',
      message,
      hint: 'is a clock wrong, here, on a host or where the repository is stored? If all these times are right, say so with --accept-times; --keep N asks no clock',
    },
    EXIT.refused,
  );
}

function dated(at: number): string {
  return new Date(at).toISOString();
}

function inDays(ms: number): string {
  return (Math.abs(ms) / DAY).toFixed(1);
}
