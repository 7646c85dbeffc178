import { expect } from 'chai';
import { warningLine } from '../../shared/domain/warning.ts';
import { preflight, type PreflightReport } from '../../coordinator/preflight.ts';
import type { StillpointError } from '../../shared/domain/errors.ts';
import type { HostDescription } from '../../shared/domain/grid.ts';
import { describedMember } from './descriptions.ts';
import { defined, DOWN, each, realm, realmGrid } from './realm-grid.ts';

// Goal: a grid with a realm that cannot become a whole checkpoint is refused before anything is touched.
// Method: descriptions in, report or refusal out; no agent, no disk.

function look(hosts: readonly HostDescription[], maintenance = false): PreflightReport {
  return preflight({
    grid: 'orders',
    realm: null,
    copysets: null,
    maintenance,
    hosts: hosts.map((host) => ({ host, repositoryId: 'r' })),
    repositoryId: 'r',
    repositoryFreeBytes: 1e9,
    earlier: null,
  });
}

function refusal(...args: Parameters<typeof look>): { code: string; exit: number; message: string } {
  try {
    look(...args);
  } catch (error) {
    const { failure, exitCode } = error as StillpointError;
    return { code: failure.code, exit: exitCode, message: failure.message };
  }
  return { code: 'accepted', exit: 0, message: '' };
}

/** A realm as both of its services hold it. */
function withRealm(changes: Parameters<typeof realm>[0], members: Parameters<typeof realmGrid>[0] = {}) {
  return realmGrid({ ...each(['r1', 'r2'], { realm: realm(changes) }), ...members });
}

const cluster = { realm: realm({ realmServices: ['r1', 'r2', 'r3', 'r4'].map(defined) }), primary: true };
/** One that is named in an agent file. */
function downRealmService(name: string) {
  return describedMember(name, { engine: 'native', role: 'realm-service', copyset: null, ...DOWN });
}

const shard = describedMember('sa', { copyset: 'shard' });

describe('the preflight of a grid with a realm', () => {
  it('lets a healthy grid through, with every process of it [S11]', () => {
    const { members, warnings, absent } = look(realmGrid());

    expect(members.map(({ description, kind }) => `${description.name} ${kind}`)).to.deep.equal([
      'r1 fenced',
      'r2 observer',
      'k1 fenced',
      'k2 fenced',
      'k3 fenced',
      'a1 fenced',
      'a2 fenced',
      'b1 fenced',
      'b2 fenced',
      'p1 observer',
    ]);
    expect(warnings).to.deep.equal([]);
    expect(absent).to.deep.equal([]);
  });

  it('has the copysets in the order of definition, others behind', () => {
    expect(look(realmGrid({}, [shard])).copysets).to.deep.equal(['b', 'a', 'shard']);
  });

  const refused: Record<string, [string, () => Parameters<typeof look>]> = {
    'no realm service at all [S23]': ['realm-unreachable', () => [realmGrid({ r1: null, r2: null })]],
    'realm services that are all down [S23]': [
      'realm-unreachable',
      () => [realmGrid(each(['r1', 'r2'], DOWN))],
    ],
    'a satellite without its primary [S23]': ['realm-unreachable', () => [realmGrid({ r1: DOWN })]],
    'a primary realm service that does not answer for its realm [S23]': [
      'realm-unreachable',
      () => [realmGrid({ r1: { realm: null } })],
    ],
    'half of a cluster of realm services [S46]': [
      'realm-unreachable',
      () => [realmGrid(each(['r1', 'r2'], cluster))],
    ],
    'one of three realm services, though it takes itself for the primary [S46]': [
      'realm-unreachable',
      () => {
        const three = { realm: realm({ realmServices: ['r1', 'r2', 'r3'].map(defined) }) };
        return [realmGrid({ r1: { ...three, primary: true }, r2: DOWN }, [downRealmService('r3')])];
      },
    ],
    'a cluster of realm services that do not see each other [S46]': [
      'realm-unreachable',
      () => [
        realmGrid(
          each(['r1', 'r2'], {
            realm: realm({ realmServices: ['r1', 'r2', 'r3'].map(defined) }),
            primary: true,
            quorum: { running: 1, configured: 3 },
          }),
          [downRealmService('r3')],
        ),
      ],
    ],
    'another grid in the realm [S6]': ['realm-not-alone', () => [withRealm({ foreign: ['grid payroll'] })]],
    'another process in the realm [S7]': [
      'realm-not-alone',
      () => [withRealm({ foreign: ['process audit'] })],
    ],
    'the realm of another grid': ['wrong-realm', () => [withRealm({ grid: 'payroll' })]],
    'a defined node that no agent has [S11]': ['member-not-configured', () => [realmGrid({ b2: null })]],
    'a defined proxy that no agent has [S11]': ['member-not-configured', () => [realmGrid({ p1: null })]],
    'a process that is not defined': [
      'member-not-defined',
      () => [realmGrid({}, [describedMember('a3', { engine: 'native', copyset: 'a', primary: false })])],
    ],
    'a node that is defined in another copyset': [
      'member-not-defined',
      () => [realmGrid({ a2: { copyset: 'b' } })],
    ],
    'one of three keepers [S30]': ['keepers-below-quorum', () => [realmGrid(each(['k2', 'k3'], DOWN))]],
    'no keeper that runs [S30]': ['keepers-below-quorum', () => [realmGrid(each(['k1', 'k2', 'k3'], DOWN))]],
    'one of three keepers while every node and proxy goes on [S123]': [
      'keepers-below-quorum',
      () => [realmGrid({ ...each(['k1', 'k3'], DOWN), k2: { quorum: { running: 1, configured: 3 } } })],
    ],
    'keepers that run but do not see each other [S30] [S118]': [
      'keepers-below-quorum',
      () => [realmGrid(each(['k1', 'k2', 'k3'], { quorum: { running: 1, configured: 3 } }))],
    ],
    'keepers that are counted on but run no more [S30]': [
      'keepers-below-quorum',
      () => [realmGrid({ k2: DOWN, k3: DOWN, k1: { quorum: { running: 3, configured: 3 } } })],
    ],
    'a grid without keepers [S11]': [
      'keepers-below-quorum',
      () => [withRealm({ keepers: [] }, { k1: null, k2: null, k3: null })],
    ],
    'a copyset with no running node [S11]': ['copyset-down', () => [realmGrid(each(['a1', 'a2'], DOWN))]],
    'a fourth node in a copyset [S52]': [
      'copyset-too-large',
      () => {
        const nodes = ['b1', 'b2', 'b3', 'b4'];
        const copysets = [{ name: 'b', nodes: nodes.map(defined) }];
        const all = { a1: null, a2: null, ...each(['r1', 'r2'], { realm: realm({ copysets }) }) };
        const more = ['b3', 'b4'].map((name) => describedMember(name, { engine: 'native', primary: false }));
        return [realmGrid(all, more)];
      },
    ],
    'a problem that a member names': [
      'copyset-undecided',
      () => [realmGrid({ k1: { problems: [{ code: 'copyset-undecided', message: 'm', hint: 'h' }] } })],
    ],
    'maintenance where a node has none': ['maintenance-unsupported', () => [realmGrid({}, [shard]), true]],
  };
  for (const [what, [code, input]] of Object.entries(refused)) {
    const [, title = what, id = ''] = /^(.*?)((?: \[S\d+\])*)$/.exec(what) ?? [];
    it(`refuses ${title}: exit 3${id}`, () => {
      expect(refusal(...input())).to.include({ code, exit: 3 });
    });
  }

  it('says that keepers below their quorum are stopped, and then all of them started [S51]', () => {
    const hosts = realmGrid(each(['k2', 'k3'], DOWN));
    let hint = '';
    try {
      look(hosts);
    } catch (error) {
      ({ hint } = (error as StillpointError).failure);
    }
    expect(hint).to.match(
      /^k2, k3 are down\. Where copysets changed meanwhile, stop the others too, then start all/,
    );
  });

  it('names each entry of the realm that is not of the grid [S7]', () => {
    const foreign = ['grid payroll', 'process audit'];
    expect(refusal(withRealm({ foreign })).message).to.contain('grid payroll, process audit');
  });

  const accepted: Record<string, () => Parameters<typeof look>> = {
    'two of three keepers [S27]': () => [
      realmGrid({ k3: DOWN, ...each(['k1', 'k2'], { quorum: { running: 2, configured: 3 } }) }),
    ],
    'two keepers of which one has taken over from the lead, which is down [S26]': () => {
      const quorum = { running: 2, configured: 3 };
      return [realmGrid({ k1: DOWN, k2: { quorum, primary: true }, k3: { quorum } })];
    },
    'a keeper that lags behind the others in what it sees': () => [
      realmGrid({ k3: { quorum: { running: 1, configured: 3 } } }),
    ],
    'most of a cluster of realm services, each of them primary [S46]': () => {
      const three = { realm: realm({ realmServices: ['r1', 'r2', 'r3'].map(defined) }), primary: true };
      return [realmGrid(each(['r1', 'r2'], three), [downRealmService('r3')])];
    },
    'a primary realm service that stands alone, its two satellites being down [S46]': () => {
      const three = { realm: realm({ realmServices: ['r1', 'r2', 'r3'].map(defined) }) };
      const alone = { ...three, primary: true, quorum: { running: 1, configured: 1 } };
      return [realmGrid({ r1: alone, r2: DOWN }, [downRealmService('r3')])];
    },
    'maintenance where every node has it': () => [realmGrid(), true],
  };
  for (const [what, input] of Object.entries(accepted)) {
    const [, title = what, id = ''] = /^(.*?)((?: \[S\d+\])*)$/.exec(what) ?? [];
    it(`accepts ${title}${id}`, () => {
      expect(refusal(...input()).code).to.equal('accepted');
    });
  }

  it('records a node, a keeper, a satellite and a proxy that are down as absent [S39]', () => {
    const quorum = { running: 2, configured: 3 };
    const { absent, members } = look(
      realmGrid({ ...each(['r2', 'k3', 'a2', 'p1'], DOWN), ...each(['k1', 'k2'], { quorum }) }),
    );

    expect(absent.map(({ name }) => name)).to.deep.equal(['r2', 'k3', 'a2', 'p1']);
    expect(members.map(({ description }) => description.name)).to.deep.equal([
      'r1',
      'k1',
      'k2',
      'a1',
      'b1',
      'b2',
    ]);
  });

  it('warns of fewer than three keepers and refuses nothing [S49]', () => {
    const keepers = ['k1', 'k2'].map(defined);
    const quorum = { running: 2, configured: 2 };
    const { warnings } = look(withRealm({ keepers }, { k3: null, ...each(['k1', 'k2'], { quorum }) }));

    expect(warnings).to.deep.equal([
      {
        code: 'keepers-few',
        about: null,
        text: 'the grid has 2 state keepers; production needs three',
        hint: 'add one',
      },
    ]);
  });

  it('warns of a cluster of fewer than three realm services, and of two on one host [S46]', () => {
    const both = each(['r1', 'r2'], { primary: true, quorum: { running: 2, configured: 2 } });
    const [one, other, ...others] = realmGrid(both);
    const together = one && other && { ...one, members: [...one.members, ...other.members] };
    const { warnings } = look(together === undefined ? [] : [together, ...others]);

    expect(warnings.map(warningLine)).to.deep.equal([
      'the realm is a cluster of 2 services; it survives no loss with fewer than three; add one',
      'the realm services r1, r2 share a host; one loss takes them together; move one of them to another host',
    ]);
  });

  it('warns of a copyset with a single node [S52]', () => {
    const copysets = realm().copysets.map(({ name, nodes }) => ({ name, nodes: nodes.slice(0, 1) }));
    const { warnings } = look(withRealm({ copysets }, { a2: null, b2: null }));

    expect(warnings.map(warningLine)).to.deep.equal([
      'copyset b has a single node; its loss takes the rows with it; add a node on another host',
      'copyset a has a single node; its loss takes the rows with it; add a node on another host',
    ]);
  });

  it('warns of realm services that hold different definitions', () => {
    expect(look(realmGrid({ r2: { realm: realm({ version: 3 }) } })).warnings.map(warningLine)).to.deep.equal(
      [
        'the realm services hold different definitions of the grid: r1 has version 4, r2 has version 3; wait until those that are behind have the newest; restart one that does not get it',
      ],
    );
  });
});
