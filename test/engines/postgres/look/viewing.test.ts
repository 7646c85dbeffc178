import { expect } from 'chai';
import type { Viewing } from '../../../../shared/domain/viewing.ts';
import { JournalReceiver } from '../../../../agent/engines/postgres/journal/journal-receiver.ts';
import { createPostgresEngine } from '../../../../agent/engines/postgres/postgres-engine.ts';
import { ReplicationConnection } from '../../../../agent/engines/postgres/server/replication-connection.ts';
import { applicationNameIn } from '../../../../agent/engines/postgres/look/viewing.ts';
import { beginCapture, HELD_ALONE, token } from '../../tested-capture.ts';
import { FakeStandby } from '../fence/fake-standby.ts';
import { postgresLab, until, versions, type PostgresLab } from '../lab.ts';

// Goal: a primary names everyone who replays its journal, at any moment of a freeze, and nobody else.
// Method: walsenders of all kinds come and go between the calls of one capture.

describe('the name of a standby in its connection string', () => {
  it('is its own, else the one to fall back to, with all that it may hold', () => {
    expect(applicationNameIn('user=u application_name=ab fallback_application_name=x sslmode=p')).to.equal(
      'ab',
    );
    expect(applicationNameIn('user=u host=h fallback_application_name=walreceiver sslmode=p')).to.equal(
      'walreceiver',
    );
    expect(applicationNameIn('user=u application_name=north 1 fallback_application_name=x')).to.equal(
      'north 1',
    );
    expect(applicationNameIn(`host=h application_name=${'n'.repeat(70)}`)).to.equal('n'.repeat(63));
  });

  it('is the same in a setting that is shown as it was written, with quotes', () => {
    expect(applicationNameIn("host='h' port='1' user='postgres' application_name='ledgerb'")).to.equal(
      'ledgerb',
    );
    expect(applicationNameIn("application_name='it\\'s north' host='h'")).to.equal("it's north");
  });
});

for (const version of versions) {
  describe(`who has the journal of PostgreSQL ${version}`, () => {
    let lab: PostgresLab;
    const standbys: FakeStandby[] = [];
    before(async () => {
      lab = await postgresLab(version, { settings: ['wal_level = logical'] });
    });
    afterEach(async () => {
      for (const standby of standbys.splice(0)) standby.leave();
      await until('they to be gone', async () => (await senders()).length === 0);
    });
    after(() => lab.remove());

    async function join(name: string, options?: { readonly replays: boolean }): Promise<FakeStandby> {
      const standby = await FakeStandby.join(lab.server, name, options);
      standbys.push(standby);
      await until('its word', async () => (await senders()).includes(name));
      return standby;
    }

    /** A capture in its freeze looks again and again; one that began from now on has been answered. */
    async function untilLookedAt(): Promise<void> {
      const [now] = await lab.server.query<{ at: Date }>('SELECT clock_timestamp() AS at');
      await until('a look', async () => {
        const [look] = await lab.server.query<{ done: boolean }>(
          `SELECT state = 'idle' AND query_start > $1 AS done
             FROM pg_stat_activity WHERE application_name = 'stillpoint-control'`,
          [now?.at],
        );
        return look?.done === true;
      });
    }

    async function senders(): Promise<string[]> {
      const rows = await lab.server.query<{ name: string }>(
        `SELECT application_name AS name FROM pg_stat_replication
          WHERE reply_time IS NOT NULL AND application_name NOT LIKE 'stillpoint%'`,
      );
      return rows.map(({ name }) => name);
    }

    const words = (viewing: Viewing | undefined): string[] =>
      (viewing?.viewers ?? []).map((viewer) => `${viewer.words}${viewer.isBlind ? ', blind' : ''}`);

    it('are standbys that replay, but no receiver that only writes, and nobody who does not stream', async () => {
      await join('north');
      await join('south');
      const receiver = await JournalReceiver.start({
        settings: { name: 'r', connection: lab.server.url },
        directory: lab.folder,
        segmentBytes: 1024 * 1024,
        filled: () => undefined,
        lost: () => undefined,
      });
      const idle = await ReplicationConnection.open({ name: 'i', connection: lab.server.url }, 'idle');

      const engine = createPostgresEngine({ ...lab.settings, withoutReads: ['south'] });
      const { viewing } = await engine.describe(AbortSignal.timeout(10_000));
      idle.close();
      await receiver.stop();

      expect(words(viewing)).to.have.members([
        'standby north at 127.0.0.1',
        'standby south at 127.0.0.1, blind',
      ]);
    });

    it('are told with the arm, and with the proof whoever was there meanwhile, also for a moment', async () => {
      const early = await join('early');
      const { capture } = await beginCapture(lab.engine, lab.folder, { assignment: HELD_ALONE });
      try {
        await capture.prepare();
        const armed = await capture.arm(token());
        early.leave();
        await join('late');
        await capture.freeze(token());
        const brief = await join('brief');
        await untilLookedAt();
        brief.leave();
        await until('it to be gone', async () => !(await senders()).includes('brief'));
        const proof = await capture.thaw(token(), () => undefined);

        expect(words(armed.viewing)).to.deep.equal(['standby early at 127.0.0.1']);
        expect(proof.type).to.equal('held');
        const [late, shortly, ...others] = words(proof.type === 'held' ? proof.viewing : undefined);
        expect(late).to.equal('standby late at 127.0.0.1');
        expect(shortly).to.match(/^a standby that came and went/);
        expect(others).to.deep.equal([]);
      } finally {
        await capture.abort();
      }
    });

    it('are not those who came to copy the server and have gone: they wrote files, and said so [S60]', async () => {
      const { capture } = await beginCapture(lab.engine, lab.folder, { assignment: HELD_ALONE });
      try {
        await capture.prepare();
        await capture.arm(token());
        await capture.freeze(token());
        const backup = await join('pg_basebackup', { replays: false });
        await untilLookedAt();
        backup.leave();
        await until('it to be gone', async () => !(await senders()).includes('pg_basebackup'));
        const proof = await capture.thaw(token(), () => undefined);

        expect(words(proof.type === 'held' ? proof.viewing : undefined)).to.deep.equal([]);
        expect(proof.type).to.equal('held');
      } finally {
        await capture.abort();
      }
    });

    for (const how of ['get', 'peek']) {
      it(`are consumers of logical slots, also one that asks now and then without a connection that stays: ${how}`, async () => {
        await lab.server.query("SELECT pg_create_logical_replication_slot('polled', 'test_decoding')");
        const { capture } = await beginCapture(lab.engine, lab.folder, { assignment: HELD_ALONE });
        try {
          await capture.prepare();
          const armed = await capture.arm(token());
          await capture.freeze(token());
          const writer = await lab.server.connect();
          const write = writer.query(`INSERT INTO entry VALUES (${how === 'get' ? -1 : -2})`);
          await until('the consumer to have what nobody sees', async () => {
            const rows = await lab.server.query(
              `SELECT FROM pg_logical_slot_${how}_changes('polled', NULL, NULL) WHERE data LIKE '%INSERT%'`,
            );
            return rows.length > 0;
          });
          const proof = await capture.thaw(token(), () => undefined);
          await write;
          await writer.end();

          expect(words(armed.viewing)).to.deep.equal([]);
          expect(words(proof.type === 'held' ? proof.viewing : undefined)).to.deep.equal([
            'the logical slot polled',
          ]);
        } finally {
          await capture.abort();
          await lab.server.query("SELECT pg_drop_replication_slot('polled')");
        }
      });
    }
  });
}
