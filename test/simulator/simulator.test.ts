import { expect } from 'chai';
import { Coverage } from './coverage.ts';
import { findPlanted, runSeeds } from './jobs.ts';
import { MACHINES } from './machines.ts';
import type { Planted } from './plant.ts';
import { PLANTED } from './planted.ts';
import { holdSeed } from './hold-scenario.ts';
import { PLANTED_IN_HOLDS } from './planted-holds.ts';
import { mustFit, plantedMachines } from './planted-machines.ts';
import { simulate } from './run.ts';
import { scenarioOf } from './scenario.ts';
import { shrink } from './shrink.ts';
import { tellFailure } from './story.ts';

// Goal: what the simulator says can be believed: it goes everywhere, it says the same again, it sees what is
// wrong, and what it shows of it is short. Method: few seeds here; many by ./scripts/simulate.

const SEEDS = 2000;

function planted(id: string): Planted {
  const found = PLANTED.find((one) => one.id === id);
  if (found === undefined) throw new Error(`nothing planted is called ${id}`);
  return found;
}

describe('the simulator', () => {
  it('makes every change of phase of both machines, and finds nothing wrong with them', async () => {
    const { failures, coverage } = await runSeeds({ type: 'seeds', from: 1, count: SEEDS });

    expect(failures, `./scripts/simulate --seed ${failures[0]?.seed}`).to.deep.equal([]);
    expect(new Coverage(coverage).neverMade()).to.deep.equal([]);
    expect(new Coverage(coverage).unknown()).to.deep.equal([]);
  });

  it('does the same again for the same seed, traced or not', async () => {
    for (let seed = 1; seed <= 50; seed += 1) {
      const [one, other] = [
        await simulate(scenarioOf(seed)),
        await simulate(scenarioOf(seed), { isTraced: true }),
      ];
      expect(other.hash).to.equal(one.hash);
      expect((await simulate(scenarioOf(seed), { isTraced: true })).trace).to.deep.equal(other.trace);
    }
  });

  it('does something else for every other seed', async () => {
    const hashes = new Set<string>();
    for (let seed = 0; seed < 500; seed += 1) hashes.add((await simulate(scenarioOf(seed))).hash);
    expect(hashes.size).to.equal(500);
  });

  it('adds up to the same, however the seeds are shared out', async () => {
    const whole = await runSeeds({ type: 'seeds', from: 1, count: 100 });
    const one = await runSeeds({ type: 'seeds', from: 1, count: 50 });
    const other = await runSeeds({ type: 'seeds', from: 51, count: 50 });
    expect((one.digest + other.digest) >>> 0).to.equal(whole.digest);
  });

  it('lets updates wait in freezes where memory is full, and loses none of them [S84]', async () => {
    let freezes = 0;
    for (let run = 1; run <= 100; run += 1) {
      const scenario = scenarioOf(holdSeed(run));
      if (scenario.hold?.purpose.type !== 'freeze' || scenario.hold.room === null) continue;
      const { failure, endings, trace } = await simulate({ ...scenario, faults: [] }, { isTraced: true });
      expect(failure, `seed ${scenario.seed}, without its faults`).to.equal(null);
      expect(endings[0], `seed ${scenario.seed}, without its faults`).to.equal('committed');
      if (trace.some(({ text }) => text === 'an update waits for the write daemon')) freezes += 1;
    }
    expect(freezes).to.be.at.least(10);
  });

  it('sees why a grid may have one instant domain and not two: preflight refuses what breaks the cut', async () => {
    const promises = new Set<string | undefined>();
    for (let seed = 1; seed <= 100; seed += 1) {
      const models = ['commitFence', 'instant', 'instant'] as const;
      const { hold, ...one } = scenarioOf(seed);
      // What is held for a job has its own models.
      if (hold !== undefined) continue;
      const run = await simulate({ ...one, models, faults: [], clients: 3 });
      promises.add(run.failure?.promise);
    }
    expect([...promises]).to.have.members(['consistent-cut', undefined]);
  });

  it('plants at least forty faults, each under a name of its own, and all of them fit the sources as they are', async () => {
    expect(new Set(PLANTED.map(({ id }) => id)).size).to.equal(PLANTED.length);
    expect(PLANTED.length).to.be.at.least(40);
    expect(PLANTED_IN_HOLDS.length).to.be.at.least(15);
    // Words that have changed since would be noticed by nobody until all of them are looked for.
    for (const one of PLANTED) mustFit(one);
  });

  for (const id of [
    'observers-last',
    'commit-without-one-collected-answer',
    'broken-counts-as-held',
    'no-record-before-the-arm',
    'an-abort-is-confirmed-by-all-but-one',
    'the-living-are-taken-over',
    'an-abort-is-answered-before-it-is-done',
    'a-hold-is-told-before-all-have-marked',
    'what-a-job-had-it-gets-again',
    'another-job-lets-go',
    'a-suspension-outlives-its-lease',
    'a-write-daemon-that-had-resumed-counts-as-suspended',
    'an-update-is-lost-when-memory-is-full',
    'a-thaw-forgets-what-is-in-memory',
    'the-mark-counts-who-waits-for-room',
    'a-checkpoint-counts-for-a-backup-that-ended-later',
  ]) {
    it(`finds what is planted: ${id}`, async () => {
      const { seed } = await findPlanted({ type: 'planted', id, limit: 500 });
      expect(seed).not.to.equal(null);
    });
  }

  it('refuses to plant what changes nothing', async () => {
    const edits = [{ file: 'protocol/lease.ts', from: 'nowhere to be found', to: '' }];
    const nothing: Planted = { id: 'nothing', breaks: 'held', edits };
    let message = '';
    await plantedMachines(nothing).catch((error: Error) => {
      message = error.message;
    });
    expect(message).to.equal('nothing: "nowhere to be found" is 0 times in shared/protocol/lease.ts');
  });

  it('shrinks a failure to a schedule that still breaks the same promise and of which nothing can be spared', async () => {
    const machines = await plantedMachines(planted('a-lease-that-ran-out-is-renewed'));
    const seed = (await findPlanted({ type: 'planted', id: 'a-lease-that-ran-out-is-renewed', limit: 3000 }))
      .seed;
    const scenario = scenarioOf(seed ?? 0);

    const shortest = await shrink(scenario, machines);

    expect(shortest.run.failure?.promise).to.equal('held');
    expect(shortest.scenario.faults.length).to.be.at.most(scenario.faults.length);
    expect((await simulate(shortest.scenario, { machines })).hash).to.equal(shortest.run.hash);
    for (const spared of shortest.scenario.faults) {
      const faults = shortest.scenario.faults.filter((fault) => fault !== spared);
      expect((await simulate({ ...shortest.scenario, faults }, { machines })).failure?.promise).not.to.equal(
        'held',
      );
    }
  });

  it('tells a failure by its promise, its schedule and the last events of every process', async () => {
    const machines = await plantedMachines(planted('observers-last'));
    const { seed } = await findPlanted({ type: 'planted', id: 'observers-last', limit: 500 });

    const story = await tellFailure(scenarioOf(seed ?? 0), machines);

    expect(story).to.match(/^seed \d+: every member marks behind its fence.* \(order\)\n/);
    expect(story).to.match(/shortest schedule \(\d+ faults shrunk to 0 in \d+ runs\):/);
    for (const process of ['coordinator 0', 'agent 0', 'engine 0']) expect(story).to.include(process);
    expect(await tellFailure(scenarioOf(1), MACHINES)).to.equal('seed 1: nothing is wrong');
  });

  it('tells what a job came for, and leaves out the backups that a failure does not need', async () => {
    const machines = await plantedMachines(planted('a-quiesce-is-let-go-of-at-its-mark'));
    const { seed } = await findPlanted({
      type: 'planted',
      id: 'a-quiesce-is-let-go-of-at-its-mark',
      limit: 500,
    });

    const story = await tellFailure(scenarioOf(seed ?? 0), machines);

    expect(story).to.match(
      /a job comes for a quiesce, works for [\d.]+ ms when it has the grid; then others, for /,
    );
    expect(story).not.to.include('somebody copies');
  });
});
