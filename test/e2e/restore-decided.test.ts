import { expect } from 'chai';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import type { RestoreReport } from '../../coordinator/reports.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { Hooks } from '../lab/hooks.ts';
import { until, type Finished } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { oldOf } from '../../agent/engines/restore/directory-switch.ts';

// Goal: a restore opens the grid when it is decided, and not before; and what was decided is carried out, whoever dies.

const JSON_OUTPUT = ['--output', 'json', '--quiet'];
const RESTORE = ['restore', 'good', '--stop', '--yes', ...JSON_OUTPUT];

describe('the decision of a restore', function () {
  this.timeout(300_000);
  const folder = temporaryFolder('hooks');
  const hooks = new Hooks(`${folder.path}/hooks`);
  let grid: TestGrid;

  before(async () => {
    grid = await createGrid({
      version: '15',
      hosts: ['127.0.44.1', '127.0.44.2'],
      copysets: [
        { name: 'a', hosts: [0] },
        { name: 'b', hosts: [1] },
      ],
      settings: ['max_prepared_transactions = 10'],
      leaseSeconds: 2,
      env: hooks.env,
    });
    for (const { server } of grid.members) await server.query('CREATE TABLE t AS SELECT 1 AS x');
    hooks.hold('prepared');
    const command = grid.begin(['checkpoint', 'create', 'good', ...JSON_OUTPUT]);
    for (const { name } of grid.members) await hooks.reachedBy(command, 'prepared', name);
    for (const { server } of grid.members)
      await server.query("BEGIN; INSERT INTO t VALUES (7); PREPARE TRANSACTION 'both'");
    await grid.member('ba').server.query("COMMIT PREPARED 'both'");
    hooks.reset();
    const created = await command.finished;
    expect(created.code, created.stdout).to.equal(0);
    for (const { server } of grid.members) await server.query('INSERT INTO t VALUES (100)');
  });

  beforeEach(async () => {
    hooks.reset();
    for (const { server } of grid.members) if (server.postmasterPid() === null) await server.start();
  });

  after(async () => {
    hooks.reset();
    await grid?.close();
    folder.remove();
  });

  const rows = async (name: string): Promise<number[]> =>
    (await grid.member(name).server.query<{ x: number }>('SELECT x FROM t ORDER BY x')).map(({ x }) => x);
  const failureOf = ({ stdout }: Pick<Finished, 'stdout'>): { code: string; message: string; hint: string } =>
    (JSON.parse(stdout) as { error: { code: string; message: string; hint: string } }).error;
  const nothingLeft = (): Promise<void> =>
    until(
      'nothing of the restore to be left on a host',
      () =>
        grid.members.every(
          ({ server }) => !readdirSync(join(server.data, '..')).some((name) => name.includes('stillpoint')),
        ),
      30_000,
    );

  it('is refused before anything is stopped where an earlier restore left something', async () => {
    const left = oldOf(grid.member('ba').server.data);
    mkdirSync(left, { recursive: true });
    try {
      for (const args of [RESTORE, ['restore', 'good', '--dry-run', ...JSON_OUTPUT]]) {
        const refused = await grid.run(args);
        expect(refused.code, refused.stdout).to.equal(3);
        expect(failureOf(refused)).to.include({ code: 'restore-unfinished', member: 'ba', phase: 'plan' });
        expect(failureOf(refused).message).to.include(left);
      }
      expect(await rows('aa')).to.deep.equal([1, 100]);
    } finally {
      rmSync(dirname(left), { recursive: true });
    }
  });

  it('lets nobody in before it, neither a client nor a host that boots; and is not made without an agent that holds a part', async () => {
    const { server } = grid.member('aa');
    hooks.hold('deciding');
    const command = grid.begin(RESTORE);
    await hooks.reachedBy(command, 'deciding');
    expect(await server.connect().catch(() => 'nobody answers')).to.equal('nobody answers');
    expect(await server.start().catch(() => 'it does not start')).to.equal('it does not start');
    await grid.killAgent(1);
    hooks.reset();
    const ended = await command.finished;
    expect(ended.code, ended.stdout).to.equal(7);
    await grid.startAgent(1);
    await nothingLeft();
    for (const { server: old } of grid.members) await old.start();
    expect([await rows('aa'), await rows('ba')]).to.deep.equal([
      [1, 100],
      [1, 7, 100],
    ]);
  });

  it('is nobody’s to guess while the repository is away: exit 8, and the agents go on asking', async () => {
    hooks.hold('deciding');
    const command = grid.begin(['restore', 'good', '--stop', '--yes', '--output', 'json']);
    await hooks.reachedBy(command, 'deciding');
    const restores = join(grid.repository, 'grids', grid.name, 'restores');
    renameSync(restores, `${restores}-away`);
    hooks.reset();
    await until('the command to wait', () => command.stderr().includes('waiting for the repository'));
    command.signal('SIGINT');
    command.signal('SIGINT');
    const { code, stdout } = await command.finished;
    expect(code, stdout).to.equal(8);
    const { code: failed, hint } = failureOf({ stdout });
    expect(failed).to.equal('restore-undecided');
    const restoreId = /--finish (\S+)/.exec(hint)?.[1] ?? '';
    for (const { server } of grid.members) expect(existsSync(oldOf(server.data))).to.equal(true);
    const finish = ['restore', '--finish', restoreId, '--yes', ...JSON_OUTPUT];
    expect((await grid.run(finish)).code).to.equal(8);
    rmSync(restores, { recursive: true, force: true });
    renameSync(`${restores}-away`, restores);
    const finished = await grid.run(finish);
    expect(finished.code, finished.stdout).to.equal(0);
    expect(finished.json).to.include({ outcome: 'rolledBack', restore: restoreId });
    await nothingLeft();
  });

  it('is carried out by the agents when the command is killed right after it: opened, and with what was committed elsewhere', async () => {
    hooks.hold('decided');
    const command = grid.begin(RESTORE);
    await hooks.reachedBy(command, 'decided');
    command.signal('SIGKILL');
    await command.finished;
    hooks.reset();
    await nothingLeft();
    expect([await rows('aa'), await rows('ba')]).to.deep.equal([
      [1, 7],
      [1, 7],
    ]);
    const left = await grid.member('aa').server.query('SELECT gid FROM pg_prepared_xacts');
    expect(left).to.deep.equal([]);
  });

  it('stands when a member cannot be started after it: exit 6, and --finish opens it when its port is free', async () => {
    const { server } = grid.member('ba');
    hooks.hold('decided');
    const command = grid.begin(RESTORE);
    await hooks.reachedBy(command, 'decided');
    const taker = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => taker.listen(server.port, server.host, resolve));
    hooks.reset();
    const ended = await command.finished;
    expect(ended.code, ended.stdout).to.equal(6);
    expect(failureOf(ended)).to.include({ code: 'restored-not-open', member: 'ba' });
    expect(await rows('aa')).to.deep.equal([1, 7]);
    await new Promise((resolve) => taker.close(resolve));
    const restoreId = /--finish (\S+)/.exec(failureOf(ended).hint)?.[1] ?? '';
    const finished = await grid.run(['restore', '--finish', restoreId, '--yes', ...JSON_OUTPUT]);
    expect(finished.code, finished.stdout).to.equal(0);
    expect(await rows('ba')).to.deep.equal([1, 7]);
    await nothingLeft();
  });

  it('does not hang on a pg_hba.conf that turns the agent away: it is told which lines are missing', async () => {
    const { server } = grid.member('aa');
    hooks.hold('decided');
    const command = grid.begin(RESTORE);
    await hooks.reachedBy(command, 'decided');
    // As it came from hosts with other addresses.
    writeFileSync(join(server.data, 'pg_hba.conf'), 'host all postgres 127.0.0.0/8 trust\n');
    hooks.reset();
    const restored = await command.finished;
    expect(restored.code, restored.stdout).to.equal(0);
    const { warnings } = JSON.parse(restored.stdout) as RestoreReport;
    expect(warnings.join())
      .to.include('does not let the agent in')
      .and.include('host replication stillpoint');
    expect(await rows('aa')).to.deep.equal([1, 7]);
  });
});
