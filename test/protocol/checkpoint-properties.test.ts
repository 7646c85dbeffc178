import { expect } from 'chai';
import { runSeeds } from '../simulator/jobs.ts';

// Goal: the rules of the protocol hold in every run, whatever the network and the processes do.
// Method: both real machines in simulated time, faults by seed; judged by what clients saw and what really
// happened to the engines, which no machine sees (test/simulator/).

const FIRST = 20_261_120;

describe('in every run of the protocol, whatever fails when', () => {
  it('a committed checkpoint is a consistent cut, and nobody stays frozen [S1] [S56] [S71] [S89]', async function () {
    this.timeout(180_000);
    const { failures, endings } = await runSeeds({ type: 'seeds', from: FIRST, count: 4000 });

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
});
