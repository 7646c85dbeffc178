import { createInfinispanEngine } from '../../../agent/engines/infinispan/infinispan-engine.ts';
import { InfinispanGuardian } from '../../../agent/engines/infinispan/hold/undo.ts';
import { infinispanMemberSchema } from '../../../agent/engines/infinispan/settings.ts';
import { InfinispanCluster, needsInfinispan } from '../../lab/infinispan.ts';
import { until } from '../../lab/processes.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import { engineSuite, type EngineSubject } from '../engine-suite.ts';
import { killedAgent } from '../kill-agent.ts';
import { beginCapture } from '../tested-capture.ts';
import { entriesOf, footprint, put } from './clients.ts';

const ENDPOINTS =
  '<endpoints><endpoint socket-binding="default"><hotrod-connector/><rest-connector/></endpoint></endpoints>';

/** A cluster of one server. Whoever reads while it is held is refused: what is visible is what was seen last. */
async function subject(): Promise<EngineSubject> {
  const folder = temporaryFolder('infinispan-engine');
  const cluster = await InfinispanCluster.start({
    nodes: 1,
    endpoints: ENDPOINTS,
    container: '<distributed-cache name="orders"><encoding media-type="text/plain"/></distributed-cache>',
  });
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error('no server');
  const settings = infinispanMemberSchema.parse({
    name: 'n1',
    role: 'node',
    copyset: 'cluster',
    address: node.hostport,
    engine: 'infinispan',
    root: node.root,
    url: node.url,
  });
  const engine = createInfinispanEngine(settings);
  await put(node.url, 'orders', 'first', 'v');
  let written = 0;
  let seen = 0;
  return {
    engine,
    start: () => node.start(),
    stop: () => node.kill(),
    begin: () => beginCapture(engine, folder.path, { assignment: { hold: 'lead', part: 'whole' } }),
    async write() {
      written += 1;
      const key = `k${written}`;
      await until(
        'a write that is let through',
        async () => (await put(node.url, 'orders', key, 'v')) === 204,
      );
    },
    async visible() {
      seen = (await entriesOf(node.url, 'orders')) ?? seen;
      return seen;
    },
    footprint: () => footprint(node.url),
    openGuardian: () => Promise.resolve(new InfinispanGuardian(settings)),
    killedAgent: (state, attempt) => killedAgent(settings, folder.path, state, attempt),
    async remove() {
      await cluster.remove();
      folder.remove();
    },
  };
}

describe('on a real Infinispan server', function () {
  this.timeout(120_000);
  before(function () {
    needsInfinispan(this);
  });
  engineSuite('an Infinispan cluster', subject);
});
