import { expect } from 'chai';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readArchive, type ArchiveContent } from '../../../agent/engines/infinispan/archive/archive.ts';
import type { KeptDocument } from '../../../shared/documents/document.ts';
import { BACKUP, RESTORE } from '../../documents/documents.ts';
import { documentedCommands } from '../../lab/documented-commands.ts';
import { documented, DocumentsLab, membersOf } from '../../lab/documents-lab.ts';
import { InfinispanCluster, needsInfinispan, type InfinispanNode } from '../../lab/infinispan.ts';
import { until } from '../../lab/processes.ts';

// Goal: the documents of the source do what it says, on real servers: a cluster of two is backed up while a client writes,
// and restored into another one. Method: the real commands, and what the servers themselves tell.

const PAGE = 'docs/documents.md';
const ENTRIES = 2000;
const SOURCE = `
  <distributed-cache-configuration name="distributed-sync-prod" mode="SYNC"/>
  <distributed-cache name="orders" mode="SYNC" statistics="true"/>
  <distributed-cache name="cache-two" mode="SYNC"/>
  <counters xmlns="urn:infinispan:config:counters:16.0"><strong-counter name="counter-name" initial-value="7"/></counters>`;
const REPLICATED = '<replicated-cache name="orders" mode="SYNC" statistics="true"/>';
const SCHEMA = 'package library; message Author { optional string name = 1; }';

async function rest(
  node: InfinispanNode,
  path: string,
  init: { method?: string; body?: string } = {},
): Promise<string> {
  const isXml = init.body?.startsWith('<') === true;
  const response = await fetch(`${node.url}/rest/v2/${path}`, {
    signal: AbortSignal.timeout(20_000),
    ...init,
    headers: { 'content-type': isXml ? 'application/xml' : 'text/plain' },
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${init.method ?? 'GET'} ${path}: ${response.status} ${text}`);
  return text;
}

const put = (node: InfinispanNode, key: string, value: string): Promise<string> =>
  rest(node, `caches/${key}`, { method: 'PUT', body: value });

async function json<T>(node: InfinispanNode, path: string): Promise<T> {
  return JSON.parse(await rest(node, path)) as T;
}

/** Who owns some keys, how many entries each server has, and what is on its way to another. */
async function ownership(node: InfinispanNode, members: readonly string[]): Promise<object> {
  const keys = await Promise.all(
    Array.from({ length: 20 }, async (_, at) => {
      const { owners } = await json<{ owners: { node_name: string; primary: boolean }[] }>(
        node,
        `caches/orders/k${at}?action=distribution`,
      );
      return owners.map((owner) => `${owner.node_name}${owner.primary ? '*' : ''}`).sort();
    }),
  );
  const caches = await json<{ node_name: string; total_entries: number }[]>(
    node,
    'caches/orders?action=distribution',
  );
  const held = caches.filter((one) => members.includes(one.node_name));
  return {
    keys,
    entries: Object.fromEntries(held.map((one) => [one.node_name, one.total_entries])) as object,
  };
}

/** A client that writes, one after the other, and what each write took. */
class Writer {
  readonly #node: InfinispanNode;
  readonly took: { readonly at: number; readonly ms: number }[] = [];
  readonly failures: string[] = [];
  #stopped = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(node: InfinispanNode) {
    this.#node = node;
  }

  start(): void {
    this.#loop = (async () => {
      for (let at = 0; !this.#stopped; at += 1) {
        const begun = performance.now();
        await put(this.#node, `cache-two/w${at % 100}`, String(at)).catch((error: unknown) =>
          this.failures.push(String(error)),
        );
        this.took.push({ at: begun, ms: performance.now() - begun });
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
  }

  /** Of what was begun between these. */
  median(from: number, to: number): number {
    const among = this.took
      .filter(({ at }) => at >= from && at < to)
      .map(({ ms }) => ms)
      .sort((one, other) => one - other);
    return among[Math.floor(among.length / 2)] ?? Number.NaN;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#loop;
  }
}

describe('Backup and Restore documents on real servers', () => {
  let source: InfinispanCluster;
  let target: InfinispanCluster;
  let lab: DocumentsLab;
  let first: InfinispanNode;
  let other: InfinispanNode;
  let backup: KeptDocument;
  let archive: ArchiveContent;
  let ownedBefore: object;
  let ownedDuring: object;
  let membersDuring: string[] = [];
  let memberEntries = -1;
  const writer: { one: Writer | null } = { one: null };
  let calm = Number.NaN;
  let busy = Number.NaN;
  let watched = '';

  before(async function () {
    needsInfinispan(this);
    [source, target] = await Promise.all([
      InfinispanCluster.start({ name: 'source', container: SOURCE, heapMB: 192 }),
      InfinispanCluster.start({ name: 'target', nodes: 1, heapMB: 192 }),
    ]);
    first = source.nodes[0] ?? expect.fail('no server');
    other = source.nodes[1] ?? expect.fail('no server');
    lab = await DocumentsLab.start({
      host: '127.0.81.1',
      clusters: [await documented('source-cluster', source), await documented('target-cluster', target)],
    });
    await lab.restartAgent();
    for (let at = 0; at < ENTRIES; at += 50)
      await Promise.all(
        Array.from({ length: 50 }, (_, one) => put(first, `orders/k${at + one}`, `v${at + one}`)),
      );
    await rest(first, 'schemas/authors.proto', { method: 'POST', body: SCHEMA });
  });

  after(async () => {
    await writer.one?.stop();
    await lab?.grid.close();
    await Promise.all([source?.remove(), target?.remove()]);
  });

  describe('a Backup of all', () => {
    before(async function () {
      this.timeout(400_000);
      await until('all to be balanced', async () =>
        (await rest(first, 'container/health')).includes('"HEALTHY"'),
      );
      ownedBefore = await ownership(first, ['n1', 'n2']);
      const one = new Writer(first);
      writer.one = one;
      one.start();
      const begun = performance.now();
      await until('a hundred writes', () => one.took.length >= 100);
      const applied = performance.now();
      calm = one.median(begun, applied);
      const watch = lab.grid.begin(['get', 'backups', '--watch']);
      lab.hooks.hold('documentRunning');
      const [[apply = '']] = documentedCommands(PAGE, 'A backup') as [string[]];
      expect(await lab.documented(apply, BACKUP)).to.equal('backup.infinispan.org/my-backup created\n');
      await lab.hooks.reached('documentRunning', 'my-backup', 240_000);
      membersDuring = (await json<{ cluster_members: string[] }>(first, 'container')).cluster_members;
      ownedDuring = await ownership(first, ['n1', 'n2']);
      const caches = await json<{ node_name: string; total_entries: number }[]>(
        first,
        'caches/orders?action=distribution',
      );
      memberEntries = caches.find(({ node_name }) => node_name === 'my-backup')?.total_entries ?? -1;
      const joined = performance.now();
      lab.hooks.release('documentRunning');
      backup = await lab.reached('backup', 'my-backup', 'Succeeded');
      busy = one.median(joined, performance.now());
      await one.stop();
      await until('who watches to have seen it', () => watch.stdout().includes('Succeeded'));
      watch.signal('SIGINT');
      watched = (await watch.finished).stdout;
      archive = await readArchive(
        join(lab.volumes, 'backups/my-backup/my-backup.zip'),
        AbortSignal.timeout(20_000),
      );
    });

    it('is looked at by the commands of the handbook', async () => {
      const [[, ...looks]] = documentedCommands(PAGE, 'A backup') as [string[]];
      for (const line of looks) expect(await lab.documented(line), line).to.include('my-backup');
    });

    it('is made while the cluster serves: no write fails [S94]', () => {
      expect(writer.one?.failures).to.deep.equal([]);
      expect(archive.caches.find(({ name }) => name === 'orders')?.entries).to.equal(ENTRIES);
    });

    it('has a member of its own that takes nothing: each key and each entry stays where it was [S95]', async () => {
      expect(membersDuring).to.deep.equal(['n1', 'n2', 'my-backup']);
      expect(memberEntries).to.equal(0);
      expect(ownedDuring).to.deep.equal(ownedBefore);
      expect(await ownership(first, ['n1', 'n2'])).to.deep.equal(ownedBefore);
    });

    it('is the work of that member: the others only answer, and writes take no more than ten times as long [S96]', async () => {
      for (const node of [first, other]) expect(node.log()).not.to.include('ISPN005043');
      expect(await lab.log('backup', 'my-backup')).to.include("ISPN005043: Starting backup 'my-backup'");
      expect(busy).to.be.lessThan(10 * calm + 50);
    });

    it('ends with its member gone, from the cluster and from the host, and its room removed [S97]', async () => {
      const { uid } = backup.metadata;
      expect(await membersOf(uid)).to.deep.equal([]);
      const { cluster_members } = await json<{ cluster_members: string[] }>(first, 'container');
      expect(cluster_members).to.deep.equal(['n1', 'n2']);
      expect(readdirSync(join(lab.volumes, '.stillpoint'))).to.deep.equal([]);
    });

    it('is one archive at its place on the volume, of the length and digest that are told [S98]', () => {
      expect(readdirSync(join(lab.volumes, 'backups'))).to.deep.equal(['my-backup']);
      expect(readdirSync(join(lab.volumes, 'backups/my-backup'))).to.deep.equal(['my-backup.zip']);
      expect(backup.status.archive?.sizeBytes).to.be.greaterThan(1000);
      expect(backup.status.pvc).to.equal('my-backup');
    });

    it('was taken as the source writes it [S99]', () => {
      expect(backup.spec).to.deep.equal({
        cluster: 'source-cluster',
        volume: { storage: '1Gi', storageClassName: 'my-storage-class' },
      });
    });

    it('holds all there is where it names nothing [S102]', () => {
      expect(archive.caches.map(({ name }) => name)).to.have.members(['orders', 'cache-two']);
      expect(archive.counters.map(({ name }) => name)).to.deep.equal(['counter-name']);
      expect(archive.protoSchemas.map(({ name }) => name)).to.deep.equal(['authors.proto']);
      expect(archive.templates.map(({ name }) => name)).to.include('distributed-sync-prod');
    });

    it('tells who was connected before it began, and is then called the state of no one moment [S107] [S108]', async () => {
      const condition = backup.status.conditions?.find(({ type }) => type === 'ClientsConnected');
      expect(condition).to.include({ status: 'True', reason: 'Connected' });
      expect(condition?.message).to.include('of no one moment');
      const log = await lab.log('backup', 'my-backup');
      expect(log.indexOf('connected when it began')).to.be.greaterThan(0);
      expect(log.indexOf('connected when it began')).to.be.lessThan(log.indexOf('ISPN080000'));
      expect(log).not.to.include('no client was connected');
      const { stdout } = await lab.grid.run(['describe', 'backup', 'my-backup']);
      expect(stdout).to.include('of no one moment');
    });

    it('goes through its phases in order, each seen by who watches [S112]', () => {
      const seen = [...watched.matchAll(/my-backup +source-cluster +(\w+)/g)].map(([, phase]) => phase);
      const phases = seen.filter((phase, at) => phase !== seen[at - 1]);
      const way = ['Initializing', 'Initialized', 'Running', 'Succeeded'];
      // What lasts for a moment alone may be passed between two looks.
      expect(way.slice(way.indexOf(phases[0] ?? ''))).to.include.members(phases);
      expect(phases).to.deep.equal(way.filter((phase) => phases.includes(phase)));
      expect(phases.slice(-2)).to.deep.equal(['Running', 'Succeeded']);
    });

    it('is verified by its phase and by a line of its log, when its member is gone [S113] [S115]', async () => {
      expect(backup.status.phase).to.equal('Succeeded');
      const log = await lab.log('backup', 'my-backup');
      expect(log).to.match(/\[stillpoint\] ISPN005044: Backup file created 'my-backup\.zip'\n/);
      expect(log.indexOf('phase Succeeded')).to.be.greaterThan(log.indexOf('ISPN000080: Disconnecting'));
    });

    it('happens once: applied again nothing is done, and changed it is refused with a new name as the remedy [S105] [S106]', async () => {
      const again = await lab.apply(BACKUP);
      expect(again.stdout).to.equal('backup.infinispan.org/my-backup unchanged\n');
      const changed = await lab.apply(BACKUP.replace('1Gi', '2Gi'));
      expect(changed.code).to.equal(3);
      expect(changed.stderr).to.include('spec is immutable').and.include('a new name in metadata.name');
      expect(await lab.get('backup', 'my-backup')).to.deep.equal(backup);
    });
  });

  describe('a Restore of it', () => {
    let restore: KeptDocument;
    let node: InfinispanNode;

    before(async function () {
      this.timeout(400_000);
      node = target.nodes[0] ?? expect.fail('no server');
      await rest(node, 'caches/orders', { method: 'POST', body: REPLICATED });
      await put(node, 'orders/k2', 'newer');
      await put(node, 'orders/only-here', 'kept');
      const [[apply = '', ...looks]] = documentedCommands(PAGE, 'A restore') as [string[]];
      expect(await lab.documented(apply, RESTORE)).to.equal('restore.infinispan.org/my-restore Succeeded\n');
      for (const line of looks) expect(await lab.documented(line), line).to.include('my-restore');
      restore = await lab.get('restore', 'my-restore');
    });

    it('goes into another cluster than that of its Backup, whole [S109] [S102]', async () => {
      expect(Number(await rest(node, 'caches/orders?action=size'))).to.equal(ENTRIES + 1);
      expect(await rest(node, 'caches/orders/k1999')).to.equal('v1999');
      expect(await rest(node, 'counters/counter-name')).to.equal('7');
      expect(await rest(node, 'schemas/authors.proto')).to.include('message Author');
    });

    it('leaves the configuration of a cache that exists: replicated it stays [S110]', async () => {
      expect((await json<{ type: string }>(node, 'caches/orders')).type).to.equal('replicated-cache');
      const log = await lab.log('restore', 'my-restore');
      expect(log).to.include('cache orders exists: it keeps its configuration');
      expect(log.indexOf('cache orders exists')).to.be.lessThan(log.indexOf('ISPN005045: Starting restore'));
    });

    it('overwrites entries that are newer, and leaves those that it has not [S111]', async () => {
      expect(await rest(node, 'caches/orders/k2')).to.equal('v2');
      expect(await rest(node, 'caches/orders/only-here')).to.equal('kept');
    });

    it('is verified by its phase and by the line of the source, which comes after the end of the server [S116]', async () => {
      expect(restore.status.phase).to.equal('Succeeded');
      const log = await lab.log('restore', 'my-restore');
      const line = log.indexOf("[stillpoint] ISPN005045: Restore 'my-backup' complete\n");
      expect(line).to.be.greaterThan(log.indexOf("ISPN005046: Restore 'my-restore' complete"));
      expect(await membersOf(restore.metadata.uid)).to.deep.equal([]);
    });
  });

  describe('a document of a cluster of another service type', () => {
    it('is refused with that reason, and not kept [S100]', async () => {
      const { code, stderr } = await lab.apply(
        BACKUP.replace('source-cluster', 'cache-cluster').replace('my-backup', 'other'),
      );
      expect(code).to.equal(3);
      expect(stderr).to.include('its spec.service.type is Cache, and backups need DataGrid');
      expect((await lab.grid.run(['get', 'backup', 'other'])).stderr).to.include('"other" not found');
    });
  });

  describe('documents that name resources', () => {
    it('have them alone, on Backup and Restore alike, and a star for all of a kind [S101] [S103] [S104]', async () => {
      const named = (kind: string, name: string): string =>
        `apiVersion: infinispan.org/v2alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\n`;
      const made = await lab.apply(
        `${named('Backup', 'some')}spec: { cluster: source-cluster, resources: { caches: ["*"], protoSchemas: [authors.proto] } }`,
        '--wait',
      );
      expect(made.code, made.stderr).to.equal(0);
      const content = await readArchive(
        join(lab.volumes, 'backups/some/some.zip'),
        AbortSignal.timeout(20_000),
      );
      expect(content.caches.map(({ name }) => name)).to.have.members(['orders', 'cache-two']);
      expect(content.protoSchemas.map(({ name }) => name)).to.deep.equal(['authors.proto']);
      expect([...content.counters, ...content.templates, ...content.tasks]).to.deep.equal([]);
      const node = target.nodes[0] ?? expect.fail('no server');
      await rest(node, 'caches/cache-two', { method: 'DELETE' });
      await put(node, 'orders/k2', 'newest');
      const restored = await lab.apply(
        `${named('Restore', 'some')}spec: { backup: some, cluster: target-cluster, resources: { caches: [cache-two] } }`,
        '--wait',
      );
      expect(restored.code, restored.stderr).to.equal(0);
      expect(await rest(node, 'caches/orders/k2')).to.equal('newest');
      expect(Number(await rest(node, 'caches/cache-two?action=size'))).to.be.greaterThan(0);
    }).timeout(400_000);
  });

  describe('a Backup that is deleted', () => {
    it('has its archive removed with it', async () => {
      expect((await lab.grid.run(['delete', 'restore', 'some', '--yes'])).code).to.equal(0);
      expect((await lab.grid.run(['delete', 'backup', 'some'])).code).to.equal(2);
      const { code, stdout } = await lab.grid.run(['delete', 'backup', 'some', '--yes']);
      expect(code).to.equal(0);
      expect(stdout).to.equal('backup.infinispan.org/some deleted\n');
      expect(existsSync(join(lab.volumes, 'backups/some'))).to.equal(false);
      expect((await lab.grid.run(['get', 'backup', 'some'])).stderr).to.include('"some" not found');
    });

    it('is deleted by the commands of the handbook, and all that was made for it', async () => {
      const [lines = []] = documentedCommands(PAGE, 'When one is not needed any more');
      for (const line of lines) expect(await lab.documented(line), line).to.include('deleted');
      expect(readdirSync(join(lab.volumes, 'backups'))).to.deep.equal([]);
      expect((await lab.grid.run(['get'])).stdout).to.equal('No resources found\n');
    });
  });
});
