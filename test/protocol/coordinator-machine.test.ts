import { expect } from 'chai';
import type { ThawProof } from '../../shared/domain/messages.ts';
import { nextDeadline } from '../../shared/protocol/coordinator-machine.ts';
import { Driven, failure, token } from './driven-coordinator.ts';

// Goal: each step of the coordinator, one by one. Method: events in, effects out; time is a number.

describe('the coordinator of a checkpoint', () => {
  it('freezes observers first, then all fenced at once, then the instant, and thaws when all have marked', () => {
    const run = new Driven({ primary: 'fenced', other: 'fenced', standby: 'observer', etcd: 'instant' });
    run.armAll();
    expect(run.sent()).to.deep.equal(['standby freeze#1']);
    run.marks('standby');
    expect(run.sent()).to.deep.equal(['primary freeze#1', 'other freeze#1']);
    run.marks('other');
    expect(run.sent()).to.deep.equal([]);
    run.marks('primary');
    expect(run.sent()).to.deep.equal(['etcd freeze#1']);
    run.marks('etcd');
    expect(run.sent()).to.deep.equal(['primary thaw#1', 'other thaw#1', 'standby thaw#1', 'etcd thaw#1']);
  });

  it('measures the window from the first fence asked for to the last release', () => {
    const run = new Driven({ a: 'fenced', b: 'fenced' });
    run.armAll();
    const fenced = run.now;
    run.marks('a');
    run.marks('b');
    run.answers('a', { type: 'released', token: token(1), thawMs: 1 });
    run.answers('b', { type: 'released', token: token(1), thawMs: 1 });
    const released = run.now;
    run.now += 40;
    run.thaws('a');
    run.thaws('b');
    for (const name of ['a', 'b'])
      run.answers(name, {
        type: 'collected',
        token: token(1),
        manifestDigest: name,
        sizeBytes: 1,
        storedBytes: 1,
      });
    const commit = run.effects.find((effect) => effect.type === 'commit');
    expect(commit?.type === 'commit' && commit.proof.windowMs).to.equal(released - fenced);
    run.happens({ type: 'committed', now: 999 });
    expect(run.outcome?.kind).to.equal('committed');
  });

  const proofs: Record<string, ThawProof> = {
    'a leak': { type: 'broken', incarnation: 'i', cause: 'transaction 7 was committed past the fence' },
    'a lease that ran out': { type: 'alreadyResumed', incarnation: 'i', cause: 'its lease ran out' },
    'another process': { type: 'held', incarnation: 'restarted' },
  };
  for (const [what, proof] of Object.entries(proofs)) {
    it(`takes ${what} for an invalid cut: arms anew without a new prepare, three times, and commits nothing [S75]`, () => {
      const run = new Driven({ a: 'fenced', b: 'fenced' });
      for (const attempt of [1, 2, 3]) {
        run.armAll(attempt);
        run.marks('a', attempt);
        run.marks('b', attempt);
        run.thaws('a', undefined, attempt);
        run.thaws('b', proof, attempt);
        if (attempt < 3) expect(run.sent()).to.deep.equal([`a arm#${attempt + 1}`, `b arm#${attempt + 1}`]);
      }
      expect(run.sent()).to.deep.equal(['a abort#3', 'b abort#3']);
      run.answers('a', { type: 'aborted', state: 'running' });
      run.answers('b', { type: 'aborted', state: 'running' });
      expect(run.outcome?.kind).to.equal('invalid');
      expect(run.outcome?.kind === 'invalid' && run.outcome.failure.member).to.equal('b');
    });
  }

  it('ignores answers of an older attempt', () => {
    const run = new Driven({ a: 'fenced' });
    run.armAll();
    run.marks('a');
    run.thaws('a', { type: 'broken', incarnation: 'i', cause: 'leak' });
    run.answers('a', { type: 'armed', token: token(1), incarnation: 'i' });
    expect(run.sent()).to.deep.equal([]);
    run.armAll(2);
    run.marks('a', 1);
    expect(run.sent()).to.deep.equal([]);
    run.marks('a', 2);
    run.thaws('a', { type: 'held', incarnation: 'i' }, 1);
    expect(run.effects).to.deep.equal([]);
  });

  it('aborts everywhere at the first failure, and names it with its member and phase [S89] [S93]', () => {
    const run = new Driven({ a: 'fenced', b: 'fenced' });
    run.armAll();
    run.marks('a');
    run.answers('b', { type: 'failed', failure, state: 'frozen' });
    expect(run.sent()).to.deep.equal(['a abort#1', 'b abort#1']);
    run.answers('a', { type: 'failed', failure: { ...failure, message: 'a second one' }, state: 'running' });
    run.answers('a', { type: 'aborted', state: 'running' });
    expect(run.outcome).to.equal(undefined);
    run.answers('b', { type: 'aborted', state: 'stopped' });
    expect(run.outcome).to.deep.equal({
      kind: 'aborted',
      failure: {
        ...failure,
        member: 'b',
        phase: 'freeze',
        members: [
          { name: 'a', state: 'running' },
          { name: 'b', state: 'stopped' },
        ],
      },
    });
  });

  it('says which members may still be frozen when a thaw cannot be confirmed [S92]', () => {
    const run = new Driven({ a: 'fenced', b: 'fenced' });
    run.armAll();
    run.happens({ type: 'memberLost', now: 10, member: 'b', failure });
    expect(run.effects).to.deep.include({ type: 'reconnect', member: 'b' });
    run.answers('a', { type: 'aborted', state: 'running' });
    run.happens({ type: 'timePassed', now: nextDeadline(run.state) ?? 0 });
    expect(run.outcome).to.equal(undefined);
    run.happens({ type: 'timePassed', now: 600 });
    expect(run.outcome?.kind).to.equal('maybeFrozen');
    expect(run.outcome?.kind === 'maybeFrozen' && run.outcome.failure.members).to.deep.equal([
      { name: 'a', state: 'running' },
      { name: 'b', state: 'unknown' },
    ]);
  });

  it('asks a member that came back to abort, and is done when it has', () => {
    const run = new Driven({ a: 'fenced' });
    run.armAll();
    run.happens({ type: 'memberLost', now: 10, member: 'a', failure });
    run.happens({ type: 'memberReconnected', now: 20, member: 'a' });
    expect(run.sent()).to.deep.equal(['a abort#1']);
    run.answers('a', { type: 'aborted', state: 'running' });
    expect(run.outcome?.kind).to.equal('aborted');
  });

  it('does not wait for a lost member that was never armed', () => {
    const run = new Driven({ a: 'fenced', b: 'fenced' });
    run.happens({ type: 'memberLost', now: 1, member: 'b', failure });
    run.answers('a', { type: 'aborted', state: 'running' });
    expect(run.outcome?.kind).to.equal('aborted');
  });

  it('names the member whose fence was not reached in time', () => {
    const run = new Driven({ a: 'fenced', b: 'fenced' });
    run.armAll();
    run.marks('a');
    run.happens({ type: 'timePassed', now: run.now + 200 });
    const { phase } = run.state;
    expect(phase.name === 'aborting' && phase.failure).to.include({
      code: 'fence-not-reached',
      member: 'b',
      phase: 'freeze',
    });
  });

  it('lets the commit object decide when it is interrupted while committing', () => {
    const run = new Driven({ a: 'fenced' });
    run.armAll();
    run.marks('a');
    run.thaws('a');
    run.answers('a', {
      type: 'collected',
      token: token(1),
      manifestDigest: 'a',
      sizeBytes: 1,
      storedBytes: 1,
    });
    run.happens({ type: 'cancelled', now: 50, failure });
    expect(run.effects).to.deep.equal([]);
    run.happens({ type: 'committed', now: 60 });
    expect(run.outcome?.kind).to.equal('committed');
  });

  it('aborts when the commit fails', () => {
    const run = new Driven({ a: 'fenced' });
    run.armAll();
    run.marks('a');
    run.thaws('a');
    run.answers('a', {
      type: 'collected',
      token: token(1),
      manifestDigest: 'a',
      sizeBytes: 1,
      storedBytes: 1,
    });
    run.happens({ type: 'commitFailed', now: 50, failure });
    expect(run.sent()).to.deep.equal(['a abort#1']);
    run.answers('a', { type: 'aborted', state: 'running' });
    expect(run.outcome?.kind === 'aborted' && run.outcome.failure.phase).to.equal('commit');
  });
});
