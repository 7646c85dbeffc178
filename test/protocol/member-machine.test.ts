import { expect } from 'chai';
import { BY_ITSELF } from '../../shared/domain/assignment.ts';
import { nextMemberDeadline } from '../../shared/protocol/member-machine.ts';
import { Driven, first, held, LEASE, marked, second } from './driven-member.ts';

// Goal: each step of a member, one by one. Method: events in, effects out; time is a number.

describe('a member during a checkpoint', () => {
  it('records its token before the engine arms', () => {
    const member = new Driven()
      .receives({ type: 'prepare', checkpoint: 'c', assignment: BY_ITSELF, maintenance: false })
      .engine({ type: 'prepared' });
    expect(member.receives({ type: 'arm', token: first, leaseMs: LEASE }).did).to.deep.equal([
      'record',
      'engine arm',
    ]);
  });

  it('goes through a whole checkpoint', () => {
    const member = new Driven().frozen();
    expect(member.did).to.deep.equal(['answer marked']);
    expect(member.receives({ type: 'thaw', token: first }).did).to.deep.equal(['engine thaw']);
    expect(member.engine({ type: 'released', thawMs: 1 }).did).to.deep.equal(['answer released']);
    expect(member.engine(held).did).to.deep.equal(['answer thawed']);
    expect(member.receives({ type: 'collect', token: first }).did).to.deep.equal(['engine collect']);
    expect(
      member.engine({ type: 'collected', manifestDigest: 'd', sizeBytes: 1, storedBytes: 1 }).did,
    ).to.deep.equal(['answer collected']);
  });

  it('refuses tokens that are not newer than the highest it has recorded', () => {
    const member = new Driven(second)
      .receives({ type: 'prepare', checkpoint: 'c', assignment: BY_ITSELF, maintenance: false })
      .engine({ type: 'prepared' });
    for (const token of [first, second]) {
      expect(member.receives({ type: 'arm', token, leaseMs: LEASE }).did).to.deep.equal(['answer refused']);
    }
  });

  it('refuses a freeze of another token, and one after the thaw of the same', () => {
    const member = new Driven().armed();
    expect(member.receives({ type: 'freeze', token: second, leaseMs: LEASE }).did).to.deep.equal([
      'answer refused',
    ]);
    member
      .receives({ type: 'thaw', token: first })
      .engine({ type: 'thawed', proof: { type: 'broken', incarnation: 'i', cause: 'never marked' } });
    expect(member.receives({ type: 'freeze', token: first, leaseMs: LEASE }).did).to.deep.equal([
      'answer refused',
    ]);
  });

  it('answers a repeated command with the first answer, and does nothing twice', () => {
    const member = new Driven().frozen();
    const answer = member.effects[0];
    expect(member.receives({ type: 'freeze', token: first, leaseMs: LEASE }).effects).to.deep.equal([answer]);
    member.receives({ type: 'thaw', token: first });
    expect(member.receives({ type: 'thaw', token: first }).did).to.deep.equal([]);
    member.engine(held);
    const thawed = member.effects[0];
    expect(member.receives({ type: 'thaw', token: first }).effects).to.deep.equal([thawed]);
  });

  it('lets go by itself when its lease runs out, and then never says that it held', () => {
    const member = new Driven().frozen();
    expect(nextMemberDeadline(member.state)).to.equal(LEASE);
    expect(member.timeIs(LEASE).did).to.deep.equal(['engine thaw']);
    member.engine(held);
    const { effects } = member.receives({ type: 'thaw', token: first });
    expect(effects).to.deep.equal([
      {
        type: 'answer',
        answer: {
          type: 'thawed',
          token: first,
          proof: { type: 'alreadyResumed', incarnation: 'i', cause: 'its lease of 100 ms ran out' },
        },
      },
    ]);
  });

  it('does not say that it held when the thaw comes after the lease, noticed or not', () => {
    const member = new Driven().frozen();
    member.now = LEASE + 1;
    member.receives({ type: 'thaw', token: first });
    member.engine(held);
    const [effect] = member.effects;
    expect(effect?.type === 'answer' && effect.answer.type === 'thawed' && effect.answer.proof.type).to.equal(
      'alreadyResumed',
    );
  });

  it('arms anew after its lease ran out: what was prepared stays', () => {
    const member = new Driven().frozen().timeIs(LEASE).engine(held);
    expect(member.receives({ type: 'arm', token: second, leaseMs: LEASE }).did).to.deep.equal([
      'record',
      'engine arm',
    ]);
  });

  it('takes any word for a renewal of its lease, but not of one that has run out', () => {
    const member = new Driven().frozen();
    member.happens({ type: 'messageReceived', now: 60 });
    expect(nextMemberDeadline(member.state)).to.equal(160);
    member.happens({ type: 'messageReceived', now: 170 });
    expect(member.timeIs(170).did).to.deep.equal(['engine thaw']);
  });

  for (const phase of ['armed', 'frozen', 'thawing'] as const) {
    it(`aborts at once when its stream closes while ${phase}`, () => {
      const member = new Driven();
      if (phase === 'armed') member.armed();
      else member.frozen();
      if (phase === 'thawing') member.receives({ type: 'thaw', token: first });
      expect(member.happens({ type: 'streamClosed', now: 5 }).did).to.deep.equal(['engine abort']);
      expect(member.engine({ type: 'aborted', state: 'running' }).did).to.deep.equal([
        'answer aborted',
        'closed',
      ]);
    });
  }

  it('does not wait for an engine that outlives its lease in the freeze', () => {
    const member = new Driven().armed().receives({ type: 'freeze', token: first, leaseMs: LEASE });
    expect(member.timeIs(LEASE).did).to.deep.equal(['engine abort']);
    expect(member.engine({ type: 'aborted', state: 'running' }).did).to.deep.equal(['answer aborted']);
    expect(member.receives({ type: 'abort', token: first }).did).to.deep.equal(['answer aborted']);
  });

  it('lets go by itself when its engine fails, and says so', () => {
    const member = new Driven().armed().receives({ type: 'freeze', token: first, leaseMs: LEASE });
    member.engine({ type: 'failed', failure: { code: 'x', message: 'm', hint: 'h' } });
    expect(member.did).to.deep.equal(['answer failed', 'engine abort']);
  });

  it('ends an operation whose coordinator has been silent for too long', () => {
    const member = new Driven()
      .receives({ type: 'prepare', checkpoint: 'c', assignment: BY_ITSELF, maintenance: false })
      .engine({ type: 'prepared' });
    expect(member.timeIs(1000).did).to.deep.equal(['engine abort']);
  });

  it('answers an abort for something it knows nothing of, and again the same', () => {
    const member = new Driven().receives({ type: 'abort', token: null });
    expect(member.did).to.deep.equal(['engine abort']);
    expect(member.engine({ type: 'aborted', state: 'running' }).effects).to.deep.equal([
      { type: 'answer', answer: { type: 'aborted', state: 'running' } },
    ]);
    expect(member.receives({ type: 'abort', token: null }).did).to.deep.equal(['answer aborted']);
  });

  it('ignores what an engine call answers after an abort has overtaken it', () => {
    const member = new Driven().armed().receives({ type: 'freeze', token: first, leaseMs: LEASE });
    const late = member.state.nextCall - 1;
    member.receives({ type: 'abort', token: first });
    expect(member.happens({ type: 'engineAnswered', now: 9, call: late, result: marked }).did).to.deep.equal(
      [],
    );
  });

  it('does not collect what was not held', () => {
    const member = new Driven().frozen().receives({ type: 'thaw', token: first });
    member.engine({ type: 'thawed', proof: { type: 'broken', incarnation: 'i', cause: 'leak' } });
    expect(member.receives({ type: 'collect', token: first }).did).to.deep.equal(['answer refused']);
  });
});
