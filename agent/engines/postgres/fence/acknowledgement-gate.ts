/** Long enough for any thread to get its turn; nobody holds it for more than one message. */
const PATIENCE_MS = 2000;

/**
 * What the agent and its acknowledging thread share: whether anything newer may be acknowledged, and what was
 * acknowledged last. Closed from outside of the thread, because a message to it would have to wait until both
 * threads have had their turn, on a busy host, while clients wait. Whoever acknowledges or closes has it alone,
 * so a position that the thread had already decided on cannot follow the one that `close` returned.
 */
export class AcknowledgementGate {
  /** What the other thread makes its own gate of. */
  readonly memory: SharedArrayBuffer;
  readonly #taken: Int32Array;
  readonly #closed: Int32Array;
  readonly #position: BigUint64Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(16)) {
    this.memory = memory;
    this.#taken = new Int32Array(memory, 0, 1);
    this.#closed = new Int32Array(memory, 4, 1);
    this.#position = new BigUint64Array(memory, 8, 1);
  }

  /** The last position acknowledged: nothing newer is, from now on. Throws when the thread keeps it for too long. */
  close(): bigint {
    return this.#alone(() => {
      Atomics.store(this.#closed, 0, 1);
      return Atomics.load(this.#position, 0);
    });
  }

  open(): void {
    Atomics.store(this.#closed, 0, 0);
  }

  /** Sends the newest position where it is open, the last one again where it is closed; returns which. */
  acknowledge(newest: bigint, send: (position: bigint) => void): bigint {
    return this.#alone(() => {
      if (Atomics.load(this.#closed, 0) === 0) Atomics.store(this.#position, 0, newest);
      const position = Atomics.load(this.#position, 0);
      send(position);
      return position;
    });
  }

  #alone<T>(work: () => T): T {
    while (Atomics.compareExchange(this.#taken, 0, 0, 1) !== 0) {
      if (Atomics.wait(this.#taken, 0, 1, PATIENCE_MS) === 'timed-out')
        throw new Error('the acknowledging thread and the agent wait for each other');
    }
    try {
      return work();
    } finally {
      Atomics.store(this.#taken, 0, 0);
      Atomics.notify(this.#taken, 0, 1);
    }
  }
}
