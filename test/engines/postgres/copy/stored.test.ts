import {
  chmodSync,
  chownSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { Client } from 'pg';
import { storeDirectories } from '../../../../agent/engines/postgres/copy/collect.ts';
import type { Engine } from '../../../../agent/engines/engine.ts';
import type { MemorySink } from '../../memory-sink.ts';
import { temporaryFolder } from '../../../lab/temporary.ts';
import type { PostgresFacts } from '../../../../agent/engines/postgres/copy/facts.ts';
import { fileEndingAt, parseLsn } from '../../../../agent/engines/postgres/journal/lsn.ts';
import { createPostgresEngine } from '../../../../agent/engines/postgres/postgres-engine.ts';
import { serverUser, type PostgresServer } from '../../../lab/postgres.ts';
import { beginCapture, token } from '../../tested-capture.ts';
import { postgresLab, until, versions, type PostgresLab } from '../lab.ts';

const SEGMENT = 16 * 1024 * 1024;

/** A whole checkpoint of one member. */
async function captured(
  engine: Engine,
  folder: string,
): Promise<{ artifacts: MemorySink; facts: PostgresFacts }> {
  const { capture, artifacts } = await beginCapture(engine, folder);
  try {
    await capture.prepare();
    await capture.arm(token());
    await capture.freeze(token());
    await capture.thaw(token(), () => undefined);
    const { engineFacts } = await capture.collect();
    await capture.close();
    return { artifacts, facts: engineFacts as PostgresFacts };
  } catch (error) {
    await capture.abort();
    throw error;
  }
}

/** What was moved is in force, and nothing is pending. */
async function reload(server: PostgresServer): Promise<void> {
  const loaded = async (): Promise<string | undefined> =>
    (await server.query<{ at: string }>('SELECT pg_conf_load_time()::text AS at'))[0]?.at;
  const before = await loaded();
  await server.query('SELECT pg_reload_conf()');
  await until('the reload', async () => (await loaded()) !== before);
}

describe('directories of configuration outside of the data directory', () => {
  const folder = temporaryFolder('come-and-go');
  after(() => folder.remove());

  it('are stored also where files and directories of theirs come and go', async () => {
    for (const name of ['a/inner', 'b', 'c/inner']) {
      mkdirSync(dirname(join(folder.path, name)), { recursive: true });
      writeFileSync(join(folder.path, name), name);
    }
    const stored: string[] = [];
    await storeDirectories(
      {
        directory: () => undefined,
        symlink: () => undefined,
        file({ path }) {
          stored.push(path);
          // Whichever is read first, the others are gone then.
          for (const name of ['a', 'b', 'c'])
            if (!path.startsWith(`also/0/${name}`))
              rmSync(join(folder.path, name), { recursive: true, force: true });
          return Promise.resolve({ sizeBytes: 0, digest: '' });
        },
      },
      [folder.path],
      null,
    );
    expect(stored).to.have.length(1);
  });
});

for (const version of versions) {
  describe(`what a capture stores of PostgreSQL ${version}`, () => {
    let lab: PostgresLab;
    before(async () => {
      // An archive that fails: it must not hold up a base copy.
      lab = await postgresLab(version, {
        templates: true,
        walSegmentMb: 16,
        settings: ['archive_mode = on', 'archive_command = false'],
      });
    });
    after(() => lab.remove());

    it('holds the base copy with its tablespaces, the journal cut at the mark, and what lies outside', async () => {
      const { server, folder } = lab;
      const place = join(folder, 'fast');
      mkdirSync(place);
      if (serverUser !== null) chownSync(place, serverUser.uid, serverUser.gid);
      await server.query(`CREATE TABLESPACE fast LOCATION '${place}'`);
      await server.query('CREATE TABLE apart TABLESPACE fast AS SELECT generate_series(1, 1000) AS id');
      const outside = join(folder, 'etc');
      mkdirSync(join(outside, 'conf.d'), { recursive: true });
      writeFileSync(join(outside, 'conf.d', 'extra.conf'), 'work_mem = 8MB\n');
      const engine = createPostgresEngine({ ...lab.settings, also: [outside] });
      const progress: [number, number][] = [];
      const { capture, artifacts } = await beginCapture(engine, folder, {
        progress: (done, total) => progress.push([done, total]),
      });

      await capture.prepare();
      await server.query('INSERT INTO entry SELECT generate_series(1, 5000)');
      await server.query('SELECT pg_switch_wal()');
      await capture.arm(token());
      const { mark } = await capture.freeze(token());
      const { engineFacts } = await (async () => {
        await capture.thaw(token(), () => undefined);
        await server.query('INSERT INTO entry SELECT generate_series(5001, 6000)');
        return capture.collect();
      })();
      await capture.close();

      const facts = engineFacts as PostgresFacts;
      const [{ oid }] = await server
        .query<{ oid: string }>("SELECT oid::text FROM pg_tablespace WHERE spcname = 'fast'")
        .then((rows) => rows as [{ oid: string }]);
      expect(facts.tablespaces).to.deep.equal([{ oid, location: place }]);
      expect(artifacts.paths(`tablespaces/${oid}/`)).to.not.have.length(0);
      for (const name of [
        'PG_VERSION',
        'backup_label',
        'backup_manifest',
        'tablespace_map',
        'global/pg_control',
      ])
        expect(artifacts.files.has(`base/${name}`), name).to.equal(true);
      expect(artifacts.paths('base/pg_wal/')).to.deep.equal([]);
      expect([...artifacts.directories]).to.include.members([
        'base/pg_wal',
        'base/pg_replslot',
        'also/0/conf.d',
      ]);
      expect(artifacts.files.get('also/0/conf.d/extra.conf')?.bytes.toString()).to.equal('work_mem = 8MB\n');
      expect(progress.at(-1)?.[0]).to.be.greaterThan(1_000_000);

      const journal = artifacts.paths('journal/');
      expect(journal.length).to.be.greaterThan(1);
      expect(journal.at(-1)).to.equal(`journal/${mark?.journalFile}`);
      expect(journal[0]).to.equal(
        `journal/${fileEndingAt(parseLsn(facts.startPosition ?? '') + 1n, facts.timeline, SEGMENT)}`,
      );
      for (const path of journal) expect(artifacts.files.get(path)?.bytes.length).to.equal(SEGMENT);
      const last = artifacts.files.get(journal.at(-1) ?? '')?.bytes ?? Buffer.alloc(0);
      const cut = Number(parseLsn(mark?.position ?? '') % BigInt(SEGMENT));
      expect(last.subarray(cut).every((byte) => byte === 0)).to.equal(true);
      expect(last.subarray(0, cut).includes(mark?.name ?? '')).to.equal(true);
      expect(facts).to.deep.include({
        kind: 'primary',
        restorePoint: mark?.name,
        markPosition: mark?.position,
        port: server.port,
        archiving: true,
        walSegmentSizeBytes: SEGMENT,
        also: [outside],
      });
    });

    for (const [what, after] of Object.entries({
      'that stays': [],
      'that is dropped again': ['DROP TABLESPACE late'],
    })) {
      it(`is refused with a tablespace in its journal ${what}: a replay would write where that one is`, async () => {
        const { server, folder } = lab;
        const place = join(folder, 'late');
        mkdirSync(place, { recursive: true });
        if (serverUser !== null) chownSync(place, serverUser.uid, serverUser.gid);
        const { capture } = await beginCapture(lab.engine, folder);
        try {
          await capture.prepare();
          for (const statement of [`CREATE TABLESPACE late LOCATION '${place}'`, ...after])
            await server.query(statement);
          await capture.arm(token());
          await capture.freeze(token());
          await capture.thaw(token(), () => undefined);
          const failure = await capture.collect().catch((error: unknown) => error);
          expect(failure).to.have.nested.property('failure.code', 'tablespace-made');
        } finally {
          await capture.abort();
          await server.query('DROP TABLESPACE IF EXISTS late');
        }
      });
    }

    it('is refused with a tablespace inside the data directory, of which a base copy has nothing', async () => {
      const client = await lab.server.connect();
      try {
        await client.query('SET allow_in_place_tablespaces = on');
        await client.query("CREATE TABLESPACE inside LOCATION ''");
        const { capture } = await beginCapture(lab.engine, lab.folder);
        const failure = await capture.prepare().catch((error: unknown) => error);
        await capture.abort();
        expect(failure).to.have.nested.property('failure.code', 'tablespace-in-place');
      } finally {
        await client.query('DROP TABLESPACE IF EXISTS inside');
        await client.end();
      }
    });

    it('has the configuration that lies behind links, and knows what else a base copy left out', async () => {
      const { server, folder } = lab;
      const etc = join(folder, 'linked');
      mkdirSync(etc, { recursive: true });
      const text = readFileSync(join(server.data, 'pg_hba.conf'), 'utf8');
      renameSync(join(server.data, 'pg_hba.conf'), join(etc, 'hba'));
      symlinkSync(join(etc, 'hba'), join(server.data, 'pg_hba.conf'));
      symlinkSync(etc, join(server.data, 'elsewhere'));
      await reload(server);
      try {
        const { artifacts, facts } = await captured(lab.engine, folder);
        expect(artifacts.files.get('base/pg_hba.conf')?.bytes.toString()).to.equal(text);
        expect(facts.leftOut).to.have.deep.members([
          { path: 'pg_hba.conf', target: join(etc, 'hba'), stored: true },
          { path: 'elsewhere', target: etc, stored: false },
        ]);
        if (serverUser === null) return;
        // Of root alone: nothing that its server could not read itself is read for it.
        chmodSync(join(etc, 'hba'), 0o600);
        chownSync(join(etc, 'hba'), 0, 0);
        const { capture } = await beginCapture(lab.engine, folder);
        const refused = await capture.prepare().catch((error: unknown) => error);
        await capture.abort();
        expect(refused).to.have.nested.property('failure.code', 'also-unreadable');
      } finally {
        rmSync(join(server.data, 'elsewhere'));
        rmSync(join(server.data, 'pg_hba.conf'));
        renameSync(join(etc, 'hba'), join(server.data, 'pg_hba.conf'));
        if (serverUser !== null) chownSync(join(server.data, 'pg_hba.conf'), serverUser.uid, serverUser.gid);
        await reload(server);
      }
    });

    it('knows every file outside of its directory that its configuration names, at any depth', async () => {
      const { server, folder } = lab;
      const [one, two] = [join(folder, 'one.conf'), join(folder, 'two.conf')];
      writeFileSync(one, `include '${two}'\n`);
      writeFileSync(two, 'work_mem = 5MB\n');
      const before = readFileSync(join(server.data, 'postgresql.conf'), 'utf8');
      server.configure([`include '${one}'`]);
      await reload(server);
      try {
        const { facts } = await captured(lab.engine, folder);
        expect(facts.needs).to.include(two);
        expect(facts.configFile).to.equal(join(server.data, 'postgresql.conf'));
      } finally {
        writeFileSync(join(server.data, 'postgresql.conf'), before);
        await reload(server);
      }
    });

    it("has a key that its server reads as a member of a group as the server's own, in a mode that it takes then", async () => {
      if (serverUser === null) return;
      const key = join(lab.server.data, 'server.key');
      const also = join(lab.folder, 'keys');
      mkdirSync(also);
      for (const file of [key, join(also, 'key')]) {
        writeFileSync(file, '-----BEGIN PRIVATE KEY-----\nMC4=\n');
        chownSync(file, 0, serverUser.gid);
        chmodSync(file, 0o640);
      }
      writeFileSync(join(also, 'note'), 'for a group');
      chownSync(join(also, 'note'), 0, serverUser.gid);
      chmodSync(join(also, 'note'), 0o640);
      try {
        const engine = createPostgresEngine({ ...lab.settings, also: [also] });
        const { artifacts } = await captured(engine, lab.folder);
        expect(artifacts.files.get('base/server.key')?.mode).to.equal(0o600);
        expect(artifacts.files.get('also/0/key')?.mode).to.equal(0o600);
        expect(artifacts.files.get('also/0/note')?.mode).to.equal(0o640);
      } finally {
        rmSync(key);
      }
    });

    // The older one is made without checksums here.
    if (version === '18')
      it('names a page with a wrong checksum by file, block and table, and goes on only where that is allowed', async () => {
        const { server, folder } = lab;
        await server.query(
          'CREATE TABLE "Worn" AS SELECT g AS x FROM generate_series(1, 1000) AS g; CHECKPOINT',
        );
        const [found] = await server.query<{ path: string }>(`SELECT pg_relation_filepath('"Worn"') AS path`);
        const path = found?.path ?? '';
        const bytes = readFileSync(join(server.data, path));
        const worn = Buffer.from(bytes);
        worn.fill(0x5a, 8192 + 4000, 8192 + 4100);
        writeFileSync(join(server.data, path), worn);
        const page = `block 1 of ${path} (public."Worn" in database postgres)`;
        try {
          const { capture } = await beginCapture(lab.engine, folder);
          const refused = await capture.prepare().catch((error: unknown) => error);
          await capture.abort();
          expect(refused).to.have.nested.property('failure.code', 'page-damaged');
          expect(refused).to.have.property('message').that.includes(page);

          const copy = { ...lab.settings.copy, damagedPages: 'mark' } as const;
          const { artifacts, facts } = await captured(
            createPostgresEngine({ ...lab.settings, copy }),
            folder,
          );
          expect(facts.damagedPages).to.deep.equal([page]);
          expect(artifacts.files.get(`base/${path}`)?.bytes.equals(worn)).to.equal(true);
          expect(artifacts.files.has('base/backup_manifest')).to.equal(true);
        } finally {
          writeFileSync(join(server.data, path), bytes);
        }
      });

    it('knows what in its data leads to another server, in every database that its role may enter, and no login', async () => {
      const { server, folder } = lab;
      await server.query('CREATE DATABASE "a/b"');
      await server.query(
        'CREATE EXTENSION postgres_fdw; CREATE SERVER "Shard" FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host \'shard-b\')',
      );
      const inside = new Client({ host: server.host, port: server.port, user: 'postgres', database: 'a/b' });
      await inside.connect();
      await inside.query(`SET allow_system_table_mods = on;
        CREATE TABLE pg_catalog.pg_dist_node AS SELECT 3 AS nodeid, 'worker'::text AS nodename, 5432 AS nodeport;
        GRANT SELECT ON pg_catalog.pg_dist_node TO PUBLIC`);
      await inside.end();
      try {
        const { capture } = await beginCapture(lab.engine, folder);
        await capture.prepare();
        await capture.arm(token());
        await capture.freeze(token());
        await capture.thaw(token(), () => undefined);
        const { outbound } = (await capture.collect()).engineFacts as PostgresFacts;
        await capture.close();

        expect(outbound).to.deep.equal([
          {
            database: 'postgres',
            kind: 'foreign server (postgres_fdw)',
            name: 'Shard',
            address: 'shard-b:5432',
            change: `ALTER SERVER "Shard" OPTIONS (SET host '…')`,
            places: [{ host: 'shard-b', port: 5432 }],
            editable: true,
          },
          {
            database: 'a/b',
            kind: 'node of Citus',
            name: '3',
            address: 'worker:5432',
            change: `SELECT citus_update_node(3, '…', …)`,
            places: [{ host: 'worker', port: 5432 }],
            editable: true,
          },
        ]);
      } finally {
        await server.query('DROP DATABASE "a/b" WITH (FORCE)');
        await server.query('DROP EXTENSION postgres_fdw CASCADE');
      }
    });
  });
}
