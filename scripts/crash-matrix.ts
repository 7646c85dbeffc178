import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  allCells,
  EVENTS,
  FAULTS,
  GRIDS,
  PROCESSES,
  sampleOf,
  type Cell,
  type CellFilter,
} from '../test/crash-matrix/cells.ts';
import {
  closeLabs,
  runMatrix,
  tellBroken,
  type CellResult,
  type RestoreResult,
} from '../test/crash-matrix/matrix.ts';
import { recordLabRun } from '../test/crash-matrix/power-cut/lab-run.ts';
import { loadRun, saveRun } from '../test/crash-matrix/power-cut/recorded-run.ts';
import { replay, WAYS, type Cut } from '../test/crash-matrix/power-cut/replay.ts';
import { powerCutTable, tellBrokenCut } from '../test/crash-matrix/power-cut/rows.ts';
import { reasonsOf, tableOf } from '../test/crash-matrix/table.ts';

const POWER_CUT = 'power-cut';
const USAGE = `./scripts/crash-matrix [--grid G] [--event E] [--process P] [--fault F] [--sample N] [--seed S]:
real processes, real PostgreSQL and the reference grid: at each moment of a checkpoint one process is killed or
stopped, and after each change of a repository the power fails

  --grid G     ${GRIDS.join(' or ')}; both when not named
  --event E    one of ${EVENTS.join(', ')}
  --process P  one of ${PROCESSES.join(', ')}
  --fault F    kill: SIGKILL; stop: SIGSTOP, and SIGCONT when the lease has passed; ${POWER_CUT}: of the repository
each of these may be given more than once

  --sample N   so many cells by chance, the same for the same seed; no power cuts
  --seed S     of the sample, and of what a power cut leaves to chance; the day when not given

one power cut again, as its failure says:
  --record FILE  what was recorded
  --way W        one of ${WAYS.join(', ')}
  --after N      moments of the record
`;

const OPTIONS = {
  grid: { type: 'string', multiple: true },
  event: { type: 'string', multiple: true },
  process: { type: 'string', multiple: true },
  fault: { type: 'string', multiple: true },
  sample: { type: 'string' },
  seed: { type: 'string' },
  record: { type: 'string' },
  way: { type: 'string' },
  after: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const;

const tell = (text: string): void => void process.stdout.write(`${text}\n`);
const tellProgress = (text: string): void => void process.stderr.write(`${text}\n`);

async function main(): Promise<boolean> {
  const { values } = parseArgs({ options: OPTIONS });
  if (values.help) {
    process.stdout.write(USAGE);
    return true;
  }
  const { grid = [], event = [], process: processes = [], fault = [] } = values;
  const seed = numberOf(values.seed) ?? Math.floor(Date.now() / 86_400_000);
  if (fault.includes(POWER_CUT)) {
    const way = values.way === undefined ? undefined : knownOf(WAYS, values.way);
    const after = numberOf(values.after);
    const only = way === undefined || after === null ? undefined : { way, after, seed };
    return cutPower(seed, values.record ?? null, only);
  }
  const filter: CellFilter = {
    grid: grid.map((one) => knownOf(GRIDS, one)),
    event: event.map((one) => knownOf(EVENTS, one)),
    process: processes.map((one) => knownOf(PROCESSES, one)),
    fault: fault.map((one) => knownOf(FAULTS, one)),
  };
  const sample = numberOf(values.sample);
  const cells = sample === null ? allCells(filter) : sampleOf(allCells(filter), sample, seed);
  if (sample !== null) tell(`${cells.length} cells by seed ${seed}`);
  const isGreen = await runCells(cells);
  const isWhole = sample === null && cells.length === allCells().length;
  return isWhole ? (await cutPower(seed, null, undefined)) && isGreen : isGreen;
}

async function runCells(cells: readonly Cell[]): Promise<boolean> {
  const startedAt = performance.now();
  const results: CellResult[] = [];
  const restores: RestoreResult[] = [];
  for (const kind of GRIDS) {
    const ofGrid = cells.filter(({ grid }) => grid === kind);
    if (ofGrid.length === 0) continue;
    const restore = await runMatrix(kind, ofGrid, (result) => {
      results.push(result);
      if (result.type !== 'senseless') tellProgress(inOneLine(result));
    });
    if (restore !== null) restores.push(restore);
  }
  tellCells(results, restores, (performance.now() - startedAt) / 1000);
  return results.every(({ type }) => type !== 'broken') && restores.every(({ cause }) => cause === null);
}

function inOneLine(result: Exclude<CellResult, { type: 'senseless' }>): string {
  const { cell, tookMs } = result;
  const where = `${(tookMs / 1000).toFixed(1).padStart(5)} s  ${cell.grid}, ${cell.event}, ${cell.process}, ${cell.fault}`;
  return result.type === 'kept' ? `${where}: ${result.ending}` : `${where}: BROKEN\n${tellBroken(result)}`;
}

function tellCells(
  results: readonly CellResult[],
  restores: readonly RestoreResult[],
  seconds: number,
): void {
  for (const kind of GRIDS) {
    const ofGrid = results.filter(({ cell }) => cell.grid === kind);
    if (ofGrid.length > 0) tell(`\n${kind}\n${tableOf(ofGrid)}`);
  }
  tell('');
  for (const reason of reasonsOf(results)) tell(reason);
  for (const { grid, checkpoint, rows, cause } of restores) {
    tell(
      cause === null
        ? `${grid}: the last valid checkpoint, ${checkpoint}, was restored to other hosts: ${rows} rows, none missing, none without its cause; those of other cells were verified, not restored`
        : `${grid}: BROKEN: the last valid checkpoint, ${checkpoint}, is not what clients saw: ${cause}`,
    );
  }
  const tried = results.filter(({ type }) => type !== 'senseless').length;
  const broken = results.filter((result) => result.type === 'broken');
  tell(`${tried} cells in ${Math.round(seconds)} s, ${broken.length} broken`);
  for (const one of broken) tell(`\n${tellBroken(one)}`);
}

/** `record`: one that was saved; null makes a new one. */
async function cutPower(seed: number, record: string | null, only: Cut | undefined): Promise<boolean> {
  const startedAt = performance.now();
  if (record === null) tellProgress('recording a repository at work');
  const run = record === null ? await recordLabRun() : loadRun(record);
  try {
    let toldAt = 0;
    const results = await replay({
      ...run,
      seed,
      only,
      progress(done, all) {
        if (performance.now() - toldAt < 10_000) return;
        toldAt = performance.now();
        tellProgress(`power cuts: after ${done} of ${all} moments`);
      },
    });
    tell(`\n${powerCutTable(results)}`);
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    const cuts = results.reduce((sum, one) => sum + one.cuts, 0);
    tell(`${run.changes.length} changes recorded, ${cuts} power cuts by seed ${seed} in ${seconds} s`);
    const broken = results.flatMap((one) => one.broken);
    if (broken.length === 0) return true;
    const saved = record ?? join(tmpdir(), `stillpoint-power-cut-${Date.now()}.json`);
    if (record === null) saveRun(run, saved);
    for (const one of broken) tell(`\n${tellBrokenCut(one, saved)}`);
    return false;
  } finally {
    run.remove();
  }
}

function knownOf<T extends string>(known: readonly T[], given: string): T {
  return known.find((one) => one === given) ?? wrong();
}

function numberOf(given: string | undefined): number | null {
  if (given === undefined) return null;
  const number = Number(given);
  return Number.isSafeInteger(number) && number >= 0 ? number : wrong();
}

function wrong(): never {
  process.stderr.write(USAGE);
  process.exit(2);
}

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void closeLabs().finally(() => process.exit(130)));
const isGreen = await main();
// What a lab leaves open (a client's socket, a watcher) must not keep us.
process.exit(isGreen ? 0 : 1);
