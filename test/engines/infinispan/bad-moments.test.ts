import { expect } from 'chai';
import { readdirSync, readFileSync, rmdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { ClusterFacts } from '../../../agent/engines/infinispan/copy/facts.ts';
import type { StillpointError } from '../../../shared/domain/errors.ts';
import type { ThawProof } from '../../../shared/domain/messages.ts';
import { InfinispanCluster, needsInfinispan, type InfinispanNode } from '../../lab/infinispan.ts';
import { until } from '../../lab/processes.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import { smallDisk, type SmallDisk } from '../../repository/disks.ts';
import { token } from '../tested-capture.ts';
import { failureOf, jobPath, jobState, look, members, startJob, status } from './asked.ts';
import { createCache, put } from './clients.ts';
import { ask, must } from './every-kind.ts';
import { beginHold, type Held } from './held.ts';
import { load } from './loaded.ts';

// Goal: whatever happens to a cluster while it is held, what is stored is proven, and its clients are served afterwards.
// Method: real servers, killed, stopped, joined, cut off from each other and out of disk. Each test leaves to the next one
// the servers that it has left.

const ENTRIES = 30_000;
/** Servers that see soon whether another lives; then there is time to look at both parts before they merge. */
const STACK = `<FD_ALL3 timeout="8000" interval="1000" stack.combine="COMBINE"/>
  <MERGE3 min_interval="4000" max_interval="6000" stack.combine="COMBINE"/>`;
const ENDPOINTS =
  '<endpoints><endpoint socket-binding="default"><hotrod-connector/><rest-connector/></endpoint></endpoints>';

const OURS = 'stillpoint-backup';
const nothing = (): void => undefined;
const isMounted = (path: string): boolean => readFileSync('/proc/mounts', 'utf8').includes(` ${path} `);

describe('a bad moment of an Infinispan cluster', function () {
  this.timeout(180_000);
  const folder = temporaryFolder('infinispan-moments');
  let disk: SmallDisk;
  let cluster: InfinispanCluster;
  let lead: InfinispanNode;
  let other: InfinispanNode;
  let third: InfinispanNode;

  before(async function () {
    needsInfinispan(this);
    disk = smallDisk(16 * 1024 ** 2);
    cluster = await InfinispanCluster.start({ stack: STACK, endpoints: ENDPOINTS });
    const [first, second] = cluster.nodes;
    if (first === undefined || second === undefined) throw new Error('two servers');
    [lead, other] = [first, second];
    for (const cache of ['orders', 'large']) await createCache(lead.url, cache);
    await load(lead.url, folder.path, ['large'], ENTRIES);
  });

  after(async () => {
    await cluster?.remove();
    disk?.remove();
    folder.remove();
  });

  const begin = (through: InfinispanNode, ...others: readonly InfinispanNode[]): Held =>
    beginHold(
      [through, ...others].map(({ url }) => url),
      folder.path,
      { root: through.root },
    );
  const entriesOf = ({ caches }: ClusterFacts): number | undefined =>
    caches.find(({ name }) => name === 'large')?.entries;
  const thaw = (held: Held): Promise<ThawProof> => held.capture.thaw(token(), nothing);

  async function frozen(held: Held): Promise<void> {
    await held.capture.prepare();
    await held.capture.arm(token());
    await held.capture.freeze(token());
  }

  async function mustServe(...nodes: readonly InfinispanNode[]): Promise<void> {
    for (const node of nodes) {
      // One whose cluster has just lost another answers what it is asked with an error for a while.
      await until(`${node.name} to answer`, () =>
        must(node, 'GET', 'server/ignored-caches').then(
          () => true,
          () => false,
        ),
      );
      expect(await must(node, 'GET', 'server/ignored-caches'), node.name).to.equal('[]');
      expect(await put(node.url, 'orders', 'key', 'value'), node.name).to.equal(204);
    }
  }

  // A server that has just started is well too, alone, before it has found the other.
  const atRest = (): Promise<void> =>
    until(
      'the cluster to be whole and at rest',
      async () => (await members(lead)).includes('n2') && (await status(lead)) === 'HEALTHY',
    );
  for (const place of ['its lead', 'another server'])
    it(`waits for a backup that an operator has begun on ${place}`, async () => {
      const node = place === 'its lead' ? lead : other;
      let waitedFor: readonly string[] = [];
      // It may be done before it is looked at.
      for (let round = 1; waitedFor.length === 0 && round <= 5; round += 1) {
        const held = begin(lead, other);
        await startJob(node, `nightly-${round}`);
        await held.capture.prepare();
        expect(await jobState(node, `nightly-${round}`)).to.equal(200);
        await held.capture.abort();
        await must(node, 'DELETE', jobPath(`nightly-${round}`));
        ({ waitedFor } = held);
      }
      expect(waitedFor).to.have.length(1);
      expect(waitedFor[0])
        .to.match(/^backup nightly-\d of the server at http/)
        .and.to.contain(node.url);
    });

  it('is not harmed by backups that others begin in the hold: the server takes none beside ours', async () => {
    const held = begin(lead, other);
    await frozen(held);
    const thawing = thaw(held);
    await until('our backup', async () => (await jobState(lead, OURS)) !== 404);
    await Promise.all([startJob(lead, 'late'), startJob(other, 'later')]);
    const proof = await thawing;
    const facts = await held.facts();
    await held.capture.close();
    await until('theirs to end', async () =>
      [await jobState(lead, 'late'), await jobState(other, 'later')].every((state) => state !== 202),
    );
    await must(lead, 'DELETE', jobPath('late'));
    await must(other, 'DELETE', jobPath('later'));

    expect(proof.type).to.equal('held');
    expect(entriesOf(facts)).to.equal(ENTRIES);
    await mustServe(lead, other);
  });

  it('lets its clients in again where another backup has the server when ours is to begin', async () => {
    const held = begin(lead, other);
    await frozen(held);
    await startJob(lead, 'sudden');
    const { code, message } = await failureOf(thaw(held));
    await mustServe(lead, other);
    await held.capture.abort();
    await until('theirs to end', async () => (await jobState(lead, 'sudden')) !== 202);
    await must(lead, 'DELETE', jobPath('sudden'));

    expect(code).to.equal('infinispan-backup-failed');
    expect(message).to.match(/MB are free in .*data now/);
  });

  it('is joined in the hold by a member that holds nothing, which is no proof; and is held beside it', async () => {
    const zero = await cluster.another('zero', { attributes: 'zero-capacity-node="true"' });
    try {
      const held = begin(lead, other);
      await frozen(held);
      await zero.start();
      const joined = await thaw(held);
      await held.capture.abort();
      expect(joined)
        .to.have.property('cause')
        .that.matches(/^the cluster was n1, n2 at /);
      const { problems } = await look(zero, lead, other);
      expect(problems.map(({ code }) => code)).to.deep.equal(['infinispan-zero-capacity']);

      const beside = begin(lead, other);
      await frozen(beside);
      expect(await put(zero.url, 'orders', 'key', 'value')).to.equal(503);
      expect(await thaw(beside)).to.include({ type: 'held' });
      const facts = await beside.facts();
      await beside.capture.close();
      expect(entriesOf(facts)).to.equal(ENTRIES);
      await mustServe(lead, other, zero);

      const armed = begin(lead, other);
      await armed.capture.prepare();
      await armed.capture.arm(token());
      await zero.kill();
      await armed.capture.freeze(token());
      expect(await thaw(armed)).to.include({ type: 'broken' });
      await armed.capture.abort();
      await mustServe(lead, other);
    } finally {
      await zero.kill();
    }
  });

  it('waits until the entries of a server that joins are there, and arms nobody before [S2]', async () => {
    await must(lead, 'POST', 'caches/large?action=disable-rebalancing');
    third = await cluster.another('n3');
    if (isMounted(disk.path)) {
      rmdirSync(join(third.root, 'data'));
      symlinkSync(disk.path, join(third.root, 'data'));
    }
    await third.start();
    const prepared = begin(lead, other);
    await prepared.capture.prepare();
    // It is to have what it cannot take.
    third.signal('SIGSTOP');
    const enabled = ask(lead, 'POST', 'caches/large?action=enable-rebalancing');
    await until('entries to move', async () => (await status(lead)) === 'HEALTHY_REBALANCING');
    const armed = await failureOf(prepared.capture.arm(token()));
    const waiting = begin(lead, other);
    const waited = waiting.capture.prepare();
    await until('it to wait', () => waiting.waitedFor.length > 0);
    third.signal('SIGCONT');
    await Promise.all([waited, enabled]);
    await prepared.capture.abort();
    await waiting.capture.abort();

    expect(armed).to.deep.include({ code: 'infinispan-rebalancing' });
    expect(armed, 'it is tried again').to.not.have.property('isFinal');
    expect(waiting.waitedFor[0]).to.equal('entries to reach their servers');
    expect(await status(lead)).to.equal('HEALTHY');
  });

  it('lets its clients in again where the disk is full under the archive, and keeps nothing of it', async function () {
    if (!isMounted(disk.path)) this.skip();
    const held = begin(third, lead, other);
    await frozen(held);
    disk.fill();
    const { code, message } = await failureOf(thaw(held));
    await mustServe(lead, other, third);
    const full = await look(third, lead, other);
    await held.capture.abort();
    disk.makeRoom();

    expect(code).to.equal('infinispan-backup-failed');
    expect(message).to.match(/MB are free in /);
    expect(full.problems).to.deep.equal([]);
    expect(readdirSync(join(disk.path, 'backups'))).to.deep.equal([]);

    const again = begin(third, lead, other);
    await frozen(again);
    expect((await thaw(again)).type).to.equal('held');
    await again.capture.close();
  });

  it('stores nothing where the disk of the agent is full', async () => {
    const small = smallDisk(64 * 1024);
    try {
      const held = beginHold([lead.url, other.url], small.path);
      await frozen(held);
      await thaw(held);
      await mustServe(lead);
      const { code } = await failureOf(held.facts());
      await held.capture.abort();

      expect(code).to.equal('agent-disk-full');
      expect(held.artifacts.files.size).to.equal(0);
      expect(readdirSync(held.spoolDirectory)).to.deep.equal([]);
    } finally {
      small.remove();
    }
  });

  it('is no proof, or none is made, where another server is killed while the backup is written', async () => {
    const held = begin(lead, other);
    await frozen(held);
    const thawing = thaw(held).catch((error: StillpointError) => error.failure);
    await until('our backup', async () => (await jobState(lead, OURS)) !== 404);
    await third.kill();
    const ended = await thawing;
    await held.capture.abort();

    if ('code' in ended) expect(ended.code).to.equal('infinispan-backup-failed');
    else
      expect(ended)
        .to.have.property('cause')
        .that.matches(/^the cluster was n1, n2, n3 at /);
    await mustServe(lead, other);
  });

  it('has a part that went on alone served again, too, when its servers have come apart in the hold [S125]', async () => {
    await atRest();
    const held = begin(lead, other);
    await frozen(held);
    other.signal('SIGSTOP');
    await until('the lead to be alone', async () => !(await members(lead)).includes('n2')).finally(() =>
      other.signal('SIGCONT'),
    );
    const apart = await look(lead, other);
    const refused = await put(other.url, 'orders', 'key', 'value');
    const thawed = await thaw(held).catch((error: StillpointError) => error.failure);
    await held.capture.abort().catch(nothing);
    await until('what is left to be undone', () =>
      held.undoAsGuard().then(
        () => true,
        () => false,
      ),
    );
    await until(
      'them to be one again',
      async () => (await members(lead)) === 'n1,n2' && (await members(other)) === 'n1,n2',
    );

    expect(apart.problems.map(({ code }) => code)).to.include('infinispan-split');
    expect(refused).to.equal(503);
    expect(thawed).to.not.include({ type: 'held' });
    await mustServe(lead, other);
  });

  it('is no proof where its lead was started anew between the arm and the freeze; what was prepared is good after it', async () => {
    const prepared = begin(lead, other);
    await prepared.capture.prepare();
    const held = begin(lead, other);
    await held.capture.prepare();
    await held.capture.arm(token());
    await lead.kill();
    await lead.start();
    await held.capture.freeze(token());
    const proof = await thaw(held);
    await held.capture.abort();
    await mustServe(lead, other);
    await atRest();
    await prepared.capture.arm(token());
    await prepared.capture.freeze(token());
    const later = await thaw(prepared);
    await prepared.capture.close();

    expect(proof.type).to.equal('broken');
    expect(later.type).to.equal('held');
  });

  it('keeps no archive that nobody took: not that of a lead which is killed while it writes it, nor afterwards', async () => {
    const archives = join(lead.root, 'data/backups');
    const killed = begin(lead, other);
    await frozen(killed);
    const thawing = failureOf(thaw(killed));
    await until('our backup', async () => (await jobState(lead, OURS)) !== 404);
    await lead.kill();
    expect((await thawing).code).to.equal('infinispan-unreachable');
    await killed.capture.abort();
    await mustServe(other);
    expect(readdirSync(archives), 'the server keeps it').to.deep.equal([OURS]);
    await lead.start();
    await atRest();

    const again = begin(lead, other);
    await frozen(again);
    expect((await thaw(again)).type).to.equal('held');
    await lead.kill();
    expect((await failureOf(again.facts())).code).to.equal('infinispan-unreachable');
    await again.capture.abort();
    await mustServe(other);
    expect(readdirSync(archives)).to.deep.equal([OURS]);
    await lead.start();
    await atRest();

    const next = begin(lead, other);
    await frozen(next);
    expect((await thaw(next)).type).to.equal('held');
    // The other one is lost when it is not needed any more.
    await other.kill();
    const facts = await next.facts();
    await next.capture.close();
    expect(entriesOf(facts)).to.equal(ENTRIES);
    expect(readdirSync(archives)).to.deep.equal([]);
    await mustServe(lead);
  });
});
