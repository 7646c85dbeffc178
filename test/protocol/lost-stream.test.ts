import { expect } from 'chai';
import { BY_ITSELF } from '../../shared/domain/assignment.ts';
import { mayBeResumed, nextMemberDeadline } from '../../shared/protocol/member-machine.ts';
import { nextDeadline } from '../../shared/protocol/coordinator-machine.ts';
import { Driven, failure, token } from './driven-coordinator.ts';
import { Driven as DrivenMember, first, LEASE } from './driven-member.ts';

// Goal: before the first arm a stream may be lost and come back, and nothing is done twice; work that has ended is
// never taken for work that is there. Method: both machines by hand.

const lost = (run: Driven, member: string): void =>
  run.happens({ type: 'memberLost', now: run.now, member, failure, mayReturn: true });
const back = (run: Driven, member: string, resumed: boolean): void =>
  run.happens({ type: 'memberReconnected', now: run.now, member, resumed });

describe('a stream that is lost before the first arm', () => {
  it('is connected anew, with a word on what is waited for, and nobody is armed meanwhile', () => {
    const run = new Driven({ a: 'fenced', b: 'fenced' });
    run.answers('a', { type: 'prepared' });
    lost(run, 'a');
    expect(run.effects).to.deep.equal([
      {
        type: 'note',
        text: 'a: it broke; trying to come back for 0.6 s, as long as its agent keeps what is prepared',
      },
      { type: 'reconnect', member: 'a' },
    ]);
    run.answers('b', { type: 'prepared' });
    expect(run.sent()).to.deep.equal([]);
    back(run, 'a', true);
    expect(run.sent()).to.deep.equal(['a prepare']);
    run.answers('a', { type: 'prepared' });
    expect(run.sent()).to.deep.equal(['a arm#1', 'b arm#1']);
  });

  it('while observers pause is taken up too: each is asked for what it had answered', () => {
    const run = new Driven({ a: 'fenced', standby: 'observer' });
    run.answers('a', { type: 'prepared' });
    run.answers('standby', { type: 'prepared' });
    lost(run, 'a');
    lost(run, 'standby');
    back(run, 'a', true);
    expect(run.sent()).to.deep.equal(['a prepare']);
    back(run, 'standby', true);
    expect(run.sent()).to.deep.equal(['standby prepare', 'standby pause#1']);
    run.answers('standby', { type: 'prepared' });
    run.answers('standby', { type: 'paused', token: token(1) });
    expect(run.sent()).to.deep.equal([]);
    run.answers('a', { type: 'prepared' });
    expect(run.sent()).to.deep.equal(['a arm#1', 'standby arm#1']);
  });

  it('ends the checkpoint when it does not come back in time, and says so', () => {
    const run = new Driven({ a: 'fenced', b: 'fenced' });
    lost(run, 'a');
    expect(nextDeadline(run.state)).to.equal(600);
    run.happens({ type: 'timePassed', now: 600 });
    run.answers('b', { type: 'aborted', state: 'running' });
    expect(run.outcome?.kind === 'aborted' && run.outcome.failure).to.deep.include({
      code: 'x',
      member: 'a',
      message: 'it broke; it did not come back in 0.6 s',
    });
  });

  it('ends the checkpoint when the work is gone: the agent was restarted', () => {
    const run = new Driven({ a: 'fenced', b: 'fenced' });
    run.answers('a', { type: 'prepared' });
    lost(run, 'a');
    back(run, 'a', false);
    expect(run.sent()).to.deep.equal(['a abort#-', 'b abort#-']);
    run.answers('a', { type: 'aborted', state: 'running' });
    run.answers('b', { type: 'aborted', state: 'running' });
    expect(run.outcome?.kind === 'aborted' && run.outcome.failure).to.include({
      code: 'work-gone',
      member: 'a',
    });
  });

  it('ends the checkpoint at once where it is no failure of the connection, and once anybody was armed', () => {
    const untrue = new Driven({ a: 'fenced', b: 'fenced' });
    untrue.happens({ type: 'memberLost', now: 1, member: 'a', failure, mayReturn: false });
    expect(untrue.state.phase.name).to.equal('aborting');
    const armed = new Driven({ a: 'fenced', b: 'fenced' });
    for (const name of ['a', 'b']) armed.answers(name, { type: 'prepared' });
    lost(armed, 'a');
    expect(armed.state.phase.name).to.equal('aborting');
  });
});

describe('a member whose stream is lost', () => {
  const prepare = { type: 'prepare', checkpoint: 'c', assignment: BY_ITSELF, maintenance: false } as const;
  const closed = { type: 'streamClosed', now: 5 } as const;
  const resumed = { type: 'streamResumed', now: 10 } as const;

  it('goes on preparing, and answers on the next stream', () => {
    const member = new DrivenMember().receives(prepare).happens(closed);
    expect(member.did).to.deep.equal([]);
    expect(mayBeResumed(member.state)).to.equal(true);
    member.happens(resumed);
    expect(member.receives(prepare).did).to.deep.equal([]);
    expect(member.engine({ type: 'prepared' }).did).to.deep.equal(['answer prepared']);
  });

  it('answers as prepared what was prepared meanwhile, and does it once', () => {
    const member = new DrivenMember().receives(prepare).happens(closed).engine({ type: 'prepared' });
    expect(member.happens(resumed).receives(prepare).did).to.deep.equal(['answer prepared']);
  });

  it('answers as failed what failed meanwhile, with the cause, also when it had been prepared before', () => {
    const member = new DrivenMember()
      .receives(prepare)
      .engine({ type: 'prepared' })
      .receives({ type: 'pause', token: first })
      .happens(closed)
      .engine({ type: 'failed', failure })
      .engine({ type: 'aborted', state: 'running' });
    expect(mayBeResumed(member.state)).to.equal(true);
    expect(member.happens(resumed).receives(prepare).effects).to.deep.equal([
      { type: 'answer', answer: { type: 'failed', failure, state: 'running' } },
    ]);
  });

  it('ends what nobody comes back for when the silence is over', () => {
    const member = new DrivenMember().receives(prepare).happens(closed);
    expect(nextMemberDeadline(member.state)).to.equal(1000);
    expect(member.timeIs(1000).did).to.deep.equal(['engine abort']);
    expect(member.engine({ type: 'aborted', state: 'running' }).did).to.deep.equal([
      'answer aborted',
      'closed',
    ]);
    expect(mayBeResumed(member.state)).to.equal(false);
  });

  it('ends at once when the grid is taken over', () => {
    const member = new DrivenMember().receives(prepare).happens(closed);
    expect(member.happens({ type: 'operationEnded', now: 6 }).did).to.deep.equal(['engine abort']);
  });

  it('ends at once where writes are refused from the beginning, and where it was ever armed', () => {
    const refusing = new DrivenMember().receives({ ...prepare, maintenance: true });
    expect(refusing.happens(closed).did).to.deep.equal(['engine abort']);
    const released = new DrivenMember().armed().timeIs(LEASE);
    expect(released.happens(closed).did).to.deep.equal(['engine abort']);
  });
});
