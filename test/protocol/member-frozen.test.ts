import { expect } from 'chai';
import { Driven, first, held, LEASE, marked, second } from './driven-member.ts';

// Goal: the host knows from the machine alone who is frozen, for how long a freeze may last, and whether a guard was
// quicker. Method: the machine, event by event.

describe('a member as its own host sees it', () => {
  it('is frozen from the order to close the fence until that is open, by a thaw, a lease or an abort', () => {
    const member = new Driven().armed();
    expect(member.state.isFrozen, 'armed').to.equal(false);
    member.receives({ type: 'freeze', token: first, leaseMs: LEASE });
    expect(member.state.isFrozen, 'freezing').to.equal(true);
    member.engine(marked).receives({ type: 'thaw', token: first });
    expect(member.state.isFrozen, 'thawing').to.equal(true);
    member.engine({ type: 'released', thawMs: 1 });
    expect(member.state.isFrozen, 'released').to.equal(false);

    const late = new Driven().frozen().timeIs(LEASE);
    expect(late.state.isFrozen, 'letting go').to.equal(true);
    expect(late.engine(held).state.isFrozen, 'let go').to.equal(false);

    const aborted = new Driven().frozen().receives({ type: 'abort', token: first });
    expect(aborted.state.isFrozen, 'aborting').to.equal(true);
    expect(aborted.engine({ type: 'aborted', state: 'running' }).state.isFrozen, 'aborted').to.equal(false);
  });

  it('is not frozen any more when a thaw ends that an abort has overtaken', () => {
    const member = new Driven().frozen().receives({ type: 'thaw', token: first });
    const thaw = member.state.nextCall - 1;
    member.receives({ type: 'abort', token: first });
    const late = { type: 'released', thawMs: 1 } as const;
    member.happens({ type: 'engineAnswered', now: member.now, call: thaw, result: late });
    expect(member.state.isFrozen).to.equal(false);
    expect(member.effects).to.deep.equal([]);
  });

  it('has the lease of its last arm, and until then the one of its operation', () => {
    const member = new Driven();
    expect(member.state.leaseMs).to.equal(1000);
    expect(member.armed().state.leaseMs).to.equal(LEASE);
    // An arm that is refused changes nothing.
    member.receives({ type: 'arm', token: first, leaseMs: 7 });
    expect(member.state.leaseMs).to.equal(LEASE);
  });

  it('did not hold where its guard thawed it, whatever its engine says; a new arm begins anew', () => {
    const member = new Driven().frozen().happens({ type: 'guardThawed', now: 1 });
    member.receives({ type: 'thaw', token: first }).engine(held);
    const [answer] = member.effects;
    expect(answer?.type === 'answer' && answer.answer).to.deep.include({
      type: 'thawed',
      proof: {
        type: 'broken',
        incarnation: 'i',
        cause: 'the guard thawed it: the agent was silent for too long',
      },
    });
    member
      .receives({ type: 'arm', token: second, leaseMs: LEASE })
      .engine({ type: 'armed', incarnation: 'i' })
      .receives({ type: 'freeze', token: second, leaseMs: LEASE })
      .engine(marked)
      .receives({ type: 'thaw', token: second })
      .engine(held);
    const [again] = member.effects;
    expect(again?.type === 'answer' && again.answer).to.deep.include({
      proof: held.type === 'thawed' && held.proof,
    });
  });
});
