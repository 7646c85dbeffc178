import { aborted } from './engine.ts';

/**
 * The calls of hold and copy, one at a time. An abort ends the one under way soon, and waits for its end: what it had asked
 * of the member may take hold after the member was asked to let go.
 */
export class OneCallAtATime {
  readonly #cancelled = new AbortController();
  #underWay: Promise<void> = Promise.resolve();

  get signal(): AbortSignal {
    return this.#cancelled.signal;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    this.signal.throwIfAborted();
    const working = work();
    this.#underWay = working.then(
      () => undefined,
      () => undefined,
    );
    try {
      return await working;
    } catch (error) {
      this.signal.throwIfAborted();
      throw error;
    }
  }

  /** Ends the call under way, and waits for its end; none begins any more. */
  async ended(): Promise<void> {
    this.#cancelled.abort(aborted());
    await this.#underWay;
  }

  /** `release` is called at once; `end` when what was under way has ended, for it may have taken hold after that. */
  async abort({ release, end }: { release: () => Promise<void>; end: () => Promise<void> }): Promise<void> {
    this.#cancelled.abort(aborted());
    try {
      await release();
    } finally {
      await this.#underWay;
    }
    await end();
  }
}
