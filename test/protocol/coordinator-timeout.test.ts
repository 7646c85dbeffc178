import { expect } from 'chai';
import { nextDeadline } from '../../shared/protocol/coordinator-machine.ts';
import { Driven, failure } from './driven-coordinator.ts';

// Goal: every phase that waits for a member ends by itself, and names who was late.
// Method: `a` has answered and `b` has not; the clock is set to the deadline, and to just before it.

const limits = { prepareMs: 1000, collectMs: 2000 };
const grid = (): Driven => new Driven({ a: 'fenced', b: 'fenced' }, limits);

/** Each leaves the run where only `b` is waited for. */
const waits: Record<string, { code: string; phase: string; message: string; reach: (run: Driven) => void }> =
  {
    preparing: {
      code: 'prepare-timeout',
      phase: 'prepare',
      message: 'b was not prepared in 1000 ms',
      reach: (run) => run.answers('a', { type: 'prepared' }),
    },
    disarming: {
      code: 'disarm-timeout',
      phase: 'prepare',
      message: 'b was not disarmed in 100 ms',
      reach: (run) => {
        run.answers('a', { type: 'prepared' });
        run.answers('b', { type: 'prepared' });
        run.answers('a', { type: 'disarmed', token: { epoch: 0, counter: 7, attempt: 1 }, failure });
      },
    },
    freezing: {
      code: 'fence-not-reached',
      phase: 'freeze',
      message: 'b did not reach its fence and mark in 100 ms',
      reach: (run) => {
        run.armAll();
        run.marks('a');
      },
    },
    thawing: {
      code: 'thaw-unconfirmed',
      phase: 'thaw',
      message: 'b did not confirm its thaw in 100 ms',
      reach: (run) => {
        run.armAll();
        run.marks('a');
        run.marks('b');
        run.thaws('a');
      },
    },
    collecting: {
      code: 'collect-timeout',
      phase: 'collect',
      message: 'b was not collected in 2000 ms',
      reach: (run) => {
        run.armAll();
        run.marks('a');
        run.marks('b');
        run.thaws('a');
        run.thaws('b');
        run.collects('a');
      },
    },
  };

describe('a member that does not answer in time', () => {
  for (const [name, { code, phase, message, reach }] of Object.entries(waits)) {
    it(`ends the checkpoint while ${name}, and is named`, () => {
      const run = grid();
      reach(run);
      expect(run.state.phase.name).to.equal(name);
      const deadline = nextDeadline(run.state) ?? Number.NaN;
      run.happens({ type: 'timePassed', now: deadline - 1 });
      expect(run.effects).to.deep.equal([]);
      run.happens({ type: 'timePassed', now: deadline });
      expect(run.sent().map((line) => line.slice(0, 'a abort'.length))).to.deep.equal(['a abort', 'b abort']);
      run.answers('a', { type: 'aborted', state: 'running' });
      run.answers('b', { type: 'aborted', state: 'running' });
      expect(run.outcome?.kind === 'aborted' && run.outcome.failure).to.include({
        code,
        phase,
        message,
        member: 'b',
      });
    });
  }

  it('is waited for without end where no limit was given', () => {
    const run = new Driven({ a: 'fenced' });
    expect(nextDeadline(run.state)).to.equal(null);
    run.happens({ type: 'timePassed', now: 1_000_000 });
    expect(run.state.phase.name).to.equal('preparing');
    run.armAll();
    run.marks('a');
    run.thaws('a');
    expect(run.state.phase.name).to.equal('collecting');
    expect(nextDeadline(run.state)).to.equal(null);
  });

  it('is no member but the repository while committing, and nobody at the end', () => {
    const run = new Driven({ a: 'fenced' }, limits);
    run.armAll();
    run.marks('a');
    run.thaws('a');
    run.collects('a');
    expect(nextDeadline(run.state)).to.equal(null);
    run.happens({ type: 'committed', now: run.now });
    expect(nextDeadline(run.state)).to.equal(null);
  });

  it('is told to abort again after a while, and only it, until the time for that is over', () => {
    const run = grid();
    run.armAll();
    run.happens({ type: 'cancelled', now: 100, failure });
    run.answers('a', { type: 'aborted', state: 'running' });
    expect(nextDeadline(run.state)).to.equal(150);
    run.happens({ type: 'timePassed', now: 149 });
    expect(run.effects).to.deep.equal([]);
    run.happens({ type: 'timePassed', now: 150 });
    expect(run.sent()).to.deep.equal(['b abort#1']);
    expect(nextDeadline(run.state)).to.equal(200);
    run.happens({ type: 'timePassed', now: 590 });
    expect(nextDeadline(run.state)).to.equal(600);
    run.happens({ type: 'timePassed', now: 600 });
    expect(run.outcome?.kind).to.equal('maybeFrozen');
  });
});
