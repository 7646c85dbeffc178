import { expect } from 'chai';

import { join } from 'node:path';
import { readArchive } from '../../../agent/engines/infinispan/archive/archive.ts';
import { saveAll } from '../../../agent/engines/infinispan/restore/jobs.ts';
import { InfinispanServer } from '../../../agent/engines/infinispan/server/infinispan-server.ts';
import type { CheckpointReport, RestoreReport } from '../../../coordinator/reports.ts';
import { CACHES, DEFINED_IN_FILE, entryPath, fill, must } from '../../engines/infinispan/every-kind.ts';
import { load } from '../../engines/infinispan/loaded.ts';
import { createGrid, type TestGrid } from '../../lab/grid.ts';
import { InfinispanCluster, needsInfinispan, type InfinispanNode } from '../../lab/infinispan.ts';

// Goal: all that a cluster of two has, of every kind, is on two others afterwards, and they start again with it.
// Method: two clusters of real servers that know nothing of each other, with 35,000 entries in one cache.

const HOSTS = ['127.0.96.1', '127.0.96.2'];
const OTHERS = ['127.0.96.3', '127.0.96.4'];
const ENTRIES = 35_000;
const JSON_OUTPUT = ['--output', 'json', '--quiet'];

describe('a cluster with everything in it that is moved to other hosts', () => {
  let source: InfinispanCluster;
  let target: InfinispanCluster;
  let grid: TestGrid;
  let other: TestGrid;
  const signal = new AbortController().signal;

  const first = ({ nodes: [node] }: InfinispanCluster): InfinispanNode => {
    if (node === undefined) throw new Error('no server');
    return node;
  };

  async function withServer<T>(
    cluster: InfinispanCluster,
    task: (server: InfinispanServer) => Promise<T>,
  ): Promise<T> {
    const server = new InfinispanServer({ url: first(cluster).url, container: 'default' });
    try {
      return await task(server);
    } finally {
      server.close();
    }
  }

  before(async function () {
    needsInfinispan(this);
    source = await InfinispanCluster.start({
      address: (index) => HOSTS[index] ?? '',
      container: DEFINED_IN_FILE,
    });
    grid = await createGrid({
      hosts: HOSTS,
      copysets: [],
      clusters: [{ copyset: 'cache', nodes: source.nodes }],
    });
    await fill(first(source));
    await must(first(source), 'POST', 'caches/large', JSON.stringify(CACHES['text']), {
      'content-type': 'application/json',
    });
    await load(first(source).url, grid.root, ['large'], ENTRIES);
  });

  after(async () => {
    await grid?.close();
    await other?.close();
    await Promise.all([source?.remove(), target?.remove()]);
  });

  async function held(cluster: InfinispanCluster): Promise<unknown> {
    const file = join(grid.root, 'held.zip');
    await withServer(cluster, (server) => saveAll(server, file, signal));
    const { caches, ...others } = await readArchive(file, signal);
    return {
      ...others,
      caches: caches.map(({ name, entries, contentSha256 }) => [name, entries, contentSha256]),
    };
  }

  it('has the same caches, entries, counters, schemas and templates there', async () => {
    const created = await grid.run(['checkpoint', 'create', 'move', ...JSON_OUTPUT]);
    expect(created.code, created.stderr + created.stdout).to.equal(0);
    const { checkpoint } = JSON.parse(created.stdout) as CheckpointReport;
    const there = await held(source);
    await Promise.all(source.nodes.map((node) => node.kill()));

    target = await InfinispanCluster.start({
      name: 'target',
      address: (index) => OTHERS[index] ?? '',
      container: DEFINED_IN_FILE,
    });
    other = await createGrid({
      beside: grid,
      hosts: OTHERS,
      copysets: [],
      clusters: [{ copyset: 'cache', nodes: target.nodes }],
    });
    const maps = HOSTS.flatMap((host, index) => ['--map', `${host}=${OTHERS[index] ?? ''}`]);
    const restored = await other.run(['restore', checkpoint, '--stop', '--yes', ...maps, ...JSON_OUTPUT]);
    expect(restored.code, restored.stderr + restored.stdout).to.equal(0);
    expect((JSON.parse(restored.stdout) as RestoreReport).verified).to.equal(true);

    expect(await must(first(target), 'GET', 'caches/large?action=size')).to.equal(String(ENTRIES));
    expect(await must(first(target), 'GET', entryPath('large', 'key 34999'))).to.equal('value 34999');
    expect(await held(target)).to.deep.equal(there);
    expect(await must(first(target), 'GET', 'counters/durable')).to.equal('6');
    const found = await must(
      first(target),
      'GET',
      'caches/indexed?action=search&query=FROM lab.Person WHERE age = 36',
    );
    expect(found).to.contain('Ada');
  });

  it('starts again there with what its servers keep', async () => {
    await Promise.all(target.nodes.map((node) => node.stop()));
    for (const node of target.nodes) await node.start();
    const caches = JSON.parse(await must(first(target), 'GET', 'caches')) as string[];
    expect(caches).to.include.members(['from-file', 'large', ...Object.keys(CACHES)]);
    expect(await must(first(target), 'GET', 'counters/durable')).to.equal('6');
  });
});
