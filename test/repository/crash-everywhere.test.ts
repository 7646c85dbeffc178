import { expect } from 'chai';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { madeRepository } from './made.ts';
import type { Repository } from '../../shared/repository/repository.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { type DirectoryLab, directoryLab } from './directory-lab.ts';
import { crashAfter } from './file-system-steps.ts';
import {
  checkpointId,
  GRID,
  noise,
  readBack,
  rows,
  sha256,
  storeCheckpoint,
  storeMember,
  verified,
} from './samples.ts';

// Goal: killed after any write, sync, link or rename, a writer leaves a repository that tells the truth, hurts nothing
// that was committed, and needs no more than the same again.
// Method: each kind of work loses its disk after a number of steps, one more each time, until it ends. Deletions are in
// deletion.test.ts, epochs in epochs.test.ts; crash.test.ts kills a real process.

const shared = rows(2000, 'shared');
const sound = { 'base/1': shared };
const members = { a: { 'base/1': shared, 'base/2': noise(900, '2') }, b: { 'base/3': noise(700, '3') } };

describe('a writer that is killed after any step', () => {
  let lab: DirectoryLab;

  beforeEach(async () => {
    lab = await directoryLab();
    await storeCheckpoint(lab.repository, checkpointId(1), { a: sound });
  });

  afterEach(() => lab.close());

  /** Crashes the work after each number of steps; `check` is told what was left. Resolves with how often it crashed. */
  async function atEveryStep(
    work: (round: number) => Promise<unknown>,
    check: (round: number, outcome: 'crashed' | 'done') => Promise<void>,
  ): Promise<number> {
    for (let steps = 0; ; steps += 1) {
      const outcome = await crashAfter(steps, () => work(steps));
      // What follows is another process, that finds the marker of the dead one old.
      if (existsSync(lab.file('operations'))) lab.ageOperations();
      await check(steps, outcome);
      expect(await verified(lab.repository, checkpointId(1)), `step ${steps}`).to.deep.equal([]);
      if (outcome === 'done') return steps;
    }
  }

  async function stateOf(checkpoint: string): Promise<string | null> {
    const entries = await lab.repository.list(GRID);
    return entries.find((entry) => entry.checkpoint === checkpoint)?.state ?? null;
  }

  it('of a whole checkpoint leaves all of it or nothing that counts', async () => {
    const seen = new Set<string | null>();
    const crashes = await atEveryStep(
      (round) => storeCheckpoint(lab.repository, checkpointId(round + 2), members),
      async (round, outcome) => {
        const checkpoint = checkpointId(round + 2);
        const state = await stateOf(checkpoint);
        seen.add(state);
        expect(['valid', 'uncommitted', null], `step ${round}`).to.include(state);
        if (outcome === 'done') expect(state).to.equal('valid');
        if (state === 'valid') {
          expect(await verified(lab.repository, checkpoint), `step ${round}`).to.deep.equal([]);
          expect(await readBack(lab.repository, checkpoint, 'a')).to.deep.equal(members.a);
          await lab.repository.deleteCheckpoint(GRID, checkpoint);
        }
        const { skipped } = await lab.repository.collectGarbage(GRID);
        expect(skipped, `step ${round}`).to.equal(false);
        expect(await stateOf(checkpoint), `step ${round}`).to.equal(null);
        expect(lab.chunkFiles(), `step ${round}`).to.deep.equal([sha256(shared)]);
      },
    );
    expect([...seen]).to.have.members(['valid', 'uncommitted', null]);
    expect(crashes).to.be.greaterThan(30);
  });

  it('of garbage collection leaves nothing that the next one does not find', async () => {
    const crashes = await atEveryStep(
      async () => {
        await lab.repository.collectGarbage(GRID);
      },
      async (round, outcome) => {
        if (outcome === 'done') expect(lab.chunkFiles()).to.deep.equal([sha256(shared)]);
        await lab.repository.collectGarbage(GRID);
        expect(lab.chunkFiles(), `step ${round}`).to.deep.equal([sha256(shared)]);
        expect(await stateOf(checkpointId(round + 2)), `step ${round}`).to.equal(null);
        if (outcome === 'crashed')
          await storeMember(lab.repository, checkpointId(round + 3), 'b', {
            'base/4': noise(500, `${round}`),
          });
      },
    );
    expect(crashes).to.be.greaterThan(3);
  });

  it('of the decision of a restore has decided, or leaves it to the next, and never both', async () => {
    const outcomes = new Set<string>();
    await atEveryStep(
      (round) => lab.repository.decideRestore(GRID, `restore-${round}`, 'restored'),
      async (round, outcome) => {
        const decided = await lab.repository.decideRestore(GRID, `restore-${round}`, 'rolledBack');
        const again = await lab.repository.decideRestore(GRID, `restore-${round}`, 'restored');
        outcomes.add(decided);
        expect(again, `step ${round}`).to.equal(decided);
        if (outcome === 'done') expect(decided).to.equal('restored');
      },
    );
    expect([...outcomes]).to.have.members(['restored', 'rolledBack']);
  });

  it('of an announcement holds nobody up for longer than a dead process may', async () => {
    await atEveryStep(
      async (round) => {
        const lease = await lab.repository.beginOperation({
          grid: GRID,
          id: `one-${round}`,
          holder: 'a test',
        });
        await lease.refresh();
        await lease.end();
      },
      async (round) => {
        const { skipped } = await lab.repository.collectGarbage(GRID);
        expect(skipped, `step ${round}`).to.equal(false);
      },
    );
  });
});

describe('the maker of a repository that is killed after any step', () => {
  it('leaves none, or the one that everybody finds', async () => {
    const folder = temporaryFolder('made');
    for (let steps = 0; ; steps += 1) {
      const location = join(folder.path, String(steps), 'repository');
      const opened: Repository[] = [];
      const open = async (): Promise<Repository> => {
        const one = await madeRepository(location);
        opened.push(one);
        return one;
      };
      const outcome = await crashAfter(steps, open);
      const [first, second] = [await open(), await open()];
      expect(first.id, `step ${steps}`).to.equal(second.id);
      await storeCheckpoint(first, checkpointId(1), { a: sound });
      expect(await verified(second, checkpointId(1)), `step ${steps}`).to.deep.equal([]);
      await Promise.all(opened.map((one) => one.close()));
      if (outcome === 'done') break;
    }
    folder.remove();
  });
});
