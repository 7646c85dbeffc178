import { expect } from 'chai';
import type { CheckpointReport } from '../../coordinator/reports.ts';
import type { Failure } from '../../shared/domain/errors.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { Hooks } from '../lab/hooks.ts';
import { until } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: a failover in the freeze never becomes part of a checkpoint, holds nobody, and leaves a grid of which
// the next checkpoint can be taken as soon as it has one primary again.
// Method: a hot standby is promoted while all members are frozen: beside its primary, and after its death.

const JSON_OUTPUT = ['--output', 'json', '--quiet'];

describe('a checkpoint in whose freeze a hot standby is promoted', () => {
  const folder = temporaryFolder('hooks');
  const hooks = new Hooks(`${folder.path}/hooks`);
  let grid: TestGrid;

  beforeEach(async () => {
    hooks.reset();
    grid = await createGrid({
      hosts: ['127.0.45.1', '127.0.45.2'],
      copysets: [
        { name: 'a', hosts: [0, 1] },
        { name: 'b', hosts: [1] },
      ],
      leaseSeconds: 5,
      env: hooks.env,
    });
    const { server } = grid.member('aa');
    await server.query('CREATE TABLE t (x int); INSERT INTO t VALUES (1)');
    await until('the standby to follow', () =>
      grid
        .member('ab')
        .server.query('SELECT x FROM t')
        .then(
          (rows) => rows.length === 1,
          () => false,
        ),
    );
  });

  afterEach(async () => {
    hooks.reset();
    await grid?.close();
  });

  after(() => folder.remove());

  /** Takes a checkpoint, and lets this happen when the standby and its primary are held. Returns its end. */
  async function checkpointWith(
    happening: () => Promise<void>,
  ): Promise<{ code: number | null; error: Failure }> {
    hooks.hold('marked', 'aa');
    const command = grid.begin(['checkpoint', 'create', 'failover', ...JSON_OUTPUT]);
    await until('the primary to be held', () => hooks.hasReached('marked', 'aa'));
    await happening();
    hooks.reset();
    const { code, stdout } = await command.finished;
    return { code, error: (JSON.parse(stdout) as { error: Failure }).error };
  }

  async function promote(): Promise<void> {
    await grid.member('ab').server.query('SELECT pg_promote(true, 30)');
  }

  async function expectNothingListed(): Promise<void> {
    const { json } = await grid.run(['checkpoint', 'list', '--output', 'json']);
    expect(json).to.deep.include({ checkpoints: [] });
  }

  /** A checkpoint of the grid as it is now, with the standby as the primary, and what it holds. */
  async function expectCheckpointOfThePromoted(): Promise<void> {
    const next = await grid.run(['checkpoint', 'create', 'next', ...JSON_OUTPUT]);
    expect(next.code, next.stdout).to.equal(0);
    const { absent, journalMap, members } = next.json as CheckpointReport;
    expect(absent).to.deep.equal(['aa']);
    const { host, port } = grid.member('ab').server;
    // The second timeline is the one that the promotion began.
    expect(journalMap[`${host}:${port}`]).to.match(/^00000002/);
    expect(members.map(({ name }) => name)).to.have.members(['ab', 'ba']);
    const verified = await grid.run(['checkpoint', 'verify', 'next', '--quiet']);
    expect(verified.code, verified.stderr).to.equal(0);
  }

  it('is not committed; the next is refused while there are two primaries, and taken when there is one', async () => {
    const { code, error } = await checkpointWith(promote);

    // The cut was invalid; the attempt after it finds a primary where it had prepared a standby.
    expect(code, JSON.stringify(error)).to.equal(4);
    expect(error).to.include({ code: 'standby-promoted', member: 'ab', host: '127.0.45.2' });
    expect(error.hint).to.contain('grid status');
    expect(error.members?.map(({ state }) => state)).to.deep.equal(['running', 'running', 'running']);
    await expectNothingListed();
    await grid.expectUntouched();
    await grid.member('ab').server.query('INSERT INTO t VALUES (2)');

    const split = await grid.run(['checkpoint', 'create', 'split', ...JSON_OUTPUT]);
    expect(split.code).to.equal(3);
    expect(split.json).to.have.nested.property('error.code', 'copyset-split');
    grid.member('aa').server.stop();
    await expectCheckpointOfThePromoted();
    await grid.expectUntouched();
  });

  it('is not committed when its primary has died; the next is taken of the new one', async () => {
    const { code, error } = await checkpointWith(async () => {
      grid.member('aa').server.kill();
      await until('the server to be gone', () => grid.member('aa').server.postmasterPid() === null);
      await promote();
    });

    expect(code, JSON.stringify(error)).to.equal(4);
    expect(error).to.include({ member: 'aa', host: '127.0.45.1' });
    expect(error.members?.map(({ name, state }) => `${name} ${state}`)).to.deep.equal([
      'aa stopped',
      'ab running',
      'ba running',
    ]);
    await expectNothingListed();
    await grid.member('ab').server.query('INSERT INTO t VALUES (2)');
    await expectCheckpointOfThePromoted();
    // Should its owner start it once more, its agent takes away what the freeze had left in its settings.
    await grid.member('aa').server.start();
    await grid.expectUntouched();
  });
});
