import { expect } from 'chai';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { engineOf } from '../../../agent/engines/registry.ts';
import type { Engine } from '../../../agent/engines/engine.ts';
import {
  readRecord,
  stageOf,
  switchDirectories,
  writeRecord,
} from '../../../agent/engines/restore/directory-switch.ts';
import { mustBeUsable, whyNotActive } from '../../../agent/engines/restore/unit.ts';
import {
  hasProcess,
  startServer,
  stopServer,
} from '../../../agent/engines/postgres/restore/server-process.ts';
import { postgresMemberSchema, type PostgresSettings } from '../../../agent/engines/postgres/settings.ts';
import type { StillpointError } from '../../../shared/domain/errors.ts';
import { FakeSystemctl, giveToServer } from '../../lab/fake-systemctl.ts';
import { until } from '../../lab/processes.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: a member that systemd runs is started, stopped and asked through systemd, and nobody starts it in a restore.
// Method: a systemctl of the test's own, whose unit runs a process in the data directory. Booted hosts: test/hosts.

const NEVER = new AbortController().signal;

describe('a member that systemd runs', () => {
  const folder = temporaryFolder('unit');
  after(() => folder.remove());
  let data: string;
  let systemctl: FakeSystemctl;
  let settings: PostgresSettings;
  let engine: Engine;

  beforeEach(async () => {
    const room = mkdtempSync(join(folder.path, 'member-'));
    data = join(room, 'data');
    mkdirSync(data);
    giveToServer(data);
    systemctl = new FakeSystemctl(join(room, 'bin'), data);
    settings = postgresMemberSchema.parse({
      name: 'aa',
      role: 'node',
      copyset: 'a',
      engine: 'postgres',
      address: '127.0.0.1:1',
      data,
      connection: 'postgresql://x@127.0.0.1:1/postgres',
      unit: 'server@aa',
    });
    engine = await engineOf(settings).create(settings);
  });

  afterEach(() => {
    systemctl.remove();
  });

  async function beginRestore(): Promise<void> {
    const directories = [{ path: data, existed: true }];
    await writeRecord(data, { format: 1, checkpoint: 'c', directories, made: [], unit: 'server@aa.service' });
    mkdirSync(stageOf(data));
    giveToServer(stageOf(data));
    writeFileSync(join(stageOf(data), 'content'), 'new');
  }

  function startOfAnotherPerson(): number | null {
    return spawnSync('systemctl', ['start', '--no-block', 'server@aa.service']).status;
  }

  async function failureOf(
    promise: Promise<unknown>,
  ): Promise<{ code: string; message: string; hint: string }> {
    const error: unknown = await promise.then(
      () => null,
      (reason: unknown) => reason,
    );
    return (error as StillpointError).failure;
  }

  it('is started, asked and stopped through systemd, and no job is waited for that may never end', async () => {
    expect(await engine.isRunning()).to.equal(false);
    await startServer(settings, NEVER);
    await until('the server', () => hasProcess(settings));
    expect(await engine.isRunning()).to.equal(true);
    await engine.stop(NEVER);
    expect(await engine.isRunning()).to.equal(false);
    expect(systemctl.calls()).to.deep.equal(['unmask', 'reset-failed', 'start', 'stop']);
  });

  it('is waited for until systemd counts its start as done, and is told of when systemd does not', async () => {
    const unit = { name: 'aa', unit: 'server@aa.service' };
    await startServer(settings, NEVER);
    await until('the server', () => hasProcess(settings));
    systemctl.say('active', 'activating');
    expect(await whyNotActive(unit, 200)).to.match(/aa does its work, .*server@aa.service: activating/);
    const settled = whyNotActive(unit, 10_000);
    systemctl.say('active', 'active');
    expect(await settled).to.equal(null);
    await engine.stop(NEVER);
    expect(await whyNotActive(unit, 10_000)).to.contain('inactive');
  });

  it('is not masked by a stop that no restore asked for', async () => {
    await startServer(settings, NEVER);
    await until('the server', () => hasProcess(settings));
    await engine.stop(NEVER);
    expect(systemctl.isMasked()).to.equal(false);
  });

  it('is started by nobody from the stop of a restore to its end', async () => {
    await startServer(settings, NEVER);
    await until('the server', () => hasProcess(settings));
    await beginRestore();
    await engine.stop(NEVER);
    expect(systemctl.isMasked()).to.equal(true);
    expect(startOfAnotherPerson()).to.equal(1);
    expect(await engine.isRunning()).to.equal(false);
  });

  it('may be started again when a restore has gone back, also by an agent that knows only what is on disk', async () => {
    await beginRestore();
    await engine.stop(NEVER);
    await switchDirectories((await readRecord(data)) ?? expect.fail());
    const later = await engineOf(settings).create({ ...settings, unit: 'renamed.service' });
    await later.recoverRestore('rolledBack', true);
    expect(systemctl.isMasked()).to.equal(false);
    expect(await readRecord(data)).to.equal(null);
    expect(startOfAnotherPerson()).to.equal(0);
  });

  it('is started by the restore that has held it', async () => {
    await beginRestore();
    await engine.stop(NEVER);
    await startServer(settings, NEVER);
    await until('the server', () => hasProcess(settings));
    expect(systemctl.isMasked()).to.equal(false);
  });

  it('is ended in a roll-back although systemd does not stop it', async () => {
    writeFileSync(join(data, 'content'), 'old');
    await beginRestore();
    await switchDirectories((await readRecord(data)) ?? expect.fail());
    await startServer(settings, NEVER);
    await until('the server', () => hasProcess(settings));
    systemctl.say('refuse', 'stop');
    const pid = Number(readFileSync(join(data, 'postmaster.pid'), 'utf8'));
    await engine.recoverRestore('rolledBack', true);
    await until('its process to be gone', () => !existsSync(`/proc/${pid}`));
    expect(readFileSync(join(data, 'content'), 'utf8')).to.equal('old');
    expect(systemctl.isMasked()).to.equal(false);
  });

  it('whose process is not in its unit is refused, before systemd is told to stop what it does not run', async () => {
    const other = spawn('sleep', ['1000'], { cwd: data, stdio: 'ignore' });
    try {
      writeFileSync(join(data, 'postmaster.pid'), `${other.pid}\n`);
      systemctl.say('group', '/system.slice/server@aa.service');
      const failure = await failureOf(
        mustBeUsable({ name: 'aa', unit: 'server@aa.service' }, other.pid ?? 0),
      );
      expect(failure).to.include({ code: 'unit-unusable' });
      expect(failure.message).to.include(`process ${other.pid}), and not in server@aa.service`);
    } finally {
      other.kill('SIGKILL');
    }
  });

  for (const [what, value, message, hint] of [
    ['load', 'not-found', 'cannot load server@aa.service', 'correct unit'],
    ['load', 'masked', 'is masked', 'systemctl unmask server@aa.service'],
    [
      'file',
      '/etc/systemd/system/server@aa.service',
      'cannot be kept from starting',
      '/usr/local/lib/systemd/system/',
    ],
    ['id', 'real.service', 'is another name of real.service', 'write unit: real.service'],
  ] as const) {
    it(`whose unit has ${what} ${value} is refused before anything is touched`, async () => {
      systemctl.say(what, value);
      const failure = await failureOf(mustBeUsable({ name: 'aa', unit: 'server@aa.service' }, null));
      expect(failure.code).to.equal('unit-unusable');
      expect(failure.message).to.include(message);
      expect(failure.hint).to.include(hint);
      expect(systemctl.calls()).to.deep.equal([]);
    });
  }

  it('says what systemd said when it refuses', async () => {
    await startServer(settings, NEVER);
    await until('the server', () => hasProcess(settings));
    systemctl.say('refuse', 'stop');
    const failure = await failureOf(stopServer(settings, NEVER));
    expect(failure.code).to.equal('systemctl-failed');
    expect(failure.message).to.include('Access denied');
  });
});
