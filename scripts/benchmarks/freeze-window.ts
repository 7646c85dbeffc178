import { parseArgs } from 'node:util';
import { join } from 'node:path';
import type { CheckpointReport } from '../../coordinator/reports.ts';
import type { ProcessorUse } from '../../coordinator/trace/window-parts.ts';
import { CausalClients, checkOrder, latencies } from '../../test/lab/causal-clients.ts';
import { postgresShards, TABLE_SQL } from '../../test/lab/shards.ts';
import { checkpointUnderLoad } from '../../test/lab/checkpoint-under-load.ts';
import { createGrid, type TestGrid } from '../../test/lab/grid.ts';
import { installPackage } from '../../test/lab/installed-package.ts';
import { until } from '../../test/lab/processes.ts';
import { temporaryFolder } from '../../test/lab/temporary.ts';
import { fenceByAlterSystem, fenceByLockTable, type Window } from './baselines.ts';
import { medianAndMax, parseSize, quantile, rounded } from './figures.ts';

/**
 * How long a checkpoint holds a grid of real servers, and what clients feel, through the real coordinator and
 * agents; beside it, in the same run, two fences by hand. Each round's cut is restored and read. Agents and coordinator are
 * those of the package, installed, unless it is told to take the sources. A writer thinks for so many ms between a write
 * and its next. Every checkpoint is traced, for how long its processes waited for a processor.
 */
const { values } = parseArgs({
  options: {
    shards: { type: 'string', default: '4' },
    writers: { type: 'string', default: '8' },
    rounds: { type: 'string', default: '30' },
    size: { type: 'string', default: '10MB' },
    think: { type: 'string', default: '0' },
    sources: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const shards = Number(values.shards);
const rounds = Number(values.rounds);
const say = (text: string): void => void process.stderr.write(`${text}\n`);

interface Round {
  readonly windowMs: number;
  readonly worstWriteMs: number;
  readonly armedMs: readonly number[];
  readonly violations: number;
  /** Of the window, of the coordinator and of all agents: where the system tells it. */
  readonly processors: {
    readonly coordinator: ProcessorUse;
    readonly agents: readonly ProcessorUse[];
  } | null;
}

async function main(): Promise<void> {
  const copysets = Array.from({ length: shards }, (_, index) => ({ name: `s${index}`, hosts: [index] }));
  const hosts = copysets.map((_, index) => `127.0.3.${index + 1}`);
  const others = copysets.map((_, index) => `127.0.4.${index + 1}`);
  const folder = temporaryFolder('freeze-window');
  if (!values.sources) say('making and installing the package');
  const programs = values.sources ? undefined : installPackage(folder.path).programs;
  const grid = await createGrid({
    templates: true,
    walSegmentMb: 16,
    hosts,
    copysets,
    ...(programs !== undefined && { programs }),
  });
  let other: TestGrid | null = null;
  try {
    say(`filling ${shards} shards with ${values.size} each`);
    for (const { server } of grid.primaries) {
      await server.query(TABLE_SQL);
      await server.query(
        `CREATE TABLE ballast AS SELECT g, repeat(md5(g::text), 25) AS x FROM generate_series(1, ${Math.ceil(parseSize(values.size) / 850)}) AS g`,
      );
    }
    other = await createGrid({
      beside: grid,
      empty: true,
      hosts: others,
      copysets,
      ...(programs !== undefined && { programs }),
    });
    const urls = grid.primaries.map(({ server }) => server.url);
    const clients = await CausalClients.start(postgresShards(urls), Number(values.writers), {
      pauseMs: Number(values.think),
    });
    await until('writes', () => clients.writes.length > 1000);
    const measured: Round[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      measured.push(await oneRound(grid, other, clients, round, hosts, others));
      say(
        `round ${round}: window ${measured.at(-1)?.windowMs} ms, worst write ${rounded(measured.at(-1)?.worstWriteMs ?? 0)} ms`,
      );
    }
    const baselines = {
      alterSystem: await baseline(grid, clients, fenceByAlterSystem),
      lockTable: await baseline(grid, clients, fenceByLockTable),
    };
    const quietFrom = performance.now();
    await until('a quiet second', () => performance.now() - quietFrom > 2000);
    const usual = latencies(clients.writes, quietFrom, performance.now());
    await clients.stop();
    print(measured, baselines, usual);
  } finally {
    await other?.close();
    await grid.close();
    folder.remove();
  }
}

async function oneRound(
  grid: TestGrid,
  other: TestGrid,
  clients: CausalClients,
  round: number,
  hosts: readonly string[],
  others: readonly string[],
): Promise<Round> {
  const load = await checkpointUnderLoad(grid, `round-${round}`, ['--trace', join(grid.root, 'trace.json')]);
  if (load.finished.code !== 0) throw new Error(load.finished.stderr + load.finished.stdout);
  const report = JSON.parse(load.finished.stdout) as CheckpointReport;
  const touching = latencies(clients.writes, load.frozenAt, load.thawedAt);
  const armed = clients.writes
    .filter(({ sentAt, acknowledgedAt }) => sentAt > load.frozenAt - 100 && acknowledgedAt < load.frozenAt)
    .map(({ sentAt, acknowledgedAt }) => acknowledgedAt - sentAt);
  const maps = hosts.flatMap((host, index) => ['--map', `${host}=${others[index] ?? ''}`]);
  const restored = await other.run([
    'restore',
    report.checkpoint,
    ...maps,
    '--yes',
    '--stop',
    '--quiet',
    '--output',
    'json',
  ]);
  if (restored.code !== 0) throw new Error(restored.stderr + restored.stdout);
  const order = await checkOrder(
    postgresShards(other.primaries.map(({ server }) => server.url)),
    clients.writes,
    load.beganAt,
  );
  await grid.run(['checkpoint', 'delete', report.checkpoint, '--yes', '--quiet']);
  return {
    windowMs: report.windowMs,
    worstWriteMs: touching.worstMs,
    armedMs: armed,
    violations: order.missing + order.withoutCause,
    processors: processorsOf(report),
  };
}

function processorsOf({ trace }: CheckpointReport): Round['processors'] {
  const coordinator = trace?.coordinator ?? null;
  const agents = (trace?.agents ?? []).flatMap(({ processor }) => (processor === null ? [] : [processor]));
  return coordinator === null || agents.length === 0 ? null : { coordinator, agents };
}

/** In per cent of the window: how long the main thread wanted a processor and had none; and for how many ms it ran. */
function waiting(
  measured: readonly Round[],
  of: (processors: NonNullable<Round['processors']>) => readonly ProcessorUse[],
): {
  readonly waitedPercent: { median: number; max: number };
  readonly ranMs: { median: number; max: number };
} | null {
  const uses = measured.flatMap(({ windowMs, processors }) =>
    processors === null ? [] : of(processors).map((use) => ({ ...use, windowMs })),
  );
  if (uses.length === 0) return null;
  return {
    waitedPercent: medianAndMax(uses.map(({ waitedMs, windowMs }) => (100 * waitedMs) / windowMs)),
    ranMs: medianAndMax(uses.map(({ ranMs }) => ranMs)),
  };
}

interface Baseline {
  readonly windowMs: { median: number; max: number };
  readonly worstWriteMs: { median: number; max: number };
}

async function baseline(
  grid: TestGrid,
  clients: CausalClients,
  fence: (servers: TestGrid['primaries'][number]['server'][]) => Promise<Window>,
): Promise<Baseline> {
  const windows: number[] = [];
  const worst: number[] = [];
  for (let round = 0; round < Math.min(rounds, 10); round += 1) {
    const { from, to } = await fence(grid.primaries.map(({ server }) => server));
    await until('the writes that it touched', () => (clients.writes.at(-1)?.sentAt ?? 0) > to + 50);
    windows.push(to - from);
    worst.push(latencies(clients.writes, from, to).worstMs);
  }
  return { windowMs: medianAndMax(windows), worstWriteMs: medianAndMax(worst) };
}

function print(
  measured: readonly Round[],
  baselines: { alterSystem: Baseline; lockTable: Baseline },
  usual: { p50Ms: number; p99Ms: number },
): void {
  const armed = measured.flatMap(({ armedMs }) => armedMs);
  const result = {
    windowMs: medianAndMax(measured.map(({ windowMs }) => windowMs)),
    worstWriteMs: medianAndMax(measured.map(({ worstWriteMs }) => worstWriteMs)),
    usualWriteMs: { p50: rounded(usual.p50Ms), p99: rounded(usual.p99Ms) },
    armedWriteMs: { p50: quantile(armed, 0.5), p99: quantile(armed, 0.99) },
    orderViolations: measured.reduce((sum, { violations }) => sum + violations, 0),
    coordinator: waiting(measured, ({ coordinator }) => [coordinator]),
    agents: waiting(measured, ({ agents }) => agents),
    baselines,
  };
  if (values.json) {
    process.stdout.write(`${JSON.stringify(result)}\n`);
    return;
  }
  const line = (name: string, { median, max }: { median: number; max: number }): string =>
    `${name.padEnd(42)} median ${median} ms, max ${max} ms\n`;
  const waited = (name: string, use: ReturnType<typeof waiting>): string =>
    use === null
      ? ''
      : `${name.padEnd(42)} median ${use.waitedPercent.median} %, max ${use.waitedPercent.max} % of the window; it ran ${use.ranMs.median} ms\n`;
  process.stdout.write(
    line('freeze window', result.windowMs) +
      waited('coordinator waiting for a processor', result.coordinator) +
      waited('each agent waiting for a processor', result.agents) +
      line('worst write that touched it', result.worstWriteMs) +
      `${'usual write'.padEnd(42)} p50 ${result.usualWriteMs.p50} ms, p99 ${result.usualWriteMs.p99} ms\n` +
      `${'write in the 100 ms before, armed or arming'.padEnd(42)} p50 ${result.armedWriteMs.p50} ms, p99 ${result.armedWriteMs.p99} ms\n` +
      `${'order violations in the restored cuts'.padEnd(42)} ${result.orderViolations} in ${measured.length} rounds\n` +
      line('window, fence by ALTER SYSTEM', baselines.alterSystem.windowMs) +
      line('worst write, fence by ALTER SYSTEM', baselines.alterSystem.worstWriteMs) +
      line('window, fence by LOCK TABLE', baselines.lockTable.windowMs) +
      line('worst write, fence by LOCK TABLE', baselines.lockTable.worstWriteMs) +
      `ratio of windows: ALTER SYSTEM ${rounded(baselines.alterSystem.windowMs.median / result.windowMs.median)} x ours, ` +
      `LOCK TABLE ${rounded(baselines.lockTable.windowMs.median / result.windowMs.median)} x ours\n`,
  );
}

await main();
process.exit(0);
