import { expect } from 'chai';
import type { FaultName } from '../../scripts/soaking/fault-kinds.ts';
import { growthOf, slopeOf, totalsOf } from '../../scripts/soaking/figures.ts';
import { tellResult } from '../../scripts/soaking/report.ts';
import type { Round } from '../../scripts/soaking/round.ts';
import type { Sample } from '../../scripts/soaking/samples.ts';

// Goal: the figures at the end of a soak say what happened in it.

const HOST = '127.0.71.2';

function sample(overrides: Partial<Sample> = {}): Sample {
  return { host: HOST, pid: 1, residentMb: 100, descriptors: 20, threads: 11, ...overrides };
}

function samples(count: number, memoryOf: (index: number) => number): Sample[] {
  return Array.from({ length: count }, (_, index) => sample({ residentMb: memoryOf(index) }));
}

function round(number: number, overrides: Partial<Round> & { kind?: FaultName } = {}): Round {
  const { kind, ...others } = overrides;
  return {
    number,
    fault: kind === undefined ? null : { kind, moment: 'marked', member: 'ordersa', lastsMs: 0 },
    ending: 'committed',
    cause: null,
    checkpoint: null,
    windowMs: null,
    durationMs: 1000,
    attempts: 1,
    thawMs: null,
    blockedMs: 0,
    verified: false,
    restored: false,
    beganAt: 0,
    violations: [],
    ...others,
  };
}

describe("an agent's memory over a soak", () => {
  it('is flat when it rises at first and then only goes up and down', () => {
    const growth = growthOf(samples(40, (index) => Math.min(150, 100 + index * 10) + (index % 3) * 20));
    expect(growth).to.include({ verdict: 'flat', checkpoints: 40 });
    expect(growth?.slopeMb).to.be.within(-0.1, 0.1);
  });

  it('grows when every checkpoint leaves a little, under spikes', () => {
    const growth = growthOf(samples(40, (index) => 100 + index * 0.5 + (index % 7 === 0 ? 200 : 0)));
    expect(growth).to.include({ verdict: 'grows' });
    expect(growth?.slopeMb).to.be.closeTo(0.5, 0.05);
  });

  it('grows when a descriptor or a thread is left', () => {
    const before = samples(40, () => 100);
    expect(growthOf([...before, sample({ descriptors: 21 })])).to.include({ verdict: 'grows' });
    expect(growthOf([...before, sample({ threads: 12 })])).to.include({ verdict: 'grows' });
  });

  it('is that of the process that runs in the end, and not judged before it took part often enough', () => {
    const growth = growthOf([...samples(40, (index) => index), sample({ pid: 2 }), sample({ pid: 2 })]);
    expect(growth).to.include({ verdict: 'too short to say', starts: 2, checkpoints: 2 });
  });

  it('has the median of all slopes as its slope', () => {
    expect(slopeOf([])).to.equal(0);
    expect(slopeOf([5])).to.equal(0);
    expect(slopeOf([1, 3])).to.equal(2);
    expect(slopeOf([0, 2, 4, 6])).to.equal(2);
    expect(slopeOf([0, 1, 1000, 3, 4])).to.equal(1);
  });
});

describe('the figures of a soak', () => {
  const rounds = [
    round(1, { windowMs: 2, verified: true, blockedMs: 10 }),
    round(2, {
      windowMs: 4,
      verified: true,
      restored: true,
      attempts: 2,
      kind: 'wait of a commit cancelled',
    }),
    round(3, { ending: 'aborted', cause: 'agent-lost', kind: 'agent killed', blockedMs: 900 }),
    round(4, { ending: 'aborted', cause: 'agent-lost', kind: 'agent killed', blockedMs: 800 }),
    round(5, { ending: 'invalid', cause: 'checkpoint-invalid', kind: 'server killed', blockedMs: 5000 }),
    round(6, { windowMs: 9, verified: true, violations: ['2 writes are missing'] }),
  ];

  it('count endings, causes and faults, and tell how long clients waited with and without faults', () => {
    const totals = totalsOf(rounds);
    expect(Object.fromEntries(totals.byEnding)).to.deep.equal({ committed: 3, aborted: 2, invalid: 1 });
    expect(Object.fromEntries(totals.causes)).to.deep.equal({
      'aborted: agent-lost': 2,
      'invalid: checkpoint-invalid': 1,
    });
    expect(totals.faults.get('agent killed')).to.equal(2);
    expect(totals).to.include({ checkpoints: 6, triedAgain: 1, verified: 3, restored: 1 });
    expect(totals.windowMs).to.deep.equal({ median: 4, max: 9 });
    expect(totals.blockedMs).to.deep.equal({ quiet: 10, faults: 900, serverFaults: 5000 });
    expect(totals.violations).to.deep.equal([{ number: 6, text: '2 writes are missing' }]);
  });

  it('name every checkpoint that violated a promise', () => {
    const result = { growths: [], lastingHost: HOST, repositoryBytes: [] };
    expect(tellResult({ totals: totalsOf(rounds), ...result })).to.match(/^VIOLATED by #6: see above\.$/m);
    const good = tellResult({ totals: totalsOf(rounds.slice(0, 5)), ...result });
    expect(good).to.match(/^Every checkpoint was what it said\.$/m);
    expect(good).to.match(/^ +violations +0$/m);
  });
});
