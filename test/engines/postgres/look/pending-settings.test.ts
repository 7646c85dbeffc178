import { appendFileSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { createPostgresEngine } from '../../../../agent/engines/postgres/postgres-engine.ts';
import { findPendingSettings } from '../../../../agent/engines/postgres/look/pending-settings.ts';
import { sameValue } from '../../../../agent/engines/postgres/server/setting-values.ts';
import type { Failure } from '../../../../shared/domain/errors.ts';
import type { PostgresServer } from '../../../lab/postgres.ts';
import { beginCapture, token } from '../../tested-capture.ts';
import { postgresLab, until, versions, type PostgresLab } from '../lab.ts';

// Goal: what the owner has written into the files and not reloaded is neither lost nor put into force by a freeze.

describe('a value in a configuration file', () => {
  const same: [string, string, string, string | null][] = [
    ['1GB', '131072', 'integer', '8kB'],
    ['77MB', '78848', 'integer', 'kB'],
    ['1.5 h', '5400', 'integer', 's'],
    ['0600', '0600', 'integer', null],
    ['0x10', '16', 'integer', null],
    ['5min', '300000', 'integer', 'ms'],
    ['.5', '0.5', 'real', null],
    ['yes', 'on', 'bool', null],
    ['F', 'off', 'bool', null],
    ['iso, mdy', 'ISO, MDY', 'string', null],
    ['REPLICA', 'replica', 'enum', null],
  ];
  const different: [string, string, string, string | null][] = [
    ['77MB', '4096', 'integer', 'kB'],
    ['1GB', '131071', 'integer', '8kB'],
    ['77 parsecs', '77', 'integer', 'kB'],
    ['on', 'off', 'bool', null],
    ['dr1', '', 'string', null],
  ];
  it('is known for what is in force, however it is written', () => {
    for (const [written, setting, type, unit] of same)
      expect(sameValue(written, { setting, type, unit }), written).to.equal(true);
    for (const [written, setting, type, unit] of different)
      expect(sameValue(written, { setting, type, unit }), written).to.equal(false);
  });
});

for (const version of versions) {
  describe(`settings of PostgreSQL ${version} that are not reloaded yet`, () => {
    let lab: PostgresLab;
    let files: Map<string, string>;
    const path = (name: string): string => join(lab.server.data, name);
    before(async () => {
      lab = await postgresLab(version, { settings: ['max_connections = 60', 'work_mem = 4096'] });
      files = new Map(
        ['postgresql.conf', 'pg_hba.conf', 'pg_ident.conf'].map((name) => [
          name,
          readFileSync(path(name), 'utf8'),
        ]),
      );
    });
    after(() => lab.remove());
    afterEach(async () => {
      for (const [name, content] of files) writeFileSync(path(name), content);
      await lab.server.query('ALTER SYSTEM RESET ALL');
      await reload(lab.server);
    });

    const problems = async (): Promise<readonly Failure[]> =>
      (await lab.engine.describe(AbortSignal.timeout(10_000))).problems;

    const written: Record<string, [() => unknown, string]> = {
      'a value that changes': [
        () => appendFileSync(path('postgresql.conf'), "work_mem = '77MB'\n"),
        'work_mem (',
      ],
      'a value that is taken out': [
        () =>
          writeFileSync(
            path('postgresql.conf'),
            files.get('postgresql.conf')?.replace('work_mem = 4096', '') ?? '',
          ),
        'work_mem (taken out of',
      ],
      'a value of ALTER SYSTEM': [
        () => lab.server.query("ALTER SYSTEM SET synchronous_standby_names = 'dr1'"),
        'synchronous_standby_names (',
      ],
      'a line of pg_hba.conf': [
        () => appendFileSync(path('pg_hba.conf'), 'host all all 10.0.0.0/8 reject\n'),
        'pg_hba.conf',
      ],
      'a line of pg_ident.conf': [() => appendFileSync(path('pg_ident.conf'), 'map a b\n'), 'pg_ident.conf'],
    };
    for (const [what, [write, named]] of Object.entries(written)) {
      it(`are refused by name: ${what}`, async () => {
        expect(await problems()).to.deep.equal([]);
        await write();

        const [problem] = await problems();
        expect(problem?.code).to.equal('postgres-settings-pending');
        expect(problem?.message).to.contain(named);
        expect(problem?.hint).to.contain('pg_reload_conf()').and.to.contain('pendingSettings: activate');
        await reload(lab.server);
        expect(await problems()).to.deep.equal([]);
      });
    }

    it('are none where a file was made on a host whose clock is ahead', async () => {
      const later = Date.now() / 1000 + 5 * 3600;
      for (const name of files.keys()) utimesSync(path(name), later, later);
      await reload(lab.server);

      expect(await problems()).to.deep.equal([]);
    });

    it('are found also where the clock was set back since the last reload', async () => {
      appendFileSync(path('postgresql.conf'), "work_mem = '77MB'\n");
      const client = await lab.server.connect();
      try {
        const back = new Proxy(client, {
          get: (target, key) =>
            key === 'query'
              ? (text: string, values: unknown[]) =>
                  target.query(text.replaceAll('pg_conf_load_time()', "now() + '5h'"), values)
              : Reflect.get(target, key),
        });
        const found = await findPendingSettings(back, lab.settings);

        expect(found.problems[0]?.message).to.contain('work_mem (');
        expect(found.warnings.map(({ text }) => text).join()).to.contain('pg_hba.conf');
      } finally {
        await client.end();
      }
    });

    it('are no matter where only a restart would change them', async () => {
      appendFileSync(path('postgresql.conf'), 'max_connections = 80\n');
      expect(await problems()).to.deep.equal([]);
      await reload(lab.server);
      expect(await problems()).to.deep.equal([]);
    });

    for (const [file, line] of [
      ['postgresql.conf', 'no such thing\n'],
      ['pg_hba.conf', 'host all all nowhere\n'],
      ['pg_ident.conf', 'map /( b\n'],
    ] as const) {
      it(`are refused with the place of a mistake in ${file}, whatever the agent's file says`, async () => {
        appendFileSync(path(file), line);
        const engine = createPostgresEngine({ ...lab.settings, pendingSettings: 'activate' });

        const [problem] = (await engine.describe(AbortSignal.timeout(10_000))).problems;
        expect(problem?.code).to.equal('postgres-settings-broken');
        expect(problem?.message).to.contain(file);
      });
    }

    it('written while the base copy ran are not put into force by the arm', async () => {
      const { server, engine, folder } = lab;
      const { capture } = await beginCapture(engine, folder);
      try {
        await capture.prepare();
        await server.query("ALTER SYSTEM SET work_mem = '77MB'");
        const refused = await capture.arm(token()).catch((error: unknown) => error);
        expect(refused).to.have.nested.property('failure.code', 'postgres-settings-pending');
      } finally {
        await capture.abort();
      }
      expect(await inForce(server, 'work_mem')).to.equal('4MB');
      expect(readFileSync(path('postgresql.auto.conf'), 'utf8')).to.contain("work_mem = '77MB'");
    });

    it('are put into force where that is stated, and what auto.conf said it says again', async () => {
      const { server, folder } = lab;
      await server.query("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (dr1)'");
      await server.query("ALTER SYSTEM SET synchronous_commit = 'local'");
      const engine = createPostgresEngine({ ...lab.settings, pendingSettings: 'activate' });
      const description = await engine.describe(AbortSignal.timeout(10_000));
      const { capture, undo } = await beginCapture(engine, folder);
      try {
        await capture.prepare();
        await capture.arm(token());
      } finally {
        await capture.abort();
      }

      expect(description.problems).to.deep.equal([]);
      expect(description.warnings.map(({ text }) => text).join()).to.contain('synchronous_standby_names (');
      expect(undo()).to.equal(null);
      expect(readFileSync(path('postgresql.auto.conf'), 'utf8')).to.contain(
        "synchronous_standby_names = 'FIRST 1 (dr1)'",
      );
      expect(await inForce(server, 'synchronous_standby_names')).to.equal('FIRST 1 (dr1)');
    });
  });
}

async function inForce(server: PostgresServer, name: string): Promise<string | undefined> {
  return (await server.query<{ value: string }>('SELECT current_setting($1) AS value', [name]))[0]?.value;
}

async function reload(server: PostgresServer): Promise<void> {
  const loaded = async (): Promise<string | undefined> =>
    (await server.query<{ at: string }>('SELECT pg_conf_load_time()::text AS at'))[0]?.at;
  const before = await loaded();
  await server.query('SELECT pg_reload_conf()');
  await until('the reload', async () => (await loaded()) !== before);
}
