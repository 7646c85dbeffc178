import { expect } from 'chai';
import { BY_ITSELF } from '../../shared/domain/assignment.ts';
import { nextDeadline } from '../../shared/protocol/coordinator-machine.ts';
import { Driven, failure, token } from './driven-coordinator.ts';
import { Driven as DrivenMember, first, LEASE, second } from './driven-member.ts';

// Goal: an arm that fails, or is late, costs some seconds and not the copies of hours; nobody stays armed meanwhile;
// and what always fails ends. Method: both machines by hand.

const waitUntilNext = (run: Driven): void => {
  run.now = nextDeadline(run.state) ?? Number.NaN;
  run.happens({ type: 'timePassed', now: run.now });
};

/** `b` fails to arm, and all are disarmed. */
function failOnce(run: Driven, attempt: number): void {
  run.answers('a', { type: 'armed', token: token(attempt), incarnation: 'i' });
  run.answers('b', { type: 'disarmed', token: token(attempt), failure });
}

describe('an arm that fails', () => {
  const prepared = (): Driven => {
    const run = new Driven({ a: 'fenced', b: 'fenced' });
    run.answers('a', { type: 'prepared' });
    run.answers('b', { type: 'prepared' });
    return run;
  };

  it('is tried again under a newer token when every other member is disarmed, without a new prepare', () => {
    const run = prepared();
    failOnce(run, 1);
    expect(run.sent()).to.deep.equal(['a disarm#1']);
    run.answers('a', { type: 'disarmed', token: token(1), failure: null });
    expect(run.sent()).to.deep.equal([]);
    expect(run.effects).to.deep.equal([
      { type: 'note', text: 'b: it broke; tried again in 0.02 s (1 of 3 tries)' },
    ]);
    waitUntilNext(run);
    expect(run.sent()).to.deep.equal(['a arm#2', 'b arm#2']);
  });

  it('is one that is late, too', () => {
    const run = prepared();
    run.answers('a', { type: 'armed', token: token(1), incarnation: 'i' });
    waitUntilNext(run);
    expect(run.sent()).to.deep.equal(['a disarm#1', 'b disarm#1']);
    // It comes in the end, and counts no more.
    run.answers('b', { type: 'armed', token: token(1), incarnation: 'i' });
    run.answers('a', { type: 'disarmed', token: token(1), failure: null });
    run.answers('b', { type: 'disarmed', token: token(1), failure: null });
    waitUntilNext(run);
    run.armAll(2);
    expect(run.sent()).to.deep.equal(['a freeze#2', 'b freeze#2']);
  });

  it('is followed by pauses that grow, and aborts everywhere when the tries are used up', () => {
    const run = prepared();
    const pauses: number[] = [];
    for (const attempt of [1, 2]) {
      failOnce(run, attempt);
      run.answers('a', { type: 'disarmed', token: token(attempt), failure: null });
      pauses.push((nextDeadline(run.state) ?? Number.NaN) - run.now);
      waitUntilNext(run);
    }
    expect(pauses).to.deep.equal([20, 40]);
    failOnce(run, 3);
    expect(run.sent()).to.deep.equal(['a abort#3', 'b abort#3']);
    run.answers('a', { type: 'aborted', state: 'running' });
    run.answers('b', { type: 'aborted', state: 'running' });
    const { outcome } = run;
    expect(outcome?.kind === 'aborted' && outcome.failure).to.deep.include({
      code: 'x',
      message: 'it broke; 3 tries to arm failed',
      member: 'b',
      phase: 'prepare',
    });
  });

  it('takes no attempt from cuts that cannot be proven', () => {
    const run = prepared();
    failOnce(run, 1);
    run.answers('a', { type: 'disarmed', token: token(1), failure: null });
    waitUntilNext(run);
    for (const attempt of [2, 3, 4]) {
      run.armAll(attempt);
      for (const member of ['a', 'b']) run.marks(member, attempt);
      for (const member of ['a', 'b'])
        run.thaws(member, { type: 'broken', incarnation: 'i', cause: 'leak' }, attempt);
    }
    expect(run.state.phase).to.deep.include({ name: 'aborting', kind: 'invalid' });
  });

  it('is taken back on its member, which keeps what it prepared and may be armed again', () => {
    const member = new DrivenMember().receives({
      type: 'prepare',
      checkpoint: 'c',
      assignment: BY_ITSELF,
      maintenance: false,
    });
    member.engine({ type: 'prepared' }).receives({ type: 'arm', token: first, leaseMs: LEASE });
    expect(member.engine({ type: 'failed', failure }).did).to.deep.equal(['engine disarm']);
    expect(member.engine({ type: 'disarmed' }).effects).to.deep.equal([
      { type: 'answer', answer: { type: 'disarmed', token: first, failure } },
    ]);
    // Repeated, each gets the same; under a newer token it is armed.
    expect(member.receives({ type: 'arm', token: first, leaseMs: LEASE }).did).to.deep.equal([
      'answer disarmed',
    ]);
    expect(member.receives({ type: 'disarm', token: first }).did).to.deep.equal(['answer disarmed']);
    expect(member.receives({ type: 'arm', token: second, leaseMs: LEASE }).did).to.deep.equal([
      'record',
      'engine arm',
    ]);
  });

  describe('for a cause that no later try finds otherwise', () => {
    const final = { ...failure, code: 'role-changed', isFinal: true };
    const arming = (): DrivenMember =>
      new DrivenMember()
        .receives({ type: 'prepare', checkpoint: 'c', assignment: BY_ITSELF, maintenance: false })
        .engine({ type: 'prepared' })
        .receives({ type: 'arm', token: first, leaseMs: LEASE });

    it('ends the operation on its member at once, which says that it failed and that it runs', () => {
      for (const member of [arming(), arming().receives({ type: 'disarm', token: first })]) {
        expect(member.engine({ type: 'failed', failure: final }).did).to.deep.equal([
          'answer failed',
          'engine abort',
        ]);
        expect(member.effects[0]).to.deep.equal({
          type: 'answer',
          answer: { type: 'failed', failure: final, state: 'running' },
        });
      }
    });

    it('aborts everywhere without another try, whatever the others are at', () => {
      for (const isDisarming of [false, true]) {
        const run = prepared();
        if (isDisarming) run.answers('a', { type: 'disarmed', token: token(1), failure });
        run.answers('b', { type: 'failed', failure: final, state: 'running' });
        expect(run.sent()).to.deep.equal(['a abort#1', 'b abort#1']);
        run.answers('a', { type: 'aborted', state: 'running' });
        run.answers('b', { type: 'aborted', state: 'running' });
        expect(run.outcome?.kind === 'aborted' && run.outcome.failure).to.deep.include({
          code: 'role-changed',
          message: 'it broke',
          member: 'b',
          phase: 'prepare',
        });
      }
    });
  });

  it('is waited for when the attempt is given up meanwhile, no longer than its lease, and then taken back', () => {
    const arming = (): DrivenMember =>
      new DrivenMember()
        .receives({ type: 'prepare', checkpoint: 'c', assignment: BY_ITSELF, maintenance: false })
        .engine({ type: 'prepared' })
        .receives({ type: 'arm', token: first, leaseMs: LEASE })
        .receives({ type: 'disarm', token: first });
    expect(arming().did).to.deep.equal([]);
    expect(arming().engine({ type: 'armed', incarnation: 'i' }).did).to.deep.equal(['engine disarm']);
    expect(arming().timeIs(LEASE).did).to.deep.equal(['engine abort']);
  });

  it('that comes after its disarm is not done', () => {
    const member = new DrivenMember()
      .receives({ type: 'prepare', checkpoint: 'c', assignment: BY_ITSELF, maintenance: false })
      .engine({ type: 'prepared' })
      .receives({ type: 'disarm', token: first });
    expect(member.did).to.deep.equal(['answer disarmed']);
    expect(member.receives({ type: 'arm', token: first, leaseMs: LEASE }).did).to.deep.equal([
      'answer disarmed',
    ]);
  });

  it('lets a stream that closes abort at once all the same', () => {
    const member = new DrivenMember().armed().receives({ type: 'disarm', token: first });
    member.engine({ type: 'disarmed' });
    expect(member.happens({ type: 'streamClosed', now: 5 }).did).to.deep.equal(['engine abort']);
  });
});

describe('observers', () => {
  it('have paused before anybody is armed, in each attempt, and are waited for with patience', () => {
    const run = new Driven({ node: 'fenced', standby: 'observer' });
    run.answers('standby', { type: 'prepared' });
    run.answers('node', { type: 'prepared' });
    expect(run.sent()).to.deep.equal(['standby pause#1']);
    run.happens({ type: 'timePassed', now: 250 });
    expect(run.effects).to.deep.equal([]);
    run.answers('standby', { type: 'paused', token: token(1) });
    expect(run.sent()).to.deep.equal(['node arm#1', 'standby arm#1']);
    run.armAll();
    run.marks('standby');
    run.marks('node');
    run.thaws('standby');
    run.thaws('node', { type: 'broken', incarnation: 'i', cause: 'leak' });
    expect(run.sent()).to.deep.equal(['standby pause#2']);
  });

  it('that do not pause in time end the checkpoint, and are named', () => {
    const run = new Driven({ node: 'fenced', standby: 'observer' });
    run.answers('standby', { type: 'prepared' });
    run.answers('node', { type: 'prepared' });
    waitUntilNext(run);
    for (const member of ['node', 'standby']) run.answers(member, { type: 'aborted', state: 'running' });
    expect(run.outcome?.kind === 'aborted' && run.outcome.failure).to.include({
      code: 'pause-timeout',
      member: 'standby',
      message: 'standby did not stop showing new data in 300 ms',
    });
  });
});
