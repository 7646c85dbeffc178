import { expect } from 'chai';
import type { Hooks } from '../lab/hooks.ts';
import { until } from '../lab/processes.ts';
import type { BootedHost, Done } from './lab/booted-host.ts';
import { commits } from './lab/commits.ts';
import { runOutOfMemory } from './lab/memory.ts';
import { StandingGrid } from './lab/standing-grid.ts';

// Goal: whatever happens to a host or its agent in the worst moment, commits return and servers can be started.
// Method: agents that wait at a moment (shared/runtime/hooks.ts); power and systemd do the rest.

/** From the moment that a host is up, or its agent killed. */
const SECONDS_MS = 15_000;
const IS_UP = 'systemctl is-active stillpoint-agent';

describe('a grid on booted hosts', function () {
  this.bail(true);
  const standing = StandingGrid.forSuite();
  let grid: StandingGrid;
  let alpha: BootedHost;
  let beta: BootedHost;
  let operator: BootedHost;
  let hooks: Hooks;

  before(() => {
    grid = standing();
    [alpha, beta] = [grid.lab.host('alpha'), grid.lab.host('beta')];
    operator = grid.operator;
    hooks = grid.hooks(alpha);
  });

  const commitsOnAlpha = (): Promise<number> => commits(grid.cluster('orders-alpha'), SECONDS_MS);

  /** Begins a checkpoint, and resolves when alpha is fenced and stays so. */
  async function holdInTheWindow(name: string): Promise<{ readonly ended: Promise<Done> }> {
    hooks.hold('fenced', 'orders-alpha');
    const before = hooks.timesReached('fenced', 'orders-alpha');
    const ended = operator.begin(`stillpoint checkpoint create ${name} --grid grid.yaml --output json`);
    await until('alpha to be fenced', () => hooks.timesReached('fenced', 'orders-alpha') > before, 60_000);
    return { ended };
  }

  async function isWhole(checkpoint: string): Promise<void> {
    const { code, stderr } = await operator.begin(
      `stillpoint checkpoint create ${checkpoint} --grid grid.yaml --output json`,
    );
    expect(code, stderr).to.equal(0);
  }

  it('has commits again seconds after the boot of a host whose power was cut in the window', async () => {
    const before = await grid.verified();
    const { ended } = await holdInTheWindow('cut');
    await alpha.cutPower();
    hooks.release('fenced', 'orders-alpha');
    await grid.lab.boot(alpha);
    await commitsOnAlpha();
    const { code, stdout, stderr } = await ended;
    expect(code, stdout + stderr).to.be.oneOf([4, 5]);
    expect(await grid.verified()).to.deep.equal(before);
    await isWhole('after-the-cut');
  });

  it('@short has commits again seconds after the whole unit of an agent was killed in the window', async () => {
    const before = await grid.verified();
    const { ended } = await holdInTheWindow('killed');
    hooks.release('fenced', 'orders-alpha');
    alpha.shell('systemctl kill -s KILL stillpoint-agent');
    await commitsOnAlpha();
    const { code, stdout, stderr } = await ended;
    expect(code, stdout + stderr).to.be.oneOf([4, 5]);
    expect(await grid.verified()).to.deep.equal(before);
    await isWhole('after-the-kill');
  });

  it('has commits again seconds after the kernel killed an agent in the window for want of memory', async () => {
    const before = await grid.verified();
    const { ended } = await holdInTheWindow('starved');
    await runOutOfMemory(alpha, 'stillpoint-agent');
    await commitsOnAlpha();
    hooks.release('fenced', 'orders-alpha');
    const { code, stdout, stderr } = await ended;
    expect(code, stdout + stderr).to.be.oneOf([4, 5]);
    expect(await grid.verified()).to.deep.equal(before);
    await until('the next agent to serve', () => alpha.try(IS_UP).code === 0, 60_000);
    expect(alpha.shell('journalctl -u stillpoint-agent -o cat')).to.include('code=killed, status=9/KILL');
    await isWhole('after-the-hunger');
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
    await commitsOnAlpha();
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
    for (const { host, cluster } of grid.clusters) host.shell(`systemctl start postgresql@15-${cluster}`);
    await commitsOnAlpha();
  });

  function masked(host: BootedHost): string {
    return host.try('systemctl list-unit-files --plain --no-legend --state=masked-runtime').stdout;
  }

  function expectRunning(...units: readonly (readonly [host: string, cluster: string])[]): void {
    for (const [short, cluster] of units) {
      const host = grid.lab.host(short);
      expect(host.try(`systemctl is-active postgresql@15-${cluster}`).stdout.trim()).to.equal('active');
      expect(masked(host)).to.equal('');
    }
  }
});
