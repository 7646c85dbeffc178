import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { Hooks } from '../lab/hooks.ts';
import { until } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: a checkpoint whose preparation takes long harms no disk, its server's least of all.

const CREATE = ['checkpoint', 'create', 'long', '--output', 'json', '--quiet'];
const MB = 1024 * 1024;

describe('a checkpoint that is prepared for long', () => {
  it('costs the server no journal and the agent no disk, and can be restored', async () => {
    const folder = temporaryFolder('hooks');
    const hooks = new Hooks(join(folder.path, 'hooks'));
    const grid = await createGrid({
      hosts: ['127.0.78.1'],
      copysets: [{ name: 'a', hosts: [0] }],
      env: hooks.env,
      walSegmentMb: 16,
      settings: ['max_wal_size = 64MB', 'min_wal_size = 32MB', 'checkpoint_timeout = 30s'],
    });
    try {
      const { server } = grid.member('aa');
      await server.query('CREATE TABLE kept (x text)');
      hooks.hold('prepared', 'aa');
      const creating = grid.begin(CREATE);
      await hooks.reachedBy(creating, 'prepared', 'aa');
      await server.query(
        'INSERT INTO kept SELECT repeat(md5(g::text), 60) FROM generate_series(1, 8000) AS g',
      );
      for (let round = 0; round < 3; round += 1)
        await server.query(
          "SELECT pg_logical_emit_message(false, 'test', repeat('x', 1024 * 1024)) FROM generate_series(1, 64)",
        );
      await until('pg_wal to be as small as it is otherwise', async () => {
        await server.query('CHECKPOINT');
        return readdirSync(join(server.data, 'pg_wal')).length < 12;
      });
      await until('the spool to be stored', () => spoolBytes(grid) <= 48 * MB);
      hooks.reset();
      const created = await creating.finished;
      expect(created.code, created.stdout).to.equal(0);

      await server.query('DROP TABLE kept');
      const restored = await grid.run(['restore', 'long', '--stop', '--yes', '--output', 'json', '--quiet']);
      expect(restored.code, restored.stdout).to.equal(0);
      expect(await server.query('SELECT count(*)::int AS n FROM kept')).to.deep.equal([{ n: 8000 }]);
    } finally {
      hooks.reset();
      await grid.close();
      folder.remove();
    }
  });

  it('ends early when a disk runs full, with the disk in the message and nothing left behind', async function () {
    const folder = temporaryFolder('disk');
    const state = join(folder.path, 'state');
    mkdirSync(state);
    const hooks = new Hooks(join(folder.path, 'hooks'));
    const mounted =
      spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=200m,mode=700', 'tmpfs', state]).status === 0;
    if (!mounted) {
      folder.remove();
      return;
    }
    try {
      const grid = await createGrid({
        hosts: ['127.0.78.2'],
        copysets: [{ name: 'a', hosts: [0] }],
        env: hooks.env,
        walSegmentMb: 16,
        stateOf: () => state,
      });
      try {
        hooks.hold('prepared', 'aa');
        const creating = grid.begin(CREATE);
        await hooks.reachedBy(creating, 'prepared', 'aa');
        writeFileSync(join(state, 'of-somebody-else'), Buffer.alloc(175 * MB));
        const { code, stdout } = await creating.finished;

        expect(code, stdout).to.equal(4);
        const { error } = JSON.parse(stdout) as { error: { code: string; message: string; member: string } };
        expect(error.code).to.equal('agent-disk-full');
        expect(error.message).to.contain('a checkpoint leaves 32 MB');
        hooks.reset();
        await grid.expectUntouched();
      } finally {
        hooks.reset();
        await grid.close();
      }
    } finally {
      spawnSync('umount', ['-l', state]);
      folder.remove();
    }
  });
});

function spoolBytes(grid: TestGrid): number {
  const spool = join(grid.hosts[0]?.state ?? '', 'spool');
  return readdirSync(spool)
    .flatMap((room) =>
      readdirSync(join(spool, room)).map(
        // It may have been stored meanwhile, and is gone.
        (name) => statSync(join(spool, room, name), { throwIfNoEntry: false })?.size ?? 0,
      ),
    )
    .reduce((sum, size) => sum + size, 0);
}
