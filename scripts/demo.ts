import { parseArgs } from 'node:util';
import type { CheckpointReport, RestoreReport } from '../coordinator/reports.ts';
import { CausalClients, checkOrder, latencies } from '../test/lab/causal-clients.ts';
import { checkpointUnderLoad } from '../test/lab/checkpoint-under-load.ts';
import { until, type Finished } from '../test/lab/processes.ts';
import { KINDS, launchDemoGrid, type DemoGrid, type Kind } from './demo-grids.ts';

const USAGE = `./scripts/demo [--grid postgres|reference|mixed|infinispan] [--keep]: a live grid, a checkpoint under load,
the grid killed and brought back elsewhere

  --grid   postgres (the default): four PostgreSQL servers; reference: realm service, state keepers,
           nodes and proxies that take part by themselves; mixed: both kinds side by side;
           infinispan: a cluster of two servers in memory, beside a PostgreSQL server
  --keep   leave the restored grid running, and print how to play with it (Ctrl-C ends it)
`;
const CLIENTS = 8;

const tell = (text: string): void => void process.stdout.write(`${text}\n`);

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      grid: { type: 'string', default: 'postgres' },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const kind = KINDS.find((one) => one === values.grid);
  if (values.help || kind === undefined) {
    (values.help ? process.stdout : process.stderr).write(USAGE);
    process.exit(values.help ? 0 : 2);
  }
  const launched: DemoGrid[] = [];
  const close = async (): Promise<void> => {
    for (const grid of launched.toReversed()) await grid.close();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void close().finally(() => process.exit(130)));
  try {
    return await story(kind, launched, values.keep);
  } finally {
    await close();
  }
}

async function story(kind: Kind, launched: DemoGrid[], keepIt: boolean): Promise<boolean> {
  const first = await launchDemoGrid(kind);
  launched.push(first);
  tell(`1. A grid: ${first.story.join('\n   ')}`);

  tell(`2. ${CLIENTS} clients ${first.writing}`);
  const clients = await CausalClients.start(first.shards, CLIENTS);
  await until('writes', () => clients.writes.length > 2000);

  tell('3. stillpoint checkpoint create demo');
  const load = await checkpointUnderLoad(first.grid, 'demo');
  const report = expectDone(load.finished) as CheckpointReport;
  tell(`     ${report.checkpoint}`);
  tell(`     held still, all members together, for ${report.windowMs} ms; journal files that end there:`);
  for (const [address, file] of Object.entries(report.journalMap)) tell(`     ${address.padEnd(18)} ${file}`);
  await until('writes after it', () => (clients.writes.at(-1)?.sentAt ?? 0) > load.endedAt + 100);
  // Frozen by the kill, or gone on to the end: what was not acknowledged is nobody's.
  const stopped = clients.stop();
  const usual = latencies(clients.writes, 0, load.beganAt);
  const felt = latencies(clients.writes, load.frozenAt, load.thawedAt);

  tell(`4. SIGKILL to ${first.killed}.`);
  await first.kill();
  await stopped;

  tell('5. stillpoint restore demo --map …: other hosts, other ports, other directories.');
  const other = await first.other();
  launched.push(other);
  const maps = first.maps.flatMap((map) => ['--map', map]);
  const restored = expectDone(
    await other.grid.run([
      'restore',
      'demo',
      ...maps,
      ...other.restoreOptions,
      '--yes',
      '--output',
      'json',
      '--quiet',
    ]),
  ) as RestoreReport;
  for (const { name, from, to } of restored.members)
    tell(`     ${name.padEnd(10)} ${from.padEnd(18)} -> ${to}`);

  const order = await checkOrder([...new Set(other.shards)], clients.writes, load.beganAt);
  const differing = await other.differing();
  const { missing, withoutCause, found } = order;
  const good = missing === 0 && withoutCause === 0 && differing === 0 && restored.verified && found > 0;
  const figures: [string, string][] = [
    ['writes found after the restore', `${found} of ${clients.writes.length} ever acknowledged`],
    ['acknowledged before the checkpoint and missing', `${missing}`],
    ['B without its A', `${withoutCause}`],
    ['rows in which nodes of a copyset differ', `${differing}`],
    ['freeze window', `${report.windowMs} ms`],
    ['worst write that touched the window', `${felt.worstMs.toFixed(1)} ms`],
    ['usual write', `p50 ${usual.p50Ms.toFixed(1)} ms, p99 ${usual.p99Ms.toFixed(1)} ms`],
    ['checkpoint and restore took', `${seconds(report.durationMs)} and ${seconds(restored.durationMs)}`],
  ];
  tell('6. The figures');
  for (const [what, figure] of figures) tell(`     ${what.padEnd(50)}${figure}`);
  tell(
    good ? 'Nothing is missing and nothing is out of order.' : 'SOMETHING IS WRONG: see the figures above.',
  );
  if (keepIt) await keep(other);
  return good;
}

async function keep(grid: DemoGrid): Promise<void> {
  tell('');
  tell('The restored grid is running. To play with it, in another terminal, from this folder:');
  tell(`  export STILLPOINT_GRID=${grid.grid.gridFile}`);
  tell('  alias stillpoint="node_modules/.bin/node coordinator/main.ts"');
  tell('  stillpoint grid status; stillpoint checkpoint create again; stillpoint checkpoint list');
  for (const place of grid.places) tell(`  ${place}`);
  tell('Ctrl-C ends it and removes everything.');
  await new Promise((resolve) => process.once('SIGINT', resolve));
}

function expectDone({ code, stdout, stderr }: Finished): unknown {
  if (code !== 0) throw new Error(`stillpoint ended with ${code ?? 'a signal'}:\n${stderr}${stdout}`);
  return JSON.parse(stdout) as unknown;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

const allGood = await main();
process.exit(allGood ? 0 : 1);
