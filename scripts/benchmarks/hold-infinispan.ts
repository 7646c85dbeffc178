import { parseArgs } from 'node:util';
import { clusterFactsSchema } from '../../agent/engines/infinispan/copy/facts.ts';
import type { CheckpointReport } from '../../coordinator/reports.ts';
import { openRepository } from '../../shared/repository/open.ts';
import { entriesOf, fill, put } from '../../test/engines/infinispan/clients.ts';
import { createGrid, type TestGrid } from '../../test/lab/grid.ts';
import { InfinispanCluster, whyNoInfinispan } from '../../test/lab/infinispan.ts';
import { until } from '../../test/lab/processes.ts';
import { medianAndMax, rounded } from './figures.ts';

/**
 * How long the clients of an Infinispan cluster of two servers are refused in a checkpoint, by the entries that it has:
 * beside a backup of the same servers in the same round that holds nobody, and so has no one moment.
 */
const { values } = parseArgs({
  options: {
    entries: { type: 'string', default: '5000,65000,500000' },
    writers: { type: 'string', default: '4' },
    think: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
});
const say = (text: string): void => void process.stderr.write(`${text}\n`);

const HOSTS = ['127.0.92.1', '127.0.92.2'];
const CONTAINER = `<distributed-cache name="filled"><encoding media-type="application/octet-stream"/></distributed-cache>
  <distributed-cache name="carts" mode="SYNC"><encoding media-type="text/plain"/></distributed-cache>`;
const ENDPOINTS = `<endpoints><endpoint socket-binding="default">
  <hotrod-connector/><memcached-connector cache="filled"/><rest-connector/>
</endpoint></endpoints>`;
const LEASE_SECONDS = 120;

interface Round {
  /** From the first fence to the last release, as the coordinator has it: here the cluster's own. */
  readonly windowMs: number;
  /** From the fence to its end, as the agent has it, and of that the backup. */
  readonly heldMs: number;
  readonly backupMs: number;
  /** From a client's first try of a write to its acknowledgement, at worst. */
  readonly worstWriteMs: number;
  /** A backup by the server with nobody held. */
  readonly unheldMs: number;
}

/** Clients that write with a pause between their writes, and try again what is refused. */
class Writers {
  readonly #servers: readonly string[];
  readonly #writing: readonly Promise<void>[];
  #isStopped = false;
  worstMs = 0;
  acknowledged = 0;

  constructor(servers: readonly string[], count: number) {
    this.#servers = servers;
    this.#writing = Array.from({ length: count }, (_, writer) => this.#write(writer));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#writing);
  }

  async #write(writer: number): Promise<void> {
    const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, Number(values.think)));
    for (let number = 0; !this.#isStopped; number += 1) {
      const server = this.#servers[(writer + number) % this.#servers.length] ?? '';
      const begunAt = performance.now();
      for (;;) {
        const status = await put(server, 'carts', `w${writer}`, `${number}`);
        if (status === 204) break;
        if (status !== 503) throw new Error(`a write was answered with ${status}`);
        await pause();
      }
      this.worstMs = Math.max(this.worstMs, performance.now() - begunAt);
      this.acknowledged += 1;
      await pause();
    }
  }
}

async function unheld(server: string, name: string): Promise<number> {
  const url = `${server}/rest/v2/container/backups/${name}`;
  const begunAt = performance.now();
  const started = await fetch(url, { method: 'POST' });
  if (started.status !== 202) throw new Error(`a backup was answered with ${started.status}`);
  await until(
    'the backup',
    async () => (await fetch(url, { method: 'HEAD' })).status === 200,
    LEASE_SECONDS * 1000,
  );
  const ms = performance.now() - begunAt;
  await fetch(url, { method: 'DELETE' });
  return ms;
}

async function oneRound(grid: TestGrid, writers: Writers, server: string, round: number): Promise<Round> {
  const unheldMs = await unheld(server, `bench-${round}`);
  const acknowledged = writers.acknowledged;
  writers.worstMs = 0;
  const { code, stdout, stderr } = await grid.run(['checkpoint', 'create', 'bench', '--output', 'json']);
  if (code !== 0) throw new Error(`the checkpoint failed:\n${stderr}${stdout}`);
  await until('writes after it', () => writers.acknowledged > acknowledged + Number(values.writers) * 2);
  const report = JSON.parse(stdout) as CheckpointReport;
  const repository = await openRepository(grid.repository);
  const { members } = await repository.readCheckpoint(grid.name, report.checkpoint);
  const lead = members.find(({ assignment }) => assignment.part === 'whole');
  if (lead === undefined) throw new Error('nothing was copied');
  const stored = await repository.readMember(grid.name, report.checkpoint, lead.name, lead.manifestDigest);
  await repository.close();
  const { heldMs, backupMs } = clusterFactsSchema.parse(stored.engineFacts);
  if (heldMs === null || backupMs === null) throw new Error('nobody was held');
  return {
    windowMs: rounded(report.windowMs),
    heldMs,
    backupMs,
    worstWriteMs: rounded(writers.worstMs),
    unheldMs: rounded(unheldMs),
  };
}

async function measured(entries: number): Promise<readonly Round[]> {
  const cluster = await InfinispanCluster.start({
    address: (index) => HOSTS[index] ?? '',
    container: CONTAINER,
    endpoints: ENDPOINTS,
    heapMB: 1024,
  });
  let grid: TestGrid | null = null;
  try {
    const [first] = cluster.nodes;
    if (first === undefined) throw new Error('no server');
    await fill(first, entries);
    await until('every entry', async () => (await entriesOf(first.url, 'filled')) === entries, 120_000);
    grid = await createGrid({
      hosts: HOSTS,
      copysets: [],
      clusters: [{ copyset: 'cache', nodes: cluster.nodes }],
      leaseSeconds: LEASE_SECONDS,
      memberLines: () => [`maxHoldSeconds: ${LEASE_SECONDS - 10}`],
    });
    const writers = new Writers(
      cluster.nodes.map(({ url }) => url),
      Number(values.writers),
    );
    try {
      await until('writes', () => writers.acknowledged > 100);
      const rounds: Round[] = [];
      for (let round = 1; round <= Number(values.rounds); round += 1) {
        rounds.push(await oneRound(grid, writers, first.url, round));
        say(`${entries} entries, round ${round}: ${JSON.stringify(rounds.at(-1))}`);
      }
      return rounds;
    } finally {
      await writers.stop();
    }
  } finally {
    await grid?.close();
    await cluster.remove();
  }
}

async function main(): Promise<void> {
  const missing = whyNoInfinispan();
  if (missing !== null) throw new Error(`this machine has no Infinispan: ${missing}`);
  const results: Record<string, Record<keyof Round, { median: number; max: number }> & { ratio: number }> =
    {};
  for (const entries of values.entries.split(',').map(Number)) {
    const rounds = await measured(entries);
    const of = (key: keyof Round): { median: number; max: number } =>
      medianAndMax(rounds.map((round) => round[key]));
    results[entries] = {
      windowMs: of('windowMs'),
      heldMs: of('heldMs'),
      backupMs: of('backupMs'),
      worstWriteMs: of('worstWriteMs'),
      unheldMs: of('unheldMs'),
      ratio: rounded(of('heldMs').median / of('unheldMs').median),
    };
  }
  if (values.json) {
    process.stdout.write(`${JSON.stringify(results)}\n`);
    return;
  }
  for (const [entries, { heldMs, worstWriteMs, unheldMs, ratio }] of Object.entries(results))
    process.stdout.write(
      `${entries} entries: clients held ${heldMs.median} ms (worst write ${worstWriteMs.max} ms), ${ratio} x a backup that holds nobody (${unheldMs.median} ms)\n`,
    );
}

await main();
