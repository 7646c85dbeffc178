import { expect } from 'chai';
import { planFailover } from '../../coordinator/failover-plan.ts';
import type { StillpointError } from '../../shared/domain/errors.ts';
import type { HostDescription } from '../../shared/domain/grid.ts';
import { describedHost, describedMember } from './descriptions.ts';
import { DOWN, each, realm, realmGrid } from './realm-grid.ts';

// Goal: each failover gets an epoch of its own, and one that was cut short goes on in the same.

interface Known {
  readonly agents: readonly number[];
  readonly repository?: number;
  readonly used?: number;
  readonly realm?: number;
}

function epochOf({ agents, repository = 0, used = 0, realm: held = 0 }: Known): number {
  const hosts = realmGrid({ r1: { realm: realm({ highestEpoch: held }) } }).map((host, index) => ({
    ...host,
    highestEpoch: agents[index % agents.length] ?? 0,
  }));
  return planFailover({ hosts, repository: { epoch: repository, counter: 9 }, usedEpoch: used, realm: null })
    .epoch;
}

function refusal(hosts: readonly HostDescription[]): string {
  try {
    planFailover({ hosts, repository: { epoch: 0, counter: 0 }, usedEpoch: 0, realm: null });
  } catch (error) {
    const { failure, exitCode } = error as StillpointError;
    return `${failure.code}: ${exitCode}`;
  }
  return 'accepted';
}

describe('the epoch of a failover', () => {
  const cases: Record<string, [Known, number]> = {
    'is 1 after the first': [{ agents: [0] }, 1],
    'is one more than the agents know': [{ agents: [3] }, 4],
    'is one more than checkpoints in the repository have': [{ agents: [0], repository: 2, used: 2 }, 3],
    'is one more than the restored realm of new hosts knows': [{ agents: [0], realm: 2 }, 3],
    'is one more than the realm knows, where its checkpoints are deleted': [
      { agents: [2, 0], repository: 2, realm: 2 },
      3,
    ],
    'is one more than an agent knows, where the repository is new': [{ agents: [2, 0] }, 3],
    'goes on where the repository alone knows it yet': [{ agents: [0], repository: 1 }, 1],
    'goes on where some agents know it yet': [{ agents: [1, 0], repository: 1 }, 1],
    'is raised again when every agent knows it': [{ agents: [1], repository: 1 }, 2],
    'is raised, and not taken for unfinished, on a way back to a grid that did not know': [
      { agents: [0], repository: 1, used: 1 },
      2,
    ],
    'is raised, and not taken for unfinished, where an agent is new': [
      { agents: [1, 0], repository: 1, used: 1 },
      2,
    ],
  };
  for (const [what, [known, epoch]] of Object.entries(cases)) {
    it(`${what} [S37]`, () => expect(epochOf(known)).to.equal(epoch));
  }

  const undo = { code: 'undo-pending', message: 'm', hint: 'h' };
  const looked: Record<string, [string, HostDescription[]]> = {
    'refuses a member that is frozen': ['member-frozen: 3', realmGrid({ a1: { frozen: true } })],
    'refuses a member whose freeze is not undone': [
      'member-frozen: 3',
      realmGrid({ a1: { problems: [undo] } }),
    ],
    'refuses a realm that is down': ['realm-unreachable: 3', realmGrid(each(['r1', 'r2'], DOWN))],
    'lets a satellite do': ['accepted', realmGrid({ r1: DOWN })],
    'needs no realm where there is none': ['accepted', [describedHost('alpha', [describedMember('aa')])]],
  };
  for (const [what, [outcome, hosts]] of Object.entries(looked)) {
    it(what, () => expect(refusal(hosts)).to.equal(outcome));
  }
});
