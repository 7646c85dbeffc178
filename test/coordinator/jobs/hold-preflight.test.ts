import { expect } from 'chai';
import { preflightHold, type HoldPreflight } from '../../../coordinator/jobs/hold-preflight.ts';
import type { RealmKey } from '../../../coordinator/realm-preflight.ts';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { HostDescription } from '../../../shared/domain/grid.ts';
import { ABLE, type Purpose } from '../../../shared/domain/purpose.ts';
import { warningLine } from '../../../shared/domain/warning.ts';
import { describedHost, describedMember, standby } from '../descriptions.ts';
import { DOWN, each, realmGrid } from '../realm-grid.ts';

// Goal: all members that store data take part and no other, and what only a copy needs is not asked for. A pure function of
// what agents described.

function preflight(
  hosts: readonly HostDescription[],
  realm: RealmKey = null,
  purpose: Purpose = { type: 'quiesce', allowReads: false, timeOutMs: 1 },
): HoldPreflight {
  return preflightHold({
    grid: 'orders',
    copysets: null,
    realm,
    hosts: hosts.map((host) => ({ host, repositoryId: 'r' })),
    repositoryId: 'r',
    purpose,
  });
}

function refusal(hosts: readonly HostDescription[], realm: RealmKey = null): string {
  try {
    preflight(hosts, realm);
    return '';
  } catch (error) {
    if (!(error instanceof StillpointError)) throw error;
    return `${error.failure.code} ${error.exitCode}`;
  }
}

const names = ({ members }: HoldPreflight): string[] => members.map(({ description }) => description.name);

describe('the preflight of an operation that copies nothing', () => {
  it('[S53] lets nodes through and nobody else of a realm, each held and not copied', () => {
    const report = preflight(realmGrid());
    expect(names(report)).to.deep.equal(['a1', 'a2', 'b1', 'b2']);
    for (const { assignment } of report.members)
      expect(assignment).to.deep.equal({ hold: 'member', part: 'none' });
  });

  it('warns before a freeze of each node whose memory is full before updates may have to wait [S130]', () => {
    const grid = realmGrid({
      ...each(['a1', 'a2'], { updatesHaveRoomMs: 40_900 }),
      b1: { updatesHaveRoomMs: 900_000 },
    });
    const warned = (purpose: Purpose): string[] => preflight(grid, null, purpose).warnings.map(warningLine);
    const [first = '', second = '', ...more] = warned({ type: 'freeze', timeOutMs: 900_000 });
    expect(first).to.match(/^a1: .* in about 40 s .* for 900 s/);
    expect(second).to.match(/^a2: /);
    expect(more).to.deep.equal([]);
    expect(warned({ type: 'freeze', timeOutMs: 40_000 })).to.deep.equal([]);
    expect(warned({ type: 'freeze', timeOutMs: 901_000 })).to.have.length(3);
    expect(warned({ type: 'quiesce', allowReads: false, timeOutMs: 900_000 })).to.deep.equal([]);
  });

  it('needs no realm service, state keeper or proxy that runs', () => {
    const down = realmGrid(each(['r1', 'r2', 'k1', 'k2', 'k3', 'p1'], DOWN));
    expect(names(preflight(down))).to.deep.equal(['a1', 'a2', 'b1', 'b2']);
  });

  it('[S53] refuses where the realm has a node that no agent has: it would not be held', () => {
    const without = realmGrid({ b2: null });
    expect(refusal(without)).to.equal('member-not-configured 3');
    expect(refusal(without, 'none')).to.equal('');
    // A proxy that no agent has holds nothing.
    expect(refusal(realmGrid({ p1: null }))).to.equal('');
  });

  it('takes standbys that clients can read, names what is down, and refuses where nobody else has the data', () => {
    const hosts = (change: object): HostDescription[] => [
      describedHost('alpha', [describedMember('aa'), standby('ab', { address: 'ab:1' })]),
      describedHost('beta', [{ ...describedMember('ba'), ...change }]),
    ];
    expect(names(preflight(hosts({})))).to.deep.equal(['aa', 'ab', 'ba']);
    expect(refusal(hosts({ running: false }))).to.equal('copyset-down 3');
    expect(refusal(hosts({ frozen: true }))).to.equal('member-frozen 3');
    const problem = { code: 'undo-pending', message: 'an earlier freeze', hint: 'h' };
    expect(refusal(hosts({ problems: [problem] }))).to.equal('undo-pending 3');
    const down = describedHost('gamma', [standby('ac', { address: 'ac:1', running: false, copyset: 'a' })]);
    expect(preflight([...hosts({}), down]).absent).to.deep.equal([{ host: 'gamma', name: 'ac' }]);
  });

  it('asks a standby too whether it can: it must not show what its primary still hides', () => {
    const cannot = { ...ABLE, quiesce: { code: 'reads-go-on', message: 'no', hint: 'h' } };
    const hosts = [
      describedHost('alpha', [describedMember('aa'), standby('ab', { address: 'ab:1', abilities: cannot })]),
    ];
    expect(refusal(hosts)).to.equal('reads-go-on 3');
  });
});
