import { expect } from 'chai';
import type { CheckpointReport, RestoreReport } from '../../../coordinator/reports.ts';
import { createCache, must } from '../../engines/infinispan/every-kind.ts';
import type { Shard } from '../../lab/causal-clients.ts';
import { History, type Moment } from '../../lab/history.ts';
import { InfinispanCluster, needsInfinispan, type InfinispanNode } from '../../lab/infinispan.ts';
import { infinispanShards } from '../../lab/infinispan-shards.ts';
import { createReferenceLab, type ReferenceLab } from '../../lab/reference-lab.ts';
import { postgresShards, referenceShards, TABLE_SQL } from '../../lab/shards.ts';

// Goal: one checkpoint of everything that a grid may have at once, a realm with its keepers and native nodes, PostgreSQL
// with a standby, and an Infinispan cluster, in the order of its clients; all of it comes back on other hosts.
// Method: each client writes on one kind after the other, in a circle, so that each kind holds causes of each other.

const HOSTS = ['127.0.97.1', '127.0.97.2', '127.0.97.3'];
const OTHERS = ['127.0.97.4', '127.0.97.5', '127.0.97.6'];
const MAPS = HOSTS.flatMap((host, index) => ['--map', `${host}=${OTHERS[index] ?? ''}`]);
const POSTGRES = [{ name: 'ledger', hosts: [2, 1] }];
const CACHES = ['carts', 'sessions'];
const TEXT = { 'distributed-cache': { mode: 'SYNC', encoding: { 'media-type': 'text/plain' } } };
const JSON_OUTPUT = ['--output', 'json', '--quiet'];

describe('a grid of native nodes, a PostgreSQL server and an Infinispan cluster', () => {
  let cluster: InfinispanCluster;
  let target: InfinispanCluster;
  let lab: ReferenceLab;
  let other: ReferenceLab;
  let history: History;
  let places: () => readonly Shard[];
  let moment: Moment;

  before(async function () {
    needsInfinispan(this);
    cluster = await InfinispanCluster.start({ name: 'here', address: (index) => HOSTS[index] ?? '' });
    lab = await createReferenceLab({
      hosts: HOSTS,
      copysets: { a: 2 },
      postgres: POSTGRES,
      clusters: [{ copyset: 'cache', nodes: cluster.nodes }],
    });
    for (const { server } of lab.grid.primaries) await server.query(TABLE_SQL);
    for (const cache of CACHES) await createCache(first(cluster), cache, TEXT);
    await must(first(cluster), 'POST', 'counters/visits', '{"strong-counter":{"initial-value":3}}', {
      'content-type': 'application/json',
    });
    places = () => shardsOf(lab, cluster);
    history = new History(() => places());
    await history.begin();
  });

  after(async () => {
    await history?.stop();
    await other?.close();
    await lab?.close();
    await Promise.all([cluster?.remove(), target?.remove()]);
  });

  function first({ nodes: [node] }: InfinispanCluster): InfinispanNode {
    if (node === undefined) throw new Error('no server');
    return node;
  }

  function shardsOf({ grid, reference }: ReferenceLab, { nodes }: InfinispanCluster): Shard[] {
    const [native] = referenceShards(reference, ['a']);
    const [ledger] = postgresShards(grid.primaries.map(({ server }) => server.url));
    const [carts, sessions] = infinispanShards(nodes, CACHES);
    if (native === undefined || ledger === undefined || carts === undefined || sessions === undefined)
      throw new Error('a place of each kind');
    return [native, carts, ledger, sessions];
  }

  it('is captured in one checkpoint while clients write to all of it', async () => {
    const before = performance.now();
    const { code, stdout, stderr } = await lab.grid.run(['checkpoint', 'create', 'all', ...JSON_OUTPUT]);
    moment = { before, after: performance.now() };
    expect(code, stderr + stdout).to.equal(0);
    const { members, journalMap } = JSON.parse(stdout) as CheckpointReport;
    const stateOf = Object.fromEntries(members.map(({ name, state }) => [name, state]));
    expect(stateOf).to.include({ 'cache-n1': 'captured', 'cache-n2': 'covered', ledgera: 'captured' });
    expect(new Set(members.map(({ role }) => role))).to.deep.equal(
      new Set(['realm-service', 'state-keeper', 'node', 'proxy']),
    );
    // An in-memory cluster has no journal, so no file of one is named for it.
    const files = Object.values(journalMap);
    expect(files.filter((file) => file.endsWith('.journal'))).to.have.length(2);
    expect(files.filter((file) => /^[0-9A-F]{24}$/.test(file))).to.have.length(1);
    await history.more();
  });

  it('comes back on other hosts, none of it later than its cause or without it [S1] [S56]', async () => {
    await history.stop();
    await lab.grid.killEverything();
    await Promise.all([
      ...lab.reference.processes.map((process) => process.kill('SIGKILL')),
      ...cluster.nodes.map((node) => node.kill()),
    ]);
    target = await InfinispanCluster.start({ name: 'there', address: (index) => OTHERS[index] ?? '' });
    other = await createReferenceLab({
      hosts: OTHERS,
      copysets: { a: 2 },
      postgres: POSTGRES,
      clusters: [{ copyset: 'cache', nodes: target.nodes }],
      beside: lab,
    });
    const args = ['restore', 'all', '--stop', '--yes', ...MAPS, ...JSON_OUTPUT];
    const { code, stdout, stderr } = await other.grid.run(args);
    expect(code, stderr + stdout).to.equal(0);
    expect((JSON.parse(stdout) as RestoreReport).verified).to.equal(true);
    places = () => shardsOf(other, target);
    const shown = await history.compare(moment);
    expect([shown.missing, shown.withoutCause, shown.lateShown]).to.deep.equal([0, 0, 0]);
    expect(shown.found).to.be.greaterThan(100);
    expect(shown.late).to.be.greaterThan(0);
    expect(await must(first(target), 'GET', 'counters/visits')).to.equal('3');
  });

  it('goes on there, and has a checkpoint under load again', async () => {
    await history.begin();
    const before = performance.now();
    const created = await other.grid.run(['checkpoint', 'create', 'there', ...JSON_OUTPUT]);
    const at = { before, after: performance.now() };
    expect(created.code, created.stderr + created.stdout).to.equal(0);
    await history.more();
    await history.stop();
    const restored = await other.grid.run(['restore', 'there', '--stop', '--yes', ...JSON_OUTPUT]);
    expect(restored.code, restored.stderr + restored.stdout).to.equal(0);
    const shown = await history.compare(at);
    expect([shown.missing, shown.withoutCause, shown.lateShown]).to.deep.equal([0, 0, 0]);
    expect(shown.late).to.be.greaterThan(0);
  });
});
