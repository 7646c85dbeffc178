import { expect } from 'chai';
import { BY_ITSELF } from '../../shared/domain/assignment.ts';
import { nextMemberDeadline } from '../../shared/protocol/member-machine.ts';
import { Driven, first, held, LEASE, second } from './driven-member.ts';

// Goal: nobody is held for longer than the coordinator's word lasts, nor for less. Method: the clock is set to
// each deadline, and to just before it.

describe('the lease of a member', () => {
  it('is renewed by a renewal as by any other word, and is counted anew in each phase', () => {
    const member = new Driven().armed();
    expect(nextMemberDeadline(member.state)).to.equal(LEASE);
    member.now = 30;
    expect(member.receives({ type: 'renew', token: first }).did).to.deep.equal([]);
    expect(nextMemberDeadline(member.state)).to.equal(30 + LEASE);
    member.now = 50;
    member.receives({ type: 'freeze', token: first, leaseMs: 40 });
    expect(nextMemberDeadline(member.state)).to.equal(90);
    // A word does not give the engine more time to fence.
    member.happens({ type: 'messageReceived', now: 60 });
    expect(nextMemberDeadline(member.state)).to.equal(90);
  });

  it('is counted from when the member is armed, however long the engine took for it', () => {
    const member = new Driven()
      .receives({ type: 'prepare', checkpoint: 'c', assignment: BY_ITSELF, maintenance: false })
      .engine({ type: 'prepared' })
      .receives({ type: 'arm', token: first, leaseMs: LEASE });
    expect(nextMemberDeadline(member.state)).to.equal(LEASE);
    member.now = 70;
    member.engine({ type: 'armed', incarnation: 'i' });
    expect(nextMemberDeadline(member.state)).to.equal(70 + LEASE);
  });

  it('lets go of what is armed too, a moment after its end and no moment before', () => {
    const member = new Driven().armed();
    expect(member.timeIs(LEASE - 1).did).to.deep.equal([]);
    expect(member.timeIs(LEASE).did).to.deep.equal(['engine thaw']);
  });

  it('that ran out while the thaw was on its way: the answer waits for the engine, and is given once more', () => {
    const member = new Driven().frozen().timeIs(LEASE);
    expect(member.receives({ type: 'thaw', token: first }).did).to.deep.equal([]);
    member.engine(held);
    const [answer] = member.effects;
    expect(answer?.type === 'answer' && answer.answer).to.deep.equal({
      type: 'thawed',
      token: first,
      proof: { type: 'alreadyResumed', incarnation: 'i', cause: 'its lease of 100 ms ran out' },
    });
    expect(member.receives({ type: 'thaw', token: first }).effects).to.deep.equal([answer]);
  });

  it('bounds the thaw as well: an engine that does not open is aborted', () => {
    const asked = new Driven().frozen();
    asked.now = 10;
    asked.receives({ type: 'thaw', token: first });
    expect(nextMemberDeadline(asked.state)).to.equal(10 + LEASE);
    expect(asked.timeIs(10 + LEASE).did).to.deep.equal(['engine abort']);
    const unasked = new Driven().frozen().timeIs(LEASE);
    expect(unasked.timeIs(2 * LEASE).did).to.deep.equal(['engine abort']);
  });

  it('is none of what only waits: then silence is what ends it', () => {
    const member = new Driven().frozen().timeIs(LEASE).engine(held);
    expect(nextMemberDeadline(member.state)).to.equal(1000);
    member.now = 300;
    member.receives({ type: 'arm', token: second, leaseMs: LEASE });
    expect(nextMemberDeadline(member.state)).to.equal(300 + LEASE);
  });
});
