import { expect } from 'chai';
import type { CheckpointReport, RestoreReport } from '../../../coordinator/reports.ts';
import { CausalClients, checkOrder, type Shard, UNHURRIED } from '../../lab/causal-clients.ts';
import { until } from '../../lab/processes.ts';
import { createReferenceLab, type ReferenceLab } from '../../lab/reference-lab.ts';
import { postgresShards, referenceShards, TABLE_SQL } from '../../lab/shards.ts';

// Goal: one consistent cut over members of different kinds. Method: clients that write A on a native copyset and, once
// it is acknowledged, B on a PostgreSQL server, and the other way round; what came back must never have the later
// without the earlier.

const JSON_OUTPUT = ['--output', 'json', '--quiet'];
const HOSTS = ['127.0.55.1', '127.0.55.2', '127.0.55.3'];
const OTHERS = ['127.0.56.1', '127.0.56.2', '127.0.56.3'];
const MAPS = HOSTS.flatMap((host, index) => ['--map', `${host}=${OTHERS[index] ?? ''}`]);
const POSTGRES = [
  { name: 'orders', hosts: [0] },
  { name: 'ledger', hosts: [2, 1] },
];

describe('a grid of native nodes and PostgreSQL servers side by side', () => {
  let lab: ReferenceLab;
  let other: ReferenceLab;
  let clients: CausalClients;
  let report: CheckpointReport;
  let began: number;

  before(async () => {
    lab = await createReferenceLab({ hosts: HOSTS, copysets: { a: 2 }, postgres: POSTGRES });
    other = await createReferenceLab({ hosts: OTHERS, copysets: { a: 2 }, postgres: POSTGRES, beside: lab });
    for (const { server } of lab.grid.primaries) await server.query(TABLE_SQL);
    clients = await CausalClients.start(shardsOf(lab), 6, UNHURRIED);
    await until('writes', () => clients.writes.length > 300);
  });

  after(async () => {
    await clients?.stop();
    await other?.close();
    await lab?.close();
  });

  /** Native and PostgreSQL in turn: each client writes on one kind and then on the other. */
  function shardsOf({ grid, reference }: ReferenceLab): Shard[] {
    const [orders, ledger] = postgresShards(grid.primaries.map(({ server }) => server.url));
    const [native] = referenceShards(reference, ['a']);
    if (orders === undefined || ledger === undefined || native === undefined) throw new Error('no shards');
    return [native, orders, native, ledger];
  }

  it('is captured as one: a single cut, with the journal file of every node of either kind', async () => {
    began = performance.now();
    const { code, stdout, stderr } = await lab.grid.run(['checkpoint', 'create', 'mixed', ...JSON_OUTPUT]);
    expect(code, stderr + stdout).to.equal(0);
    report = JSON.parse(stdout) as CheckpointReport;
    const engines = new Set(report.members.map(({ engine }) => engine));
    expect(engines).to.deep.equal(new Set(['native', 'postgres']));
    expect(Object.values(report.journalMap).filter((file) => /^[0-9A-F]{24}$/.test(file))).to.have.length(2);
    expect(Object.values(report.journalMap).filter((file) => file.endsWith('.journal'))).to.have.length(2);
  });

  it('comes back elsewhere with no B without its A, in either direction [S1] [S56]', async () => {
    await until('writes after the checkpoint', () =>
      clients.writes.some(({ sentAt }) => sentAt > began + 1500),
    );
    await lab.grid.killEverything();
    await Promise.all(lab.reference.processes.map((process) => process.kill('SIGKILL')));
    await clients.stop();
    const restored = await other.grid.run(['restore', 'mixed', '--yes', ...JSON_OUTPUT, ...MAPS]);
    expect(restored.code, restored.stderr + restored.stdout).to.equal(0);
    expect((restored.json as RestoreReport).verified).to.equal(true);
    const [native, orders, , ledger] = shardsOf(other);
    const distinct = [native, orders, ledger].filter((shard) => shard !== undefined);
    const order = await checkOrder(distinct, clients.writes, began);
    expect(order).to.include({ missing: 0, withoutCause: 0 });
    expect(order.found).to.be.greaterThan(300);
  });
});
