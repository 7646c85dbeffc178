import { StillpointError } from '../../../shared/domain/errors.ts';

/**
 * The long calls of a capture. An abort ends them soon, and waits for their end: what they had begun after it must
 * not outlive it.
 */
export class LongCalls {
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

  /** `letGo` is called at once, and again when what was under way has ended. */
  async abort(letGo: () => Promise<void>): Promise<void> {
    this.#cancelled.abort(aborted());
    await letGo();
    await this.#underWay;
    await letGo();
  }
}

export function aborted(): StillpointError {
  return new StillpointError({
    code: 'aborted',
    message: 'the checkpoint was aborted',
    hint: 'see its first failure',
  });
}
