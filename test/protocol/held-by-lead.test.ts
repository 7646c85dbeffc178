import { expect } from 'chai';
import type { Assignment } from '../../shared/domain/assignment.ts';
import { Driven, token } from './driven-coordinator.ts';
import { Driven as DrivenMember, first } from './driven-member.ts';

const BY_LEAD: Assignment = { hold: 'none', part: 'none' };

describe('a domain that its lead holds', () => {
  function cluster(): Driven {
    return new Driven({ c1: 'fenced', c2: 'fenced', solo: 'fenced' }, {}, { c2: 'c1' });
  }

  it('is prepared and collected member by member, and armed, frozen and thawed by its lead alone', () => {
    const run = cluster();
    expect(run.sent()).to.deep.equal(['c1 prepare', 'c2 prepare', 'solo prepare']);
    for (const member of ['c1', 'c2', 'solo']) run.answers(member, { type: 'prepared' });
    expect(run.sent()).to.deep.equal(['c1 arm#1', 'solo arm#1']);
    for (const member of ['c1', 'solo'])
      run.answers(member, { type: 'armed', token: token(1), incarnation: 'i' });
    expect(run.sent()).to.deep.equal(['c1 freeze#1', 'solo freeze#1']);
    run.marks('c1');
    run.marks('solo');
    expect(run.sent()).to.deep.equal(['c1 thaw#1', 'solo thaw#1']);
    run.thaws('c1');
    run.thaws('solo');
    expect(run.sent()).to.deep.equal(['c1 collect#1', 'c2 collect#1', 'solo collect#1']);
    for (const member of ['c1', 'c2', 'solo']) run.collects(member);
    const [commit] = run.effects.flatMap((effect) => (effect.type === 'commit' ? [effect.proof] : []));
    expect(
      commit?.members.map(({ name, assignment, mark, incarnation }) => [
        name,
        assignment.hold,
        mark,
        incarnation,
      ]),
    ).to.deep.equal([
      ['c1', 'lead', null, 'i'],
      ['c2', 'none', null, null],
      ['solo', 'member', null, 'i'],
    ]);
  });

  it('ends everywhere when a member that is only held by it is lost while others are armed', () => {
    const run = cluster();
    for (const member of ['c1', 'c2', 'solo']) run.answers(member, { type: 'prepared' });
    run.happens({
      type: 'memberLost',
      now: run.now,
      member: 'c2',
      failure: { code: 'x', message: 'm', hint: 'h' },
    });
    expect(run.sent()).to.deep.equal(['c1 abort#1', 'solo abort#1']);
  });
});

describe('a member that the lead of its domain holds', () => {
  function prepared(highest: typeof first | null = null): DrivenMember {
    return new DrivenMember(highest)
      .receives({ type: 'prepare', checkpoint: 'c', assignment: BY_LEAD, maintenance: false })
      .engine({ type: 'prepared' });
  }

  it('is collected without ever having been armed', () => {
    expect(prepared().receives({ type: 'collect', token: first }).did).to.deep.equal(['engine collect']);
  });

  it('is neither armed nor frozen nor thawed by mistake', () => {
    for (const type of ['arm', 'freeze'] as const)
      expect(prepared().receives({ type, token: first, leaseMs: 10 }).did).to.deep.equal(['answer refused']);
    for (const type of ['pause', 'disarm', 'thaw'] as const)
      expect(prepared().receives({ type, token: first }).did).to.deep.equal(['answer refused']);
  });

  it('is not collected under a token that was used before, nor before it is prepared', () => {
    expect(prepared(first).receives({ type: 'collect', token: first }).did).to.deep.equal(['answer refused']);
    const preparing = new DrivenMember().receives({
      type: 'prepare',
      checkpoint: 'c',
      assignment: BY_LEAD,
      maintenance: false,
    });
    expect(preparing.receives({ type: 'collect', token: first }).did).to.deep.equal(['answer refused']);
  });

  it('aborts like any other', () => {
    expect(prepared().receives({ type: 'abort', token: first }).did).to.deep.equal(['engine abort']);
  });
});

describe('a member that holds itself', () => {
  it('is not collected before it has held', () => {
    const member = new DrivenMember().armed();
    expect(member.receives({ type: 'collect', token: first }).did).to.deep.equal(['answer refused']);
  });
});
