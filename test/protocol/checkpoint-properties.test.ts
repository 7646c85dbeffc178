import { expect } from 'chai';
import fc from 'fast-check';
import type { FreezeKind } from '../../shared/domain/grid.ts';
import type { CommitProof } from '../../shared/protocol/coordinator-machine.ts';
import { compareTokens } from '../../shared/domain/token.ts';
import { LEASE_MS, SimulatedGrid, type SimulatedCheckpoint } from '../simulator/simulate.ts';

// Goal: the rules of the protocol hold in every run, whatever the network and the processes do.
// Method: both real machines over a simulated network; faults at random moments, by seed; the engines keep
// the true times of every fence, mark and thaw, which no machine sees.

interface Scenario {
  readonly seed: number;
  readonly kinds: readonly FreezeKind[];
  readonly lose: number;
  readonly duplicate: number;
  readonly maxDelayMs: number;
  readonly acts: readonly { readonly at: number; readonly member: number; readonly what: string }[];
}

const WHAT = [
  'loseConnection',
  'killAgent',
  'killAgentForGood',
  'killCoordinator',
  'cancel',
  'leak',
  'restart',
  'slowFreeze',
  'slowThaw',
  'failFreeze',
  'failCollect',
];

const scenarios = fc.record({
  seed: fc.integer({ min: 1, max: 1_000_000 }),
  kinds: fc.array(fc.constantFrom<FreezeKind>('fenced', 'fenced', 'fenced', 'observer', 'instant'), {
    minLength: 1,
    maxLength: 6,
  }),
  lose: fc.constantFrom(0, 0, 0.02, 0.2),
  duplicate: fc.constantFrom(0, 0.3),
  maxDelayMs: fc.constantFrom(2, 2, 50, 600),
  acts: fc.array(
    fc.record({ at: fc.integer({ min: 0, max: 120 }), member: fc.nat(5), what: fc.constantFrom(...WHAT) }),
    { maxLength: 3 },
  ),
});

const seen = new Map<string, number>();
const note = (what: string): void => void seen.set(what, (seen.get(what) ?? 0) + 1);

function runScenario(scenario: Scenario): { grid: SimulatedGrid; checkpoint: SimulatedCheckpoint } {
  const grid = new SimulatedGrid({
    seed: scenario.seed,
    members: scenario.kinds.map((kind, index) => ({ name: `m${index}`, kind })),
    network: { lose: scenario.lose, duplicate: scenario.duplicate, maxDelayMs: scenario.maxDelayMs },
  });
  const checkpoint = grid.createCheckpoint();
  for (const act of scenario.acts) grid.timeline.after(act.at, () => perform(grid, checkpoint, act));
  watchLeases(grid);
  grid.timeline.run(60_000);
  return { grid, checkpoint };
}

function perform(
  grid: SimulatedGrid,
  checkpoint: SimulatedCheckpoint,
  act: { member: number; what: string },
): void {
  const member = grid.members[act.member % grid.members.length];
  if (member === undefined) return;
  if (act.what === 'loseConnection') checkpoint.loseConnection(member);
  else if (act.what === 'killCoordinator') checkpoint.kill();
  else if (act.what === 'cancel') checkpoint.cancel();
  else if (act.what === 'leak') member.engine.faults = { leaks: true };
  else if (act.what === 'restart') member.engine.faults = { restarts: true };
  else if (act.what === 'slowFreeze') member.engine.faults = { slow: { call: 'freeze', forMs: 1500 } };
  else if (act.what === 'slowThaw') member.engine.faults = { slow: { call: 'thaw', forMs: 1500 } };
  else if (act.what === 'failFreeze') member.engine.faults = { fails: 'freeze' };
  else if (act.what === 'failCollect') member.engine.faults = { fails: 'collect' };
  else {
    grid.killAgent(member);
    checkpointNotices(checkpoint, grid, member.name);
    if (act.what === 'killAgent') grid.timeline.after(400, () => grid.startAgent(member));
  }
}

function checkpointNotices(checkpoint: SimulatedCheckpoint, grid: SimulatedGrid, member: string): void {
  const failure = { code: 'agent-lost', message: 'lost', hint: 'none' };
  grid.timeline.after(5, () =>
    checkpoint.step({ type: 'memberLost', now: grid.timeline.now, member, failure }),
  );
}

/** A lease, a slow thaw of at most 1.5 s with its own lease, and the engine's own time. */
const LONGEST_FREEZE_MS = 2 * LEASE_MS + 100;

function watchLeases(grid: SimulatedGrid): void {
  const look = (): void => {
    for (const { name, engine } of grid.members) {
      const since = engine.frozenSince;
      // Word from the coordinator renews a lease; without a coordinator's end there is a bound all the same.
      if (since !== null && grid.timeline.now - since > LONGEST_FREEZE_MS + 6 * LEASE_MS)
        throw new Error(`${name} is frozen since ${since}`);
    }
    if (grid.timeline.now < 50_000) grid.timeline.after(100, look);
  };
  look();
}

/** F ≤ M for each, max M ≤ min T, observers before the fences, instants after every fenced mark. */
function checkOrder(grid: SimulatedGrid, proof: CommitProof): void {
  const token = `${proof.token.counter}/${proof.token.attempt}`;
  const attempts = grid.members.map((member) => {
    const found = member.engine.history.findLast((one) => one.token === token);
    if (
      found === undefined ||
      found.fencedAt === null ||
      found.markedAt === null ||
      found.openedAt === null
    ) {
      throw new Error(`${member.name} did not take part in what was committed`);
    }
    expect(found.spoiled, `${member.name} was spoiled`).to.equal(false);
    return {
      kind: member.kind,
      fencedAt: found.fencedAt,
      markedAt: found.markedAt,
      openedAt: found.openedAt,
    };
  });
  const of = (kind: FreezeKind) => attempts.filter((one) => one.kind === kind);
  const lastMark = Math.max(...attempts.map((one) => one.markedAt));
  const firstThaw = Math.min(...attempts.map((one) => one.openedAt));
  for (const one of attempts) expect(one.fencedAt).to.be.at.most(one.markedAt);
  expect(lastMark).to.be.at.most(firstThaw);
  const firstFence = Math.min(...of('fenced').map((one) => one.fencedAt));
  for (const observer of of('observer')) expect(observer.fencedAt).to.be.at.most(firstFence);
  const lastFencedMark = Math.max(-1, ...of('fenced').map((one) => one.markedAt));
  for (const instant of of('instant')) expect(instant.fencedAt).to.be.at.least(lastFencedMark);
}

describe('in every run of the protocol, whatever fails when', () => {
  it('a committed checkpoint is a consistent cut, and nobody stays frozen [S1] [S56] [S71] [S89]', function () {
    this.timeout(120_000);
    fc.assert(
      fc.property(scenarios, (scenario) => {
        const { grid, checkpoint } = runScenario(scenario);
        note(checkpoint.outcome?.kind ?? (checkpoint.alive ? 'nothing' : 'coordinator killed'));
        if (checkpoint.alive) expect(checkpoint.outcome, 'an outcome').not.to.equal(null);
        expect(grid.frozenMembers()).to.deep.equal([]);
        for (const { proof } of grid.commits) {
          checkOrder(grid, proof);
          note(`attempt ${proof.token.attempt}`);
        }
        if (checkpoint.outcome !== null)
          expect(grid.commits.length).to.equal(checkpoint.outcome.kind === 'committed' ? 1 : 0);
      }),
      { numRuns: 4000, seed: 20_261_120 },
    );
    // The runs went everywhere: each of these endings happened.
    expect([...seen.keys()]).to.include.members([
      'committed',
      'aborted',
      'invalid',
      'maybeFrozen',
      'coordinator killed',
      'attempt 1',
    ]);
  });

  it('the token is on disk before the engine arms', () => {
    fc.assert(
      fc.property(scenarios, (scenario) => {
        const { grid } = runScenario(scenario);
        for (const member of grid.members) {
          const arms = member.engine.calls.filter((call) => call.startsWith('arm'));
          arms.forEach((call, index) => {
            const recorded = member.tokensAtFence[index];
            expect(recorded === null || recorded === undefined ? '' : `arm ${recorded.attempt}`).to.equal(
              call,
            );
          });
        }
      }),
      { numRuns: 500, seed: 7 },
    );
  });

  it('the next checkpoint succeeds once the faults have stopped', () => {
    fc.assert(
      fc.property(scenarios, (scenario) => {
        const { grid, checkpoint } = runScenario({ ...scenario, lose: 0, maxDelayMs: 2 });
        checkpoint.kill();
        grid.timeline.run(120_000);
        for (const member of grid.members) {
          member.engine.faults = {};
          grid.startAgent(member);
        }
        const before = grid.commits.length;
        const second = grid.createCheckpoint();
        grid.timeline.run(200_000);
        expect(second.outcome?.kind).to.equal('committed');
        expect(grid.commits.length).to.equal(before + 1);
        const newest = grid.commits.at(-1)?.proof;
        expect(newest?.token.counter).to.equal(2);
        if (newest !== undefined) checkOrder(grid, newest);
      }),
      { numRuns: 800, seed: 11 },
    );
  });

  it('tokens only grow on a member', () => {
    fc.assert(
      fc.property(scenarios, (scenario) => {
        const { grid } = runScenario(scenario);
        for (const { tokensAtFence } of grid.members) {
          for (const [index, token] of tokensAtFence.entries()) {
            const earlier = tokensAtFence[index - 1];
            if (token !== null && earlier !== null && earlier !== undefined)
              expect(compareTokens(token, earlier)).to.be.greaterThan(0);
          }
        }
      }),
      { numRuns: 300, seed: 13 },
    );
  });
});
