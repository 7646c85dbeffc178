import type { Reference } from './document-store.ts';

/** One that is not at its end. */
interface Running {
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

/** Of a cluster: who has the turn, or waits for it last, and when nobody before or that one has it any more. */
interface Turn {
  readonly reference: Reference;
  readonly over: Promise<void>;
}

/** What is carried out: of a cluster one document at a time, in the order in which they are begun. */
export class Turns {
  readonly #running = new Map<Reference, Running>();
  readonly #turns = new Map<string, Turn>();

  /**
   * Has it carried out when it is its turn; `waitsFor` is told for whom it waits, and null when it does no more. One that is
   * aborted while it waits is not begun. `carryOut` never rejects.
   */
  begin(
    reference: Reference,
    cluster: string,
    waitsFor: (other: Reference | null) => Promise<void>,
    carryOut: (signal: AbortSignal) => Promise<void>,
  ): void {
    const before = this.#turns.get(cluster) ?? null;
    const abort = new AbortController();
    const done = inTurn(before, abort.signal, waitsFor, carryOut).finally(() =>
      this.#running.delete(reference),
    );
    const over = Promise.all([before?.over, done]).then(() => {
      if (this.#turns.get(cluster)?.over === over) this.#turns.delete(cluster);
    });
    this.#running.set(reference, { abort, done });
    this.#turns.set(cluster, { reference, over });
  }

  isRunning(reference: Reference): boolean {
    return this.#running.has(reference);
  }

  /** Resolves when it is at its end. */
  async end(reference: Reference, reason: Error): Promise<void> {
    const running = this.#running.get(reference);
    running?.abort.abort(reason);
    await running?.done;
  }

  async endAll(reason: Error): Promise<void> {
    await Promise.all([...this.#running.keys()].map((reference) => this.end(reference, reason)));
  }
}

async function inTurn(
  before: Turn | null,
  signal: AbortSignal,
  waitsFor: (other: Reference | null) => Promise<void>,
  carryOut: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  if (before !== null) {
    await waitsFor(before.reference);
    await Promise.race([before.over, once(signal)]);
    if (signal.aborted) return;
    await waitsFor(null);
  }
  await carryOut(signal);
}

/** Resolves when the signal comes. */
function once(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
