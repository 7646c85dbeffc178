import { expect } from 'chai';
import { chmodSync, chownSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { RestoreReport } from '../../coordinator/reports.ts';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { Hooks } from '../lab/hooks.ts';
import { postgresServer, serverUser, type PostgresServer } from '../lab/postgres.ts';
import { until } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { treeOf, type Tree } from '../lab/trees.ts';

// Goal: what belongs to a server and lies outside of its data directory comes back with it, tablespaces and
// directories of `also`; and a restored server neither archives into the old archive nor follows the old grid.

const JSON_OUTPUT = ['--output', 'json', '--quiet'];
const RESTORE = ['restore', 'whole', '--yes', '--stop', ...JSON_OUTPUT, '--map', '127.0.42.1=127.0.42.2'];
const TABLES = ['in_fast', 'in_slow'];

describe('a server with directories outside of its data directory', () => {
  const folder = temporaryFolder('whole');
  const hooks = new Hooks(`${folder.path}/hooks`);
  const archive = ownDirectory(join(folder.path, 'archive'));
  const fast = ownDirectory(join(folder.path, 'fast'));
  const slow = ownDirectory(join(folder.path, 'slow'));
  const mapped = join(folder.path, 'mapped');
  const also = [join(folder.path, 'first-etc'), join(folder.path, 'first-certificates')];
  const alsoElsewhere = [join(folder.path, 'elsewhere/etc'), join(folder.path, 'elsewhere/certificates')];
  let grid: TestGrid;
  let other: TestGrid;
  let outside: PostgresServer | undefined;
  let captured: { rows: unknown[]; trees: Tree[] };
  let restored: RestoreReport;

  before(async () => {
    const copysets = [{ name: 'a', hosts: [0] }];
    const ofAa = (line: string) => (name: string) => (name === 'aa' ? [line] : []);
    grid = await createGrid({
      hosts: ['127.0.42.1'],
      copysets,
      settings: ['wal_level = logical', 'archive_mode = on', `archive_command = 'cp %p ${archive}/%f'`],
      memberLines: ofAa(`also: [${also.join(', ')}]`),
    });
    other = await createGrid({
      beside: grid,
      empty: true,
      hosts: ['127.0.42.2'],
      copysets,
      memberLines: ofAa(`also: [${alsoElsewhere.join(', ')}]\n    tablespaces: { ${fast}: ${mapped} }`),
      env: hooks.env,
    });
    outside = await outsidePublisher();
    await fill(server(), outside);
    captured = { rows: await rowsOf(server()), trees: also.map(treeOf) };
    const created = await grid.run(['checkpoint', 'create', 'whole', ...JSON_OUTPUT]);
    expect(created.code, created.stdout).to.equal(0);
    await diverge(server(), also);
  });

  afterEach(() => hooks.reset());

  after(async () => {
    hooks.reset();
    outside?.kill();
    await other?.close();
    await grid?.close();
    folder.remove();
  });

  function server(): PostgresServer {
    return grid.member('aa').server;
  }

  function elsewhere(): PostgresServer {
    return other.member('aa').server;
  }

  /** No member: what a member subscribes to among members would be refused. */
  async function outsidePublisher(): Promise<PostgresServer> {
    const place = join(grid.root, 'publisher');
    mkdirSync(place, { mode: 0o755 });
    if (serverUser !== null) chownSync(place, serverUser.uid, serverUser.gid);
    const publisher = await postgresServer({
      data: join(place, 'data'),
      host: '127.0.42.3',
      settings: ['wal_level = logical'],
    });
    await publisher.start();
    return publisher;
  }

  async function fill(aa: PostgresServer, publisher: PostgresServer): Promise<void> {
    await aa.query(`CREATE TABLESPACE fast LOCATION '${fast}'`);
    await aa.query(`CREATE TABLESPACE slow LOCATION '${slow}'`);
    for (const place of ['fast', 'slow']) {
      await aa.query(
        `CREATE TABLE in_${place} TABLESPACE ${place} AS SELECT g AS x, md5(g::text) AS y FROM generate_series(1, 5000) AS g`,
      );
    }
    for (const one of [aa, publisher]) await one.query('CREATE TABLE followed (x int PRIMARY KEY)');
    await publisher.query('INSERT INTO followed VALUES (1)');
    await publisher.query('CREATE PUBLICATION news FOR TABLE followed');
    const connection = `host=${publisher.host} port=${publisher.port} user=postgres dbname=postgres`;
    await aa.query(
      `CREATE SUBSCRIPTION news_here CONNECTION '${connection}' PUBLICATION news WITH (synchronous_commit = on)`,
    );
    await until(
      'the subscription to follow',
      async () => (await aa.query('SELECT FROM followed')).length === 1,
    );
    for (const [index, directory] of also.entries()) {
      ownDirectory(join(directory, 'nested/empty'));
      writeFileSync(join(directory, 'nested/secret'), `secret ${index}`, { mode: 0o640 });
      writeFileSync(join(directory, 'large'), Buffer.alloc(3_000_000, index + 1));
      symlinkSync('nested/secret', join(directory, 'link'));
      chmodSync(directory, 0o750);
    }
  }

  /** Whether the server leaves the old archive and the old publisher alone, as it runs now. */
  async function expectDetached(restoredServer: PostgresServer): Promise<void> {
    const archived = readdirSync(archive);
    await restoredServer.query("SELECT pg_logical_emit_message(true, 'test', 'x'), pg_switch_wal()");
    await restoredServer.query('CHECKPOINT');
    const [row] = await restoredServer.query(
      `SELECT current_setting('archive_mode') AS mode,
              current_setting('max_logical_replication_workers') AS workers,
              (SELECT archived_count + failed_count FROM pg_stat_archiver)::int AS archived,
              (SELECT count(*)::int FROM pg_stat_subscription WHERE pid IS NOT NULL) AS following`,
    );
    expect(row).to.deep.equal({ mode: 'off', workers: '0', archived: 0, following: 0 });
    const status = readdirSync(join(restoredServer.data, 'pg_wal/archive_status'));
    expect(status.filter((name) => name.endsWith('.ready'))).to.deep.equal([]);
    expect(readdirSync(archive)).to.deep.equal(archived);
  }

  it('comes back on another host, tablespaces and directories where its agent file puts them', async () => {
    for (const { server: one } of grid.members) one.stop();
    const finished = await other.run(RESTORE);
    expect(finished.code, finished.stdout).to.equal(0);
    restored = finished.json as RestoreReport;
    expect(await rowsOf(elsewhere())).to.deep.equal(captured.rows);
    expect(alsoElsewhere.map(treeOf)).to.deep.equal(captured.trees);
    const places = await locationsOf(elsewhere());
    expect(dirname(places['fast'] ?? '')).to.equal(join(mapped, '1'));
    expect(dirname(places['slow'] ?? '')).to.equal(join(`${elsewhere().data}.tablespaces`, '1'));
  });

  it('neither archives nor subscribes there, and the report says what to do about it', async () => {
    await expectDetached(elsewhere());
    expect(restored.warnings.join('\n'))
      .to.match(/archiving is off \(archive_mode\).*ALTER SYSTEM RESET archive_mode and restart/)
      .and.to.match(
        /subscription news_here in database postgres is held.*ALTER SUBSCRIPTION news_here DISABLE/,
      );
  });

  it('archives into a new place and runs logical workers again as docs/restore.md says', async () => {
    const archived = readdirSync(archive);
    const newArchive = ownDirectory(join(folder.path, 'new-archive'));
    await elsewhere().query('ALTER SUBSCRIPTION news_here DISABLE');
    await elsewhere().query(`ALTER SYSTEM SET archive_command = 'cp %p ${newArchive}/%f'`);
    await elsewhere().query('ALTER SYSTEM RESET archive_mode');
    await elsewhere().query('ALTER SYSTEM RESET max_logical_replication_workers');
    elsewhere().stop();
    await elsewhere().start();
    await elsewhere().query("SELECT pg_logical_emit_message(true, 'test', 'x'), pg_switch_wal()");
    await until('a journal file in the new archive', () => readdirSync(newArchive).length > 0);
    expect(readdirSync(archive)).to.deep.equal(archived);
  });

  it('leaves nothing behind when such a restore is rolled back', async () => {
    const before = lookAround();
    hooks.hold('switched', 'aa');
    const command = other.begin(RESTORE);
    await hooks.reached('switched', 'aa');
    command.signal('SIGINT');
    hooks.reset();
    const { code, stdout } = await command.finished;
    expect(code, stdout).to.equal(7);
    expect(lookAround()).to.deep.equal(before);
    expect(alsoElsewhere.map(treeOf)).to.deep.equal(captured.trees);
  });

  it('drops the tablespaces of the last restore when it is restored once more', async () => {
    await diverge(elsewhere(), alsoElsewhere);
    const finished = await other.run(RESTORE);
    expect(finished.code, finished.stdout).to.equal(0);
    expect(await rowsOf(elsewhere())).to.deep.equal(captured.rows);
    expect(alsoElsewhere.map(treeOf)).to.deep.equal(captured.trees);
    expect(readdirSync(mapped)).to.deep.equal(['2']);
    expect(readdirSync(`${elsewhere().data}.tablespaces`)).to.deep.equal(['2']);
  });

  it('comes back in place, without what was added to it since', async () => {
    const finished = await grid.run(['restore', 'whole', '--yes', '--stop', ...JSON_OUTPUT]);
    expect(finished.code, finished.stdout).to.equal(0);
    expect(await rowsOf(server())).to.deep.equal(captured.rows);
    expect(also.map(treeOf)).to.deep.equal(captured.trees);
    await expectDetached(server());
  });

  /** Every place that a restore of the other host may write to. */
  function lookAround(): Record<string, string[]> {
    const places = [join(other.member('aa').server.data, '..'), join(folder.path, 'elsewhere'), mapped];
    return Object.fromEntries(
      [...places, `${elsewhere().data}.tablespaces`].map((place) => [place, readdirSync(place).sort()]),
    );
  }
});

/** Changes everything that a restore must bring back. */
async function diverge(server: PostgresServer, directories: readonly string[]): Promise<void> {
  if (server.postmasterPid() === null) await server.start();
  for (const table of TABLES) await server.query(`UPDATE ${table} SET y = 'changed'`);
  for (const directory of directories) {
    writeFileSync(join(directory, 'nested/secret'), 'changed');
    writeFileSync(join(directory, 'added'), 'later');
    rmSync(join(directory, 'link'));
  }
}

async function rowsOf(server: PostgresServer): Promise<unknown[]> {
  const all = await Promise.all(
    TABLES.map((table) =>
      server.query(
        `SELECT md5(string_agg(t::text, ',' ORDER BY x)) AS digest, count(*)::int,
                (SELECT spcname FROM pg_tablespace JOIN pg_class ON reltablespace = pg_tablespace.oid
                  WHERE relname = '${table}') AS tablespace FROM ${table} AS t`,
      ),
    ),
  );
  return all.flat();
}

async function locationsOf(server: PostgresServer): Promise<Record<string, string>> {
  const rows = await server.query<{ name: string; place: string }>(
    `SELECT spcname AS name, pg_tablespace_location(oid) AS place FROM pg_tablespace
      WHERE spcname NOT LIKE 'pg\\_%'`,
  );
  return Object.fromEntries(rows.map(({ name, place }) => [name, place]));
}

function ownDirectory(path: string): string {
  mkdirSync(path, { recursive: true });
  if (serverUser !== null) chownSync(path, serverUser.uid, serverUser.gid);
  return path;
}
