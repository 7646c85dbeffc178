import { expect } from 'chai';
import { failOver } from '../../coordinator/failover.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import { checkpointId, rows, storeCheckpoint } from '../repository/samples.ts';
import { realmGrid } from './realm-grid.ts';
import { patient, quiet, scriptedAgents, type ScriptedAgents } from './scripted-agents.ts';

// Goal: an epoch is durable before any agent hears of it, every agent hears of it, and a crash in between
// costs no epoch. Method: agents that remember what they were asked, over the real wire.

describe('a failover to another grid', () => {
  let agents: ScriptedAgents;

  beforeEach(async () => {
    agents = await scriptedAgents(realmGrid().slice(0, 3));
  });

  afterEach(() => agents.close());

  const raise = (): ReturnType<typeof failOver> =>
    failOver({ gridFile: agents.gridFile, cancellation: patient, progress: quiet });

  function raised(): string[] {
    return agents.asked.flatMap(({ host, request }) =>
      request.type === 'raiseEpoch' ? [`${host} ${request.epoch}`] : [],
    );
  }

  async function refusalOf(promise: Promise<unknown>): Promise<string> {
    try {
      await promise;
    } catch (error) {
      const { failure, exitCode } = error as StillpointError;
      return `${failure.code}: ${exitCode}`;
    }
    return 'accepted';
  }

  it('raises the epoch at every agent, and the counter goes on [S37]', async () => {
    await storeCheckpoint(agents.repository, checkpointId(7), { a: { 'base/1': rows(9, 'a') } });

    expect(await raise()).to.deep.equal({ grid: 'orders', epoch: 1 });

    expect(raised()).to.have.members(['host-r1 1', 'host-r2 1', 'host-k1 1']);
    expect(await agents.repository.highestNumber('orders')).to.deep.equal({ epoch: 1, counter: 7 });
  });

  it('holds the whole grid meanwhile, and lets it go', async () => {
    await raise();

    const order = agents.asked.filter(({ host }) => host === 'host-k1').map(({ request }) => request.type);
    expect(order).to.deep.equal(['claim', 'describe', 'raiseEpoch', 'release']);
  });

  it('is durable before an agent hears of it, and goes on in the same epoch after a crash [S37]', async () => {
    agents.onRequest = (host, { type }) => {
      if (type === 'raiseEpoch' && host === 'host-k1')
        throw new StillpointError({ code: 'agent-disk', message: 'm', hint: 'make room' });
    };
    expect(await refusalOf(raise())).to.equal('agent-disk: 4');
    expect((await agents.repository.highestNumber('orders')).epoch).to.equal(1);
    agents.onRequest = () => undefined;
    agents.hosts = agents.hosts.map((host) => ({ ...host, highestEpoch: host.host === 'host-k1' ? 0 : 1 }));

    expect((await raise()).epoch).to.equal(1);

    agents.hosts = agents.hosts.map((host) => ({ ...host, highestEpoch: 1 }));
    expect((await raise()).epoch).to.equal(2);
  });

  const refused: Record<string, [string, () => void]> = {
    'while another operation holds the grid': [
      'grid-busy: 3',
      () => {
        agents.onRequest = (_, { type }) => {
          if (type === 'claim') throw new StillpointError({ code: 'grid-busy', message: 'm', hint: 'h' });
        };
      },
    ],
    'where an agent belongs to another grid': [
      'wrong-grid: 3',
      () => {
        agents.hosts = agents.hosts.map((host, index) => (index === 2 ? { ...host, grid: 'payroll' } : host));
      },
    ],
    'where an agent does not answer': [
      'agent-unreachable: 3',
      () => {
        agents.gridFile.agents.push('127.0.18.250:9');
      },
    ],
  };
  for (const [what, [outcome, arrange]] of Object.entries(refused)) {
    it(`is refused ${what}, with nothing raised`, async () => {
      arrange();
      expect(await refusalOf(raise())).to.equal(outcome);
      expect(raised()).to.deep.equal([]);
      expect((await agents.repository.highestNumber('orders')).epoch).to.equal(0);
    });
  }
});
