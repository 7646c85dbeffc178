import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { chownSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import type { VerifiedMember } from '../../../../agent/engines/engine.ts';
import type { PostgresFacts } from '../../../../agent/engines/postgres/copy/facts.ts';
import {
  finishControlFile,
  readControlFile,
  withholdControlFile,
} from '../../../../agent/engines/postgres/restore/control-file.ts';
import { proveStaged, type ProofInput } from '../../../../agent/engines/postgres/restore/prove.ts';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { postgresServer, serverUser, type PostgresServer } from '../../../lab/postgres.ts';
import { backupCalls } from '../../../lab/postgres-role.ts';
import { temporaryFolder } from '../../../lab/temporary.ts';
import { versions } from '../lab.ts';

// Goal: a restored server is recovered to the mark and proven where nobody but the agent can reach it, whatever its owner configured.
// Method: a copy of a real server and its journal, with a row after the mark, taken for a staged directory.

const HOST = '127.0.43.1';

for (const version of versions) {
  describe(`a staged directory of PostgreSQL ${version}`, () => {
    const folder = temporaryFolder('private');
    let server: PostgresServer;
    let facts: PostgresFacts;
    let proven: VerifiedMember;

    before(async () => {
      server = await postgresServer({
        version,
        data: join(folder.path, 'data'),
        host: HOST,
        // What its owner configured for other days would end or hold a recovery that read it.
        settings: [
          'max_prepared_transactions = 7',
          'wal_keep_size = 256MB',
          'max_connections = 43',
          "recovery_end_command = 'exit 9'",
        ],
      });
      await server.start();
      await server.query('CREATE TABLE t AS SELECT 1 AS x');
      const path = await fillOdd(server);
      // As some owners have it: nobody gets into template1.
      await server.query('ALTER DATABASE template1 ALLOW_CONNECTIONS false');
      const copy = join(folder.path, 'copy');
      const label = await copyOf(server, copy);
      damage(join(copy, path));
      await server.query("BEGIN; INSERT INTO t VALUES (2); PREPARE TRANSACTION 'two'");
      await server.query("BEGIN; INSERT INTO t VALUES (3); PREPARE TRANSACTION 'three'");
      const [mark] = await server.query<{ position: string; identifier: string; timeline: number }>(
        `SELECT pg_create_restore_point('the_mark')::text AS position, (SELECT timeline_id FROM pg_control_checkpoint()) AS timeline,
                (SELECT system_identifier::text FROM pg_control_system()) AS identifier`,
      );
      await server.query('INSERT INTO t VALUES (4)');
      server.stop();
      // What lies staged: the copy, and the whole journal.
      rmSync(join(copy, 'pg_wal'), { recursive: true });
      spawnSync('cp', ['-a', join(server.data, 'pg_wal'), copy]);
      rmSync(server.data, { recursive: true });
      renameSync(copy, server.data);
      rmSync(join(server.data, 'postmaster.pid'), { force: true });
      write('backup_label', label);
      facts = {
        restorePoint: 'the_mark',
        markPosition: mark?.position ?? '',
        systemIdentifier: mark?.identifier ?? '',
        timeline: mark?.timeline ?? 0,
        serverVersion: Number(version) * 10_000,
        outbound: [
          {
            database: 'odd',
            kind: 'node of Citus',
            name: '1',
            address: 'worker-a:5432',
            change: '',
            places: [],
            editable: false,
          },
        ],
      } as Partial<PostgresFacts> as PostgresFacts;
      await withholdControlFile(server.data);
    });

    after(() => {
      server?.kill();
      folder.remove();
    });

    function write(name: string, text: string): void {
      writeFileSync(join(server.data, name), text, { mode: 0o600 });
      if (serverUser !== null) chownSync(join(server.data, name), serverUser.uid, serverUser.gid);
    }

    function proof(part: Partial<ProofInput> = {}): ProofInput {
      write('recovery.signal', '');
      write('postgresql.auto.conf', '');
      return {
        member: 'aa',
        program: join(server.binaries, 'postgres'),
        serverVersion: facts.serverVersion,
        data: server.data,
        owner: serverUser === null ? null : { uid: serverUser.uid, gid: serverUser.gid },
        roles: ['nobody_of_that_name', 'postgres'],
        databases: ['nothing_of_that_name', 'app', 'postgres'],
        signal: new AbortController().signal,
        facts,
        follows: false,
        preload: '',
        book: null,
        ...part,
      };
    }

    it('cannot be started by anybody before it is proven', async () => {
      expect(await server.start().catch(() => 'it does not start')).to.equal('it does not start');
    });

    it('is recovered to the mark and stays a standby where it is to follow, whatever umask the agent has', async () => {
      const input = proof({ follows: true });
      const umask = process.umask(0o077);
      const { checks } = await proveStaged(input, {
        committed: [],
        standbys: [],
        questions: [],
        moves: null,
      }).finally(() => process.umask(umask));
      expect(checks.join()).to.include(`recovered to ${facts.markPosition ?? ''}`);
      expect(existsSync(join(server.data, 'global/pg_control'))).to.equal(false);
    });

    it('is not proven where its journal does not come to the mark', async () => {
      const input = proof({ facts: { ...facts, restorePoint: 'another_mark' } });
      const failure = await proveStaged(input, {
        committed: [],
        standbys: [],
        questions: [],
        moves: null,
      }).catch((error: unknown) => error);
      expect(failure).to.be.instanceOf(StillpointError);
      expect((failure as StillpointError).failure.code, String(failure)).to.equal('recovery-failed');
      expect((failure as StillpointError).message).to.include(
        'recovery ended before configured recovery target',
      );
    });

    it('is promoted at the mark, and commits what was committed elsewhere, and nothing else', async () => {
      proven = await proveStaged(proof(), { committed: ['two'], standbys: [], questions: [], moves: null });
      const { checks, prepared } = proven;
      expect(checks.join()).to.include('system identifier').and.include('amcheck');
      expect(prepared).to.deep.equal([
        { gid: 'three', database: 'postgres', committed: false, cause: '', byHand: byHand('three') },
        { gid: 'two', database: 'postgres', committed: true, cause: '', byHand: byHand('two') },
      ]);
      expect(existsSync(join(server.data, 'global/pg_control'))).to.equal(false);
    });

    it('is searched for what leads to other servers, and what the plan has told is not told again', () => {
      const { warnings } = proven;
      const told = warnings.filter(({ code }) => code === 'postgres-names-other').map(({ text }) => text);
      expect(told.join('\n'))
        .to.include(
          'in database odd: foreign server (postgres_fdw) shard_b leads to shard-b:5433, with user mappings for postgres',
        )
        .and.include('foreign server (dblink_fdw) nearby leads to the local server')
        .and.include('node of Citus 2 leads to worker-b:5433')
        .and.include('job of pg_cron (5 * * * *) 7 leads to localhost:5432')
        .and.include('function (dblink) public.reach() leads to shard-c')
        .and.include('view (dblink) public.reached leads to shard-d');
      expect(told).to.have.length(6);
      expect(told.join()).not.to.include('secret');
    });

    it('is proven with indexes that were damaged before, or sort otherwise on this host: each is told with what mends it', () => {
      const { warnings } = proven;
      const about = (code: string): string =>
        warnings
          .filter((one) => one.code === code)
          .map(({ text, hint }) => `${text} / ${hint}`)
          .join('\n');
      expect(about('postgres-structure-damaged')).to.match(
        /^in database odd: index public.bad_key is damaged, as it was .* REINDEX INDEX public.bad_key;$/s,
      );
      expect(about('postgres-collation-other'))
        .to.include('collation public.german')
        .and.include('and was 1')
        .and.include('REINDEX DATABASE "odd"; ALTER COLLATION public.german REFRESH VERSION');
    });

    it('is proven with databases that let nobody in, or end what is slow: what was not looked at is told', () => {
      const { warnings } = proven;
      const unseen = warnings
        .filter(({ code }) => code === 'postgres-database-unseen')
        .map(({ text }) => text);
      expect(unseen).to.deep.equal(['database template1 was not looked at: it takes no connections']);
    });

    it('keeps the limits that were in force, and is what was promised when it is opened', async () => {
      await finishControlFile(server.data);
      const { ended, settings } = await readControlFile(server.data);
      expect(ended).to.equal('shut down');
      expect(Object.fromEntries(settings)).to.include({
        max_connections: '43',
        max_prepared_transactions: '7',
        wal_level: 'replica',
      });
      await server.start();
      expect(await server.query('SELECT x FROM t ORDER BY x')).to.deep.equal([{ x: 1 }, { x: 2 }]);
      expect(await server.query('SELECT gid FROM pg_prepared_xacts')).to.deep.equal([{ gid: 'three' }]);
    });
  });
}

/** A database as some owners have theirs; resolves to the path of an index of it. */
async function fillOdd(server: PostgresServer): Promise<string> {
  await server.query('CREATE DATABASE odd CONNECTION LIMIT 0');
  await server.query("ALTER DATABASE odd SET statement_timeout = '1ms'");
  const client = new Client({
    host: server.host,
    port: server.port,
    user: 'postgres',
    database: 'odd',
    options: '-c statement_timeout=0',
  });
  await client.connect();
  try {
    await client.query(`
      SET allow_system_table_mods = on;
      CREATE EXTENSION postgres_fdw; CREATE EXTENSION dblink;
      CREATE SERVER shard_b FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'shard-b', port '5433');
      CREATE USER MAPPING FOR postgres SERVER shard_b OPTIONS (user 'x', password 'secret');
      CREATE SERVER nearby FOREIGN DATA WRAPPER dblink_fdw;
      CREATE TABLE pg_catalog.pg_dist_node AS SELECT * FROM (VALUES (1, 'worker-a', 5432), (2, 'worker-b', 5433)) AS n (nodeid, nodename, nodeport);
      CREATE SCHEMA cron;
      CREATE TABLE cron.job AS SELECT 7 AS jobid, 'localhost' AS nodename, 5432 AS nodeport, '5 * * * *' AS schedule;
      CREATE FUNCTION reach() RETURNS void LANGUAGE plpgsql AS $$BEGIN PERFORM dblink_exec('host=shard-c password=secret', 'SELECT 1'); END$$;
      CREATE VIEW reached AS SELECT * FROM dblink('postgresql://a:secret@shard-d/app', 'SELECT 1') AS x (y int);
      CREATE COLLATION german (provider = icu, locale = 'de');
      CREATE TABLE name (name text COLLATE german PRIMARY KEY);
      UPDATE pg_collation SET collversion = '1' WHERE collname = 'german';
      CREATE TABLE bad AS SELECT x FROM generate_series(1, 1000) AS x;
      CREATE INDEX bad_key ON bad (x);
      CHECKPOINT;`);
    const { rows } = await client.query<{ path: string }>("SELECT pg_relation_filepath('bad_key') AS path");
    return rows[0]?.path ?? '';
  } finally {
    await client.end();
  }
}

/** Of a page in the middle, some bytes. */
function damage(path: string): void {
  const bytes = readFileSync(path);
  bytes.fill(0x5a, 8192 + 4000, 8192 + 5000);
  writeFileSync(path, bytes);
}

/** A base copy; resolves to its backup_label. */
async function copyOf(server: PostgresServer, copy: string): Promise<string> {
  const client = await server.connect();
  try {
    const [start, stop] = backupCalls(server.version);
    await client.query(`SELECT ${start}`);
    spawnSync('cp', ['-a', server.data, copy]);
    const { rows } = await client.query<{ labelfile: string }>(`SELECT labelfile FROM ${stop}`);
    return rows[0]?.labelfile ?? '';
  } finally {
    await client.end();
  }
}

function byHand(gid: string): { commit: string; rollback: string } {
  return { commit: `COMMIT PREPARED '${gid}'`, rollback: `ROLLBACK PREPARED '${gid}'` };
}
