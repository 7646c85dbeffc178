import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KeptDocument } from '../../../shared/documents/document.ts';
import { BACKUP, RESTORE } from '../../documents/documents.ts';
import { documented, DocumentsLab, folderIn, membersOf } from '../../lab/documents-lab.ts';
import { InfinispanCluster, needsInfinispan, type InfinispanNode } from '../../lab/infinispan.ts';
import { until } from '../../lab/processes.ts';
import { smallDisk, type SmallDisk } from '../../repository/disks.ts';

// Goal: the member of a document has the rights of its user and no others, and can reach nothing of the archive; and a disk
// that is full, or a volume that is too small, ends a document with that said and gives back all that it took. Method: real
// servers, a real agent that is root, real disks of some megabytes.

const MEMBER_USER = 'nobody';
const ENTRY_BYTES = 50_000;
const ENTRIES = 30;
const MB = 1024 ** 2;

describe('the member of a document that runs as another user', () => {
  let cluster: InfinispanCluster;
  let lab: DocumentsLab;
  let node: InfinispanNode;
  let tiny: SmallDisk;
  let narrow: SmallDisk;

  before(async function () {
    needsInfinispan(this);
    cluster = await InfinispanCluster.start({
      name: 'users',
      nodes: 1,
      container:
        '<distributed-cache name="orders" mode="SYNC"><encoding media-type="application/octet-stream"/></distributed-cache>',
      heapMB: 192,
    });
    node = cluster.nodes[0] ?? expect.fail('no server');
    // An archive of 1.5 MB: there is no room to write it in the first.
    tiny = smallDisk(2 * MB);
    narrow = smallDisk(5 * MB);
    const isRoot = process.getuid?.() === 0;
    lab = await DocumentsLab.start({
      host: '127.0.86.1',
      clusters: await Promise.all(
        ['source-cluster', 'target-cluster'].map((name) =>
          documented(name, cluster, { memberKeys: isRoot ? { user: MEMBER_USER } : {} }),
        ),
      ),
      storageClasses: (volumes) => ({
        tiny: { directory: tiny.path },
        narrow: { directory: narrow.path },
        bounded: { directory: folderIn(volumes, 'bounded'), quota: '2MB' },
      }),
    });
    await lab.grid.killAgent(0);
    await lab.grid.startAgent(0, { ...lab.hooks.env, SECRET_OF_THE_AGENT: 'hush' });
    await Promise.all(
      Array.from({ length: ENTRIES }, (_, at) =>
        fetch(`${node.url}/rest/v2/caches/orders/k${at}`, {
          method: 'PUT',
          headers: { 'content-type': 'application/octet-stream' },
          body: crypto.getRandomValues(new Uint8Array(ENTRY_BYTES)),
        }),
      ),
    );
  });

  after(async () => {
    await lab?.grid.close();
    await cluster?.remove();
    tiny?.remove();
    narrow?.remove();
  });

  const rightsOf = (path: string): string => {
    const { mode, uid } = lstatSync(path);
    return `${(mode & 0o777).toString(8)} ${uid === 0 ? 'root' : uid === 65534 ? MEMBER_USER : uid}`;
  };
  /** What the user of members can read. */
  const canRead = (path: string): boolean =>
    spawnSync('cat', [path], { uid: 65534, gid: 65534, stdio: 'ignore' }).status === 0;

  async function isRunningAsNobody(name: string): Promise<KeptDocument> {
    await lab.hooks.reached('documentRunning', name, 120_000);
    const kept = lab.kept(name === 'my-restore' ? 'restore' : 'backup', name);
    const [pid = 0] = await membersOf(kept.metadata.uid);
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    expect(status)
      .to.match(/^Uid:\t65534\t65534\t65534\t65534$/m)
      .and.match(/^CapEff:\t0+$/m);
    expect(status)
      .to.match(/^CapPrm:\t0+$/m)
      .and.match(/^Gid:\t65534\t65534\t65534\t65534$/m);
    expect(/^Groups:\t(.*)$/m.exec(status)?.[1]?.trim()).to.match(/^(65534)?$/);
    expect(readFileSync(`/proc/${pid}/environ`, 'latin1')).not.to.include('hush');
    const rooms = join(lab.volumes, '.stillpoint');
    expect(rightsOf(rooms)).to.equal('711 root');
    expect(rightsOf(join(rooms, kept.metadata.uid))).to.equal(`700 ${MEMBER_USER}`);
    expect(rightsOf(join(rooms, kept.metadata.uid, 'conf/infinispan.xml'))).to.match(/nobody$/);
    return kept;
  }

  it('has no right of the agent, and cannot reach the archive that it made [S95] [S98]', async function () {
    if (process.getuid?.() !== 0) return;
    lab.hooks.hold('documentRunning', 'my-backup');
    expect((await lab.apply(BACKUP)).code).to.equal(0);
    await isRunningAsNobody('my-backup');
    lab.hooks.release('documentRunning', 'my-backup');
    const { status } = await lab.ended('backup', 'my-backup');
    expect(status.phase, status.reason).to.equal('Succeeded');
    const volume = join(lab.volumes, 'backups/my-backup');
    const archive = join(volume, 'my-backup.zip');
    expect([rightsOf(volume), rightsOf(archive)]).to.deep.equal(['700 root', '600 root']);
    expect(canRead(archive)).to.equal(false);
    expect(canRead(join(node.root, 'conf/infinispan.xml')), 'where it may, it can').to.equal(true);
    expect(readdirSync(join(lab.volumes, '.stillpoint'))).to.deep.equal([]);
  }).timeout(240_000);

  it('has a copy of the archive for itself where it restores it, and none is left [S109] [S97]', async function () {
    if (process.getuid?.() !== 0) return;
    lab.hooks.hold('documentRunning', 'my-restore');
    expect((await lab.apply(RESTORE)).code).to.equal(0);
    const { metadata } = await isRunningAsNobody('my-restore');
    const copy = join(lab.volumes, '.stillpoint', metadata.uid, 'my-backup.zip');
    expect(rightsOf(copy)).to.match(/^6\d\d nobody$/);
    lab.hooks.release('documentRunning', 'my-restore');
    const { status } = await lab.ended('restore', 'my-restore');
    expect(status.phase, status.reason).to.equal('Succeeded');
    expect(readdirSync(join(lab.volumes, '.stillpoint'))).to.deep.equal([]);
  }).timeout(240_000);

  async function failsOn(name: string, disk: SmallDisk, reason: RegExp): Promise<void> {
    const { metadata, status } = await lab.ended('backup', name);
    expect(status.phase).to.equal('Failed');
    expect(status.reason, await lab.log('backup', name)).to.match(reason);
    expect(await membersOf(metadata.uid)).to.deep.equal([]);
    expect(existsSync(join(disk.path, 'backups', name))).to.equal(false);
    expect(readdirSync(join(disk.path, '.stillpoint'))).to.deep.equal([]);
  }
  const on = (name: string, storage: string): string =>
    BACKUP.replace('my-backup', name).replace('my-storage-class', name).replace('1Gi', storage);

  it('fails where the disk is full under the archive that it writes, and gives back what it took [S113] [S97]', async () => {
    expect((await lab.apply(on('tiny', '1Mi'))).code).to.equal(0);
    await failsOn('tiny', tiny, /No space left on device/);
  }).timeout(240_000);

  it('fails where the disk is full when its archive is stored, and gives back what it took [S113] [S97]', async () => {
    lab.hooks.hold('documentWorking', 'narrow');
    expect((await lab.apply(on('narrow', '2Mi'))).code).to.equal(0);
    await lab.hooks.reached('documentWorking', 'narrow', 120_000);
    await until('the server to have written it', async () =>
      (await lab.log('backup', 'narrow')).includes('ISPN005044'),
    );
    narrow.fill();
    lab.hooks.release('documentWorking', 'narrow');
    await failsOn('narrow', narrow, /of the storage class cannot be used: ENOSPC/);
  }).timeout(240_000);

  it('may not be larger than its volume, nor all volumes than the quota, which is given back [S98]', async () => {
    const of = (name: string, storage: string): string =>
      BACKUP.replace('my-backup', name).replace('my-storage-class', 'bounded').replace('1Gi', storage);
    expect((await lab.apply(of('small', '1Mi'), '--wait')).code).to.equal(4);
    expect(lab.kept('backup', 'small').status.reason).to.match(
      /the archive of small is larger than spec.volume.storage, which is 1Mi/,
    );
    const beyond = await lab.apply(of('beyond', '3Mi'));
    expect(beyond.code).to.equal(3);
    expect(beyond.stderr).to.include('storage class bounded has 2Mi of its quota left');
    expect(existsSync(join(lab.volumes, 'bounded/backups/small'))).to.equal(false);
  }).timeout(240_000);
});
