import { expect } from 'chai';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { Hooks } from '../lab/hooks.ts';
import { until } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: what gets past the fence is caught and never committed; what merely runs meanwhile does no harm.

const JSON_OUTPUT = ['--output', 'json', '--quiet'];

describe('a checkpoint with unruly clients', () => {
  const folder = temporaryFolder('hooks');
  const hooks = new Hooks(`${folder.path}/hooks`);
  let grid: TestGrid;

  before(async () => {
    grid = await createGrid({
      templates: true,
      hosts: ['127.0.14.1'],
      copysets: [{ name: 'a', hosts: [0] }],
      settings: ['max_prepared_transactions = 10'],
      env: hooks.env,
    });
    await grid
      .member('aa')
      .server.query(
        'CREATE TABLE t (x int); CREATE TABLE big AS SELECT g AS x FROM generate_series(1, 20000) AS g',
      );
  });

  beforeEach(() => hooks.reset());

  after(async () => {
    hooks.reset();
    await grid?.close();
    folder.remove();
  });

  it('is invalid when commits with synchronous_commit off are seen in the window: three attempts, then exit 6', async () => {
    const clients = await Promise.all([1, 2, 3].map(() => grid.member('aa').server.connect()));
    let stop = false;
    let commits = 0;
    const writing = clients.map(async (client) => {
      await client.query('SET synchronous_commit = off');
      for (; !stop; commits += 1) await client.query('INSERT INTO t VALUES (1)');
      await client.end();
    });
    // Each window lasts until something got through it.
    hooks.hold('armed');
    const command = grid.begin(['checkpoint', 'create', 'leaky', ...JSON_OUTPUT]);
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      await until(`attempt ${attempt} to be armed`, () => hooks.timesReached('armed', 'aa') === attempt);
      hooks.hold('marked');
      hooks.release('armed');
      await until('the mark', () => hooks.timesReached('marked', 'aa') === attempt);
      const before = commits;
      await until('commits in the window', () => commits > before + clients.length);
      hooks.hold('armed');
      hooks.release('marked');
    }
    const { code, stdout } = await command.finished;
    stop = true;
    await Promise.all(writing);
    expect(code, stdout).to.equal(6);
    const { error } = JSON.parse(stdout) as { error: { code: string; message: string; member: string } };
    expect(error).to.include({ code: 'checkpoint-invalid', member: 'aa' });
    expect(error.message).to.match(/transaction \d+/);
    await expectCleanCatalogue();
  });

  it('is taken again when somebody cancels the wait of a commit in the window', async () => {
    const { server } = grid.member('aa');
    hooks.hold('marked');
    const command = grid.begin(['checkpoint', 'create', 'cancelled', ...JSON_OUTPUT]);
    await hooks.reached('marked');
    const client = await server.connect();
    const committing = client.query('INSERT INTO t VALUES (2)').catch(() => undefined);
    await until('the commit to wait', async () => {
      const rows = await server.query(
        "SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE 'INSERT%'",
      );
      return rows.length === 1;
    });
    await server.query(
      "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE 'INSERT%'",
    );
    await committing;
    hooks.reset();
    const { code, stdout } = await command.finished;
    await client.end();
    expect(code, stdout).to.equal(0);
    const described = await grid.run(['checkpoint', 'describe', 'cancelled', '--output', 'json']);
    expect(described.json).to.have.nested.property('token.attempt', 2);
  });

  it('waits neither for open transactions, DDL, VACUUM FULL and CREATE DATABASE, nor is it spoiled by them', async () => {
    const { server } = grid.member('aa');
    const open = await server.connect();
    await open.query('BEGIN');
    await open.query('INSERT INTO t VALUES (3)');
    await server.query("BEGIN; INSERT INTO t VALUES (4); PREPARE TRANSACTION 'held'");
    hooks.hold('marked');
    const command = grid.begin(['checkpoint', 'create', 'busy', ...JSON_OUTPUT]);
    await hooks.reached('marked');
    const clients = await Promise.all(
      ['VACUUM FULL big', 'CREATE TABLE made (x int)', 'CREATE DATABASE other', "COMMIT PREPARED 'held'"]
        .map(async (sql) => {
          const client = await server.connect();
          return client.query(sql).then(() => client.end());
        })
        .map(async (running) => ({ running })),
    );
    hooks.reset();
    const { code, stdout } = await command.finished;
    expect(code, stdout).to.equal(0);
    await Promise.all(clients.map(({ running }) => running));
    await open.query('ROLLBACK');
    await open.end();
    const described = await grid.run(['checkpoint', 'describe', 'busy', '--output', 'json']);
    expect(described.json).to.have.nested.property('token.attempt', 1);
    await grid.expectUntouched();
  });

  for (const original of ['FIRST 1 ("other standby", s2)', 'ANY 1 (s1, s2)', '']) {
    it(`keeps synchronous_standby_names '${original}' to the letter`, async () => {
      const { server } = grid.member('aa');
      await server.query(`ALTER SYSTEM SET synchronous_standby_names = '${original}'`);
      await server.query('ALTER ROLE postgres SET synchronous_commit = local');
      await server.query('SELECT pg_reload_conf()');
      try {
        const { stdout } = await grid.run([
          'checkpoint',
          'create',
          'listed',
          ...JSON_OUTPUT,
          '--timeout',
          '20s',
        ]);
        await until('the setting to be what it was', async () => {
          const [row] = await server.query<{ names: string }>(
            "SELECT current_setting('synchronous_standby_names') AS names",
          );
          return row?.names === original;
        });
        if (original === '') expect(JSON.parse(stdout)).to.have.property('checkpoint');
      } finally {
        await server.query('ALTER ROLE postgres RESET synchronous_commit');
        await server.query('ALTER SYSTEM RESET synchronous_standby_names');
        await server.query('SELECT pg_reload_conf()');
      }
    });
  }

  async function expectCleanCatalogue(): Promise<void> {
    await grid.expectUntouched();
    const { checkpoints } = (await grid.run(['checkpoint', 'list', '--output', 'json'])).json as {
      checkpoints: unknown[];
    };
    expect(checkpoints).to.deep.equal([]);
  }
});
