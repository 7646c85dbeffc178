import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { beginCapture, CHECKPOINT, token } from '../tested-capture.ts';
import { modelLab, type ModelLab } from './model.ts';

// Goal: a node whose journal lies on a disk of its own is captured like any other: there its files cannot be linked.

describe('a node with its journal on another file system', () => {
  let lab: ModelLab;
  let journal: string;

  before(async function () {
    lab = await modelLab();
    await lab.stop();
    journal = join(lab.settings.data, 'live', 'journal');
    const kept = join(lab.folder, 'kept');
    cpSync(journal, kept, { recursive: true });
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m,mode=700', 'tmpfs', journal]);
    // Elsewhere it is a node like any other, which is no harm to look at.
    if (mounted.status === 0) cpSync(kept, journal, { recursive: true });
    await lab.start();
  });

  after(async () => {
    await lab.stop();
    spawnSync('umount', ['-l', journal]);
    await lab.remove();
  });

  it('is captured, though what is copied has another time than what was closed at the mark', async () => {
    for (let row = 0; row < 20; row += 1) await lab.write();
    const { capture } = await beginCapture(lab.engine, lab.folder);
    await capture.prepare();
    await capture.arm(token());
    await capture.freeze(token());
    const proof = await capture.thaw(token(), () => undefined);
    await lab.write();
    await capture.collect();

    expect(proof.type).to.equal('held');
    expect(lab.begun()).to.deep.equal([CHECKPOINT]);
    const copies = readdirSync(join(lab.settings.data, 'checkpoints', CHECKPOINT, 'data', 'journal'));
    expect(copies).not.to.deep.equal([]);
    await capture.abort();
  });
});
