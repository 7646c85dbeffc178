import { spawnSync } from 'node:child_process';
import { expect } from 'chai';
import { chmodSync, cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createGrid, type GridOptions, type TestGrid } from '../lab/grid.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { until } from '../lab/processes.ts';

// Goal: what cannot work is refused before anything is touched, or ends cleanly; the error says what to do.

const CREATE = ['checkpoint', 'create', 'x', '--output', 'json', '--quiet'];

async function withGrid(
  options: Partial<GridOptions>,
  work: (grid: TestGrid) => Promise<void>,
): Promise<void> {
  const grid = await createGrid({ hosts: ['127.0.15.1'], copysets: [{ name: 'a', hosts: [0] }], ...options });
  try {
    await work(grid);
  } finally {
    await grid.close();
  }
}

function errorOf(finished: { stdout: string }): {
  code: string;
  message: string;
  hint: string;
  host?: string;
  member?: string;
} {
  return (JSON.parse(finished.stdout) as { error: { code: string; message: string; hint: string } }).error;
}

describe('a checkpoint that cannot be taken', () => {
  it('is refused when an agent does not answer, and names the host', () =>
    withGrid(
      {
        hosts: ['127.0.15.1', '127.0.15.2'],
        copysets: [
          { name: 'a', hosts: [0] },
          { name: 'b', hosts: [1] },
        ],
      },
      async (grid) => {
        await grid.killAgent(1);
        const refused = await grid.run(CREATE);
        expect(refused.code).to.equal(3);
        expect(errorOf(refused)).to.include({ code: 'agent-unreachable', host: '127.0.15.2' });
        await grid.expectUntouched();
      },
    ));

  it('is refused when no node of a copyset runs [S11]', () =>
    withGrid({}, async (grid) => {
      grid.member('aa').server.stop();
      const refused = await grid.run(CREATE);
      expect(refused.code).to.equal(3);
      expect(errorOf(refused).code).to.equal('copyset-down');
    }));

  it('is taken without a standby that is down, and says that it is absent [S39]', () =>
    withGrid(
      { hosts: ['127.0.15.1', '127.0.15.2'], copysets: [{ name: 'a', hosts: [0, 1] }] },
      async (grid) => {
        grid.member('ab').server.stop();
        const { code, stdout } = await grid.run(CREATE);
        expect(code, stdout).to.equal(0);
        expect(JSON.parse(stdout)).to.have.deep.property('absent', ['ab']);
      },
    ));

  it('is refused with the wrong password, without wal_level = replica and without privileges', () =>
    withGrid({ settings: ['wal_level = minimal', 'max_wal_senders = 0'] }, async (grid) => {
      const { server } = grid.member('aa');
      const minimal = await grid.run(CREATE);
      expect(minimal.code).to.equal(3);
      expect(errorOf(minimal).code).to.equal('postgres-wal-level');

      server.configure(['wal_level = replica', 'max_wal_senders = 10']);
      await server.query("ALTER ROLE stillpoint PASSWORD 'right'");
      const hba = join(server.data, 'pg_hba.conf');
      writeFileSync(hba, `host all stillpoint 127.0.0.0/8 scram-sha-256\n${readFileSync(hba, 'utf8')}`);
      server.stop();
      await server.start();
      const without = await grid.run(CREATE);
      expect(without.code).to.equal(3);
      expect(errorOf(without)).to.include({ code: 'postgres-password', member: 'aa' });

      await server.query('REVOKE EXECUTE ON FUNCTION pg_create_restore_point(text) FROM stillpoint');
      writeFileSync(hba, readFileSync(hba, 'utf8').replace('scram-sha-256', 'trust'));
      await server.query('SELECT pg_reload_conf()');
      const doctor = await grid.run(['grid', 'doctor', '--output', 'json']);
      expect(doctor.code).to.equal(3);
      expect(doctor.stdout).to.contain(
        'GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO stillpoint',
      );
    }));

  it('is refused by a repository that is read-only, and aborts cleanly when it is full', async () => {
    const disk = temporaryFolder('disk');
    const repository = join(disk.path, 'repository');
    mkdirSync(repository);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=60m', 'tmpfs', repository]).status === 0;
    try {
      await withGrid({ repository }, async (grid) => {
        expect((await grid.run(CREATE)).code).to.equal(0);
        if (mounted) expect(spawnSync('mount', ['-o', 'remount,ro', repository]).status).to.equal(0);
        else chmodSync(repository, 0o555);
        const readOnly = await grid.run(CREATE);
        expect(readOnly.code, readOnly.stdout).to.equal(3);
        expect(errorOf(readOnly).code).to.equal('repository-read-only');
        if (mounted) spawnSync('mount', ['-o', 'remount,rw', repository]);
        else chmodSync(repository, 0o755);
        if (!mounted) return;
        // The estimate of preflight assumes that most is there already: data that does not compress is not.
        await grid
          .member('aa')
          .server.query(
            "CREATE TABLE noise AS SELECT string_agg(sha512((g * 1000 + h)::text::bytea)::text, '') AS x FROM generate_series(1, 2600) AS g, generate_series(1, 400) AS h GROUP BY g",
          );
        const full = await grid.run(CREATE);
        expect(full.code, full.stdout).to.be.oneOf([3, 4]);
        expect(errorOf(full).code).to.equal('repository-full');
        await grid.expectUntouched();
        const { checkpoints } = (await grid.run(['checkpoint', 'list', '--output', 'json'])).json as {
          checkpoints: { state: string }[];
        };
        expect(checkpoints.map(({ state }) => state)).to.deep.equal(['valid']);
      });
    } finally {
      if (mounted) spawnSync('umount', ['-l', repository]);
      disk.remove();
    }
  });

  it('aborts cleanly when the disk of an agent is full', async () => {
    const disk = temporaryFolder('disk');
    const state = join(disk.path, 'state');
    mkdirSync(state);
    const mounted =
      spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=70m,mode=700', 'tmpfs', state]).status === 0;
    try {
      await withGrid({ stateOf: () => state }, async (grid) => {
        const { server } = grid.member('aa');
        await server.query('CREATE TABLE t (x text)');
        let stop = false;
        const client = await server.connect();
        const writing = (async () => {
          while (!stop)
            await client.query("INSERT INTO t SELECT repeat('x', 2000) FROM generate_series(1, 3000)");
        })();
        // On a disk of its own it fills up while the journal is received; elsewhere there is room for all of it.
        const { code, stdout } = await grid.run([...CREATE, '--timeout', '120s']);
        stop = true;
        await writing;
        await client.end();
        if (mounted && code !== 0) {
          expect(code, stdout).to.be.oneOf([3, 4]);
          expect(errorOf({ stdout }).code).to.equal('agent-disk-full');
        } else expect(code, stdout).to.equal(0);
        await grid.expectUntouched();
      });
    } finally {
      if (mounted) spawnSync('umount', ['-l', state]);
      disk.remove();
    }
  });

  it('is not restored over what is no part of its grid: another server, or no server at all [S6]', () =>
    withGrid({}, async (grid) => {
      const created = await grid.run(CREATE);
      expect(created.code, created.stdout).to.equal(0);
      const { server } = grid.member('aa');
      await server.query('CREATE TABLE of_somebody ()');
      await server.query('CHECKPOINT');
      server.stop();
      const restore = ['restore', 'x', '--yes', '--output', 'json', '--quiet'];
      const kept = `${server.data}.kept`;
      renameSync(server.data, kept);
      cpSync(kept, server.data, { recursive: true });
      // A server is known by the first eight bytes of this file.
      const control = join(server.data, 'global/pg_control');
      const bytes = readFileSync(control);
      bytes.writeUInt8(bytes.readUInt8(0) ^ 1, 0);
      writeFileSync(control, bytes);
      const another = await grid.run(restore);
      expect(another.code, another.stdout).to.equal(3);
      expect(errorOf(another)).to.include({ code: 'target-holds-other', member: 'aa' });
      expect(readFileSync(control).equals(bytes)).to.equal(true);

      rmSync(server.data, { recursive: true });
      mkdirSync(server.data);
      writeFileSync(join(server.data, 'notes.txt'), 'of somebody');
      const none = await grid.run(restore);
      expect(none.code, none.stdout).to.equal(3);
      expect(errorOf(none).message).to.include('holds no PostgreSQL server');
      expect(readFileSync(join(server.data, 'notes.txt'), 'utf8')).to.equal('of somebody');

      // Moved away, as the hint says, it is restored.
      rmSync(server.data, { recursive: true });
      const restored = await grid.run(restore);
      expect(restored.code, restored.stdout).to.equal(0);
      rmSync(kept, { recursive: true });
    }));

  it('is refused to a coordinator of another CA and of another grid', () =>
    withGrid({}, async (grid) => {
      const { stillpoint } = await import('../lab/processes.ts');
      const foreign = join(grid.root, 'foreign');
      await stillpoint(['pki', 'init', foreign]);
      const wrongCa = join(grid.root, 'wrong-ca.yaml');
      const text = readFileSync(grid.gridFile, 'utf8');
      writeFileSync(wrongCa, text.replaceAll(`${grid.pki}/coordinator`, `${foreign}/coordinator`));
      const refused = await stillpoint(['grid', 'status', '--grid', wrongCa, '--output', 'json']);
      expect(refused.stdout, refused.stdout).to.contain('coordinator-certificate');
      const otherGrid = join(grid.root, 'other-grid.yaml');
      writeFileSync(otherGrid, text.replace('grid: orders', 'grid: payroll'));
      const other = await stillpoint([...CREATE, '--grid', otherGrid]);
      expect(other.code).to.equal(3);
      expect(errorOf(other).code).to.equal('wrong-grid');
      // An agent's certificate is not that of a coordinator.
      const asAgent = join(grid.root, 'as-agent.yaml');
      writeFileSync(
        asAgent,
        text
          .replaceAll('coordinator.pem', '127.0.15.1.pem')
          .replaceAll('coordinator-key.pem', '127.0.15.1-key.pem'),
      );
      const agent = await stillpoint([...CREATE, '--grid', asAgent]);
      expect(agent.code).to.equal(3);
      expect(errorOf(agent).code).to.equal('coordinator-certificate');
      rmSync(foreign, { recursive: true });
      await until(
        'the agent to be asked by the right one',
        async () => (await grid.run(['grid', 'status'])).code === 0,
      );
    }));
});
