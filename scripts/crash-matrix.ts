import { parseArgs } from 'node:util';
import {
  allCells,
  EVENTS,
  FAULTS,
  GRIDS,
  PROCESSES,
  sampleOf,
  type CellFilter,
} from '../test/crash-matrix/cells.ts';
import { runMatrix, tellBroken, type CellResult, type RestoreResult } from '../test/crash-matrix/matrix.ts';
import { reasonsOf, tableOf } from '../test/crash-matrix/table.ts';

const USAGE = `./scripts/crash-matrix [--grid G] [--event E] [--process P] [--fault F] [--sample N --seed S]:
real processes, real PostgreSQL and the reference grid; at each moment of a checkpoint one process is killed or stopped

  --grid G     ${GRIDS.join(' or ')}; both when not named
  --event E    one of ${EVENTS.join(', ')}
  --process P  one of ${PROCESSES.join(', ')}
  --fault F    kill: SIGKILL; stop: SIGSTOP, and SIGCONT when the lease has passed
  --sample N   so many cells by chance, the same for the same seed
  --seed S     of the sample; the day when not given
`;

const tell = (text: string): void => void process.stdout.write(`${text}\n`);

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      grid: { type: 'string' },
      event: { type: 'string' },
      process: { type: 'string' },
      fault: { type: 'string' },
      sample: { type: 'string' },
      seed: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return true;
  }
  const filter: CellFilter = {
    grid: oneOf(GRIDS, values.grid),
    event: oneOf(EVENTS, values.event),
    process: oneOf(PROCESSES, values.process),
    fault: oneOf(FAULTS, values.fault),
  };
  const all = allCells(filter);
  const seed = numberOf(values.seed) ?? Math.floor(Date.now() / 86_400_000);
  const sample = numberOf(values.sample);
  const cells = sample === null ? all : sampleOf(all, sample, seed);
  if (sample !== null) tell(`${cells.length} cells by seed ${seed}`);

  const startedAt = performance.now();
  const results: CellResult[] = [];
  const restores: RestoreResult[] = [];
  for (const kind of GRIDS) {
    const ofGrid = cells.filter(({ grid }) => grid === kind);
    if (ofGrid.length === 0) continue;
    const restore = await runMatrix(kind, ofGrid, (result) => {
      results.push(result);
      tellProgress(result);
    });
    if (restore !== null) restores.push(restore);
  }
  tellAll(results, restores, (performance.now() - startedAt) / 1000);
  return results.every(({ type }) => type !== 'broken') && restores.every(({ cause }) => cause === null);
}

function tellProgress(result: CellResult): void {
  if (result.type === 'senseless') return;
  const { cell, tookMs } = result;
  const seconds = (tookMs / 1000).toFixed(1).padStart(5);
  const what = result.type === 'kept' ? result.ending : 'BROKEN';
  process.stderr.write(
    `${seconds} s  ${cell.grid}, ${cell.event}, ${cell.process}, ${cell.fault}: ${what}\n`,
  );
}

function tellAll(results: readonly CellResult[], restores: readonly RestoreResult[], seconds: number): void {
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

function oneOf<T extends string>(known: readonly T[], given: string | undefined): T | undefined {
  if (given === undefined) return undefined;
  const found = known.find((one) => one === given);
  return found ?? wrong();
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

process.exitCode = (await main()) ? 0 : 1;
// What a lab leaves open (a client's socket, a watcher) must not keep us.
process.exit();
