import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Restoration } from '../../../agent/engines/engine.ts';
import { NativeRestoration } from '../../../agent/engines/native/restoration.ts';
import type { MemberManifest } from '../../../shared/domain/manifest.ts';
import { FREEZE, QUIESCE } from './held-node.ts';
import { ImagesLab, keys } from './images-lab.ts';

// Goal: each of the three approaches brings a node back to the mark from its operator's own copies, and no further. Method:
// nodes of a real grid, copied by `cp`; what a restore is given is read as a node would read it, and one is restored and
// proven as an agent does it.

describe('images of a node', function () {
  let lab: ImagesLab;

  before(async () => {
    lab = await ImagesLab.launch(['127.0.54.1', '127.0.54.2']);
  });

  after(() => lab?.close());

  it('are read to the last byte, and say whose they are and which journal files are in them', async () => {
    await lab.put('read', 0, 10);
    const { image, mark } = await lab.heldImage(FREEZE);
    let bytes = 0;
    const manifest = await lab.read(image, (bytesDone) => (bytes = bytesDone));
    const sizes = manifest.entries.map((entry) => (entry.kind === 'file' ? entry.sizeBytes : 0));
    expect(bytes).to.equal(sizes.reduce((sum, size) => sum + size, 0));
    expect(manifest).to.include({ member: 'a1', image, engine: 'native', firstJournalFile: null });
    expect(manifest.dataIdentity).to.equal(mark.member.dataIdentity).and.not.equal('');
    expect(manifest.journalFiles).to.include(mark.mark?.journalFile);
    const paths = manifest.entries.map(({ path }) => path);
    expect(paths).to.include.members(['described.json', 'live/database/data.mdb']);
    expect(paths.every((path) => path === 'described.json' || path.startsWith('live'))).to.equal(true);
  });

  for (const what of ['data', 'live'] as const)
    it(`of ${what} that were copied in a quiesce are restored from them alone, to its moment [S60] [S63]`, async () => {
      const table = `quiesce-${what}`;
      await lab.put(table, 0, 150);
      const { image, mark } = await lab.heldImage(QUIESCE, what);
      await lab.put(table, 150, 200);
      const source = await lab.open(image, mark, 'quiesce');
      expect(await lab.rows(source, table)).to.deep.equal(keys(150));
    });

  it('that were copied in a freeze have the journal that ended at its mark, and are restored to it, though much came after [S64] [S66] [S90]', async () => {
    await lab.put('freeze', 0, 150);
    const { image, mark } = await lab.heldImage(FREEZE, 'data', () => lab.put('freeze', 150, 300));
    const source = await lab.open(image, mark, 'freeze');
    expect(await lab.rows(source, 'freeze')).to.deep.equal(keys(150));
    const { artifacts } = source.manifest;
    const journal = artifacts.map(({ path }) => path).filter((path) => path.startsWith('data/journal/'));
    expect(journal.at(-1)).to.equal(`data/journal/${mark.mark?.journalFile}`);
  });

  it('of any time are brought to a later journal checkpoint by the journals that their operator keeps, and no further [S57]', async () => {
    await lab.put('journals', 0, 100);
    const image = await lab.imageOfAnyTime();
    await lab.put('journals', 100, 250);
    const mark = await lab.journalCheckpoint();
    await lab.put('journals', 250, 300);
    const source = await lab.open(image, mark, 'journals');
    expect(await lab.rows(source, 'journals')).to.deep.equal(keys(250));
  });

  it('that were copied with the process shut down need no mark, and are whole [S61]', async () => {
    await lab.put('cold', 0, 120);
    await lab.a1.process.stop();
    const image = lab.copied();
    await lab.a1.process.start();
    await lab.grid.healthy();
    const { dataIdentity } = await lab.a1.engine.describe(AbortSignal.timeout(5000));
    const member = { name: 'a1', dataIdentity } as MemberManifest['member'];
    const cold = { ...({} as MemberManifest), checkpoint: 'c', member, mark: null, engineFacts: null };
    expect(await lab.rows(await lab.open(image, cold, 'quiesce'), 'cold')).to.deep.equal(keys(120));
  });

  it('stay as they are: nothing of them is moved, changed or linked by a restore, which proves what came up [S63] [S90]', async () => {
    await lab.put('proven', 0, 60);
    const { image, mark } = await lab.heldImage(FREEZE, 'data', () => lab.put('proven', 60, 90));
    const before = listing(lab.placeOf(image));
    const source = await lab.open(image, mark, 'freeze');
    await lab.grid.close();
    const restoration: Restoration = new NativeRestoration(lab.a1.settings, {
      checkpoint: 'c',
      source,
      own: null,
      follow: null,
      progress: () => undefined,
      signal: new AbortController().signal,
    });
    await restoration.check(null);
    await restoration.stage();
    await restoration.switchIn();
    // The restored node is started by its own restore.
    await lab.grid.startRealm();
    const others = lab.grid.processes.filter(({ name, running }) => name !== 'a1' && !running);
    await Promise.all(others.map((process) => process.start()));
    await restoration.start();
    const { checks, warnings } = await restoration.verify();
    await restoration.finish();
    expect(checks.join('; ')).to.match(/came up with \d+ rows .* as captured/);
    expect(warnings).to.deep.equal([]);
    expect(listing(lab.placeOf(image))).to.deep.equal(before);
    await lab.grid.healthy();
    expect(await lab.client.scan('proven', 'a')).to.have.length(60);
  });
});

/** Everything of it, links as what they are, with how many names a file has. */
function listing(place: string): string[] {
  const paths = readdirSync(place, { recursive: true, encoding: 'utf8' }).toSorted();
  return paths.map((path) => {
    const { size, mtimeMs, mode, nlink } = lstatSync(join(place, path));
    return `${path} ${size} ${mtimeMs} ${mode} ${nlink}`;
  });
}
