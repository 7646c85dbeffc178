import { expect } from 'chai';
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ArtifactSource } from '../../../../agent/engines/engine.ts';
import type { PostgresFacts } from '../../../../agent/engines/postgres/copy/facts.ts';
import { preloadOf } from '../../../../agent/engines/postgres/restore/needs.ts';
import { PostgresRestoration } from '../../../../agent/engines/postgres/restore/restoration.ts';
import { stageOf } from '../../../../agent/engines/restore/directory-switch.ts';
import type { StillpointError } from '../../../../shared/domain/errors.ts';
import type { Artifact, MemberManifest } from '../../../../shared/domain/manifest.ts';
import { serverUser } from '../../../lab/postgres.ts';
import { postgresLab, settingsFor, versions, type PostgresLab } from '../lab.ts';

// Goal: what would harm another server, or keep a restored one from starting, is found before anything is recovered.
// Method: the journal of a real server up to a mark before, and behind, such a record is staged; no server is started on it.

for (const version of versions) {
  describe(`a checkpoint of PostgreSQL ${version} that is to be restored`, () => {
    let lab: PostgresLab;
    before(async () => {
      lab = await postgresLab(version, { walSegmentMb: 16, settings: ["wal_keep_size = '1GB'"] });
    });
    after(() => lab.remove());

    it('is not replayed where its journal makes a tablespace, also one that is dropped again', async () => {
      const { server, folder } = lab;
      const place = ownDirectory('late');
      await server.query('CHECKPOINT');
      const [from] = await server.query<{ lsn: string }>(
        'SELECT redo_lsn::text AS lsn FROM pg_control_checkpoint()',
      );
      await server.query('INSERT INTO entry SELECT generate_series(1, 20000)');
      const before = await mark();
      await server.query(`CREATE TABLESPACE late LOCATION '${place}'`);
      await server.query('DROP TABLESPACE late');
      const behind = await mark();

      await restorationTo(from?.lsn ?? '', before, 'fit').stage();
      const refused = await restorationTo(from?.lsn ?? '', behind, 'unfit')
        .stage()
        .catch((error: unknown) => error);

      expect(readdirSync(join(stageOf(join(folder, 'fit/data')), 'pg_wal'))).not.to.have.length(0);
      expect(refused).to.have.nested.property('failure.code', 'tablespace-in-journal');
    });

    it('is taken to no host that lacks what its configuration names: files outside, libraries', async () => {
      const { folder } = lab;
      const there = join(folder, 'there.conf');
      writeFileSync(there, '');
      const check = async (name: string, more: Partial<PostgresFacts>): Promise<unknown> => {
        const part = { configFile: '/srv/old/postgresql.conf', needs: [], preload: [], ...more };
        return restorationTo('0/0', '0/0', name, part)
          .check(null)
          .then(
            () => 'fit',
            (error: unknown) => (error as StillpointError).message,
          );
      };
      const absent = join(folder, 'absent.crt');

      expect(await check('a', { needs: [there], preload: ['dblink', '$libdir/amcheck'] })).to.equal('fit');
      expect(await check('b', { needs: [there, absent], preload: ['no_such_library'] }))
        .to.include(`not on this host: ${absent}, the library no_such_library`)
        .and.not.include(there);
      // Of a configuration that the target's owner brings nothing is known.
      const outsideFiles = ['/srv/old/postgresql.conf'];
      expect(await check('c', { needs: [absent], outsideFiles })).to.equal('fit');
    });

    it('is taken to no host whose server cannot read what it needs, or that lacks a locale of its databases', async () => {
      const { folder } = lab;
      const key = join(folder, 'key.pem');
      writeFileSync(key, '', { mode: 0o600 });
      const part = { configFile: '/srv/old/postgresql.conf', needs: [key], preload: [] };
      if (serverUser !== null) {
        const refused = await restorationTo('0/0', '0/0', 'd', part)
          .check(null)
          .catch((error: unknown) => error);
        expect(refused).to.have.nested.property('failure.code', 'configuration-missing');
        expect((refused as StillpointError).message)
          .to.include("the server's user cannot read")
          .and.include(key);
        chownSync(key, 0, serverUser.gid);
        chmodSync(key, 0o640);
      }
      expect(await restorationTo('0/0', '0/0', 'e', part).check(null)).to.have.property(
        'provesInPrivate',
        true,
      );
      const foreign = await restorationTo('0/0', '0/0', 'f', { locales: ['xx_YY.UTF-8'] })
        .check(null)
        .catch((error: unknown) => error);
      expect(foreign).to.have.nested.property('failure.code', 'locale-missing');
    });

    it('is recovered with the libraries that were in force, not with those that its files say since', () => {
      expect(preloadOf({ preload: ['citus', '$libdir/pg cron'] }, 'other')).to.equal(
        'citus, "$libdir/pg cron"',
      );
      // Of older checkpoints nothing is known but the files.
      expect(preloadOf({ preload: [] }, 'other')).to.equal('other');
    });

    function ownDirectory(name: string): string {
      const path = join(lab.folder, name);
      mkdirSync(path);
      if (serverUser !== null) chownSync(path, serverUser.uid, serverUser.gid);
      return path;
    }

    async function mark(): Promise<string> {
      const [row] = await lab.server.query<{ lsn: string }>(
        "SELECT pg_create_restore_point('x')::text AS lsn",
      );
      return row?.lsn ?? '';
    }

    function restorationTo(
      startPosition: string,
      markPosition: string,
      name: string,
      part: Partial<PostgresFacts> = {},
    ): PostgresRestoration {
      const journal = join(lab.server.data, 'pg_wal');
      const files = readdirSync(journal).filter((file) => /^[0-9A-F]{24}$/.test(file));
      const artifacts: Artifact[] = [
        { kind: 'directory', path: 'base/global', mode: 0o700 },
        ...['base/global/pg_control', 'base/backup_label', ...files.map((file) => `journal/${file}`)].map(
          (path): Artifact => ({
            kind: 'file',
            path,
            mode: 0o600,
            mtimeMs: 0,
            sizeBytes: 0,
            digest: '',
            chunks: [],
          }),
        ),
      ];
      const engineFacts: Partial<PostgresFacts> = {
        kind: 'primary',
        serverVersion: Number(version) * 10_000,
        systemIdentifier: '1',
        timeline: 1,
        walSegmentSizeBytes: 16 * 1024 * 1024,
        startPosition,
        markPosition,
        restorePoint: 'x',
        synchronousStandbyNames: '',
        synchronousStandbyNamesInAutoConf: false,
        port: 1,
        listenAddresses: '*',
        archiving: false,
        subscriptions: [],
        tablespaces: [],
        outsideFiles: [],
        also: [],
        preparedAtMark: [],
        preparedEnded: [],
        ...part,
      };
      const manifest = {
        checkpoint: 'c',
        member: { name: 'orders-1a', address: lab.settings.address },
        engineFacts,
        artifacts,
      } as unknown as MemberManifest;
      const source: ArtifactSource = {
        manifest,
        async *read(path) {
          if (path.startsWith('journal/')) yield readFileSync(join(journal, path.slice('journal/'.length)));
        },
      };
      return new PostgresRestoration(settingsFor(lab.server, { data: join(ownDirectory(name), 'data') }), {
        checkpoint: 'c',
        source,
        own: null,
        follow: null,
        signal: new AbortController().signal,
        progress: () => undefined,
      });
    }
  });
}
