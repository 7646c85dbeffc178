import { expect } from 'chai';
import { createGrid, type TestGrid } from '../lab/grid.ts';
import { childrenOf, residentMb, threadsOf, ticksIn } from '../lab/process-figures.ts';
import { until } from '../lab/processes.ts';

// Goal: an agent may run for years beside a busy server; with nothing to do it costs next to nothing.
// Method: what the kernel has counted for its process, over a stretch in which nobody asks it for anything.

const STRETCH_MS = 3000;
/** Threads wait a while for more work; on a loaded machine even that takes longer. */
const RESTS_WITHIN_MS = 100_000;
/** Of 10 ms each: one percent of one core. It bounds what is done, and not how fast. */
const MAX_TICKS = 3;
/** A good 25 of it are Node's, for running the sources as they are. */
const MAX_RSS_MB = 120;
/** After work, once it rests: 120 to 155 here, for the C library keeps some of what was freed. */
const MAX_RESTED_RSS_MB = 190;

describe('an agent with nothing to do', () => {
  let grid: TestGrid;
  let threads: number;

  before(async () => {
    grid = await createGrid({ hosts: ['127.0.79.1'], copysets: [{ name: 'a', hosts: [0] }] });
  });

  after(() => grid?.close());

  const agent = (): number => grid.agents[0]?.pid ?? 0;

  it('uses no processor time, little memory and no guard when it has been started', async () => {
    await expectIdle(agent());
    threads = threadsOf(agent()).length;
    expect(residentMb(agent())).to.be.at.most(MAX_RSS_MB);
    say(`started: ${residentMb(agent()).toFixed(0)} MB resident`);
  });

  it('uses no processor time, no guard and no threads of its own when it has taken part in checkpoints', async () => {
    for (const name of ['one', 'two']) {
      const { code, stdout } = await grid.run(['checkpoint', 'create', name, '--quiet']);
      expect(code, stdout).to.equal(0);
    }
    expect((await grid.run(['grid', 'status'])).code).to.equal(0);
    await until('its threads to end', () => threadsOf(agent()).length <= threads, RESTS_WITHIN_MS);
    await expectIdle(agent());
    await until(
      `at most ${MAX_RESTED_RSS_MB} MB resident`,
      () => residentMb(agent()) <= MAX_RESTED_RSS_MB,
      RESTS_WITHIN_MS,
    );
    say(`after two checkpoints: ${residentMb(agent()).toFixed(0)} MB resident`);
  });
});

async function expectIdle(pid: number): Promise<void> {
  // What is collected and freed after work comes once, and later on a loaded machine.
  await until(
    `a stretch of ${STRETCH_MS} ms with ${MAX_TICKS} ticks of 10 ms at most`,
    async () => (await ticksIn(pid, STRETCH_MS)) <= MAX_TICKS,
    RESTS_WITHIN_MS,
  );
  expect(childrenOf(pid)).to.deep.equal([]);
}

function say(figure: string): void {
  console.log(`      ${figure}`);
}
