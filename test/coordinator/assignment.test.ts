import { expect } from 'chai';
import { assign } from '../../coordinator/assignment.ts';
import type { MemberDescription } from '../../shared/domain/grid.ts';
import { describedMember, standby } from './descriptions.ts';

// Goal: who holds and who copies follows from what engines declare, and from nothing else.

function assigned(...members: MemberDescription[]): Record<string, string> {
  return Object.fromEntries(
    [...assign(members)].map(([name, { assignment, heldBy }]) => [
      name,
      `${assignment.hold} ${assignment.part}${heldBy === null ? '' : ` by ${heldBy}`}`,
    ]),
  );
}

function ofDomain(name: string, copies: 'each' | 'one' | 'nobody', primary = false): MemberDescription {
  return describedMember(name, { primary, traits: { domain: 'cluster', copies } });
}

describe('what is assigned to a member', () => {
  it('is all of itself, where it is a domain by itself', () => {
    expect(assigned(describedMember('aa'), standby('ab'))).to.deep.equal({
      aa: 'member whole',
      ab: 'member whole',
    });
  });

  it('is its domain where it leads that: its primary, else the first by name', () => {
    const held = { c1: 'none none by c2', c2: 'lead whole', c3: 'none none by c2' };
    expect(assigned(ofDomain('c3', 'one'), ofDomain('c2', 'one', true), ofDomain('c1', 'one'))).to.deep.equal(
      held,
    );
    expect(assigned(ofDomain('c3', 'one'), ofDomain('c2', 'one'))).to.deep.equal({
      c2: 'lead whole',
      c3: 'none none by c2',
    });
  });

  it('is its own copy where each of a domain that is held by one stores its own', () => {
    expect(assigned(ofDomain('c1', 'each', true), ofDomain('c2', 'each'))).to.deep.equal({
      c1: 'lead whole',
      c2: 'none whole by c1',
    });
  });

  it('is no copy where nobody is copied', () => {
    expect(assigned(describedMember('aa', { traits: { copies: 'nobody' } }), ofDomain('c1', 'nobody')))
      .to.deep //
      .equal({ aa: 'member none', c1: 'lead none' });
  });

  it('is the pause of its own replay, of an observer: no lead makes its mark for it', () => {
    const observer = standby('c0', { primary: true, traits: { domain: 'cluster', copies: 'each' } });
    expect(assigned(observer, ofDomain('c1', 'one'))).to.deep.equal({ c0: 'member whole', c1: 'lead whole' });
  });

  it('is nothing that another engine has under the same word', () => {
    const other = describedMember('d1', { engine: 'other', traits: { domain: 'cluster', copies: 'one' } });
    expect(assigned(ofDomain('c1', 'one'), other)).to.deep.equal({ c1: 'lead whole', d1: 'lead whole' });
  });
});
