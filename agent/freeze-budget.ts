/**
 * How often, and how long in total, the members of this host may be held within an hour.
 *
 * A lease bounds one freeze, not the next: a coordinator that freezes in a loop, or never stops renewing, could
 * keep a grid's clients waiting all day without breaking a rule of the protocol. So the agent counts. What is
 * spent is kept by the minute: sixty small numbers say enough, and a minute counts until an hour after its end.
 */
export interface FreezeBudget {
  /** Attempts at a freeze. */
  readonly perHour: number;
  /** Held by all of them together. */
  readonly totalMs: number;
}

/** What was spent in one minute, counted from the epoch of the clock that is used. */
interface SpentMinute {
  readonly minute: number;
  readonly freezes: number;
  readonly heldMs: number;
}

/** Oldest first, each minute once. */
export type Spending = readonly SpentMinute[];

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** Adds to what was spent at `at`; what no longer counts at `now` is dropped. Nothing falls below zero. */
export function spend(
  spending: Spending,
  now: number,
  add: { readonly at: number; readonly freezes: number; readonly heldMs: number },
): Spending {
  const minute = Math.floor(add.at / MINUTE_MS);
  const before = spending.find((one) => one.minute === minute) ?? { minute, freezes: 0, heldMs: 0 };
  const after = {
    minute,
    freezes: Math.max(0, before.freezes + add.freezes),
    heldMs: Math.max(0, before.heldMs + add.heldMs),
  };
  return [...spending.filter((one) => one.minute !== minute), after]
    .filter((one) => countsUntil(one) > now)
    .sort((a, b) => a.minute - b.minute);
}

/** What is left to be held within the hour, in milliseconds. */
export function remainingMs(budget: FreezeBudget, spending: Spending, now: number): number {
  return Math.max(0, budget.totalMs - sum(counting(spending, now), 'heldMs'));
}

/** How many attempts are left within the hour. */
export function remainingFreezes(budget: FreezeBudget, spending: Spending, now: number): number {
  return Math.max(0, budget.perHour - sum(counting(spending, now), 'freezes'));
}

/** When the next freeze is allowed: `now`, or the moment at which enough of what was spent no longer counts. */
export function allowedAt(budget: FreezeBudget, spending: Spending, now: number): number {
  let left = counting(spending, now);
  for (let at = now; ; left = left.slice(1)) {
    if (sum(left, 'freezes') < budget.perHour && sum(left, 'heldMs') < budget.totalMs) return at;
    const [oldest] = left;
    // A budget of nothing: an hour from now is as good as any.
    if (oldest === undefined) return now + HOUR_MS;
    at = countsUntil(oldest);
  }
}

/**
 * What an earlier process spent, as it counts for one whose clock begins at `now`. What lies in the future was
 * written before the clock was set back: it counts from now, and so for an hour at most.
 */
export function inherit(spending: Spending, now: number): Spending {
  const minute = Math.floor(now / MINUTE_MS);
  return spending.reduce<Spending>(
    (all, one) => spend(all, now, { ...one, at: Math.min(one.minute, minute) * MINUTE_MS }),
    [],
  );
}

function counting(spending: Spending, now: number): Spending {
  return spending.filter((one) => countsUntil(one) > now);
}

function countsUntil({ minute }: SpentMinute): number {
  return (minute + 1) * MINUTE_MS + HOUR_MS;
}

function sum(spending: Spending, of: 'freezes' | 'heldMs'): number {
  return spending.reduce((all, one) => all + one[of], 0);
}
