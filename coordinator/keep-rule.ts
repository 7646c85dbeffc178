import { parseCheckpointId } from '../shared/domain/checkpoint-id.ts';

/** Periods of the calendar of UTC, in which the times of ids are; a week begins on Monday (ISO 8601). */
export const PERIODS = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;
type Period = (typeof PERIODS)[number];

export interface KeepRule {
  /** So many of the newest; null where this is not asked. */
  readonly keep: number | null;
  /** What is no older than the newest valid one by more than this; null where this is not asked. */
  readonly keepWithinMs: number | null;
  /** The newest one of each of so many periods, counted back from the newest that has one. Periods without one do not count. */
  readonly calendar: Readonly<Partial<Record<Period, number>>>;
}

/** Whether anything is asked at all: else all but the newest would go. */
export function saysSomething(rule: KeepRule): boolean {
  return rule.keep !== null || goesByTimes(rule);
}

/** Whether the times in the ids decide, and with them the clocks that they were read from. */
export function goesByTimes({ keepWithinMs, calendar }: KeepRule): boolean {
  return keepWithinMs !== null || PERIODS.some((period) => calendar[period] !== undefined);
}

/**
 * Those of `checkpoints`, newest first, that the rule keeps, each with the parts of the rule that keep it, in the words of
 * the command's options. The first is kept always; ages count from `newest`.
 */
export function keptOf(
  checkpoints: readonly string[],
  rule: KeepRule,
  newest: string | undefined,
): ReadonlyMap<string, readonly string[]> {
  const kept = new Map<string, readonly string[]>();
  const had = new Map(PERIODS.map((period) => [period, new Set<string>()]));
  checkpoints.forEach((checkpoint, index) => {
    const age = newest === undefined ? 0 : timeOf(newest).getTime() - timeOf(checkpoint).getTime();
    const reasons = [
      ...(index === 0 ? ['newest'] : []),
      ...(index < (rule.keep ?? 0) ? ['keep'] : []),
      ...(rule.keepWithinMs !== null && age <= rule.keepWithinMs ? ['keep-within'] : []),
      ...PERIODS.flatMap((period) => {
        const name = NAMES[period](timeOf(checkpoint));
        const before = had.get(period) ?? new Set<string>();
        if (before.has(name) || before.size >= (rule.calendar[period] ?? 0)) return [];
        before.add(name);
        return [`keep-${period} ${name}`];
      }),
    ];
    if (reasons.length > 0) kept.set(checkpoint, reasons);
  });
  return kept;
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const LENGTHS: Readonly<Record<Period, number>> = {
  hourly: HOUR,
  daily: DAY,
  weekly: 7 * DAY,
  monthly: 31 * DAY,
  yearly: 366 * DAY,
};

/** Of the periods that the rule asks for; 0 where it asks for none. */
export function longestPeriodMs({ calendar }: KeepRule): number {
  return Math.max(
    0,
    ...PERIODS.flatMap((period) => (calendar[period] === undefined ? [] : [LENGTHS[period]])),
  );
}

const NAMES: Readonly<Record<Period, (at: Date) => string>> = {
  hourly: (at) => `${at.toISOString().slice(0, 13)}h`,
  daily: (at) => at.toISOString().slice(0, 10),
  weekly: weekOf,
  monthly: (at) => at.toISOString().slice(0, 7),
  yearly: (at) => at.toISOString().slice(0, 4),
};

/** ISO 8601: the week of a day is of the year that its Thursday is in. */
function weekOf(at: Date): string {
  const midnight = Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate());
  const fromMonday = (at.getUTCDay() + 6) % 7;
  const thursday = new Date(midnight + (3 - fromMonday) * DAY);
  const ofYear = (thursday.getTime() - Date.UTC(thursday.getUTCFullYear(), 0, 1)) / DAY;
  return `${thursday.getUTCFullYear()}-W${String(1 + Math.floor(ofYear / 7)).padStart(2, '0')}`;
}

/** Of what is not named as a checkpoint: the beginning of all times. */
function timeOf(checkpoint: string): Date {
  return parseCheckpointId(checkpoint)?.at ?? new Date(0);
}
