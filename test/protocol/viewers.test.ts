import { expect } from 'chai';
import type { Viewer, Viewing } from '../../shared/domain/viewing.ts';
import { findUnheld, type ViewedMember } from '../../shared/protocol/viewers.ts';

// Goal: nobody has a journal whose viewer is not held. Method: what each member says, put together by hand.

const nobody: Viewing = { streamsAs: null, subscriptions: [], viewers: [] };

function standby(key: string, changes: Partial<Viewer> = {}): Viewer {
  return { kind: 'standby', key, isBlind: false, words: `standby ${key}`, ...changes };
}

function primary(name: string, ...viewers: Viewer[]): ViewedMember {
  return { name, kind: 'fenced', viewing: { ...nobody, viewers } };
}

function observer(name: string, streamsAs: string | null, ...viewers: Viewer[]): ViewedMember {
  return { name, kind: 'observer', viewing: { ...nobody, streamsAs, viewers } };
}

function found(members: readonly ViewedMember[], allowLogical = false): string | null {
  const unheld = findUnheld(members, allowLogical);
  return unheld === null ? null : `${unheld.code} ${unheld.member}`;
}

describe('who has a journal', () => {
  it('is held where every standby is an observer that takes part, also one behind another', () => {
    expect(
      found([
        primary('aa', standby('ab')),
        observer('ab', 'ab', standby('ac')),
        observer('ac', 'ac'),
        { name: 'realm', kind: 'fenced', viewing: undefined },
      ]),
    ).to.equal(null);
  });

  const left: Record<string, readonly ViewedMember[]> = {
    'is a stranger': [primary('aa', standby('ab'), standby('stray')), observer('ab', 'ab')],
    'bears the name of one that is held': [primary('aa', standby('w'), standby('w')), observer('ab', 'w')],
    'bears the name of one that does not stream': [primary('aa', standby('w')), observer('ab', null)],
    'bears the name of one of other data': [primary('aa', standby('1/w')), observer('bb', '2/w')],
    'was down, and is a member that takes no part': [primary('aa', standby('ab'))],
    'streams from a held observer': [primary('aa', standby('ab')), observer('ab', 'ab', standby('stray'))],
    'has the name of an observer that another member accounts for': [
      primary('aa', standby('w'), standby('w')),
      observer('ab', 'w', standby('w')),
      observer('ac', 'w'),
    ],
  };
  for (const [what, members] of Object.entries(left)) {
    it(`is not held where a standby ${what}`, () => {
      expect(found(members)).to.match(/^unheld-standby/);
    });
  }

  it('may be a standby without reads, behind which no observer hides', () => {
    const blind = standby('dr', { isBlind: true });
    expect(found([primary('aa', standby('ab'), blind), observer('ab', 'ab')])).to.equal(null);
    expect(found([primary('aa', blind), observer('ab', 'ab')])).to.equal('observer-astray ab');
    expect(found([primary('aa', blind), observer('ab', null)])).to.equal(null);
  });

  it('may be an observer that streams from nobody at the time, or is not seen yet', () => {
    expect(found([primary('aa'), observer('ab', null)])).to.equal(null);
    expect(found([primary('aa'), observer('ab', 'ab')])).to.equal(null);
  });

  const slot: Viewer = { kind: 'logical', key: 's', isBlind: false, words: 'the logical slot s' };

  it('may be a logical consumer outside of the grid only where that is allowed', () => {
    expect(found([primary('aa', slot)])).to.equal('logical-outside aa');
    expect(found([primary('aa', slot)], true)).to.equal(null);
  });

  it('may be no member that subscribes to a member, whatever is allowed; both are named', () => {
    const subscriptions = [{ name: 'orders', key: 's', publications: ['p', 'q'] }];
    const subscriber: ViewedMember = { name: 'ba', kind: 'fenced', viewing: { ...nobody, subscriptions } };
    const unheld = findUnheld([primary('aa', slot), subscriber], true);
    expect(unheld).to.include({ code: 'logical-member', member: 'ba' });
    expect(unheld?.cause).to.include('subscription orders to publication p, q').and.to.include('of aa');
    expect(unheld?.hint).to.include('ALTER SUBSCRIPTION orders DISABLE');
  });
});
