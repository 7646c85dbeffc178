import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Undo } from '../../../../agent/engines/engine.ts';
import { postgres } from '../../../../agent/engines/postgres/postgres.ts';
import { createPostgresEngine } from '../../../../agent/engines/postgres/postgres-engine.ts';
import { standingOf } from '../../../../agent/engines/postgres/server/server-identity.ts';
import { StillpointError, type Failure } from '../../../../shared/domain/errors.ts';
import { fillWithCommits } from '../../../lab/full-pool.ts';
import { killedAgent } from '../../kill-agent.ts';
import { beginCapture, HELD_ALONE, token } from '../../tested-capture.ts';
import { FakeStandby } from '../fence/fake-standby.ts';
import { footprint, postgresLab, until, versions, type PostgresLab } from '../lab.ts';

async function failureOf(work: Promise<unknown>): Promise<Failure> {
  try {
    await work;
  } catch (error) {
    if (error instanceof StillpointError) return error.failure;
    throw error;
  }
  throw new Error('it did not fail');
}

const write = (number: number): string => `INSERT INTO entry VALUES (${7_000_000 + number})`;

async function wait(client: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const inTime = await Promise.race([client.then(() => true), late]);
  clearTimeout(timer);
  return inTime;
}

for (const version of versions) {
  describe(`the undo of a freeze of PostgreSQL ${version}`, () => {
    let lab: PostgresLab;
    before(async () => {
      lab = await postgresLab(version, { settings: ['max_connections = 14'] });
      await lab.server.query('CREATE ROLE app LOGIN; GRANT ALL ON entry TO app');
    });
    after(() => lab.remove());
    afterEach(async () => {
      await lab.server.query('ALTER SYSTEM RESET synchronous_standby_names');
      await lab.server.query('SELECT pg_reload_conf()');
      await lab.server.query('DELETE FROM entry WHERE id >= 7000000');
    });

    it('gets in where commits that wait have taken every connection, and lets them go on', async () => {
      const undo = await killedAgent(lab.settings, lab.folder, 'frozen', token());
      const commits = await fillWithCommits(lab.server, write);
      expect(commits).to.have.length.greaterThan(5);

      await lab.engine.undo(undo);

      await Promise.all(commits);
      expect((await footprint(lab.server)).inFile).to.deep.equal([]);
    });

    // What follows is the same for each version.
    if (version !== versions.at(-1)) return;

    it('gets in over a connection that a guard has opened while there was no room either', async () => {
      const undo = await killedAgent(lab.settings, lab.folder, 'frozen', token());
      const commits = await fillWithCommits(lab.server, write);

      const guardian = await postgres.openGuardian(lab.settings);
      await guardian.undo(undo);
      await guardian.close();

      await Promise.all(commits);
    });

    it('is done once for a primary that has become a standby meanwhile', async () => {
      const armed = 'FIRST 2 (stillpoint, a)';
      await lab.server.query(`ALTER SYSTEM SET synchronous_standby_names = '${armed}'`);
      writeFileSync(join(lab.server.data, 'standby.signal'), '');
      lab.server.stop();
      await lab.server.start();
      const undo: Undo = { kind: 'primary', original: 'a', inAutoConf: true, armed: [armed] };

      await lab.engine.undo(undo);

      const { names } = await footprint(lab.server);
      await lab.server.query('SELECT pg_promote()');
      expect(names).to.equal('a');
    });

    it('is not done on another server than the one that was frozen, and is on the same after a restart', async () => {
      const undo = await killedAgent(lab.settings, lab.folder, 'armed', token());
      const server = undo['server'] as { systemIdentifier: string };
      const elsewhere = createPostgresEngine({ ...lab.settings, data: join(lab.folder, 'not-there') });
      const change = (other: object): Undo => ({ ...undo, server: { ...server, ...other } });
      const later = { startedAt: '2001-01-01T00:00:00.000000', timeline: 77 };

      const codes = [
        await failureOf(elsewhere.undo(change({ systemIdentifier: '42' }))),
        // What a new primary looks like to whoever froze the old one.
        await failureOf(elsewhere.undo(change(later))),
      ].map(({ code }) => code);
      const kept = await footprint(lab.server);
      lab.server.stop('immediate');
      await lab.server.start();
      await elsewhere.undo(undo);

      expect(codes).to.deep.equal(['undo-other-server', 'undo-other-server']);
      expect(kept.inFile).to.not.deep.equal([]);
      expect((await footprint(lab.server)).inFile).to.deep.equal([]);
    });

    it('leaves no stream, slot or copy behind also while it cannot be done, and lets commits go on', async () => {
      const { capture, undo } = await beginCapture(lab.engine, lab.folder, { assignment: HELD_ALONE });
      await capture.prepare();
      await capture.arm(token());
      await lab.server.query('REVOKE ALTER SYSTEM ON PARAMETER synchronous_standby_names FROM stillpoint');
      await capture.freeze(token());
      try {
        const failure = await failureOf(capture.abort());

        expect(failure.code).to.equal('postgres-privilege');
        expect(undo()).to.not.equal(null);
        await until('its slot to go', async () => {
          const rows = await lab.server.query('SELECT FROM pg_replication_slots');
          return rows.length === 0;
        });
        expect(await wait(lab.server.query('INSERT INTO entry VALUES (7000000)'), 2000)).to.equal(true);
      } finally {
        await lab.server.query('GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names TO stillpoint');
        await capture.abort();
      }
      expect(undo()).to.equal(null);
      expect((await footprint(lab.server)).inFile).to.deep.equal([]);
    });

    for (const [code, names, what] of [
      ['postgres-privilege', '', 'its role may not do it any more'],
      ['postgres-reload', '', 'a configuration file has a mistake'],
      ['postgres-reload', 'ANY 1 (quorum, other)', 'the same, and its owner has a quorum list'],
    ] as const) {
      it(`lets commits go on also while it cannot be done, and nobody else acknowledges: ${what}`, async () => {
        const file = join(lab.server.data, 'postgresql.conf');
        const good = readFileSync(file, 'utf8');
        const standby = names === '' ? null : await FakeStandby.join(lab.server, 'quorum');
        const before = names === '' ? [] : [`synchronous_standby_names = '${names}'`];
        if (names !== '') await lab.server.query(`ALTER SYSTEM SET ${before[0]}`);
        await lab.server.query('SELECT pg_reload_conf()');
        const undo = await killedAgent(lab.settings, lab.folder, 'frozen', token());
        const owner = await lab.server.connect();
        await owner.query('SET synchronous_commit = local');
        if (code === 'postgres-reload') writeFileSync(file, `${good}\nwork_mem = no value\n`);
        else await owner.query('REVOKE ALTER SYSTEM ON PARAMETER synchronous_standby_names FROM stillpoint');
        try {
          const failure = await failureOf(lab.engine.undo(undo));

          expect(failure.code).to.equal(code);
          expect(await wait(lab.server.query('INSERT INTO entry VALUES (7000002)'), 2000)).to.equal(true);
        } finally {
          writeFileSync(file, good);
          await owner.query('GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names TO stillpoint');
          await owner.end();
        }
        await lab.engine.undo(undo);
        await until('its stream to end', async () => (await footprint(lab.server)).connections.length === 0);
        standby?.leave();
        expect((await footprint(lab.server)).inFile).to.deep.equal(before);
      });
    }

    it('is not taken for done by a session that is older than the freeze, where a mistake hides it', async () => {
      const file = join(lab.server.data, 'postgresql.conf');
      const good = readFileSync(file, 'utf8');
      const guardian = await postgres.openGuardian(lab.settings);
      const undo = await killedAgent(lab.settings, lab.folder, 'frozen', token());
      writeFileSync(file, `${good}\nwork_mem = no value\n`);
      try {
        const failure = await failureOf(guardian.undo(undo));

        expect(failure.code).to.equal('postgres-reload');
        expect(await wait(lab.server.query('INSERT INTO entry VALUES (7000003)'), 2000)).to.equal(true);
      } finally {
        writeFileSync(file, good);
        await guardian.undo(undo);
        await guardian.close();
      }
      expect(await footprint(lab.server)).to.deep.include({ names: '', inFile: [] });
    });

    it('is done by such a session as soon as the mistake is mended, also where no other gets in', async () => {
      const file = join(lab.server.data, 'postgresql.conf');
      const good = readFileSync(file, 'utf8');
      const guardian = await postgres.openGuardian(lab.settings);
      const undo = await killedAgent(lab.settings, lab.folder, 'frozen', token());
      const owner = await lab.server.connect();
      await owner.query('SET synchronous_commit = local');
      writeFileSync(file, `${good}\nwork_mem = no value\n`);
      await owner.query('ALTER ROLE stillpoint NOLOGIN');
      try {
        await failureOf(guardian.undo(undo));
        writeFileSync(file, good);
        const undone = () =>
          guardian.undo(undo).then(
            () => true,
            () => false,
          );
        await until('the guard to hear that the file is right', undone);

        expect(await wait(lab.server.query('INSERT INTO entry VALUES (7000004)'), 2000)).to.equal(true);
      } finally {
        writeFileSync(file, good);
        await owner.query('ALTER ROLE stillpoint LOGIN');
        await owner.end();
        await guardian.close();
      }
      expect(await footprint(lab.server)).to.deep.include({ names: '', inFile: [] });
    });

    it('is done one after another where it is asked for several times at once, also after a restart', async () => {
      const guardian = await postgres.openGuardian(lab.settings);
      const undo = await killedAgent(lab.settings, lab.folder, 'frozen', token());
      lab.server.stop('immediate');
      await lab.server.start();

      const all = await Promise.allSettled([1, 2, 3, 4].map(() => guardian.undo(undo)));

      await guardian.close();
      expect(all.map(({ status }) => status)).to.deep.equal(Array(4).fill('fulfilled'));
      expect(await footprint(lab.server)).to.deep.include({ names: '', inFile: [] });
    });

    for (const state of ['armed', 'frozen'] as const) {
      it(`is done at once when the stream that is the fence is lost while ${state}`, async () => {
        const { capture } = await beginCapture(lab.engine, lab.folder, { assignment: HELD_ALONE });
        await capture.prepare();
        await capture.arm(token());
        if (state === 'frozen') await capture.freeze(token());

        await lab.server.query(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name = 'stillpoint'",
        );
        const returned = await wait(lab.server.query('INSERT INTO entry VALUES (7000001)'), 1000);
        const told =
          state === 'armed'
            ? (await failureOf(capture.freeze(token()))).code
            : (await capture.thaw(token(), () => undefined)).type;
        await capture.abort();

        expect(returned, 'the commit returned').to.equal(true);
        expect(told).to.equal(state === 'armed' ? 'fence-lost' : 'broken');
        expect((await footprint(lab.server)).inFile).to.deep.equal([]);
      });
    }

    it('that is missing is found by the doctor: in force or not, on a standby or a copy', async () => {
      await lab.server.query("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (stillpoint)'");

      const findings = await lab.engine.diagnose(AbortSignal.timeout(10_000));

      const found = findings.find(({ failure }) => failure.code === 'postgres-armed');
      expect(found?.failure.hint).to.include('ALTER SYSTEM RESET synchronous_standby_names');
    });
  });
}

describe('a PostgreSQL server on which ALTER SYSTEM is not allowed', () => {
  let lab: PostgresLab;
  before(async () => {
    lab = await postgresLab('18', { settings: ['allow_alter_system = off'] });
  });
  after(() => lab.remove());

  it('is refused with the remedy', async () => {
    const { problems } = await lab.engine.describe(AbortSignal.timeout(10_000));

    expect(problems.map(({ code }) => code)).to.deep.equal(['postgres-alter-system']);
    expect(problems[0]?.hint).to.include('allow_alter_system = on');
  });

  it('is left as it was by the abort of a capture that could not arm it', async () => {
    const { capture, undo } = await beginCapture(lab.engine, lab.folder, { assignment: HELD_ALONE });
    await capture.prepare();
    const failure = await failureOf(capture.arm(token()));

    await capture.abort();

    expect(failure.code).to.equal('postgres-error');
    expect(undo()).to.equal(null);
    expect(await lab.server.query('SELECT FROM pg_replication_slots')).to.deep.equal([]);
  });
});

describe('the server that an undo is for', () => {
  const frozen = { systemIdentifier: '1', startedAt: 'monday', timeline: 3 };
  const unseen = { isOurs: null, systemIdentifier: null };
  const cases = [
    ['the process that was frozen', {}, unseen, 'same'],
    ['the same after a restart', { startedAt: 'tuesday' }, unseen, 'restarted'],
    ['a new primary at its address', { startedAt: 'tuesday', timeline: 4 }, unseen, 'other'],
    [
      'a new primary at its address, though the old one runs on',
      { startedAt: 'tuesday' },
      { isOurs: false, systemIdentifier: '1' },
      'other',
    ],
    [
      'the same, promoted again',
      { startedAt: 'tuesday', timeline: 5 },
      { isOurs: true, systemIdentifier: '1' },
      'restarted',
    ],
    ['the same, demoted', { startedAt: 'tuesday', timeline: null }, unseen, 'restarted'],
    ['another cluster at its address', { systemIdentifier: '2' }, unseen, 'other'],
    [
      'another cluster at its address, though its directory is here',
      { systemIdentifier: '2' },
      { isOurs: false, systemIdentifier: '1' },
      'other',
    ],
    [
      'another cluster that has taken its directory',
      { systemIdentifier: '2' },
      { isOurs: true, systemIdentifier: '2' },
      'replaced',
    ],
  ] as const;
  for (const [what, change, local, standing] of cases) {
    it(`is '${standing}' where ${what} answers`, () => {
      expect(standingOf(frozen, { ...frozen, ...change }, local)).to.equal(standing);
    });
  }
});
