import { expect } from 'chai';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { put } from '../../engines/infinispan/every-kind.ts';
import { documented, DocumentsLab } from '../../lab/documents-lab.ts';
import { InfinispanCluster, needsInfinispan } from '../../lab/infinispan.ts';
import { until } from '../../lab/processes.ts';

// Goal: no Backup succeeds whose archive lacks what the cluster has. Method: a real cluster with replicated caches, whose
// entries a real server without capacity does not back up, without a word.

const TEXT = '<encoding media-type="text/plain"/>';
const CACHES = `
  <replicated-cache name="everywhere" mode="SYNC">${TEXT}</replicated-cache>
  <replicated-cache name="nothing-in-it" mode="SYNC">${TEXT}</replicated-cache>
  <distributed-cache name="orders" mode="SYNC">${TEXT}</distributed-cache>`;

const backup = (name: string, resources = ''): string => `apiVersion: infinispan.org/v2alpha1
kind: Backup
metadata:
  name: ${name}
spec:
  cluster: source-cluster
${resources}`;

describe('a Backup of a cluster with replicated caches', function () {
  this.timeout(300_000);
  let cluster: InfinispanCluster;
  let lab: DocumentsLab;

  before(async function () {
    needsInfinispan(this);
    cluster = await InfinispanCluster.start({ nodes: 1, container: CACHES, heapMB: 192 });
    const [node] = cluster.nodes;
    if (node === undefined) throw new Error('no server');
    for (let index = 0; index < 20; index += 1)
      for (const cache of ['everywhere', 'orders']) await put(node, cache, `key ${index}`, 'value');
    lab = await DocumentsLab.start({
      host: '127.0.98.1',
      clusters: [await documented('source-cluster', cluster)],
    });
  });

  after(async () => {
    await lab?.grid.close();
    await cluster?.remove();
  });

  const archive = (name: string): string => join(lab.volumes, 'backups', name, `${name}.zip`);

  it('fails where the archive has none of the entries of one, says which, and leaves no archive', async () => {
    expect((await lab.apply(backup('all'))).code).to.equal(0);
    await until(
      'the backup to end',
      async () => ['Failed', 'Succeeded'].includes((await lab.get('backup', 'all')).status.phase),
      120_000,
    );
    const { status } = await lab.get('backup', 'all');
    expect(status.phase).to.equal('Failed');
    expect(status.reason).to.contain('cache everywhere is replicated and has 20 entries');
    expect(existsSync(archive('all'))).to.equal(false);
    expect(await lab.log('backup', 'all')).to.contain('stillpoint checkpoint create has all of it');
  });

  it('succeeds with what such a server does back up, empty replicated caches among it', async () => {
    const resources = '  resources:\n    caches: [orders, nothing-in-it]\n';
    expect((await lab.apply(backup('some', resources))).code).to.equal(0);
    await lab.reached('backup', 'some', 'Succeeded');
    expect(await lab.log('backup', 'some')).to.contain('cache orders: 20 entries');
    expect(existsSync(archive('some'))).to.equal(true);
  });
});
