import { expect } from 'chai';
import { mkdirSync, readdirSync } from 'node:fs';
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

  it('has no name but the id of a checkpoint', () => {
    for (const name of ['nightly', '../live', '20261120T120000.123Z_00000000_00000007_../x'])
      expect(() => new LocalCheckpoint(folder.path, name), name).to.throw(/not the id of a checkpoint/);
  });
});
