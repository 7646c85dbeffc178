import { parseArgs } from 'node:util';
import type { HoldReport } from '../../coordinator/jobs/hold-report.ts';
import type { CheckpointReport } from '../../coordinator/reports.ts';
import { CausalClients, UNHURRIED, type Shard } from '../../test/lab/causal-clients.ts';
import { createGrid, type TestGrid } from '../../test/lab/grid.ts';
import { until } from '../../test/lab/processes.ts';
import { createReferenceLab } from '../../test/lab/reference-lab.ts';
import { postgresShards, referenceShards, TABLE_SQL } from '../../test/lab/shards.ts';
import { medianAndMax, rounded } from './figures.ts';

/**
 * How long clients wait in each of the operations that hold a grid for tools of its operator's own, while they write:
 * beside the freeze of a checkpoint of the same grid in the same round, for a machine is seldom alone. A quiesce is
 * held for a command that does nothing, so its figure is what it costs to begin and end one.
 */
const { values } = parseArgs({
  options: {
    shards: { type: 'string', default: '4' },
    writers: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
});
const shards = Number(values.shards);
const rounds = Number(values.rounds);
const say = (text: string): void => void process.stderr.write(`${text}\n`);

const CHECKPOINT = 'checkpoint create';
const OF_POSTGRES = ['journal-checkpoint', 'quiesce --allow-reads -- true'];
const OF_NATIVE = [...OF_POSTGRES, 'quiesce -- true', 'freeze -- true'];

interface Figures {
  readonly windowMs: { readonly median: number; readonly max: number };
  /** To the freeze of the checkpoint of the same round; the median of all rounds. */
  readonly ratio: number;
}

async function ofNative(): Promise<Record<string, Figures>> {
  const copysets = Array.from({ length: shards }, (_, index) => `s${index}`);
  const lab = await createReferenceLab({
    hosts: copysets.map((_, index) => `127.0.84.${index + 1}`),
    copysets: Object.fromEntries(copysets.map((name) => [name, 1])),
    keepers: 1,
    proxies: 1,
    satellites: 0,
    nodesOnly: true,
  });
  try {
    return await measured(lab.grid, referenceShards(lab.reference, copysets), OF_NATIVE);
  } finally {
    await lab.close();
  }
}

async function ofPostgres(): Promise<Record<string, Figures>> {
  const copysets = Array.from({ length: shards }, (_, index) => ({ name: `s${index}`, hosts: [index] }));
  const grid = await createGrid({
    templates: true,
    walSegmentMb: 16,
    hosts: copysets.map((_, index) => `127.0.85.${index + 1}`),
    copysets,
  });
  try {
    for (const { server } of grid.primaries) await server.query(TABLE_SQL);
    const urls = grid.primaries.map(({ server }) => server.url);
    return await measured(grid, postgresShards(urls), OF_POSTGRES);
  } finally {
    await grid.close();
  }
}

async function measured(
  grid: TestGrid,
  written: readonly Shard[],
  operations: readonly string[],
): Promise<Record<string, Figures>> {
  const windows = new Map<string, number[]>();
  const clients = await CausalClients.start(written, Number(values.writers), UNHURRIED);
  try {
    for (let round = 1; round <= rounds; round += 1) {
      for (const name of [CHECKPOINT, ...operations]) {
        const from = clients.writes.length;
        await until('writes', () => clients.writes.length > from + 50);
        const [command = '', ...rest] = name.split(' ');
        if (name === CHECKPOINT) rest.push(`round-${round}`);
        const { code, stdout, stderr } = await grid.run([command, '--output', 'json', '--quiet', ...rest]);
        if (code !== 0) throw new Error(stderr + stdout);
        const { windowMs } = JSON.parse(stdout) as CheckpointReport | HoldReport;
        windows.set(name, [...(windows.get(name) ?? []), windowMs]);
        say(`round ${round}: ${name}: ${rounded(windowMs)} ms`);
      }
    }
  } finally {
    await clients.stop();
  }
  const freezes = windows.get(CHECKPOINT) ?? [];
  return Object.fromEntries(
    [...windows].map(([name, all]) => [
      name,
      {
        windowMs: medianAndMax(all),
        ratio: medianAndMax(all.map((windowMs, round) => windowMs / (freezes[round] ?? 0))).median,
      },
    ]),
  );
}

function inWords(grid: string, figures: Record<string, Figures>): string {
  const lines = Object.entries(figures).map(
    ([name, { windowMs, ratio }]) =>
      `  ${name.padEnd(34)} median ${windowMs.median} ms, max ${windowMs.max} ms; ${ratio} x the freeze of a checkpoint`,
  );
  return `${grid}\n${lines.join('\n')}\n`;
}

const result = { native: await ofNative(), postgres: await ofPostgres() };
process.stdout.write(
  values.json
    ? `${JSON.stringify(result)}\n`
    : inWords(`${shards} nodes of the contract`, result.native) +
        inWords(`${shards} PostgreSQL servers`, result.postgres),
);
process.exit(0);
