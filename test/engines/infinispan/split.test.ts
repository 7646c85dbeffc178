import { expect } from 'chai';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createInfinispanEngine } from '../../../agent/engines/infinispan/infinispan-engine.ts';
import { infinispanMemberSchema } from '../../../agent/engines/infinispan/settings.ts';
import type { MemberDescription } from '../../../shared/domain/grid.ts';

// Goal: what a cluster must not be when it is held is said plainly. Method: servers that answer as real ones did, for states
// into which a real cluster is not brought in a moment.

interface Said {
  readonly node?: string;
  readonly members?: readonly string[];
  readonly cluster?: string;
  readonly health?: string;
  readonly status?: string;
  readonly rebalancing?: boolean;
  readonly cacheHealth?: string;
  readonly hasOtherSites?: boolean;
  /** Clients that are connected to the server; it cannot ask the others for theirs. */
  readonly ownClients?: readonly object[];
}

/** With what a server of 16.0.5 answers to what one of another class loader asks it. */
const FAILED = Symbol('org.infinispan.rest.resources.ServerResource');

/** The answers of server 16.0.5 to what a look asks. */
function answersOf(said: Said): Readonly<Record<string, unknown>> {
  const { node = 'n1', members = ['n1', 'n2'], cluster = 'grid', health = 'HEALTHY' } = said;
  return {
    container: {
      version: '16.0.5',
      name: 'default',
      cluster_name: cluster,
      cache_manager_status: said.status ?? 'RUNNING',
      node_address: node,
      coordinator_address: members[0],
      cluster_members: members,
      cluster_members_physical_addresses: members.map((member) => `${member}:7800`),
      local_site: null,
      sites_view: said.hasOtherSites === true ? ['north', 'south'] : [],
      rebalancing_enabled: said.rebalancing ?? true,
    },
    'container/health': {
      cluster_health: {
        cluster_name: cluster,
        health_status: health,
        number_of_nodes: members.length,
        node_names: members,
      },
      cache_health: [{ status: 'HEALTHY', cache_name: 'orders' }],
    },
    'server/overview-report': {
      'product-version': '16.0.5',
      'node-id': `run of ${node}`,
      'coordinator-id': `run of ${members[0] ?? ''}`,
    },
    'caches?action=detailed': [
      {
        status: 'RUNNING',
        name: 'orders',
        type: 'distributed-cache',
        transactional: false,
        persistent: false,
        bounded: false,
        secured: false,
        indexed: false,
        has_remote_backup: said.hasOtherSites ?? false,
        health: said.cacheHealth ?? 'HEALTHY',
        rebalancing_inflight: 0,
      },
    ],
    'container/cache-configs': [{ name: 'orders', configuration: { orders: { 'distributed-cache': {} } } }],
    'server/ignored-caches': [],
    'server/connections?global=true': said.ownClients === undefined ? [] : FAILED,
    'server/connections?global=false': said.ownClients,
    'caches/orders?action=size': 3,
  };
}

describe('a cluster that is not as it must be', () => {
  const servers: Server[] = [];

  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });

  async function serve(said: Said): Promise<string> {
    const answers = answersOf(said);
    const server = createServer((request, response) => {
      const answer = answers[request.url?.replace('/rest/v2/', '') ?? ''];
      const status = answer === FAILED ? 500 : answer === undefined ? 404 : 200;
      response.writeHead(status, { connection: 'close' });
      response.end(answer === FAILED ? FAILED.description : (JSON.stringify(answer) ?? ''));
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  async function look(own: Said, ...others: readonly Said[]): Promise<MemberDescription> {
    const settings = infinispanMemberSchema.parse({
      engine: 'infinispan',
      name: 'n1',
      role: 'node',
      copyset: 'grid',
      address: 'alpha.example:11222',
      root: '/srv/infinispan/server',
      url: await serve(own),
      peers: await Promise.all(others.map(serve)),
    });
    return createInfinispanEngine(settings).describe(AbortSignal.timeout(10_000));
  }

  const codes = ({ problems, warnings }: MemberDescription): string[] =>
    [...problems, ...warnings].map(({ code }) => code);

  it('is fit where nothing is wrong with it', async () => {
    const description = await look({}, { node: 'n2' });
    expect(codes(description)).to.deep.equal([]);
    expect(description.primary).to.equal(true);
  });

  it('is fit where its servers cannot tell of each other who is connected, and says what is not known', async () => {
    const [none] = (await look({ ownClients: [] }, { node: 'n2' })).warnings;
    expect(none?.code).to.equal('infinispan-clients');
    expect(none?.text).to.match(/^clients may be connected to cluster grid/);
    const client = { 'server-node-name': 'n1', 'protocol-version': 'HTTP/1.1', 'client-library': 'curl' };
    const { problems, warnings } = await look({ ownClients: [client] }, { node: 'n2' });
    expect(problems).to.deep.equal([]);
    expect(warnings[0]?.text).to.match(/^at least 1 client is connected to cluster grid \(HTTP/);
  });

  it('has come apart, and each part says which servers it has', async () => {
    const parts: [Said, Said] = [{ members: ['n1'] }, { node: 'n2', members: ['n2', 'n3'] }];
    const [problem] = (await look(...parts)).problems;
    expect(problem?.code).to.equal('infinispan-split');
    expect(problem?.message).to.contain('n1 has n1, and n2 has n2, n3');
    const other = await look(parts[1], parts[0]);
    expect(codes(other)).to.deep.equal(['infinispan-split']);
    expect(other.primary, 'so both halves would be led').to.equal(true);
  });

  it('is not the cluster of a server that is named beside it', async () => {
    const [problem] = (await look({}, { node: 'n2', cluster: 'other' })).problems;
    expect(problem?.code).to.equal('infinispan-differs');
    expect(problem?.hint).to.contain('peers');
  });

  it('has lost entries, or may have', async () => {
    expect(codes(await look({ health: 'DEGRADED' }))).to.deep.equal(['infinispan-degraded']);
    expect(codes(await look({ cacheHealth: 'FAILED' }))).to.deep.equal(['infinispan-cache-failed']);
    expect(codes(await look({ status: 'INITIALIZING' }))).to.deep.equal(['infinispan-not-running']);
  });

  it('moves entries, or must not: that is known before, and stops nothing', async () => {
    expect(codes(await look({ health: 'HEALTHY_REBALANCING' }))).to.deep.equal(['infinispan-rebalancing']);
    expect(codes(await look({ rebalancing: false }))).to.deep.equal(['infinispan-rebalancing']);
  });

  it('shares caches with other sites, of which a checkpoint has nothing', async () => {
    const { warnings } = await look({ hasOtherSites: true });
    expect(warnings.map(({ code }) => code)).to.deep.equal(['infinispan-sites']);
    expect(warnings[0]?.text).to.contain('north, south');
  });
});
