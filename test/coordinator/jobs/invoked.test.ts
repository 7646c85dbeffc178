import { expect } from 'chai';
import { checkInvoked, type Invoked } from '../../../coordinator/jobs/invoked.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { describedHost, describedMember } from '../descriptions.ts';
import { honestGrid, TestJob, type HonestGrid } from './honest-grid.ts';

// Goal: it makes no difference through which host of the grid an operation is invoked, and by another name, or through
// another host, nothing is. Method: agents that speak the protocol over the real wire.

describe('an operation that is invoked through a host', () => {
  let grid: HonestGrid;

  beforeEach(async () => {
    grid = await honestGrid([
      describedHost('alpha', [describedMember('aa')]),
      describedHost('beta', [describedMember('ba')]),
    ]);
  });

  afterEach(() => grid.agents.close());

  async function refusal(invoked: Invoked): Promise<string | null> {
    const checked = checkInvoked(grid.agents.gridFile, invoked, new AbortController().signal);
    const error: unknown = await checked.then(
      () => null,
      (thrown: unknown) => thrown,
    );
    return error instanceof StillpointError ? `${error.failure.code} ${error.exitCode}` : null;
  }

  it('[S54] is the same through each, by its host or its address', async () => {
    const [first = '', second = ''] = grid.agents.gridFile.agents;
    for (const via of [first, second, '127.0.18.1', '127.0.18.2']) {
      expect(await refusal({ via })).to.equal(null);
      grid.commands.length = 0;
      const job = new TestJob(grid, { type: 'journalCheckpoint' });
      const { report } = await job.ended;
      expect(report?.members.map(({ name }) => name)).to.deep.equal(['aa', 'ba']);
      expect(Object.keys(report?.journalMap ?? {})).to.have.length(2);
      expect(new Set(grid.commands.map(({ member }) => member))).to.deep.equal(new Set(['aa', 'ba']));
    }
  });

  it('[S55] is of the grid that its host knows by that name, and refused by any other, with nobody asked', async () => {
    expect(await refusal({ cluster: 'orders' })).to.equal(null);
    for (const invoked of [{ cluster: 'invoices' }, { cluster: 'invoices', via: '127.0.18.2' }])
      expect(await refusal(invoked)).to.equal('wrong-grid 3');
    // Also where its host is of that name, and the grid file is not.
    grid.agents.hosts = grid.agents.hosts.map((host) => ({ ...host, grid: 'invoices' }));
    expect(await refusal({ cluster: 'invoices' })).to.equal('wrong-grid 3');
    expect([grid.agents.asked, grid.commands]).to.deep.equal([[], []]);
  });

  it('is refused through a host that is none of the grid, or does not answer', async () => {
    expect(await refusal({ via: 'gamma' })).to.equal('via-unknown 2');
    const { gridFile } = grid.agents;
    const checked = checkInvoked(
      { ...gridFile, agents: [...gridFile.agents, '127.0.18.9:1'] },
      { via: '127.0.18.9' },
      new AbortController().signal,
    );
    const error: unknown = await checked.catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(StillpointError).with.property('exitCode', 3);
    expect(grid.agents.asked).to.deep.equal([]);
  });
});
