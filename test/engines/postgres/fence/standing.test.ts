import { expect } from 'chai';
import type { Engine } from '../../../../agent/engines/engine.ts';
import { createPostgresEngine } from '../../../../agent/engines/postgres/postgres-engine.ts';
import { whyNotStanding } from '../../../../agent/engines/postgres/fence/standing.ts';
import { failureOf } from '../../../repository/samples.ts';
import { killedAgent } from '../../kill-agent.ts';
import { beginCapture, HELD_ALONE, token } from '../../tested-capture.ts';
import {
  footprint,
  footprintAtRest,
  postgresLab,
  until,
  untilCommitsWait,
  versions,
  type PostgresLab,
} from '../lab.ts';
import { FakeStandby } from './fake-standby.ts';

// Goal: where the owner's list names stillpoint before standbys of its own, a freeze changes no setting, holds as any other,
// and is over when everything of ours is gone, for then the next of the list has our place.

const NAMES = 'FIRST 1 (stillpoint, a)';

describe('a list of standbys that a fence can stand in', () => {
  const lists: readonly (readonly [string, RegExp | null])[] = [
    [NAMES, null],
    ['"stillpoint", a', null],
    ['FIRST 2 (a, StillPoint, b)', null],
    ['FIRST 1 (stillpoint, *)', null],
    ['', /it names nobody/],
    ['a, b', /does not name/],
    ['*', /does not name/],
    ['FIRST 1 (a, stillpoint)', /not among the first 1/],
    ['FIRST 2 (*, stillpoint)', /not among the first 2/],
    ['ANY 1 (stillpoint, a)', /of a quorum/],
  ];
  for (const [names, why] of lists) {
    it(`${why === null ? 'is' : 'is none of'} '${names}'`, () => {
      const words = whyNotStanding(names);
      if (why === null) expect(words).to.equal(null);
      else expect(words).to.match(why);
    });
  }
});

for (const version of new Set(['14' as const, ...versions])) {
  describe(`the standing fence of PostgreSQL ${version}, whose role may change no setting`, () => {
    let lab: PostgresLab;
    let engine: Engine;
    let a: FakeStandby;
    before(async () => {
      lab = await postgresLab(version, version === '18' ? { settings: ['allow_alter_system = off'] } : {});
      await lab.server.query(
        version === '14'
          ? 'ALTER ROLE stillpoint NOSUPERUSER'
          : 'REVOKE ALTER SYSTEM ON PARAMETER synchronous_standby_names FROM stillpoint',
      );
      a = await FakeStandby.join(lab.server, 'a');
      await give(NAMES);
      engine = createPostgresEngine({ ...lab.settings, fence: 'standing' });
    });
    after(() => {
      a?.leave();
      lab?.remove();
    });

    async function give(names: string): Promise<void> {
      lab.server.configure([`synchronous_standby_names = '${names}'`]);
      await lab.server.query('SELECT pg_reload_conf()');
      await until('the setting', async () => (await footprint(lab.server)).names === names);
    }

    function write(): Promise<unknown> {
      return lab.server.query('INSERT INTO entry SELECT coalesce(max(id), 0) + 1 FROM entry');
    }

    const codes = async (): Promise<string[]> =>
      (await engine.describe(AbortSignal.timeout(10_000))).problems.map(({ code }) => code);

    it('is fit without a privilege, holds every commit until the thaw, and leaves nothing', async () => {
      expect(await codes()).to.deep.equal([]);
      const found = await footprintAtRest(lab.server);
      const { capture, undo } = await beginCapture(engine, lab.folder, { assignment: HELD_ALONE });
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
        expect(undo()).to.equal(null);
      } finally {
        await capture.abort();
      }
      await write();
      expect(await footprintAtRest(lab.server)).to.deep.equal(found);
    });

    it('lets go at once when it is aborted while it holds', async () => {
      const { capture } = await beginCapture(engine, lab.folder, { assignment: HELD_ALONE });
      await capture.prepare();
      await capture.arm(token());
      await capture.freeze(token());
      const waiting = write();
      const began = performance.now();
      await capture.abort();
      await waiting;

      expect(performance.now() - began).to.be.lessThan(2000);
    });

    for (const state of ['armed', 'frozen'] as const) {
      it(`needs nobody to let go when everything of ours is killed while ${state}; the record is undone later`, async () => {
        const left = await killedAgent({ ...lab.settings, fence: 'standing' }, lab.folder, state, token());
        const began = performance.now();
        await write();

        expect(performance.now() - began).to.be.lessThan(2000);
        await engine.undo(left);
        await engine.undo(left);
        await write();
        expect((await footprint(lab.server)).names).to.equal(NAMES);
      });
    }

    it('is lost with its stream: commits go on, and the cut is none', async () => {
      const { capture } = await beginCapture(engine, lab.folder, { assignment: HELD_ALONE });
      await capture.prepare();
      await capture.arm(token());
      await capture.freeze(token());
      await lab.server.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name = 'stillpoint'",
      );
      await write();
      const proof = await capture.thaw(token(), () => undefined);
      await capture.abort();

      expect(proof.type).to.equal('broken');
    });

    it('is refused where nobody would take its place, in preflight and once more before it is armed', async () => {
      const { capture } = await beginCapture(engine, lab.folder, { assignment: HELD_ALONE });
      await capture.prepare();
      a.leave();
      await until(
        'the standby to be gone',
        async () =>
          (await lab.server.query("SELECT FROM pg_stat_replication WHERE application_name = 'a'")).length ===
          0,
      );
      const failure = await failureOf(capture.arm(token()));
      await capture.abort();

      expect(failure.code).to.equal('postgres-standing-alone');
      expect(await codes()).to.deep.equal(['postgres-standing-alone']);
      a = await FakeStandby.join(lab.server, 'a');
      await until('it to be fit again', async () => (await codes()).length === 0);
    });

    it('is refused where somebody else has its place by then, also for a second attempt', async () => {
      const { capture } = await beginCapture(engine, lab.folder, { assignment: HELD_ALONE });
      await capture.prepare();
      await capture.arm(token());
      await capture.freeze(token());
      await capture.thaw(token(), () => undefined);
      const other = await FakeStandby.join(lab.server, 'stillpoint');
      const failure = await failureOf(capture.arm(token(2)));
      const streams = await lab.server.query(
        "SELECT FROM pg_stat_replication WHERE application_name = 'stillpoint'",
      );
      await capture.abort();
      other.leave();

      expect(failure.code).to.equal('postgres-armed');
      expect(streams).to.have.length(1);
      await until('it to be fit again', async () => (await codes()).length === 0);
    });

    it('is refused where the list is another; and without the key such a list is one that was left armed', async () => {
      const set = createPostgresEngine(lab.settings);
      const { problems } = await set.describe(AbortSignal.timeout(10_000));
      expect(problems.map(({ code }) => code)).to.include('postgres-armed');

      await give('FIRST 1 (a, stillpoint)');
      expect(await codes()).to.deep.equal(['postgres-standing']);
      await give('ANY 1 (stillpoint, a)');
      expect(await codes()).to.deep.equal(['postgres-standing']);
      await give(NAMES);
    });
  });
}
