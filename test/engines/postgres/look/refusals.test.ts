import { spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Failure } from '../../../../shared/domain/errors.ts';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { versionProblem } from '../../../../agent/engines/postgres/server/server-facts.ts';
import { createPostgresEngine } from '../../../../agent/engines/postgres/postgres-engine.ts';
import type { PostgresSettings } from '../../../../agent/engines/postgres/settings.ts';
import { serverUser } from '../../../lab/postgres.ts';
import { FakeStandby } from '../fence/fake-standby.ts';
import { beginCapture, token } from '../../tested-capture.ts';
import { footprint, postgresLab, until, type PostgresLab } from '../lab.ts';

async function problemsOf(settings: PostgresSettings): Promise<readonly Failure[]> {
  const description = await createPostgresEngine(settings).describe(AbortSignal.timeout(10_000));
  expect(description.running).to.equal(true);
  return description.problems;
}

async function failureOf(work: Promise<unknown>): Promise<Failure> {
  try {
    await work;
  } catch (error) {
    if (error instanceof StillpointError) return error.failure;
    throw error;
  }
  throw new Error('it did not fail');
}

describe('a PostgreSQL server of another version', () => {
  for (const [version, serverVersion] of [
    ['9.6.24', 90_624],
    ['13.23', 130_023],
    ['19.0', 190_000],
  ] as const) {
    it(`is refused by name: ${version}`, () => {
      const problem = versionProblem('aa', { version, serverVersion });

      expect(problem?.code).to.equal('postgres-version');
      expect(problem?.message).to.include(`PostgreSQL ${version} is not supported`);
      expect(problem?.hint).to.include('14 to 18');
    });
  }

  it('is none of those that are supported', () => {
    for (const serverVersion of [140_000, 150_018, 160_014, 170_010, 180_004])
      expect(versionProblem('aa', { version: '', serverVersion })).to.equal(null);
  });
});

describe('a PostgreSQL server that is not fit for a checkpoint', () => {
  const misfits: readonly {
    what: string;
    settings?: readonly string[];
    hba?: readonly string[];
    code: string;
    hint: string;
  }[] = [
    {
      what: 'has wal_level = minimal',
      settings: ['wal_level = minimal', 'max_wal_senders = 0'],
      code: 'postgres-wal-level',
      hint: 'wal_level = replica',
    },
    {
      what: 'has too few wal senders',
      settings: ['max_wal_senders = 2'],
      code: 'postgres-wal-senders',
      hint: 'max_wal_senders',
    },
    {
      what: 'has no replication slot',
      settings: ['max_replication_slots = 0'],
      code: 'postgres-slots',
      hint: 'max_replication_slots',
    },
    {
      what: 'turns replication connections away',
      hba: ['host replication stillpoint 127.0.0.0/8 reject'],
      code: 'postgres-hba',
      hint: 'pg_hba.conf',
    },
  ];
  for (const { what, settings, hba, code, hint } of misfits) {
    it(`is described as one that ${what}, with the remedy`, async () => {
      const lab = await postgresLab('18', {
        ...(settings !== undefined && { settings }),
        ...(hba !== undefined && { hba }),
      });
      try {
        const problems = await problemsOf(lab.settings);

        expect(problems.map((problem) => problem.code)).to.include(code);
        expect(problems.find((problem) => problem.code === code)?.hint).to.include(hint);
      } finally {
        lab.remove();
      }
    });
  }

  it('is told apart when the password is wrong, and fit with the right one', async () => {
    const lab = await postgresLab('18', {
      hba: [
        'host all stillpoint 127.0.0.0/8 scram-sha-256',
        'host replication stillpoint 127.0.0.0/8 scram-sha-256',
      ],
    });
    const passwordFile = join(lab.folder, 'password');
    try {
      await lab.server.query("ALTER ROLE stillpoint PASSWORD 'p#ss: w%rd'");
      writeFileSync(passwordFile, 'wrong\n');
      chmodSync(passwordFile, 0o600);
      const wrong = await problemsOf({ ...lab.settings, passwordFile });
      const missing = await problemsOf({ ...lab.settings, passwordFile: `${passwordFile}.not` });
      writeFileSync(passwordFile, 'p#ss: w%rd\n');
      const right = await problemsOf({ ...lab.settings, passwordFile });
      const { capture } = await beginCapture(
        createPostgresEngine({ ...lab.settings, passwordFile }),
        lab.folder,
      );
      await capture.prepare();
      await capture.arm(token());
      await capture.freeze(token());
      const proof = await capture.thaw(token(), () => undefined);
      await capture.abort();

      expect(wrong.map(({ code }) => code)).to.deep.equal(['postgres-password']);
      expect(wrong[0]?.hint).to.include('passwordFile');
      expect(missing.map(({ code }) => code)).to.deep.equal(['postgres-password']);
      expect(right).to.deep.equal([]);
      expect(proof.type).to.equal('held');
    } finally {
      lab.remove();
    }
  });

  it('is told apart when synchronous_standby_names stands on its command line', async () => {
    const lab = await postgresLab('18');
    const pgCtl = (...args: string[]): void => {
      spawnSync(join(lab.server.binaries, 'pg_ctl'), ['-D', lab.server.data, '-w', ...args], {
        cwd: '/',
        stdio: 'ignore',
        ...serverUser,
      });
    };
    try {
      pgCtl('stop');
      pgCtl('-o', '-c synchronous_standby_names=a', 'start');

      const problems = await problemsOf(lab.settings);

      expect(problems.map(({ code }) => code)).to.include('postgres-standby-names');
    } finally {
      lab.remove();
    }
  });

  describe('that runs', () => {
    let lab: PostgresLab;
    before(async () => {
      lab = await postgresLab('18', { settings: ['synchronous_commit = local'] });
    });
    after(() => lab.remove());

    it('lacks a privilege: each is named with the statement that grants it, and that helps', async () => {
      const statements = [
        'ALTER ROLE stillpoint NOREPLICATION',
        'REVOKE ALTER SYSTEM ON PARAMETER synchronous_standby_names FROM stillpoint',
        'REVOKE pg_read_all_stats FROM stillpoint',
        'REVOKE pg_read_all_settings FROM stillpoint',
        'REVOKE EXECUTE ON FUNCTION pg_reload_conf() FROM stillpoint',
        'REVOKE EXECUTE ON FUNCTION pg_create_restore_point(text) FROM stillpoint',
        'REVOKE EXECUTE ON FUNCTION pg_switch_wal() FROM stillpoint',
        'REVOKE EXECUTE ON FUNCTION pg_wal_replay_pause() FROM stillpoint',
        'REVOKE EXECUTE ON FUNCTION pg_wal_replay_resume() FROM stillpoint',
      ];
      for (const statement of statements) {
        await lab.server.query(statement);
        const [problem, ...others] = await problemsOf(lab.settings);
        const [finding] = await lab.engine.diagnose(AbortSignal.timeout(10_000));
        await lab.server.query(/: (.*;)$/.exec(problem?.hint ?? '')?.[1] ?? 'no statement');

        expect(problem?.code, statement).to.equal('postgres-privilege');
        expect(others).to.deep.equal([]);
        expect(finding?.failure).to.deep.equal(problem);
        expect(await problemsOf(lab.settings)).to.deep.equal([]);
      }
    });

    for (const name of ['StillPoint', 'Stillpoint_absent']) {
      it(`has another standby of our name, in letters of whatever size, as the server compares them: ${name}`, async () => {
        const other = await FakeStandby.join(lab.server, name);
        const problems = await problemsOf(lab.settings);
        other.leave();

        expect(problems.map(({ code }) => code)).to.deep.equal(['postgres-standby-named']);
      });
    }

    it('was left armed', async () => {
      await lab.server.query("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (stillpoint)'");
      await lab.server.query('SELECT pg_reload_conf()');
      await until('the setting', async () => (await footprint(lab.server)).names !== '');
      const problems = await problemsOf(lab.settings);
      await lab.server.query('ALTER SYSTEM RESET synchronous_standby_names');
      await lab.server.query('SELECT pg_reload_conf()');

      expect(problems.map(({ code }) => code)).to.deep.equal(['postgres-armed']);
    });

    it('warns of what may make a checkpoint invalid or worthless, by name', async () => {
      await lab.server.query('ALTER ROLE postgres SET synchronous_commit = off');
      const { warnings } = await lab.engine.describe(AbortSignal.timeout(10_000));
      await lab.server.query('ALTER ROLE postgres RESET synchronous_commit');

      const about = new Set(warnings.map((warning) => warning.about));
      expect([...about]).to.deep.equal([lab.settings.name]);
      expect(warnings.map(({ code }) => code)).to.include.members([
        'postgres-commits-unheld',
        'postgres-some-commits-unheld',
        'postgres-no-fsync',
      ]);
      const text = warnings.map((warning) => warning.text).join('\n');
      expect(text).to.match(/synchronous_commit is off or local by default/);
      expect(text).to.match(/synchronous_commit is set to off or local for a role/);
      expect(text).to.match(/fsync is off/);
    });

    it('hangs: it is not taken for one that is down', async () => {
      const pid = lab.server.postmasterPid();
      if (pid === null) throw new Error('the server does not run');
      process.kill(pid, 'SIGSTOP');
      try {
        const description = await lab.engine.describe(AbortSignal.timeout(10_000));

        expect(description.running).to.equal(true);
        expect(description.problems).to.have.length(1);
      } finally {
        process.kill(pid, 'SIGCONT');
      }
    });
  });
});

describe('a PostgreSQL server that is restarted', () => {
  let lab: PostgresLab;
  before(async () => {
    lab = await postgresLab('18');
  });
  after(() => lab.remove());

  for (const state of ['prepared', 'armed', 'frozen'] as const) {
    it(`once ${state} ends the attempt, and is as it was after the abort`, async () => {
      const found = await footprint(lab.server);
      const { capture, undo } = await beginCapture(lab.engine, lab.folder);
      await capture.prepare();
      if (state !== 'prepared') await capture.arm(token());
      if (state === 'frozen') await capture.freeze(token());

      lab.server.stop('immediate');
      await lab.server.start();
      const next = {
        prepared: () => capture.arm(token()),
        armed: () => capture.freeze(token()),
        frozen: () => capture.thaw(token(), () => undefined),
      };
      const failure = await failureOf(next[state]());
      await capture.abort();
      await lab.server.query('INSERT INTO entry SELECT coalesce(max(id), 0) + 1 FROM entry');

      expect(failure.code).to.be.oneOf(['postgres-connection-lost', 'fence-lost']);
      expect(failure.hint).to.not.equal('');
      expect(undo()).to.equal(null);
      const left = await footprint(lab.server);
      expect({ names: left.names, inFile: left.inFile }).to.deep.equal({
        names: found.names,
        inFile: found.inFile,
      });
    });
  }

  it('refuses an abort while it is down and keeps the undo, which helps when it is up again', async () => {
    const { capture, undo } = await beginCapture(lab.engine, lab.folder);
    await capture.prepare();
    await capture.arm(token());
    await capture.freeze(token());
    lab.server.stop('immediate');

    const failure = await failureOf(capture.abort());
    const left = undo();
    await lab.server.start();
    if (left === null) throw new Error('the undo was dropped');
    await lab.engine.undo(left);
    await lab.server.query('INSERT INTO entry SELECT coalesce(max(id), 0) + 1 FROM entry');
    await capture.abort();

    expect(failure.code).to.equal('postgres-unreachable');
    expect((await footprint(lab.server)).inFile).to.deep.equal([]);
  });
});
