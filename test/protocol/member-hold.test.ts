import { expect } from 'chai';
import type { Purpose } from '../../shared/domain/purpose.ts';
import { mayBeResumed, nextMemberDeadline } from '../../shared/protocol/member-machine.ts';
import { Driven, first, held, LEASE, marked, second } from './driven-member.ts';

// Goal: a member that is held for minutes is held as long as its coordinator lives and no longer; a write daemon too.
// Method: the machine, event by event; the clock is set to each deadline, and to just before it.

const QUIESCE: Purpose = { type: 'quiesce', allowReads: true, timeOutMs: 60_000 };
const FREEZE: Purpose = { type: 'freeze', timeOutMs: 600_000 };

const quiesced = (): Driven => new Driven(null, QUIESCE);
const suspended = (): Driven => new Driven(null, FREEZE);

function word(member: Driven, now: number): Driven {
  member.now = now;
  return member.happens({ type: 'messageReceived', now });
}

function freezing(member: Driven): Driven {
  return member.armed().receives({ type: 'freeze', token: first, leaseMs: LEASE });
}

describe('a member of a quiesce', () => {
  it('is given its time by words while it comes to rest, and its engine hears of each [S70]', () => {
    const member = freezing(quiesced());
    expect(word(member, 60).did).to.deep.equal(['renew']);
    expect(nextMemberDeadline(member.state)).to.equal(60 + LEASE);
    expect(member.timeIs(60 + LEASE - 1).did).to.deep.equal([]);
    expect(member.timeIs(60 + LEASE).did).to.deep.equal(['engine abort']);
  });

  it('is held by words for as long as they come, and its engine hears of each [S73]', () => {
    const member = quiesced().frozen();
    for (let now = 60; now <= 6000; now += 60) {
      expect(word(member, now).did).to.deep.equal(['renew']);
      expect(member.timeIs(now + LEASE - 1).did).to.deep.equal([]);
    }
    member.now = 6060;
    expect(member.receives({ type: 'thaw', token: first }).engine(held).did).to.deep.equal(['answer thawed']);
    expect(member.state.phase).to.include({ name: 'thawed', held: true });
  });

  it('lets go when they stop, and says then that it had resumed [S74]', () => {
    const member = word(quiesced().frozen(), 60);
    expect(member.timeIs(60 + LEASE).did).to.deep.equal(['engine thaw']);
    member.engine(held).receives({ type: 'thaw', token: first });
    const [answer] = member.effects;
    expect(answer?.type === 'answer' && answer.answer).to.deep.include({
      type: 'thawed',
      proof: { type: 'alreadyResumed', incarnation: 'i', cause: 'its lease of 100 ms ran out' },
    });
  });

  it('is not renewed by a word that comes too late, noticed or not', () => {
    for (const member of [freezing(quiesced()), quiesced().frozen()]) {
      expect(word(member, LEASE).did).to.deep.equal([]);
      expect(nextMemberDeadline(member.state)).to.equal(LEASE);
    }
  });

  it('says nothing to an engine that holds nobody: while it is armed, and when it has let go', () => {
    expect(word(quiesced().armed(), 10).did).to.deep.equal([]);
    expect(word(quiesced().thawed(), 10).did).to.deep.equal([]);
  });

  it('is kept for a new stream before its first arm, as any other', () => {
    const member = quiesced().preparing().engine({ type: 'prepared' });
    expect(mayBeResumed(member.state)).to.equal(true);
    expect(nextMemberDeadline(member.state)).to.equal(1000);
  });
});

describe('a member of what is held for an instant', () => {
  for (const purpose of [{ type: 'checkpoint' }, { type: 'journalCheckpoint' }, FREEZE] as const) {
    it(`gets no more time to fence by a word, and its engine no word: ${purpose.type}`, () => {
      const member = freezing(new Driven(null, purpose));
      expect(word(member, 60).did).to.deep.equal([]);
      expect(member.timeIs(LEASE).did).to.deep.equal(['engine abort']);
      expect(word(new Driven(null, purpose).frozen(), 60).did).to.deep.equal([]);
    });
  }
});

describe('a member of a freeze', () => {
  /** Its write daemon waits in each of these. The lease is the operation's own, of 1000 ms, until the first arm. */
  const places: Record<string, { reach: () => Driven; leaseMs: number }> = {
    preparing: { reach: () => suspended().preparing(), leaseMs: 1000 },
    prepared: { reach: () => suspended().preparing().engine({ type: 'prepared' }), leaseMs: 1000 },
    thawed: { reach: () => suspended().thawed(), leaseMs: LEASE },
    collecting: {
      reach: () => suspended().thawed().receives({ type: 'collect', token: first }),
      leaseMs: LEASE,
    },
  };

  for (const [name, { reach, leaseMs }] of Object.entries(places)) {
    it(`is suspended no longer than a lease without a word: ${name} [S89]`, () => {
      const member = reach();
      member.state = { ...member.state, config: { ...member.state.config, operationSilenceMs: 6000 } };
      expect(member.state.phase.name).to.equal(name);
      word(member, 50);
      expect(member.timeIs(50 + leaseMs - 1).did).to.deep.equal([]);
      expect(member.timeIs(50 + leaseMs).did).to.deep.equal(['engine abort']);
    });

    it(`is suspended for nobody whose stream is gone: ${name} [S89]`, () => {
      const member = reach();
      expect(mayBeResumed(member.state)).to.equal(false);
      expect(member.happens({ type: 'streamClosed', now: 50 }).did).to.deep.equal(['engine abort']);
    });
  }

  it('is kept as any other when it has collected, for its write daemon goes on', () => {
    const member = suspended().thawed().receives({ type: 'collect', token: first });
    member.engine(collected);
    expect(member.state.phase.name).to.equal('collected');
    expect(nextMemberDeadline(member.state)).to.equal(1000);
  });

  it('stays suspended when its mark is let go of, and may be marked again under a newer token [S82]', () => {
    const member = suspended().frozen().timeIs(LEASE).engine(held);
    expect(member.state.phase.name).to.equal('released');
    member
      .receives({ type: 'arm', token: second, leaseMs: LEASE })
      .engine({ type: 'armed', incarnation: 'i' })
      .receives({ type: 'freeze', token: second, leaseMs: LEASE })
      .engine(marked)
      .receives({ type: 'thaw', token: second })
      .engine(held);
    expect(member.state.phase).to.include({ name: 'thawed', held: true });
  });

  it('says on what its engine says of the suspension, and the same again [S91]', () => {
    const member = suspended().thawed().receives({ type: 'collect', token: first });
    member.engine({ ...collected, suspension: { held: false, cause: 'it was restarted' } });
    const [answer] = member.effects;
    expect(answer?.type === 'answer' && answer.answer).to.deep.include({
      suspension: { held: false, cause: 'it was restarted' },
    });
    expect(member.receives({ type: 'collect', token: first }).effects).to.deep.equal([answer]);
  });

  it('was not suspended where its guard has ended that, whatever its engine says, also before the mark [S91]', () => {
    for (const guardFirst of [true, false]) {
      const member = suspended().preparing().engine({ type: 'prepared' });
      const guard = (): unknown => member.happens({ type: 'guardThawed', now: 1 });
      if (guardFirst) guard();
      member
        .receives({ type: 'arm', token: first, leaseMs: LEASE })
        .engine({ type: 'armed', incarnation: 'i' })
        .receives({ type: 'freeze', token: first, leaseMs: LEASE })
        .engine(marked)
        .receives({ type: 'thaw', token: first })
        .engine(held);
      if (guardFirst) {
        expect(member.state.phase).to.include({ name: 'thawed', held: false });
        continue;
      }
      guard();
      member.receives({ type: 'collect', token: first }).engine(collected);
      const [answer] = member.effects;
      expect(answer?.type === 'answer' && answer.answer).to.deep.include({
        suspension: { held: false, cause: 'the guard thawed it: the agent was silent for too long' },
      });
    }
  });

  it('that fails says that it may still be held, in whatever phase [S92]', () => {
    for (const { reach } of [places.preparing, places.collecting].flatMap((place) => place ?? [])) {
      const member = reach().engine({
        type: 'failed',
        failure: { code: 'x', message: 'it broke', hint: 'mend it' },
      });
      const [answer] = member.effects;
      expect(answer?.type === 'answer' && answer.answer).to.include({ type: 'failed', state: 'frozen' });
    }
  });
});

describe('what a member is held for', () => {
  it('reaches its engine with the prepare, whatever it is [S68]', () => {
    for (const purpose of [QUIESCE, FREEZE, { type: 'journalCheckpoint' }] as const) {
      const [effect] = new Driven(null, purpose).preparing().effects;
      expect(effect?.type === 'engine' && effect.action).to.deep.include({ type: 'prepare', purpose });
    }
  });
});

const collected = {
  type: 'collected',
  manifestDigest: 'd',
  sizeBytes: 1,
  storedBytes: 1,
  suspension: { held: true },
} as const;
