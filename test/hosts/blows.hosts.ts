import { expect } from 'chai';
import { mkdirSync, writeFileSync } from 'node:fs';
import { Client } from 'pg';
import { Hooks } from '../lab/hooks.ts';
import { until } from '../lab/processes.ts';
import type { BootedHost, Done } from './lab/booted-host.ts';
import { down, HostsLab } from './lab/hosts-lab.ts';
import { installStillpoint } from './lab/install.ts';
import {
  BY_DEBIAN,
  BY_SYSTEMCTL,
  makeCertificates,
  onHost,
  prepareServer,
  startAgent,
  urlOf,
  writeGridFile,
} from './lab/shards-on-hosts.ts';

// Goal: whatever happens to a host or its agent in the worst moment, commits return and servers can be started.
// Method: agents that wait at a moment (shared/runtime/hooks.ts); power and systemd do the rest.

/** From the moment that a host is up, or its agent killed. */
const SECONDS_MS = 15_000;

describe('a grid on booted hosts', function () {
  this.bail(true);
  const lab = new HostsLab();
  const say = (): void => undefined;
  const [alpha, beta, operator] = ['alpha', 'beta', 'epsilon'].map((short) => lab.host(short)) as [
    BootedHost,
    BootedHost,
    BootedHost,
  ];
  const clusters = [
    onHost(alpha, 'orders-alpha'),
    onHost(beta, 'orders-beta'),
    onHost(beta, 'orders-second', { cluster: 'second', port: 5433, supervision: BY_SYSTEMCTL }),
    onHost(beta, 'orders-third', { cluster: 'third', port: 5434, supervision: BY_DEBIAN }),
  ];
  let hooks: Hooks;

  before(async () => {
    await down();
    await lab.up(say, ['alpha', 'beta', 'epsilon']);
    for (const host of lab.hosts()) installStillpoint(host, say);
    makeCertificates(operator, [alpha, beta]);
    for (const cluster of clusters) prepareServer(cluster);
    const unit = alpha.path('/etc/systemd/system/stillpoint-agent.service.d');
    mkdirSync(unit, { recursive: true });
    writeFileSync(`${unit}/hooks.conf`, '[Service]\nEnvironment=STILLPOINT_HOOKS=/var/lib/hooks\n');
    hooks = new Hooks(alpha.path('/var/lib/hooks'));
    alpha.shell('systemctl daemon-reload');
    for (const host of [alpha, beta]) {
      const here = clusters.filter((cluster) => cluster.host === host);
      startAgent(host, here, operator);
    }
    writeGridFile(
      operator,
      'grid.yaml',
      [alpha, beta],
      clusters.map(({ member }) => member),
    );
    operator.shell('stillpoint repository init --grid grid.yaml');
  });

  after(() => down());

  /** How long a commit takes to return on alpha, tried anew until it does. */
  async function commits(limitMs: number): Promise<number> {
    const began = performance.now();
    for (let number = 0; performance.now() - began < limitMs; number += 1) {
      const client = new Client({
        connectionString: urlOf(clusters[0] ?? expect.fail()),
        connectionTimeoutMillis: 1000,
        query_timeout: 2000,
      });
      client.on('error', () => undefined);
      try {
        await client.connect();
        await client.query('INSERT INTO causal VALUES ($1, $2)', [Date.now() % 1e9, number]);
        return performance.now() - began;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 100));
      } finally {
        client.end().catch(() => undefined);
      }
    }
    throw new Error(`no commit returns in ${limitMs / 1000} s`);
  }

  /** Begins a checkpoint, and resolves when alpha is fenced and stays so. */
  async function holdInTheWindow(name: string): Promise<{ readonly ended: Promise<Done> }> {
    hooks.hold('fenced', 'orders-alpha');
    const before = hooks.timesReached('fenced', 'orders-alpha');
    const ended = operator.begin(`stillpoint checkpoint create ${name} --grid grid.yaml --output json`);
    await until('alpha to be fenced', () => hooks.timesReached('fenced', 'orders-alpha') > before, 60_000);
    return { ended };
  }

  function checkpoints(): string[] {
    const said = operator.shell('stillpoint checkpoint list --grid grid.yaml --output json');
    return (JSON.parse(said) as { checkpoints: { state: string }[] }).checkpoints.map(({ state }) => state);
  }

  async function isWhole(checkpoint: string): Promise<void> {
    const { code, stderr } = await operator.begin(
      `stillpoint checkpoint create ${checkpoint} --grid grid.yaml --output json`,
    );
    expect(code, stderr).to.equal(0);
  }

  it('has commits again seconds after the boot of a host whose power was cut in the window', async () => {
    const { ended } = await holdInTheWindow('cut');
    await alpha.cutPower();
    hooks.release('fenced', 'orders-alpha');
    await lab.boot(alpha);
    await commits(SECONDS_MS);
    const { code, stdout, stderr } = await ended;
    expect(code, stdout + stderr).to.be.oneOf([4, 5]);
    expect(checkpoints()).to.deep.equal([]);
    await isWhole('after-the-cut');
  });

  it('has commits again seconds after the whole unit of an agent was killed in the window', async () => {
    const { ended } = await holdInTheWindow('killed');
    hooks.release('fenced', 'orders-alpha');
    alpha.shell('systemctl kill -s KILL stillpoint-agent');
    await commits(SECONDS_MS);
    const { code, stdout, stderr } = await ended;
    expect(code, stdout + stderr).to.be.oneOf([4, 5]);
    expect(checkpoints()).to.deep.equal(['valid']);
    await isWhole('after-the-kill');
  });

  it('has a server that nobody can start while a restore has its directory', async () => {
    hooks.hold('switched', 'orders-alpha');
    const restore = operator.begin(
      'stillpoint restore after-the-cut --grid grid.yaml --stop --yes --output json',
    );
    await until('alpha to be switched', () => hooks.hasReached('switched', 'orders-alpha'), 180_000);
    for (const start of ['systemctl start postgresql@15-main', 'pg_ctlcluster 15 main start']) {
      const { code, stderr } = alpha.try(start);
      expect(code, start).not.to.equal(0);
      expect(stderr).to.include('masked');
    }
    hooks.release('switched', 'orders-alpha');
    const { code, stdout, stderr } = await restore;
    expect(code, stdout + stderr).to.equal(0);
    await commits(SECONDS_MS);
    expectRunning(['alpha', 'main'], ['beta', 'main'], ['beta', 'second']);
  });

  it('has old servers that can be started when an agent was killed in a restore', async () => {
    hooks.hold('switched', 'orders-alpha');
    const before = hooks.timesReached('switched', 'orders-alpha');
    const restore = operator.begin(
      'stillpoint restore after-the-cut --grid grid.yaml --stop --yes --output json',
    );
    await until(
      'alpha to be switched',
      () => hooks.timesReached('switched', 'orders-alpha') > before,
      180_000,
    );
    hooks.release('switched', 'orders-alpha');
    alpha.shell('systemctl kill -s KILL stillpoint-agent');
    const { code, stdout, stderr } = await restore;
    expect(code, stdout + stderr).to.equal(7);
    await until('the mask to go', () => masked(alpha) === '', 60_000);
    expect(masked(beta)).to.equal('');
    for (const host of [alpha, beta]) host.shell('systemctl start postgresql@15-main');
    await commits(SECONDS_MS);
  });

  function masked(host: BootedHost): string {
    return host.try('systemctl list-unit-files --plain --no-legend --state=masked-runtime').stdout;
  }

  function expectRunning(...units: readonly (readonly [host: string, cluster: string])[]): void {
    for (const [short, cluster] of units) {
      const host = lab.host(short);
      expect(host.try(`systemctl is-active postgresql@15-${cluster}`).stdout.trim()).to.equal('active');
      expect(masked(host)).to.equal('');
    }
  }
});
