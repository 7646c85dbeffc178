import { expect } from 'chai';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { AcknowledgementGate } from '../../../../agent/engines/postgres/fence/acknowledgement-gate.ts';

describe('the gate before acknowledgements', () => {
  it('repeats the last position while it is closed, and lets the newest pass when it is open again', () => {
    const gate = new AcknowledgementGate();
    const sent: bigint[] = [];
    const send = (position: bigint): void => void sent.push(position);

    gate.acknowledge(7n, send);
    const last = gate.close();
    gate.acknowledge(9n, send);
    gate.open();
    gate.acknowledge(10n, send);

    expect(last).to.equal(7n);
    expect(sent).to.deep.equal([7n, 7n, 10n]);
  });

  it('is free again after a send that failed', () => {
    const gate = new AcknowledgementGate();
    const failing = (): void => {
      throw new Error('the socket is gone');
    };

    expect(() => gate.acknowledge(3n, failing)).to.throw('the socket is gone');
    expect(gate.close()).to.equal(3n);
  });

  it('lets nothing newer through than what closing it returned, in the middle of whatever the thread does', async () => {
    const gate = new AcknowledgementGate();
    const sent = new SharedArrayBuffer(16);
    const [last, stop] = [new BigUint64Array(sent, 0, 1), new Int32Array(sent, 8, 1)];
    const thread = new Worker(new URL('acknowledgement-gate-thread.ts', import.meta.url), {
      workerData: { memory: gate.memory, sent },
    });
    try {
      await once(thread, 'message');
      let before = 0n;
      for (let round = 0; round < 300; round += 1) {
        const position = gate.close();
        const seen = [Atomics.load(last, 0), Atomics.load(last, 0), Atomics.load(last, 0)];
        gate.open();
        expect(seen, `round ${round}`).to.deep.equal([position, position, position]);
        while (Atomics.load(last, 0) <= position);
        before = position;
      }
      expect(before > 300n).to.equal(true);
    } finally {
      Atomics.store(stop, 0, 1);
      await thread.terminate();
    }
  });
});
