import { expect } from 'chai';
import { findPlanted } from './jobs.ts';
import { PLANTED_IN_THE_REPOSITORY } from './planted-repository.ts';
import { simulate, type Run } from './run.ts';
import { scenarioOf, STORAGE_SHARE, type Scenario } from './scenario.ts';

// Goal: whatever happens to the disk and to those who use it, what is committed restores, and what is said is true.
// Method: the real repository in the world of the protocol; few seeds here, many by ./scripts/simulate.

const FIXED = 200;
const FRESH = 100;

/** Seeds that run with the real repository. */
async function runFrom(first: number, count: number): Promise<Run[]> {
  const runs: Run[] = [];
  for (let index = 0; index < count; index += 1) {
    const seed = (Math.ceil(first / STORAGE_SHARE) + index) * STORAGE_SHARE;
    const run = await simulate(scenarioOf(seed));
    expect(run.failure, `./scripts/simulate --seed ${seed} --trace`).to.equal(null);
    runs.push(run);
  }
  return runs;
}

function quiet(seed: number): Scenario {
  const storage = { earlier: 2, isAbandoned: true, operators: [], faults: [] };
  return { ...scenarioOf(seed), models: ['commitFence', 'writeFence'], faults: [], storage };
}

describe('the simulator with the real repository', () => {
  it('finds nothing wrong with it, and checkpoints that end in every way', async () => {
    const runs = await runFrom(1, FIXED);

    const endings = new Set(runs.flatMap((run) => run.endings));
    expect([...endings]).to.include.members(['committed', 'aborted', 'killed', 'refused']);
  });

  it('finds nothing wrong with it in seeds that nobody has run before', async () => {
    await runFrom(Date.now() % 1_000_000_000, FRESH);
  });

  it('does the same again for the same seed, call by call', async () => {
    for (let seed = STORAGE_SHARE; seed <= 20 * STORAGE_SHARE; seed += STORAGE_SHARE) {
      const one = await simulate(scenarioOf(seed), { isTraced: true });
      const other = await simulate(scenarioOf(seed), { isTraced: true });
      expect(other.hash).to.equal(one.hash);
      expect(other.trace).to.deep.equal(one.trace);
    }
  });

  it('leaves clocks, timers and files of this process as they were', async () => {
    const before = [Date, setTimeout, setInterval, clearTimeout, process.pid, Error.stackTraceLimit];

    await simulate(quiet(STORAGE_SHARE));

    expect([Date, setTimeout, setInterval, clearTimeout, process.pid, Error.stackTraceLimit]).to.deep.equal(
      before,
    );
    expect(Object.hasOwn(performance, 'now')).to.equal(false);
  });

  it('lets processes come between the calls of each other', async () => {
    const storage = {
      earlier: 2,
      isAbandoned: false,
      operators: [5000, 40_000, 41_000, 42_000].map((at) => ({ kind: 'verify', at }) as const),
      faults: [],
    };
    const { trace, failure } = await simulate({ ...quiet(STORAGE_SHARE), storage }, { isTraced: true });

    expect(failure).to.equal(null);
    const callers = trace.flatMap(({ process, text }) => (text.includes('/repository') ? [process] : []));
    const changes = callers.filter((caller, index) => caller !== callers[index - 1]);
    expect(new Set(callers)).to.include.all.keys('coordinator 0', 'agent 0', 'agent 1', 'operator 0');
    expect(changes.length).to.be.greaterThan(20);
  });

  it('takes away several checkpoints that are damaged, one after the other', async () => {
    // Rot in whatever is there when the first checkpoint of the run begins: of two, in some of these runs both.
    const faults = [45, 50, 55, 60].map(
      (call) => ({ kind: 'bitRot', by: null, name: null, call, forTime: 0 }) as const,
    );
    const storage = { earlier: 2, isAbandoned: false, operators: [], faults };
    for (let seed = STORAGE_SHARE; seed <= 16 * STORAGE_SHARE; seed += STORAGE_SHARE)
      expect((await simulate({ ...quiet(seed), models: ['commitFence'], storage })).failure).to.equal(null);
  });

  it('plants at least twenty faults in the repository', () => {
    expect(PLANTED_IN_THE_REPOSITORY.length).to.be.at.least(20);
  });

  for (const id of [
    'a-name-before-its-content-is-synced',
    'one-checkpoint-counts-for-all',
    'the-dead-keep-collections-off-for-ever',
    'temporary-files-beside-a-commit-object-are-not-swept',
    'what-was-not-committed-stays',
  ]) {
    it(`finds what is planted: ${id}`, async () => {
      const { seed, message } = await findPlanted({ type: 'planted', id, limit: 300 });
      expect(seed, message).not.to.equal(null);
    });
  }
});
