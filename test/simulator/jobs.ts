import { Coverage } from './coverage.ts';
import { holdSeed } from './hold-scenario.ts';
import { PLANTED } from './planted.ts';
import { PLANTED_IN_HOLDS } from './planted-holds.ts';
import { PLANTED_IN_THE_UNDO } from './planted-undo.ts';
import { plantedMachines } from './planted-machines.ts';
import { simulate, type RunFailure } from './run.ts';
import { scenarioOf, STORAGE_SHARE } from './scenario.ts';

/** What a thread is given to do, and what it says of it. */
export type Job =
  | { readonly type: 'seeds'; readonly from: number; readonly count: number }
  | { readonly type: 'planted'; readonly id: string; readonly limit: number };

export interface SeedsDone {
  readonly type: 'seeds';
  readonly from: number;
  readonly runs: number;
  readonly events: number;
  /** Of every run's hash: the same seeds give the same, in whatever order they were run. */
  readonly digest: number;
  readonly coverage: Uint32Array;
  readonly endings: Readonly<Record<string, number>>;
  /** Of those that come for a hold: for what, and how the first of them ended. */
  readonly holds: Readonly<Record<string, number>>;
  readonly failures: readonly { readonly seed: number; readonly failure: RunFailure }[];
}

export interface PlantedDone {
  readonly type: 'planted';
  readonly id: string;
  /** The first seed that breaks what the mutant is said to break; null when it survived. */
  readonly seed: number | null;
  /** So many runs it took. */
  readonly runs: number;
  readonly message: string;
  /** What else it broke on the way. */
  readonly others: readonly string[];
}

export async function runSeeds({ from, count }: Extract<Job, { type: 'seeds' }>): Promise<SeedsDone> {
  const coverage = new Coverage();
  const failures: { seed: number; failure: RunFailure }[] = [];
  const endings: Record<string, number> = {};
  const holds: Record<string, number> = {};
  let events = 0;
  let digest = 0;
  for (let seed = from; seed < from + count; seed += 1) {
    const scenario = scenarioOf(seed);
    const run = await simulate(scenario, { coverage });
    events += run.events;
    digest = (digest + Math.imul(Number.parseInt(run.hash.slice(8), 16) ^ seed, 0x9e3779b1)) >>> 0;
    if (scenario.hold !== undefined) {
      const key = `${scenario.hold.purpose.type} ${run.endings[0] ?? 'never'}`;
      holds[key] = (holds[key] ?? 0) + 1;
    }
    for (const ending of run.endings) endings[ending] = (endings[ending] ?? 0) + 1;
    if (run.failure !== null) failures.push({ seed, failure: run.failure });
  }
  return {
    type: 'seeds',
    from,
    runs: count,
    events,
    digest,
    coverage: coverage.counts,
    endings,
    holds,
    failures,
  };
}

/** The seeds in which the repository and all that undoes are the real ones; in the others nothing of them runs. */
function withRepository(run: number): number {
  return run * STORAGE_SHARE;
}

/** The others, which take a fraction of the time. */
function withModel(run: number): number {
  return run + Math.floor((run - 1) / (STORAGE_SHARE - 1));
}

export async function findPlanted({ id, limit }: Extract<Job, { type: 'planted' }>): Promise<PlantedDone> {
  const planted = PLANTED.find((one) => one.id === id);
  if (planted === undefined) throw new Error(`nothing planted is called ${id}`);
  const machines = await plantedMachines(planted);
  const others = new Set<string>();
  const isOfHolds = PLANTED_IN_HOLDS.includes(planted);
  const isOfRepository =
    PLANTED_IN_THE_UNDO.includes(planted) ||
    (planted.edits.length > 0 && planted.edits.every(({ file }) => file.startsWith('repository/')));
  for (let runs = 1; runs <= limit; runs += 1) {
    const seed = isOfRepository ? withRepository(runs) : isOfHolds ? holdSeed(runs) : withModel(runs);
    const { failure } = await simulate(scenarioOf(seed), { machines });
    if (failure?.promise === planted.breaks)
      return { type: 'planted', id, seed, runs, message: failure.message, others: [...others] };
    if (failure !== null) others.add(failure.promise);
  }
  return { type: 'planted', id, seed: null, runs: limit, message: '', others: [...others] };
}
