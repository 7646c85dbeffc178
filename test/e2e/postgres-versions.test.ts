import { chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { serverUser, type PostgresVersion } from '../lab/postgres.ts';

// Goal: what the other tests prove with the newest version is so with each version that is supported: a checkpoint with the
// least role, and the whole of it restored.

const JSON_OUTPUT = ['--output', 'json', '--quiet'];

for (const [index, version] of (['14', '15', '16', '17'] satisfies PostgresVersion[]).entries()) {
  const host = `127.0.45.${index + 1}`;
  describe(`a primary and its standby of PostgreSQL ${version}`, () => {
    let grid: TestGrid;
    before(async () => {
      grid = await createGrid({
        version,
        hosts: [host],
        copysets: [{ name: 'a', hosts: [0, 0] }],
        settings: ['max_prepared_transactions = 5'],
      });
    });
    after(() => grid?.close());

    it('are captured, and come back with their tablespaces, what was prepared, and nothing later', async () => {
      const aa = grid.member('aa').server;
      const place = join(grid.root, 'fast');
      mkdirSync(place, { mode: 0o700 });
      if (serverUser !== null) chownSync(place, serverUser.uid, serverUser.gid);
      await aa.query(`CREATE TABLESPACE fast LOCATION '${place}'`);
      await aa.query('CREATE TABLE t TABLESPACE fast AS SELECT g AS x FROM generate_series(1, 1000) AS g');
      await aa.query("BEGIN; INSERT INTO t VALUES (1001); PREPARE TRANSACTION 'both'");

      const created = await grid.run(['checkpoint', 'create', 'one', ...JSON_OUTPUT]);
      await aa.query('INSERT INTO t VALUES (1002)');
      const restored = await grid.run(['restore', 'one', '--yes', '--stop', ...JSON_OUTPUT]);

      expect(created.code, created.stderr + created.stdout).to.equal(0);
      expect(restored.code, restored.stderr + restored.stdout).to.equal(0);
      for (const name of ['aa', 'ab']) {
        const [row] = await grid
          .member(name)
          .server.query<{ rows: number; last: number }>(
            'SELECT count(*)::int AS rows, max(x) AS last FROM t',
          );
        expect(row, name).to.deep.equal({ rows: 1000, last: 1000 });
      }
      const prepared = await aa.query<{ gid: string }>('SELECT gid FROM pg_prepared_xacts');
      expect(prepared).to.deep.equal([{ gid: 'both' }]);
    });
  });
}
