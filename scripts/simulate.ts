import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { Coverage } from '../test/simulator/coverage.ts';
import { runFleet } from '../test/simulator/fleet.ts';
import { HOLD_SHARE } from '../test/simulator/hold-scenario.ts';
import type { Job, PlantedDone, SeedsDone } from '../test/simulator/jobs.ts';
import { MACHINES } from '../test/simulator/machines.ts';
import { PLANTED } from '../test/simulator/planted.ts';
import { simulate } from '../test/simulator/run.ts';
import { scenarioOf, STORAGE_SHARE } from '../test/simulator/scenario.ts';
import { tellFailure, tellRun } from '../test/simulator/story.ts';

const USAGE = `./scripts/simulate [--seeds N] [--seed S] [--minutes M] [--planted] [--trace]:
whole checkpoints in simulated time, with both real machines and whatever may fail; one run
of ${STORAGE_SHARE} has the real repository too, on a simulated disk; in one of ${HOLD_SHARE} a job holds the grid

  --seeds N    so many runs (2000); from 2000 on, a change of phase that no run makes is a failure
  --seed S     the run of this seed alone; with --seeds or --minutes, the first seed
  --minutes M  as many runs as fit into so many minutes
  --planted    no search: breaks the rules one by one, and fails if one is not found
  --trace      with --seed: every event of the run
`;
const CHUNK = 200;
/** From so many runs on, every change of phase must have been made. */
const ENOUGH = 2000;
/** A mutant that so many seeds do not find has survived. */
const PLANTED_LIMIT = 6000;
const MOST_FAILURES = 5;

const tell = (text: string): void => void process.stdout.write(`${text}\n`);

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string' },
      seed: { type: 'string' },
      minutes: { type: 'string' },
      planted: { type: 'boolean', default: false },
      trace: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const [seeds, seed, minutes] = [values.seeds, values.seed, values.minutes].map((value) =>
    value === undefined ? null : Number(value),
  );
  const isWrong = [seeds, seed, minutes].some((number) => number !== null && !(Number(number) >= 0));
  if (values.help || isWrong || (values.trace && seed === null)) {
    (values.help ? process.stdout : process.stderr).write(USAGE);
    process.exit(values.help ? 0 : 2);
  }
  if (values.planted) return findAllPlanted();
  if (typeof seed === 'number' && seeds === null && minutes === null) return await runOne(seed, values.trace);
  const until = typeof minutes === 'number' ? performance.now() + minutes * 60_000 : null;
  return search(seed ?? 1, seeds ?? (until === null ? ENOUGH : Infinity), until);
}

async function runOne(seed: number, isTraced: boolean): Promise<boolean> {
  const scenario = scenarioOf(seed);
  const { failure, hash, endings } = await simulate(scenario);
  if (isTraced) tell(await tellRun(scenario, MACHINES));
  if (failure !== null) tell(await tellFailure(scenario, MACHINES));
  else if (!isTraced) tell(`seed ${seed}: ${endings.join(', ')}; every promise was kept; hash ${hash}`);
  return failure === null;
}

async function search(from: number, count: number, until: number | null): Promise<boolean> {
  const startedAt = performance.now();
  const coverage = new Coverage();
  const endings = new Map<string, number>();
  const failures: SeedsDone['failures'][number][] = [];
  let next = from;
  let runs = 0;
  let events = 0;
  let digest = 0;
  await runFleet(
    () => {
      const isOver = next >= from + count || failures.length >= MOST_FAILURES;
      if (isOver || (until !== null && performance.now() >= until)) return null;
      const job: Job = { type: 'seeds', from: next, count: Math.min(CHUNK, from + count - next) };
      next += job.count;
      return job;
    },
    (done) => {
      if (done.type !== 'seeds') return;
      runs += done.runs;
      events += done.events;
      digest = (digest + done.digest) >>> 0;
      coverage.add(done.coverage);
      for (const [kind, times] of Object.entries(done.endings))
        endings.set(kind, (endings.get(kind) ?? 0) + times);
      failures.push(...done.failures);
    },
  );
  const seconds = (performance.now() - startedAt) / 1000;
  for (const line of coverage.describe()) tell(`  ${line}`);
  const ended = [...endings].sort(([a], [b]) => (a < b ? -1 : 1)).map(([kind, times]) => `${kind} ${times}`);
  tell(`checkpoints: ${ended.join(', ')}`);
  tell(
    `${runs} runs from seed ${from} (1 of ${STORAGE_SHARE} with the real repository) in ${seconds.toFixed(1)} s on ${availableParallelism()} cores: ` +
      `${Math.round(runs / seconds)} runs/s, ${Math.round(events / runs)} events a run, ` +
      `hash ${digest.toString(16).padStart(8, '0')}`,
  );
  return judge(runs, coverage, failures);
}

async function judge(
  runs: number,
  coverage: Coverage,
  failures: readonly SeedsDone['failures'][number][],
): Promise<boolean> {
  const first = failures.toSorted((a, b) => a.seed - b.seed)[0];
  if (first !== undefined) {
    tell(`\n${failures.length} runs broke a promise, the first:`);
    tell(await tellFailure(scenarioOf(first.seed), MACHINES));
    tell(`\nagain: ./scripts/simulate --seed ${first.seed} --trace`);
    return false;
  }
  const gaps = [
    ...(runs >= ENOUGH ? coverage.neverMade().map((change) => `never made: ${change}`) : []),
    ...coverage.unknown().map((change) => `not listed in test/simulator/coverage.ts: ${change}`),
  ];
  for (const gap of gaps) tell(gap);
  if (gaps.length === 0) tell('every promise was kept');
  return gaps.length === 0;
}

async function findAllPlanted(): Promise<boolean> {
  const startedAt = performance.now();
  const left = [...PLANTED];
  const results = new Map<string, PlantedDone>();
  await runFleet(
    () => {
      const planted = left.shift();
      return planted === undefined ? null : { type: 'planted', id: planted.id, limit: PLANTED_LIMIT };
    },
    (done) => {
      if (done.type === 'planted') results.set(done.id, done);
    },
  );
  const survivors: string[] = [];
  for (const { id, breaks } of PLANTED) {
    const { seed = null, runs = 0 } = results.get(id) ?? {};
    if (seed === null) survivors.push(id);
    tell(`${id.padEnd(52)} ${breaks.padEnd(22)} ${seed === null ? 'SURVIVED' : `${runs} seeds`}`);
  }
  const seconds = (performance.now() - startedAt) / 1000;
  tell(`${PLANTED.length - survivors.length} of ${PLANTED.length} found in ${seconds.toFixed(1)} s`);
  for (const id of survivors) {
    const others = results.get(id)?.others ?? [];
    tell(
      `not found in ${PLANTED_LIMIT} seeds: ${id}${others.length === 0 ? '' : ` (broke instead: ${others.join(', ')})`}`,
    );
  }
  return survivors.length === 0;
}

process.exitCode = (await main()) ? 0 : 1;
