import { parseArgs } from 'node:util';
import type { CheckpointReport, RestoreReport } from '../coordinator/reports.ts';
import { CausalClients, checkOrder, latencies } from '../test/lab/causal-clients.ts';
import { postgresShards, TABLE_SQL } from '../test/lab/shards.ts';
import { checkpointUnderLoad } from '../test/lab/checkpoint-under-load.ts';
import { createGrid, type TestGrid } from '../test/lab/grid.ts';
import { until, type Finished } from '../test/lab/processes.ts';

const USAGE = `./scripts/demo [--keep]: a live grid, a checkpoint under load, the grid killed and brought back elsewhere

  --keep   leave the restored grid running, and print how to play with it (Ctrl-C ends it)
`;
const CLIENTS = 8;
const FIRST_HOSTS = ['127.0.1.1', '127.0.1.2', '127.0.1.3', '127.0.1.4'];
const OTHER_HOSTS = ['127.0.2.1', '127.0.2.2', '127.0.2.3', '127.0.2.4'];
const COPYSETS = [
  { name: 'orders', hosts: [0] },
  { name: 'stock', hosts: [1] },
  { name: 'payments', hosts: [2] },
  { name: 'ledger', hosts: [3, 0] },
];

const tell = (text: string): void => void process.stdout.write(`${text}\n`);

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: { keep: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return true;
  }
  let grid: TestGrid | null = null;
  let other: TestGrid | null = null;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(
      signal,
      () => void Promise.all([other?.close(), grid?.close()]).finally(() => process.exit(130)),
    );
  }
  try {
    tell('1. A grid: four hosts with an agent each. Copysets orders, stock and payments with one PostgreSQL');
    tell('   server each, ledger with a primary and a hot standby. A CA of its own, mutual TLS everywhere.');
    grid = await createGrid({ hosts: FIRST_HOSTS, copysets: COPYSETS });
    for (const { server } of grid.primaries) await server.query(TABLE_SQL);

    tell(`2. ${CLIENTS} clients write A on one server and, once it is acknowledged, B on another.`);
    const clients = await CausalClients.start(
      postgresShards(grid.primaries.map(({ server }) => server.url)),
      CLIENTS,
    );
    await until('writes', () => clients.writes.length > 2000);

    tell('3. stillpoint checkpoint create demo');
    const load = await checkpointUnderLoad(grid, 'demo');
    const report = expectDone(load.finished) as CheckpointReport;
    tell(`     ${report.checkpoint}`);
    tell(`     held still, all members together, for ${report.windowMs} ms; journal files that end there:`);
    for (const [address, file] of Object.entries(report.journalMap))
      tell(`     ${address.padEnd(18)} ${file}`);
    await until('writes after it', () => (clients.writes.at(-1)?.sentAt ?? 0) > load.endedAt + 100);
    await clients.stop();
    const usual = latencies(clients.writes, 0, load.beganAt);
    const felt = latencies(clients.writes, load.frozenAt, load.thawedAt);

    tell('4. SIGKILL to every server and every agent.');
    await grid.killEverything();

    tell('5. stillpoint restore demo --map …: four other hosts, other ports and directories.');
    other = await createGrid({ beside: grid, empty: true, hosts: OTHER_HOSTS, copysets: COPYSETS });
    const maps = FIRST_HOSTS.flatMap((host, index) => ['--map', `${host}=${OTHER_HOSTS[index] ?? ''}`]);
    const restored = expectDone(
      await other.run(['restore', 'demo', ...maps, '--yes', '--output', 'json', '--quiet']),
    ) as RestoreReport;
    for (const { name, from, to } of restored.members)
      tell(`     ${name.padEnd(10)} ${from.padEnd(18)} -> ${to}`);

    const urls = other.primaries.map(({ server }) => server.url);
    const order = await checkOrder(postgresShards(urls), clients.writes, load.beganAt);
    const unequal = await standbyDifference(other);
    const good =
      order.missing === 0 &&
      order.withoutCause === 0 &&
      unequal === 0 &&
      restored.verified &&
      order.found > 0;
    tell('6. The figures');
    tell(
      `     writes found after the restore                    ${order.found} of ${clients.writes.length} ever acknowledged`,
    );
    tell(`     acknowledged before the checkpoint and missing    ${order.missing}`);
    tell(`     B without its A                                   ${order.withoutCause}`);
    tell(`     rows in which standby and primary differ          ${unequal}`);
    tell(`     freeze window                                     ${report.windowMs} ms`);
    tell(`     worst write that touched the window               ${felt.worstMs.toFixed(1)} ms`);
    tell(
      `     usual write                                       p50 ${usual.p50Ms.toFixed(1)} ms, p99 ${usual.p99Ms.toFixed(1)} ms`,
    );
    tell(
      `     checkpoint and restore took                       ${seconds(report.durationMs)} and ${seconds(restored.durationMs)}`,
    );
    tell(
      good ? 'Nothing is missing and nothing is out of order.' : 'SOMETHING IS WRONG: see the figures above.',
    );
    if (values.keep) await keep(other);
    return good;
  } finally {
    await other?.close();
    await grid?.close();
  }
}

/** Rows of the ledger that one of its two servers has and the other has not. */
async function standbyDifference(grid: TestGrid): Promise<number> {
  const rows = async (name: string): Promise<Set<string>> => {
    const found = await grid
      .member(name)
      .server.query<{ row: string }>("SELECT client || '/' || sequence AS row FROM causal");
    return new Set(found.map(({ row }) => row));
  };
  const [primary, standby] = [await rows('ledgera'), await rows('ledgerb')];
  return primary.symmetricDifference(standby).size;
}

async function keep(grid: TestGrid): Promise<void> {
  tell('');
  tell('The restored grid is running. To play with it, in another terminal, from this folder:');
  tell(`  export STILLPOINT_GRID=${grid.gridFile}`);
  tell('  alias stillpoint="node_modules/.bin/node coordinator/main.ts"');
  tell('  stillpoint grid status; stillpoint checkpoint create again; stillpoint checkpoint list');
  for (const { name, server } of grid.members) tell(`  ${name}: ${server.url}`);
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
