import { expect } from 'chai';
import { mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AgentFile } from '../../agent/agent-file.ts';
import { ImageReader, stampOf } from '../../agent/backups.ts';
import type { Engine, Images } from '../../agent/engines/engine.ts';
import type { StateDirectory } from '../../agent/state-directory.ts';
import type { ImageManifest } from '../../shared/domain/backup-set.ts';
import type { Purpose } from '../../shared/domain/purpose.ts';
import type { AgentRequest } from '../../shared/domain/wire.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { describedMember } from '../coordinator/descriptions.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { madeRepository } from '../repository/made.ts';
import { checkpointId, failureOf, GRID, storeCheckpoint } from '../repository/samples.ts';
import { IMAGE } from '../repository/sets-suite.ts';
import { firstToken as token, HeldHost, settled } from './held-host.ts';
import { CHECKPOINT, HELLO, preparedFor, served, type ToldStream } from './served-host.ts';

// Goal: a stamp says that a member is held only while what is copied is of one moment, and that it is shut down only while
// nothing of it changes; an image is read once at a time, and nobody reads it for somebody who is gone. Method: the real
// service behind streams that the test writes, real directories, a real repository, and images that the test makes.

const member = (command: Extract<AgentRequest, { type: 'member' }>['command']): AgentRequest => ({
  type: 'member',
  member: 'a',
  command,
});

describe('the stamp of a member', () => {
  let host: HeldHost;
  let job: ToldStream;
  let other: ToldStream;

  async function prepared(purpose: Purpose): Promise<void> {
    host = new HeldHost(['a']);
    const { opened } = served(host);
    [job, other] = [opened(), opened()];
    await job.holds('one');
    await other.says(HELLO);
    await job.says(preparedFor(purpose));
  }

  async function heldBy(): Promise<unknown> {
    const before = other.sent.length;
    await other.says({ type: 'stampMember', id: 5, member: 'a' });
    while (other.sent.length === before) await settled();
    const said = other.sent.at(-1);
    if (said?.type !== 'stamped') throw new Error(`not stamped: ${said?.type}`);
    return said.stamp.heldBy;
  }

  it('has a quiesce only from the mark to the thaw [S60]', async () => {
    await prepared({ type: 'quiesce', allowReads: false, timeOutMs: 60_000 });
    const held = { operation: 'one', purpose: 'quiesce', checkpoint: CHECKPOINT };
    expect(await heldBy()).to.equal(null);
    await job.says(member({ type: 'arm', token, leaseMs: 1000 }));
    expect(await heldBy()).to.equal(null);
    await job.says(member({ type: 'freeze', token, leaseMs: 1000 }));
    expect(job.heard.at(-1)).to.equal('marked');
    expect(await heldBy()).to.deep.equal(held);
    await job.says(member({ type: 'thaw', token }));
    expect(await heldBy()).to.equal(null);
  });

  it('has a freeze only from the thaw of its mark until it is let go of [S65]', async () => {
    await prepared({ type: 'freeze', timeOutMs: 600_000 });
    const held = { operation: 'one', purpose: 'freeze', checkpoint: CHECKPOINT };
    await job.says(member({ type: 'arm', token, leaseMs: 1000 }));
    await job.says(member({ type: 'freeze', token, leaseMs: 1000 }));
    expect(await heldBy()).to.equal(null);
    await job.says(member({ type: 'thaw', token }));
    expect(job.heard.at(-1)).to.equal('thawed');
    expect(await heldBy()).to.deep.equal(held);
    await job.says(member({ type: 'collect', token }));
    expect(await heldBy()).to.equal(null);
  });

  it('has no checkpoint, no lease that ran out, and no job that is gone', async () => {
    await prepared({ type: 'checkpoint' });
    await job.says(member({ type: 'arm', token, leaseMs: 1000 }));
    await job.says(member({ type: 'freeze', token, leaseMs: 1000 }));
    expect(await heldBy()).to.equal(null);

    await prepared({ type: 'quiesce', allowReads: true, timeOutMs: 60_000 });
    await job.says(member({ type: 'arm', token, leaseMs: 1000 }));
    await job.says(member({ type: 'freeze', token, leaseMs: 1000 }));
    await host.clock.pass(1001);
    expect(await heldBy()).to.equal(null);

    await prepared({ type: 'quiesce', allowReads: true, timeOutMs: 60_000 });
    await job.says(member({ type: 'arm', token, leaseMs: 1000 }));
    await job.says(member({ type: 'freeze', token, leaseMs: 1000 }));
    job.close();
    await settled();
    expect(await heldBy()).to.equal(null);
  });

  it('is refused of a member that is none of this host', async () => {
    await prepared({ type: 'checkpoint' });
    await other.says({ type: 'stampMember', id: 5, member: 'z' });
    expect(other.heard.at(-1)).to.equal('failed unknown-member');
  });
});

describe('what is asked of backups', () => {
  it('leads to no place but the one that the agent file names for images', async () => {
    for (const image of ['../out', '/etc', 'a/../../out', 'a//b', '', '.', 'a/.', 'x'.repeat(65), 'a\nb']) {
      const { opened } = served(new HeldHost(['a']));
      const stream = opened();
      await stream.says(HELLO, { type: 'readImage', id: 1, set: 'nightly', member: 'a', image });
      expect(stream.heard, image).to.deep.equal(['welcome', 'rejected bad-message']);
    }
    const stream = served(new HeldHost(['a'])).opened();
    await stream.says(HELLO, { type: 'readImage', id: 1, set: '../nightly', member: 'a', image: 'one' });
    expect(stream.heard).to.deep.equal(['welcome', 'rejected bad-message']);
  });
});

describe('the stamp of a member that is shut down', () => {
  const folder = temporaryFolder('stopped');
  const data = join(folder.path, 'data');
  let runs: boolean;

  beforeEach(() => {
    rmSync(data, { recursive: true, force: true });
    mkdirSync(join(data, 'live/journal'), { recursive: true });
    writeFileSync(join(data, 'live/rows'), 'rows');
    writeFileSync(join(data, 'live/journal/1'), 'journal');
    symlinkSync('/somewhere', join(data, 'live/link'));
    runs = false;
  });
  after(() => folder.remove());

  async function stoppedAs(): Promise<string | null> {
    const engine = {
      describe: () =>
        Promise.resolve(describedMember('a', { running: runs, incarnation: runs ? 'life 2' : '' })),
      isRunning: () => Promise.resolve(runs),
    } as unknown as Engine;
    const context = {
      file: { members: [{ name: 'a', role: 'node', engine: 'native', data }] } as unknown as AgentFile,
      members: new Map([['a', { name: 'a', engine }]]),
      state: { highestToken: () => ({ epoch: 1, counter: 4, attempt: 2 }) } as unknown as StateDirectory,
      repository: () => Promise.reject(new Error('no repository is asked')),
    };
    const stamp = await stampOf(context, { held: null }, 'a');
    expect(stamp).to.deep.include({ epoch: 1, counter: 4, heldBy: null, incarnation: runs ? 'life 2' : '' });
    return stamp.stoppedAs;
  }

  it('is the same as long as nothing of it changes, and another with whatever a start changes [S61]', async () => {
    const first = await stoppedAs();
    expect(first).to.match(/^[0-9a-f]{64}$/);
    expect(await stoppedAs()).to.equal(first);
    const changes: readonly [string, () => void][] = [
      ['a file is written', () => writeFileSync(join(data, 'live/rows'), 'more')],
      ['one comes', () => writeFileSync(join(data, 'live/pid'), '1')],
      ['and goes', () => rmSync(join(data, 'live/pid'))],
      [
        'a file is another',
        () => (rmSync(join(data, 'live/rows')), writeFileSync(join(data, 'live/rows'), 'more')),
      ],
      ['a time is set back', () => utimesSync(join(data, 'live/journal/1'), 5, 5)],
      ['all is gone', () => rmSync(join(data, 'live'), { recursive: true })],
    ];
    const seen = new Set([first]);
    for (const [what, change] of changes) {
      change();
      const now = await stoppedAs();
      expect(seen.has(now), what).to.equal(false);
      seen.add(now);
    }
  });

  it('says nothing of its files while it runs', async () => {
    runs = true;
    expect(await stoppedAs()).to.equal(null);
  });
});

describe('images that an agent reads', () => {
  const folder = temporaryFolder('images');
  let repository: Repository;
  let images: Images | null;
  let reader: ImageReader;
  const patient = new AbortController().signal;
  const asked = { type: 'readImage', id: 1, set: 'nightly', member: 'orders-1a', image: 'one' } as const;

  before(async () => {
    repository = await madeRepository(join(folder.path, 'repository'));
  });
  after(async () => {
    await repository.close();
    folder.remove();
  });

  beforeEach(() => {
    images = {
      read: () => Promise.resolve(IMAGE),
      open: () => Promise.reject(new Error('not to be opened')),
    };
    const engine = {
      get images() {
        return images;
      },
    } as unknown as Engine;
    reader = new ImageReader({
      file: { grid: GRID, members: [] } as unknown as AgentFile,
      members: new Map(['orders-1a', 'orders-2a'].map((name) => [name, { name, engine }])),
      state: {} as StateDirectory,
      repository: () => Promise.resolve(repository),
    });
  });

  it('are told by what is in them, and their manifests stored', async () => {
    const told: number[] = [];
    images = {
      ...images,
      read(
        name: string,
        _signal: AbortSignal,
        progress: (bytesDone: number) => void,
      ): Promise<ImageManifest> {
        progress(3);
        return Promise.resolve({ ...IMAGE, image: name });
      },
    } as Images;
    const summary = await reader.read(asked, patient, (bytesDone) => told.push(bytesDone));
    expect(summary).to.deep.equal({
      digest: summary.digest,
      engine: 'native',
      dataIdentity: '7391',
      files: 1,
      sizeBytes: 3,
      firstJournalFile: 'journal-1',
      journalFiles: ['journal-1', 'journal-2'],
    });
    expect(told).to.deep.equal([3]);
    expect(await repository.readImage(GRID, 'nightly', summary.digest)).to.deep.equal({
      ...IMAGE,
      image: 'one',
    });
  });

  it('are read of a member one at a time, and of others meanwhile', async () => {
    const first = Promise.withResolvers<ImageManifest>();
    images = { ...images, read: () => first.promise } as Images;
    const reading = reader.read(asked, patient, () => undefined);
    expect(await failureOf(reader.read(asked, patient, () => undefined))).to.include({
      code: 'image-busy',
      member: 'orders-1a',
    });
    const other = reader.read({ ...asked, member: 'orders-2a' }, patient, () => undefined);
    first.resolve(IMAGE);
    expect((await reading).digest).to.equal((await other).digest);
    await reader.read(asked, patient, () => undefined);
  });

  it('are given up, and nothing is stored of them, when nobody waits any more', async () => {
    const leaving = new AbortController();
    images = {
      ...images,
      read: (_name: string, signal: AbortSignal) =>
        new Promise<ImageManifest>((resolve, reject) =>
          // Whoever has read it all, and only then looks, has read it in vain.
          signal.aborted
            ? resolve(IMAGE)
            : signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
        ),
    } as Images;
    const reading = reader.read({ ...asked, set: 'given-up' }, leaving.signal, () => undefined);
    leaving.abort();
    expect(await failureOf(reading)).to.include({ code: 'image-given-up' });
    const late = reader.read({ ...asked, set: 'given-up' }, leaving.signal, () => undefined);
    expect(await failureOf(late)).to.include({ code: 'image-given-up' });
    expect((await repository.sets(GRID)).map(({ name }) => name)).not.to.include('given-up');
  });

  it('have names of journal files that fit into a message', async () => {
    const journalFiles = Array.from({ length: 10_001 }, (_, index) => `${index}`);
    images = { ...images, read: () => Promise.resolve({ ...IMAGE, journalFiles }) } as Images;
    expect(await failureOf(reader.read(asked, patient, () => undefined))).to.include({ code: 'image-unfit' });
  });

  it('are not known where the agent file does not say where they lie', async () => {
    images = null;
    const failure = await failureOf(reader.read(asked, patient, () => undefined));
    expect(failure).to.include({ code: 'images-unnamed', member: 'orders-1a' });
    expect(failure.hint).to.match(/images: DIR of orders-1a/);
  });

  it('are held against a mark with the manifests that the repository has of both', async () => {
    await storeCheckpoint(repository, checkpointId(3), { 'orders-1a': {} });
    const { members } = await repository.readCheckpoint(GRID, checkpointId(3));
    const { digest } = await repository.saveImage(GRID, 'nightly', IMAGE);
    const opened: unknown[] = [];
    images = {
      ...images,
      open(image, mark, approach, signal) {
        opened.push([image, mark.checkpoint, mark.member.name, approach, signal]);
        return Promise.resolve({ manifest: mark, read: () => [] as never });
      },
    } as Images;
    const { signal } = new AbortController();
    await reader.check(
      {
        type: 'checkImage',
        id: 1,
        member: 'orders-1a',
        checkpoint: checkpointId(3),
        mark: { member: 'orders-1a', digest: members[0]?.manifestDigest ?? '' },
        image: { set: 'nightly', digest, approach: 'freeze' },
      },
      signal,
    );
    expect(opened).to.deep.equal([[IMAGE, checkpointId(3), 'orders-1a', 'freeze', signal]]);
  });
});
