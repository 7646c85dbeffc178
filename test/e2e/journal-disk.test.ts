import { chownSync, lstatSync, mkdirSync, readdirSync, readlinkSync, renameSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import type { RestoreReport } from '../../coordinator/reports.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { Hooks } from '../lab/hooks.ts';
import { serverUser, type PostgresServer } from '../lab/postgres.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: links of a server are what they were after a restore, or it is said before and after that they are not: the journal
// on a disk of its own, a standby's configuration, places that lie below a link.

const JSON_OUTPUT = ['--output', 'json', '--quiet'];
const ELSEWHERE = [
  'restore',
  'linked',
  '--yes',
  '--stop',
  ...JSON_OUTPUT,
  '--map',
  '127.0.45.11=127.0.45.12',
];

describe('a server with its journal on another disk', () => {
  const folder = temporaryFolder('journal-disk');
  const hooks = new Hooks(join(folder.path, 'hooks'));
  const disk = ownDirectory(join(folder.path, 'disk'));
  const journal = join(disk, 'journal');
  const fast = ownDirectory(join(folder.path, 'fast'));
  /** An administrator's links, in a directory of root's, to where the disks are. */
  const links = join(folder.path, 'links');
  const newDisk = join(folder.path, 'new-disk');
  let grid: TestGrid;
  let other: TestGrid;

  before(async () => {
    mkdirSync(links);
    for (const [name, target] of [
      ['fast', fast],
      ['new', newDisk],
    ] as const)
      symlinkSync(target, join(links, name));
    mkdirSync(newDisk);
    const copysets = [{ name: 'a', hosts: [0, 0] }];
    grid = await createGrid({ hosts: ['127.0.45.11'], copysets });
    other = await createGrid({
      beside: grid,
      empty: true,
      hosts: ['127.0.45.12'],
      copysets,
      memberLines: (name) => [
        `wal: ${join(links, 'new', name)}`,
        `tablespaces: { ${join(links, 'fast', 'ts')}: ${join(links, 'new', `ts-${name}`)} }`,
      ],
      env: hooks.env,
    });
    const aa = server();
    aa.stop();
    renameSync(join(aa.data, 'pg_wal'), journal);
    symlinkSync(journal, join(aa.data, 'pg_wal'));
    await aa.start();
    ownDirectory(join(fast, 'ts'));
    await aa.query(`CREATE TABLESPACE fast LOCATION '${join(links, 'fast', 'ts')}'`);
    await aa.query('CREATE TABLE t TABLESPACE fast AS SELECT g AS x FROM generate_series(1, 100) AS g');
    // As some owners have it: the standby's own configuration is kept with that of other programs.
    const ab = grid.member('ab').server;
    const etc = ownDirectory(join(folder.path, 'etc'));
    renameSync(join(ab.data, 'pg_hba.conf'), join(etc, 'pg_hba.conf'));
    symlinkSync(join(etc, 'pg_hba.conf'), join(ab.data, 'pg_hba.conf'));
    const created = await grid.run(['checkpoint', 'create', 'linked', ...JSON_OUTPUT]);
    expect(created.code, created.stdout).to.equal(0);
    await aa.query('INSERT INTO t VALUES (101)');
  });

  afterEach(() => hooks.reset());

  after(async () => {
    hooks.reset();
    await other?.close();
    await grid?.close();
    folder.remove();
  });

  function server(): PostgresServer {
    return grid.member('aa').server;
  }

  async function rowsOf(one: PostgresServer): Promise<number> {
    return (await one.query('SELECT FROM t')).length;
  }

  it('is told beforehand, and afterwards, that it has it on the disk of its data where no place is named', async () => {
    const planned = await grid.run(['restore', 'linked', '--dry-run', ...JSON_OUTPUT]);
    const restored = await grid.run(['restore', 'linked', '--yes', '--stop', ...JSON_OUTPUT]);

    for (const { code, stdout } of [planned, restored]) {
      expect(code, stdout).to.equal(0);
      expect(stdout).to.include(`pg_wal was a link to ${journal}, and is a directory in`);
      expect(stdout).to.include(
        `the journal of the server that is replaced lies in ${journal}, and stays there`,
      );
    }
    expect(lstatSync(join(server().data, 'pg_wal')).isDirectory()).to.equal(true);
    expect(readdirSync(journal)).to.include('archive_status');
    expect(await rowsOf(server())).to.equal(100);
    expect(readlinkSync(join(grid.member('ab').server.data, 'pg_hba.conf'))).to.include('etc/pg_hba.conf');
  });

  it('has it where the agent file says, also below a link, and its tablespaces too', async () => {
    for (const { server: one } of grid.members) one.stop();
    const finished = await other.run(ELSEWHERE);

    expect(finished.code, finished.stdout).to.equal(0);
    expect((finished.json as RestoreReport).warnings.join('\n')).to.not.include('pg_wal');
    for (const name of ['aa', 'ab']) {
      const one = other.member(name).server;
      expect(readlinkSync(join(one.data, 'pg_wal'))).to.equal(join(links, 'new', name, '1', 'pg_wal'));
      expect(readdirSync(join(newDisk, name, '1', 'pg_wal'))).to.include('archive_status');
      expect(await rowsOf(one)).to.equal(100);
    }
    await other.member('aa').server.query('INSERT INTO t VALUES (102); CHECKPOINT');
    expect(readdirSync(join(newDisk, 'ts-aa', '1'))).to.have.length(1);
  });

  it('keeps it as it is where such a restore is rolled back', async () => {
    const before = lookAround();
    hooks.hold('switched', 'aa');
    const command = other.begin(ELSEWHERE);
    await hooks.reachedBy(command, 'switched', 'aa');
    expect(lookAround()).to.not.deep.equal(before);
    command.signal('SIGINT');
    hooks.reset();
    const { code, stdout } = await command.finished;

    expect(code, stdout).to.equal(7);
    expect(lookAround()).to.deep.equal(before);
  });

  it('leaves nothing of the journal that an earlier restore made when it is restored once more', async () => {
    const finished = await other.run(ELSEWHERE);

    expect(finished.code, finished.stdout).to.equal(0);
    for (const name of ['aa', 'ab']) expect(readdirSync(join(newDisk, name))).to.deep.equal(['2']);
    expect(await rowsOf(other.member('aa').server)).to.equal(100);
  });

  it("is refused, with nothing touched, where a standby's configuration is a link to what is not on this host", async () => {
    renameSync(join(folder.path, 'etc'), join(folder.path, 'etc-gone'));
    const planned = await grid.run(['restore', 'linked', '--dry-run', ...JSON_OUTPUT]);
    renameSync(join(folder.path, 'etc-gone'), join(folder.path, 'etc'));

    expect(planned.code, planned.stdout).to.equal(3);
    expect(planned.stdout).to.match(/configuration-missing.*etc\/pg_hba\.conf/);
  });

  function lookAround(): unknown[] {
    return ['aa', 'ab'].map((name) => [
      readlinkSync(join(other.member(name).server.data, 'pg_wal')),
      readdirSync(join(newDisk, name)),
      readdirSync(dirname(other.member(name).server.data)).sort(),
      readdirSync(join(newDisk, `ts-${name}`)),
    ]);
  }
});

function ownDirectory(path: string): string {
  mkdirSync(path, { recursive: true });
  if (serverUser !== null) chownSync(path, serverUser.uid, serverUser.gid);
  return path;
}
