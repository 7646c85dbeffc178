import { expect } from 'chai';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { Hooks } from '../lab/hooks.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: what starts a server in the middle of a restore, as Patroni or a health check does, is named and not fought.
// Method: the test starts one as a supervisor would, before and after its directory is exchanged.

const JSON_OUTPUT = ['--output', 'json', '--quiet'];

describe('a restore of a grid whose servers something else starts', () => {
  const folder = temporaryFolder('hooks');
  const hooks = new Hooks(`${folder.path}/hooks`);
  let grid: TestGrid;

  before(async () => {
    grid = await createGrid({
      hosts: ['127.0.16.41', '127.0.16.42'],
      copysets: [
        { name: 'a', hosts: [0] },
        { name: 'b', hosts: [1] },
      ],
      env: hooks.env,
    });
    for (const { server } of grid.members) await server.query('CREATE TABLE t AS SELECT 1 AS x');
    const created = await grid.run(['checkpoint', 'create', 'good', ...JSON_OUTPUT]);
    expect(created.code, created.stdout).to.equal(0);
    for (const { server } of grid.members) {
      await server.query('INSERT INTO t VALUES (2)');
      server.stop();
    }
  });

  beforeEach(() => hooks.reset());

  after(async () => {
    hooks.reset();
    await grid?.close();
    folder.remove();
  });

  it('goes back when it runs again before its directory is exchanged: exit 7, named, and the server goes on', async () => {
    const { server } = grid.member('aa');
    hooks.hold('proven', 'aa');
    const command = grid.begin(['restore', 'good', '--yes', ...JSON_OUTPUT]);
    await hooks.reached('proven', 'aa');
    await server.start();
    hooks.reset();

    const { code, stdout } = await command.finished;
    expect(code, stdout).to.equal(7);
    const { error } = JSON.parse(stdout) as { error: Record<string, unknown> };
    expect(error).to.include({ code: 'member-running', member: 'aa' });
    expect(error['hint']).to.contain('pause what supervises it');
    await server.query('INSERT INTO t VALUES (3)');
    expect(await server.query('SELECT x FROM t ORDER BY x')).to.deep.equal([{ x: 1 }, { x: 2 }, { x: 3 }]);
    server.stop();
  });

  it('cannot be started by it once its directory is exchanged; the restore opens it', async () => {
    const servers = grid.members.map(({ server }) => server);
    const { server } = grid.member('aa');
    hooks.hold('switched', 'aa');
    const command = grid.begin(['restore', 'good', '--yes', ...JSON_OUTPUT]);
    await hooks.reached('switched', 'aa');
    const refusal = await server.start().then(
      () => 'it was started',
      (error: unknown) => String(error),
    );
    expect(refusal).to.contain('could not find the database system');
    hooks.reset();

    const { code, stdout } = await command.finished;
    expect(code, stdout).to.equal(0);
    for (const one of servers) expect(await one.query('SELECT x FROM t')).to.deep.equal([{ x: 1 }]);
  });
});
