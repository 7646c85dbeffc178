import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { commitsOn } from '../lab/commits.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { Hooks } from '../lab/hooks.ts';
import { until, type RunningCommand } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: a server that lets nobody change its settings is captured with a standing fence, and restored; and whatever of ours
// dies while it is frozen, its commits go on, also with nobody left of ours.

const NAMES = 'FIRST 1 (stillpoint, ab)';
const JSON_OUTPUT = ['--output', 'json', '--quiet'];

describe('a grid whose server lets nobody change its settings', () => {
  const folder = temporaryFolder('standing');
  const hooks = new Hooks(join(folder.path, 'hooks'));
  let grid: TestGrid;

  before(async () => {
    grid = await createGrid({
      hosts: ['127.0.45.31'],
      copysets: [{ name: 'a', hosts: [0, 0] }],
      settings: ['allow_alter_system = off'],
      memberLines: () => ['fence: standing'],
      env: hooks.env,
    });
    const { server } = grid.member('aa');
    server.configure([`synchronous_standby_names = '${NAMES}'`]);
    await server.query('SELECT pg_reload_conf()');
    await server.query('CREATE TABLE t AS SELECT 1 AS x');
  });

  afterEach(async () => {
    hooks.reset();
    if (grid.agents[0] === null) await grid.startAgent(0);
  });

  after(async () => {
    hooks.reset();
    await grid?.close();
    folder.remove();
  });

  async function frozen(): Promise<RunningCommand> {
    hooks.hold('marked', 'aa');
    const command = grid.begin(['checkpoint', 'create', 'bad', ...JSON_OUTPUT]);
    await hooks.reachedBy(command, 'marked', 'aa');
    return command;
  }

  /** With nothing behind it that would write: as quiet as a server can be. */
  function oneCommit(): Promise<unknown> {
    return grid.member('aa').server.query('INSERT INTO t VALUES (3)');
  }

  async function returnsWithin(commit: Promise<unknown>, limitMs: number): Promise<void> {
    let returned = false;
    void commit.then(() => (returned = true));
    await until('the commit to return', () => returned, limitMs);
    await until('the server to commit', () => commitsOn(grid.primaries, NAMES), 4000);
  }

  async function expectAborted(command: RunningCommand): Promise<void> {
    hooks.reset();
    if (grid.agents[0] === null) await grid.startAgent(0);
    const { code, stdout } = await command.finished;
    expect(code, stdout).to.equal(4);
    await grid.expectUntouched(NAMES);
  }

  it('is found sound, captured and restored, with its list as it was', async () => {
    const auto = join(grid.member('aa').server.data, 'postgresql.auto.conf');
    const before = readFileSync(auto, 'utf8');
    const doctor = await grid.run(['grid', 'doctor', ...JSON_OUTPUT]);
    const created = await grid.run(['checkpoint', 'create', 'one', ...JSON_OUTPUT]);

    expect(doctor.code, doctor.stdout).to.equal(0);
    expect(created.code, created.stdout).to.equal(0);
    expect(readFileSync(auto, 'utf8')).to.equal(before);
    await grid.expectUntouched(NAMES);

    await grid.member('aa').server.query('INSERT INTO t VALUES (2)');
    const restored = await grid.run(['restore', 'one', '--yes', '--stop', ...JSON_OUTPUT]);
    expect(restored.code, restored.stdout).to.equal(0);
    await grid.expectUntouched(NAMES);
    for (const name of ['aa', 'ab'])
      expect(await grid.member(name).server.query('SELECT x FROM t')).to.deep.equal([{ x: 1 }]);
  });

  it('goes on within a second or two when the agent is killed in the window, and its guard is there', async () => {
    const command = await frozen();
    const waiting = oneCommit();
    await grid.killAgent(0);
    await returnsWithin(waiting, 4000);
    await expectAborted(command);
  });

  it('goes on when agent and guard are killed in the window, with nobody of ours left', async () => {
    const command = await frozen();
    const waiting = oneCommit();
    grid.killGuard(0);
    await grid.killAgent(0);
    // The standby that has our place says something every ten seconds, if nothing else makes it.
    await returnsWithin(waiting, 12_000);
    await expectAborted(command);
  });

  it('goes on when the agent is stopped and its guard is killed in the window: the server drops who says nothing', async () => {
    const command = await frozen();
    const waiting = oneCommit();
    grid.killGuard(0);
    grid.agents[0]?.signal('SIGSTOP');
    await returnsWithin(waiting, 35_000);
    grid.agents[0]?.signal('SIGCONT');
    await expectAborted(command);
  });

  it('is captured again after all that', async () => {
    const created = await grid.run(['checkpoint', 'create', 'two', ...JSON_OUTPUT]);
    expect(created.code, created.stdout).to.equal(0);
    await grid.expectUntouched(NAMES);
  });
});
