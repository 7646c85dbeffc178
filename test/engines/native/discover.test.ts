import { expect } from 'chai';
import { join } from 'node:path';
import { discoverNative } from '../../../agent/engines/native/discover.ts';
import { nativeMemberSchema } from '../../../agent/engines/native/settings.ts';
import { modelLab, type ModelLab } from './model.ts';

describe('a process that takes part by itself', () => {
  let lab: ModelLab;
  before(async () => {
    lab = await modelLab();
  });
  after(() => lab.remove());

  const look = (participants: readonly string[]): ReturnType<typeof discoverNative> =>
    discoverNative({ host: 'alpha', folder: '/etc/stillpoint', participants });

  it('is a member as it says of itself, where the operator names its socket', async () => {
    const { members, notes } = await look([join(lab.folder, 'node.sock')]);
    expect(notes).to.deep.equal([]);
    const { run: _run, ...said } = lab.settings;
    expect(nativeMemberSchema.parse(members[0]?.keys)).to.deep.include({
      ...said,
      startSeconds: 60,
    });
    expect(members[0]?.remarks['participant']).to.contain('no unit');
  });

  it('is not asked where nothing says that it is one, and what does not answer is named', async () => {
    const { members, notes } = await look([join(lab.folder, 'nobody.sock')]);
    expect(members.map(({ keys }) => keys['name'])).not.to.include('model-1a');
    expect(notes.join('\n')).to.contain('nobody.sock is no member');
  });
});
