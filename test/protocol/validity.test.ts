import { expect } from 'chai';
import type { ThawProof } from '../../shared/domain/messages.ts';
import { findInvalid, type HeldMember } from '../../shared/protocol/validity.ts';

// Goal: nothing less than every proof makes a cut. Method: one thing is wrong with one of two members.

const held: ThawProof = { type: 'held', incarnation: 'i' };
const good: HeldMember = { name: 'good', kind: 'fenced', armed: 'i', marked: 'i', proof: held };

const unproven = { armed: undefined, marked: undefined, proof: undefined };

describe('the validity of a cut', () => {
  it('is given when every member held, as the process that was armed and that marked', () => {
    expect(findInvalid([good, { ...good, name: 'other' }])).to.equal(null);
  });

  const wrongs: [string, Partial<HeldMember>, string][] = [
    ['there is no proof', { proof: undefined }, 'it gave no proof that it held'],
    [
      'it had resumed',
      { proof: { type: 'alreadyResumed', incarnation: 'i', cause: 'its lease ran out' } },
      'it had resumed before the thaw: its lease ran out',
    ],
    [
      'it leaked',
      { proof: { type: 'broken', incarnation: 'i', cause: 'a commit got past' } },
      'a commit got past',
    ],
    ['another process was armed', { armed: 'h' }, 'its process was restarted in between'],
    ['another process marked', { marked: 'h' }, 'its process was restarted in between'],
    [
      'another process held',
      { proof: { type: 'held', incarnation: 'j' } },
      'its process was restarted in between',
    ],
    ['it was never armed', { armed: undefined }, 'its process was restarted in between'],
    ['it never marked', { marked: undefined }, 'its process was restarted in between'],
  ];
  for (const [what, wrong, cause] of wrongs) {
    it(`is not when of one member ${what}`, () => {
      expect(findInvalid([good, { ...good, name: 'bad', ...wrong }])).to.deep.equal({ member: 'bad', cause });
    });
  }

  it('is given where the proof of a lead stands for its domain, which proves nothing itself', () => {
    const lead: HeldMember = { ...good, name: 'lead', hold: 'lead' };
    const others = ['b', 'c'].map((name): HeldMember => ({
      name,
      kind: 'fenced',
      ...unproven,
      hold: 'none',
    }));
    const covered = others.map((one) => ({ ...one, heldBy: 'lead' }));
    expect(findInvalid([lead, ...covered])).to.equal(null);
    const resumed: ThawProof = { type: 'alreadyResumed', incarnation: 'i', cause: 'late' };
    expect(findInvalid([{ ...lead, proof: resumed }, ...covered])?.member).to.equal('lead');
  });

  it('is not where the lead of a domain was left out, is somebody who holds itself alone, or is held itself', () => {
    const covered: HeldMember = { name: 'b', kind: 'fenced', ...unproven, hold: 'none', heldBy: 'lead' };
    const cause = 'nobody held it: the lead of its domain takes no part';
    for (const others of [[], [{ ...good, name: 'lead' }], [{ ...covered, name: 'lead', heldBy: 'b' }]])
      expect(findInvalid([good, covered, ...others])).to.deep.equal({ member: 'b', cause });
  });

  it('names the first member with something against it', () => {
    const wrong = { ...good, proof: undefined };
    expect(findInvalid([good, { ...wrong, name: 'first' }, { ...wrong, name: 'second' }])?.member).to.equal(
      'first',
    );
  });
});
