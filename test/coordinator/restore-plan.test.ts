import { expect } from 'chai';
import { warningLine } from '../../shared/domain/warning.ts';
import { planRestore, startWaves, type RestorePlan } from '../../coordinator/restore-plan.ts';
import type { StillpointError } from '../../shared/domain/errors.ts';
import type { GridManifest } from '../../shared/domain/manifest.ts';
import type { Assignment } from '../../shared/domain/assignment.ts';
import type { HostDescription, MemberDescription } from '../../shared/domain/grid.ts';
import { describedHost, describedMember, manifestOf, standby } from './descriptions.ts';

// Goal: every member finds its place and its data, or nothing is begun.

const manifest = manifestOf([
  { host: 'alpha', member: describedMember('aa') },
  { host: 'beta', member: standby('ab') },
  { host: 'beta', member: describedMember('ba') },
]);
const stopped = { running: false, primary: false } as const;
const same = [
  describedHost('alpha', [describedMember('aa', stopped)]),
  describedHost('beta', [describedMember('ab', stopped), describedMember('ba', stopped)]),
];

function plan(
  hosts: readonly HostDescription[],
  maps: Record<string, string> = {},
  of: GridManifest = manifest,
): RestorePlan {
  return planRestore({
    manifest: of,
    hosts: hosts.map((host) => ({ agent: `${host.host}:7411`, host })),
    maps: new Map(Object.entries(maps)),
    realm: null,
  });
}

function refusal(...args: Parameters<typeof plan>): string {
  try {
    plan(...args);
  } catch (error) {
    return (error as StillpointError).failure.code;
  }
  return 'accepted';
}

function inShort({ members }: RestorePlan): string[] {
  return members.map(
    ({ name, source, to, follow }) =>
      `${name} on ${to.host} from ${source.name}${follow === null ? '' : ` following ${follow}`}`,
  );
}

describe('the plan of a restore', () => {
  it('puts every member in its place, and lets standbys follow the new primary', () => {
    expect(inShort(plan(same))).to.deep.equal([
      'aa on alpha from aa',
      'ba on beta from ba',
      'ab on beta from aa following aa.example:5432',
    ]);
  });

  it('starts primaries before the standbys that follow them', () => {
    expect(startWaves(plan(same).members).map((wave) => wave.map(({ name }) => name))).to.deep.equal([
      ['aa', 'ba'],
      ['ab'],
    ]);
  });

  it('moves what was on a host to where --map says [S5]', () => {
    const moved = [
      describedHost('gamma', [describedMember('aa', stopped)]),
      describedHost('delta', [describedMember('ab', stopped), describedMember('ba', stopped)]),
    ];
    expect(inShort(plan(moved, { alpha: 'gamma', beta: 'delta' }))).to.deep.equal([
      'aa on gamma from aa',
      'ba on delta from ba',
      'ab on delta from aa following aa.example:5432',
    ]);
  });

  it('finds the only member of the copyset where the name is another', () => {
    const renamed = [
      describedHost('gamma', [
        describedMember('a9', { ...stopped, copyset: 'a' }),
        describedMember('b9', { ...stopped, copyset: 'b' }),
      ]),
    ];
    const small = manifestOf([
      { host: 'alpha', member: describedMember('aa') },
      { host: 'beta', member: describedMember('ba') },
    ]);
    expect(inShort(plan(renamed, { alpha: 'gamma', beta: 'gamma' }, small))).to.deep.equal([
      'a9 on gamma from aa',
      'b9 on gamma from ba',
    ]);
  });

  it('refuses to leave a member of the checkpoint out: a restore is of the whole grid [S10]', () => {
    expect(refusal([describedHost('alpha', [describedMember('aa', stopped)])])).to.equal('plan-no-target');
  });

  it('refuses two members of the checkpoint in one place', () => {
    const one = [
      describedHost('gamma', [
        describedMember('a9', { ...stopped, copyset: 'a' }),
        describedMember('ba', stopped),
      ]),
    ];
    expect(refusal(one)).to.equal('plan-conflict');
  });

  it('refuses a member of the target for which there is no data', () => {
    expect(
      refusal([...same, describedHost('gamma', [describedMember('zz', { ...stopped, copyset: 'z' })])]),
    ).to.equal('plan-no-source');
  });

  /** What was assigned to these members of a manifest. */
  function assigning(of: GridManifest, assignments: Record<string, Assignment>): GridManifest {
    const members = of.members.map((member) => {
      const assignment = assignments[member.name];
      if (assignment === undefined) return member;
      return { ...member, assignment, mark: assignment.hold === 'none' ? null : member.mark };
    });
    return { ...of, members };
  }

  it('builds all of a domain from the member that was copied for it, also one that was down, whatever leads now', () => {
    const traits = { domain: 'cluster', copies: 'one', standbys: 'peer' } as const;
    const ofCluster = (name: string, copyset: string): MemberDescription =>
      describedMember(name, { ...stopped, copyset, traits });
    const of = assigning(
      manifestOf(
        ['c1', 'c2'].map((name) => ({ host: 'alpha', member: ofCluster(name, 'c') })),
        ['c3'],
      ),
      { c1: { hold: 'none', part: 'none' }, c2: { hold: 'lead', part: 'whole' } },
    );
    const made = plan(
      [
        describedHost(
          'alpha',
          ['c1', 'c2', 'c3'].map((name) => ofCluster(name, 'c')),
        ),
      ],
      {},
      of,
    );
    expect(inShort(made)).to.have.members([
      'c1 on alpha from c2',
      'c2 on alpha from c2',
      'c3 on alpha from c2',
    ]);
  });

  describe('of members that share one copy', () => {
    const of = (cluster: string, names: readonly string[]): MemberDescription[] =>
      names.map((name) =>
        describedMember(name, {
          ...stopped,
          copyset: 'c',
          traits: { domain: cluster, copies: 'one', standbys: 'peer', renamable: true },
        }),
      );
    const captured = assigning(
      manifestOf(of('cluster', ['c1', 'c2', 'c3']).map((member) => ({ host: 'alpha', member }))),
      {
        c1: { hold: 'none', part: 'none' },
        c2: { hold: 'lead', part: 'whole' },
        c3: { hold: 'none', part: 'none' },
      },
    );
    const onto = (names: readonly string[]): RestorePlan =>
      plan([describedHost('beta', of('other', names))], { alpha: 'beta' }, captured);

    it('is for as many as there are, whatever they are called, and says where there are fewer', () => {
      expect(inShort(onto(['d1', 'd2', 'd3', 'd4']))).to.have.members(
        ['d1', 'd2', 'd3', 'd4'].map((name) => `${name} on beta from c2`),
      );
      const fewer = onto(['c1', 'd2']);
      expect(inShort(fewer)).to.have.members(['c1 on beta from c2', 'd2 on beta from c2']);
      expect(fewer.warnings.map(({ code, about }) => [code, about])).to.deep.include([
        'member-without-place',
        'c3',
      ]);
    });

    describe('and that were imported', () => {
      const imported = {
        ...assigning(manifestOf(of('cluster', ['c1']).map((member) => ({ host: 'alpha', member }))), {
          c1: { hold: 'none', part: 'whole' },
        }),
        imported: { file: 'a.zip', sha256: '', writtenAt: null },
      };

      it('is for their group alone: all other members stay as they are, and are named', () => {
        const { members, warnings } = plan(
          [...same, describedHost('gamma', of('other', ['d1', 'd2']))],
          {},
          imported,
        );
        expect(members.map(({ name, source }) => `${name} from ${source.name}`)).to.have.members([
          'd1 from c1',
          'd2 from c1',
        ]);
        const [warning] = warnings.filter(({ code }) => code === 'member-not-imported');
        expect(warning?.text).to.contain('has nothing of aa, ab, ba: they stay as they are');
        expect(warnings.map(({ code }) => code)).to.not.include('member-rebuilt');
      });

      it('is refused where their group is not there', () => {
        expect(refusal(same, {}, imported)).to.equal('plan-no-target');
      });
    });

    it('refuses where nobody of theirs is there', () => {
      const [other] = of('other', ['d1']);
      if (other === undefined) throw new Error('one member');
      const elsewhere = describedHost('beta', [{ ...other, copyset: 'another' }]);
      expect(refusal([elsewhere], { alpha: 'beta' }, captured)).to.equal('plan-no-target');
    });
  });

  it('builds each from its own where a lead held and each was copied', () => {
    const traits = { domain: 'cluster', copies: 'each', standbys: 'peer' } as const;
    const members = ['c1', 'c2'].map((name) => describedMember(name, { ...stopped, copyset: 'c', traits }));
    const of = assigning(manifestOf(members.map((member) => ({ host: 'alpha', member }))), {
      c1: { hold: 'none', part: 'whole' },
      c2: { hold: 'lead', part: 'whole' },
    });
    expect(inShort(plan([describedHost('alpha', members)], {}, of))).to.have.members([
      'c1 on alpha from c1',
      'c2 on alpha from c2',
    ]);
  });

  it('leaves what nobody copies to its engine, and says so; what could have been copied and was not is refused', () => {
    const planOf = (copies: 'each' | 'nobody') => {
      const member = describedMember('aa', { traits: { copies } });
      const of = assigning(manifestOf([{ host: 'alpha', member }]), { aa: { hold: 'member', part: 'none' } });
      return [[describedHost('alpha', [{ ...member, running: false }])], {}, of] as const;
    };
    const made = plan(...planOf('nobody'));
    expect(inShort(made)).to.deep.equal(['aa on alpha from aa']);
    expect(made.warnings.map(({ code, about }) => [code, about])).to.deep.equal([
      ['member-not-copied', 'aa'],
    ]);
    expect(refusal(...planOf('each'))).to.equal('plan-no-source');
  });

  it('takes the mark of the lead for a domain that nobody copies, also for a member that was down', () => {
    const traits = { domain: 'cluster', copies: 'nobody', standbys: 'peer' } as const;
    const ofCluster = (name: string): MemberDescription =>
      describedMember(name, { ...stopped, copyset: 'c', traits });
    const of = assigning(
      manifestOf(
        ['c1', 'c2'].map((name) => ({ host: 'alpha', member: ofCluster(name) })),
        ['c3'],
      ),
      { c1: { hold: 'none', part: 'none' }, c2: { hold: 'lead', part: 'none' } },
    );
    expect(
      inShort(plan([describedHost('alpha', ['c1', 'c2', 'c3'].map(ofCluster))], {}, of)),
    ).to.have.members(['c1 on alpha from c2', 'c2 on alpha from c2', 'c3 on alpha from c2']);
  });

  it('refuses a map of hosts that are not there', () => {
    expect(refusal(same, { nowhere: 'alpha' })).to.equal('map-unknown');
    expect(refusal(same, { alpha: 'nowhere' })).to.equal('map-unknown');
  });

  it('rebuilds a node that was absent from its copyset, and says so [S39]', () => {
    const without = manifestOf([{ host: 'alpha', member: describedMember('aa') }], ['ab']);
    const made = plan(
      [
        describedHost('alpha', [describedMember('aa', stopped)]),
        describedHost('beta', [describedMember('ab', stopped)]),
      ],
      {},
      without,
    );
    expect(inShort(made)).to.deep.equal([
      'aa on alpha from aa',
      'ab on beta from aa following aa.example:5432',
    ]);
    expect(made.warnings.map(warningLine)).to.deep.equal([
      'ab was down and is absent from the checkpoint: it is rebuilt from aa of its copyset; where that is not what you want, restore a checkpoint that has it',
    ]);
  });

  it('flags two nodes of a copyset on one host [S41]', () => {
    const together = [
      describedHost('gamma', [
        describedMember('aa', stopped),
        describedMember('ab', stopped),
        describedMember('ba', stopped),
      ]),
    ];
    expect(plan(together).warnings.map(warningLine)).to.deep.equal([
      'copyset a: aa and ab would be on the same host gamma; map one of them to another host',
    ]);
  });
});
