import { expect } from 'chai';
import { createReadStream, existsSync, readdirSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Restoration, VerifiedMember } from '../../../agent/engines/engine.ts';
import { readArchive } from '../../../agent/engines/infinispan/archive/archive.ts';
import { ARCHIVE_PATH, type ClusterFacts } from '../../../agent/engines/infinispan/copy/facts.ts';
import { saveAll } from '../../../agent/engines/infinispan/restore/jobs.ts';
import {
  InfinispanRestoration,
  infinispanRestorePlace,
  recoverInfinispanRestore,
} from '../../../agent/engines/infinispan/restore/restoration.ts';
import { RestoreTurn } from '../../../agent/engines/infinispan/restore/restore-turn.ts';
import { InfinispanServer } from '../../../agent/engines/infinispan/server/infinispan-server.ts';
import type { RestoreSettings } from '../../../agent/engines/infinispan/settings.ts';
import { failureOf } from '../../../shared/domain/errors.ts';
import type { MemberManifest } from '../../../shared/domain/manifest.ts';
import { InfinispanCluster, needsInfinispan, type InfinispanNode } from '../../lab/infinispan.ts';
import { until } from '../../lab/processes.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import { smallDisk } from '../../repository/disks.ts';
import { ask, CACHES, createCache, DEFINED_IN_FILE, entryPath, fill, must, put } from './every-kind.ts';

// Goal: a cluster comes back as it was, of every kind and encoding, and goes back to what it was where that fails.
// Method: two real servers, restored through the engine's own restoration from an archive that they wrote.

const STEPS = ['stage', 'switchIn', 'start', 'verify'] as const;
type Step = (typeof STEPS)[number];

const IN_THE_MIDST = 'in the midst of the restore';
/** Who dies, what was done before, and when that is. */
const KILLS = [
  { who: 'other', done: 'stage', when: 'before anybody is kept out' },
  { who: 'leading', done: 'switchIn', when: 'before anything is restored' },
  { who: 'other', done: 'switchIn', when: IN_THE_MIDST },
] as const;

/** A server that was started anew joins first, and its caches come back from the other. */
const GOES_BACK_MS = 90_000;

describe('a cluster of Infinispan that is restored', () => {
  let cluster: InfinispanCluster;
  let lead: InfinispanNode;
  let other: InfinispanNode;
  const folder = temporaryFolder('infinispan-restoration');
  const archive = join(folder.path, 'checkpoint.zip');
  let facts: ClusterFacts;

  const never = new AbortController().signal;

  before(async function () {
    needsInfinispan(this);
    cluster = await InfinispanCluster.start({ container: DEFINED_IN_FILE });
    const [first, second] = cluster.nodes;
    if (first === undefined || second === undefined) throw new Error('two servers');
    [lead, other] = [first, second];
    await fill(lead);
    facts = await capture(archive);
  });

  after(async () => {
    await cluster?.remove();
    folder.remove();
  });

  async function save(file: string): Promise<void> {
    const server = new InfinispanServer({ url: lead.url, container: 'default' });
    await saveAll(server, file, never);
    server.close();
  }

  async function capture(file: string): Promise<ClusterFacts> {
    await save(file);
    const content = await readArchive(file, never);
    const { size } = await stat(file);
    return {
      ...structuredClone(content as unknown as ClusterFacts),
      kind: 'cluster',
      servers: ['n1', 'n2'],
      archive: { path: ARCHIVE_PATH, sizeBytes: size, sha256: '' },
      heldMs: 0,
      backupMs: 0,
    };
  }

  /** What the cluster holds, in words that two looks can be compared by. */
  async function held(): Promise<unknown> {
    const file = join(folder.path, 'now.zip');
    await save(file);
    const { caches, counters, protoSchemas, templates } = await readArchive(file, never);
    const counted = caches.map(({ name, entries, contentSha256 }) => [name, entries, contentSha256]);
    return { caches: counted, counters, protoSchemas, templates };
  }

  const settingsOf = (node: InfinispanNode): RestoreSettings => ({
    name: node.name,
    url: node.url,
    container: 'default',
    root: node.root,
    peers: cluster.nodes.filter((one) => one !== node).map(({ url }) => url),
  });

  interface Source {
    readonly archive: string;
    readonly facts: ClusterFacts;
  }

  function restorationOf(
    node: InfinispanNode,
    source: Source = { archive, facts },
    settings = settingsOf(node),
  ): Restoration {
    const manifest = {
      engineFacts: source.facts,
      member: { name: 'n1' },
      artifacts: [],
    } as unknown as MemberManifest;
    const context = {
      checkpoint: 'a checkpoint',
      restore: { grid: 'lab', restoreId: 'one', repositoryId: 'r' },
      source: { manifest, read: () => createReadStream(source.archive) },
      own: null,
      follow: null,
      progress: () => undefined,
      signal: never,
    };
    return new InfinispanRestoration(settings, context, new RestoreTurn());
  }

  /** The same step of both members at once, as a coordinator asks for it. */
  const both = async <One, T>(members: readonly One[], step: (one: One) => Promise<T>): Promise<T[]> =>
    Promise.all(members.map(step));

  async function upTo(members: readonly Restoration[], last: Step): Promise<VerifiedMember[]> {
    return goThrough(members, STEPS.slice(0, STEPS.indexOf(last) + 1));
  }

  /** What the last of these steps answers. */
  async function goThrough(
    members: readonly Restoration[],
    steps: readonly Step[],
  ): Promise<VerifiedMember[]> {
    let done: unknown[] = [];
    for (const step of steps) done = await both(members, async (one): Promise<unknown> => one[step]());
    return done as VerifiedMember[];
  }

  const room = (node: InfinispanNode): string =>
    join(dirname(node.root), `.stillpoint-${basename(node.root)}`);

  async function refusal(promise: Promise<unknown>): Promise<string> {
    return promise.then(
      () => 'nothing was refused',
      (error: unknown) => failureOf(error, { code: 'none', hint: '' }).code,
    );
  }

  /** By an agent that was started anew, which tries until it can. */
  async function goesBack(settings: RestoreSettings): Promise<void> {
    let why = '';
    const isBack = (): Promise<boolean> =>
      recoverInfinispanRestore(settings, 'rolledBack').then(
        () => true,
        (error: unknown) => {
          why = error instanceof Error ? error.message : String(error);
          return false;
        },
      );
    await until(`${settings.name} to go back`, isBack, GOES_BACK_MS).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}: ${why}`);
    });
  }

  /** Of the two servers: the one that coordinates them, and the other. */
  async function roles(): Promise<{ leading: InfinispanNode; following: InfinispanNode }> {
    const { coordinator_address: name } = JSON.parse(await must(lead, 'GET', 'container')) as {
      coordinator_address: string;
    };
    return lead.name === name ? { leading: lead, following: other } : { leading: other, following: lead };
  }

  /** When an entry was made, and how long it lives and may idle, as its server says it. */
  async function lifeOf(key: string): Promise<readonly (string | null)[]> {
    const { headers } = await fetch(`${lead.url}/rest/v2/${entryPath('mortal', key)}?extended=true`, {
      method: 'HEAD',
    });
    return ['created', 'timetoliveseconds', 'maxidletimeseconds'].map((name) => headers.get(name));
  }

  /** What clients do after the checkpoint. */
  async function goOn(): Promise<void> {
    await put(lead, 'text', 'key 1', 'newer');
    await put(lead, 'text', 'later', 'than the checkpoint');
    await must(lead, 'DELETE', 'caches/xml');
    await createCache(lead, 'later', CACHES['text'] ?? {});
    await put(lead, 'later', 'key', 'value');
    await put(lead, 'from-file', 'later', 'value');
    await must(lead, 'POST', 'counters/durable?action=increment');
    await must(lead, 'DELETE', 'counters/strong');
    await must(lead, 'POST', 'counters/later', '{"strong-counter":{"initial-value":3}}', {
      'content-type': 'application/json',
    });
    await must(
      lead,
      'POST',
      'schemas/later.proto',
      'syntax = "proto2"; message Later { optional string a = 1; }',
    );
  }

  it('has everything of the checkpoint and nothing else, newer entries overwritten, clients refused until it is decided [S111]', async () => {
    const atMark = await held();
    await goOn();
    const members = cluster.nodes.map((node) => restorationOf(node));
    const [checked] = await both(members, (one) => one.check(null));
    expect(checked?.warnings.map(({ code }) => code)).to.include.members([
      'infinispan-overwritten',
      'infinispan-cache-removed',
    ]);
    const verified = await upTo(members, 'verify');
    expect(verified[0]?.checks.join('; ')).to.match(
      /caches: 17, \d+ entries, equal by digest; counters: 3; schemas: 1/,
    );
    expect(verified[0]?.warnings).to.deep.equal([]);
    expect((await ask(other, 'GET', entryPath('text', 'key 1'))).status).to.equal(503);
    expect((await ask(other, 'PUT', entryPath('xml', 'key'), '<b/>')).status).to.equal(503);

    await both(members, (one) => one.open());
    await both(members, (one) => one.finish());
    expect(await held()).to.deep.equal(atMark);
    expect(await must(other, 'GET', entryPath('text', 'key 1'))).to.equal('value 1 of text');
    expect(JSON.parse(await must(lead, 'GET', 'server/ignored-caches'))).to.deep.equal([]);
    expect(cluster.nodes.map((node) => existsSync(room(node)))).to.deep.equal([false, false]);
    // A cache of that name can be made and used again: nothing goes on ignoring it.
    await createCache(lead, 'later', CACHES['text'] ?? {});
    await put(other, 'later', 'key', 'value');
    await must(lead, 'DELETE', 'caches/later');
  });

  it('keeps the configuration of caches that are there, and says so before [S110]', async () => {
    await must(lead, 'DELETE', 'caches/text');
    await createCache(lead, 'text', {
      'replicated-cache': { mode: 'SYNC', encoding: { 'media-type': 'text/plain' } },
    });
    const members = cluster.nodes.map((node) => restorationOf(node));
    const [checked] = await both(members, (one) => one.check(null));
    const said = checked?.warnings.find(({ code }) => code === 'infinispan-configuration-kept');
    expect(said?.text).to.match(/^text: /);
    await upTo(members, 'verify');
    await both(members, (one) => one.open());
    await both(members, (one) => one.finish());
    expect(await must(other, 'GET', 'caches/text?action=config')).to.contain('replicated-cache');
    expect(await must(other, 'GET', entryPath('text', 'key 1'))).to.equal('value 1 of text');
    await must(lead, 'DELETE', 'caches/text');
    await createCache(lead, 'text', CACHES['text'] ?? {});
  });

  it('holds what it held before when it is rolled back, at any step, also by an agent that was started anew', async () => {
    await put(lead, 'text', 'only here', 'value');
    const before = await held();
    for (const last of ['stage', 'switchIn', 'start'] as const) {
      const members = cluster.nodes.map((node) => restorationOf(node));
      await upTo(members, last);
      expect((await infinispanRestorePlace(settingsOf(lead))).left?.switched).to.equal(last !== 'stage');
      await both(cluster.nodes.map(settingsOf), (settings) =>
        recoverInfinispanRestore(settings, 'rolledBack'),
      );
      expect(await held(), last).to.deep.equal(before);
      // Idempotent.
      await both(members, (one) => one.rollBack());
      expect(JSON.parse(await must(lead, 'GET', 'server/ignored-caches'))).to.deep.equal([]);
      expect(existsSync(room(lead))).to.equal(false);
    }
    expect(await must(other, 'GET', entryPath('text', 'only here'))).to.equal('value');
  });

  it('is opened by an agent that was started anew, where the restore was decided', async () => {
    const members = cluster.nodes.map((node) => restorationOf(node));
    await upTo(members, 'verify');
    await both(cluster.nodes.map(settingsOf), (settings) => recoverInfinispanRestore(settings, 'restored'));
    expect((await ask(other, 'GET', entryPath('text', 'only here'))).status).to.equal(404);
    expect(await must(other, 'GET', entryPath('text', 'key 1'))).to.equal('value 1 of text');
    expect((await infinispanRestorePlace(settingsOf(lead))).left).to.equal(null);
  });

  it('is not verified where a client has changed what nobody can hold', async () => {
    const members = cluster.nodes.map((node) => restorationOf(node));
    await upTo(members, 'start');
    await must(other, 'POST', 'counters/durable?action=increment');
    expect(await refusal(both(members, (one) => one.verify()))).to.equal('restore-not-verified');
    await both(members, (one) => one.rollBack());
  });

  it('lets lifetimes go on by the clock while entries lie in a checkpoint, and says what has ended', async () => {
    await put(lead, 'mortal', 'brief', 'x', { timeToLiveSeconds: '2' });
    await put(lead, 'mortal', 'left alone', 'x', { maxIdleTimeSeconds: '2' });
    const file = join(folder.path, 'mortal.zip');
    const source = { archive: file, facts: await capture(file) };
    expect(source.facts.caches.find(({ name }) => name === 'mortal')?.entries).to.equal(5);
    const lives = await lifeOf('lives long, may idle');
    await until('two to end', async () => (await must(lead, 'GET', 'caches/mortal?action=size')) === '3');
    const members = cluster.nodes.map((node) => restorationOf(node, source));
    const [verified] = await upTo(members, 'verify');
    await both(members, (one) => one.open());
    await both(members, (one) => one.finish());

    expect(verified?.warnings.map(({ code, text }) => `${code}: ${text}`).join()).to.match(
      /^infinispan-entries-ended: 2 entries [^:]*$/,
    );
    expect(await must(lead, 'GET', 'caches/mortal?action=size')).to.equal('3');
    expect(await lifeOf('lives long, may idle')).to.deep.equal(lives);
  });

  for (const { who, done, when } of KILLS)
    it(`holds what it held before when its ${who} server is killed ${when}`, async () => {
      await put(lead, 'text', 'only here', 'value');
      const before = await held();
      const { leading, following } = await roles();
      const victim = who === 'leading' ? leading : following;
      const members = cluster.nodes.map((node) => restorationOf(node));
      await upTo(members, done);
      if (when !== IN_THE_MIDST) await victim.kill();
      const code = refusal(goThrough(members, STEPS.slice(STEPS.indexOf(done) + 1)));
      if (when === IN_THE_MIDST) {
        // They go first and come last.
        await until('its counters to be gone', async () => (await must(leading, 'GET', 'counters')) === '[]');
        await victim.kill();
      }
      expect(await code).to.match(/^infinispan-(unreachable|not-running|changed|restore-failed|answer)$/);
      await victim.start();
      for (const settings of cluster.nodes.map(settingsOf)) await goesBack(settings);

      expect(await held()).to.deep.equal(before);
      expect(await must(other, 'GET', entryPath('text', 'only here'))).to.equal('value');
      for (const node of cluster.nodes) {
        expect(await must(node, 'GET', 'server/ignored-caches')).to.equal('[]');
        expect(existsSync(room(node))).to.equal(false);
      }
    });

  it('is as it was where the disk under the restore is full, before it and when its own state is saved', async () => {
    const before = await held();
    const { leading } = await roles();
    const small = smallDisk(Math.ceil((facts.archive.sizeBytes * 1.5) / 4096) * 4096);
    try {
      const settings = { ...settingsOf(leading), root: join(small.path, 'server') };
      const restoration = restorationOf(leading, undefined, settings);
      for (const isFull of [true, false]) {
        await restoration.stage();
        if (isFull) small.fill();
        const code = await refusal(restoration.switchIn());
        await restoration.rollBack();
        if (isFull) small.makeRoom();
        expect(code).to.equal('host-disk-full');
        expect(readdirSync(small.path)).to.deep.equal([]);
        expect(await must(other, 'GET', 'server/ignored-caches')).to.equal('[]');
      }
      expect(await held()).to.deep.equal(before);
    } finally {
      small.remove();
    }
  });

  it('starts again after it, although its file defines what was restored', async () => {
    await other.stop();
    await other.start();
    await Promise.all(cluster.nodes.map((node) => node.stop()));
    for (const node of cluster.nodes) await node.start();
    const caches = JSON.parse(await must(lead, 'GET', 'caches')) as string[];
    expect(caches).to.include.members(['from-file', 'text', 'persistent']);
    expect(await readdir(join(lead.root, 'data'))).to.include('caches.xml');
  });
});
