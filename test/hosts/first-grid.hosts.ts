import { expect } from 'chai';
import { readFileSync, writeFileSync } from 'node:fs';
import { CausalClients, checkOrder } from '../lab/causal-clients.ts';
import { until } from '../lab/processes.ts';
import { documentedCommands } from '../lab/documented-commands.ts';
import { down, HostsLab } from './lab/hosts-lab.ts';
import { installStillpoint } from './lab/install.ts';
import { openSecureShell } from './lab/secure-shell.ts';
import { whyNoLab } from './lab/skipped.ts';
import {
  letClientsIn,
  onHost,
  shardsOf,
  startAgent,
  writeGridFile,
  type ClusterOnHost,
} from './lab/shards-on-hosts.ts';

// Goal: what the README promises holds, to the letter, for who installs the package on hosts that boot, with the servers
// of their distribution, and loses all of them.

describe('@short a first grid on booted hosts', function () {
  // One step needs the one before.
  this.bail(true);
  const lab = new HostsLab();
  const say = (): void => undefined;
  const operator = lab.host('epsilon');
  const old = ['alpha', 'beta', 'gamma', 'delta'].map((short) => lab.host(short));
  const [alpha = operator, , gamma = operator, delta = operator] = old;
  const others = ['epsilon', 'zeta'].map((short) => lab.host(short));
  const clusters = old.map((host) => onHost(host, `${host.short}-main`));
  const [installation = [], commands = []] = documentedCommands('README.md', 'A first grid of your own');
  let clients: CausalClients;
  let begun = 0;

  before(async function () {
    if (whyNoLab() !== null) this.skip();
    await down();
    await lab.up(say);
    await installStillpoint(lab.hosts(), say);
    openSecureShell(operator, lab.hosts());
  });

  after(() => clients?.stop());

  it('is set up by the commands of the README, to the letter, and its first checkpoint is valid', () => {
    const version = alpha.shell("dpkg-query --show --showformat '${Version}' stillpoint");
    expect(installation).to.deep.equal([`apt install ./stillpoint_${version}_amd64.deb`]);
    const said = commands.map((command) => {
      const { code, stdout, stderr } = operator.try(command);
      expect(code, `${command}\n${stdout}${stderr}`).to.equal(0);
      return stdout;
    });
    expect(said[0]?.match(/^ {2}\S.*$/gm)?.map((line) => line.trim())).to.deep.equal(commands.slice(1));
    const list = operator.shell('stillpoint checkpoint list --grid orders/grid.yaml --output json');
    expect((JSON.parse(list) as { checkpoints: { state: string }[] }).checkpoints).to.have.nested.property(
      '0.state',
      'valid',
    );
  });

  it('has on each host a file that is right, for root alone, and is left as it is by whoever begins again', () => {
    const file = '/etc/stillpoint/agent.yaml';
    const before = readFileSync(alpha.path(file), 'utf8');
    expect(before)
      .to.contain('unit: postgresql@15-main\n')
      .and.to.contain('also: [ /etc/postgresql/15/main ]\n');
    expect(alpha.shell(`stat -c %a ${file} /etc/stillpoint/postgres.password`)).to.equal('600\n600\n');
    expect(alpha.shell('stillpoint-agent --check')).not.to.contain('problem');
    expect(alpha.try('stillpoint-agent init')).to.deep.include({ code: 2, stdout: '' });
    expect(alpha.shell('stillpoint-agent init --apply')).to.contain('it has all that it needs');
    expect(alpha.shell('ls /etc/postgresql/15/main')).not.to.contain('before-stillpoint');
    expect(readFileSync(alpha.path(file), 'utf8')).to.equal(before);
  });

  it('grows by hosts whose servers turn everybody away, take no TCP, or do not run', () => {
    const access = '/etc/postgresql/15/main/pg_hba.conf';
    gamma.shell(`sed -i /^host/d ${access} && systemctl reload postgresql@15-main`);
    delta.shell('pg_createcluster 15 second --port 5433');
    const own = delta.path('/etc/postgresql/15/second/conf.d/own.conf');
    writeFileSync(own, "listen_addresses = ''\n");
    delta.shell('systemctl daemon-reload && systemctl start postgresql@15-second');
    delta.shell('pg_createcluster 15 spare --port 5434');
    operator.shell('stillpoint pki issue orders gamma.example delta.example');
    for (const host of [gamma, delta]) {
      for (const command of commands.filter((line) => /^(scp|ssh) .*alpha\.example/.test(line)))
        operator.shell(command.replaceAll('alpha.example', host.name));
    }
    operator.shell(
      `sed -i 's/beta.example:7411/&, gamma.example:7411, delta.example:7411/' orders/grid.yaml`,
    );
    expect(readFileSync(gamma.path(access), 'utf8').match(/^host .*stillpoint +samehost/gm)).to.have.length(
      2,
    );
    expect(readFileSync(gamma.path(`${access}.before-stillpoint`), 'utf8')).not.to.contain('stillpoint');
    const file = readFileSync(delta.path('/etc/stillpoint/agent.yaml'), 'utf8');
    expect(file).to.contain('postgresql://stillpoint@%2Fvar%2Frun%2Fpostgresql:5433/postgres');
    expect(file).to.match(/^ {2}# - name: delta-spare$/m);
    const { code, stdout, stderr } = operator.try('stillpoint grid doctor --grid orders/grid.yaml');
    expect(code, stdout + stderr).to.equal(0);
  });

  it('has a checkpoint while clients write to the servers of all its hosts', async () => {
    for (const cluster of clusters) letClientsIn(cluster);
    clients = await CausalClients.start(shardsOf(clusters), 4, { pauseMs: 2 });
    await until('clients to write', () => clients.writes.length > 100);
    begun = performance.now();
    const written = clients.writes.length;
    // Not by what blocks the clients, which are in this process.
    const { code, stdout, stderr } = await operator.begin(
      'stillpoint checkpoint create loaded --grid orders/grid.yaml --output json',
    );
    expect(code, stderr).to.equal(0);
    expect(clients.writes.length).to.be.greaterThan(written + 100);
    const { members: captured } = JSON.parse(stdout) as { members: { name: string; state: string }[] };
    expect(captured.map(({ name, state }) => `${name} ${state}`).sort()).to.deep.equal([
      'alpha-main captured',
      'beta-main captured',
      'delta-main captured',
      'delta-second captured',
      'gamma-main captured',
    ]);
  });

  it('loses all its hosts at once, and comes back on two others with nothing missing', async () => {
    for (const host of old) await host.cutPower();
    await clients.stop();
    const [here = operator, there = operator] = others;
    const places = [
      onHost(here, 'alpha-main'),
      onHost(here, 'beta-main', { cluster: 'second', port: 5433 }),
      onHost(there, 'gamma-main'),
      onHost(there, 'delta-main', { cluster: 'second', port: 5433 }),
      onHost(there, 'delta-second', { cluster: 'third', port: 5434 }),
    ];
    for (const cluster of places) makePlace(cluster);
    operator.shell(`stillpoint pki issue orders ${others.map(({ name }) => name).join(' ')}`);
    for (const host of others) {
      const own = places.filter((cluster) => cluster.host === host);
      startAgent(host, own, operator, { issued: 'orders', repository: '/srv/stillpoint' });
    }
    writeGridFile(
      operator,
      'target.yaml',
      others,
      places.map(({ member }) => member),
      {
        issued: 'orders',
        repository: '/srv/stillpoint',
      },
    );
    const maps = old.map((host, index) => `--map ${host.name}=${(index < 2 ? here : there).name}`);
    const said = operator.shell(
      `stillpoint restore loaded --grid target.yaml ${maps.join(' ')} --stop --yes --output json`,
      300_000,
    );
    expect(JSON.parse(said)).to.have.property('verified', true);
    const report = await checkOrder(shardsOf(places.slice(0, 4)), clients.writes, begun);
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
      ).to.include.members([
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
