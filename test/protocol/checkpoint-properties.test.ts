import { expect } from 'chai';
import { runSeeds, type SeedsDone } from '../simulator/jobs.ts';
import type { Promised } from '../simulator/promises.ts';

// Goal: the rules of the protocol hold in every run, whatever the network and the processes do.
// Method: both real machines in simulated time, faults by seed; judged by what clients saw, which files changed and what
// really happened to the engines, which no machine sees (test/simulator/).

const FIRST = 20_261_120;

describe('in every run of the protocol, whatever fails when', () => {
  let done: SeedsDone;

  before(async function () {
    this.timeout(180_000);
    done = await runSeeds({ type: 'seeds', from: FIRST, count: 4000 });
  });

  function broken(...promises: readonly Promised[]): SeedsDone['failures'] {
    return done.failures.filter(({ failure }) => promises.includes(failure.promise));
  }

  it('a committed checkpoint is a consistent cut, and nobody stays frozen [S1] [S56] [S71] [S89]', () => {
    const { failures, endings } = done;
    expect(failures, `./scripts/simulate --seed ${failures[0]?.seed}`).to.deep.equal([]);
    // The runs went everywhere: each of these endings happened.
    expect(endings).to.include.all.keys(
      'committed',
      'aborted',
      'invalid',
      'maybeFrozen',
      'refused',
      'killed',
    );
  });

  it('a job has the grid until it lets go or somebody with its token asks, and what it had is proven or not valid [S73] [S74] [S75] [S83] [S91]', () => {
    expect(broken('holds', 'held-for-its-job', 'one-moment', 'job', 'time-out', 'ending')).to.deep.equal([]);
    expect(done.holds).to.include.all.keys(
      ...['committed', 'aborted', 'invalid', 'maybeFrozen', 'killed'].flatMap((ending) => [
        `quiesce ${ending}`,
        `freeze ${ending}`,
      ]),
    );
  });

  it('nobody is quiesced or suspended longer than a lease without its living job [S71] [S89]', () => {
    expect(broken('thaws-by-itself', 'thawed-after-the-end')).to.deep.equal([]);
    expect(done.holds).to.include.all.keys('quiesce killed', 'freeze killed');
  });

  it('a backup is taken for the checkpoints after it, or the hold around it, and for no other [S57] [S58] [S60] [S64] [S65]', () => {
    expect(broken('stamp', 'one-moment')).to.deep.equal([]);
    expect(done.holds).to.include.all.keys('journalCheckpoint committed', 'journalCheckpoint aborted');
  });
});
