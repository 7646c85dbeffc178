import { expect } from 'chai';
import { type DirectoryLab, directoryLab } from './directory-lab.ts';
import { crashAfter } from './file-system-steps.ts';
import { GRID } from './samples.ts';

describe('an epoch that is raised', () => {
  // Goal: at no step is there a third state, and what has been known stays known.
  // Method: it loses its disk after a number of steps, one more each time, until it ends.
  let lab: DirectoryLab;

  beforeEach(async () => {
    lab = await directoryLab();
    await lab.repository.raiseEpoch(GRID, 1);
  });

  afterEach(() => lab.close());

  const known = async (): Promise<number> => (await lab.repository.highestNumber(GRID)).epoch;

  it('is the old or the new after a crash at any step, and the new when done again', async () => {
    const seen = new Set<number>();
    for (let steps = 0; ; steps += 1) {
      const next = (await known()) + 1;
      const outcome = await crashAfter(steps, () => lab.repository.raiseEpoch(GRID, next));
      const after = await known();
      seen.add(after - next);
      expect([next - 1, next], `step ${steps}`).to.include(after);

      await lab.repository.raiseEpoch(GRID, next);

      expect(await known(), `step ${steps}`).to.equal(next);
      if (outcome === 'done') break;
    }
    expect([...seen]).to.have.members([-1, 0]);
  });
});
