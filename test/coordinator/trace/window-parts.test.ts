import { expect } from 'chai';
import { processorUse, windowOf, windowParts } from '../../../coordinator/trace/window-parts.ts';
import { AGENT_STEPS, COORDINATOR_STEPS, processTrace, steps } from './sample-trace.ts';

// Goal: what a report says of a window adds up, and clocks of hosts play no part in it.

describe('the parts of a window', () => {
  const coordinator = processTrace(steps('a', COORDINATOR_STEPS));
  const agent = processTrace(steps('a', AGENT_STEPS));

  it('are those of the last attempt, and add up to all of it', () => {
    const parts = windowParts('a', coordinator, agent);
    expect(parts).to.deep.equal({ wireMs: 5, agentMs: 6, serverMs: 4, othersMs: 4, waitedMs: null });
    expect(5 + 6 + 4 + 4).to.equal(79 - 60);
    expect(windowOf(coordinator)).to.deep.equal({ fromMs: 60, toMs: 79 });
  });

  it('do not depend on the clock of the agent', () => {
    const elsewhere = agent.steps.map((step) => ({ ...step, atMs: step.atMs + 1e9 }));
    expect(windowParts('a', coordinator, { ...agent, steps: elsewhere })).to.deep.include({ wireMs: 5 });
  });

  it('have what its agent waited for a processor while it had the turn, and nothing of before and between', () => {
    const samples = [
      { atMs: 10, ranMs: 1, waitedMs: 1 },
      { atMs: 61.01, ranMs: 10, waitedMs: 100 },
      { atMs: 64.99, ranMs: 11, waitedMs: 100.5 },
      { atMs: 72.01, ranMs: 20, waitedMs: 200 },
      { atMs: 77.99, ranMs: 21, waitedMs: 202 },
      { atMs: 90, ranMs: 99, waitedMs: 999 },
    ];
    expect(windowParts('a', coordinator, { ...agent, samples })?.waitedMs).to.equal(2.5);
    expect(processorUse(samples, 60, 79)).to.deep.equal({ ranMs: 11, waitedMs: 102 });
    expect(processorUse(samples.slice(0, 1), 60, 79)).to.equal(null);
  });

  it('are not known of a member that was not let go, and of one that nobody knows', () => {
    const until = (atMs: number): typeof coordinator => ({
      ...coordinator,
      steps: coordinator.steps.filter((step) => step.atMs < atMs),
    });
    expect(windowParts('a', until(79), agent)).to.equal(null);
    expect(windowParts('a', coordinator, processTrace([]))).to.equal(null);
    expect(windowParts('b', coordinator, agent)).to.equal(null);
    expect(windowOf(until(40))).to.equal(null);
  });

  it('begin with the first freeze of the last attempt and end with the last release', () => {
    const other = steps('b', '60.5 freeze sent\n65 marked received\n70.1 thaw sent\n82 released received');
    expect(windowOf(processTrace([...coordinator.steps, ...other]))).to.deep.equal({ fromMs: 60, toMs: 82 });
  });
});
