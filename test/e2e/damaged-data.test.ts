import { expect } from 'chai';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CheckpointReport, RestoreReport } from '../../coordinator/reports.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { stillpoint } from '../lab/processes.ts';
import type { PostgresVersion } from '../lab/postgres.ts';

// Goal: damage that a checkpoint has is told from the checkpoint on, and ends a restore whose operator wants no doubt.
// Method: an index of a real server gets wrong bytes. The older server has no checksums, so only amcheck finds them.

const COPYSETS = [{ name: 'orders', hosts: [0] }];
const JSON_OUTPUT = ['--output', 'json', '--quiet'];

for (const version of ['15', '18'] satisfies PostgresVersion[]) {
  describe(`a damaged index of PostgreSQL ${version}`, () => {
    const seenEarly = version === '18';
    let grid: TestGrid;
    let other: TestGrid;
    let file: string;

    before(async () => {
      const common = {
        version,
        copysets: COPYSETS,
        memberLines: () => ['copy: { damagedPages: mark }', 'drill: true'],
      };
      grid = await createGrid({ ...common, hosts: ['127.0.76.1'] });
      other = await createGrid({ ...common, beside: grid, empty: true, hosts: ['127.0.77.1'] });
      const { server } = grid.member('ordersa');
      await server.query(
        'CREATE TABLE worn AS SELECT x FROM generate_series(1, 1000) AS x; CREATE INDEX worn_key ON worn (x); CHECKPOINT',
      );
      const [row] = await server.query<{ path: string }>("SELECT pg_relation_filepath('worn_key') AS path");
      file = row?.path ?? '';
      const bytes = readFileSync(join(server.data, file));
      bytes.fill(0x5a, 8192 + 4000, 8192 + 5000);
      writeFileSync(join(server.data, file), bytes);
    });

    after(async () => {
      await other?.close();
      await grid?.close();
    });

    function restore(...more: string[]): ReturnType<TestGrid['run']> {
      return other.run(['restore', 'nightly', ...JSON_OUTPUT, ...more]);
    }

    it('is told, where a checksum shows it, by the checkpoint and whoever looks at it, with file, block and table', async () => {
      const created = await grid.run(['checkpoint', 'create', 'nightly', '--output', 'json']);
      expect(created.code, created.stderr).to.equal(0);
      const { warnings } = JSON.parse(created.stdout) as CheckpointReport;
      const told = `block 1 of ${file} (public.worn_key in database postgres) had a wrong checksum`;
      const described = await stillpoint([
        'checkpoint',
        'describe',
        'nightly',
        '--repository',
        grid.repository,
      ]);
      const planned = await restore('--dry-run');
      for (const said of [warnings.join('\n'), created.stderr, described.stdout, planned.stdout])
        expect(said.includes(told), said).to.equal(seenEarly);
    });

    it('ends a strict restore: before anything is touched where it is known, else before the switch', async () => {
      const { code, json } = await restore('--strict', '--yes');
      expect(code).to.equal(seenEarly ? 6 : 7);
      expect(json).to.have.nested.property('error.code', 'restore-doubtful');
      expect(json).to.have.nested.property('error.message').that.includes('worn_key');
      expect(other.member('ordersa').server.postmasterPid()).to.equal(null);
    });

    it('fails a strict drill', async () => {
      const { code, json } = await other.run(['drill', 'nightly', '--strict', '--yes', ...JSON_OUTPUT]);
      expect(code).to.equal(6);
      expect(json).to.have.nested.property('error.code', 'restore-doubtful');
    });

    it('is restored and told, with what mends it, where nobody was so strict', async () => {
      const { code, stdout, stderr } = await restore('--yes');
      expect(code, stderr + stdout).to.equal(0);
      const { warnings } = JSON.parse(stdout) as RestoreReport;
      expect(warnings.join('\n')).to.include('worn_key').and.include('REINDEX');
    });
  });
}
