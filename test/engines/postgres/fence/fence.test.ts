import { expect } from 'chai';
import { constants, getPriority } from 'node:os';
import { mayRaisePriority } from '../../../lab/priority.ts';
import { beginCapture, HELD_ALONE, token } from '../../tested-capture.ts';
import { footprint, postgresLab, until, untilCommitsWait, versions, type PostgresLab } from '../lab.ts';
import { FakeStandby } from './fake-standby.ts';

/** The setting as its owner left it: in which file, and as what. */
const settings = [
  { names: 'a', where: 'auto' },
  { names: 'FIRST 1 ( a , b )', where: 'auto' },
  { names: '2 (a, "b")', where: 'main' },
  { names: '*', where: 'main' },
  { names: '*', where: 'auto' },
  { names: 'ANY 1 (a, b)', where: 'main' },
  { names: 'any 2(a,"b")', where: 'auto' },
] as const;

for (const version of versions) {
  describe(`the fence of PostgreSQL ${version} with standbys of its owner`, () => {
    let lab: PostgresLab;
    let standbys: FakeStandby[] = [];
    before(async () => {
      lab = await postgresLab(version);
      standbys = [await FakeStandby.join(lab.server, 'a'), await FakeStandby.join(lab.server, 'b')];
    });
    after(() => {
      for (const standby of standbys) standby.leave();
      lab.remove();
    });

    async function give(names: string, where: 'auto' | 'main'): Promise<void> {
      const { server } = lab;
      await server.query('ALTER SYSTEM RESET synchronous_standby_names');
      server.configure([`synchronous_standby_names = '${where === 'main' ? names : ''}'`]);
      if (where === 'auto') await server.query(`ALTER SYSTEM SET synchronous_standby_names = '${names}'`);
      await server.query('SELECT pg_reload_conf()');
      await until('the setting', async () => (await footprint(server)).names === names);
    }

    function write(): Promise<unknown> {
      return lab.server.query('INSERT INTO entry SELECT coalesce(max(id), 0) + 1 FROM entry');
    }

    for (const { names, where } of settings) {
      it(`holds with '${names}' in the ${where} file, and leaves it to the letter`, async () => {
        await give(names, where);
        const found = await footprint(lab.server);
        const { capture } = await beginCapture(lab.engine, lab.folder, { assignment: HELD_ALONE });
        try {
          await capture.prepare();
          await capture.arm(token());
          await write();
          await capture.freeze(token());
          let acknowledged = false;
          const waiting = write().then(() => (acknowledged = true));
          await untilCommitsWait(lab.server);
          const early = acknowledged;

          const proof = await capture.thaw(token(), () => undefined);
          await waiting;

          expect(early).to.equal(false);
          expect(proof.type).to.equal('held');
          const left = await footprint(lab.server);
          expect({ names: left.names, inFile: left.inFile }).to.deep.equal({
            names: found.names,
            inFile: found.inFile,
          });
        } finally {
          await capture.abort();
        }
      });

      it(`is undone with '${names}' in the ${where} file by an abort while it holds`, async () => {
        await give(names, where);
        const found = await footprint(lab.server);
        const { capture } = await beginCapture(lab.engine, lab.folder, { assignment: HELD_ALONE });
        await capture.prepare();
        await capture.arm(token());
        await capture.freeze(token());
        const waiting = write();

        const began = performance.now();
        await capture.abort();
        await waiting;

        expect(performance.now() - began).to.be.lessThan(2000);
        const left = await footprint(lab.server);
        expect({ names: left.names, inFile: left.inFile }).to.deep.equal({
          names: found.names,
          inFile: found.inFile,
        });
      });
    }

    it('has its own processes of the server go before others while it is armed, where the system lets it', async () => {
      await give('', 'main');
      const { capture } = await beginCapture(lab.engine, lab.folder, { assignment: HELD_ALONE });
      const processes = async (): Promise<number[]> => {
        const rows = await lab.server.query<{ pid: number }>(
          "SELECT pid FROM pg_stat_activity WHERE application_name IN ('stillpoint', 'stillpoint-control') ORDER BY pid",
        );
        return rows.map(({ pid }) => pid);
      };
      const client = await lab.server.connect();
      const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      const usual = getPriority(rows[0]?.pid);
      await client.end();
      expect(usual).to.be.greaterThan(constants.priority.PRIORITY_HIGHEST);
      try {
        await capture.prepare();
        await capture.arm(token());
        const armed = await processes();
        const urgent = armed.filter((pid) => getPriority(pid) < usual);
        await capture.freeze(token());
        await capture.thaw(token(), () => undefined);
        const left = await processes();

        expect(armed).to.have.length(2);
        expect(urgent).to.deep.equal(mayRaisePriority() ? armed : []);
        expect(left.filter((pid) => getPriority(pid) < usual)).to.deep.equal([]);
      } finally {
        await capture.abort();
      }
    });

    for (const names of ['FIRST 2 (a, b)', '*'] as const) {
      it(`never stands in for a standby of its owner: '${names}' waits for them while armed as before`, async () => {
        await give(names, 'auto');
        const { capture } = await beginCapture(lab.engine, lab.folder, { assignment: HELD_ALONE });
        try {
          await capture.prepare();
          await capture.arm(token());

          for (const standby of standbys) standby.silent = true;
          let acknowledged = false;
          const waiting = write().then(() => (acknowledged = true));
          await untilCommitsWait(lab.server);
          for (let looks = 0; looks < 40; looks += 1) {
            expect(acknowledged).to.equal(false);
            await new Promise((resolve) => setTimeout(resolve, 2));
          }
          for (const standby of standbys) standby.silent = false;
          await waiting;
        } finally {
          for (const standby of standbys) standby.silent = false;
          await capture.abort();
        }
      });
    }
  });

  describe(`the fence of PostgreSQL ${version} and a server that is busy with a checkpoint of its own`, () => {
    let lab: PostgresLab;
    before(async () => {
      lab = await postgresLab(version);
    });
    after(() => lab.remove());

    it('lets go at once when it is aborted, and leaves no write waiting', async () => {
      const { capture } = await beginCapture(lab.engine, lab.folder, { assignment: HELD_ALONE });
      await capture.prepare();
      await capture.arm(token());
      await capture.freeze(token());
      const writes = Array.from({ length: 5 }, (_, index) =>
        lab.server.query(`INSERT INTO entry VALUES (${9_000_000 + index})`),
      );
      const checkpoint = lab.server.query('CHECKPOINT');

      await capture.abort();

      await Promise.all(writes);
      await checkpoint;
    });
  });
}
