import {
  appendFileSync,
  cpSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { createNativeEngine } from '../../../agent/engines/native/native-engine.ts';
import type { HoldFacts } from '../../../agent/engines/native/hold-facts.ts';
import type { Approach } from '../../../shared/domain/backup-set.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { MemberManifest } from '../../../shared/domain/manifest.ts';
import { FREEZE, QUIESCE } from './held-node.ts';
import { ImagesLab, NO_SIGNAL, type Imaged } from './images-lab.ts';

// Goal: what would bring a node to another moment than the mark's is refused before a file is written. Method: images of a
// real node that are right, and each made wrong in one way.

describe('images of a node that are wrong', function () {
  let lab: ImagesLab;
  let frozen: Imaged;
  let quiet: Imaged;
  let early: string;
  let late: MemberManifest;

  before(async () => {
    lab = await ImagesLab.launch(['127.0.55.1', '127.0.55.2']);
    await lab.put('refused', 0, 100);
    early = await lab.imageOfAnyTime();
    await lab.put('refused', 100, 200);
    frozen = await lab.heldImage(FREEZE, 'data', () => lab.put('refused', 200, 250));
    quiet = await lab.heldImage(QUIESCE);
    await lab.put('refused', 250, 260);
    late = await lab.journalCheckpoint();
  });

  after(() => lab?.close());

  /** What a copy of the image is refused with that was spoilt before it was read. */
  async function refused(
    { image, mark }: Imaged,
    approach: Approach,
    spoil: (place: string) => void,
  ): Promise<string> {
    const spoilt = lab.again(image);
    spoil(lab.placeOf(spoilt));
    return refusal(lab.open(spoilt, mark, approach));
  }

  const journal = (place: string): string => join(place, 'live/journal');
  const markOf = ({ mark }: MemberManifest): string => mark?.journalFile ?? '';

  it('are refused where the file that ended at the checkpoint is not in the image [S66]', async () => {
    const without = await refused(frozen, 'freeze', (place) =>
      rmSync(join(journal(place), markOf(frozen.mark))),
    );
    expect(without).to.match(new RegExp(`^journal-missing: a1: .*${markOf(frozen.mark)}`));
  });

  it('are refused where that file is cut, or another one of its name [S62]', async () => {
    const file = (place: string): string => join(journal(place), markOf(frozen.mark));
    expect(await refused(frozen, 'freeze', (place) => truncateSync(file(place), 10))).to.match(
      /^journal-missing: .*cut: 10 of/,
    );
    const other = await refused(frozen, 'freeze', (place) => {
      const bytes = readFileSync(file(place));
      bytes[20] = (bytes[20] ?? 0) ^ 1;
      writeFileSync(file(place), bytes);
    });
    expect(other).to.match(/^journal-foreign: .*has not the bytes that ended at the mark/);
  });

  it('are refused where journal of later lies in an image of a quiesce [S60] [S62]', async () => {
    const more = await refused(quiet, 'quiesce', (place) => {
      writeFileSync(join(journal(place), '000000009999.journal'), 'later');
    });
    expect(more).to.match(/^journal-foreign: .*000000009999\.journal .*was not there at the mark/);
    const grown = await refused(quiet, 'quiesce', (place) => {
      const [last = ''] = readdirSync(journal(place)).toSorted().reverse();
      appendFileSync(join(journal(place), last), 'later');
    });
    expect(grown).to.match(/^journal-foreign: .*is 5 bytes long, and was 0 at the mark/);
  });

  it('are refused where one journal file between the image and the checkpoint is missing, on any disk [S57] [S59]', async () => {
    const archive = lab.journals;
    const facts = late.engineFacts as HoldFacts;
    const inImage = readdirSync(join(lab.placeOf(early), 'live/journal')).toSorted();
    const needed = readdirSync(archive).filter(
      (name) => name >= (inImage.at(-1) ?? '') && name <= facts.journalFile,
    );
    expect(needed.length).to.be.greaterThan(3);
    for (const name of needed) {
      const away = lab.folder('away');
      cpSync(join(archive, name), away);
      rmSync(join(archive, name));
      expect(await refusal(lab.open(early, late, 'journals')), name).to.match(
        new RegExp(`^journal-missing: a1: .*${name}`),
      );
      cpSync(away, join(archive, name));
    }
    expect(await lab.rows(await lab.open(early, late, 'journals'), 'refused')).to.have.length(260);
  });

  it('are refused where the agent’s file names no place for journals', async () => {
    const { journals: _, ...settings } = lab.a1.settings;
    const without = createNativeEngine(settings).images;
    const manifest = await lab.read(early);
    expect(await refusal(without?.open(manifest, late, 'journals', NO_SIGNAL))).to.match(
      /^journal-missing: .*names no journals/,
    );
  });

  it('are refused where a journal file of another node stands for one of its own [S62]', async () => {
    const archive = lab.journals;
    const name = markOf(late);
    const own = readFileSync(join(archive, name));
    writeFileSync(join(archive, name), Buffer.concat([Buffer.alloc(own.length, 1)]));
    expect(await refusal(lab.open(early, late, 'journals'))).to.match(/^journal-foreign: /);
    writeFileSync(join(archive, name), own);
  });

  it('are refused where the image is later than the checkpoint [S58]', async () => {
    await lab.put('refused', 260, 300);
    await lab.journalCheckpoint();
    const later = await lab.imageOfAnyTime();
    expect(await refusal(lab.open(later, late, 'journals'))).to.match(
      /^image-unfit: .*later than the checkpoint/,
    );
  });

  it('are refused where a journal checkpoint is taken for a freeze: its database files went on changing', async () => {
    expect(await refusal(lab.open(early, late, 'freeze'))).to.match(/^image-unfit: .*by itself/);
  });

  it('are refused where a file is another one than when it was read, is gone, or came since', async () => {
    for (const spoil of [
      (place: string): void => writeFileSync(join(place, 'live/database/data.mdb'), 'other'),
      (place: string): void => rmSync(join(place, 'live/database/data.mdb')),
      (place: string): void => writeFileSync(join(place, 'live/database/more'), ''),
      (place: string): void => writeFileSync(join(place, 'described.json'), '{}'),
    ]) {
      const name = lab.again(frozen.image);
      const manifest = await lab.read(name);
      spoil(lab.placeOf(name));
      expect(await refusal(lab.images.open(manifest, frozen.mark, 'freeze', NO_SIGNAL))).to.match(
        /^image-changed: /,
      );
    }
  });

  it('are read no further when the restore is given up', async () => {
    const manifest = await lab.read(frozen.image);
    const over = AbortSignal.abort(new Error('given up'));
    const ended = await lab.images
      .open(manifest, frozen.mark, 'freeze', over)
      .catch((error: unknown) => error);
    expect(ended).to.equal(over.reason);
  });

  it('are refused where a file changes while it is restored', async () => {
    const name = lab.again(frozen.image);
    const source = await lab.open(name, frozen.mark, 'freeze');
    const file = join(lab.placeOf(name), 'live/database/data.mdb');
    const bytes = readFileSync(file);
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    writeFileSync(file, bytes);
    expect(await refusal(lab.rows(source, 'refused'))).to.match(/^image-changed: /);
  });

  it('are refused where they are of another copyset, or another grid', async () => {
    const foreign = lab.copied('data', lab.b1);
    expect(await refusal(lab.read(foreign))).to.match(/^image-unfit: .*is of the node b1 of copyset b/);
    const other = { ...frozen.mark, member: { ...frozen.mark.member, dataIdentity: 'other' } };
    expect(await refusal(lab.open(frozen.image, other, 'freeze'))).to.match(/^image-unfit: .*is of other/);
    const ofB1 = { ...frozen.mark, member: { ...frozen.mark.member, name: 'b1' } };
    expect(await refusal(lab.open(frozen.image, ofB1, 'freeze'))).to.match(
      /^image-unfit: .*the mark in .* is of b1/,
    );
  });

  it('are refused where they are none: not there, a name that leads out, a file, without a journal, with a link', async () => {
    for (const name of ['nothing', '../a1', '', 'a//b', frozen.image + '/described.json'])
      expect(await refusal(lab.read(name)), name).to.match(/^image-missing: /);
    const without = await refused(frozen, 'freeze', (place) => rmSync(journal(place), { recursive: true }));
    expect(without).to.match(/^image-unfit: .*has no journal file in journal/);
    const linked = await refused(frozen, 'freeze', (place) =>
      symlinkSync('/etc/hostname', join(place, 'live/x')),
    );
    expect(linked).to.match(/^image-unfit: .*neither a file nor a directory/);
  });
});

async function refusal(call: Promise<unknown> | undefined): Promise<string> {
  try {
    await call;
    return 'not refused';
  } catch (error) {
    if (error instanceof StillpointError) return `${error.failure.code}: ${error.failure.message}`;
    throw error;
  }
}
