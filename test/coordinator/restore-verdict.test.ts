import { expect } from 'chai';
import { RestoreVerdict } from '../../coordinator/restore-verdict.ts';
import { checkRooms } from '../../coordinator/restore-check.ts';
import type { PlannedMember } from '../../coordinator/planned-member.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import type { Repository, RestoreOutcome } from '../../shared/repository/repository.ts';

// Goal: what became of a restore is what the repository says; while it cannot be asked, nobody is told anything.
// Method: a repository that fails when it is told to, before or after it has written.

const RESTORE = { grid: 'orders', restoreId: 'r1', repositoryId: 'ours' };
const impatient = AbortSignal.abort();

describe('the decision of a restore, as its command sees it', () => {
  function repository(faults: { id?: string; known?: boolean; lostAnswers?: number; fails?: boolean }): {
    repository: Repository;
    stands(): RestoreOutcome | null;
  } {
    let stands: RestoreOutcome | null = null;
    let lost = faults.lostAnswers ?? 0;
    const broken = (): StillpointError =>
      new StillpointError({ code: 'repository-failed', message: 'EIO', hint: 'h' });
    return {
      stands: () => stands,
      repository: {
        id: faults.id ?? 'ours',
        location: '/srv',
        readRestore: () => Promise.resolve(faults.known === false ? null : { checkpoint: 'c' }),
        decideRestore: (_grid: string, _id: string, outcome: RestoreOutcome) => {
          if (faults.fails === true) return Promise.reject(broken());
          stands ??= outcome;
          lost -= 1;
          return lost >= 0 ? Promise.reject(broken()) : Promise.resolve(stands);
        },
      } as unknown as Repository,
    };
  }

  const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
    promise.then(
      (value) => value,
      (error: unknown) => (error instanceof StillpointError ? [error.failure.code, error.exitCode] : error),
    );

  it('is asked for again when it was written and the answer was lost', async () => {
    const { repository: one } = repository({ lostAnswers: 1 });
    const waits: string[] = [];
    const outcome = await new RestoreVerdict(one, RESTORE).forward(
      (cause) => waits.push(cause),
      new AbortController().signal,
    );
    expect(outcome).to.equal('restored');
    expect(waits).to.have.length(1);
  });

  it('is known to nobody where it was tried and cannot be read: neither forward nor back', async () => {
    const { repository: one, stands } = repository({ lostAnswers: 9 });
    const verdict = new RestoreVerdict(one, RESTORE);
    expect(await failureOf(verdict.forward(() => undefined, impatient))).to.deep.equal([
      'restore-undecided',
      8,
    ]);
    expect(await failureOf(verdict.afterFailure())).to.deep.equal(['restore-undecided', 8]);
    expect(stands()).to.equal('restored');
  });

  it('can only be back where it was never tried, whatever the repository says', async () => {
    const { repository: one } = repository({ fails: true });
    expect(await new RestoreVerdict(one, RESTORE).afterFailure()).to.equal('rolledBack');
  });

  for (const [what, faults] of Object.entries({
    'another repository': { id: 'theirs' },
    'an empty mount point': { known: false },
  })) {
    it(`is never made in ${what}`, async () => {
      const { repository: one, stands } = repository(faults);
      const verdict = new RestoreVerdict(one, RESTORE);
      expect(await failureOf(verdict.forward(() => undefined, impatient))).to.deep.equal([
        'restore-undecided',
        8,
      ]);
      expect(stands()).to.equal(null);
    });
  }
});

describe('the room that a restore needs', () => {
  const member = (name: string, agent: string): PlannedMember =>
    ({ name, to: { agent, host: agent } }) as PlannedMember;
  const room = (
    neededBytes: number,
  ): { fileSystem: string; path: string; neededBytes: number; freeBytes: number } => ({
    fileSystem: '1',
    path: '/data',
    neededBytes,
    freeBytes: 100,
  });

  it('is that of all members that share a disk', () => {
    const found = [
      { member: member('aa', 'one'), rooms: [room(60)] },
      { member: member('ab', 'one'), rooms: [room(60)] },
    ];
    expect(() => checkRooms(found)).to.throw(StillpointError, '100 bytes free, and the restore needs 120');
  });

  it('is not that of other hosts', () => {
    const found = ['one', 'two'].map((agent) => ({ member: member('aa', agent), rooms: [room(60)] }));
    expect(() => checkRooms(found)).not.to.throw();
  });
});
