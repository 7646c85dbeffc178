import { expect } from 'chai';
import { CausalClients, checkOrder } from '../lab/causal-clients.ts';
import { down, HostsLab } from './lab/hosts-lab.ts';
import { installStillpoint } from './lab/install.ts';
import {
  makeCertificates,
  onHost,
  prepareServer,
  shardsOf,
  startAgent,
  writeGridFile,
  type ClusterOnHost,
} from './lab/shards-on-hosts.ts';

// Goal: what the README promises holds for who installs the package on hosts that boot, with the servers of their
// distribution, and loses all of them.

describe('a first grid on booted hosts', function () {
  // One step needs the one before.
  this.bail(true);
  const lab = new HostsLab();
  const say = (): void => undefined;
  const operator = lab.host('epsilon');
  const old = ['alpha', 'beta', 'gamma', 'delta'].map((short) => lab.host(short));
  const others = ['epsilon', 'zeta'].map((short) => lab.host(short));
  const members = old.map(({ short }) => `orders-${short}`);
  const clusters = old.map((host) => onHost(host, `orders-${host.short}`));
  let clients: CausalClients;
  let begun = 0;

  before(async () => {
    await down();
    await lab.up(say);
    for (const host of lab.hosts()) installStillpoint(host, say);
  });

  after(async () => {
    await clients?.stop();
    await down();
  });

  it('is set up as the README says, and its doctor has nothing to say against it', () => {
    makeCertificates(operator, lab.hosts());
    for (const cluster of clusters) prepareServer(cluster);
    for (const cluster of clusters) startAgent(cluster.host, [cluster], operator);
    for (const { host } of clusters) host.shell('stillpoint-agent --check');
    writeGridFile(operator, 'grid.yaml', old, members);
    operator.shell('stillpoint repository init --grid grid.yaml');
    const { code, stdout, stderr } = operator.try('stillpoint grid doctor --grid grid.yaml');
    expect(code, stdout + stderr).to.equal(0);
  });

  it('has a checkpoint while clients write to all of its servers', async () => {
    clients = await CausalClients.start(shardsOf(clusters), 4, { pauseMs: 2 });
    await new Promise((resolve) => setTimeout(resolve, 1000));
    begun = performance.now();
    const written = clients.writes.length;
    // Not by what blocks the clients, which are in this process.
    const { code, stdout, stderr } = await operator.begin(
      'stillpoint checkpoint create first --grid grid.yaml --output json',
    );
    expect(code, stderr).to.equal(0);
    expect(clients.writes.length).to.be.greaterThan(written + 100);
    const { members: captured } = JSON.parse(stdout) as { members: { state: string }[] };
    expect(captured.map(({ state }) => state)).to.deep.equal(members.map(() => 'captured'));
  });

  it('loses all its hosts at once, and comes back on two others with nothing missing', async () => {
    for (const host of old) await host.cutPower();
    await clients.stop();
    const places = clusters.map(({ member }, index) => {
      const host = others[Math.floor(index / 2)] ?? operator;
      return index % 2 === 0 ? onHost(host, member) : onHost(host, member, { cluster: 'second', port: 5433 });
    });
    for (const cluster of places) makePlace(cluster);
    for (const host of others) {
      startAgent(
        host,
        places.filter((cluster) => cluster.host === host),
        operator,
      );
    }
    writeGridFile(operator, 'target.yaml', others, members);
    const maps = clusters.map(({ host }, index) => `--map ${host.name}=${places[index]?.host.name}`);
    const said = operator.shell(
      `stillpoint restore first --grid target.yaml ${maps.join(' ')} --stop --yes --output json`,
      300_000,
    );
    expect(JSON.parse(said)).to.have.property('verified', true);
    const report = await checkOrder(shardsOf(places), clients.writes, begun);
    expect(report).to.include({ missing: 0, withoutCause: 0 });
    expect(report.found).to.be.greaterThan(0);
  });

  it('has its servers as units that run, and none that is masked', () => {
    for (const host of others) {
      const units = host.shell("systemctl list-units --plain --no-legend 'postgresql@*'");
      expect(
        units
          .trim()
          .split('\n')
          .map((line) => line.split(/\s+/).slice(0, 4).join(' ')),
      ).to.deep.equal([
        'postgresql@15-main.service loaded active running',
        'postgresql@15-second.service loaded active running',
      ]);
      expect(
        host.try('systemctl list-unit-files --plain --no-legend --state=masked-runtime').stdout,
      ).to.equal('');
    }
  });

  /** A cluster as Debian's tools make it, that nobody has used yet: a restore replaces it. */
  function makePlace({ host, cluster, port }: ClusterOnHost): void {
    if (cluster === 'main') host.shell('systemctl stop postgresql@15-main');
    else host.shell(`pg_createcluster 15 ${cluster} --port ${port}`);
  }
});
