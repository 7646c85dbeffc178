import { expect } from 'chai';
import {
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { storeConfiguration } from '../../../agent/engines/postgres/copy/collect.ts';
import { MemorySink } from '../memory-sink.ts';
import type { PostgresFacts } from '../../../agent/engines/postgres/copy/facts.ts';
import { alsoPlaces } from '../../../agent/engines/postgres/restore/also-places.ts';
import {
  decodeConfiguration,
  encodeConfiguration,
} from '../../../agent/engines/postgres/restore/configuration-text.ts';
import { movedLines } from '../../../agent/engines/postgres/restore/moved-configuration.ts';
import { PostgresRestoration } from '../../../agent/engines/postgres/restore/restoration.ts';
import { postgresMemberSchema, type PostgresSettings } from '../../../agent/engines/postgres/settings.ts';
import type { ArtifactSource } from '../../../agent/engines/engine.ts';
import { stageOf } from '../../../agent/engines/restore/directory-switch.ts';
import type { Artifact, MemberManifest } from '../../../shared/domain/manifest.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { serverUser } from '../../lab/postgres.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: each directory of configuration comes back in its own place, and what it says of places is true there.
// Method: a checkpoint in memory is staged; no server is started.

describe('the configuration of a restored server', () => {
  const folder = temporaryFolder('placed');
  after(() => folder.remove());
  let number = 0;

  const LATIN = Buffer.from('# gr\xfcn\nwork_mem = 8MB\n', 'latin1');

  const CONTENT: Readonly<Record<string, string | Buffer>> = {
    'base/global/pg_control': 'of the checkpoint',
    'base/global/pg_control.stillpoint-unfinished': 'left by something',
    'base/postgresql.auto.conf': '',
    'base/backup_label': 'START WAL LOCATION',
    'also/0/postgresql.conf': `data_directory = '/srv/old'\nhba_file = '/etc/one/pg_hba.conf'\nident_file = '/srv/old/pg_ident.conf'\nwork_mem = 8MB`,
    'journal/000000010000000000000001': 'records',
    'config/pg_hba.conf': LATIN,
    'base/conf.d/primary.conf': 'work_mem = 1MB',
    'config/conf.d/standby.conf': 'work_mem = 2MB',
    'config/other/more.conf': 'work_mem = 3MB',
    'also/0/name': 'one',
    'also/1/name': 'two',
  };

  function settings(also: (home: string) => readonly string[]): PostgresSettings {
    const home = join(folder.path, String((number += 1)));
    mkdirSync(home);
    if (serverUser !== null) chownSync(home, serverUser.uid, serverUser.gid);
    return postgresMemberSchema.parse({
      name: 'aa',
      role: 'node',
      engine: 'postgres',
      address: '127.0.0.1:1',
      connection: 'postgresql://stillpoint@127.0.0.1:1/postgres',
      data: join(home, 'data'),
      also: also(home),
      run: { start: ['true'], stop: ['true'] },
    });
  }

  function restoration(
    of: PostgresSettings,
    captured: readonly string[],
    { follow = null, label = 0o600 }: { follow?: string | null; label?: number } = {},
  ): PostgresRestoration {
    const facts: Partial<PostgresFacts> = {
      kind: 'primary',
      serverVersion: 180_004,
      systemIdentifier: '1',
      timeline: 1,
      walSegmentSizeBytes: 1 << 24,
      startPosition: '0/1',
      markPosition: '0/2',
      restorePoint: 'mark',
      synchronousStandbyNames: '',
      synchronousStandbyNamesInAutoConf: false,
      port: 1,
      listenAddresses: '*',
      archiving: false,
      subscriptions: [],
      tablespaces: [],
      outsideFiles: [],
      also: captured,
      preparedAtMark: [],
      preparedEnded: [],
      preparedReused: [],
    };
    const artifacts: Artifact[] = [
      ...['base', 'base/global', 'base/pg_wal', 'base/conf.d', 'config/conf.d', 'also/0', 'also/1'].map(
        (path): Artifact => ({
          kind: 'directory',
          path,
          mode: 0o700,
        }),
      ),
      ...Object.keys(CONTENT).map((path): Artifact => ({
        kind: 'file',
        path,
        mode: path.startsWith('journal/') ? 0o600 : path === 'base/backup_label' ? label : 0o640,
        mtimeMs: 0,
        sizeBytes: 0,
        digest: '',
        chunks: [],
      })),
    ];
    const manifest = {
      checkpoint: 'c',
      member: { name: 'aa', address: '127.0.0.1:1' },
      engineFacts: facts,
      artifacts,
    };
    const source: ArtifactSource = {
      manifest: manifest as unknown as MemberManifest,
      async *read(path) {
        yield Buffer.from(CONTENT[path] ?? '');
      },
    };
    return new PostgresRestoration(of, {
      checkpoint: 'c',
      source,
      own: follow === null ? null : source,
      follow,
      signal: new AbortController().signal,
      progress: () => undefined,
    });
  }

  const staged = (path: string, name: string): string => readFileSync(join(stageOf(path), name), 'utf8');

  it('goes to its own path, also when the agent file has the paths in another order', async () => {
    const here = settings((home) => [join(home, 'two'), join(home, 'one')]);
    const [two = '', one = ''] = here.also;
    await restoration(here, [one, two]).stage();
    expect([staged(one, 'name'), staged(two, 'name')]).to.deep.equal(['one', 'two']);
  });

  it('names the directory where the data is now, and not that of the server that it came from', async () => {
    const here = settings((home) => [join(home, 'one'), join(home, 'two')]);
    const [one = ''] = here.also;
    await restoration(here, ['/etc/one', '/etc/two']).stage();
    const text = staged(one, 'postgresql.conf');
    expect(text.startsWith(String(CONTENT['also/0/postgresql.conf']))).to.equal(true);
    const lines = text.trim().split('\n').slice(-3);
    expect(lines).to.deep.equal([
      `data_directory = '${here.data}'`,
      `hba_file = '${one}/pg_hba.conf'`,
      `ident_file = '${here.data}/pg_ident.conf'`,
    ]);
  });

  it('is staged also where the old data had a file of the name that pg_control has until the decision', async () => {
    const here = settings((home) => [join(home, 'one'), join(home, 'two')]);
    await restoration(here, [...here.also]).stage();
    expect(staged(here.data, 'global/pg_control.stillpoint-unfinished')).to.equal('of the checkpoint');
  });

  it('of a standby is the bytes that it was, in whatever encoding', async () => {
    const here = settings((home) => [join(home, 'one'), join(home, 'two')]);
    await restoration(here, [...here.also], { follow: '127.0.0.1:2' }).stage();
    expect(readFileSync(join(stageOf(here.data), 'pg_hba.conf'))).to.deep.equal(LATIN);
  });

  it('of a standby is all that it includes, and nothing that its primary has there', async () => {
    const here = settings((home) => [join(home, 'one'), join(home, 'two')]);
    await restoration(here, [...here.also], { follow: '127.0.0.1:2' }).stage();
    expect(readdirSync(join(stageOf(here.data), 'conf.d'))).to.deep.equal(['standby.conf']);
    expect(staged(here.data, 'other/more.conf')).to.equal('work_mem = 3MB');

    const primary = settings((home) => [join(home, 'one'), join(home, 'two')]);
    await restoration(primary, [...primary.also]).stage();
    expect(readdirSync(join(stageOf(primary.data), 'conf.d'))).to.deep.equal(['primary.conf']);
  });

  it('of a standby is stored with what it includes, at any depth, and with nothing that lies elsewhere', async () => {
    const home = join(folder.path, 'includes');
    const text: Readonly<Record<string, string>> = {
      'data/postgresql.conf': `include_dir = 'conf.d'\ninclude '../outside.conf'\n#include 'commented'\ninclude_if_exists 'absent'\n`,
      'data/conf.d/a.conf': `include 'deep/b.conf'\ninclude '${home}/data/absolute.conf'\n`,
      'data/conf.d/note.txt': '',
      'data/conf.d/deep/b.conf': `include '../a.conf'\n`,
      'data/absolute.conf': '',
      'data/pg_hba.conf': 'include access.conf\n',
      'data/access.conf': '',
      'data/commented': '',
      'outside.conf': '',
    };
    for (const [path, content] of Object.entries(text)) {
      mkdirSync(dirname(join(home, path)), { recursive: true });
      writeFileSync(join(home, path), content);
    }
    symlinkSync(join(home, 'outside.conf'), join(home, 'data/conf.d/link.conf'));
    const sink = new MemorySink();
    await storeConfiguration(sink, join(home, 'data'), null);
    expect(sink.paths('')).to.deep.equal([
      'config/absolute.conf',
      'config/access.conf',
      'config/conf.d/a.conf',
      'config/conf.d/deep/b.conf',
      'config/pg_hba.conf',
      'config/postgresql.conf',
    ]);
    expect([...sink.directories]).to.deep.equal(['config/conf.d']);
  });

  it('is read and written again as the bytes that it was: text, and what is none', () => {
    for (const bytes of [LATIN, Buffer.from('grün 🌿'), Buffer.from([0xf0, 0x9f, 0x8c, 0x41, 0xff, 0xc3])]) {
      const text = decodeConfiguration(bytes);
      expect(encodeConfiguration(text)).to.deep.equal(bytes);
    }
    expect(decodeConfiguration(Buffer.concat([Buffer.from('grün '), LATIN]))).to.include('grün # gr');
  });

  it('lies in a directory that a group may read where it was so, with its journal', async () => {
    for (const [label, mode] of [
      [0o600, 0o700],
      [0o640, 0o750],
    ] as const) {
      const here = settings((home) => [join(home, 'one'), join(home, 'two')]);
      await restoration(here, [...here.also], { label }).stage();
      const modes = ['', 'pg_wal', 'pg_wal/000000010000000000000001'].map(
        (name) => statSync(join(stageOf(here.data), name)).mode & 0o7777,
      );
      expect(modes).to.deep.equal([mode, mode, label]);
    }
  });

  it('is left as it is where nothing has moved', () => {
    const also = [{ from: '/etc/one', to: '/etc/one/' }];
    const text = "data_directory = '/srv/data/'\nhba_file = '/etc/one/pg_hba.conf'\n";
    expect(movedLines(text, { data: '/srv/data', also })).to.equal('');
    expect(movedLines('work_mem = 4MB\n', { data: '/srv/data', also })).to.equal('');
  });

  it('has the file that systemd waits for by the name that its cluster has now', () => {
    const also = [{ from: '/etc/postgresql/15/main', to: '/etc/postgresql/16/orders/' }];
    const of = (file: string): string =>
      movedLines(`external_pid_file = '${file}'\n`, { data: '/srv/data', also });
    expect(of('/var/run/postgresql/15-main.pid')).to.include(
      "external_pid_file = '/var/run/postgresql/16-orders.pid'",
    );
    expect(of('/run/other.pid')).to.equal('');
  });

  const PLACES: [what: string, captured: string[], here: string[], places: string[]][] = [
    ['the same', ['/a', '/b'], ['/b', '/a/'], ['/a/', '/b']],
    ['all elsewhere', ['/a', '/b'], ['/x', '/y'], ['/x', '/y']],
    ['one the same, one elsewhere', ['/a', '/b'], ['/x', '/a'], ['/a', '/x']],
    ['one more here', ['/a'], ['/x', '/a'], ['/a']],
    ['none captured', [], ['/x'], []],
  ];
  for (const [what, captured, here, places] of PLACES) {
    it(`has places: ${what}`, () => {
      expect(alsoPlaces('aa', captured, here)).to.deep.equal(places);
    });
  }

  for (const [captured, here] of [
    [['/a', '/b'], ['/x']],
    [['/a', '/b'], ['/a']],
    [['/a'], []],
    [['/a'], ['/x', '/y']],
  ] as [string[], string[]][]) {
    it(`is refused where ${captured.join(' and ')} cannot be told a place in ${here.join(' and ') || 'nothing'}`, async () => {
      expect(() => alsoPlaces('aa', captured, here)).to.throw(StillpointError, captured.at(-1));
      const refused = await restoration(
        settings(() => here),
        captured,
      )
        .check(null)
        .catch((error: unknown) => error);
      expect(refused).to.have.nested.property('failure.code', 'also-without-place');
    });
  }
});
