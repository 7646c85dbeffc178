import { parentPort, workerData } from 'node:worker_threads';
import { AcknowledgementGate } from '../../../../agent/engines/postgres/fence/acknowledgement-gate.ts';

/** Acknowledges ever newer positions as fast as it can; reports each when it has been "sent". */
const { memory, sent } = workerData as { memory: SharedArrayBuffer; sent: SharedArrayBuffer };
const gate = new AcknowledgementGate(memory);
const [last, stop] = [new BigUint64Array(sent, 0, 1), new Int32Array(sent, 8, 1)];
parentPort?.postMessage('running');
for (let newest = 1n; Atomics.load(stop, 0) === 0; newest += 1n) {
  gate.acknowledge(newest, (position) => {
    // The worst moment to be overtaken: decided, and not yet sent.
    for (let spin = 0; spin < 200; spin += 1) Atomics.load(stop, 0);
    Atomics.store(last, 0, position);
  });
}
