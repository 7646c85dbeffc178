import { expect } from 'chai';
import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { machineMs } from '../../shared/runtime/clock.ts';
import { ProcessTracer } from '../../shared/runtime/process-tracer.ts';

// Goal: what is noted is what comes out, on the machine's clock, and nothing grows while it is noted.

describe('the steps of a process', () => {
  let tracer: ProcessTracer;

  beforeEach(() => {
    tracer = new ProcessTracer(['a', 'b']);
  });

  afterEach(() => tracer.end());

  it('come out as they were noted, with their moments', () => {
    const before = machineMs();
    tracer.note('prepare entered', '');
    tracer.note('freeze received', 'b');
    tracer.note('acknowledged', 'a', 42.5);
    const after = machineMs();
    const { steps, processId, lost } = tracer.read();
    expect(steps.map(({ member, step }) => `${member}: ${step}`)).to.deep.equal([
      ': prepare entered',
      'b: freeze received',
      'a: acknowledged',
    ]);
    expect(steps[0]?.atMs).to.be.within(before, after);
    expect(steps[1]?.atMs).to.be.within(steps[0]?.atMs ?? 0, after);
    expect(steps[2]?.atMs).to.equal(42.5);
    expect({ processId, lost }).to.deep.equal({ processId: process.pid, lost: 0 });
  });

  it('are those of members that take part: others have no room', () => {
    tracer.note('freeze received', 'stranger');
    tracer.note(undefined, 'a');
    expect(tracer.read().steps).to.deep.equal([]);
  });

  it('are counted where there is no room for them any more, and the first stay', () => {
    for (let nth = 0; nth < 3 * 256 + 10; nth += 1) tracer.note('arm received', 'a', nth);
    const { steps, lost } = tracer.read();
    expect(steps).to.have.length(3 * 256);
    expect(steps.at(-1)?.atMs).to.equal(3 * 256 - 1);
    expect(lost).to.equal(10);
  });

  it('are on a clock that threads of other ages share', async () => {
    const source = `
      const { parentPort } = require('node:worker_threads');
      import(${JSON.stringify(new URL('../../shared/runtime/clock.ts', import.meta.url).href)})
        .then(({ machineMs }) => parentPort.postMessage(machineMs()));`;
    const before = machineMs();
    const worker = new Worker(source, { eval: true });
    const theirs = await new Promise<number>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    expect(theirs).to.be.within(before - 0.1, machineMs() + 0.1);
    expect(Math.abs(machineMs() - Number(process.hrtime.bigint()) / 1e6)).to.be.below(1);
    await worker.terminate();
  });

  it('stand beside what the thread has run and waited', function () {
    if (!existsSync('/proc/self/schedstat')) this.skip();
    tracer.sample();
    const until = performance.now() + 30;
    let turns = 0;
    while (performance.now() < until) turns += 1;
    tracer.sample();
    const [first, last] = tracer.read().samples;
    expect(turns).to.be.greaterThan(0);
    const ran = (last?.ranMs ?? 0) - (first?.ranMs ?? 0);
    const waited = (last?.waitedMs ?? 0) - (first?.waitedMs ?? 0);
    const passed = (last?.atMs ?? 0) - (first?.atMs ?? 0);
    expect(ran).to.be.greaterThan(0.1);
    expect(ran + waited).to.be.closeTo(passed, 0.2 * passed + 5);
  });

  it('can be read after the end, which closes what they were taken from', () => {
    tracer.note('freeze received', 'a');
    tracer.end();
    tracer.end();
    tracer.sample();
    expect(tracer.read().steps).to.have.length(1);
  });
});
