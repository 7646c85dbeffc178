import { medianAndMax } from '../benchmarks/figures.ts';
import type { Ending } from './fault-kinds.ts';
import type { Round } from './round.ts';
import { kindOf } from './plan.ts';
import type { Sample } from './samples.ts';

/** One agent, since it was last started. */
export interface Growth {
  readonly host: string;
  readonly starts: number;
  readonly checkpoints: number;
  readonly first: Sample;
  readonly last: Sample;
  /** By the median of all slopes between two checkpoints, the first quarter of them left out. */
  readonly slopeMb: number;
  readonly verdict: 'flat' | 'grows' | 'too short to say';
}

/** A slope over fewer checkpoints says nothing. */
const ENOUGH = 12;
/** So much in a run is growth. */
const MOST_MB = 10;

export const GROWTH_RULE =
  `grows: more descriptors or threads at rest than after its first checkpoint, or memory whose slope makes ` +
  `more than ${MOST_MB} MB over its checkpoints without the first quarter (of ${ENOUGH} checkpoints or more)`;

/** Of the samples of one host, oldest first; the last was taken at rest. Null where there is none. */
export function growthOf(samples: readonly Sample[]): Growth | null {
  const last = samples.at(-1);
  if (last === undefined) return null;
  const own = samples.filter(({ pid }) => pid === last.pid);
  const [first = last] = own;
  const settled = own.slice(Math.floor(own.length / 4));
  const slopeMb = slopeOf(settled.map(({ residentMb }) => residentMb));
  const holdsMore = last.descriptors > first.descriptors || last.threads > first.threads;
  const isLong = own.length >= ENOUGH;
  const grows = holdsMore || (isLong && slopeMb * settled.length > MOST_MB);
  return {
    host: last.host,
    starts: new Set(samples.map(({ pid }) => pid)).size,
    checkpoints: own.length,
    first,
    last,
    slopeMb,
    verdict: grows ? 'grows' : isLong ? 'flat' : 'too short to say',
  };
}

/** The median of the slopes between any two of the values, by step (Theil and Sen): a spike does not move it. */
export function slopeOf(values: readonly number[]): number {
  const slopes = values.flatMap((from, i) => values.slice(i + 1).map((to, j) => (to - from) / (j + 1)));
  slopes.sort((a, b) => a - b);
  const middle = slopes.length / 2;
  const [below = 0, above = 0] = [slopes[Math.ceil(middle) - 1], slopes[Math.floor(middle)]];
  return (below + above) / 2;
}

export interface Totals {
  readonly checkpoints: number;
  readonly byEnding: ReadonlyMap<Ending, number>;
  /** `aborted: agent-lost` → how often. */
  readonly causes: ReadonlyMap<string, number>;
  readonly faults: ReadonlyMap<string, number>;
  /** Committed, but not by the first attempt. */
  readonly triedAgain: number;
  readonly verified: number;
  readonly restored: number;
  readonly windowMs: { readonly median: number; readonly max: number };
  /** The longest that any client waited for one write, in ms. */
  readonly blockedMs: { readonly quiet: number; readonly faults: number; readonly serverFaults: number };
  readonly violations: readonly { readonly number: number; readonly text: string }[];
}

export function totalsOf(rounds: readonly Round[]): Totals {
  const blocked = (which: (round: Round) => boolean): number =>
    Math.max(0, ...rounds.filter(which).map(({ blockedMs }) => blockedMs));
  const stopsServer = ({ fault }: Round): boolean => fault !== null && kindOf(fault).stopsServer === true;
  return {
    checkpoints: rounds.length,
    byEnding: counted(rounds.map(({ ending }) => ending)),
    causes: counted(rounds.flatMap(({ ending, cause }) => (cause === null ? [] : [`${ending}: ${cause}`]))),
    faults: counted(rounds.flatMap(({ fault }) => (fault === null ? [] : [fault.kind]))),
    triedAgain: rounds.filter(({ ending, attempts }) => ending === 'committed' && attempts > 1).length,
    verified: rounds.filter(({ verified }) => verified).length,
    restored: rounds.filter(({ restored }) => restored).length,
    windowMs: medianAndMax(rounds.flatMap(({ windowMs }) => (windowMs === null ? [] : [windowMs]))),
    blockedMs: {
      quiet: blocked(({ fault }) => fault === null),
      faults: blocked((round) => round.fault !== null && !stopsServer(round)),
      serverFaults: blocked(stopsServer),
    },
    violations: rounds.flatMap(({ number, violations }) => violations.map((text) => ({ number, text }))),
  };
}

function counted<T>(values: readonly T[]): Map<T, number> {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}
