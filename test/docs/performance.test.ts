import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { STEPS } from '../../shared/domain/trace.ts';
import { ROOT } from '../lab/processes.ts';

// Goal: every point of a trace can be looked up, and the page names no other. Its command is run by test/e2e/trace.test.ts.

describe('the page about performance', () => {
  const page = readFileSync(join(ROOT, 'docs/performance.md'), 'utf8');
  const [, section = ''] = page.split('\n## The steps\n');
  const named = new Set([...section.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name));

  it('has every step of a trace', () => {
    const missing = STEPS.filter((step) => {
      const [word = ''] = step.split(' ');
      if (step.endsWith(' entered')) return false;
      return !named.has(step) && !(/ (sent|received)$/.test(step) && named.has(word));
    });
    expect(missing).to.deep.equal([]);
    expect(STEPS).to.have.length.greaterThan(40);
  });

  it('reads a window in the words of the trace', () => {
    const lines = /^```text\n([^]*?)\n```$/m.exec(page)?.[1]?.split('\n') ?? [];
    const steps = lines.map((line) => line.slice(24, 43).trim());
    expect(steps.filter((step) => !(STEPS as readonly string[]).includes(step))).to.deep.equal([]);
    expect(steps.length).to.be.greaterThan(30);
    const moments = lines.map((line) => Number(line.slice(0, 6)));
    expect(moments).to.deep.equal(moments.toSorted((one, other) => one - other));
  });
});
