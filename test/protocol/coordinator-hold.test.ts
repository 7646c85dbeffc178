import { expect } from 'chai';
import type { FreezeKind } from '../../shared/domain/grid.ts';
import type { Suspension } from '../../shared/domain/messages.ts';
import type { Purpose } from '../../shared/domain/purpose.ts';
import type { Viewing } from '../../shared/domain/viewing.ts';
import { nextDeadline } from '../../shared/protocol/coordinator-machine.ts';
import { Driven, failure, token } from './driven-coordinator.ts';

// Goal: the grid is held from the moment at which the job is told so until it lets go, and what was held is called
// proven only where it was. Method: the machine, event by event, up to the hold and past it; in each place also what
// does not belong there.

const QUIESCE: Purpose = { type: 'quiesce', allowReads: false, timeOutMs: 60_000 };
const FREEZE: Purpose = { type: 'freeze', timeOutMs: 600_000 };
const HELD: Suspension = { held: true };
const TWO: Record<string, FreezeKind> = { a: 'fenced', b: 'fenced' };
const STRANGER: Viewing = {
  streamsAs: null,
  subscriptions: [],
  viewers: [{ kind: 'standby', key: 'stranger', isBlind: false, words: 'a stranger' }],
};

function run(purpose: Purpose, members = TWO): Driven {
  return new Driven(members, {}, {}, purpose);
}

function marked(purpose: Purpose, members = TWO): Driven {
  const one = run(purpose, members);
  one.armAll();
  for (const kind of ['observer', 'fenced', 'instant'])
    for (const name of Object.keys(members)) if (members[name] === kind) one.marks(name);
  return one;
}

/** A quiesce holds when all have marked, a freeze when all have proven that they had. */
function holding(purpose: Purpose): Driven {
  const one = marked(purpose);
  if (purpose.type === 'freeze') for (const name of Object.keys(TWO)) one.thaws(name);
  expect(one.state.phase.name).to.equal('holding');
  return one;
}

function abortAll(one: Driven): void {
  for (const name of Object.keys(TWO)) one.answers(name, { type: 'aborted', state: 'running' });
}

describe('a quiesce', () => {
  it('is there when every member of every round has marked, and nobody is let go of then [S69] [S73]', () => {
    const members = { o: 'observer', a: 'fenced', i: 'instant' } as const;
    const one = run(QUIESCE, members);
    one.armAll();
    one.marks('o');
    one.marks('a');
    expect(one.held).to.equal(undefined);
    one.marks('i');
    const marks = ['o', 'a', 'i'].map((name) => ({ name, mark: null }));
    expect(one.effects).to.deep.equal([{ type: 'holding', held: { token: token(1), marks } }]);
  });

  it('stays until its job lets go, however long that takes; then it is thawed, proven and committed [S73] [S125]', () => {
    const one = holding(QUIESCE);
    expect(nextDeadline(one.state)).to.equal(null);
    one.happens({ type: 'timePassed', now: 3_600_000 });
    expect(one.effects).to.deep.equal([]);
    one.letGo();
    expect(one.sent()).to.deep.equal(['a thaw#1', 'b thaw#1']);
    one.thaws('a');
    one.thaws('b');
    expect(one.sent()).to.deep.equal(['a collect#1', 'b collect#1']);
    one.collects('a');
    one.collects('b');
    one.happens({ type: 'committed', now: one.now });
    expect(one.outcome?.kind).to.equal('committed');
  });

  it('that did not hold until then is invalid at once: what was copied is not copied again [S75]', () => {
    const one = holding(QUIESCE);
    one.letGo();
    one.thaws('a');
    one.thaws('b', { type: 'alreadyResumed', incarnation: 'i', cause: 'its lease ran out' });
    expect(one.sent()).to.deep.equal(['a abort#1', 'b abort#1']);
    abortAll(one);
    expect(one.outcome?.kind === 'invalid' && one.outcome.failure).to.include({
      code: 'already-resumed',
      member: 'b',
      phase: 'thaw',
      message: 'b was not held until the end: it had resumed before the thaw: its lease ran out',
    });
  });

  it('for which nobody could be held yet is tried again', () => {
    const one = run(QUIESCE, { a: 'fenced' });
    one.answers('a', { type: 'prepared' });
    one.answers('a', { type: 'armed', token: token(1), incarnation: 'i', viewing: STRANGER });
    expect(one.sent()).to.deep.equal(['a thaw#1']);
    one.thaws('a');
    expect(one.sent()).to.deep.equal(['a arm#2']);
    one.armAll(2);
    one.marks('a', 2);
    expect(one.held?.token).to.deep.equal(token(2));
  });

  it('gives each member its time from the freeze on, and when that is over nobody stays held [S70] [S71]', () => {
    const one = run(QUIESCE);
    one.now = 5000;
    one.armAll();
    const { now } = one;
    one.marks('a');
    one.happens({ type: 'timePassed', now: now + 99 });
    expect(one.effects).to.deep.equal([]);
    one.happens({ type: 'timePassed', now: now + 100 });
    expect(one.sent()).to.deep.equal(['a abort#1', 'b abort#1']);
    abortAll(one);
    expect(one.outcome?.kind === 'aborted' && one.outcome.failure).to.include({
      code: 'fence-not-reached',
      member: 'b',
    });
  });

  it('waits for a member whose stream is lost before the first arm, for it costs nothing yet', () => {
    const one = run(QUIESCE);
    one.happens({ type: 'memberLost', now: 1, member: 'a', failure, mayReturn: true });
    expect(one.effects.map(({ type }) => type)).to.deep.equal(['note', 'reconnect']);
  });

  it('whose members have all proven that they let go is not called maybe frozen', () => {
    const one = holding(QUIESCE);
    one.letGo();
    one.thaws('a');
    one.thaws('b');
    one.happens({ type: 'memberLost', now: one.now, member: 'a', failure });
    one.answers('b', { type: 'aborted', state: 'running' });
    one.happens({ type: 'timePassed', now: one.now + 500 });
    expect(one.outcome?.kind).to.equal('aborted');
  });
});

describe('a freeze', () => {
  it('is there when its mark is proven, with its clients let go of; the thaw of the mark ends no suspension [S82] [S88]', () => {
    const one = marked(FREEZE);
    expect(one.sent()).to.deep.equal(['a thaw#1', 'b thaw#1']);
    one.thaws('a');
    expect(one.held).to.equal(undefined);
    one.thaws('b');
    expect(one.held?.marks).to.deep.equal([
      { name: 'a', mark: null },
      { name: 'b', mark: null },
    ]);
    expect(one.sent()).to.deep.equal([]);
  });

  it('stays past its time-out: only the word of its job ends it [S85]', () => {
    const one = holding(FREEZE);
    expect(nextDeadline(one.state)).to.equal(null);
    one.happens({ type: 'timePassed', now: 3_600_000 });
    expect(one.effects).to.deep.equal([]);
    one.letGo();
    expect(one.sent()).to.deep.equal(['a collect#1', 'b collect#1']);
  });

  it('is committed when every member says that its write daemon had waited until then [S91]', () => {
    const one = holding(FREEZE);
    one.letGo();
    one.collects('a', HELD);
    one.collects('b', HELD);
    expect(one.effects.map(({ type }) => type)).to.deep.equal(['enter', 'commit']);
  });

  for (const [what, suspension, cause] of [
    [
      'had written already',
      { held: false, cause: 'it was restarted' },
      'b had resumed writing to its database files already: it was restarted',
    ],
    [
      'says nothing of it',
      undefined,
      'b had resumed writing to its database files already: it gave no proof that it was suspended',
    ],
  ] as const) {
    it(`of which one member ${what} is invalid, at once [S91]`, () => {
      const one = holding(FREEZE);
      one.letGo();
      one.collects('a', HELD);
      one.collects('b', suspension);
      expect(one.sent()).to.deep.equal(['a abort#1', 'b abort#1']);
      abortAll(one);
      expect(one.outcome?.kind === 'invalid' && one.outcome.failure).to.include({
        code: 'already-resumed',
        member: 'b',
        message: cause,
      });
    });
  }

  it('whose mark could not be proven marks again, before anything was copied', () => {
    const one = marked(FREEZE);
    one.thaws('a', { type: 'broken', incarnation: 'i', cause: 'a commit got past the fence' });
    one.thaws('b');
    expect(one.held).to.equal(undefined);
    expect(one.sent()).to.deep.equal(['a arm#2', 'b arm#2']);
    one.armAll(2);
    for (const name of ['a', 'b']) one.marks(name, 2);
    for (const name of ['a', 'b']) one.thaws(name, { type: 'held', incarnation: 'i' }, 2);
    expect(one.held?.token).to.deep.equal(token(2));
  });

  it('waits for nobody whose stream is lost: write daemons wait from the prepare on [S89]', () => {
    const one = run(FREEZE);
    one.happens({ type: 'memberLost', now: 1, member: 'a', failure, mayReturn: true });
    expect(one.sent()).to.deep.equal(['b abort#-']);
    expect(one.effects.map(({ type }) => type)).to.include('reconnect');
  });

  it('is over only when whoever may be suspended has said that it runs, also before the first arm [S89] [S92]', () => {
    const one = run(FREEZE);
    one.happens({ type: 'memberLost', now: 1, member: 'a', failure, mayReturn: true });
    one.answers('b', { type: 'aborted', state: 'running' });
    expect(one.outcome).to.equal(undefined);
    one.happens({ type: 'memberReconnected', now: 2, member: 'a' });
    expect(one.sent()).to.deep.equal(['a abort#-']);
    one.answers('a', { type: 'aborted', state: 'running' });
    expect(one.outcome?.kind).to.equal('aborted');
  });

  it('says which members may still be suspended where they cannot be asked, also while they collect [S92]', () => {
    for (const reach of [() => run(FREEZE), () => holding(FREEZE), collecting]) {
      const one = reach();
      one.happens({ type: 'memberLost', now: one.now, member: 'a', failure });
      one.answers('b', { type: 'aborted', state: 'running' });
      one.happens({ type: 'timePassed', now: one.now + 500 });
      expect(one.outcome?.kind === 'maybeFrozen' && one.outcome.failure.members).to.deep.equal([
        { name: 'a', state: 'unknown' },
        { name: 'b', state: 'running' },
      ]);
    }
  });

  it('that was never begun keeps nobody waiting', () => {
    const one = run(FREEZE);
    const idle = { ...one.state, phase: { name: 'idle' }, holdSent: false } as const;
    one.state = idle;
    one.happens({ type: 'memberLost', now: 1, member: 'a', failure });
    one.answers('b', { type: 'aborted', state: 'running' });
    expect(one.outcome?.kind).to.equal('aborted');
  });

  function collecting(): Driven {
    const one = holding(FREEZE);
    one.letGo();
    return one;
  }
});

describe('while a job holds the grid', () => {
  for (const purpose of [QUIESCE, FREEZE]) {
    const ends: Record<string, (one: Driven) => void> = {
      'is lost': (one) =>
        one.happens({ type: 'memberLost', now: one.now, member: 'a', failure, mayReturn: true }),
      fails: (one) => one.answers('a', { type: 'failed', failure, state: 'frozen' }),
      'has ended by itself': (one) => one.answers('a', { type: 'aborted', state: 'running' }),
      refuses: (one) => one.answers('a', { type: 'refused', failure }),
    };
    for (const [what, happen] of Object.entries(ends)) {
      it(`a member that ${what} ends a ${purpose.type} everywhere, and nothing is valid [S71] [S89]`, () => {
        const one = holding(purpose);
        happen(one);
        expect(one.state.phase.name).to.equal('aborting');
        if (one.state.lost.has('a')) one.happens({ type: 'memberReconnected', now: one.now, member: 'a' });
        abortAll(one);
        expect(one.outcome?.kind).to.equal('aborted');
      });
    }

    it(`an interrupt ends a ${purpose.type} everywhere, in the phase in which it came`, () => {
      const one = holding(purpose);
      one.happens({ type: 'cancelled', now: one.now, failure });
      expect(one.sent()).to.deep.equal(['a abort#1', 'b abort#1']);
      abortAll(one);
      expect(one.outcome?.kind === 'aborted' && one.outcome.failure.phase).to.equal('freeze');
    });

    it(`what members say of a ${purpose.type} besides changes nothing`, () => {
      const one = holding(purpose);
      const before = one.state;
      one.marks('a');
      one.thaws('a', { type: 'alreadyResumed', incarnation: 'i', cause: 'late' });
      one.collects('a', HELD);
      one.answers('a', { type: 'prepared' });
      one.happens({ type: 'committed', now: one.now });
      expect(one.state).to.equal(before);
    });

    it(`its word is heard once, and not after the end of a ${purpose.type}`, () => {
      const one = holding(purpose);
      one.letGo();
      const before = one.state;
      one.letGo();
      expect(one.state).to.equal(before);
      expect(one.effects).to.deep.equal([]);
      one.happens({ type: 'cancelled', now: one.now, failure });
      const aborting = one.state;
      one.letGo();
      expect(one.state).to.equal(aborting);
      abortAll(one);
      one.letGo();
      expect(one.effects).to.deep.equal([]);
    });
  }
});

describe('before a job holds the grid', () => {
  for (const purpose of [QUIESCE, FREEZE]) {
    it(`there is nothing of a ${purpose.type} to let go of`, () => {
      for (const reach of [() => run(purpose), arming, freezing]) {
        const one = reach(purpose);
        const before = one.state;
        one.letGo();
        expect(one.state).to.equal(before);
        expect(one.effects).to.deep.equal([]);
      }
    });
  }

  function arming(purpose: Purpose): Driven {
    const one = run(purpose);
    for (const name of ['a', 'b']) one.answers(name, { type: 'prepared' });
    expect(one.state.phase.name).to.equal('arming');
    return one;
  }

  function freezing(purpose: Purpose): Driven {
    const one = run(purpose);
    one.armAll();
    one.marks('a');
    expect(one.state.phase.name).to.equal('freezing');
    return one;
  }
});

describe('a journal checkpoint', () => {
  it('is held for an instant like a checkpoint, and for no job [S79] [S80]', () => {
    const one = marked({ type: 'journalCheckpoint' });
    expect(one.sent()).to.deep.equal(['a thaw#1', 'b thaw#1']);
    one.thaws('a');
    one.thaws('b');
    expect(one.held).to.equal(undefined);
    expect(one.sent()).to.deep.equal(['a collect#1', 'b collect#1']);
    one.letGo();
    expect(one.effects).to.deep.equal([]);
    one.collects('a');
    one.collects('b');
    expect(one.effects.map(({ type }) => type)).to.deep.equal(['enter', 'commit']);
  });

  it('asks each member for what it is, and says so to all of them', () => {
    const purpose = { type: 'journalCheckpoint' } as const;
    const one = run(purpose);
    const asked = one.effects.flatMap((effect) =>
      effect.type === 'send' && effect.command.type === 'prepare' ? [effect.command.purpose] : [],
    );
    expect(asked).to.deep.equal([purpose, purpose]);
  });
});
