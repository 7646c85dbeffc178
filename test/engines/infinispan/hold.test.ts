import { expect } from 'chai';
import { readdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { FenceWitness } from '../../../agent/engines/infinispan/hold/fence-witness.ts';
import { HoldPace } from '../../../agent/engines/infinispan/hold/hold-pace.ts';
import { memberMemory } from '../../../agent/member-memory.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { InfinispanCluster, needsInfinispan } from '../../lab/infinispan.ts';
import { until } from '../../lab/processes.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import { token } from '../tested-capture.ts';
import {
  createCache,
  createCounter,
  footprint,
  get,
  increment,
  put,
  removeCache,
  setIgnored,
  TEXT_CACHE,
} from './clients.ts';
import { CausalWriters, writesIn } from './causal-writers.ts';
import { beginHold, type Held } from './held.ts';
import { lyingServer } from './lying-server.ts';

// Goal: a cluster of two real servers is held by one of them for all, proven, and left as it was, whatever happens.

const SESSIONS =
  '<replicated-cache name="sessions"><encoding media-type="application/octet-stream"/></replicated-cache>';
const ENDPOINTS = `<endpoints><endpoint socket-binding="default">
  <hotrod-connector/><resp-connector cache="sessions"/><memcached-connector cache="sessions"/><rest-connector/>
</endpoint></endpoints>`;

const nothing = (): void => undefined;

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'done',
    (error: unknown) => (error instanceof StillpointError ? error.failure.code : String(error)),
  );
}

describe('the hold of an Infinispan cluster', function () {
  this.timeout(120_000);
  const folder = temporaryFolder('infinispan-hold');
  let cluster: InfinispanCluster;
  let first = '';
  let second = '';
  let found: unknown;

  const begin = (options: Parameters<typeof beginHold>[2] = {}): Held =>
    beginHold([first, second], folder.path, options);

  async function frozen(held: Held, attempt = 1): Promise<void> {
    if (attempt === 1) await held.capture.prepare();
    await held.capture.arm(token(attempt));
    await held.capture.freeze(token(attempt));
  }

  before(async function () {
    needsInfinispan(this);
    cluster = await InfinispanCluster.start({ container: SESSIONS, endpoints: ENDPOINTS });
    [first = '', second = ''] = cluster.nodes.map(({ url }) => url);
    for (const cache of ['orders', 'stock', 'retired']) await createCache(first, cache);
    await createCounter(first, 'sequence');
    // Operators have taken this one out of service.
    await setIgnored(second, 'retired', true);
    found = await footprint(first);
  });

  after(async () => {
    await cluster?.remove();
    folder.remove();
  });

  afterEach(async function () {
    if (this.currentTest?.state === 'failed') return;
    expect(await footprint(first)).to.deep.equal(found);
    expect(await footprint(second))
      .to.have.property('ignored')
      .that.deep.equals(['retired']);
    expect(await put(second, 'orders', 'after', 'each')).to.equal(204);
  });

  it('refuses the clients of every server, from the fence until the backup is done, and leaves what operators ignore', async () => {
    await put(first, 'orders', 'k', 'before');
    const held = begin();
    await frozen(held);

    const whileHeld = [
      await put(first, 'orders', 'k', 'late'),
      await put(second, 'orders', 'k', 'late'),
      await get(second, 'stock', 'k'),
      await createCache(second, 'orders'),
    ];
    const proof = await held.capture.thaw(token(), nothing);
    const after = await put(second, 'orders', 'k', 'after');
    const { backups } = await footprint(first);
    const facts = await held.facts();
    await held.capture.close();

    expect(whileHeld.slice(0, 3)).to.deep.equal([503, 503, 503]);
    expect(proof.type).to.equal('held');
    expect(after).to.equal(204);
    expect(backups).to.have.length(1);
    expect(facts.caches.map(({ name, entries }) => [name, entries])).to.deep.equal([
      ['orders', 1],
      ['retired', 0],
      ['sessions', 0],
      ['stock', 0],
    ]);
    expect(facts.counters).to.have.length(1);
    expect(facts).to.include({ version: '16.0.5', container: 'default' });
    expect(facts.servers).to.deep.equal(['n1', 'n2']);
    const stored = held.artifacts.files.get('backup.zip');
    expect(stored?.bytes.length).to.equal(facts.archive.sizeBytes);
    expect(readdirSync(held.spoolDirectory)).to.deep.equal([]);
    expect(held.undo()).to.equal(null);
  });

  it('is no proof when a cache is created in the hold; the next attempt holds it too', async () => {
    const held = begin();
    await frozen(held);
    await createCache(second, 'newcomer');
    expect(await put(second, 'newcomer', 'k', 'v'), 'nobody has fenced it').to.equal(204);
    const proof = await held.capture.thaw(token(), nothing);

    await frozen(held, 2);
    const refused = await put(second, 'newcomer', 'k', 'v');
    const again = await held.capture.thaw(token(2), nothing);
    const facts = await held.facts();
    await held.capture.close();
    await removeCache(first, 'newcomer');

    expect(proof).to.include({ type: 'broken', cause: 'cache newcomer was created' });
    expect(refused).to.equal(503);
    expect(again.type).to.equal('held');
    expect(facts.caches.map(({ name }) => name)).to.include('newcomer');
  });

  it('is no proof when a counter changes in the hold: nothing holds counters', async () => {
    const held = begin();
    await frozen(held);
    expect(await increment(second, 'sequence')).to.equal(200);
    const proof = await held.capture.thaw(token(), nothing);
    await held.capture.abort();

    expect(proof.type).to.equal('broken');
    expect(proof)
      .to.have.property('cause')
      .that.matches(/counter sequence was changed; .*nobody hold counters/);
  });

  it('is no proof when somebody opens the fence, were it for a moment', async () => {
    const held = begin();
    await frozen(held);
    await setIgnored(second, 'stock', false);
    const proof = await held.capture.thaw(token(), nothing);
    await held.capture.abort();

    expect(proof.type).to.equal('broken');
    expect(proof)
      .to.have.property('cause')
      .that.matches(/cache stock was served again/);
  });

  it('refuses a cluster whose clients could ask by an alias: servers let those pass', async () => {
    await createCache(first, 'known', {
      'distributed-cache': { ...TEXT_CACHE['distributed-cache'], aliases: ['nickname'] },
    });
    const held = begin();
    const code = await codeOf(held.capture.prepare());
    await held.capture.abort();
    await setIgnored(first, 'known', true);
    const passed = await put(second, 'nickname', 'k', 'v');
    await setIgnored(first, 'known', false);
    await removeCache(first, 'known');

    expect(code).to.equal('infinispan-alias');
    expect(passed, 'what it is refused for').to.equal(204);
  });

  it('refuses a backup that would hold clients for longer than they may be, before anything is armed', async () => {
    for (let key = 0; key < 50; key += 1) await put(first, 'stock', `k${key}`, 'v');
    const slow = new HoldPace();
    slow.took(0, 0, 1_000_000);
    const held = begin({ pace: slow, maxHoldSeconds: 5 });
    const code = await codeOf(held.capture.prepare());
    await held.capture.abort();
    const short = begin({ pace: slow, maxHoldSeconds: 600, context: { leaseMs: () => 6000 } });
    const leased = await short.capture.prepare().catch((error: StillpointError) => error.failure);
    await short.capture.abort();

    expect(code).to.equal('infinispan-hold-too-long');
    expect(held.undo()).to.equal(null);
    expect(leased).to.include({
      code: 'infinispan-hold-too-long',
      hint: 'raise leaseSeconds in the grid file',
    });
  });

  it('lets go by itself when the backup takes longer than clients may be refused', async () => {
    const hasty = new HoldPace();
    hasty.predictMs = () => 0;
    const held = begin({ pace: hasty, maxHoldSeconds: 0.001 });
    await frozen(held);
    const code = await codeOf(held.capture.thaw(token(), nothing));
    const afterwards = await put(second, 'orders', 'k', 'v');
    await held.capture.abort();

    expect(code).to.equal('infinispan-hold-too-long');
    expect(afterwards, 'before the abort').to.equal(204);
  });

  it('stops what does not look at ignored caches: a memcached client writes on until then', async () => {
    const { port, address } = cluster.nodes[1] ?? { port: 0, address: '' };
    const store = (): Promise<string> =>
      new Promise((resolve) => {
        const socket = connect(port, address, () => socket.write('set k 0 0 1\r\nv\r\n'));
        socket.once('data', (bytes) => {
          resolve(String(bytes).trim());
          socket.destroy();
        });
        socket.once('close', () => resolve('closed'));
        socket.once('error', () => resolve('closed'));
      });
    const before = await store();
    const held = begin();
    await frozen(held);
    const whileHeld = await store();
    const { connectors } = await footprint(second);
    await held.capture.thaw(token(), nothing);
    const after = await store();
    await held.capture.abort();

    expect([before, after]).to.deep.equal(['STORED', 'STORED']);
    expect(whileHeld).to.not.contain('STORED');
    expect(connectors.filter((one) => one.endsWith('stopped'))).to.have.length(2);
  });

  it('leaves no archive on the server when its own process dies after the thaw', async () => {
    const held = begin();
    await frozen(held);
    await held.capture.thaw(token(), nothing);
    const { backups } = await footprint(first);
    await held.undoAsGuard();

    expect(backups).to.have.length(1);
    expect(await footprint(first)).to.deep.equal(found);
    await held.capture.abort();
  });

  it('is no proof when the guard has let go, and the process that held wakes up again', async () => {
    const held = begin();
    await frozen(held);
    await held.undoAsGuard();
    const proof = await held.capture.thaw(token(), nothing);
    await held.capture.abort();

    expect(proof.type).to.equal('broken');
  });

  it('is opened from the host of another server when that of its lead is lost; what operators ignore stays', async () => {
    const witness = new FenceWitness({ url: second, container: 'default' }, nothing);
    await witness.follow();
    const held = begin();
    await frozen(held);
    const refused = await put(second, 'orders', 'k', 'v');
    // Nothing comes of the lead any more. The operation ends on this host.
    await witness.release();

    expect(refused).to.equal(503);
    expect(await footprint(first)).to.deep.equal(found);
    await held.capture.abort();
  });

  it('keeps the order of causes over caches and servers under load, and loses nothing that was acknowledged before', async () => {
    const writers = new CausalWriters([first, second], ['orders', 'stock'], 6);
    try {
      for (let round = 0; round < 5; round += 1) {
        const held = begin();
        await frozen(held);
        const acknowledged = writers.acknowledged;
        const proof = await held.capture.thaw(token(), nothing);
        const refused = writers.refused;
        const facts = await held.facts();
        await held.capture.close();

        expect(proof.type, JSON.stringify(proof)).to.equal('held');
        expect(refused).to.be.greaterThan(0);
        const stored = await writesIn(held.artifacts.files.get('backup.zip')?.bytes ?? Buffer.alloc(0), 6);
        for (const [writer, numbers] of stored.entries()) {
          expect(numbers, `writer ${writer}: each of its writes up to the last`).to.deep.equal(
            Array.from({ length: numbers.length }, (_, number) => number),
          );
          expect(numbers.length).to.be.at.least(acknowledged[writer] ?? 0);
        }
        expect(facts.caches.reduce((all, { entries }) => all + entries, 0)).to.be.greaterThan(0);
        await until('more writes', () =>
          writers.acknowledged.every((all, one) => all > (acknowledged[one] ?? 0) + 5),
        );
      }
    } finally {
      await writers.stop();
    }
  });

  it('is predicted by what the last backup took, in time and in bytes, also by an agent that was started anew', async () => {
    const memory = memberMemory(folder.path, 'n1');
    const held = begin({ pace: new HoldPace(memory) });
    await frozen(held);
    await held.capture.thaw(token(), nothing);
    const { caches, archive, backupMs: tookMs } = await held.facts();
    const backupMs = tookMs ?? 0;
    await held.capture.close();
    const entries = caches.reduce((all, one) => all + one.entries, 0);
    const anew = new HoldPace(memberMemory(folder.path, 'n1'));
    const guessed = anew.predictMs(entries, caches.length);
    await anew.remember();

    // Of the caches that the server has for itself, there are two.
    const predicted = anew.predictMs(entries, caches.length + 2);
    expect(predicted).to.be.within(backupMs * 0.8, backupMs * 1.2);
    expect(predicted).to.not.equal(guessed);
    expect(anew.predictBytes(entries)).to.deep.include({ isKnown: true });
    expect(anew.predictBytes(entries).bytes).to.be.within(archive.sizeBytes, archive.sizeBytes + 5000);
    writeFileSync(join(folder.path, 'members/n1.json'), '{"factor":');
    const lost = new HoldPace(memberMemory(folder.path, 'n1'));
    await lost.remember();
    expect(lost.predictMs(entries, caches.length)).to.equal(guessed);
  });

  describe('through a network that changes what goes over it', () => {
    let liar: Awaited<ReturnType<typeof lyingServer>>;

    before(async () => {
      liar = await lyingServer(first);
    });
    after(() => liar?.close());
    afterEach(() => {
      liar.lie = () => null;
    });

    const beginThrough = (): Held => beginHold([liar.url, second], folder.path);

    it('stores nothing of an archive in which a bit was flipped on its way', async () => {
      await put(first, 'orders', 'k', 'v'.repeat(1000));
      const held = beginThrough();
      await frozen(held);
      await held.capture.thaw(token(), nothing);
      liar.lie = (asked, { status, body }) => {
        if (!asked.startsWith('GET') || !asked.includes('/backups/')) return null;
        const flipped = Buffer.from(body);
        // In what is stored of a cache: names and lengths stand before and behind it.
        const at = flipped.indexOf('orders.dat') + 20;
        flipped[at] = (flipped[at] ?? 0) ^ 1;
        return { status, body: flipped };
      };
      const code = await codeOf(held.facts());
      const { artifacts, spoolDirectory } = held;
      await held.capture.abort();

      expect(code).to.equal('infinispan-archive');
      expect(artifacts.files.size).to.equal(0);
      expect(readdirSync(spoolDirectory)).to.deep.equal([]);
    });
  });

  it('is no proof when another server dies in the hold; the caches are served again', async () => {
    const held = begin();
    await frozen(held);
    await cluster.nodes[1]?.kill();
    await until('the cluster to see it', async () => {
      const said = (await (await fetch(`${first}/rest/v2/container`)).json()) as { cluster_size: number };
      return said.cluster_size === 1;
    });
    const proof = await held.capture.thaw(token(), nothing);
    await held.capture.abort();
    const after = await put(first, 'orders', 'k', 'v');
    await cluster.nodes[1]?.start();

    expect(proof.type).to.equal('broken');
    expect(proof)
      .to.have.property('cause')
      .that.matches(/the cluster was n1, n2 .* and is n1 /);
    expect(after).to.equal(204);
  });

  it('is ended through another server when the one that was asked dies in the hold', async () => {
    const held = begin();
    await frozen(held);
    await cluster.nodes[0]?.kill();
    const refused = await put(second, 'orders', 'k', 'v');
    const thawed = await codeOf(held.capture.thaw(token(), nothing));
    await held.capture.abort();
    const served = await put(second, 'orders', 'k', 'v');
    await cluster.nodes[0]?.start();

    expect(refused, 'the fence outlives the server').to.equal(503);
    expect(thawed).to.equal('infinispan-unreachable');
    expect(served).to.equal(204);
    expect(held.undo()).to.equal(null);
  });
});
