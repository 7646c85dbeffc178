import { expect } from 'chai';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { BY_ITSELF } from '../../shared/domain/assignment.ts';
import type { Artifact, MemberManifest } from '../../shared/domain/manifest.ts';
import type { ArtifactSource, RestoreContext } from '../../agent/engines/engine.ts';
import { JournalFiles } from '../../agent/engines/native/journal-files.ts';
import { readLocalCopy } from '../../agent/engines/native/local-copy.ts';
import {
  completeCheckpoints,
  LocalCheckpoint,
  sweepCheckpoints,
} from '../../agent/engines/native/local-checkpoint.ts';
import { NativeRestoration } from '../../agent/engines/native/restoration.ts';
import { nativeMemberSchema } from '../../agent/engines/native/settings.ts';
import { storeConfiguration, storeDirectories } from '../../agent/engines/postgres/copy/collect.ts';
import { readPassword } from '../../agent/engines/postgres/server/connection.ts';
import { describePostgres } from '../../agent/engines/postgres/look/describe.ts';
import { JournalRate } from '../../agent/engines/postgres/journal/journal-rate.ts';
import type { PostgresFacts } from '../../agent/engines/postgres/copy/facts.ts';
import { recoverPostgresRestore } from '../../agent/engines/postgres/restore/restore.ts';
import { PostgresRestoration } from '../../agent/engines/postgres/restore/restoration.ts';
import { lastWords } from '../../agent/engines/postgres/restore/last-words.ts';
import { startServer } from '../../agent/engines/postgres/restore/server-process.ts';
import { postgresMemberSchema, type PostgresSettings } from '../../agent/engines/postgres/settings.ts';
import { dropOld, readRecord, switchBack } from '../../agent/engines/restore/directory-switch.ts';
import { ownerOf } from '../../agent/engines/restore/owner.ts';
import { within } from '../../agent/safe-files.ts';
import { HostileUser, PLANTS, type Plant } from '../lab/hostile-user.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { serverTraits } from '../repository/samples.ts';
import { MemorySink } from './memory-sink.ts';

// Goal: whatever a server's user puts at whatever name at whatever moment, an agent that runs as root changes, gives
//   away, removes and shows nothing of root's.
// Method: each piece of work runs once for every look-up of a name in a directory of that user's; just before that
//   look-up the name becomes something else. The list of moments is what the work itself does, so it has no gaps.

const NEVER = new AbortController().signal;
const CHECKPOINT = '20261120T120000.123Z_00000000_00000007_nightly';

interface Scenario {
  readonly name: string;
  /** Files of the user, before the work begins; what is returned is the work. */
  prepare(user: HostileUser, shown: Uint8Array[]): () => Promise<void>;
}

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'a restore of PostgreSQL that is finished',
    prepare(user) {
      const restoration = postgresRestoration(user);
      return async () => {
        await restoration.stage();
        await restoration.switchIn();
        await restoration.finish();
      };
    },
  },
  {
    name: 'a restore of PostgreSQL that is rolled back',
    prepare(user) {
      const restoration = postgresRestoration(user);
      return async () => {
        await restoration.stage();
        await restoration.switchIn();
        await recoverPostgresRestore(postgresSettings(user), 'rolledBack');
      };
    },
  },
  {
    name: 'a start of PostgreSQL that fails',
    prepare(user, shown) {
      const settings = postgresSettings(user);
      postgresFiles(user);
      return async () => {
        await startServer(settings, NEVER);
        shown.push(Buffer.from(await lastWords(settings, new Map())));
      };
    },
  },
  {
    name: 'a checkpoint of PostgreSQL',
    prepare(user, shown) {
      const settings = postgresSettings(user);
      postgresFiles(user);
      user.owns('stillpoint.password', 'a password');
      return async () => {
        shown.push(
          Buffer.from(
            JSON.stringify(
              await describePostgres(settings, {
                signal: NEVER,
                busy: false,
                journalRate: new JournalRate(),
              }),
            ),
          ),
        );
        const sink = new MemorySink();
        const owner = await ownerOf(settings);
        await storeConfiguration(sink, settings.data, owner).catch(() => undefined);
        await storeDirectories(sink, settings.also, owner).catch(() => undefined);
        shown.push(...[...sink.files.values()].map(({ bytes }) => bytes));
        shown.push(Buffer.from(await readPassword(join(user.home, 'stillpoint.password'))));
      };
    },
  },
  {
    name: 'a checkpoint of a node beside its data',
    prepare(user, shown) {
      const settings = nativeSettings(user);
      nativeFiles(user);
      return async () => {
        await sweepCheckpoints(settings.data);
        const local = new LocalCheckpoint(settings.data, CHECKPOINT);
        const owner = await ownerOf(settings);
        const live = join(settings.data, 'live');
        let journal: JournalFiles | null = null;
        try {
          await local.begin();
          journal = await JournalFiles.watch({
            directory: join(live, 'journal'),
            first: '0001',
            local,
            place: 'data/journal',
            owner,
            neverThere: (name) => new Error(name),
          });
          await within(live, (directory) =>
            local.copyTree(directory, 'data', { except: 'journal', owner, signal: NEVER }),
          );
          await journal.keepThrough('0002');
          await local.write('member.json', JSON.stringify(nodeManifest()));
          await local.finish('{}');
          for (const path of (await local.files('data')) ?? [])
            for await (const bytes of local.content(`data/${path}`, await local.lengthOf(`data/${path}`)))
              shown.push(bytes);
        } finally {
          await journal?.end();
          await local.close();
        }
        const copy = await readLocalCopy(settings, CHECKPOINT);
        for await (const bytes of copy?.own.read('data/table') ?? []) shown.push(bytes);
        await completeCheckpoints(settings.data);
        await new LocalCheckpoint(settings.data, CHECKPOINT).remove();
      };
    },
  },
  {
    name: 'a restore of a node',
    prepare(user) {
      const settings = nativeSettings(user);
      nativeFiles(user);
      const begin = (): NativeRestoration =>
        new NativeRestoration(settings, contextOf(nodeManifest(), NODE_FILES));
      return async () => {
        const live = join(settings.data, 'live');
        for (const end of [switchBack, dropOld]) {
          const restoration = begin();
          await restoration.stage();
          await restoration.switchIn();
          const record = await readRecord(live);
          if (record !== null) await end(live, record);
        }
      };
    },
  },
];

if (process.getuid?.() === 0) {
  describe("a user of the host's that owns the data, against an agent that runs as root", () => {
    const met = new Set<string>();
    let before: readonly string[] = [];
    for (const scenario of SCENARIOS) {
      let lookups: readonly string[] = [];
      it(`does its work in ${scenario.name} when it is left alone`, async () => {
        const played = await play(scenario, 'a pipe', 0);
        expect(played.refused, String(played.refused)).to.equal(null);
        expect(played.harm).to.equal(null);
        ({ lookups } = played);
      });

      it(`harms nothing of root's in ${scenario.name}, whatever stands at each of the names`, async () => {
        for (const name of new Set(lookups)) {
          if (met.has(name)) continue;
          met.add(name);
          for (const plant of PLANTS) {
            const { harm } = await play(scenario, plant, lookups.indexOf(name) + 1);
            expect(harm).to.equal(null);
          }
        }
      });

      it(`harms nothing of root's in ${scenario.name}, at whatever moment a name becomes another`, async () => {
        for (const moment of lookups.keys()) {
          // What begins as another piece of work does was tried with that.
          if (lookups[moment] === before[moment]) continue;
          const { harm } = await play(scenario, PLANTS[moment % PLANTS.length] ?? 'a pipe', moment + 1);
          expect(harm).to.equal(null);
        }
        before = lookups;
      });
    }
  });
}

async function play(
  scenario: Scenario,
  plant: Plant,
  moment: number,
): Promise<{ refused: unknown; harm: string | null; lookups: readonly string[] }> {
  const folder = temporaryFolder('hostile');
  try {
    const user = new HostileUser(folder.path, plant, moment);
    const shown: Uint8Array[] = [];
    const work = scenario.prepare(user, shown);
    const refused = await user.watch(work);
    return { refused, harm: user.harm(shown), lookups: user.lookups };
  } finally {
    folder.remove();
  }
}

function postgresSettings(user: HostileUser): PostgresSettings {
  return postgresMemberSchema.parse({
    name: 'aa',
    role: 'node',
    engine: 'postgres',
    address: '127.0.0.1:1',
    connection: 'postgresql://stillpoint@127.0.0.1:1/postgres',
    data: join(user.home, 'data'),
    also: [join(user.home, 'etc')],
    run: { start: ['true'], stop: ['true'] },
  });
}

function postgresFiles(user: HostileUser): void {
  user.owns('data/PG_VERSION', '18\n');
  user.owns('data/global/pg_control', 'eight by');
  for (const name of ['postgresql.conf', 'postgresql.auto.conf', 'pg_hba.conf', 'pg_ident.conf'])
    user.owns(`data/${name}`, `work_mem = '4MB'\n`);
  user.owns('data/pg_tblspc');
  user.owns('etc/nested/file', 'configuration');
  user.owns('etc/file', 'configuration');
}

const BASE_FILES: Readonly<Record<string, string>> = {
  'base/PG_VERSION': '18\n',
  'base/global/pg_control': 'eight by',
  'base/postgresql.conf': `work_mem = '4MB'\n`,
  'base/postgresql.auto.conf': `work_mem = '4MB'\n`,
  'journal/000000010000000000000001': 'journal',
  'tablespaces/16384/1': 'rows',
  'also/0/file': 'configuration',
};

function postgresRestoration(user: HostileUser): PostgresRestoration {
  postgresFiles(user);
  const facts: PostgresFacts = {
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
    tablespaces: [{ oid: '16384', location: '/mnt/fast' }],
    outsideFiles: [],
    also: [join(user.home, 'etc')],
    preparedAtMark: [],
    preparedEnded: [],
    preparedReused: [],
    configFile: null,
    needs: [],
    preload: [],
    leftOut: [],
    walLink: null,
    damagedPages: [],
    collations: [],
    locales: [],
    inForce: [],
    outbound: [],
  };
  const directories = ['base', 'base/global', 'base/pg_tblspc', 'tablespaces/16384', 'also/0'];
  return new PostgresRestoration(
    postgresSettings(user),
    contextOf(manifestOf(BASE_FILES, directories, facts), BASE_FILES),
  );
}

const NODE_FILES: Readonly<Record<string, string>> = { 'data/table': 'rows', 'data/journal/0001': 'journal' };

function nodeManifest(): MemberManifest {
  return manifestOf(NODE_FILES, ['data', 'data/journal'], { kind: 'node' });
}

function nativeSettings(user: HostileUser): ReturnType<typeof nativeMemberSchema.parse> {
  return nativeMemberSchema.parse({
    name: 'aa',
    role: 'node',
    copyset: 'a',
    engine: 'native',
    address: '127.0.0.1:1',
    data: join(user.home, 'data'),
    participant: `unix:${user.home}/absent.sock`,
    run: { start: ['true'], stop: ['true'] },
  });
}

function nativeFiles(user: HostileUser): void {
  user.owns('data/live/table', 'rows');
  user.owns('data/live/nested/table', 'rows');
  for (const name of ['0001', '0002', '0003']) user.owns(`data/live/journal/${name}`, 'journal');
}

function manifestOf(
  files: Readonly<Record<string, string>>,
  directories: readonly string[],
  engineFacts: unknown,
): MemberManifest {
  const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
  const artifacts: Artifact[] = [
    ...directories.map((path): Artifact => ({ kind: 'directory', path, mode: 0o700 })),
    ...Object.keys(files).map((path): Artifact => ({
      kind: 'file',
      path,
      mode: 0o600,
      mtimeMs: 0,
      sizeBytes: 0,
      digest: sha256(''),
      chunks: [],
    })),
  ];
  return {
    format: 1,
    grid: 'orders',
    checkpoint: CHECKPOINT,
    token: { epoch: 0, counter: 7, attempt: 1 },
    member: {
      name: 'aa',
      host: 'alpha',
      role: 'node',
      copyset: 'a',
      engine: 'postgres',
      address: '127.0.0.1:1',
      version: '18.4',
      dataIdentity: '1',
      primary: true,
      freezeKind: 'fenced',
      traits: serverTraits('aa'),
      assignment: BY_ITSELF,
    },
    mark: null,
    engineFacts,
    artifacts,
  };
}

function contextOf(manifest: MemberManifest, files: Readonly<Record<string, string>>): RestoreContext {
  const source: ArtifactSource = {
    manifest,
    async *read(path) {
      yield Buffer.from(files[path] ?? '');
    },
  };
  return {
    checkpoint: CHECKPOINT,
    source,
    own: null,
    follow: null,
    signal: NEVER,
    progress: () => undefined,
  };
}
