import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { readArchive } from '../../../agent/engines/infinispan/archive/archive.ts';
import { saveAll } from '../../../agent/engines/infinispan/restore/jobs.ts';
import { InfinispanServer } from '../../../agent/engines/infinispan/server/infinispan-server.ts';
import type { CheckpointReport, ExportReport, ImportReport } from '../../../coordinator/reports.ts';
import { documentedBlocks } from '../../lab/documented-commands.ts';
import { createGrid, type TestGrid } from '../../lab/grid.ts';
import { Hooks } from '../../lab/hooks.ts';
import { InfinispanCluster, needsInfinispan, type InfinispanNode } from '../../lab/infinispan.ts';
import { until } from '../../lab/processes.ts';
import { programFile } from '../../lab/programs.ts';
import { CACHES, DEFINED_IN_FILE, entryPath, fill, must, put } from '../../engines/infinispan/every-kind.ts';

// Goal: what a server wrote by its own backup job comes back through a checkpoint, and what a checkpoint has of a cluster a
// server restores by its own job; of everything in it nothing is lost on the way.
// Method: three clusters of real servers that know nothing of each other, the commands of the handbook as they stand, and
// a PostgreSQL server beside, which nobody may touch.

const HOSTS = ['127.0.97.1', '127.0.97.2'];
const FOREIGN = '127.0.97.3';
const FRESH = '127.0.97.4';
const PAGE = 'docs/engines/infinispan.md';
const JSON_OUTPUT = ['--output', 'json', '--quiet'];

describe('archives that servers write and restore without us', function () {
  this.timeout(300_000);
  let foreign: InfinispanCluster;
  let target: InfinispanCluster;
  let fresh: InfinispanCluster | null = null;
  let grid: TestGrid;
  let hooks: Hooks;
  const never = new AbortController().signal;
  let archive: string;

  const first = ({ nodes: [node] }: InfinispanCluster): InfinispanNode => node ?? expect.fail('no server');

  before(async function () {
    needsInfinispan(this);
    [foreign, target] = await Promise.all([
      InfinispanCluster.start({
        name: 'foreign',
        nodes: 1,
        address: () => FOREIGN,
        container: DEFINED_IN_FILE,
      }),
      InfinispanCluster.start({
        name: 'target',
        address: (index) => HOSTS[index] ?? '',
        container: DEFINED_IN_FILE,
      }),
    ]);
    grid = await createGrid({
      hosts: HOSTS,
      copysets: [{ name: 'orders', hosts: [0] }],
      clusters: [{ copyset: 'cache', nodes: target.nodes }],
    });
    hooks = new Hooks(join(grid.root, 'hooks'));
    await grid.primaries[0]?.server.query('CREATE TABLE untouched (a int); INSERT INTO untouched VALUES (1)');
    await fill(first(foreign));
    mkdirSync(join(grid.root, 'bin'));
    writeFileSync(
      join(grid.root, 'bin/stillpoint'),
      `#!/bin/sh\nexec '${process.execPath}' '${programFile('coordinator/main.ts')}' "$@"\n`,
    );
    chmodSync(join(grid.root, 'bin/stillpoint'), 0o755);
  });

  after(async () => {
    await grid?.close();
    await Promise.all([foreign?.remove(), target?.remove(), fresh?.remove()]);
  });

  /** What a cluster holds, as its own server backs it up. */
  async function held(
    cluster: InfinispanCluster,
  ): Promise<{ readonly caches: readonly (string | number)[][] }> {
    const file = join(grid.root, 'held.zip');
    const server = new InfinispanServer({ url: first(cluster).url, container: 'default' });
    try {
      await saveAll(server, file, never);
    } finally {
      server.close();
    }
    const { caches, ...others } = await readArchive(file, never);
    const counted = caches.map(({ name, entries, contentSha256 }) => [name, entries, contentSha256]);
    return { ...others, caches: counted };
  }

  /** Runs a block of the page with the names of the lab. */
  async function give(block: string, names: Readonly<Record<string, string>> = {}): Promise<string> {
    const here = {
      '/etc/stillpoint/grid.yaml': grid.gridFile,
      '/srv/stillpoint': grid.repository,
      'gamma.example:11222': first(foreign).hostport,
      ...names,
    };
    let text = block;
    for (const [said, found] of Object.entries(here)) text = text.replaceAll(said, found);
    const child = spawn('bash', ['-e', '-o', 'pipefail', '-c', text], {
      cwd: grid.root,
      env: { ...process.env, PATH: `${join(grid.root, 'bin')}:${process.env['PATH'] ?? ''}` },
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (bytes: Buffer) => (said += bytes.toString()));
    const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
    expect(code, `${text}\n${said}`).to.equal(0);
    return said;
  }

  async function done<T>(...words: readonly string[]): Promise<T> {
    const { code, stdout, stderr } = await grid.run([...words, ...JSON_OUTPUT]);
    expect(code, stderr + stdout).to.equal(0);
    return JSON.parse(stdout) as T;
  }

  interface Listed {
    readonly checkpoints: readonly {
      readonly checkpoint: string;
      readonly state: string;
      readonly imported?: object;
    }[];
  }
  const listed = (): Promise<Listed> => done<Listed>('checkpoint', 'list');

  /** Nothing is stored in it but what checkpoints refer to, and nothing is listed that is not valid. */
  async function nothingLeft(before: Listed, bytesBefore: number): Promise<void> {
    expect(await listed()).to.deep.equal(before);
    expect(bytesIn(grid.repository)).to.equal(bytesBefore);
    for (const { state } of grid.hosts)
      await until('the spool to be empty', () => readdirSync(join(state, 'spool')).length === 0);
  }

  it('are imported by the commands of the page, and restored onto other servers with everything of every kind', async () => {
    const there = await held(foreign);
    const [imports = '', exports = ''] = documentedBlocks(PAGE, 'Archives of servers and operators', 'bash');
    expect(exports).to.contain('stillpoint export');
    const said = await give(imports);
    expect(said).to.match(/imported from my-backup\.zip, written 20\S+Z, sha256 [0-9a-f]{64}/);
    expect(said).to.match(/caches: 17, \d+ entries; counters: 3; schemas: 1; templates: 1/);
    expect(said).to.match(/read, no damage/);
    expect(said).to.match(/ordersa: they stay as they are/);
    archive = join(grid.root, 'my-backup.zip');

    expect(await held(target)).to.deep.equal(there);
    expect(await must(first(target), 'GET', 'counters/durable')).to.equal('6');
    const query = 'caches/indexed?action=search&query=FROM lab.Person WHERE age = 36';
    expect(await must(first(target), 'GET', query)).to.contain('Ada');
    expect(await must(first(target), 'GET', 'server/ignored-caches')).to.equal('[]');
    expect(await grid.primaries[0]?.server.query('SELECT a FROM untouched')).to.deep.equal([{ a: 1 }]);
  });

  it('say of themselves what they are, and are chosen by nobody who did not ask for them', async () => {
    const { checkpoints } = await listed();
    expect(checkpoints.map(({ state }) => state)).to.deep.equal(['valid']);
    expect(checkpoints[0]?.imported).to.deep.include({
      file: 'my-backup.zip',
      sha256: createHash('sha256').update(readFileSync(archive)).digest('hex'),
    });
    const latest = await grid.run(['checkpoint', 'describe', 'latest', ...JSON_OUTPUT]);
    expect(latest.json).to.have.nested.property('error.code', 'checkpoint-missing');
    const aged = await grid.run(['grid', 'status', '--max-age', '26h', ...JSON_OUTPUT]);
    expect(aged.stdout).to.contain('has no valid checkpoint');
    const created = await done<CheckpointReport>('checkpoint', 'create', 'nightly');
    expect(created.counter).to.equal(2);
    await done('checkpoint', 'create', 'nightly-2');
    await done('checkpoint', 'prune', '--keep', '1', '--yes');
    const names = (await listed()).checkpoints.map(({ checkpoint }) => checkpoint.split('_').at(-1));
    expect(names).to.deep.equal(['nightly-2', 'my-backup']);
    const again = await done<{ imported: { file: string } }>('checkpoint', 'describe', 'my-backup');
    expect(again.imported.file).to.equal('my-backup.zip');
  });

  it('are exported by the commands of the page, and a real server restores them by its own job', async () => {
    const exported = documentedBlocks(PAGE, 'Archives of servers and operators', 'bash')[1] ?? '';
    await put(first(target), 'text', 'only here', 'later');
    const { checkpoint } = await done<CheckpointReport>('checkpoint', 'create', 'to-export');
    const there = await held(target);
    fresh = await InfinispanCluster.start({
      name: 'fresh',
      nodes: 1,
      address: () => FRESH,
      container: DEFINED_IN_FILE,
    });
    const said = await give(exported, { 'delta.example:11222': first(fresh).hostport, nightly: checkpoint });
    expect(said).to.contain('my-export.zip: the archive of cache-n1');
    expect(statSync(join(grid.root, 'my-export.zip')).mode & 0o777).to.equal(0o600);
    expect(await held(fresh)).to.deep.equal(there);
    expect(await must(first(fresh), 'GET', entryPath('text', 'only here'))).to.equal('later');
    for (const cache of Object.keys(CACHES))
      await must(first(fresh), 'GET', `caches/${encodeURIComponent(cache)}`);
  });

  it('are imported where a member without capacity made them, as operators have them made', async () => {
    const backup = await foreign.another('backup', {
      address: () => FOREIGN,
      attributes: 'zero-capacity-node="true"',
    });
    await backup.start();
    const file = join(grid.root, 'of-operator.zip');
    const server = new InfinispanServer({ url: backup.url, container: 'default' });
    try {
      await saveAll(server, file, never);
    } finally {
      server.close();
      await backup.stop();
    }
    // It backs no entry of a replicated cache up, and says nothing of that.
    const { caches: there, ...others } = await held(foreign);
    const { checkpoint, warnings } = await done<ImportReport>('import', file);
    expect(warnings.join()).to.contain('replicated caches without entries in the archive: octets');
    await done('restore', 'of-operator', '--stop', '--yes');
    const { caches: here, ...same } = await held(target);
    expect(same).to.deep.equal(others);
    expect(here.filter(([name]) => name !== 'octets')).to.deep.equal(
      there.filter(([name]) => name !== 'octets'),
    );
    expect(here.find(([name]) => name === 'octets')?.[1]).to.equal(0);
    await done('checkpoint', 'delete', checkpoint, '--yes');
  });

  it('are the same bytes when they are imported and exported again, and write over no file', async () => {
    const out = join(grid.root, 'out.zip');
    const report = await done<ExportReport>('export', 'my-backup', out);
    expect(readFileSync(out).equals(readFileSync(archive))).to.equal(true);
    expect(report).to.deep.include({ member: 'cache-n1', file: out, sizeBytes: statSync(archive).size });
    writeFileSync(out, 'mine');
    const refused = await grid.run(['export', 'my-backup', out, ...JSON_OUTPUT]);
    expect(refused.code).to.equal(2);
    expect(refused.json).to.have.nested.property('error.code', 'export-exists');
    expect(readFileSync(out, 'utf8')).to.equal('mine');
  });

  it('leave nothing in the repository where they are damaged, of something else, or partial', async () => {
    const before = await listed();
    const bytes = bytesIn(grid.repository);
    const damaged = readFileSync(archive);
    const at = damaged.indexOf('passivating.dat') + 'passivating.dat'.length + 20;
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    const file = join(grid.root, 'refused.zip');
    writeFileSync(file, damaged);
    const broken = await grid.run(['import', file, ...JSON_OUTPUT]);
    expect(broken.code, broken.stdout).to.equal(6);
    expect(broken.json).to.have.nested.property('error.code', 'infinispan-archive');
    expect(broken.stdout).to.contain('refused.zip: it is no archive that could be restored');
    await nothingLeft(before, bytes);

    writeFileSync(file, 'something else');
    expect((await grid.run(['import', file, ...JSON_OUTPUT])).code).to.equal(6);
    await nothingLeft(before, bytes);

    await must(first(foreign), 'POST', 'container/backups/part', '{"resources":{"caches":["text"]}}', {
      'content-type': 'application/json',
    });
    const part = `${first(foreign).url}/rest/v2/container/backups/part`;
    await until('the backup to be done', async () => (await fetch(part, { method: 'HEAD' })).status === 200);
    writeFileSync(file, Buffer.from(await (await fetch(part)).arrayBuffer()));
    const partial = await grid.run(['import', file, ...JSON_OUTPUT]);
    expect(partial.code).to.equal(3);
    expect(partial.json).to.have.nested.property('error.code', 'archive-partial');
    expect(partial.stdout).to.contain('counters, templates, schemas, tasks');
    await nothingLeft(before, bytes);

    const taken = await done<ImportReport>('import', file, '--partial', '--member', first(target).hostport);
    expect(taken.content[0]).to.match(/^caches: 1, 2\d entries/);
    expect(taken.warnings[0]).to.contain('refused.zip was made without counters');
    await done('checkpoint', 'delete', taken.checkpoint, '--yes');
  });

  for (const [moment, who] of [
    ['given', 'coordinator'],
    ['archiveRead', 'cache-n1'],
    ['committing', 'coordinator'],
  ] as const) {
    it(`are no checkpoint where the import is killed at '${moment}', and the next one is whole`, async () => {
      const before = await listed();
      hooks.reset();
      hooks.hold(moment, who);
      await grid.killAgent(0);
      await grid.startAgent(0, hooks.env);
      const importing = grid.begin(['import', archive, '--name', 'killed', ...JSON_OUTPUT], hooks.env);
      await hooks.reachedBy(importing, moment, who);
      importing.signal('SIGKILL');
      await importing.finished;
      hooks.reset();
      const left = (await listed()).checkpoints.filter(
        (one) => !before.checkpoints.some(({ checkpoint }) => checkpoint === one.checkpoint),
      );
      expect(left.length).to.be.greaterThan(0);
      expect(new Set(left.map(({ state }) => state))).to.deep.equal(new Set(['uncommitted']));
      for (const { state } of grid.hosts)
        await until('the spool to be empty', () => readdirSync(join(state, 'spool')).length === 0);
      const restored = await grid.run(['restore', 'killed', '--stop', '--yes', ...JSON_OUTPUT]);
      expect([2, 6], restored.stdout).to.include(restored.code);

      const whole = await done<ImportReport>('import', archive, '--name', 'whole');
      await done('checkpoint', 'verify', whole.checkpoint);
      await done('checkpoint', 'delete', whole.checkpoint, '--yes');
      expect(await listed()).to.deep.equal(before);
    });
  }

  it('are given up with Ctrl-C, and where their agent is killed, and nothing of them is left', async () => {
    const before = await listed();
    const bytes = bytesIn(grid.repository);
    hooks.reset();
    hooks.hold('archiveRead', 'cache-n1');
    await grid.killAgent(0);
    await grid.startAgent(0, hooks.env);
    const interrupted = grid.begin(['import', archive, ...JSON_OUTPUT]);
    await hooks.reachedBy(interrupted, 'archiveRead', 'cache-n1');
    interrupted.signal('SIGINT');
    hooks.release('archiveRead', 'cache-n1');
    expect((await interrupted.finished).code).to.equal(4);
    await nothingLeft(before, bytes);

    hooks.reset();
    hooks.hold('archiveRead', 'cache-n1');
    const orphaned = grid.begin(['import', archive, ...JSON_OUTPUT]);
    await hooks.reachedBy(orphaned, 'archiveRead', 'cache-n1');
    await grid.killAgent(0);
    hooks.reset();
    expect((await orphaned.finished).code).to.equal(4);
    await grid.startAgent(0);
    await nothingLeft(before, bytes);
  });
});

function bytesIn(directory: string): number {
  if (!existsSync(directory)) return 0;
  let sum = 0;
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    // What is noted for monitors and readers comes and goes.
    if (entry.isFile() && /\/(chunks|checkpoints)\//.test(path)) sum += statSync(path).size;
  }
  return sum;
}
