import { expect } from 'chai';
import type { MemberAnswer } from '../../shared/domain/messages.ts';
import { initialCoordinator, stepCoordinator } from '../../shared/protocol/coordinator-machine.ts';
import { Driven, failure, token } from './driven-coordinator.ts';

// Goal: whatever ends a checkpoint, it ends everywhere, and the failure says what and where.
// Method: each cause in each phase; then what may still happen while the abort is on its way.

const phases: Record<string, { phase: string; token: string; reach: (run: Driven) => void }> = {
  preparing: { phase: 'prepare', token: '#-', reach: () => undefined },
  arming: {
    phase: 'prepare',
    token: '#1',
    reach: (run) => {
      run.answers('a', { type: 'prepared' });
      run.answers('b', { type: 'prepared' });
    },
  },
  freezing: { phase: 'freeze', token: '#1', reach: (run) => run.armAll() },
  thawing: {
    phase: 'thaw',
    token: '#1',
    reach: (run) => {
      run.armAll();
      run.marks('a');
      run.marks('b');
    },
  },
  collecting: {
    phase: 'collect',
    token: '#1',
    reach: (run) => {
      run.armAll();
      run.marks('a');
      run.marks('b');
      run.thaws('a');
      run.thaws('b');
    },
  },
};

const causes: Record<string, { code: string; member: string | undefined; happen: (run: Driven) => void }> = {
  'a member that failed': {
    code: 'x',
    member: 'b',
    happen: (run) => run.answers('b', { type: 'failed', failure, state: 'frozen' }),
  },
  'a member that refused': {
    code: 'x',
    member: 'b',
    happen: (run) => run.answers('b', { type: 'refused', failure }),
  },
  'a member that ended by itself': {
    code: 'member-aborted',
    member: 'b',
    happen: (run) => run.answers('b', { type: 'aborted', state: 'running' }),
  },
  'whoever cancelled it': {
    code: 'x',
    member: undefined,
    happen: (run) => run.happens({ type: 'cancelled', now: run.now, failure }),
  },
};

function twoMembers(): Driven {
  return new Driven({ a: 'fenced', b: 'fenced' });
}

function aborting(): Driven {
  const run = twoMembers();
  run.armAll();
  run.happens({ type: 'cancelled', now: 100, failure });
  return run;
}

const aborted: MemberAnswer = { type: 'aborted', state: 'running' };

describe('the abort of a checkpoint', () => {
  for (const [name, { phase, token: sentWith, reach }] of Object.entries(phases)) {
    for (const [who, { code, member, happen }] of Object.entries(causes)) {
      it(`goes to all, and tells of ${who} while ${name}`, () => {
        const run = twoMembers();
        reach(run);
        expect(run.state.phase.name).to.equal(name);
        happen(run);
        expect(run.sent()).to.deep.equal([`a abort${sentWith}`, `b abort${sentWith}`]);
        run.answers('b', aborted);
        run.answers('a', aborted);
        expect(run.outcome?.kind).to.equal('aborted');
        if (run.outcome?.kind !== 'aborted') return;
        expect(run.outcome.failure).to.include({ code, phase });
        expect(run.outcome.failure.member).to.equal(member);
      });
    }
  }

  it('needs no second word of a member that ended by itself', () => {
    const run = twoMembers();
    run.armAll();
    run.answers('a', aborted);
    expect(run.outcome).to.equal(undefined);
    run.answers('b', aborted);
    expect(run.outcome?.kind).to.equal('aborted');
    const alone = new Driven({ a: 'fenced' });
    alone.answers('a', aborted);
    expect(alone.outcome?.kind).to.equal('aborted');
  });

  it('comes before the start when a stream was lost by then: nobody else will ever say so', () => {
    const run = initialCoordinator(twoMembers().state.config);
    const lost = stepCoordinator(run, { type: 'memberLost', now: 0, member: 'a', failure });
    expect(lost.effects).to.deep.equal([
      { type: 'send', member: 'b', command: { type: 'abort', token: null } },
    ]);
    const started = stepCoordinator(lost.state, { type: 'started', now: 0 });
    expect(started).to.deep.equal({ state: lost.state, effects: [] });
    const answer = { type: 'answerReceived', now: 0, member: 'b', answer: aborted } as const;
    const [finish] = stepCoordinator(started.state, answer).effects;
    expect(finish).to.have.nested.property('outcome.kind', 'aborted');
    expect(finish)
      .to.have.nested.property('outcome.failure')
      .that.includes({ member: 'a', phase: 'prepare' });
  });

  it('before the start is over at once for members whose streams were lost, and nothing was asked of them', () => {
    const run = initialCoordinator(twoMembers().state.config);
    const early = stepCoordinator(run, { type: 'answerReceived', now: 0, member: 'b', answer: aborted });
    expect(early).to.deep.equal({ state: run, effects: [] });
    const lost = stepCoordinator(run, { type: 'memberLost', now: 0, member: 'a', failure });
    const alsoLost = stepCoordinator(lost.state, { type: 'memberLost', now: 0, member: 'b', failure });
    expect(alsoLost.effects.map(({ type }) => type)).to.deep.equal(['finish']);
  });

  it('hears nothing but confirmations', () => {
    const run = aborting();
    const before = run.state;
    run.marks('a');
    run.answers('a', { type: 'refused', failure });
    run.answers('b', { type: 'armed', token: token(1), incarnation: 'i' });
    run.happens({ type: 'commitFailed', now: 101, failure });
    expect(run.state).to.equal(before);
    expect(run.effects).to.deep.equal([]);
  });

  it('connects anew to a member that it needs to hear from, and not to one that has confirmed', () => {
    const run = aborting();
    run.answers('a', aborted);
    run.happens({ type: 'memberLost', now: 101, member: 'a', failure });
    expect(run.effects).to.deep.equal([]);
    run.happens({ type: 'memberLost', now: 102, member: 'b', failure });
    expect(run.effects).to.deep.equal([{ type: 'reconnect', member: 'b' }]);
    // Nothing is sent to a stream that is gone.
    run.happens({ type: 'timePassed', now: 150 });
    expect(run.sent()).to.deep.equal([]);
    run.happens({ type: 'memberReconnected', now: 160, member: 'b' });
    expect(run.sent()).to.deep.equal(['b abort#1']);
    run.happens({ type: 'timePassed', now: 200 });
    expect(run.sent()).to.deep.equal(['b abort#1']);
  });

  it('is over when the last that could be asked is lost, as long as nobody was armed', () => {
    const run = twoMembers();
    run.happens({ type: 'cancelled', now: 1, failure });
    run.happens({ type: 'memberLost', now: 2, member: 'a', failure });
    expect(run.outcome).to.equal(undefined);
    run.happens({ type: 'memberLost', now: 3, member: 'b', failure });
    expect(run.outcome?.kind === 'aborted' && run.outcome.failure.members).to.deep.equal([
      { name: 'a', state: 'running' },
      { name: 'b', state: 'running' },
    ]);
  });

  it('is given up when it is cancelled again, and says who may still be frozen and what to do', () => {
    const run = aborting();
    run.answers('a', aborted);
    run.happens({ type: 'cancelled', now: 110, failure });
    expect(run.outcome?.kind === 'maybeFrozen' && run.outcome.failure).to.deep.equal({
      code: 'x',
      message: 'it broke; the thaw of b is not confirmed',
      hint: 'each thaws by itself when its lease ends, at the latest when its agent starts: make sure with stillpoint grid status; mend it',
      phase: 'freeze',
      members: [
        { name: 'a', state: 'running' },
        { name: 'b', state: 'unknown' },
      ],
    });
    const { state } = run;
    run.happens({ type: 'cancelled', now: 120, failure });
    expect(run.effects).to.deep.equal([]);
    expect(run.state).to.equal(state);
  });

  it('that is given up before anybody was armed calls nobody maybe frozen', () => {
    const again = twoMembers();
    again.happens({ type: 'cancelled', now: 1, failure });
    again.happens({ type: 'cancelled', now: 2, failure });
    const tooLate = twoMembers();
    tooLate.happens({ type: 'cancelled', now: 1, failure });
    tooLate.happens({ type: 'timePassed', now: 501 });
    for (const { outcome } of [again, tooLate]) {
      expect(outcome).to.deep.equal({
        kind: 'aborted',
        failure: {
          ...failure,
          phase: 'prepare',
          members: [
            { name: 'a', state: 'running' },
            { name: 'b', state: 'running' },
          ],
        },
      });
    }
  });

  it('that is given up when all have proven their thaw calls nobody maybe frozen', () => {
    const run = twoMembers();
    run.armAll();
    for (const name of ['a', 'b']) run.marks(name);
    for (const name of ['a', 'b']) run.thaws(name);
    run.happens({ type: 'memberLost', now: run.now, member: 'b', failure });
    expect(run.effects).to.deep.include({ type: 'reconnect', member: 'b' });
    run.answers('a', aborted);
    expect(run.outcome).to.equal(undefined);
    run.happens({ type: 'timePassed', now: run.now + 501 });
    expect(run.outcome?.kind === 'aborted' && run.outcome.failure.members).to.deep.equal([
      { name: 'a', state: 'running' },
      { name: 'b', state: 'running' },
    ]);
  });

  it('needs every word when one has not proven its thaw, also of who has and is lost', () => {
    const run = twoMembers();
    run.armAll();
    for (const name of ['a', 'b']) run.marks(name);
    run.thaws('a');
    run.happens({ type: 'memberLost', now: run.now, member: 'a', failure });
    run.answers('b', aborted);
    expect(run.outcome).to.equal(undefined);
    run.happens({ type: 'cancelled', now: run.now, failure });
    expect(run.outcome).to.have.property('kind', 'maybeFrozen');
  });

  it('keeps the word of the failure itself about where and in whom it happened', () => {
    const run = twoMembers();
    run.answers('a', {
      type: 'failed',
      failure: { ...failure, member: 'standby-of-a', phase: 'thaw' },
      state: 'running',
    });
    run.answers('a', aborted);
    run.answers('b', aborted);
    expect(run.outcome?.kind === 'aborted' && run.outcome.failure).to.include({
      member: 'standby-of-a',
      phase: 'thaw',
    });
  });
});
