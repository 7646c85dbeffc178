import { expect } from 'chai';
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, until } from '../lab/processes.ts';
import type { BootedHost } from './lab/booted-host.ts';
import { StandingGrid } from './lab/standing-grid.ts';

// Goal: what the package lays out for systemd does on a host what the handbook says, and its failures reach a person.
// Method: units are started and timers go off on the host where commands are given; the agents are real ones.

/** A unit that works longer than this hangs. */
const UNIT_MS = 60_000;
/** The handbook: an agent takes up new files within a minute. And one command to see it. */
const MINUTE_MS = 65_000;

describe('the units of the package on booted hosts', () => {
  const grid = StandingGrid.forSuite();
  const operator = (): BootedHost => grid().operator;
  const delta = (): BootedHost => grid().lab.host('delta');
  let told: () => string;

  before(() => {
    const folder = operator().path('/etc/stillpoint');
    mkdirSync(folder, { recursive: true });
    operator().shell(
      'cp pki/ca.pem pki/crl.pem pki/coordinator.pem pki/coordinator-key.pem /etc/stillpoint/',
    );
    writeFileSync(
      join(folder, 'orders.yaml'),
      readFileSync(operator().path('/root/grid.yaml'), 'utf8').replaceAll('pki/', ''),
    );
    for (const host of [operator(), delta()]) hearFailures(host);
    told = () => readFileSync(operator().path('/root/told'), 'utf8');
  });

  /** As the handbook says it: a program that is given the unit's name. */
  function hearFailures(host: BootedHost): void {
    const program = host.path('/etc/stillpoint/on-failure');
    writeFileSync(program, '#!/bin/sh\necho "$1" >> /root/told\n');
    chmodSync(program, 0o755);
    writeFileSync(host.path('/root/told'), '');
  }

  function names(): string[] {
    const said = operator().shell('stillpoint checkpoint list --grid grid.yaml --output json');
    const { checkpoints } = JSON.parse(said) as { checkpoints: { checkpoint: string; state: string }[] };
    return checkpoints.map(({ checkpoint, state }) => `${checkpoint.split('_').at(-1)} ${state}`);
  }
  const scheduled = (): number => names().filter((name) => name === 'scheduled valid').length;
  const property = (unit: string, name: string): string =>
    operator().shell(`systemctl show --value -p ${name} ${unit}`).trim();

  it('take a checkpoint, read it again and write metrics when they are started', async () => {
    const before = scheduled();
    await grid().expect(0, 'systemctl start stillpoint-checkpoint@orders.service');
    expect(scheduled()).to.equal(before + 1);
    await grid().expect(0, 'systemctl start stillpoint-verify@orders.service');
    const place = '/etc/systemd/system/stillpoint-metrics.service.d';
    mkdirSync(operator().path(place), { recursive: true });
    mkdirSync(operator().path('/var/lib/prometheus/node-exporter'), { recursive: true });
    writeFileSync(
      operator().path(`${place}/override.conf`),
      '[Service]\nEnvironment=STILLPOINT_REPOSITORY=/srv/stillpoint/repository\n',
    );
    operator().shell('systemctl daemon-reload');
    await grid().expect(0, 'systemctl start stillpoint-metrics.service');
    const text = readFileSync(operator().path('/var/lib/prometheus/node-exporter/stillpoint.prom'), 'utf8');
    const age = /^stillpoint_checkpoint_age_seconds\{[^}]*\} (\S+)$/m.exec(text)?.[1];
    expect(Number(age)).to.be.within(0, 120);
    expect(text).to.match(/^stillpoint_last_verify_damaged_places\{.*\} 0$/m);
    expect(told()).to.equal('');
  });

  it('take one when the timer goes off, as often as its owner has written, else once a day', async () => {
    const timer = 'stillpoint-checkpoint@orders.timer';
    const place = operator().path(`/etc/systemd/system/${timer}.d`);
    const before = scheduled();
    try {
      mkdirSync(place, { recursive: true });
      writeFileSync(
        join(place, 'override.conf'),
        '[Timer]\nOnCalendar=\nOnCalendar=*:*:0/5\nRandomizedDelaySec=0\nAccuracySec=1s\n',
      );
      operator().shell(`systemctl daemon-reload && systemctl enable --quiet --now ${timer}`);
      await until('the timer to go off', () => scheduled() > before, UNIT_MS);
    } finally {
      rmSync(place, { recursive: true, force: true });
      operator().shell(`systemctl daemon-reload && systemctl restart ${timer}`);
    }
    await until(
      'the last run to end',
      () => property('stillpoint-checkpoint@orders.service', 'ActiveState') === 'inactive',
      UNIT_MS,
    );
    const [next = ''] = /\d{4}-\d\d-\d\d \d\d:\d\d/.exec(property(timer, 'NextElapseUSecRealtime')) ?? [];
    expect(next).to.match(/ 00:(0\d|10)$/);
    operator().shell(`systemctl disable --quiet --now ${timer}`);
    expect(told()).to.equal('');
  });

  it('tell a person of a checkpoint that failed, by name, in the log and by the program of the handbook', async () => {
    delta().shell('systemctl stop stillpoint-agent');
    const unit = 'stillpoint-checkpoint@orders.service';
    try {
      const { code } = await operator().begin(`systemctl start ${unit}`);
      expect(code).to.equal(1);
    } finally {
      delta().shell('systemctl start stillpoint-agent');
    }
    expect(property(unit, 'ExecMainStatus')).to.equal('3');
    await until('a person to be told', () => told() === `${unit}\n`, UNIT_MS);
    const log = operator().shell('journalctl -p crit -t stillpoint -o cat');
    expect(log).to.include(`${unit} failed on epsilon`);
    expect(operator().shell(`journalctl -u ${unit} -o cat`))
      .to.include('delta.example')
      .and.include('hint:');
    operator().shell(`systemctl reset-failed ${unit}`);
  });

  it('tell a person of an agent that stays down because a person must mend its file', async () => {
    const file = delta().path('/etc/stillpoint/agent.yaml');
    const right = readFileSync(file, 'utf8');
    try {
      writeFileSync(file, right.replace('grid: orders', 'gird: orders'));
      expect(delta().try('systemctl restart stillpoint-agent').code).to.equal(1);
      const heard = (): string => readFileSync(delta().path('/root/told'), 'utf8');
      await until('a person to be told', () => heard() === 'stillpoint-agent.service\n', UNIT_MS);
      expect(
        delta().shell('systemctl show --value -p ExecMainStatus,ActiveState stillpoint-agent'),
      ).to.include('2\n');
      expect(delta().try('systemctl is-active stillpoint-agent').stdout).to.equal('failed\n');
    } finally {
      writeFileSync(file, right);
      delta().shell('systemctl reset-failed stillpoint-agent; systemctl start stillpoint-agent');
    }
  });

  it('have an agent that serves metrics on loopback of its host alone', async () => {
    const fetched = (address: string): string =>
      delta().shell(
        `/usr/lib/stillpoint/bin/node -e 'fetch("http://${address}:9411/metrics").then(async (r) => console.log(await r.text()), () => console.log("refused"))'`,
      );
    await grid().expect(0, 'stillpoint checkpoint create measured --grid grid.yaml --quiet');
    const text = fetched('127.0.0.1');
    expect(text).to.match(/^stillpoint_agent_member_running\{member="orders-delta"\} 1$/m);
    expect(text).to.match(/^stillpoint_agent_freeze_seconds_count [1-9]/m);
    expect(text).to.match(/^# EOF$/m);
    expect(fetched('delta.example')).to.equal('refused\n');
  });

  it('turn a revoked agent away, and a revoked coordinator, within a minute and without a restart', async () => {
    const { hosts } = grid();
    const pid = delta().shell('systemctl show --value -p MainPID stillpoint-agent');
    const doctor = 'stillpoint grid doctor --grid grid.yaml';
    operator().shell('cp -a pki pki.before');
    try {
      operator().shell('stillpoint pki revoke pki delta.example');
      const agentRevoked = await operator().begin(doctor);
      expect(agentRevoked.code, agentRevoked.stdout + agentRevoked.stderr).to.equal(3);
      expect(agentRevoked.stdout + agentRevoked.stderr)
        .to.include('delta.example')
        .and.match(/revoked/);
      operator().shell('rm -r pki && cp -a pki.before pki && stillpoint pki revoke pki coordinator');
      for (const host of hosts)
        writeFileSync(
          host.path('/etc/stillpoint/crl.pem'),
          readFileSync(operator().path('/root/pki/crl.pem')),
        );
      // Whoever has the thief's key does not use the list.
      operator().shell('sed "s/, crl: [^ ]*//" grid.yaml > thief.yaml');
      const turnedAway = (): number =>
        operator()
          .try('stillpoint grid status --grid thief.yaml --output json')
          .stdout.split('coordinator-certificate').length - 1;
      const began = performance.now();
      await until('every agent to turn the coordinator away', () => turnedAway() >= hosts.length, MINUTE_MS);
      console.log(`      turned away by all after ${Math.round((performance.now() - began) / 1000)} s`);
      const refused = await operator().begin('stillpoint checkpoint create stolen --grid thief.yaml');
      expect(refused.code, refused.stdout + refused.stderr).to.equal(3);
      expect(refused.stderr).to.include('does not accept our certificate').and.to.include('hint:');
    } finally {
      operator().shell('rm -r pki && mv pki.before pki');
      for (const host of hosts) {
        writeFileSync(
          host.path('/etc/stillpoint/crl.pem'),
          readFileSync(operator().path('/root/pki/crl.pem')),
        );
        host.shell('systemctl reload stillpoint-agent');
      }
    }
    await until('the agents to serve again', () => operator().try(doctor).code === 0, UNIT_MS);
    expect(delta().shell('systemctl show --value -p MainPID stillpoint-agent')).to.equal(pid);
  });

  it('are rated at 4.0 at most, and without a word from systemd about how they are written', () => {
    const units = readFileSync(join(ROOT, 'docs/install.md'), 'utf8');
    const files = operator().shell('ls /usr/lib/systemd/system/ | grep ^stillpoint-').trim().split('\n');
    expect(files).to.have.length(10);
    const named = files.map((file) => file.replace('@.', '@orders.'));
    expect(
      operator().try(`systemd-analyze verify --man=no ${named.join(' ')} 2>&1 | grep stillpoint`).stdout,
    ).to.equal('');
    for (const unit of named.filter((name) => name.endsWith('.service'))) {
      const said = operator().shell(`systemd-analyze security --no-pager ${unit} | tail -1`);
      const rate = Number(/exposure level for \S+: ([\d.]+)/.exec(said)?.[1]);
      console.log(`      ${said.trim()}`);
      if (!unit.startsWith('stillpoint-failure')) expect(rate, said).to.be.at.most(4);
      if (unit === 'stillpoint-agent.service') expect(units).to.include(`rates the unit at ${rate}`);
    }
  });
});
