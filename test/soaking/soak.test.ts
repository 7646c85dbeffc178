import { expect } from 'chai';
import { SoakLab } from '../../scripts/soaking/lab.ts';
import type { Turn } from '../../scripts/soaking/plan.ts';
import { tellResult } from '../../scripts/soaking/report.ts';
import { soak } from '../../scripts/soaking/soak.ts';

// Goal: a soak of real servers tells a fault that it made from a promise that was broken.
// Method: three checkpoints; in the second an agent is killed while every member is held, and after the third
// it is restored and checked.

const PLAN: readonly Turn[] = [
  { fault: null, everyMs: 0 },
  { fault: { kind: 'agent killed', moment: 'marked', member: 'paymentsa', lastsMs: 0 }, everyMs: 0 },
  { fault: null, everyMs: 0 },
];

describe('a short soak', function () {
  this.timeout(240_000);
  let lab: SoakLab;

  before(async () => {
    lab = await SoakLab.start();
  });

  after(() => lab?.close());

  it('commits what it did not disturb, verifies and restores it, and counts the agent that it killed', async () => {
    const said: string[] = [];
    const { totals, growths } = await soak({
      lab,
      plan: PLAN,
      runsForMs: Infinity,
      restoreEvery: 2,
      tell: (line) => said.push(line),
      signal: new AbortController().signal,
    });
    expect(totals.violations, said.join('\n')).to.deep.equal([]);
    expect(Object.fromEntries(totals.byEnding)).to.deep.equal({ committed: 2, aborted: 1 });
    expect(Object.fromEntries(totals.causes)).to.deep.equal({ 'aborted: agent-lost': 1 });
    expect(totals).to.include({ verified: 2, restored: 1 });
    expect(totals.windowMs.max).to.be.greaterThan(0);
    expect(growths.map(({ starts }) => starts)).to.deep.equal([1, 1, 2, 1]);
    expect(said.filter((line) => /^\d\d:\d\d:\d\d #\d/.test(line))).to.have.length(3);
    const result = { totals, growths, lastingHost: lab.lastingHost, repositoryBytes: [] };
    expect(tellResult(result)).to.match(/^Every checkpoint was what it said\.$/m);
  });
});
