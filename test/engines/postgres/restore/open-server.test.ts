import { expect } from 'chai';
import { askServer } from '../../../../agent/engines/postgres/restore/open-server.ts';
import { readControlFile } from '../../../../agent/engines/postgres/restore/control-file.ts';
import { postgresLab, type PostgresLab } from '../lab.ts';

// Goal: a restored server is open when it answers itself, and not when another one does in its place.

describe('a restored server that is asked whether it does its work', () => {
  let lab: PostgresLab;

  before(async () => {
    lab = await postgresLab('18');
  });

  after(() => lab.remove());

  it('is the one of its directory', async () => {
    const { systemIdentifier } = await readControlFile(lab.server.data);
    const answer = await askServer(lab.settings, { follows: false, systemIdentifier, before: new Map() });
    expect(answer).to.deep.equal({ type: 'does its work' });
  });

  it('does none where another server answers at its address', async () => {
    const answer = await askServer(lab.settings, {
      follows: false,
      systemIdentifier: '4711',
      before: new Map(),
    });
    expect(answer).to.have.property('type', 'silent');
    expect(answer).to.have.property('message').that.includes('another server').and.includes('4711');
  });
});
