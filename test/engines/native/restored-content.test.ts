import { expect } from 'chai';
import { compareContent } from '../../../agent/engines/native/content.ts';
import { NativeRestoration } from '../../../agent/engines/native/restoration.ts';
import type { RestoreContext } from '../../../agent/engines/engine.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { MemberManifest } from '../../../shared/domain/manifest.ts';
import { beginCapture, token } from '../tested-capture.ts';
import { modelLab, type ModelLab } from './model.ts';

// Goal: a restore is no success because somebody answers: each process came up with what it had at the mark.
// Method: the model node is captured, and then stands for a restored one, as it is, with more, and with nothing.

describe('the proof of a restored process', () => {
  let lab: ModelLab;
  let manifest: MemberManifest;

  before(async () => {
    lab = await modelLab();
    for (let row = 0; row < 20; row += 1) await lab.write();
    const { capture } = await beginCapture(lab.engine, lab.folder);
    try {
      await capture.prepare();
      await capture.arm(token());
      await capture.freeze(token());
      await capture.thaw(token(), () => undefined);
      const { mark, engineFacts } = await capture.collect();
      const member = { dataIdentity: 'model' } as MemberManifest['member'];
      manifest = { ...({} as MemberManifest), member, mark, engineFacts, artifacts: [] };
    } finally {
      await capture.close();
    }
  });

  after(() => lab.remove());

  /** The verdict on the process as it runs now. */
  async function verified(source = manifest): Promise<string> {
    const context: RestoreContext = {
      checkpoint: 'c',
      source: { manifest: source, read: () => Promise.reject(new Error('nothing is read')) as never },
      own: null,
      follow: null,
      progress: () => undefined,
      signal: new AbortController().signal,
    };
    try {
      const { checks, warnings } = await new NativeRestoration(lab.settings, context).verify();
      return [...checks, ...warnings.map(({ text }) => text)].join('; ');
    } catch (error) {
      if (error instanceof StillpointError) return `${error.failure.code}: ${error.failure.message}`;
      throw error;
    }
  }

  it('says how much it came up with, where that is what was captured', async () => {
    await lab.stop();
    await lab.start();
    expect(await verified()).to.include('came up with 20 rows');
  });

  it('is refused to one that came up with more', async () => {
    await lab.write();
    await lab.stop();
    await lab.start();
    expect(await verified()).to.match(/^restore-not-verified: .*20 rows.*but with 21 rows/);
  });

  it('is refused to one that came up empty, though it is of the right identity and healthy [S12]', async () => {
    const other = await modelLab();
    try {
      const restored = new NativeRestoration(other.settings, {
        ...({} as RestoreContext),
        source: { manifest, read: () => Promise.reject(new Error('nothing is read')) as never },
        follow: null,
      });
      const failed = await restored.verify().then(String, (error: StillpointError) => error.failure.message);
      expect(failed).to.match(/20 rows.*but with 0 rows/);
    } finally {
      await other.remove();
    }
  });

  it('warns of one that did not say at the mark what it holds', async () => {
    expect(await verified({ ...manifest, engineFacts: { kind: 'node', content: null } })).to.match(
      /its content is not$/,
    );
  });

  it('is refused to one that said it at the mark and says it no more', () => {
    const { differs } = compareContent(
      {
        source: { manifest, read: () => Promise.reject(new Error('nothing is read')) as never },
        follow: null,
      },
      { name: 'a1', role: 'node', startedWith: null },
    );
    expect(differs).to.match(/says it no more/);
  });
});
