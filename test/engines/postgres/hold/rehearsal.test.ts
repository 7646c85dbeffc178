import { expect } from 'chai';
import { beginCapture, HELD_ALONE, token, type TestedCapture } from '../../tested-capture.ts';
import { newest, postgresLab, until, type PostgresLab } from '../lab.ts';

// Goal: what is rehearsed before an arm is asked of the server, and holds nobody, writes nothing and leaves nothing. Method: a
// real server, its journal and its clients looked at from outside.

for (const version of newest) {
  describe(`the rehearsal of a freeze of PostgreSQL ${version}`, () => {
    let lab: PostgresLab;
    let held: TestedCapture;
    const parts = ['freeze', 'thaw', 'freeze', 'thaw', 'freeze', 'thaw'] as const;

    before(async () => {
      lab = await postgresLab(version);
      await lab.server.query('CREATE TABLE beside (n int)');
    });

    beforeEach(async () => {
      held = await beginCapture(lab.engine, lab.folder, { assignment: HELD_ALONE });
      await held.capture.prepare();
    });

    afterEach(() => held.capture.abort());
    after(() => lab.remove());

    async function asked(): Promise<string[]> {
      const rows = await lab.server.query<{ query: string }>(
        "SELECT query FROM pg_stat_activity WHERE application_name LIKE 'stillpoint%'",
      );
      return rows.map(({ query }) => query);
    }

    it('asks what a freeze and a thaw will ask', async () => {
      await held.capture.rehearse('freeze');
      expect((await asked()).join()).to.include('stillpoint_mark');
      await held.capture.rehearse('thaw');
      expect((await asked()).join()).to.include('flush_lsn');
    });

    it('writes nothing, has no undo, and lets clients commit', async () => {
      const position = async (): Promise<string> => {
        // So that nothing of the server itself is between two looks.
        await lab.server.query('CHECKPOINT');
        const rows = await lab.server.query<{ lsn: string }>(
          'SELECT pg_current_wal_insert_lsn()::text AS lsn',
        );
        return rows[0]?.lsn ?? '';
      };
      let before = '';
      let after = '-';
      // A record of a running transaction may come at any time, but not in every round.
      for (let round = 0; round < 20 && before !== after; round += 1) {
        before = await position();
        for (const part of parts) await held.capture.rehearse(part);
        const rows = await lab.server.query<{ lsn: string }>(
          'SELECT pg_current_wal_insert_lsn()::text AS lsn',
        );
        after = rows[0]?.lsn ?? '';
      }
      expect(after).to.equal(before);
      expect(held.undo()).to.equal(null);
      await Promise.all([
        ...parts.map((part) => held.capture.rehearse(part)),
        lab.server.query('INSERT INTO beside VALUES (1)'),
      ]);
    });

    it('is followed by a freeze that holds', async () => {
      for (const part of parts) await held.capture.rehearse(part);
      await held.capture.arm(token());
      const { mark } = await held.capture.freeze(token());
      expect(mark?.journalFile).to.match(/^[0-9A-F]{24}$/);
      const proof = await held.capture.thaw(token(), () => undefined);
      expect(proof.type).to.equal('held');
    });

    it('is refused, and harms nothing, when there is no session any more', async () => {
      await held.capture.abort();
      const failed = await held.capture.rehearse('freeze').then(
        () => null,
        (error: unknown) => error,
      );
      expect(failed).to.be.instanceOf(Error);
      await until('the sessions of the capture to end', async () => (await asked()).length === 0);
    });
  });
}
