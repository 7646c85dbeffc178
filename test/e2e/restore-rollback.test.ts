import { expect } from 'chai';
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RestoreReport } from '../../coordinator/reports.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { Hooks } from '../lab/hooks.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { until } from '../lab/processes.ts';
import { stageOf } from '../../agent/engines/restore/directory-switch.ts';

// Goal: a restore that fails anywhere leaves the old grid as it was, byte for byte, on every host.

const JSON_OUTPUT = ['--output', 'json', '--quiet'];

describe('a restore that fails', () => {
  const folder = temporaryFolder('hooks');
  const hooks = new Hooks(`${folder.path}/hooks`);
  let grid: TestGrid;
  let before1: Map<string, string>;

  before(async () => {
    grid = await createGrid({
      hosts: ['127.0.16.1', '127.0.16.2'],
      copysets: [
        { name: 'a', hosts: [0] },
        { name: 'b', hosts: [1] },
      ],
      settings: ['max_prepared_transactions = 10'],
      leaseSeconds: 2,
      superuser: true,
      env: hooks.env,
    });
    for (const { server } of grid.members) await server.query('CREATE TABLE t AS SELECT 1 AS x');
    const created = await grid.run(['checkpoint', 'create', 'good', ...JSON_OUTPUT]);
    expect(created.code, created.stdout).to.equal(0);
    for (const { server } of grid.members) {
      await server.query('INSERT INTO t VALUES (2)');
      server.stop();
    }
    before1 = images();
  });

  beforeEach(() => hooks.reset());

  after(async () => {
    hooks.reset();
    await grid?.close();
    folder.remove();
  });

  function images(): Map<string, string> {
    return new Map(grid.members.map(({ name, server }) => [name, imageOf(server.data)]));
  }

  async function expectAsBefore(): Promise<void> {
    for (const { name, server } of grid.members) {
      await until(
        `the old directory of ${name} to be back`,
        () => imageOf(server.data) === before1.get(name),
        20_000,
      );
      const left = (): string[] =>
        readdirSync(join(server.data, '..')).filter((entry) => entry.includes('stillpoint'));
      await until(`nothing of the restore to be left beside ${name}`, () => left().length === 0, 20_000);
    }
  }

  it('because a member does not recover: exit 7, everything back', async () => {
    hooks.hold('staged', 'ba');
    const command = grid.begin(['restore', 'good', '--yes', ...JSON_OUTPUT]);
    await hooks.reached('staged', 'ba');
    const journal = join(stageOf(grid.member('ba').server.data), 'pg_wal');
    for (const name of readdirSync(journal).filter((one) => /^[0-9A-F]{24}$/.test(one)))
      truncateSync(join(journal, name), 0);
    hooks.reset();
    const { code, stdout } = await command.finished;
    expect(code, stdout).to.equal(7);
    expect(JSON.parse(stdout)).to.have.nested.property('error.member', 'ba');
    expect(JSON.parse(stdout), stdout).to.have.nested.property('error.code', 'recovery-failed');
    await expectAsBefore();
  });

  for (const moment of ['staged', 'proven', 'switched']) {
    it(`because the coordinator is killed when members are '${moment}'`, async () => {
      hooks.hold(moment);
      const command = grid.begin(['restore', 'good', '--yes', ...JSON_OUTPUT]);
      await hooks.reached(moment);
      command.signal('SIGKILL');
      await command.finished;
      hooks.reset();
      await expectAsBefore();
    });

    it(`because an agent is killed when its member is '${moment}'`, async () => {
      hooks.hold(moment, 'aa');
      const command = grid.begin(['restore', 'good', '--yes', ...JSON_OUTPUT]);
      await hooks.reached(moment, 'aa');
      await grid.killAgent(0);
      hooks.reset();
      const { code, stdout } = await command.finished;
      expect(code, stdout).to.equal(7);
      await grid.startAgent(0);
      await expectAsBefore();
    });
  }

  it('because of Ctrl-C', async () => {
    hooks.hold('staged');
    const command = grid.begin(['restore', 'good', '--yes', ...JSON_OUTPUT]);
    await hooks.reached('staged');
    command.signal('SIGINT');
    hooks.reset();
    const { code, stdout } = await command.finished;
    expect(code, stdout).to.equal(7);
    await expectAsBefore();
  });

  /** Flips one bit of the largest chunk; the function that is returned flips it back. */
  function damageChunk(): () => void {
    const room = join(grid.repository, 'grids', grid.name, 'chunks');
    const [chunk = ''] = readdirSync(room, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort((one, other) => lstatSync(other).size - lstatSync(one).size);
    const bytes = readFileSync(chunk);
    const hurt = Buffer.from(bytes);
    hurt[hurt.length >> 1] = (hurt[hurt.length >> 1] ?? 0) ^ 1;
    writeFileSync(chunk, hurt);
    return () => writeFileSync(chunk, bytes);
  }

  it('because a chunk is damaged, and nothing runs: found while it is staged', async () => {
    const putBack = damageChunk();
    const { code, json, stdout } = await grid.run(['restore', 'good', '--yes', ...JSON_OUTPUT]);
    putBack();
    expect(code, stdout).to.equal(7);
    expect(json).to.have.nested.property('error.code', 'chunk-damaged');
    expect(json).to.have.nested.property('error.phase', 'stage');
    await expectAsBefore();
  });

  it('because a chunk is damaged, and servers run: found before the first of them is stopped', async () => {
    const started = (): Promise<unknown> =>
      Promise.all(
        grid.members.map(({ server }) => server.query('SELECT pg_postmaster_start_time()::text AS at')),
      );
    for (const { server } of grid.members) await server.start();
    const atFirst = await started();
    const putBack = damageChunk();
    const { code, json, stdout } = await grid.run(['restore', 'good', '--stop', '--yes', ...JSON_OUTPUT]);
    putBack();
    expect(code, stdout).to.equal(6);
    expect(json).to.have.nested.property('error.code', 'checkpoint-damaged');
    expect(json)
      .to.have.nested.property('error.member')
      .that.matches(/^(aa|ba)$/);
    expect(await started()).to.deep.equal(atFirst);
    for (const { server } of grid.members) server.stop();
  });

  it('and the same restore without the failure succeeds, and lists prepared transactions with what was decided', async () => {
    for (const { server } of grid.members) await server.start();
    const [a, b] = grid.members.map(({ server }) => server);
    if (a === undefined || b === undefined) throw new Error('two members');
    hooks.hold('prepared');
    const command = grid.begin(['checkpoint', 'create', 'two-phase', ...JSON_OUTPUT]);
    await hooks.reached('prepared');
    for (const [server, gids] of [
      [a, ['both', 'alone']],
      [b, ['both']],
    ] as const) {
      for (const gid of gids)
        await server.query(`BEGIN; INSERT INTO t VALUES (7); PREPARE TRANSACTION '${gid}'`);
    }
    await b.query("COMMIT PREPARED 'both'");
    hooks.reset();
    const created = await command.finished;
    expect(created.code, created.stdout).to.equal(0);
    const restored = await grid.run(['restore', 'two-phase', '--yes', '--stop', ...JSON_OUTPUT]);
    expect(restored.code, restored.stdout).to.equal(0);
    const { prepared } = restored.json as RestoreReport;
    const decided = prepared.map(({ gid, member, decided: outcome, applied }) => ({
      gid,
      member,
      outcome,
      applied,
    }));
    expect(decided).to.deep.equal([
      { gid: 'alone', member: 'aa', outcome: null, applied: false },
      { gid: 'both', member: 'aa', outcome: 'commit', applied: true },
    ]);
    expect(prepared[0]?.command).to.contain("COMMIT PREPARED 'alone'");
    const left = await a.query('SELECT gid FROM pg_prepared_xacts');
    expect(left).to.deep.equal([{ gid: 'alone' }]);
  });
});

/** Names, modes, owners, links and contents of everything below a directory. */
function imageOf(directory: string): string {
  try {
    return lookAt(directory);
  } catch {
    return 'it is being changed';
  }
}

function lookAt(directory: string): string {
  const hash = createHash('sha256');
  const walk = (path: string): void => {
    const entries = readdirSync(path).sort();
    for (const entry of entries) {
      const inner = join(path, entry);
      const { mode, uid, gid, size } = lstatSync(inner);
      hash.update(`${inner} ${mode} ${uid} ${gid}`);
      if ((mode & 0o170000) === 0o120000) hash.update(readlinkSync(inner));
      else if ((mode & 0o170000) === 0o040000) walk(inner);
      else hash.update(`${size}`).update(readFileSync(inner));
    }
  };
  walk(directory);
  return hash.digest('hex');
}
