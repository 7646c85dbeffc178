import { expect } from 'chai';
import { preflight, type PreflightReport } from '../../coordinator/preflight.ts';
import type { StillpointError } from '../../shared/domain/errors.ts';
import type { HostDescription } from '../../shared/domain/grid.ts';
import { describedHost, describedMember, standby } from './descriptions.ts';

// Goal: what cannot become a checkpoint is refused before anything is touched. Method: descriptions in,
// report or refusal out; no agent, no disk.

function look(
  hosts: readonly HostDescription[],
  changes: Partial<Parameters<typeof preflight>[0]> = {},
): PreflightReport {
  return preflight({
    grid: 'orders',
    copysets: null,
    maintenance: false,
    hosts: hosts.map((host) => ({ host, repositoryId: 'r' })),
    repositoryId: 'r',
    repositoryFreeBytes: 1e9,
    hasEarlierCheckpoint: false,
    ...changes,
  });
}

function refusal(...args: Parameters<typeof look>): { code: string; exit: number } {
  try {
    look(...args);
  } catch (error) {
    const { failure, exitCode } = error as StillpointError;
    return { code: failure.code, exit: exitCode };
  }
  return { code: 'accepted', exit: 0 };
}

describe('preflight', () => {
  const healthy = [
    describedHost('alpha', [describedMember('aa')]),
    describedHost('beta', [standby('ab'), describedMember('ba')]),
  ];

  it('lets a healthy grid through, with every member that stores data, and its observers [S53]', () => {
    const report = look(healthy);
    expect(report.members.map(({ description, kind }) => `${description.name} ${kind}`)).to.deep.equal([
      'aa fenced',
      'ab observer',
      'ba fenced',
    ]);
    expect(report.sizeBytes).to.equal(2000);
  });

  it('records a node that is down as absent, while another of its copyset runs [S39]', () => {
    const report = look([
      describedHost('alpha', [describedMember('aa')]),
      describedHost('beta', [standby('ab', { running: false })]),
    ]);
    expect(report.absent).to.deep.equal([{ host: 'beta', name: 'ab' }]);
    expect(report.members.map(({ description }) => description.name)).to.deep.equal(['aa']);
  });

  const refused: Record<string, [string, () => Parameters<typeof look>]> = {
    'a copyset with no running node': [
      'copyset-down',
      () => [[describedHost('alpha', [describedMember('aa', { running: false })])]],
    ],
    'a copyset without a primary': [
      'copyset-without-primary',
      () => [[describedHost('alpha', [standby('aa')])]],
    ],
    'two primaries in one copyset': [
      'copyset-split',
      () => [[describedHost('alpha', [describedMember('aa'), describedMember('ab')])]],
    ],
    'nodes of one copyset with other data': [
      'copyset-differs',
      () => [[describedHost('alpha', [describedMember('aa'), standby('ab', { dataIdentity: 'other' })])]],
    ],
    'nodes of one copyset with other versions': [
      'version-mismatch',
      () => [[describedHost('alpha', [describedMember('aa'), standby('ab', { version: '17.2' })])]],
    ],
    'a fourth node in a copyset': [
      'copyset-too-large',
      () => [[describedHost('alpha', [describedMember('aa'), standby('ab'), standby('ac'), standby('ad')])]],
    ],
    'a copyset of the grid file that no agent has': [
      'copyset-missing',
      () => [healthy, { copysets: ['a', 'b', 'c'] }],
    ],
    'a copyset that the grid file does not name': ['foreign-copyset', () => [healthy, { copysets: ['a'] }]],
    'two members of one name': [
      'duplicate-member',
      () => [
        [describedHost('alpha', [describedMember('aa')]), describedHost('beta', [describedMember('aa')])],
      ],
    ],
    'an agent of another grid': [
      'wrong-grid',
      () => [[{ ...describedHost('alpha', [describedMember('aa')]), grid: 'payroll' }]],
    ],
    'an agent with another repository': ['repository-differs', () => [healthy, { repositoryId: 'other' }]],
    'an agent without room for journals': [
      'agent-disk-full',
      () => [[{ ...describedHost('alpha', [describedMember('aa')]), stateFreeBytes: 1 }]],
    ],
    'a repository without room': ['repository-full', () => [healthy, { repositoryFreeBytes: 1999 }]],
    'no member at all': ['no-members', () => [[describedHost('alpha', [])]]],
    'a problem that an agent found': [
      'postgres-wal-level',
      () => [
        [
          describedHost('alpha', [
            describedMember('aa', { problems: [{ code: 'postgres-wal-level', message: 'm', hint: 'h' }] }),
          ]),
        ],
      ],
    ],
    'two clusters that can only be marked at an instant': [
      'two-instant-domains',
      () => [
        [
          describedHost('alpha', [
            describedMember('aa', { freezeKind: 'instant' }),
            describedMember('ba', { freezeKind: 'instant' }),
          ]),
        ],
      ],
    ],
  };
  for (const [what, [code, input]] of Object.entries(refused)) {
    it(`refuses ${what}: exit 3`, () => {
      expect(refusal(...input())).to.deep.equal({ code, exit: 3 });
    });
  }

  it('asks for less room when an earlier checkpoint holds most of it already', () => {
    expect(refusal(healthy, { repositoryFreeBytes: 600, hasEarlierCheckpoint: true }).code).to.equal(
      'accepted',
    );
  });

  it('warns of two nodes of a copyset on one host, and of no standby that is a member [S41]', () => {
    const { warnings } = look([
      describedHost('alpha', [
        describedMember('aa', {
          warnings: [
            'standby ab at 10.0.0.2/32 replays its journal',
            'standby stray at 10.0.0.9/32 replays its journal',
          ],
        }),
        standby('ab'),
      ]),
    ]);
    expect(warnings).to.deep.equal([
      'aa: standby stray at 10.0.0.9/32 replays its journal',
      'copyset a: aa and ab are on the same host alpha; one loss takes both',
    ]);
  });
});
