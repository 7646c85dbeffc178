import { expect } from 'chai';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { LocalCheckpoint } from '../../../agent/engines/native/local-checkpoint.ts';
import { temporaryFolder } from '../../lab/temporary.ts';

// Goal: who knows a checkpoint's id finds it on every host, with nothing but a look at directories.

describe("a node's own copy of a checkpoint", () => {
  const folder = temporaryFolder('local-checkpoint');
  after(() => folder.remove());

  it('lies below checkpoints/ under the whole id, its name included, on every node the same [S33] [S34]', async () => {
    for (const checkpoint of [
      '20261120T120000.123Z_00000000_00000007_nightly',
      '20261120T120000.123Z_00000001_00000008_night_ly_2',
    ]) {
      for (const node of ['a1', 'b2']) {
        const data = join(folder.path, node);
        mkdirSync(data, { recursive: true });
        const before = readdirSync(data).includes('checkpoints')
          ? readdirSync(join(data, 'checkpoints'))
          : [];
        const local = new LocalCheckpoint(data, checkpoint);
        await local.begin();
        await local.close();
        expect(readdirSync(join(data, 'checkpoints'))).to.have.members([...before, checkpoint]);
        expect(readdirSync(join(data, 'checkpoints', checkpoint))).to.deep.equal(['data']);
      }
    }
  });

  it('is not made anew where it was removed meanwhile: what is written then fails, and at once', async function () {
    this.timeout(5000);
    const data = join(folder.path, 'removed');
    mkdirSync(data);
    const local = new LocalCheckpoint(data, '20261120T120000.123Z_00000000_00000009_removed');
    await local.begin();
    rmSync(local.path, { recursive: true });
    const outcome = await local.write('metadata/members/a.json', '{}').then(
      () => 'written',
      (error: NodeJS.ErrnoException) => error.code,
    );
    await local.close();
    expect(outcome).to.equal('ENOENT');
    expect(readdirSync(join(data, 'checkpoints'))).to.deep.equal([]);
  });

  it('has no name but the id of a checkpoint', () => {
    for (const name of ['nightly', '../live', '20261120T120000.123Z_00000000_00000007_../x'])
      expect(() => new LocalCheckpoint(folder.path, name), name).to.throw(/not the id of a checkpoint/);
  });
});
