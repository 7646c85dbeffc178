import { chmodSync, cpSync, lchownSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Engine } from '../../../../agent/engines/engine.ts';
import type { PostgresFacts } from '../../../../agent/engines/postgres/copy/facts.ts';
import { createPostgresEngine } from '../../../../agent/engines/postgres/postgres-engine.ts';
import { postgresServer, serverUser, type PostgresServer } from '../../../lab/postgres.ts';
import { beginCapture, HELD_ALONE, token } from '../../tested-capture.ts';
import { postgresLab, settingsFor, until, versions, type PostgresLab } from '../lab.ts';

/** A hot standby made from the files of the stopped primary. */
async function hotStandby(lab: PostgresLab): Promise<PostgresServer> {
  const data = join(lab.folder, 'standby');
  lab.server.stop();
  cpSync(lab.server.data, data, { recursive: true });
  rmSync(join(data, 'postmaster.pid'), { force: true });
  await lab.server.start();
  writeFileSync(join(data, 'standby.signal'), '');
  own(data);
  const standby = await postgresServer({
    version: lab.server.version,
    data,
    host: '127.0.0.1',
    existing: true,
  });
  standby.configure([
    `port = ${standby.port}`,
    `primary_conninfo = 'host=${lab.server.host} port=${lab.server.port} user=postgres application_name=follower'`,
  ]);
  await standby.start();
  return standby;
}

/** The files become the server user's, and nobody else's. */
function own(data: string): void {
  chmodSync(data, 0o700);
  if (serverUser === null) return;
  for (const entry of ['', ...readdirSync(data, { recursive: true, encoding: 'utf8' })])
    lchownSync(join(data, entry), serverUser.uid, serverUser.gid);
}

for (const version of versions) {
  describe(`a hot standby of PostgreSQL ${version}`, () => {
    let lab: PostgresLab;
    let standby: PostgresServer;
    let engine: Engine;
    before(async () => {
      lab = await postgresLab(version);
      // Which no session of a standby can be, by default of the role or not.
      await lab.server.query("ALTER ROLE stillpoint SET default_transaction_isolation = 'serializable'");
      standby = await hotStandby(lab);
      engine = createPostgresEngine(settingsFor(standby));
      await until('the standby to follow', async () => (await seen()) === 0);
    });
    after(() => {
      standby.stop('immediate');
      lab.remove();
    });

    async function seen(): Promise<number> {
      const [row] = await standby.query<{ count: number }>('SELECT count(*)::int FROM entry');
      return row?.count ?? -1;
    }

    async function isPaused(): Promise<boolean> {
      const [row] = await standby.query<{ paused: boolean }>('SELECT pg_is_wal_replay_paused() AS paused');
      return row?.paused ?? false;
    }

    it('is described as an observer of the same data, and its primary knows it by the name that it gives itself', async () => {
      const primary = await lab.engine.describe(AbortSignal.timeout(10_000));
      const description = await engine.describe(AbortSignal.timeout(10_000));

      expect(description).to.include({ running: true, primary: false, freezeKind: 'observer' });
      expect(description.problems).to.deep.equal([]);
      expect(description.dataIdentity).to.equal(primary.dataIdentity);
      const key = `${primary.dataIdentity}/follower/`;
      expect(primary.viewing).to.deep.equal({
        streamsAs: null,
        subscriptions: [],
        viewers: [{ kind: 'standby', key, isBlind: false, words: 'standby follower at 127.0.0.1' }],
      });
      expect(description.viewing).to.deep.equal({ streamsAs: key, subscriptions: [], viewers: [] });
    });

    it('is not captured where commits of its primary wait until it has applied them', async () => {
      const set = async (...lines: string[]): Promise<void> => {
        for (const line of lines) await lab.server.query(`ALTER SYSTEM ${line}`);
        await lab.server.query('SELECT pg_reload_conf()');
      };
      await set("SET synchronous_standby_names = 'follower'");
      await until('it to be synchronous', async () => {
        const rows = await lab.server.query("SELECT FROM pg_stat_replication WHERE sync_state = 'sync'");
        return rows.length === 1;
      });
      const codes = async (change: { withoutReads?: string[] } = {}): Promise<string[]> => {
        const described = await createPostgresEngine({ ...lab.settings, ...change }).describe(
          AbortSignal.timeout(10_000),
        );
        return described.problems.map(({ code }) => code);
      };
      const usual = await codes();
      await set("SET synchronous_commit = 'remote_apply'");
      const byDefault = await codes();
      const blind = await codes({ withoutReads: ['follower'] });
      await set('RESET synchronous_commit');
      await lab.server.query("ALTER ROLE postgres SET synchronous_commit = 'remote_apply'");
      const ofOne = await codes();
      await lab.server.query('ALTER ROLE postgres RESET synchronous_commit');
      await set('RESET ALL');

      expect({ usual, byDefault, blind, ofOne }).to.deep.equal({
        usual: [],
        byDefault: ['postgres-remote-apply'],
        blind: [],
        ofOne: ['postgres-remote-apply'],
      });
    });

    it('keeps no connection of a prepare that an abort overtook', async () => {
      const connections = async (): Promise<unknown[]> =>
        standby.query(
          "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'stillpoint%'",
        );
      const { capture } = await beginCapture(engine, lab.folder, { assignment: HELD_ALONE });
      const preparing = capture.prepare().then(
        () => 'prepared',
        (error: Error) => error.message,
      );
      await capture.abort();
      expect(await preparing).to.equal('the checkpoint was aborted');
      await until('its connections to end', async () => (await connections()).length === 0);
    });

    it('shows nothing newer while it is frozen, and everything after the thaw', async () => {
      const before = await seen();
      const { capture, artifacts } = await beginCapture(engine, lab.folder);
      await capture.prepare();
      const armed = await capture.arm(token());
      const frozen = await capture.freeze(token());

      await lab.server.query(`INSERT INTO entry VALUES (${before + 1})`);
      for (let looks = 0; looks < 30; looks += 1) {
        expect(await seen()).to.equal(before);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      const proof = await capture.thaw(token(), () => undefined);
      await until('the row', async () => (await seen()) === before + 1);
      const { mark, engineFacts } = await capture.collect();
      await capture.close();

      expect(frozen.mark).to.equal(null);
      expect(mark).to.equal(null);
      expect(proof).to.deep.equal({
        type: 'held',
        incarnation: frozen.incarnation,
        viewing: armed.viewing,
      });
      expect(armed.viewing?.streamsAs).to.match(/follower/);
      expect(artifacts.paths('')).to.deep.equal([
        'config/pg_hba.conf',
        'config/pg_ident.conf',
        'config/postgresql.auto.conf',
        'config/postgresql.conf',
      ]);
      expect((engineFacts as PostgresFacts).kind).to.equal('observer');
      expect(await isPaused()).to.equal(false);
    });

    for (const state of ['armed', 'frozen'] as const) {
      it(`goes on when it is aborted once ${state}`, async () => {
        const { capture, undo } = await beginCapture(engine, lab.folder, { assignment: HELD_ALONE });
        await capture.prepare();
        await capture.arm(token());
        if (state === 'frozen') await capture.freeze(token());

        await capture.abort();

        expect(undo()).to.equal(null);
        expect(await isPaused()).to.equal(false);
      });
    }

    it('goes on when an abort comes in the middle of its freeze', async () => {
      for (const delayMs of [0, 1, 2, 5, 10]) {
        const { capture } = await beginCapture(engine, lab.folder, { assignment: HELD_ALONE });
        await capture.prepare();
        await capture.arm(token());
        const interrupted = capture.freeze(token()).catch(() => undefined);
        await new Promise((resolve) => setTimeout(resolve, delayMs));
        await capture.abort();
        await interrupted;
        expect(await isPaused()).to.equal(false);
      }
    });

    it('goes on after an undo of what a killed agent left', async () => {
      const { capture, undo } = await beginCapture(engine, lab.folder, { assignment: HELD_ALONE });
      await capture.prepare();
      await capture.arm(token());
      await capture.freeze(token());
      const left = undo();
      if (left === null) throw new Error('no undo was saved');

      await createPostgresEngine(settingsFor(standby)).undo(left);

      expect(await isPaused()).to.equal(false);
      await capture.abort();
    });

    it('stays paused where its owner had paused it', async () => {
      await standby.query('SELECT pg_wal_replay_pause()');
      const { capture } = await beginCapture(engine, lab.folder, { assignment: HELD_ALONE });
      await capture.prepare();
      await capture.arm(token());
      await capture.freeze(token());

      const proof = await capture.thaw(token(), () => undefined);
      await capture.abort();

      expect(proof.type).to.equal('held');
      expect(await isPaused()).to.equal(true);
      await standby.query('SELECT pg_wal_replay_resume()');
    });

    it('has not held when somebody resumed it, or promoted it, meanwhile', async () => {
      const happenings = ['SELECT pg_wal_replay_resume()', 'SELECT pg_promote(true, 30)'];
      const proofs: string[] = [];
      for (const happening of happenings) {
        const { capture } = await beginCapture(engine, lab.folder, { assignment: HELD_ALONE });
        await capture.prepare();
        await capture.arm(token());
        await capture.freeze(token());
        await standby.query(happening);
        const proof = await capture.thaw(token(), () => undefined);
        proofs.push(proof.type === 'broken' ? proof.cause : proof.type);
        await capture.abort();
      }

      expect(proofs[0]).to.include('somebody resumed its replay');
      expect(proofs[1]).to.include('it was promoted');
      expect((await engine.describe(AbortSignal.timeout(10_000))).freezeKind).to.equal('fenced');
    });
  });
}
