import { expect } from 'chai';
import { readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { type DirectoryLab, directoryLab } from './directory-lab.ts';
import { crashAfter } from './file-system-steps.ts';
import { failureOf, GRID } from './samples.ts';
import { BEGUN, ENDED, IMAGE, summaryOf } from './sets-suite.ts';

// Goal: a backup set says what it was told or that it is damaged: a record that is changed, lost or of another set is
// never taken for the truth. Method: one file of a whole set is harmed at a time, and every step of a deletion is the last.

describe('a backup set in a directory', () => {
  let lab: DirectoryLab;
  let digest: string;

  beforeEach(async () => {
    lab = await directoryLab();
    for (const set of ['nightly', 'weekly']) {
      await lab.repository.beginBackup(GRID, set, 'orders-1a', BEGUN);
      await lab.repository.endBackup(GRID, set, 'orders-1a', ENDED);
      ({ digest } = await lab.repository.saveImage(GRID, set, IMAGE));
      await lab.repository.recordImage(GRID, set, 'orders-1a', summaryOf(digest));
    }
  });

  afterEach(() => lab.close());

  const nightly = (...parts: string[]): string => lab.file('sets', 'nightly', ...parts);

  async function expectDamaged(what: string, cause: RegExp): Promise<void> {
    const failure = await failureOf(lab.repository.readSet(GRID, 'nightly'));
    expect(failure, what).to.include({ code: 'set-damaged' });
    expect(failure.message, what).to.match(cause);
    const entries = await lab.repository.sets(GRID);
    expect(entries.map(({ name, state }) => `${name} ${state}`)).to.deep.equal([
      'nightly damaged',
      'weekly readable',
    ]);
    expect(entries[0]?.cause).to.equal(failure.message);
  }

  it('is damaged where any bit of a record is', async () => {
    for (const file of ['set.json', 'begun/orders-1a.json', 'ended/orders-1a.json', 'read/orders-1a.json']) {
      const sound = readFileSync(nightly(file));
      for (let at = 0; at < sound.length; at += 7) {
        const flipped = Buffer.from(sound);
        flipped[at] = (flipped[at] ?? 0) ^ 4;
        writeFileSync(nightly(file), flipped);
        expect(await failureOf(lab.repository.readSet(GRID, 'nightly')), `${file} at ${at}`).to.include({
          code: 'set-damaged',
        });
      }
      await expectDamaged(file, /does not have its own digest/);
      writeFileSync(nightly(file), sound);
    }
    expect((await lab.repository.readSet(GRID, 'nightly')).backups).to.have.length(1);
  });

  it('is damaged where a record is cut, a link, too long, or of another set or member', async () => {
    const file = nightly('ended/orders-1a.json');
    const sound = readFileSync(file);
    writeFileSync(file, sound.subarray(0, -5));
    await expectDamaged('cut', /digest/);
    rmSync(file);
    symlinkSync(lab.file('sets/weekly/ended/orders-1a.json'), file);
    await expectDamaged('link', /is a symbolic link/);
    rmSync(file);
    writeFileSync(file, Buffer.alloc(3 * 1024 * 1024));
    await expectDamaged('long', /more than/);
    writeFileSync(file, readFileSync(lab.file('sets/weekly/ended/orders-1a.json')));
    await expectDamaged('another set', /is of orders-1a in set weekly/);
    writeFileSync(file, sound);
    renameSync(nightly('begun/orders-1a.json'), nightly('begun/orders-2a.json'));
    await expectDamaged('another member', /is of orders-1a/);
    rmSync(nightly('begun/orders-2a.json'));
    rmSync(nightly('set.json'));
    await expectDamaged('without its head', /set\.json is missing/);
  });

  it('has no image manifest that does not have its digest', async () => {
    const file = nightly('images', `${digest}.json`);
    writeFileSync(file, readFileSync(file, 'utf8').replace('base/1', 'base/2'));
    const failure = await failureOf(lab.repository.readImage(GRID, 'nightly', digest));
    expect(failure).to.include({ code: 'set-damaged' });
  });

  it('writes nothing that it could not read back', async () => {
    const long = Array.from({ length: 30_000 }, (_, index) => `journal file of a very long name ${index}`);
    const image = { ...summaryOf(digest), journalFiles: long };
    const refused = lab.repository.recordImage(GRID, 'nightly', 'orders-2a', image);
    expect(await failureOf(refused)).to.include({ code: 'bad-manifest' });
    // Of letters that take two bytes each, a record that is short enough as text is too long as a file.
    const wide = { ...BEGUN, incarnation: 'ü'.repeat(600_000) };
    const tooWide = lab.repository.beginBackup(GRID, 'nightly', 'orders-2a', wide);
    expect(await failureOf(tooWide)).to.include({ code: 'bad-manifest' });
    expect((await lab.repository.readSet(GRID, 'nightly')).backups).to.have.length(1);
  });

  it('is all there, or being deleted, or gone, whenever its deletion ends', async () => {
    const seen = new Set<string>();
    for (let steps = 0; ; steps += 1) {
      const outcome = await crashAfter(steps, () => lab.repository.deleteSet(GRID, 'nightly'));
      const entry = (await lab.repository.sets(GRID)).find(({ name }) => name === 'nightly');
      seen.add(entry?.state ?? 'gone');
      if (entry?.state === 'readable') expect(entry.set?.backups[0]?.image?.digest).to.equal(digest);
      if (entry?.state === 'deleting') {
        const late = lab.repository.beginBackup(GRID, 'nightly', 'orders-9a', BEGUN);
        expect(await failureOf(late)).to.include({ code: 'set-deleting' });
      }
      if (outcome === 'done') break;
      if (entry === undefined) {
        await lab.repository.beginBackup(GRID, 'nightly', 'orders-1a', BEGUN);
        await lab.repository.saveImage(GRID, 'nightly', IMAGE);
      }
    }
    expect([...seen]).to.include.members(['readable', 'deleting', 'gone']);
    expect(readdirSync(lab.file('sets'))).to.deep.equal(['weekly']);
  });

  it('is not there when its making ended too early, and is made by the same again', async () => {
    for (let steps = 0; ; steps += 1) {
      const outcome = await crashAfter(steps, () =>
        lab.repository.beginBackup(GRID, `set-${steps}`, 'orders-1a', BEGUN),
      );
      const entry = (await lab.repository.sets(GRID)).find(({ name }) => name === `set-${steps}`);
      expect([undefined, 'readable'], `step ${steps}`).to.include(entry?.state);
      if (outcome === 'done') break;
      if (entry?.set?.backups.length !== 1)
        await lab.repository.beginBackup(GRID, `set-${steps}`, 'orders-1a', BEGUN);
      expect((await lab.repository.readSet(GRID, `set-${steps}`)).backups).to.have.length(1);
    }
  });
});
