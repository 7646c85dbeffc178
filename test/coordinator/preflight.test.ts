import { expect } from 'chai';
import { warningLine } from '../../shared/domain/warning.ts';
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
    realm: null,
    copysets: null,
    maintenance: false,
    hosts: hosts.map((host) => ({ host, repositoryId: 'r' })),
    repositoryId: 'r',
    repositoryFreeBytes: 1e9,
    earlier: null,
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

  it('lets a server through with as many standbys as it has', () => {
    const standbys = ['ab', 'ac', 'ad', 'ae'].map((name) => standby(name));
    expect(look([describedHost('alpha', [describedMember('aa'), ...standbys])]).members).to.have.length(5);
  });

  it('takes the word of an engine for what may run together, whatever the versions', () => {
    const nodes = [
      describedMember('aa', { version: '2026.1', traits: { compatibility: 'x' } }),
      standby('ab', { version: '1', traits: { compatibility: 'x' } }),
    ];
    expect(look([describedHost('alpha', nodes)]).members).to.have.length(2);
  });

  it('lets one cluster through that can only be marked at an instant, however many members it has', () => {
    const members = ['aa', 'ba'].map((name) =>
      describedMember(name, { freezeKind: 'instant', traits: { domain: 'one' } }),
    );
    expect(look([describedHost('alpha', members)]).members).to.have.length(2);
  });

  it('forecasts the data of a domain once where one of it is copied, and none where nobody is', () => {
    const bytesOf = (copies: 'each' | 'one' | 'nobody'): number =>
      look([
        describedHost(
          'alpha',
          ['aa', 'ba'].map((name) => describedMember(name, { traits: { domain: 'one', copies } })),
        ),
      ]).sizeBytes;
    expect([bytesOf('each'), bytesOf('one'), bytesOf('nobody')]).to.deep.equal([2000, 1000, 0]);
  });

  it('says of what is held that nothing of it is copied, and nothing of what only shows what others have', () => {
    const { warnings } = look([
      describedHost('alpha', [
        describedMember('aa', { traits: { copies: 'nobody' } }),
        describedMember('ba'),
      ]),
      describedHost('beta', [standby('ab', { traits: { copies: 'nobody' } })]),
    ]);
    expect(warnings.map(({ code, about }) => ({ code, about }))).to.deep.equal([
      { code: 'member-not-copied', about: 'aa' },
    ]);
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
    'nodes of one copyset that may not run together, though their versions are the same': [
      'version-mismatch',
      () => [
        [describedHost('alpha', [describedMember('aa'), standby('ab', { traits: { compatibility: 'y' } })])],
      ],
    ],
    'a fourth node in a copyset whose engine allows three': [
      'copyset-too-large',
      () => [
        [
          describedHost('alpha', [
            describedMember('aa', { traits: { maxMembers: 3 } }),
            ...['ab', 'ac', 'ad'].map((name) => standby(name, { traits: { maxMembers: 3 } })),
          ]),
        ],
      ],
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
    expect(
      refusal(healthy, { repositoryFreeBytes: 600, earlier: { sizeBytes: 1000, durationMs: 1 } }).code,
    ).to.equal('accepted');
  });

  describe('that asks for room for the journal that is written meanwhile', () => {
    const MB = 1024 * 1024;
    const busy = (changes = {}): HostDescription[] => [
      describedHost('alpha', [
        describedMember('aa', { sizeBytes: 5000 * MB, journalBytesPerSecond: 30 * MB, ...changes }),
      ]),
    ];
    const message = (...args: Parameters<typeof look>): string => {
      try {
        look(...args);
      } catch (error) {
        return (error as StillpointError).message;
      }
      return '';
    };

    it('says how much of it is data and how much journal', () => {
      // 5000 MB at 50 MB/s: 100 s.
      expect(message(busy(), { repositoryFreeBytes: 7000 * MB })).to.equal(
        'the repository has 7000 MB free; this checkpoint may need 8000 MB: 5000 MB of data, and 3000 MB of journal, which the members write in the 100 s that the copy may take',
      );
      expect(message(busy(), { repositoryFreeBytes: 8001 * MB })).to.equal('');
    });

    it('goes by how long the last checkpoint took, and by the rate that its member is held to', () => {
      const earlier = { sizeBytes: 2500 * MB, durationMs: 200_000 };
      const free = { repositoryFreeBytes: 10_000 * MB };
      expect(message(busy(), { ...free, earlier }))
        .to.contain('12000 MB of journal')
        .and.to.contain('7 min');
      expect(message(busy({ copyBytesPerSecond: 5 * MB }), { ...free, earlier })).to.contain(
        '30000 MB of journal',
      );
    });

    it('takes the size of the last checkpoint where an agent could not ask for it in time', () => {
      const earlier = { sizeBytes: 8000 * MB, durationMs: 1000 };
      const unknown = { repositoryFreeBytes: 1000 * MB };
      expect(message(busy({ sizeBytes: 0 }), { ...unknown, earlier })).to.contain('may need 2');
    });

    it('warns of a checkpoint that is mostly journal', () => {
      const { warnings } = look(busy({ copyBytesPerSecond: 5 * MB }), { repositoryFreeBytes: 1e12 });
      expect(warnings.map(warningLine)).to.deep.equal([
        'some 30000 MB of journal go into this checkpoint, which the members write in the 17 min that the copy may take; take it at a quieter hour, or raise copy.maxRate',
      ]);
    });

    it('refuses an agent whose disk is too small for what is written during a freeze', () => {
      const [host] = busy();
      if (host === undefined) throw new Error('no host');
      const small = { ...host, stateFreeBytes: 900 * MB };
      expect(message([small], { repositoryFreeBytes: 1e12 }))
        .to.contain('has 900 MB free')
        .and.to.contain('964 MB');
    });
  });

  it('warns of two nodes of a copyset on one host [S41]', () => {
    const ofServer = { code: 'no-fsync', about: 'aa', text: 'fsync is off', hint: 'switch it on' };
    const { warnings } = look([
      describedHost('alpha', [describedMember('aa', { warnings: [ofServer] }), standby('ab')]),
    ]);
    expect(warnings.map(({ code }) => code)).to.deep.equal(['no-fsync', 'same-host']);
    expect(warnings.map(warningLine)).to.deep.equal([
      'aa: fsync is off; switch it on',
      'copyset a: aa and ab are on the same host alpha; one loss takes both; move one of them to another host',
    ]);
  });
});
