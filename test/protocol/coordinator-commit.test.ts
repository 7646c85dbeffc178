import { expect } from 'chai';
import { BY_ITSELF } from '../../shared/domain/assignment.ts';
import type { CommitProof } from '../../shared/protocol/coordinator-machine.ts';
import { Driven, failure, token } from './driven-coordinator.ts';

// Goal: a commit is asked for once, with all that is known of the cut, and then it decides.
// Method: a run by hand up to the commit; the proof is looked at as a whole.

function proofOf(run: Driven): CommitProof | undefined {
  return run.effects.flatMap((effect) => (effect.type === 'commit' ? [effect.proof] : []))[0];
}

function collecting(run: Driven): Driven {
  const members = run.state.config.members;
  run.armAll();
  for (const kind of ['observer', 'fenced', 'instant'])
    for (const member of members) if (member.kind === kind) run.marks(member.name);
  for (const { name } of members) run.thaws(name);
  return run;
}

describe('the commit of a checkpoint', () => {
  it('waits for every member, and is given all that is known of the cut', () => {
    const run = new Driven({ primary: 'fenced', etcd: 'instant' });
    run.armAll();
    const asked = run.now;
    run.answers('primary', {
      type: 'marked',
      token: token(1),
      incarnation: 'i',
      mark: { journalFile: '01', position: '0/A3', name: 'still' },
      fenceMs: 3,
      markMs: 2,
    });
    run.marks('etcd');
    run.answers('primary', { type: 'released', token: token(1), thawMs: 4 });
    run.answers('primary', { type: 'released', token: token(1), thawMs: 99 });
    run.thaws('primary');
    run.thaws('etcd');
    const open = run.now;
    expect(run.sent()).to.deep.equal(['primary collect#1', 'etcd collect#1']);
    run.collects('primary');
    expect(proofOf(run)).to.equal(undefined);
    run.collects('etcd');
    expect(proofOf(run)).to.deep.equal({
      token: token(1),
      // The release of etcd was lost: its fence was open when its proof came, at the latest.
      windowMs: open - asked,
      members: [
        {
          name: 'primary',
          kind: 'fenced',
          assignment: BY_ITSELF,
          incarnation: 'i',
          mark: { journalFile: '01', position: '0/A3', name: 'still' },
          fenceMs: 3,
          markMs: 2,
          thawMs: 4,
          manifestDigest: 'digest of primary',
          sizeBytes: 10,
          storedBytes: 5,
        },
        {
          name: 'etcd',
          kind: 'instant',
          assignment: BY_ITSELF,
          incarnation: 'i',
          mark: null,
          fenceMs: 1,
          markMs: 1,
          thawMs: 0,
          manifestDigest: 'digest of etcd',
          sizeBytes: 10,
          storedBytes: 5,
        },
      ],
    });
  });

  it('tells of no window where nobody was fenced', () => {
    const run = collecting(new Driven({ standby: 'observer', etcd: 'instant' }));
    run.collects('standby');
    run.collects('etcd');
    expect(proofOf(run)?.windowMs).to.equal(0);
  });

  it('does not count an observer into the window', () => {
    const run = new Driven({ standby: 'observer', primary: 'fenced' });
    run.armAll();
    run.marks('standby');
    const asked = run.now;
    run.marks('primary');
    run.thaws('primary');
    const open = run.now;
    run.thaws('standby');
    run.collects('standby');
    run.collects('primary');
    expect(proofOf(run)?.windowMs).to.equal(open - asked);
  });

  it('takes no notice of members that are lost, and of time, once it is asked for', () => {
    const run = collecting(new Driven({ a: 'fenced', b: 'fenced' }));
    run.collects('a');
    run.collects('b');
    run.happens({ type: 'memberLost', now: run.now, member: 'a', failure });
    run.happens({ type: 'timePassed', now: 1_000_000 });
    expect(run.effects).to.deep.equal([]);
    run.happens({ type: 'committed', now: 1_000_000 });
    expect(run.outcome?.kind).to.equal('committed');
  });

  it('that failed is aborted on the members that are left, and waits for the one that is lost', () => {
    const run = collecting(new Driven({ a: 'fenced', b: 'fenced' }));
    run.collects('a');
    run.collects('b');
    run.happens({ type: 'memberLost', now: run.now, member: 'a', failure });
    run.happens({ type: 'commitFailed', now: run.now, failure });
    expect(run.sent()).to.deep.equal(['b abort#1']);
    expect(run.effects).to.deep.include({ type: 'reconnect', member: 'a' });
  });
});
