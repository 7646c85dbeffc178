import { expect } from 'chai';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { BACKUP } from '../../documents/documents.ts';
import { documented, DocumentsLab, membersOf } from '../../lab/documents-lab.ts';
import { InfinispanCluster, needsInfinispan } from '../../lab/infinispan.ts';
import { until } from '../../lab/processes.ts';

// Goal: whoever is killed while a real server works for a document, it ends in the phase that is the truth, and its member
// is gone. Every phase and every case with scripted servers: test/agent/documents/controller.test.ts.

describe('a Backup on real servers in which somebody is killed', () => {
  let cluster: InfinispanCluster;
  let lab: DocumentsLab;

  before(async function () {
    needsInfinispan(this);
    cluster = await InfinispanCluster.start({
      name: 'kills',
      container: '<distributed-cache name="orders" mode="SYNC"/>',
      heapMB: 192,
    });
    lab = await DocumentsLab.start({
      host: '127.0.82.1',
      clusters: [await documented('source-cluster', cluster)],
      memberKeys: { silentSeconds: 120 },
    });
    await lab.restartAgent();
  });

  after(async () => {
    await lab?.grid.close();
    await cluster?.remove();
  });

  /** Its member is in the cluster, and has been asked for nothing. */
  async function running(name: string): Promise<number> {
    lab.hooks.hold('documentRunning', name);
    const { code, stderr } = await lab.apply(BACKUP.replace('my-backup', name));
    expect(code, stderr).to.equal(0);
    await lab.hooks.reached('documentRunning', name, 180_000);
    const [pid = 0] = await membersOf((await lab.get('backup', name)).metadata.uid);
    return pid;
  }

  it('comes back from Unknown when the agent was killed, and its member is silent for a while [S114]', async () => {
    const pid = await running('of-a-killed-agent');
    await lab.grid.killAgent(0);
    process.kill(pid, 'SIGSTOP');
    lab.hooks.release('documentRunning', 'of-a-killed-agent');
    await lab.grid.startAgent(0, lab.hooks.env);
    await lab.reached('backup', 'of-a-killed-agent', 'Unknown');
    process.kill(pid, 'SIGCONT');
    const { metadata, status } = await lab.reached('backup', 'of-a-killed-agent', 'Succeeded');
    expect(status.archive?.sizeBytes).to.be.greaterThan(0);
    expect(await membersOf(metadata.uid)).to.deep.equal([]);
  }).timeout(400_000);

  it('fails when its member was killed: its log and its description stay until it is deleted [S117] [S113] [S97]', async () => {
    const name = 'of-a-killed-member';
    const pid = await running(name);
    process.kill(pid, 'SIGKILL');
    lab.hooks.release('documentRunning', name);
    const { metadata, status } = await lab.reached('backup', name, 'Failed');
    expect(status.reason).to.include('the member ended by SIGKILL');
    expect(await membersOf(metadata.uid)).to.deep.equal([]);
    expect(existsSync(join(lab.volumes, 'backups', name))).to.equal(false);
    await lab.restartAgent();
    expect(await lab.log('backup', name))
      .to.include('ISPN080001')
      .and.include('the member ended by SIGKILL');
    expect((await lab.grid.run(['describe', 'backup', name])).stdout).to.match(/Phase: +Failed/);
    expect((await lab.grid.run(['delete', 'backup', name, '--yes'])).code).to.equal(0);
    expect((await lab.grid.run(['logs', 'backup', name])).code).to.equal(3);
  }).timeout(400_000);

  it('ends when another server was killed, and its member leaves those that are left [S97]', async () => {
    const name = 'of-a-killed-server';
    await running(name);
    await cluster.nodes[1]?.kill();
    lab.hooks.release('documentRunning', name);
    await until(
      'it to have ended',
      async () => ['Succeeded', 'Failed'].includes((await lab.get('backup', name)).status.phase),
      180_000,
    );
    const { metadata, status } = await lab.get('backup', name);
    expect(await membersOf(metadata.uid)).to.deep.equal([]);
    expect(existsSync(join(lab.volumes, 'backups', name, `${name}.zip`))).to.equal(
      status.phase === 'Succeeded',
    );
    expect(readdirSync(join(lab.volumes, '.stillpoint'))).to.deep.equal([]);
    const response = await fetch(`${cluster.nodes[0]?.url}/rest/v2/container`);
    expect(await response.json()).to.have.deep.property('cluster_members', ['n1']);
  }).timeout(400_000);
});
