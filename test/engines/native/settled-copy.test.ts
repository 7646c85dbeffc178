import { expect } from 'chai';
import type { Capture } from '../../../agent/capture.ts';
import type { SettleContext } from '../../../agent/engines/engine.ts';
import type { GridManifest, MemberManifest } from '../../../shared/domain/manifest.ts';
import { beginCapture, CHECKPOINT, token } from '../tested-capture.ts';
import { modelLab, type ModelLab } from './model.ts';

// Goal: the copy of a committed checkpoint on a host is whole or is told as gone, also where an abort there (its guard
// died just then) and the coordinator's word that it is committed come at the same moment.

const GONE = 'it was taken away by an abort on this host';

describe('the copy of a checkpoint that is committed while its host aborts', () => {
  let lab: ModelLab;

  beforeEach(async () => {
    lab = await modelLab();
    for (let row = 0; row < 20; row += 1) await lab.write();
  });
  afterEach(() => lab.remove());

  async function collected(): Promise<Capture> {
    const { capture } = await beginCapture(lab.engine, lab.folder);
    await capture.prepare();
    await capture.arm(token());
    await capture.freeze(token());
    await capture.thaw(token(), () => undefined);
    await capture.collect();
    return capture;
  }

  /** Resolves with what the coordinator is told. */
  function settled(): Promise<string> {
    const context: SettleContext = {
      manifest: {
        checkpoint: CHECKPOINT,
        copysets: ['model-1'],
        members: [{ name: 'model-1a', role: 'node', engine: 'native', copyset: 'model-1' }],
      } as unknown as GridManifest,
      source: () =>
        Promise.resolve({ manifest: {} as MemberManifest, read: () => Promise.reject(new Error()) as never }),
    };
    return (lab.engine.localCopies?.settle(context) ?? Promise.reject(new Error('none'))).then(
      () => 'whole',
      (error: Error) => error.message,
    );
  }

  it('is told as gone after the abort, and nothing of it is left', async () => {
    const capture = await collected();
    await capture.abort();
    expect(await settled()).to.equal(GONE);
    expect(lab.begun()).to.deep.equal([]);
  });

  it('stays when the abort comes after', async () => {
    const capture = await collected();
    expect(await settled()).to.equal('whole');
    await capture.abort();
    expect(lab.begun()).to.deep.equal([CHECKPOINT]);
  });
});
