import type { Shard } from '../test/lab/causal-clients.ts';
import { createGrid, type TestGrid } from '../test/lab/grid.ts';
import { InfinispanCluster } from '../test/lab/infinispan.ts';
import { infinispanShards } from '../test/lab/infinispan-shards.ts';
import { until } from '../test/lab/processes.ts';
import { createReferenceLab, type ReferenceLab } from '../test/lab/reference-lab.ts';
import { differingRows, postgresShards, referenceShards, TABLE_SQL } from '../test/lab/shards.ts';

/** The grids that the demo tells its story with. */
export const KINDS = ['postgres', 'reference', 'mixed', 'infinispan'] as const;
export type Kind = (typeof KINDS)[number];

export interface DemoGrid {
  /** What it is made of, in a few lines. */
  readonly story: readonly string[];
  /** What clients do, and what is killed. */
  readonly writing: string;
  readonly killed: string;
  readonly grid: TestGrid;
  /** In the order in which each client writes to them; one may come twice. */
  readonly shards: readonly Shard[];
  /** OLD=NEW for every host, when it is restored to the other. */
  readonly maps: readonly string[];
  /** What a restore of it needs to be told besides. */
  readonly restoreOptions: readonly string[];
  /** The same grid on other hosts, of which nothing runs yet but servers that are restored while they run. */
  other(): Promise<DemoGrid>;
  kill(): Promise<void>;
  /** Rows that one node of a copyset has and another has not. */
  differing(): Promise<number>;
  /** Where a person can look at it. */
  readonly places: readonly string[];
  close(): Promise<void>;
}

const HOSTS = [1, 2, 3, 4].map((host) => `127.0.7.${host}`);
const OTHERS = HOSTS.map((host) => host.replace('127.0.7.', '127.0.8.'));
const mapsOf = (hosts: readonly string[]): string[] =>
  hosts.map((host, index) => `${host}=${OTHERS[index] ?? ''}`);

export function launchDemoGrid(kind: Kind): Promise<DemoGrid> {
  if (kind === 'postgres') return launchPostgres(null);
  return kind === 'infinispan' ? launchInfinispan(null) : launchReference(kind, null);
}

const SERVERS = [
  { name: 'orders', hosts: [0] },
  { name: 'stock', hosts: [1] },
  { name: 'payments', hosts: [2] },
  { name: 'ledger', hosts: [3, 0] },
];

async function launchPostgres(beside: TestGrid | null): Promise<DemoGrid> {
  const grid =
    beside === null
      ? await createGrid({ templates: true, walSegmentMb: 16, hosts: HOSTS, copysets: SERVERS })
      : await createGrid({ beside, empty: true, hosts: OTHERS, copysets: SERVERS });
  if (beside === null) for (const { server } of grid.primaries) await server.query(TABLE_SQL);
  return {
    story: [
      'four hosts with an agent each. Copysets orders, stock and payments with one PostgreSQL',
      'server each, ledger with a primary and a hot standby. A CA of its own, mutual TLS everywhere.',
    ],
    writing: 'write A on one server and, once it is acknowledged, B on another.',
    killed: 'every server and every agent',
    grid,
    shards: postgresShards(grid.primaries.map(({ server }) => server.url)),
    maps: mapsOf(HOSTS),
    restoreOptions: [],
    other: () => launchPostgres(grid),
    kill: () => grid.killEverything(),
    differing: () => serversDiffering(grid, 'ledger'),
    places: grid.members.map(({ name, server }) => `${name}: ${server.url}`),
    close: () => grid.close(),
  };
}

const SHAPES = {
  reference: { hosts: 3, copysets: { a: 2, b: 2 }, postgres: [] },
  mixed: {
    hosts: 4,
    copysets: { a: 2 },
    postgres: [
      { name: 'orders', hosts: [1] },
      { name: 'ledger', hosts: [3, 0] },
    ],
  },
} as const;

async function launchReference(kind: 'reference' | 'mixed', beside: ReferenceLab | null): Promise<DemoGrid> {
  const { hosts, copysets, postgres } = SHAPES[kind];
  const lab = await createReferenceLab({
    hosts: (beside === null ? HOSTS : OTHERS).slice(0, hosts),
    copysets,
    postgres,
    ...(beside !== null && { beside }),
  });
  const { grid, reference } = lab;
  if (beside === null) for (const { server } of grid.primaries) await server.query(TABLE_SQL);
  const native = referenceShards(reference, Object.keys(copysets));
  const servers = postgresShards(grid.primaries.map(({ server }) => server.url));
  const [first] = native;
  return {
    story: [
      `${kind === 'mixed' ? 'four' : 'three'} hosts with an agent each. A realm service with a satellite, three state keepers, two proxies,`,
      kind === 'reference'
        ? 'copysets a and b with two nodes each: processes that take part in checkpoints by themselves.'
        : 'copyset a with two nodes that take part by themselves, orders and ledger on PostgreSQL servers.',
    ],
    writing:
      kind === 'reference'
        ? 'write A in one copyset and, once it is acknowledged, B in the other.'
        : 'write A on nodes of one kind and, once it is acknowledged, B on the other kind; and back.',
    killed: 'every process of the grid and every agent',
    grid,
    shards:
      servers.length === 0 || first === undefined ? native : servers.flatMap((server) => [first, server]),
    maps: mapsOf(HOSTS.slice(0, SHAPES[kind].hosts)),
    restoreOptions: [],
    other: () => launchReference(kind, lab),
    async kill() {
      await grid.killEverything();
      await Promise.all(reference.processes.map((process) => process.kill('SIGKILL')));
    },
    async differing() {
      let rows = kind === 'mixed' ? await serversDiffering(grid, 'ledger') : 0;
      for (const copyset of Object.keys(copysets)) rows += await nodesDiffering(lab, copyset);
      return rows;
    },
    places: [
      ...reference.processes.map(({ name, role, address }) => `${name}: ${role} at ${address}`),
      ...grid.members.map(({ name, server }) => `${name}: ${server.url}`),
    ],
    close: () => lab.close(),
  };
}

const CARTS = 'carts';

async function launchInfinispan(beside: TestGrid | null): Promise<DemoGrid> {
  const hosts = (beside === null ? HOSTS : OTHERS).slice(0, 2);
  const cluster = await InfinispanCluster.start({
    name: beside === null ? 'first' : 'other',
    address: (index) => hosts[index] ?? '',
  });
  const copysets = [{ name: 'orders', hosts: [0] }];
  const shape = { hosts, copysets, clusters: [{ copyset: 'cache', nodes: cluster.nodes }] };
  let grid: TestGrid;
  try {
    grid = await createGrid(beside === null ? shape : { ...shape, beside, empty: true });
    if (beside === null) await prepareStores(grid, cluster);
  } catch (error) {
    await cluster.remove();
    throw error;
  }
  return {
    story: [
      'two hosts with an agent each. An Infinispan cluster of two servers, whose data is in memory,',
      'and a PostgreSQL server.',
    ],
    writing: 'write A in a cache and, once it is acknowledged, B on the PostgreSQL server; and back.',
    killed: 'every server and every agent',
    grid,
    shards: [
      ...infinispanShards(cluster.nodes, [CARTS]),
      ...postgresShards(grid.primaries.map(({ server }) => server.url)),
    ],
    maps: mapsOf(hosts),
    // Its clients are kept out while it is restored.
    restoreOptions: ['--stop'],
    other: () => launchInfinispan(grid),
    async kill() {
      await grid.killEverything();
      await Promise.all(cluster.nodes.map((node) => node.kill()));
    },
    differing: () => Promise.resolve(0),
    places: [
      ...cluster.nodes.map(({ name, url }) => `${name}: ${url}/rest/v2/caches/${CARTS}?action=keys`),
      ...grid.members.map(({ name, server }) => `${name}: ${server.url}`),
    ],
    async close() {
      await grid.close();
      await cluster.remove();
    },
  };
}

async function prepareStores(grid: TestGrid, { nodes: [node] }: InfinispanCluster): Promise<void> {
  for (const { server } of grid.primaries) await server.query(TABLE_SQL);
  const response = await fetch(`${node?.url ?? ''}/rest/v2/caches/${CARTS}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"distributed-cache":{"mode":"SYNC","encoding":{"media-type":"text/plain"}}}',
  });
  if (!response.ok) throw new Error(`the cache was not made: ${await response.text()}`);
}

function serversDiffering(grid: TestGrid, copyset: string): Promise<number> {
  return differingRows(grid.member(`${copyset}a`).server, grid.member(`${copyset}b`).server);
}

/** What the primary shows, and what the other node shows once the primary is gone; then it is started again. */
async function nodesDiffering({ reference }: ReferenceLab, copyset: string): Promise<number> {
  const [shard] = referenceShards(reference, [copyset]);
  if (shard === undefined) throw new Error(`no copyset ${copyset}`);
  const rows = async (): Promise<Set<string>> =>
    new Set((await shard.rows()).map(({ client, sequence }) => `${client}/${sequence}`));
  const primaryOf = async (): Promise<string> => {
    const { running } = await reference.status();
    return running.find(({ name, primary }) => name.startsWith(copyset) && primary)?.name ?? '';
  };
  const primary = reference.process(await primaryOf());
  const before = await rows();
  await primary.kill('SIGKILL');
  await until('the other node to be primary', async () => !['', primary.name].includes(await primaryOf()));
  const after = await rows();
  await primary.start();
  await reference.healthy();
  return before.symmetricDifference(after).size;
}
