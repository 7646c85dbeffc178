import { expect } from 'chai';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { membersHeld } from '../../agent/held.ts';
import { openFreezeRecords } from '../../agent/state-directory.ts';
import { temporaryFolder } from '../lab/temporary.ts';

// Goal: whoever is about to restart an agent can ask what that would end.
// Method: state directories as an agent writes them.
describe('the members that a host has not let go of', () => {
  const folder = temporaryFolder('held');
  const state = join(folder.path, 'state');
  const configuration = join(folder.path, 'agent.yaml');

  before(() => {
    writeFileSync(
      configuration,
      `grid: orders\nlisten: 127.0.0.1:7411\ntls: { ca: a, cert: b, key: c }\nstate: ${state}\nrepository: /srv/stillpoint\n`,
    );
  });

  after(() => folder.remove());

  it('are none where no agent ever ran, and asking makes nothing there', async () => {
    expect(await membersHeld(configuration)).to.deep.equal([]);
    expect(existsSync(state)).to.equal(false);
  });

  it('are those of freezes and of restores, each with what it is held for', async () => {
    const records = await openFreezeRecords(state);
    await records.saveFreeze({ member: 'orders-1a', operation: 'o', undo: {} });
    mkdirSync(join(state, 'restores'));
    // What cannot be read is held too, and what is not complete yet was never relied on.
    writeFileSync(join(state, 'restores/stock-1a.json'), '{');
    writeFileSync(join(state, 'freezes/.stock-1b.json.new'), '{}');
    expect(await membersHeld(configuration)).to.deep.equal([
      'orders-1a is held for a checkpoint',
      'stock-1a is being restored',
    ]);
  });

  it('are fewer when one is let go of', async () => {
    await (await openFreezeRecords(state)).clearFreeze('orders-1a');
    expect(await membersHeld(configuration)).to.deep.equal(['stock-1a is being restored']);
  });
});
