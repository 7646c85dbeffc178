import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import type { Finding } from '../../agent/engines/engine.ts';
import type { RestoreReport } from '../../coordinator/reports.ts';
import type { MemberDescription } from '../../shared/domain/grid.ts';
import { FakeStandby } from '../engines/postgres/fence/fake-standby.ts';
import { settingsFor } from '../engines/postgres/lab.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';

// Goal: a primary with more read replicas than three is one copyset, and a synchronous standby that is no member of the grid
// does not keep it from being restored. And an agent that may not read a server's files says so beforehand.

const JSON_OUTPUT = ['--output', 'json', '--quiet'];
const ALL = ['aa', 'ab', 'ac', 'ad', 'ae'];

describe('a primary with four replicas, and a synchronous standby that is no member', () => {
  let grid: TestGrid;
  let outside: FakeStandby | undefined;

  before(async () => {
    grid = await createGrid({
      hosts: ['127.0.45.41'],
      copysets: [{ name: 'a', hosts: [0, 0, 0, 0, 0] }],
      memberLines: () => ['withoutReads: [dr1]'],
    });
    const { server } = grid.member('aa');
    outside = await FakeStandby.join(server, 'dr1');
    server.configure(["synchronous_standby_names = 'dr1'"]);
    await server.query('SELECT pg_reload_conf()');
    await server.query('CREATE TABLE t AS SELECT 1 AS x');
  });

  after(async () => {
    outside?.leave();
    await grid?.close();
  });

  it('is captured with all of them, and restored without that standby: told, and commits return', async () => {
    const created = await grid.run(['checkpoint', 'create', 'five', ...JSON_OUTPUT]);
    expect(created.code, created.stdout).to.equal(0);
    await grid.member('aa').server.query('INSERT INTO t VALUES (2)');
    outside?.leave();

    const restored = await grid.run(['restore', 'five', '--yes', '--stop', ...JSON_OUTPUT]);

    expect(restored.code, restored.stdout).to.equal(0);
    expect((restored.json as RestoreReport).warnings.join('\n')).to.match(/commits wait for no standby.*dr1/);
    for (const name of ALL)
      expect(await grid.member(name).server.query('SELECT x FROM t')).to.deep.equal([{ x: 1 }]);
    await grid.member('aa').server.query('INSERT INTO t VALUES (3)');
    await grid.expectUntouched();
  });

  if (process.getuid?.() === 0) {
    it('is described by an agent of another user: a primary is fit, a standby whose files it may not read is not', () => {
      const seen = (name: string): { description: MemberDescription; findings: Finding[] } => {
        const { stdout, stderr } = spawnSync(
          process.execPath,
          [
            fileURLToPath(new URL('../engines/described-by.ts', import.meta.url)),
            '--settings',
            JSON.stringify({ ...settingsFor(grid.member(name).server), name, withoutReads: ['dr1'] }),
          ],
          { encoding: 'utf8', cwd: '/', uid: 1, gid: 1 },
        );
        if (stdout === '') throw new Error(stderr);
        return JSON.parse(stdout) as { description: MemberDescription; findings: Finding[] };
      };

      const primary = seen('aa');
      const standby = seen('ab');

      expect(primary.description.problems).to.deep.equal([]);
      expect(primary.findings.map(({ failure }) => failure.code)).to.include('data-unreachable');
      expect(standby.description.problems.map(({ code }) => code)).to.deep.equal(['also-unreadable']);
    });
  }
});
