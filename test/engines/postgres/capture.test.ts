import { expect } from 'chai';
import type { PostgresFacts } from '../../../agent/engines/postgres/copy/facts.ts';
import { fileEndingAt, parseLsn } from '../../../agent/engines/postgres/journal/lsn.ts';
import { restorePointName } from '../../../agent/engines/postgres/hold/restore-point.ts';
import type { PostgresServer } from '../../lab/postgres.ts';
import { beginCapture, CHECKPOINT, token } from '../tested-capture.ts';
import { postgresLab, until, versions, type PostgresLab } from './lab.ts';

const SEGMENT = 16 * 1024 * 1024;

describe('the name of the journal file that ends at a mark', () => {
  it('is that of the file before, where the mark is the boundary between two', () => {
    expect(fileEndingAt(parseLsn('0/A3000188'), 1, SEGMENT)).to.equal('0000000100000000000000A3');
    expect(fileEndingAt(parseLsn('0/A3000000'), 1, SEGMENT)).to.equal('0000000100000000000000A2');
    expect(fileEndingAt(parseLsn('1/0'), 10, SEGMENT)).to.equal('0000000A00000000000000FF');
    expect(fileEndingAt(parseLsn('2/40000001'), 1, 1024 * 1024 * 1024)).to.equal('000000010000000200000001');
  });
});

describe('the name of a restore point', () => {
  it('is short enough for PostgreSQL and differs with each attempt and checkpoint', () => {
    const long = `${CHECKPOINT}${'x'.repeat(50)}`;
    const names = [CHECKPOINT, long, `${long}y`].flatMap((id) => [1, 2].map((n) => restorePointName(id, n)));

    expect(new Set(names).size).to.equal(6);
    expect(Math.max(...names.map((name) => Buffer.byteLength(name)))).to.be.at.most(63);
    expect(restorePointName(CHECKPOINT, 1)).to.include(CHECKPOINT);
  });
});

/** Writes journal until exactly `bytes` are left of its file. */
async function leaveInSegment(server: PostgresServer, bytes: number): Promise<void> {
  const client = await server.connect();
  const position = async (): Promise<number> => {
    const { rows } = await client.query<{ offset: string }>(
      `SELECT mod(pg_current_wal_insert_lsn() - '0/0', ${SEGMENT})::text AS offset`,
    );
    return Number(rows[0]?.offset);
  };
  const emit = async (length: number): Promise<number> => {
    const before = await position();
    await client.query("SELECT pg_logical_emit_message(false, 'test', repeat('x', $1::int))", [length]);
    return (await position()) - before;
  };
  try {
    // Near the end of the file first, then within its last page, where a record takes no page header.
    for (let left = SEGMENT - (await position()); left > 6000; left = SEGMENT - (await position()))
      await emit(left > 200_000 ? left - 100_000 : left > 20_000 ? 8000 : 1000);
    const taken = await emit(304);
    const left = SEGMENT - (await position());
    await emit(304 + (left - bytes - taken));
    expect(SEGMENT - (await position())).to.equal(bytes);
  } finally {
    await client.end();
  }
}

for (const version of versions) {
  describe(`a capture of PostgreSQL ${version}`, () => {
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

    it('names the file that ends at the mark also when the mark is the end of that file', async () => {
      const { capture, artifacts } = await beginCapture(lab.engine, lab.folder);
      await capture.prepare();
      let position = 1n;
      let file = '';
      let attempt = 0;
      // The server may write a record of its own in between; then once more.
      while (position % BigInt(SEGMENT) !== 0n && attempt < 8) {
        attempt += 1;
        await capture.arm(token(attempt));
        // A restore point's record: 24 bytes, 2 bytes, 72 bytes, rounded up to 8.
        await leaveInSegment(lab.server, 104);
        const { mark } = await capture.freeze(token(attempt));
        expect((await capture.thaw(token(attempt), () => undefined)).type).to.equal('held');
        position = parseLsn(mark?.position ?? '');
        file = mark?.journalFile ?? '';
      }
      await capture.collect();
      await capture.close();

      expect(position % BigInt(SEGMENT)).to.equal(0n);
      expect(file).to.equal(fileEndingAt(position, 1, SEGMENT));
      expect(artifacts.paths('journal/').at(-1)).to.equal(`journal/${file}`);
      const last = artifacts.files.get(`journal/${file}`)?.bytes ?? Buffer.alloc(0);
      expect(last.subarray(-104).every((byte) => byte === 0)).to.equal(false);
    });

    it('lists the prepared transactions that stand at the mark, and how the others ended', async () => {
      const client = await lab.server.connect();
      const prepare = async (gid: string, id: number): Promise<void> => {
        await client.query(`BEGIN; INSERT INTO entry VALUES (${id})`);
        await client.query(`PREPARE TRANSACTION '${gid}'`);
      };
      await prepare('old, stands', -1);
      await prepare('old, committed', -2);
      await prepare('old, committed in the window', -3);
      const { capture } = await beginCapture(lab.engine, lab.folder);
      await capture.prepare();
      await client.query("COMMIT PREPARED 'old, committed'");
      await prepare('new, stands', -4);
      await prepare('new, rolled back', -5);
      await client.query("ROLLBACK PREPARED 'new, rolled back'");
      await client.query('SELECT pg_switch_wal()');
      await prepare('new, stands behind a switch', -6);
      await capture.arm(token());
      await capture.freeze(token());
      const other = await lab.server.connect();
      await other.query('BEGIN; INSERT INTO entry VALUES (-7)');
      const late = [
        client.query("COMMIT PREPARED 'old, committed in the window'"),
        other.query("PREPARE TRANSACTION 'in the window'"),
      ];
      await until('both to wait', async () => {
        const rows = await lab.server.query("SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
        return rows.length === 2;
      });

      const proof = await capture.thaw(token(), () => undefined);
      await Promise.all(late);
      const facts = (await capture.collect()).engineFacts as PostgresFacts;
      await capture.close();
      for (const gid of ['old, stands', 'new, stands', 'new, stands behind a switch', 'in the window'])
        await client.query(`ROLLBACK PREPARED '${gid}'`);
      await Promise.all([client.end(), other.end()]);

      expect(proof.type).to.equal('held');
      expect(facts.preparedAtMark).to.have.deep.members(
        ['old, stands', 'old, committed in the window', 'new, stands', 'new, stands behind a switch'].map(
          (gid) => ({ gid, database: 'postgres', owner: 'postgres' }),
        ),
      );
      expect(facts.preparedEnded).to.have.deep.members([
        { gid: 'old, committed', outcome: 'committed' },
        { gid: 'new, rolled back', outcome: 'rolledBack' },
      ]);
    });

    it('goes on through long transactions, DDL, VACUUM FULL and CREATE DATABASE in the window', async () => {
      const long = await lab.server.connect();
      await long.query('BEGIN; INSERT INTO entry VALUES (-100)');
      const { capture } = await beginCapture(lab.engine, lab.folder);
      await capture.prepare();
      await capture.arm(token());
      await capture.freeze(token());
      const late = ['CREATE TABLE late (id int)', 'VACUUM FULL pg_shdescription', 'CREATE DATABASE late'].map(
        (statement) => lab.server.query(statement),
      );

      const proof = await capture.thaw(token(), () => undefined);
      await Promise.all(late);
      await long.query('COMMIT');
      await long.end();
      await capture.collect();
      await capture.close();

      expect(proof.type).to.equal('held');
    });

    it('holds still where nothing is to be copied: it marks and proves, and stores nothing', async () => {
      const assignment = { hold: 'member', part: 'none' } as const;
      const { capture, artifacts } = await beginCapture(lab.engine, lab.folder, { assignment });
      await capture.prepare();
      await lab.server.query('SELECT pg_switch_wal()');
      await capture.arm(token());
      const { mark } = await capture.freeze(token());
      const proof = await capture.thaw(token(), () => undefined);
      const collected = await capture.collect();
      await capture.close();

      expect(proof.type).to.equal('held');
      expect(mark).to.not.equal(null);
      expect(collected).to.deep.equal({ assignment, mark, engineFacts: null, warnings: [] });
      expect([artifacts.files.size, artifacts.directories.size]).to.deep.equal([0, 0]);
      // A server takes away a temporary slot when it has heard that the connection is closed.
      await until(
        'its slot to be gone',
        async () => (await lab.server.query('SELECT FROM pg_replication_slots')).length === 0,
      );
    });

    it('stores its journal alone where that is asked, up to the mark', async () => {
      const assignment = { hold: 'member', part: 'journal' } as const;
      const { capture, artifacts } = await beginCapture(lab.engine, lab.folder, { assignment });
      await capture.prepare();
      await capture.arm(token());
      const { mark } = await capture.freeze(token());
      await capture.thaw(token(), () => undefined);
      await capture.collect();
      await capture.close();

      expect(artifacts.paths('').every((path) => path.startsWith('journal/'))).to.equal(true);
      expect(artifacts.paths('journal/').at(-1)).to.equal(`journal/${mark?.journalFile}`);
    });

    it('fails with what refused a file, and leaves nothing on the server', async () => {
      const { capture, artifacts } = await beginCapture(lab.engine, lab.folder);
      artifacts.refuseWith = new Error('the repository is full');

      const failure = await capture.prepare().then(
        () => null,
        (error: unknown) => error,
      );
      await capture.abort();

      expect(failure).to.have.property('message', 'the repository is full');
      await until('the connections to end', async () => {
        const rows = await lab.server.query("SELECT FROM pg_stat_activity WHERE usename = 'stillpoint'");
        return rows.length === 0;
      });
      expect(await lab.server.query('SELECT FROM pg_replication_slots')).to.deep.equal([]);
    });
  });
}
