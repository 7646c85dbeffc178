import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { chownSync, existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PostgresFacts } from '../../../../agent/engines/postgres/copy/facts.ts';
import {
  finishControlFile,
  readControlFile,
  withholdControlFile,
} from '../../../../agent/engines/postgres/restore/control-file.ts';
import { proveStaged, type ProofInput } from '../../../../agent/engines/postgres/restore/prove.ts';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import {
  postgresServer,
  serverUser,
  type PostgresServer,
  type PostgresVersion,
} from '../../../lab/postgres.ts';
import { temporaryFolder } from '../../../lab/temporary.ts';

// Goal: a restored server is recovered to the mark and proven where nobody but the agent can reach it, whatever its owner configured.
// Method: a copy of a real server and its journal, with a row after the mark, taken for a staged directory.

const HOST = '127.0.43.1';

for (const version of ['15', '18'] satisfies PostgresVersion[]) {
  describe(`a staged directory of PostgreSQL ${version}`, () => {
    const folder = temporaryFolder('private');
    let server: PostgresServer;
    let facts: PostgresFacts;

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
      // As some owners have it: nobody gets into template1.
      await server.query('ALTER DATABASE template1 ALLOW_CONNECTIONS false');
      const copy = join(folder.path, 'copy');
      const label = await copyOf(server, copy);
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
      } as PostgresFacts;
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
        ...part,
      };
    }

    it('cannot be started by anybody before it is proven', async () => {
      expect(await server.start().catch(() => 'it does not start')).to.equal('it does not start');
    });

    it('is recovered to the mark and stays a standby where it is to follow, whatever umask the agent has', async () => {
      const input = proof({ follows: true });
      const umask = process.umask(0o077);
      const { checks } = await proveStaged(input, { committed: [], standbys: [], questions: [] }).finally(
        () => process.umask(umask),
      );
      expect(checks.join()).to.include(`recovered to ${facts.markPosition ?? ''}`);
      expect(existsSync(join(server.data, 'global/pg_control'))).to.equal(false);
    });

    it('is not proven where its journal does not come to the mark', async () => {
      const input = proof({ facts: { ...facts, restorePoint: 'another_mark' } });
      const failure = await proveStaged(input, { committed: [], standbys: [], questions: [] }).catch(
        (error: unknown) => error,
      );
      expect(failure).to.be.instanceOf(StillpointError);
      expect((failure as StillpointError).failure.code, String(failure)).to.equal('recovery-failed');
      expect((failure as StillpointError).message).to.include(
        'recovery ended before configured recovery target',
      );
    });

    it('is promoted at the mark, and commits what was committed elsewhere, and nothing else', async () => {
      const { checks, prepared } = await proveStaged(proof(), {
        committed: ['two'],
        standbys: [],
        questions: [],
      });
      expect(checks.join()).to.include('system identifier').and.include('amcheck');
      expect(prepared).to.deep.equal([
        { gid: 'three', database: 'postgres', committed: false, cause: '', byHand: byHand('three') },
        { gid: 'two', database: 'postgres', committed: true, cause: '', byHand: byHand('two') },
      ]);
      expect(existsSync(join(server.data, 'global/pg_control'))).to.equal(false);
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

/** A base copy; resolves to its backup_label. */
async function copyOf(server: PostgresServer, copy: string): Promise<string> {
  const client = await server.connect();
  try {
    await client.query("SELECT pg_backup_start('copy', true)");
    spawnSync('cp', ['-a', server.data, copy]);
    const { rows } = await client.query<{ labelfile: string }>('SELECT labelfile FROM pg_backup_stop(false)');
    return rows[0]?.labelfile ?? '';
  } finally {
    await client.end();
  }
}

function byHand(gid: string): { commit: string; rollback: string } {
  return { commit: `COMMIT PREPARED '${gid}'`, rollback: `ROLLBACK PREPARED '${gid}'` };
}
