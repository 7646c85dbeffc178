import { expect } from 'chai';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { until } from '../lab/processes.ts';
import type { BootedHost } from './lab/booted-host.ts';
import { commits } from './lab/commits.ts';
import { installStillpoint } from './lab/install.ts';
import { onHost, startAgent, writeGridFile, type ClusterOnHost } from './lab/shards-on-hosts.ts';
import { StandingGrid } from './lab/standing-grid.ts';

// Goal: a drill by the clock's unit, on hosts beside a grid that lives on, and with nothing left of that grid but its
// repository: its report says what a person wants to know, its failure reaches them, and nothing of it stays.

const UNIT = 'stillpoint-drill@drill.service';
const DRILL_MS = 180_000;

describe('a drill on booted hosts', function () {
  this.bail(true);
  const grid = StandingGrid.forSuite();
  let places: ClusterOnHost[];
  let gridFile: string;
  let asWritten: string;
  const operator = (): BootedHost => grid().operator;

  before(async () => {
    const zeta = grid().lab.host('zeta');
    await grid().lab.up(() => undefined, ['zeta']);
    await installStillpoint([zeta], () => undefined);
    // Other names, other directories, other ports than whatever lives there.
    places = grid().clusters.map(({ member }, index) =>
      onHost(index % 2 === 0 ? operator() : zeta, member, { cluster: `drill${index}`, port: 6001 + index }),
    );
    operator().shell('stillpoint pki issue pki epsilon.example zeta.example');
    for (const host of [operator(), zeta]) {
      const here = places.filter((place) => place.host === host);
      startAgent(host, here, operator(), { more: ['drill: true'] });
    }
    const members = places.map(({ member }) => member);
    writeGridFile(operator(), 'drill.yaml', [operator(), zeta], members);
    operator().shell('cp -r drill.yaml pki /etc/stillpoint/');
    gridFile = operator().path('/etc/stillpoint/drill.yaml');
    asWritten = readFileSync(gridFile, 'utf8');
    const program = operator().path('/etc/stillpoint/on-failure');
    writeFileSync(program, '#!/bin/sh\necho "$1" >> /root/told-of-drills\n', { mode: 0o755 });
    await Promise.all(grid().clusters.map((cluster) => commits(cluster, 10_000)));
    await grid().expect(0, 'stillpoint checkpoint create for-drills --grid grid.yaml --output json');
  });

  interface Report {
    readonly outcome: string;
    readonly exitCode: number;
    readonly rtoMs: number | null;
    readonly checks: readonly { readonly name: string; readonly passed: boolean }[];
    readonly hosts: readonly { readonly host: string }[];
    readonly left: readonly unknown[];
  }

  /** What the grid's repository keeps of the last one. */
  function lastReport(): Report {
    const folder = '/srv/stillpoint/repository/grids/orders/drills';
    return JSON.parse(operator().shell(`cat "$(ls -t ${folder}/*.json | head -1)"`)) as Report;
  }

  function check(...lines: readonly string[]): void {
    writeFileSync(gridFile, asWritten);
    appendFileSync(gridFile, `drill:\n  checks:\n${lines.map((line) => `    - ${line}\n`).join('')}`);
  }

  const ROWS =
    "{ name: writes are there, member: orders-alpha, sql: 'SELECT count(*) FROM causal', expect: { atLeast: 1 } }";

  function nothingIsLeft(): void {
    for (const { host, cluster } of places) {
      expect(existsSync(host.path(`/var/lib/postgresql/15/${cluster}`)), cluster).to.equal(false);
      expect(existsSync(host.path(`/etc/postgresql/15/${cluster}`)), cluster).to.equal(false);
      expect(host.shell('ls /var/lib/stillpoint/restores')).to.equal('');
      expect(host.try(`systemctl is-active postgresql@15-main`).stdout.trim()).to.equal('active');
    }
  }

  async function run(): Promise<{ readonly code: number | null; readonly said: string }> {
    const cursor = operator()
      .shell('journalctl -n 0 --show-cursor -o cat')
      .replace(/^-- cursor: /, '')
      .trim();
    const { code } = await operator().begin(`timeout ${DRILL_MS / 1000} systemctl start ${UNIT}`);
    return { code, said: operator().shell(`journalctl -u ${UNIT} -o cat --after-cursor '${cursor}'`) };
  }

  it('passes beside the grid that lives on, with a report and a page, and leaves nothing', async () => {
    check(ROWS, '{ name: tool, command: [sh, -c, "echo $STILLPOINT_GRID_NAME"], expect: orders }');
    const { code, said } = await run();
    expect(code, said).to.equal(0);
    const { outcome, checks, hosts, left, rtoMs } = lastReport();
    expect({ outcome, left }).to.deep.equal({ outcome: 'passed', left: [] });
    expect(checks.map(({ name, passed }) => `${name}: ${passed}`)).to.deep.equal([
      'writes are there: true',
      'tool: true',
    ]);
    expect(hosts.map(({ host }) => host)).to.have.members(['epsilon.example', 'zeta.example']);
    expect(rtoMs).to.be.greaterThan(0);
    const page = readFileSync(operator().path('/var/lib/stillpoint-drills/drill.html'), 'utf8');
    expect(page).to.include('A person could have gone live on it.').and.include('zeta.example');
    nothingIsLeft();
    await Promise.all(grid().clusters.map((cluster) => commits(cluster, 10_000)));
  });

  it('fails where a check of its operator does, and a person is told', async () => {
    check(
      "{ name: too many, member: orders-alpha, sql: 'SELECT count(*) FROM causal', expect: { atLeast: 1000000000 } }",
    );
    const { code, said } = await run();
    expect(code, said).to.equal(1);
    expect(operator().shell(`systemctl show --value -p ExecMainStatus ${UNIT}`)).to.equal('6\n');
    expect(lastReport()).to.include({ outcome: 'failed', exitCode: 6 });
    const told = operator().path('/root/told-of-drills');
    await until(
      'a person to be told',
      () => existsSync(told) && readFileSync(told, 'utf8') === `${UNIT}\n`,
      30_000,
    );
    operator().shell(`systemctl reset-failed ${UNIT}`);
    nothingIsLeft();
  });

  it('passes when all hosts of the grid have lost their power for good', async () => {
    for (const host of grid().hosts) await host.cutPower();
    check(ROWS);
    const { code, said } = await run();
    expect(code, said).to.equal(0);
    console.log(said.replaceAll(/^/gm, '      '));
    expect(lastReport()).to.deep.include({ outcome: 'passed', left: [] });
    nothingIsLeft();
  });
});
