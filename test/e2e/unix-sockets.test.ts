import { chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { commitsOn } from '../lab/commits.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { Hooks } from '../lab/hooks.ts';
import { serverUser } from '../lab/postgres.ts';
import { until } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: agents that come over a Unix socket only, told by the kernel who they are (peer, and a map from their user to the
// role), can do all that others can.
// Method: pg_hba.conf turns the role away over TCP.

const JSON_OUTPUT = ['--output', 'json', '--quiet'];

describe('a grid whose agents come over Unix sockets, without passwords', () => {
  const folder = temporaryFolder('unix-sockets');
  const hooks = new Hooks(join(folder.path, 'hooks'));
  const sockets = join(folder.path, 's');
  let grid: TestGrid;

  before(async () => {
    mkdirSync(sockets);
    if (serverUser !== null) chownSync(sockets, serverUser.uid, serverUser.gid);
    grid = await createGrid({
      hosts: ['127.0.45.21'],
      copysets: [{ name: 'a', hosts: [0, 0] }],
      settings: [`unix_socket_directories = '${sockets}'`],
      hba: [
        'host all stillpoint all reject',
        'host replication stillpoint all reject',
        'local all stillpoint peer map=stillpoint',
        'local replication stillpoint peer map=stillpoint',
      ],
      // libpq's two ways to say it.
      connection: ({ port, data }) =>
        data.includes('/aa/')
          ? `postgresql://stillpoint@/postgres?host=${sockets}&port=${port}`
          : `postgresql://stillpoint@${encodeURIComponent(sockets)}:${port}/postgres`,
      env: hooks.env,
    });
    const user = serverUser === null ? process.env['USER'] : 'root';
    for (const { server } of grid.members) {
      writeFileSync(join(server.data, 'pg_ident.conf'), `stillpoint ${user} stillpoint\n`);
      await server.query('SELECT pg_reload_conf()');
    }
    await grid.member('aa').server.query('CREATE TABLE t AS SELECT 1 AS x');
  });

  afterEach(() => hooks.reset());

  after(async () => {
    hooks.reset();
    await grid?.close();
    folder.remove();
  });

  it('is found sound by the doctor, captured, and restored with its standby', async () => {
    const doctor = await grid.run(['grid', 'doctor', ...JSON_OUTPUT]);
    const created = await grid.run(['checkpoint', 'create', 'one', ...JSON_OUTPUT]);
    await grid.member('aa').server.query('INSERT INTO t VALUES (2)');
    const restored = await grid.run(['restore', 'one', '--yes', '--stop', ...JSON_OUTPUT]);

    expect(doctor.code, doctor.stdout).to.equal(0);
    expect(created.code, created.stdout).to.equal(0);
    expect(restored.code, restored.stdout).to.equal(0);
    for (const name of ['aa', 'ab'])
      expect(await grid.member(name).server.query('SELECT x FROM t')).to.deep.equal([{ x: 1 }]);
    await grid.expectUntouched();
  });

  it('is thawed by the guard, over its socket, when its agent is killed in the window', async () => {
    hooks.hold('marked', 'aa');
    const command = grid.begin(['checkpoint', 'create', 'two', ...JSON_OUTPUT]);
    await hooks.reachedBy(command, 'marked', 'aa');
    await grid.killAgent(0);
    await until('the server to commit again', () => commitsOn(grid.primaries), 4000);
    hooks.reset();
    await grid.startAgent(0);
    const { code, stdout } = await command.finished;

    expect(code, stdout).to.equal(4);
    await grid.expectUntouched();
  });
});
