import { expect } from 'chai';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { documented, DocumentsLab, folderIn, membersOf } from '../../lab/documents-lab.ts';
import { InfinispanCluster, needsInfinispan } from '../../lab/infinispan.ts';
import { until } from '../../lab/processes.ts';

// Goal: agent, member or the server that the agent speaks to, killed by SIGKILL at each step of a Backup and of a Restore:
// the document tells the truth in the end, no process, room, member of the cluster or lock of its servers is left, and its
// volume is given back. Method: real servers; each step is held until the kill is done. One case follows the other in the
// same cluster and in a storage class with room for one volume, so that whatever was left keeps the next from its end.

type Kind = 'backup' | 'restore';
type Phase = 'Succeeded' | 'Failed';

/** Where a document is held, and the phase that it tells there. */
const STEPS = [
  ['documentPrepared', 'Initializing'],
  ['documentInitialized', 'Initialized'],
  ['documentStarted', 'Initialized'],
  ['documentRunning', 'Running'],
  ['documentWorking', 'Running'],
  ['documentDone', 'Running'],
  ['documentEnded', 'Running'],
] as const;
type Step = (typeof STEPS)[number][0];

type Ends = Readonly<Record<Kind, readonly Phase[]>>;

/** How documents end whose member dies there. */
const MEMBER_DIES: readonly (readonly [Step, Ends])[] = [
  ['documentStarted', { backup: ['Failed'], restore: ['Failed'] }],
  // With the member its archive is gone. A restore may be done by then, as the log of its member says.
  ['documentWorking', { backup: ['Failed'], restore: ['Failed', 'Succeeded'] }],
  ['documentDone', { backup: ['Succeeded'], restore: ['Succeeded'] }],
];

/** How documents end when the server dies by which the agent reaches their cluster. */
const SERVER_DIES: readonly (readonly [Step, Ends])[] = [
  ['documentInitialized', { backup: ['Failed'], restore: ['Failed'] }],
  // The member may go on with the servers that are left.
  ['documentRunning', { backup: ['Succeeded', 'Failed'], restore: ['Succeeded', 'Failed'] }],
];

const KINDS = ['backup', 'restore'] as const;
const ENTRIES = 200;

describe('a Backup and a Restore on real servers in which somebody is killed', () => {
  let source: InfinispanCluster;
  let target: InfinispanCluster;
  let lab: DocumentsLab;
  let documents = 0;

  before(async function () {
    needsInfinispan(this);
    [source, target] = (await Promise.all(
      ['source', 'target'].map((name) => InfinispanCluster.start({ name: `killed-${name}`, heapMB: 192 })),
    )) as [InfinispanCluster, InfinispanCluster];
    lab = await DocumentsLab.start({
      host: '127.0.84.1',
      clusters: [await documented('source-cluster', source), await documented('target-cluster', target)],
      memberKeys: { readyWithinSeconds: 60, silentSeconds: 20 },
      storageClasses: (volumes) => ({ narrow: { directory: folderIn(volumes, 'narrow'), quota: '1GB' } }),
    });
    await lab.restartAgent();
    // Over REST, for a server does not start again where its own file defines a cache that was restored.
    for (const { nodes } of [source, target]) {
      const { ok } = await fetch(`${nodes[0]?.url}/rest/v2/caches/orders`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"distributed-cache":{"mode":"SYNC","encoding":{"media-type":"text/plain"}}}',
      });
      expect(ok).to.equal(true);
    }
    const put = (at: number): Promise<unknown> =>
      fetch(`${source.nodes[0]?.url}/rest/v2/caches/orders/k${at}`, { method: 'PUT', body: `v${at}` });
    await Promise.all(Array.from({ length: ENTRIES }, (_, at) => put(at)));
    const document = textOf('backup', 'to-restore').replace('narrow', 'my-storage-class');
    const made = await lab.apply(document, '--wait');
    expect(made.code, made.stderr).to.equal(0);
  });

  after(async () => {
    await lab?.grid.close();
    await Promise.all([source?.remove(), target?.remove()]);
  });

  function textOf(kind: Kind, name: string): string {
    const spec =
      kind === 'backup'
        ? '{ cluster: source-cluster, volume: { storage: 1Gi, storageClassName: narrow } }'
        : '{ cluster: target-cluster, backup: to-restore }';
    return `apiVersion: infinispan.org/v2alpha1\nkind: ${kind === 'backup' ? 'Backup' : 'Restore'}\nmetadata: { name: ${name} }\nspec: ${spec}\n---\n`;
  }

  /** Applies one of each kind; resolves to their name when both are held at this step. */
  async function heldAt(step: Step, kinds: readonly Kind[] = KINDS): Promise<string> {
    documents += 1;
    const name = `at-${documents}`;
    lab.hooks.hold(step, name);
    const { code, stderr } = await lab.apply(kinds.map((kind) => textOf(kind, name)).join(''));
    expect(code, stderr).to.equal(0);
    await until(
      `both to come to ${step}`,
      async () => {
        for (const kind of kinds)
          if (lab.kept(kind, name).status.phase === 'Failed')
            throw new Error(`${kind} ${name} has failed before\n${await lab.log(kind, name)}`);
        return lab.hooks.timesReached(step, name) === kinds.length;
      },
      120_000,
    );
    return name;
  }

  /** What its phase says is the truth, and nothing is left that would be in the way of another. */
  async function tellsTheTruth(
    kind: Kind,
    name: string,
    phases: readonly Phase[],
    nodes: readonly string[] = ['n1', 'n2'],
  ): Promise<void> {
    const { metadata, status } = await lab.ended(kind, name);
    const log = await lab.log(kind, name);
    expect(phases, log).to.include(status.phase);
    const line =
      kind === 'backup'
        ? `ISPN005044: Backup file created '${name}.zip'`
        : "ISPN005045: Restore 'to-restore' complete";
    expect(log.includes(`[stillpoint] ${line}`), log).to.equal(status.phase === 'Succeeded');
    if (status.phase === 'Failed') expect(status.reason).to.be.a('string').and.not.equal('');
    const volume = join(lab.volumes, 'narrow/backups', name);
    if (kind === 'backup') expect(existsSync(volume)).to.equal(status.phase === 'Succeeded');
    expect(await membersOf(metadata.uid)).to.deep.equal([]);
    for (const directory of [lab.volumes, join(lab.volumes, 'narrow')]) {
      const rooms = join(directory, '.stillpoint');
      expect(existsSync(rooms) ? readdirSync(rooms) : []).not.to.include(metadata.uid);
    }
    const cluster = kind === 'backup' ? source : target;
    const asked = cluster.nodes.find((node) => nodes.includes(node.name));
    await until('the cluster to be of its own servers alone', async () => {
      const response = await fetch(`${asked?.url}/rest/v2/container`);
      const { cluster_members } = (await response.json()) as { cluster_members: string[] };
      return cluster_members.toSorted().join() === nodes.join();
    });
    // The volume of one that has failed counts no more: the next one needs all of the quota.
    if (kind === 'backup' && status.phase === 'Succeeded')
      expect((await lab.grid.run(['delete', kind, name, '--yes'])).code).to.equal(0);
  }

  for (const [step, phase] of STEPS)
    it(`the agent, at ${step}: both come to their end with the next one [S112] [S114] [S97]`, async () => {
      const name = await heldAt(step);
      for (const kind of KINDS) expect(lab.kept(kind, name).status.phase, kind).to.equal(phase);
      await lab.grid.killAgent(0);
      lab.hooks.release(step, name);
      await lab.grid.startAgent(0, lab.hooks.env);
      for (const kind of KINDS) await tellsTheTruth(kind, name, ['Succeeded']);
    }).timeout(240_000);

  for (const [step, phases] of MEMBER_DIES)
    it(`their members, at ${step} [S113] [S97]`, async () => {
      const name = await heldAt(step);
      const members = await Promise.all(KINDS.map((kind) => membersOf(lab.kept(kind, name).metadata.uid)));
      for (const pid of members.flat()) process.kill(pid, 'SIGKILL');
      expect(members.map((pids) => pids.length)).to.deep.equal([1, 1]);
      lab.hooks.release(step, name);
      for (const kind of KINDS) await tellsTheTruth(kind, name, phases[kind]);
    }).timeout(240_000);

  for (const [step, phases] of SERVER_DIES)
    it(`the servers that the agent speaks to, at ${step} [S113] [S97]`, async () => {
      const name = await heldAt(step);
      const first = [source, target].map(({ nodes }) => nodes[0] ?? expect.fail('no server'));
      await Promise.all(first.map((node) => node.kill()));
      lab.hooks.release(step, name);
      try {
        for (const kind of KINDS) await tellsTheTruth(kind, name, phases[kind], ['n2']);
      } finally {
        await Promise.all(first.map((node) => node.start()));
      }
    }).timeout(240_000);
});
