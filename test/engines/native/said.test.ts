import { FOR_CHECKPOINT } from '../../../shared/domain/purpose.ts';
import { expect } from 'chai';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { status, type Server } from '@grpc/grpc-js';
import { BY_ITSELF } from '../../../shared/domain/assignment.ts';
import { Capture } from '../../../agent/capture.ts';
import { describeNative } from '../../../agent/engines/native/describe.ts';
import type { Restoration, RestoreContext } from '../../../agent/engines/engine.ts';
import { metadataCopyset } from '../../../agent/engines/native/metadata.ts';
import { NativeRestoration } from '../../../agent/engines/native/restoration.ts';
import type { NativeSettings } from '../../../agent/engines/native/settings.ts';
import { createNativeEngine } from '../../../agent/engines/native/native-engine.ts';
import { DEFINITION_FILE, STATE_FILE } from '../../../agent/engines/native/state-copy.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { GridManifest, MemberManifest } from '../../../shared/domain/manifest.ts';
import { connectParticipant } from '../../../shared/rpc/participant-client.ts';
import type { DescribeResponse } from '../../../shared/rpc/generated/participant.ts';
import { freePort } from '../../lab/ports.ts';
import { temporaryFolder } from '../../lab/temporary.ts';
import { Gate } from '../../reference-grid/gate.ts';
import { Refusal } from '../../reference-grid/holds.ts';
import { serveParticipant, type Participation } from '../../reference-grid/participant.ts';
import { MemorySink } from '../memory-sink.ts';
import { token } from '../tested-capture.ts';

// Goal: what stillpoint makes of what a process of each role says. Method: a served contract whose answers a test sets.

const ROLES = { 'realm-service': 1, 'state-keeper': 2, node: 3 } as const;
const NO_DEFINITION = {
  grid: 'orders',
  copysets: [],
  keepers: [],
  proxies: [],
  realmServices: [],
  foreign: [],
};
type Said = ReturnType<Participation['describe']>;

describe('a process that says what it is', () => {
  const folder = temporaryFolder('said');
  const socket = join(folder.path, 'p.sock');
  let server: Server;
  let settings: NativeSettings;
  let said: Said;
  let participation: Participation;

  async function serving(role: keyof typeof ROLES, changes: Partial<DescribeResponse> = {}): Promise<void> {
    const data = join(folder.path, role);
    mkdirSync(join(data, 'live'), { recursive: true });
    const address = `127.0.0.1:${await freePort('127.0.0.1')}`;
    settings = {
      name: 'it',
      role,
      engine: 'native',
      address,
      data,
      participant: `unix:${socket}`,
      startSeconds: 0.3,
    };
    if (role === 'node') settings = { ...settings, copyset: 'a' };
    said = {
      grid: 'orders',
      name: 'it',
      role: ROLES[role],
      address,
      dataDirectory: data,
      journalDirectory: '',
      copyset: role === 'node' ? 'a' : '',
      primary: true,
      dataIdentity: 'd',
      sizeBytes: 1n,
      clientConnections: 0,
      quorum: undefined,
      definition: undefined,
      highestEpoch: 0,
      highestCounter: 0,
      problems: [],
      startedWith: undefined,
      unjournaled: [],
      recovering: '',
      updatesHaveRoomMs: undefined,
      ...changes,
    };
    participation = { describe: () => said, unfit: () => undefined };
  }

  async function serve(): Promise<void> {
    server = await serveParticipant(`unix:${socket}`, participation);
  }

  afterEach(() => server.forceShutdown());
  after(() => folder.remove());

  for (const [role, id] of [
    ['realm-service', 'S15'],
    ['state-keeper', 'S24'],
    ['node', 'S31'],
  ] as const) {
    it(`of role ${role} is taken where its data really is: an agent file that names another place is refused [${id}]`, async () => {
      await serving(role);
      await serve();
      expect((await describeNative(settings, false)).problems).to.deep.equal([]);
      said = { ...said, dataDirectory: '/elsewhere' };
      const [problem] = (await describeNative(settings, false)).problems;
      expect(problem).to.include({ code: 'participant-differs' });
      expect(problem?.message).to.include('its data is /elsewhere');
    });
  }

  it('is no problem while its operator has it in maintenance, for no operation of anybody [S119]', async () => {
    await serving('node');
    const held = { operation: '', quiesced: false, writingSuspended: false, journalRetained: false };
    said = { ...said, held: { ...held, maintenance: true } } as Said;
    await serve();
    expect((await describeNative(settings, false)).problems).to.deep.equal([]);
  });

  it('has its backup taken from backups/ of its own, and from no other place [S21]', async () => {
    await serving('realm-service');
    const backUpDatabase = (file: string) => () => Promise.resolve({ file, definition: Buffer.from('{}') });
    for (const [file, isTaken] of [
      ['backups/20261120T120000123Z.json', true],
      ['live/realm.json', false],
      ['backups/../live/realm.json', false],
    ] as const) {
      participation = { ...participation, backUpDatabase: backUpDatabase(file) };
      await serve();
      const link = await connectParticipant({ target: settings.participant, timeoutMs: 5000 });
      const request = { operation: file, checkpoint: 'c', epoch: 0, counter: 1 };
      const taken = await link.backUpDatabase(request).then(
        () => true,
        () => false,
      );
      link.close();
      server.forceShutdown();
      expect(taken, file).to.equal(isTaken);
    }
  });

  it('is asked again for its backup while it cannot: realm services of a cluster do it one at a time [S19]', async () => {
    await serving('realm-service', { definition: { ...NO_DEFINITION, version: 1n } });
    let asked = 0;
    mkdirSync(join(settings.data, 'backups'), { recursive: true });
    writeFileSync(join(settings.data, 'backups/x.json'), '{}');
    participation = {
      ...participation,
      rest: {
        gate: new Gate(),
        switchJournal: () => Promise.resolve({ file: '7', length: 0, content: undefined }),
      },
      backUpDatabase: () => {
        asked += 1;
        if (asked < 3) return Promise.reject(new Refusal(status.UNAVAILABLE, 'another is at it', 'wait'));
        return Promise.resolve({ file: 'backups/x.json', definition: Buffer.from('{}') });
      },
    };
    await serve();
    const { outcome } = await captured();
    expect({ outcome, asked }).to.deep.equal({ outcome: 'taken', asked: 3 });
  });

  /** A whole capture of it: taken, or the code of what failed. */
  async function captured(): Promise<{ outcome: string; artifacts: MemorySink }> {
    const artifacts = new MemorySink();
    const parts = createNativeEngine(settings).begin({
      assignment: BY_ITSELF,
      freezeKind: 'fenced',
      checkpoint: '20261120T120000.123Z_00000000_00000007_nightly',
      maintenance: false,
      purpose: FOR_CHECKPOINT,
      leaseMs: () => 5000,
      spoolDirectory: folder.path,
      artifacts,
      progress: () => undefined,
      lost: () => undefined,
      waitsFor: () => undefined,
      saveUndo: () => Promise.resolve(),
      reach: () => Promise.resolve(),
      step: () => undefined,
    });
    const capture = new Capture(parts, BY_ITSELF);
    try {
      await capture.prepare();
      await capture.arm(token());
      await capture.freeze(token());
      await capture.thaw(token(), () => undefined);
      const outcome = await capture.collect().then(
        () => 'taken',
        (error: unknown) => (error instanceof StillpointError ? error.failure.code : String(error)),
      );
      return { outcome, artifacts };
    } finally {
      await capture.close();
    }
  }

  it('is captured with the state that it has at the mark, as it runs, or not at all [S121]', async () => {
    for (const [version, outcome] of [
      [7n, 'taken'],
      [8n, 'state-changed'],
    ] as const) {
      await serving('state-keeper');
      participation = {
        ...participation,
        rest: {
          gate: new Gate(),
          switchJournal: () => Promise.resolve({ file: '7', length: 0, content: undefined }),
        },
        saveKeeperState: () => ({ state: Buffer.from('{}'), version }),
      };
      await serve();
      const got = await captured();
      server.forceShutdown();
      expect(got.outcome).to.equal(outcome);
      if (outcome === 'taken') expect(got.artifacts.files.get(STATE_FILE)?.bytes.toString()).to.equal('{}');
    }
  });

  it("gives the copy of the realm's database, and all of the definition as the realm has it [S20] [S122]", async () => {
    const definition = {
      ...NO_DEFINITION,
      version: 1n,
      proxies: [{ name: 'p1', address: '127.0.0.1:1', dataDirectory: '/srv/p1', running: true }],
    };
    await serving('realm-service', { definition });
    // What stillpoint knows nothing of is the realm's too.
    const whole = JSON.stringify({ ...definition, version: 1, administrators: ['night shift'] }, null, 2);
    mkdirSync(join(settings.data, 'backups'), { recursive: true });
    writeFileSync(join(settings.data, 'backups/x.db'), 'the database');
    participation = {
      ...participation,
      rest: {
        gate: new Gate(),
        switchJournal: () => Promise.resolve({ file: '1', length: 0, content: undefined }),
      },
      backUpDatabase: () => Promise.resolve({ file: 'backups/x.db', definition: Buffer.from(whole) }),
    };
    await serve();
    const { outcome, artifacts } = await captured();
    expect(outcome).to.equal('taken');
    const texts = [...artifacts.files].map(([path, { bytes }]) => [path, bytes.toString()]);
    expect(Object.fromEntries(texts)).to.deep.equal({
      [STATE_FILE]: 'the database',
      [DEFINITION_FILE]: whole,
    });
  });

  it('keeps the metadata where it is a node of the copyset that was defined first, whatever the names [S35]', async () => {
    await serving('node');
    await serve();
    const members = ['a', 'b'].map((copyset) => ({ engine: 'native', copyset }));
    expect(metadataCopyset({ copysets: ['b', 'a'], members } as unknown as GridManifest)).to.equal('b');
  });

  for (const [role, ids] of [
    ['state-keeper', '[S16] [S25]'],
    ['realm-service', '[S16] [S22]'],
  ] as const) {
    it(`of role ${role} is started when its restored files are in place, for it reads them then and never again ${ids}`, () =>
      startsWithItsFiles(role));
  }

  async function startsWithItsFiles(role: 'state-keeper' | 'realm-service'): Promise<void> {
    await serving(role);
    participation = { ...participation, unfit: () => 'not yet' };
    await serve();
    const seen = join(folder.path, 'seen');
    settings = {
      ...settings,
      run: { start: ['/bin/cp', join(settings.data, 'live/recovery'), seen], stop: ['/bin/true'] },
    };
    const restoration: Restoration = new NativeRestoration(settings, {
      checkpoint: 'c',
      source: { manifest: { artifacts: [] } as unknown as MemberManifest, read: () => stateOfCheckpoint() },
      own: null,
      follow: null,
      progress: () => undefined,
      signal: new AbortController().signal,
    } satisfies RestoreContext);
    await restoration.stage();
    expect(existsSync(join(settings.data, 'live/recovery'))).to.equal(false);
    await restoration.switchIn();
    const code = await restoration.start().catch((error: StillpointError) => error.failure.code);
    expect(code).to.equal('member-not-started');
    expect(readFileSync(seen, 'utf8')).to.equal('the state of the checkpoint');
    await restoration.finish();
  }
});

async function* stateOfCheckpoint(): AsyncIterable<Uint8Array> {
  yield Buffer.from('the state of the checkpoint');
}
