import { deleteOldest, prune } from './catalogue.ts';
import { growthOf, totalsOf } from './figures.ts';
import type { SoakLab } from './lab.ts';
import type { Turn } from './plan.ts';
import { tellMinute, tellRound } from './report.ts';
import { restoreFindings } from './restore-check.ts';
import { playRound, type Round } from './round.ts';
import { AgentSamples } from './samples.ts';
import type { SoakResult } from './soak-result.ts';

export interface SoakOptions {
  readonly lab: SoakLab;
  /** It is over when the plan is, or the time. */
  readonly plan: Iterable<Turn>;
  readonly runsForMs: number;
  /** Every so-manieth committed checkpoint is restored. */
  readonly restoreEvery: number;
  readonly tell: (line: string) => void;
  /** Aborted: ends after the checkpoint under way. */
  readonly signal: AbortSignal;
}

/** Every so-manieth committed checkpoint is followed by a prune; midway, the oldest is deleted by hand. */
const PRUNE_EVERY = 6;
/** A grid that breaks its promises again and again is left as it is. */
const MOST_VIOLATIONS = 5;
const MINUTE_MS = 60_000;

/** Takes checkpoints as planned. Rejects when the lab itself fails. */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const { lab, plan, tell, signal } = options;
  const startedAt = performance.now();
  const rounds: Round[] = [];
  const samples = new AgentSamples(lab.grid);
  const repositoryBytes: number[] = [];
  let committed = 0;
  let minutes = 0;
  for (const { fault, everyMs } of plan) {
    const beganAt = performance.now();
    let round = await playRound(lab, rounds.length + 1, fault);
    if (round.ending === 'committed') {
      committed += 1;
      const isSuspicious = fault !== null && fault.moment !== 'before';
      if (committed % options.restoreEvery === 0 || isSuspicious) round = await restored(lab, round);
      if (committed % PRUNE_EVERY === 0) repositoryBytes.push(await prune(lab.grid));
      if (committed % PRUNE_EVERY === PRUNE_EVERY / 2) await deleteOldest(lab.grid);
    }
    rounds.push(round);
    if (rounds.length === 1) await samples.takeAtRest();
    else samples.take();
    tell(tellRound(round));
    const passedMs = performance.now() - startedAt;
    if (Math.floor(passedMs / MINUTE_MS) > minutes) {
      minutes = Math.floor(passedMs / MINUTE_MS);
      tell(tellMinute(minutes, totalsOf(rounds), samples.of(lab.lastingHost).at(-1) ?? null));
    }
    const violations = rounds.flatMap((one) => one.violations).length;
    if (passedMs >= options.runsForMs || violations >= MOST_VIOLATIONS || signal.aborted) break;
    // The pace of the run; nothing is waited for.
    await pause(beganAt + everyMs - performance.now(), signal);
  }
  await lab.clients.stop();
  await samples.takeAtRest();
  const growths = lab.grid.hosts.flatMap(({ address }) => {
    const growth = growthOf(samples.of(address));
    return growth === null ? [] : [growth];
  });
  return { totals: totalsOf(rounds), growths, lastingHost: lab.lastingHost, repositoryBytes };
}

async function restored(lab: SoakLab, round: Round): Promise<Round> {
  const { checkpoint, beganAt, violations } = round;
  if (checkpoint === null) return round;
  try {
    const findings = await restoreFindings(lab, checkpoint, beganAt);
    return { ...round, restored: true, violations: [...violations, ...findings] };
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { ...round, violations: [...violations, `it cannot be restored: ${text}`] };
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0 || signal.aborted) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}
