import { expect } from 'chai';
import type { MemberAnswer } from '../../shared/domain/messages.ts';
import { Driven, failure, token } from './driven-coordinator.ts';

// Goal: what does not belong to the moment changes nothing. Method: in each phase, all that could come late,
// twice or from somewhere else; neither the state nor a message may follow.

const marked: MemberAnswer = {
  type: 'marked',
  token: token(1),
  incarnation: 'i',
  mark: null,
  fenceMs: 1,
  markMs: 1,
};
const armed: MemberAnswer = { type: 'armed', token: token(1), incarnation: 'i' };
const released: MemberAnswer = { type: 'released', token: token(1), thawMs: 1 };
const thawed: MemberAnswer = { type: 'thawed', token: token(1), proof: { type: 'held', incarnation: 'i' } };
const collected: MemberAnswer = {
  type: 'collected',
  token: token(1),
  manifestDigest: 'd',
  sizeBytes: 1,
  storedBytes: 1,
};
const all = [{ type: 'prepared' } as const, armed, marked, released, thawed, collected];

function preparing(): Driven {
  return new Driven({ a: 'fenced', b: 'instant' });
}

function arming(): Driven {
  const run = preparing();
  for (const name of ['a', 'b']) run.answers(name, { type: 'prepared' });
  return run;
}

function freezing(): Driven {
  const run = preparing();
  run.armAll();
  return run;
}

function thawing(): Driven {
  const run = freezing();
  for (const name of ['a', 'b']) run.marks(name);
  return run;
}

function collecting(): Driven {
  const run = thawing();
  for (const name of ['a', 'b']) run.thaws(name);
  return run;
}

function committing(): Driven {
  const run = collecting();
  for (const name of ['a', 'b']) run.collects(name);
  return run;
}

function over(): Driven {
  const run = committing();
  run.happens({ type: 'committed', now: run.now });
  return run;
}

const phases = { preparing, arming, freezing, thawing, collecting, committing, over };
const fitting: Record<string, readonly string[]> = {
  preparing: ['prepared'],
  arming: ['armed'],
  freezing: ['marked'],
  thawing: ['released', 'thawed'],
  collecting: ['collected'],
};

describe('what does not belong to the moment', () => {
  for (const [name, reach] of Object.entries(phases)) {
    const foreign = all.filter(({ type }) => !(fitting[name] ?? []).includes(type));
    it(`changes nothing while ${name}: answers of other phases, and members that are none`, () => {
      const run = reach();
      const before = run.state;
      expect(before.phase.name).to.equal(name);
      for (const answer of foreign) run.answers('a', answer);
      for (const answer of all) run.answers('stranger', answer);
      run.answers('stranger', { type: 'failed', failure, state: 'running' });
      run.happens({ type: 'started', now: run.now });
      expect(run.state).to.equal(before);
      expect(run.effects).to.deep.equal([]);
    });
  }

  it('is a commit that nobody has asked for: neither its success nor its failure is heard', () => {
    for (const reach of [preparing, arming, freezing, thawing, collecting, over]) {
      const run = reach();
      const before = run.state;
      run.happens({ type: 'committed', now: run.now });
      run.happens({ type: 'commitFailed', now: run.now, failure });
      expect(run.state).to.equal(before);
    }
  });

  it('is a mark of a member whose round has not come', () => {
    const run = freezing();
    const before = run.state;
    run.marks('b');
    expect(run.state).to.equal(before);
    run.marks('a');
    expect(run.sent()).to.deep.equal(['b freeze#1']);
  });

  it('is a member that comes back before anything went wrong: it is connected again, and told nothing', () => {
    const run = preparing();
    run.happens({ type: 'memberReconnected', now: 1, member: 'a' });
    expect(run.effects).to.deep.equal([]);
    expect([...run.state.lost]).to.deep.equal([]);
  });
});
