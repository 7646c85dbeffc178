import { expect } from 'chai';
import { InfinispanGuardian } from '../../../agent/engines/infinispan/hold/undo.ts';
import { infinispanMemberSchema } from '../../../agent/engines/infinispan/settings.ts';
import { InfinispanCluster, needsInfinispan } from '../../lab/infinispan.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import { killedAgent } from '../kill-agent.ts';
import { token } from '../tested-capture.ts';
import { until } from '../../lab/processes.ts';
import { entriesOf, fill, footprint, get } from './clients.ts';
import { must } from './every-kind.ts';
import { beginHold } from './held.ts';

// Goal: a cluster is held through any of its servers however many caches and entries it has. Method: 500 caches, which
// take the list of ignored caches through each of two servers, and 65,000 entries.

const CACHES = 499;
const ENTRIES = 65_000;

const FILLED =
  '<distributed-cache name="filled"><encoding media-type="application/octet-stream"/></distributed-cache>';
const ENDPOINTS = `<endpoints><endpoint socket-binding="default">
  <hotrod-connector/><memcached-connector cache="filled"/><rest-connector/>
</endpoint></endpoints>`;

describe('the hold of an Infinispan cluster of 500 caches and 65,000 entries', function () {
  this.timeout(240_000);
  const folder = temporaryFolder('infinispan-size');
  let cluster: InfinispanCluster;
  let urls: string[] = [];

  before(async function () {
    needsInfinispan(this);
    const names = Array.from({ length: CACHES }, (_, number) => `c${number}`);
    const container = names.map(
      (name) => `<replicated-cache name="${name}"><encoding media-type="text/plain"/></replicated-cache>`,
    );
    cluster = await InfinispanCluster.start({
      container: `${FILLED}${container.join('')}`,
      endpoints: ENDPOINTS,
      heapMB: 512,
    });
    urls = cluster.nodes.map(({ url }) => url);
    const [first] = cluster.nodes;
    if (first !== undefined) await fill(first, ENTRIES);
    await until('every entry', async () => (await entriesOf(urls[0] ?? '', 'filled')) === ENTRIES);
  });

  after(async () => {
    await cluster?.remove();
    folder.remove();
  });

  for (const [place, through] of ['first', 'second'].entries())
    it(`has every cache ignored and every entry in its archive, through its ${through} server`, async () => {
      const [own = '', other = ''] = place === 0 ? urls : urls.toReversed();
      const found = await footprint(own);
      const held = beginHold([own, other], folder.path, { maxHoldSeconds: 60 });
      await held.capture.prepare();
      await held.capture.arm(token());
      await held.capture.freeze(token());
      const ignored = await Promise.all([own, other].map((url) => footprint(url)));
      const refused = await get(other, `c${CACHES - 1}`, 'k');
      const proof = await held.capture.thaw(token(), () => undefined);
      const facts = await held.facts();
      await held.capture.close();

      expect(proof.type, JSON.stringify(proof)).to.equal('held');
      for (const one of ignored)
        expect(one)
          .to.have.property('ignored')
          .with.length(CACHES + 3);
      expect(refused).to.equal(503);
      expect(facts.caches).to.have.length(CACHES + 1);
      expect(facts.caches.find(({ name }) => name === 'filled')).to.include({ entries: ENTRIES });
      for (const url of urls) expect(await footprint(url)).to.deep.equal(found);
    });

  it('is opened for good when the process is killed that closes it: nothing that it asked for comes later', async () => {
    const [node] = cluster.nodes;
    const [own = '', other = ''] = urls;
    const settings = infinispanMemberSchema.parse({
      engine: 'infinispan',
      name: 'n1',
      role: 'node',
      copyset: 'grid',
      address: node?.hostport,
      root: node?.root,
      url: own,
      peers: [other],
      maxHoldSeconds: 60,
    });
    // Its agent would not hold so many for its lease.
    await must({ url: own }, 'POST', 'caches/filled?action=clear');
    const found = await footprint(own);
    const undo = await killedAgent(settings, folder.path, 'freezing', token(), [], () =>
      until('the fence to be half closed', async () => (await footprint(own)).ignored.length > CACHES / 2),
    );
    const guardian = new InfinispanGuardian(settings);
    await guardian.undo(undo);
    await guardian.close();
    for (let looks = 0; looks < 20; looks += 1)
      for (const url of urls) expect(await footprint(url)).to.deep.equal(found);
  });
});
