import { expect } from 'chai';
import { BY_ITSELF } from '../../shared/domain/assignment.ts';
import { nextMemberDeadline } from '../../shared/protocol/member-machine.ts';
import { Driven, first, held, LEASE, marked } from './driven-member.ts';

// Goal: an operation ends on a member whatever happens, and who is to be told is told. Method: aborts, closed
// streams and failures at each moment; the engine's abort answers when the test lets it.

const aborted = { type: 'aborted', state: 'running' } as const;
const closes = { type: 'streamClosed', now: 5 } as const;

describe('the end of an operation on a member', () => {
  it('is waited for without a deadline, and so is the beginning', () => {
    const member = new Driven();
    expect(nextMemberDeadline(member.state)).to.equal(null);
    member.receives({ type: 'abort', token: null });
    expect(nextMemberDeadline(member.state)).to.equal(null);
    member.engine(aborted);
    expect(nextMemberDeadline(member.state)).to.equal(null);
    member.happens(closes);
    expect(nextMemberDeadline(member.state)).to.equal(null);
    expect(member.timeIs(1_000_000).did).to.deep.equal([]);
  });

  it('is told to a coordinator that asks while it is under way, once', () => {
    const member = new Driven()
      .frozen()
      .timeIs(LEASE)
      .timeIs(2 * LEASE);
    expect(member.did).to.deep.equal(['engine abort']);
    expect(member.receives({ type: 'abort', token: first }).did).to.deep.equal([]);
    expect(member.receives({ type: 'abort', token: first }).did).to.deep.equal([]);
    expect(member.engine({ type: 'aborted', state: 'stopped' }).effects).to.deep.equal([
      { type: 'answer', answer: { type: 'aborted', state: 'stopped' } },
    ]);
  });

  it('is told before the stream is called closed, when that closes while it is under way', () => {
    const member = new Driven().frozen().receives({ type: 'abort', token: first });
    expect(member.happens(closes).did).to.deep.equal([]);
    expect(member.engine(aborted).did).to.deep.equal(['answer aborted', 'closed']);
  });

  it('needs no engine where nothing was begun, or where all is ended', () => {
    expect(new Driven().happens(closes).did).to.deep.equal(['closed']);
    const ended = new Driven().receives({ type: 'abort', token: null }).engine(aborted);
    expect(ended.happens(closes).did).to.deep.equal(['closed']);
  });

  it('is the end: nothing is said or done after the stream has closed', () => {
    const member = new Driven().happens(closes);
    expect(member.happens(closes).did).to.deep.equal([]);
    expect(member.receives({ type: 'abort', token: null }).did).to.deep.equal([]);
    expect(member.engine(marked).did).to.deep.equal([]);
  });

  const failure = { code: 'x', message: 'm', hint: 'h' };
  const failing: [string, () => Driven, string][] = [
    [
      'preparing',
      () =>
        new Driven().receives({
          type: 'prepare',
          checkpoint: 'c',
          assignment: BY_ITSELF,
          maintenance: false,
        }),
      'running',
    ],
    [
      'freezing',
      () => new Driven().armed().receives({ type: 'freeze', token: first, leaseMs: LEASE }),
      'frozen',
    ],
    ['thawing', () => new Driven().frozen().receives({ type: 'thaw', token: first }), 'frozen'],
    ['releasing', () => new Driven().frozen().timeIs(LEASE), 'frozen'],
    [
      'collecting',
      () =>
        new Driven()
          .frozen()
          .receives({ type: 'thaw', token: first })
          .engine(held)
          .receives({ type: 'collect', token: first }),
      'running',
    ],
  ];
  for (const [phase, reach, state] of failing) {
    it(`comes when its engine fails while ${phase}, and the coordinator hears that it may be ${state}`, () => {
      const member = reach();
      expect(member.state.phase.name).to.equal(phase);
      const number = member.state.nextCall;
      expect(member.engine({ type: 'failed', failure }).effects).to.deep.equal([
        { type: 'answer', answer: { type: 'failed', failure, state } },
        { type: 'engine', call: number, action: { type: 'abort' } },
      ]);
    });
  }

  it('is begun again when it failed, and whoever waits for it still hears of it', () => {
    const member = new Driven().frozen().receives({ type: 'abort', token: first }).happens(closes);
    expect(member.engine({ type: 'failed', failure }).did).to.deep.equal(['answer failed', 'engine abort']);
    expect(member.engine(aborted).did).to.deep.equal(['answer aborted', 'closed']);
  });
});
