import { expect } from 'chai';
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { CheckpointReport, RestoreReport } from '../../../coordinator/reports.ts';
import { createGrid, type TestGrid } from '../../lab/grid.ts';
import { History, type Moment } from '../../lab/history.ts';
import { Hooks } from '../../lab/hooks.ts';
import { InfinispanCluster, needsInfinispan, type InfinispanNode } from '../../lab/infinispan.ts';
import { infinispanShards } from '../../lab/infinispan-shards.ts';
import { until } from '../../lab/processes.ts';
import { postgresShards, TABLE_SQL } from '../../lab/shards.ts';
import type { Shard } from '../../lab/causal-clients.ts';
import { ask, createCache, entryPath, must, put } from '../../engines/infinispan/every-kind.ts';

// Goal: a grid of an Infinispan cluster and a PostgreSQL server comes back as one, in the order in which its clients
// wrote, to the same place and to another; and goes back to what it was when that fails or anybody dies in it.
// Method: real servers, agents, guards and commands; clients whose writes have causes on the other kind of server.

const HOSTS = ['127.0.95.1', '127.0.95.2'];
const OTHER = '127.0.95.3';
const CACHES = ['carts', 'sessions'];
const TEXT = { 'distributed-cache': { mode: 'SYNC', encoding: { 'media-type': 'text/plain' } } };
const JSON_OUTPUT = ['--output', 'json', '--quiet'];

describe('a grid of an Infinispan cluster and a PostgreSQL server', () => {
  let cluster: InfinispanCluster;
  let grid: TestGrid;
  let hooks: Hooks;
  let history: History;
  let checkpoint: string;
  let moment: Moment;

  const lead = (): InfinispanNode => {
    const [first] = cluster.nodes;
    if (first === undefined) throw new Error('no server');
    return first;
  };
  const shardsOf = (of: TestGrid, servers: readonly InfinispanNode[]): Shard[] => {
    const [orders] = postgresShards(of.primaries.map(({ server }) => server.url));
    const [carts, sessions] = infinispanShards(servers, CACHES);
    if (orders === undefined || carts === undefined || sessions === undefined)
      throw new Error('three shards');
    return [carts, orders, sessions, orders];
  };

  before(async function () {
    needsInfinispan(this);
    cluster = await InfinispanCluster.start({ address: (index) => HOSTS[index] ?? '' });
    grid = await createGrid({
      hosts: HOSTS,
      copysets: [{ name: 'orders', hosts: [0] }],
      clusters: [{ copyset: 'cache', nodes: cluster.nodes }],
    });
    hooks = new Hooks(join(grid.root, 'hooks'));
    for (const { server } of grid.primaries) await server.query(TABLE_SQL);
    for (const cache of CACHES) await createCache(lead(), cache, TEXT);
    await must(lead(), 'POST', 'counters/visits', '{"strong-counter":{"initial-value":3}}', {
      'content-type': 'application/json',
    });
    history = new History(() => shardsOf(grid, cluster.nodes));
  });

  after(async () => {
    await history?.stop();
    await grid?.close();
    await cluster?.remove();
  });

  const visits = (): Promise<string> => must(lead(), 'GET', 'counters/visits');
  const isServed = async (): Promise<void> => {
    await until('every cache to be served', async () => {
      const { text } = await ask(lead(), 'GET', 'server/ignored-caches');
      return text === '[]';
    });
    const room = join(dirname(lead().root), `.stillpoint-${basename(lead().root)}`);
    await until('nothing to be left of the restore', () => !existsSync(room));
  };

  it('has checkpoints under load, and comes back from one in the order of its clients', async () => {
    await history.begin();
    const before = performance.now();
    const created = await grid.run(['checkpoint', 'create', 'nightly', ...JSON_OUTPUT]);
    moment = { before, after: performance.now() };
    expect(created.code, created.stderr + created.stdout).to.equal(0);
    const report = JSON.parse(created.stdout) as CheckpointReport;
    checkpoint = report.checkpoint;
    expect(report.members.map(({ name, state }) => `${name} ${state}`)).to.have.members([
      'cache-n1 captured',
      'cache-n2 covered',
      'ordersa captured',
    ]);
    await history.more();
    await history.stop();
    await must(lead(), 'POST', 'counters/visits?action=increment');

    const refused = await grid.run(['restore', checkpoint, '--yes', ...JSON_OUTPUT]);
    expect(refused.code, refused.stdout).to.equal(3);
    expect(await visits()).to.equal('4');

    const restored = await grid.run(['restore', checkpoint, '--stop', '--yes', ...JSON_OUTPUT]);
    expect(restored.code, restored.stderr + restored.stdout).to.equal(0);
    const { warnings } = JSON.parse(restored.stdout) as RestoreReport;
    expect(warnings.join('\n')).to.match(
      /cache-n1: the cluster holds \d+ entries in 2 caches, and 1 counters/,
    );
    const shown = await history.compare(moment);
    expect(shown.found).to.be.greaterThan(100);
    expect([shown.missing, shown.withoutCause, shown.lateShown]).to.deep.equal([0, 0, 0]);
    expect(shown.late).to.be.greaterThan(0);
    expect(await visits()).to.equal('3');
    await isServed();
  });

  it('goes back to what it was, with exit 7, where what is restored is not as it was captured', async () => {
    await history.begin();
    await history.stop();
    await put(lead(), 'carts', 'only here', 'x');
    await put(lead(), 'carts', '-1 -1', 'x');
    hooks.hold('started', 'cache-n1');
    await restartAgents();
    const restoring = grid.begin(['restore', checkpoint, '--stop', '--yes', ...JSON_OUTPUT]);
    await hooks.reachedBy(restoring, 'started', 'cache-n1');
    expect((await ask(lead(), 'GET', entryPath('carts', 'only here'))).status).to.equal(503);
    // No server refuses this: it is found, and nothing is said to be restored that is not.
    await must(lead(), 'POST', 'counters/visits?action=increment');
    hooks.release('started', 'cache-n1');
    const { code, stdout } = await restoring.finished;
    expect(code, stdout).to.equal(7);
    expect(stdout).to.contain('counter visits');
    expect(await must(lead(), 'GET', entryPath('carts', 'only here'))).to.equal('x');
    expect(await visits()).to.equal('3');
    await isServed();
  });

  for (const step of ['switched', 'started', 'verified']) {
    it(`goes back to what it was where the agent of the lead is killed when it has ${step}`, async () => {
      hooks.reset();
      hooks.hold(step, 'cache-n1');
      const restoring = grid.begin(['restore', checkpoint, '--stop', '--yes', ...JSON_OUTPUT]);
      await hooks.reachedBy(restoring, step, 'cache-n1');
      await grid.killAgent(0);
      hooks.reset();
      const { code, stdout } = await restoring.finished;
      expect([7, 8], stdout).to.include(code);
      await grid.startAgent(0, hooks.env);
      await isServed();
      expect(await must(lead(), 'GET', entryPath('carts', 'only here'))).to.equal('x');
    });
  }

  it('goes back to what it was where its coordinator is killed', async () => {
    hooks.reset();
    hooks.hold('started', 'cache-n1');
    const restoring = grid.begin(['restore', checkpoint, '--stop', '--yes', ...JSON_OUTPUT]);
    await hooks.reachedBy(restoring, 'started', 'cache-n1');
    restoring.signal('SIGKILL');
    await restoring.finished;
    hooks.reset();
    await isServed();
    expect(await must(lead(), 'GET', entryPath('carts', 'only here'))).to.equal('x');
  });

  it('goes forward where its agent is killed after the decision', async () => {
    hooks.reset();
    hooks.hold('decided', 'coordinator');
    const restoring = grid.begin(['restore', checkpoint, '--stop', '--yes', ...JSON_OUTPUT], hooks.env);
    await hooks.reachedBy(restoring, 'decided', 'coordinator');
    await grid.killAgent(0);
    restoring.signal('SIGKILL');
    await restoring.finished;
    await grid.startAgent(0, hooks.env);
    await isServed();
    expect((await ask(lead(), 'GET', entryPath('carts', 'only here'))).status).to.equal(404);
    await until(
      'the server to be open',
      async () =>
        grid.primaries[0]?.server.query('SELECT 1').then(
          () => true,
          () => false,
        ) ?? false,
    );
    const shown = await history.compare(moment);
    expect([shown.missing, shown.withoutCause, shown.lateShown]).to.deep.equal([0, 0, 0]);
  });

  it('is served again by another host where that of the lead is lost in a hold, with its agent, guard and server', async () => {
    hooks.reset();
    hooks.hold('fenced', 'cache-n1');
    const creating = grid.begin(['checkpoint', 'create', 'lost', ...JSON_OUTPUT]);
    await hooks.reachedBy(creating, 'fenced', 'cache-n1');
    const [, other] = cluster.nodes;
    if (other === undefined) throw new Error('two servers');
    const write = async (): Promise<number> =>
      (await ask(other, 'PUT', entryPath('sessions', 'key'), 'x', { 'content-type': 'text/plain' })).status;
    expect(await write()).to.equal(503);
    grid.killGuard(0);
    await Promise.all([grid.killAgent(0), lead().kill()]);
    hooks.reset();
    const { code, stdout } = await creating.finished;
    await until('clients to be served', async () => (await write()) === 204);
    expect([4, 5], stdout).to.include(code);

    await lead().start();
    await grid.startAgent(0, hooks.env);
    await must(other, 'DELETE', entryPath('sessions', 'key'));
    await isServed();
    const created = await grid.run(['checkpoint', 'create', 'found', ...JSON_OUTPUT]);
    expect(created.code, created.stdout).to.equal(0);
  });

  it('comes back on another host, in a cluster of another name with one server', async function () {
    this.timeout(300_000);
    const fresh = await InfinispanCluster.start({ nodes: 1, name: 'other', address: () => OTHER });
    const other = await createGrid({
      hosts: [OTHER],
      beside: grid,
      empty: true,
      copysets: [{ name: 'orders', hosts: [0] }],
      clusters: [{ copyset: 'cache', nodes: fresh.nodes }],
    });
    try {
      const maps = HOSTS.flatMap((host) => ['--map', `${host}=${OTHER}`]);
      const restored = await other.run(['restore', checkpoint, '--stop', '--yes', ...maps, ...JSON_OUTPUT]);
      expect(restored.code, restored.stderr + restored.stdout).to.equal(0);
      const { warnings } = JSON.parse(restored.stdout) as RestoreReport;
      expect(warnings.join('\n')).to.contain('copyset cache is restored onto fewer members than it had');
      const [there, here] = await Promise.all(
        [shardsOf(other, fresh.nodes), shardsOf(grid, cluster.nodes)].map(async (shards) => {
          const rows = await Promise.all(shards.slice(0, 3).map((shard) => shard.rows()));
          return rows.map((some) => some.map(({ client, sequence }) => `${client} ${sequence}`).toSorted());
        }),
      );
      expect(there).to.deep.equal(here);
      expect(await must(fresh.nodes[0] ?? lead(), 'GET', 'counters/visits')).to.equal('3');
    } finally {
      await other.close();
      await fresh.remove();
    }
  });

  async function restartAgents(): Promise<void> {
    for (const host of HOSTS.keys()) {
      await grid.killAgent(host);
      await grid.startAgent(host, hooks.env);
    }
  }
});
