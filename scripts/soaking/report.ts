import { inMegabytes } from '../../coordinator/megabytes.ts';
import type { Ending } from './fault-kinds.ts';
import { GROWTH_RULE, type Growth, type Totals } from './figures.ts';
import { tellFault } from './plan.ts';
import type { Round } from './round.ts';
import type { Sample } from './samples.ts';
import type { SoakResult } from './soak-result.ts';

const ENDINGS: readonly Ending[] = ['committed', 'aborted', 'invalid', 'killed', 'refused', 'maybeFrozen'];

/** One line for a checkpoint, and what it violated below it, whole. */
export function tellRound(round: Round): string {
  const { number, ending, cause, windowMs, attempts, verified, thawMs, fault, violations } = round;
  const time = new Date().toISOString().slice(11, 19);
  const words = [
    `${time} #${number}`.padEnd(14),
    ending.padEnd(9),
    windowMs === null ? '' : `window ${windowMs} ms`,
    `took ${seconds(round.durationMs)}`,
    attempts > 1 ? `attempt ${attempts}` : '',
    verified ? 'verified' : '',
    round.restored ? 'restored and checked' : '',
    cause ?? '',
    fault === null ? '' : `[${tellFault(fault)}]`,
    thawMs === null ? '' : `commits after ${seconds(thawMs)}`,
    `worst write ${Math.round(round.blockedMs)} ms`,
  ];
  const line = words.filter(Boolean).join('  ');
  return [line, ...violations.map((violation) => `VIOLATION of #${number}: ${violation}`)].join('\n');
}

/** The figures so far, in one line. */
export function tellMinute(minutes: number, totals: Totals, lasting: Sample | null): string {
  const { windowMs, blockedMs, violations } = totals;
  return [
    `-- ${minutes} min: ${tellCounts(totals.byEnding)}; violations ${violations.length}`,
    `window median ${windowMs.median} ms, max ${windowMs.max} ms`,
    `longest write ${tellBlocked(blockedMs)}`,
    lasting === null ? '' : `agent ${lasting.host}: ${tellSample(lasting)}`,
  ]
    .filter(Boolean)
    .join('; ');
}

/** The figures at the end. */
export function tellResult({ totals, growths, lastingHost, repositoryBytes }: SoakResult): string {
  const first = repositoryBytes[0] ?? 0;
  const figures: [string, string][] = [
    ['checkpoints', `${totals.checkpoints}: ${tellCounts(totals.byEnding)}`],
    ['committed at a second or third attempt', `${totals.triedAgain}`],
    ['verified; restored and checked', `${totals.verified}; ${totals.restored}`],
    ['freeze window', `median ${totals.windowMs.median} ms, max ${totals.windowMs.max} ms`],
    ['longest that a client waited for a write', tellBlocked(totals.blockedMs)],
    [
      'repository after the first and the last prune',
      repositoryBytes.length === 0
        ? 'not pruned'
        : `${inMegabytes(first)}, ${inMegabytes(repositoryBytes.at(-1) ?? 0)}`,
    ],
    ['violations', `${totals.violations.length}`],
  ];
  return [
    'The figures',
    ...figures.map(([what, figure]) => `  ${what.padEnd(48)}${figure}`),
    'Not committed, and why',
    ...tellHistogram(totals.causes),
    'Faults',
    ...tellHistogram(totals.faults),
    `Agents, after the first checkpoint and at rest in the end (${GROWTH_RULE})`,
    ...growths.map((growth) => tellGrowth(growth, lastingHost)),
    totals.violations.length === 0
      ? 'Every checkpoint was what it said.'
      : `VIOLATED by #${totals.violations.map(({ number }) => number).join(', #')}: see above.`,
  ].join('\n');
}

function tellGrowth(growth: Growth, lastingHost: string): string {
  const { host, starts, checkpoints, first, last, slopeMb, verdict } = growth;
  const life = host === lastingHost ? 'never killed' : `started ${starts} times`;
  return (
    `  ${host} (${life}, ${checkpoints} checkpoints since): ${tellSample(first)} -> ${tellSample(last)}; ` +
    `${slopeMb.toFixed(3)} MB a checkpoint: ${verdict}`
  );
}

function tellSample({ residentMb, descriptors, threads }: Sample): string {
  return `${residentMb.toFixed(0)} MB, ${descriptors} descriptors, ${threads} threads`;
}

function tellCounts(byEnding: Totals['byEnding']): string {
  return ENDINGS.flatMap((ending) => {
    const count = byEnding.get(ending) ?? 0;
    return count > 0 || ending === 'committed' || ending === 'aborted' || ending === 'invalid'
      ? [`${count} ${ending}`]
      : [];
  }).join(', ');
}

function tellBlocked({ quiet, faults, serverFaults }: Totals['blockedMs']): string {
  return `${seconds(quiet)} without faults, ${seconds(faults)} with faults, ${seconds(serverFaults)} with a server killed`;
}

function tellHistogram(counts: ReadonlyMap<string, number>): string[] {
  if (counts.size === 0) return ['  none'];
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([what, count]) => `  ${String(count).padStart(5)}  ${what}`);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 1000 ? 3 : 1)} s`;
}
