import { expect } from 'chai';
import type { Client } from 'pg';
import type { ThawProof } from '../../../../shared/domain/messages.ts';
import { finishedBetween, parseSnapshot } from '../../../../agent/engines/postgres/hold/leak-proof.ts';
import { beginCapture, HELD_ALONE, token } from '../../tested-capture.ts';
import { postgresLab, until, versions, type PostgresLab } from '../lab.ts';

describe('the snapshots around a freeze', () => {
  it('name what was unfinished in the first and is finished in the second', () => {
    const first = parseSnapshot('100:105:100,103');
    const second = parseSnapshot('103:108:103,106');

    expect(finishedBetween(first, second)).to.deep.equal([100n, 105n, 107n]);
  });

  it('name nothing where nothing ended', () => {
    const first = parseSnapshot('100:100:');

    expect(finishedBetween(first, parseSnapshot('100:102:100,101'))).to.deep.equal([]);
  });
});

for (const version of versions) {
  describe(`the proof that PostgreSQL ${version} held`, () => {
    let lab: PostgresLab;
    before(async () => {
      lab = await postgresLab(version);
    });
    after(() => lab.remove());

    /** Freezes, lets something happen, thaws. */
    async function proofOf(
      happening: (client: Client) => Promise<unknown>,
      before = 'SELECT 1',
    ): Promise<ThawProof> {
      const client = await lab.server.connect();
      await client.query(before);
      const { capture } = await beginCapture(lab.engine, lab.folder, { assignment: HELD_ALONE });
      try {
        await capture.prepare();
        await capture.arm(token());
        await capture.freeze(token());
        await happening(client);
        return await capture.thaw(token(), () => undefined);
      } finally {
        await capture.abort();
        await client.end();
      }
    }

    async function waitsForUs(pid: number): Promise<void> {
      await until('the commit to wait', async () => {
        const rows = await lab.server.query(
          `SELECT FROM pg_stat_activity WHERE pid = ${pid} AND wait_event = 'SyncRep'`,
        );
        return rows.length === 1;
      });
    }

    async function pidOf(client: Client): Promise<number> {
      return (await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid ?? 0;
    }

    it('is broken by a commit that does not wait for synchronous standbys', async () => {
      const proof = await proofOf((client) =>
        client.query('SET synchronous_commit = off; INSERT INTO entry VALUES (-1)'),
      );

      expect(proof.type).to.equal('broken');
      expect(proof)
        .to.have.property('cause')
        .that.matches(/transaction \d+ passed the fence.*synchronous_commit/);
    });

    it('is broken by such a commit also behind a switch to another journal file', async () => {
      const proof = await proofOf(async (client) => {
        await client.query('SELECT pg_switch_wal()');
        await client.query('SET synchronous_commit = local; INSERT INTO entry VALUES (-2)');
      });

      expect(proof.type).to.equal('broken');
    });

    it('is broken by a wait that somebody cancelled', async () => {
      const proof = await proofOf(async (client) => {
        const pid = await pidOf(client);
        const write = client.query('INSERT INTO entry VALUES (-3)');
        await waitsForUs(pid);
        await lab.server.query(`SELECT pg_cancel_backend(${pid})`);
        await write;
      });

      expect(proof.type).to.equal('broken');
    });

    it('is not broken by commits that leave nothing but their own record, as fast as they come', async () => {
      await lab.server.query('CREATE UNLOGGED TABLE cache (k int PRIMARY KEY, v int)');
      await lab.server.query('INSERT INTO cache VALUES (1, 0), (2, 0)');
      const statements = [
        'UPDATE cache SET v = v + 1 WHERE k = 1',
        // With a subtransaction, whose number its journal would carry.
        'BEGIN; SAVEPOINT a; UPDATE cache SET v = v + 1 WHERE k = 2; COMMIT',
        'INSERT INTO own VALUES (1)',
        "SELECT pg_notify('jobs', '')",
      ];
      let isWriting = true;
      const returned = statements.map(() => 0);
      const load = statements.map(async (statement, index) => {
        const client = await lab.server.connect();
        await client.query('CREATE TEMPORARY TABLE own (x int)');
        while (isWriting) {
          await client.query(statement);
          returned[index] = (returned[index] ?? 0) + 1;
        }
        await client.end();
      });
      try {
        await until('all to write', () => returned.every((count) => count > 50));

        // One that happens to log a hint waits as it should; the others go on.
        const proof = await proofOf(async () => {
          const before = returned.reduce((sum, count) => sum + count, 0);
          await until('commits in the window', () => returned.reduce((sum, n) => sum + n, 0) > before + 200);
        });

        expect(proof).to.have.property('type', 'held');
      } finally {
        isWriting = false;
        await Promise.all(load);
      }
    });

    it('is broken by an asynchronous commit among those, also where only a subtransaction of it wrote', async () => {
      await lab.server.query('CREATE UNLOGGED TABLE IF NOT EXISTS cache (k int PRIMARY KEY, v int)');
      const proofs: ThawProof[] = [];
      for (const statement of [
        'BEGIN; UPDATE cache SET v = 0; INSERT INTO entry VALUES (-20); COMMIT',
        'BEGIN; UPDATE cache SET v = 0; SAVEPOINT a; INSERT INTO entry VALUES (-21); COMMIT',
        "BEGIN; UPDATE cache SET v = 0; SELECT pg_logical_emit_message(true, 'a', 'b'); COMMIT",
      ]) {
        proofs.push(
          await proofOf(async (client) => {
            await client.query('SET synchronous_commit = off; UPDATE cache SET v = v + 1');
            await client.query(statement);
          }),
        );
      }

      expect(proofs.map(({ type }) => type)).to.deep.equal(['broken', 'broken', 'broken']);
    });

    it('is broken by an asynchronous commit whose changes were logged before the freeze was armed', async () => {
      const proof = await proofOf(
        (client) => client.query('COMMIT'),
        'SET synchronous_commit = off; BEGIN; INSERT INTO entry VALUES (-22)',
      );

      expect(proof).to.have.property('cause').that.includes('begun before the freeze was armed');
    });

    it('is not broken by ANALYZE or VACUUM, also where they do not wait', async () => {
      await lab.server.query(
        'CREATE TABLE vacuumed AS SELECT i, i::text AS t FROM generate_series(1, 20000) i',
      );
      await lab.server.query('CREATE STATISTICS both_columns ON i, t FROM vacuumed');
      const proof = await proofOf(async (client) => {
        await client.query('SET synchronous_commit = off');
        await client.query('ANALYZE');
        // It cuts off what is empty, which takes a transaction.
        await client.query('VACUUM vacuumed');
      }, 'DELETE FROM vacuumed WHERE i > 10');

      expect(proof.type).to.equal('held');
    });

    it('is broken by an asynchronous change of the catalogue, which is more than statistics', async () => {
      const proof = await proofOf((client) =>
        client.query(
          'SET synchronous_commit = off; BEGIN; ANALYZE entry; ALTER TABLE entry ALTER note SET STATISTICS 50; COMMIT',
        ),
      );

      expect(proof.type).to.equal('broken');
    });

    it('is broken by a prepared transaction that was committed past the fence', async () => {
      await lab.server.query("BEGIN; INSERT INTO entry VALUES (-4); PREPARE TRANSACTION 'leaking'");

      const proof = await proofOf(async (client) => {
        await client.query('SET synchronous_commit = off');
        await client.query("COMMIT PREPARED 'leaking'");
      });

      expect(proof.type).to.equal('broken');
    });

    it('is not broken by transactions that roll back, read, or wait as they should', async () => {
      const writer = await lab.server.connect();
      const pid = await pidOf(writer);
      let write: Promise<unknown> = Promise.resolve();

      const proof = await proofOf(async (client) => {
        await client.query(
          'BEGIN; INSERT INTO entry VALUES (-5); SAVEPOINT a; INSERT INTO entry VALUES (-6)',
        );
        await client.query('ROLLBACK');
        await client.query('SELECT count(*) FROM entry');
        write = writer.query(
          'BEGIN; INSERT INTO entry VALUES (-7); SAVEPOINT a; INSERT INTO entry VALUES (-8); COMMIT',
        );
        await waitsForUs(pid);
      });
      await write;
      await writer.end();

      expect(proof.type).to.equal('held');
    });

    it('is broken when the fence is taken down by somebody else, and that is not mistaken for a thaw', async () => {
      const proof = await proofOf((client) =>
        client.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name = 'stillpoint'`,
        ),
      );

      expect(proof.type).to.equal('broken');
    });

    it('is broken when somebody changes synchronous_standby_names meanwhile, whose value stays', async () => {
      const proof = await proofOf(async (client) => {
        await client.query("ALTER SYSTEM SET synchronous_standby_names = ''");
        await client.query('SELECT pg_reload_conf()');
        await until('the reload', async () => {
          const rows = await client.query<{ names: string }>(
            "SELECT current_setting('synchronous_standby_names') AS names",
          );
          return rows.rows[0]?.names === '';
        });
      });
      await lab.server.query('ALTER SYSTEM RESET synchronous_standby_names');
      await lab.server.query('SELECT pg_reload_conf()');

      expect(proof.type).to.equal('broken');
    });

    it('holds in 50 rounds under eight clients that write without a pause', async () => {
      const clients = await Promise.all(Array.from({ length: 8 }, () => lab.server.connect()));
      let writing = true;
      let written = 0;
      const load = clients.map(async (client, index) => {
        for (let count = 0; writing; count += 1) {
          const id = 1_000_000 * (index + 1) + count;
          // Every third with a subtransaction, whose number the snapshots do not name.
          const savepoint = count % 3 === 0 ? 'SAVEPOINT a;' : '';
          await client.query(`BEGIN; ${savepoint} INSERT INTO entry VALUES (${id}); COMMIT`);
          written += 1;
        }
      });
      const { capture } = await beginCapture(lab.engine, lab.folder, { assignment: HELD_ALONE });
      const proofs: ThawProof[] = [];
      try {
        await capture.prepare();
        for (let attempt = 1; attempt <= 50; attempt += 1) {
          await capture.arm(token(attempt));
          await capture.freeze(token(attempt));
          proofs.push(await capture.thaw(token(attempt), () => undefined));
        }
      } finally {
        await capture.abort();
        writing = false;
        await Promise.all(load);
        await Promise.all(clients.map((client) => client.end()));
      }

      expect(proofs.filter((proof) => proof.type !== 'held')).to.deep.equal([]);
      expect(written).to.be.greaterThan(500);
    });
  });
}
