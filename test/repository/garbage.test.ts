import { expect } from 'chai';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { age, type DirectoryLab, directoryLab } from './directory-lab.ts';
import { type Step, systemError, watchSteps } from './file-system-steps.ts';
import {
  checkpointId,
  failureOf,
  GRID,
  gridManifest,
  noise,
  storeCheckpoint,
  storeMember,
  verified,
} from './samples.ts';

const MINUTE_MS = 60_000;

describe('garbage collection beside other work', () => {
  // Goal: no chunk is removed that a running operation relies on, whoever comes first or is stopped.
  // Method: several handles on one directory; one of them is held, or declared dead, at a chosen step.
  let lab: DirectoryLab;
  let restore: (() => void)[];

  beforeEach(async () => {
    lab = await directoryLab();
    restore = [];
  });

  afterEach(async () => {
    for (const one of restore) one();
    await lab.close();
  });

  function markers(): string[] {
    return readdirSync(lab.file('operations'));
  }

  /** Holds whoever comes to the first such step until it is let go. */
  function holdAt(matches: (step: Step) => boolean): { reached: Promise<void>; release(): void } {
    const reached = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    let met = false;
    const watch = watchSteps(async (step) => {
      if (met || !matches(step)) return;
      met = true;
      reached.resolve();
      await released.promise;
    });
    restore.push(() => watch.restore());
    return { reached: reached.promise, release: () => released.resolve() };
  }

  const removesChunk = ({ call, path }: Step): boolean => call === 'unlink' && path.includes('/chunks/');

  it('makes an operation that begins meanwhile wait until it is done', async () => {
    await storeMember(lab.repository, checkpointId(1), 'a', { 'base/1': noise(900, 'garbage') });
    const hold = holdAt(removesChunk);
    const collecting = lab.repository.collectGarbage(GRID);
    await hold.reached;
    const order: string[] = [];

    const beginning = (await lab.open())
      .beginOperation({ grid: GRID, id: 'one', holder: 'a test' })
      .then((lease) => {
        order.push('operation began');
        return lease;
      });
    await sawMarker('one.json');
    order.push('removal went on');
    hold.release();
    const lease = await beginning;

    expect(order).to.deep.equal(['removal went on', 'operation began']);
    expect(lab.chunkFiles()).to.deep.equal([]);
    await collecting;
    expect(await lease.refresh()).to.equal(true);
    await lease.end();
    expect(markers()).to.deep.equal([]);
  });

  async function sawMarker(name: string): Promise<void> {
    while (!markers().includes(name)) await new Promise((resolve) => setImmediate(resolve));
  }

  it('makes an operation without patience go away, with nothing left of it', async () => {
    await storeMember(lab.repository, checkpointId(1), 'a', { 'base/1': noise(900, 'garbage') });
    const hold = holdAt(removesChunk);
    const collecting = lab.repository.collectGarbage(GRID);
    await hold.reached;

    const impatient = await lab.open({ patienceMs: 0 });
    const refused = await failureOf(impatient.beginOperation({ grid: GRID, id: 'one', holder: 'a test' }));

    expect(refused).to.include({ code: 'repository-busy' });
    expect(refused.message).to.include(`-pid-${process.pid}`);
    expect(markers()).not.to.include('one.json');
    hold.release();
    expect(await collecting).to.deep.equal({ removedBytes: 900, skipped: false });
  });

  it('never removes a chunk while an operation holds its lease, in any order of the two', async () => {
    for (let round = 0; round < 30; round += 1) {
      const files = { 'base/1': noise(600, `round ${round}`) };
      await storeMember(lab.repository, checkpointId(round + 1), 'a', files);
      const handles = [await lab.open(), await lab.open()] as const;

      const collecting = handles[0].collectGarbage(GRID);
      for (let turn = 0; turn < round; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      const lease = await handles[1].beginOperation({ grid: GRID, id: `${round}`, holder: 'a test' });
      const held = lab.chunkFiles();
      const collected = await collecting;

      expect(lab.chunkFiles(), `round ${round}`).to.deep.equal(held);
      expect(held.length === 0, `round ${round}`).to.equal(!collected.skipped);
      await lease.end();
      await lab.repository.collectGarbage(GRID);
    }
  });

  it('takes an operation for dead that was silent for more than ten minutes, and tells it so', async () => {
    await storeMember(lab.repository, checkpointId(1), 'a', { 'base/1': noise(900, 'garbage') });
    const lease = await lab.repository.beginOperation({ grid: GRID, id: 'one', holder: 'a test' });

    age(lab.file('operations', 'one.json'), 9 * MINUTE_MS);
    const early = await lab.repository.collectGarbage(GRID);
    age(lab.file('operations', 'one.json'), 11 * MINUTE_MS);
    const late = await lab.repository.collectGarbage(GRID);

    expect(early.skipped).to.equal(true);
    expect(late).to.deep.equal({ removedBytes: 900, skipped: false });
    expect(await lease.refresh()).to.equal(false);
    expect(markers()).to.deep.equal([]);
  });

  it('lets an operation live on that gives word', async () => {
    await storeMember(lab.repository, checkpointId(1), 'a', {});
    const lease = await lab.repository.beginOperation({ grid: GRID, id: 'one', holder: 'a test' });
    age(lab.file('operations', 'one.json'), 11 * MINUTE_MS);

    expect(await lease.refresh()).to.equal(true);

    expect((await lab.repository.collectGarbage(GRID)).skipped).to.equal(true);
  });

  it('keeps off when it cannot read who works there', async () => {
    mkdirSync(lab.file('operations'), { recursive: true });
    mkdirSync(lab.file('chunks'), { recursive: true });
    writeFileSync(lab.file('operations', 'torn.json'), '{"hol');

    expect((await lab.repository.collectGarbage(GRID)).skipped).to.equal(true);
  });

  it('holds nobody up for long when it was killed', async () => {
    mkdirSync(lab.file('operations'), { recursive: true });
    const marker = lab.file('operations', `collection-alpha-pid-1~${crypto.randomUUID()}.json`);
    writeFileSync(marker, '');
    age(marker, MINUTE_MS);

    const impatient = await lab.open({ patienceMs: 0 });
    const lease = await impatient.beginOperation({ grid: GRID, id: 'one', holder: 'a test' });

    expect(markers()).to.deep.equal(['one.json']);
    await lease.end();
  });

  it('stops in mid-removal when it finds that it was taken for dead', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 20 }, (_, index) => [`base/${index}`, noise(300, `garbage ${index}`)]),
    );
    await storeMember(lab.repository, checkpointId(1), 'a', files);
    const hold = holdAt(removesChunk);
    const collecting = lab.repository.collectGarbage(GRID);
    await hold.reached;
    for (const name of markers()) rmSync(lab.file('operations', name));
    laterBy(MINUTE_MS);
    hold.release();

    expect(await failureOf(collecting)).to.include({ code: 'repository-busy' });

    // The removal that was on its way was done, and none after it.
    expect(lab.chunkFiles()).to.have.length(19);
  });

  /** As if the process had been stopped for so long. */
  function laterBy(ms: number): void {
    const now = performance.now.bind(performance);
    performance.now = () => now() + ms;
    restore.push(() => (performance.now = now));
  }

  it('takes back a commit whose process was taken for dead in the middle of it', async () => {
    const member = await storeMember(lab.repository, checkpointId(1), 'a', { 'base/1': noise(900, 'x') });
    const hold = holdAt(({ call, path }) => call === 'link' && path.endsWith('/grid.json'));
    const committing = lab.repository.commit(gridManifest(checkpointId(1), [member]));
    await hold.reached;
    for (const name of markers()) rmSync(lab.file('operations', name));
    hold.release();

    expect(await failureOf(committing)).to.include({ code: 'repository-busy' });

    expect((await lab.repository.list(GRID)).map(({ state }) => state)).to.deep.equal(['deleting']);
    await lab.repository.collectGarbage(GRID);
    expect(await lab.repository.list(GRID)).to.deep.equal([]);
    expect(lab.chunkFiles()).to.deep.equal([]);
  });

  it('takes back a commit that failed after its object stood, or says that it does not know', async () => {
    for (const [broken, code, state] of [
      [1, 'repository-failed', 'deleting'],
      [Infinity, 'commit-unknown', 'valid'],
    ] as const) {
      const id = checkpointId(broken === 1 ? 1 : 2);
      const member = await storeMember(lab.repository, id, 'a', { 'base/1': noise(900, 'x') });
      let failures = 0;
      const watch = watchSteps((step) => {
        const isAfter = existsSync(lab.checkpointFile(id, 'grid.json')) && failures < broken;
        if (!isAfter || !step.path.startsWith(lab.checkpointFile(id)) || step.call === 'rm') return;
        failures += 1;
        throw systemError('EIO', step);
      });

      const failure = await failureOf(lab.repository.commit(gridManifest(id, [member])));
      watch.restore();

      expect(failure).to.include({ code });
      const listed = (await lab.repository.list(GRID)).find(({ checkpoint }) => checkpoint === id);
      expect(listed).to.include({ state });
    }
  });

  it('removes nothing when it was taken for dead between its look at the checkpoints and the first removal', async () => {
    const files = { 'base/1': noise(900, 'stored again') };
    await storeMember(lab.repository, checkpointId(1), 'a', files);
    const hold = holdAt(({ call, path }) => call === 'rm' && path.endsWith('/members'));
    const collecting = (await lab.open()).collectGarbage(GRID);
    await hold.reached;
    for (const name of markers()) age(lab.file('operations', name), MINUTE_MS);
    // As if the host of the collection had been suspended: its monotonic clock shows nothing of it.
    await storeCheckpoint(lab.repository, checkpointId(2), { a: files });
    hold.release();

    expect(await failureOf(collecting)).to.include({ code: 'repository-busy' });

    expect(await verified(lab.repository, checkpointId(2))).to.deep.equal([]);
  });

  it('shuts a commit out for good whose checkpoint was discarded when it had looked at what is stored', async () => {
    const member = await storeMember(lab.repository, checkpointId(1), 'a', { 'base/1': noise(900, 'x') });
    const directory = lab.checkpointFile(checkpointId(1));
    const hold = holdAt(
      ({ call, path }) =>
        (call === 'mkdir' && path === directory) || (call === 'sync' && path === dirname(directory)),
    );
    const committing = lab.repository.commit(gridManifest(checkpointId(1), [member]));
    await hold.reached;
    await (await lab.open()).discard(GRID, checkpointId(1));
    hold.release();

    expect(await failureOf(committing)).to.include({ code: 'checkpoint-exists' });

    expect(await lab.repository.list(GRID)).to.deep.equal([]);
  });

  it('leaves alone what was committed since it looked', async () => {
    const member = await storeMember(lab.repository, checkpointId(1), 'a', { 'base/1': noise(900, 'x') });
    const hold = holdAt(({ call, path }) => call === 'link' && path.endsWith('/grid.json'));
    const collecting = (await lab.open()).collectGarbage(GRID);
    await hold.reached;
    for (const name of markers()) age(lab.file('operations', name), MINUTE_MS);
    await lab.repository.commit(gridManifest(checkpointId(1), [member]));
    hold.release();

    expect(await failureOf(collecting)).to.include({ code: 'repository-busy' });

    expect((await lab.repository.list(GRID)).map(({ state }) => state)).to.deep.equal(['valid']);
    expect(await verified(lab.repository, checkpointId(1))).to.deep.equal([]);
  });

  it('leaves alone what a commit is looking at', async () => {
    const member = await storeMember(lab.repository, checkpointId(1), 'a', { 'base/1': noise(900, 'x') });
    const hold = holdAt(({ call, path }) => call === 'link' && path.endsWith('/grid.json'));
    const committing = lab.repository.commit(gridManifest(checkpointId(1), [member]));
    await hold.reached;

    const during = await (await lab.open()).collectGarbage(GRID);
    hold.release();
    await committing;

    expect(during.skipped).to.equal(true);
    expect(await verified(lab.repository, checkpointId(1))).to.deep.equal([]);
  });

  it('removes what dead writers left, and nothing of living ones', async () => {
    await storeCheckpoint(lab.repository, checkpointId(1), { a: { 'base/1': noise(900, 'kept') } });
    const [room] = readdirSync(lab.file('chunks'));
    const beside = [
      join(lab.path, '.writing-probe-1'),
      // A power cut can bring these back: their removal is not synced.
      lab.checkpointFile(checkpointId(1), '.writing-3'),
      lab.checkpointFile(checkpointId(1), 'members', '.writing-4'),
    ];
    const dead = [lab.file('chunks', room ?? '', '.writing-1'), ...beside];
    const living = lab.file('operations', '.writing-2');
    for (const path of [...dead, living]) writeFileSync(path, 'half');
    for (const path of beside) age(path, 2 * 60 * MINUTE_MS);

    await lab.repository.collectGarbage(GRID);

    const names = lab.allFiles().filter((file) => file.includes('.writing-'));
    expect(names).to.deep.equal([`grids/${GRID}/operations/.writing-2`]);
    expect(await verified(lab.repository, checkpointId(1))).to.deep.equal([]);
  });

  it('does nothing to a grid that is not there', async () => {
    expect(await lab.repository.collectGarbage('nobody')).to.deep.equal({ removedBytes: 0, skipped: false });

    expect(lab.allFiles()).to.deep.equal(['repository.json']);
  });
});
