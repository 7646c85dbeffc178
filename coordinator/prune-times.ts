import { parseCheckpointId } from '../shared/domain/checkpoint-id.ts';
import { EXIT, StillpointError } from '../shared/domain/errors.ts';

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
 */
export function checkTimes(checkpoints: readonly string[], now: number): void {
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
  const usual = between.toSorted((a, b) => a - b)[Math.floor((between.length - 1) / 2)] ?? 0;
  const longest = Math.max(LEAP.leastMs, LEAP.times * usual);
  const found = distances.find(({ ms }) => Math.abs(ms) > longest);
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
