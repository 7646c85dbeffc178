import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  collationsOf,
  localesOf,
  type UsedCollation,
} from '../../../../agent/engines/postgres/look/collations.ts';
import { collationWarnings, mustHaveLocales } from '../../../../agent/engines/postgres/restore/collations.ts';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import { serverUser } from '../../../lab/postgres.ts';
import { postgresLab, versions, type PostgresLab } from '../lab.ts';

// Goal: a host that sorts text otherwise than the one of the checkpoint is told of before anything is stopped, with the
// indexes that it concerns; one that lacks a locale is refused.
// Method: real servers; the other version is written into the catalogue, as an upgrade of the host would leave it.

for (const version of new Set(['14' as const, ...versions])) {
  describe(`the collations of a PostgreSQL ${version}`, () => {
    let lab: PostgresLab;
    let found: UsedCollation[];
    let actual: string;

    before(async () => {
      lab = await postgresLab(version);
      await lab.server.query(`
        CREATE COLLATION german (provider = icu, locale = 'de');
        CREATE COLLATION swedish (provider = icu, locale = 'sv');
        CREATE COLLATION unused (provider = icu, locale = 'fr');
        CREATE TABLE person (name text COLLATE german PRIMARY KEY, born text COLLATE swedish);
        CREATE INDEX "by Birth" ON person (born, name);
        UPDATE pg_collation SET collversion = '1' WHERE collname IN ('german', 'unused');`);
      const [row] = await lab.server.query<{ version: string }>(
        "SELECT pg_collation_actual_version(oid) AS version FROM pg_collation WHERE collname = 'german'",
      );
      actual = row?.version ?? '';
    });
    after(() => lab.remove());

    function warn(collations: readonly UsedCollation[]): ReturnType<typeof collationWarnings> {
      const program = join(lab.server.binaries, 'postgres');
      return collationWarnings({ about: 'aa', collations, program, owner: serverUser });
    }

    it('are known by provider, locale and version, with the indexes that are ordered by them', async () => {
      const client = await lab.server.connect();
      try {
        found = await collationsOf(client, 'postgres');
      } finally {
        await client.end();
      }
      const common = { database: 'postgres', provider: 'i' };
      expect(found).to.deep.equal([
        {
          ...common,
          name: 'german',
          locale: 'de',
          version: '1',
          indexes: ['person_pkey', '"by Birth"'],
          count: 2,
        },
        {
          ...common,
          name: 'swedish',
          locale: 'sv',
          version: found[1]?.version,
          indexes: ['"by Birth"'],
          count: 1,
        },
      ]);
    });

    it('that are of another version on a host are told with its own, which a server of it says; the others not', async () => {
      const warnings = await warn(found);
      expect(warnings).to.have.length(1);
      expect(warnings[0]).to.include({ code: 'postgres-collation-other', doubtful: true });
      expect(warnings[0]?.text)
        .to.include(`collation german (de) is of version ${actual} on this host, and was 1`)
        .and.include('person_pkey, "by Birth"');
      expect(readdirSync(tmpdir()).filter((name) => name.startsWith('stillpoint-icu-'))).to.deep.equal([]);
    });

    it('of the C library are held against that of the host', async () => {
      const here =
        spawnSync('getconf', ['GNU_LIBC_VERSION'], { encoding: 'utf8' }).stdout.trim().split(' ')[1] ?? '';
      const own = {
        database: 'd',
        name: null,
        provider: 'c',
        locale: 'de_DE.UTF-8',
        indexes: ['i'],
        count: 31,
      };
      expect(await warn([{ ...own, version: here }])).to.deep.equal([]);
      const [other] = await warn([{ ...own, version: '2.28' }]);
      expect(other?.text)
        .to.include(`its default collation (de_DE.UTF-8) is of version ${here} on this host, and was 2.28`)
        .and.include('i and 30 more');
    });

    it('need locales that are found out, also those of settings, and a host without one is refused', async () => {
      await lab.server.query("ALTER SYSTEM SET lc_time = 'C.UTF-8'");
      await lab.server.query('SELECT pg_reload_conf()');
      const client = await lab.server.connect();
      try {
        for (let tries = 0; !(await localesOf(client)).includes('C.UTF-8'); tries += 1)
          expect(tries, 'the reload').to.be.lessThan(1000);
      } finally {
        await client.end();
      }
      await mustHaveLocales('aa', ['C.UTF-8', 'C.utf8']);
      const refused = await mustHaveLocales('aa', ['C.UTF-8', 'xx_YY.UTF-8']).catch(
        (error: unknown) => error,
      );
      expect(refused).to.be.instanceOf(StillpointError);
      expect(refused).to.have.nested.property('failure.code', 'locale-missing');
      expect((refused as StillpointError).message)
        .to.include('xx_YY.UTF-8')
        .and.not.include('C.UTF-8');
    });
  });
}
