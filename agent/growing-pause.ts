import type { Failure } from '../shared/domain/errors.ts';
import { computerClock, type Clock } from '../shared/runtime/clock.ts';

const FIRST_MS = 250;
const LONGEST_MS = 30_000;

/**
 * How long to wait before something that failed is tried again: each pause is half as long again as the one before, so
 * that what comes back is met within half the time it was away. Another failure than before is news: the server
 * answers again, perhaps, and will be ready soon.
 */
export class GrowingPause {
  readonly #clock: Pick<Clock, 'pause'>;
  #last: Failure | null = null;
  #pauseMs = FIRST_MS;

  constructor(clock: Pick<Clock, 'pause'> = computerClock) {
    this.#clock = clock;
  }

  /** Whether this is another failure than the last: worth a line in the log. */
  failed(failure: Failure): boolean {
    const isNews = this.#last?.code !== failure.code || this.#last.message !== failure.message;
    this.#pauseMs = this.#last?.code === failure.code ? Math.min(LONGEST_MS, this.#pauseMs * 1.5) : FIRST_MS;
    this.#last = failure;
    return isNews;
  }

  get pauseMs(): number {
    return this.#pauseMs;
  }

  wait(): Promise<void> {
    return this.#clock.pause(this.#pauseMs);
  }
}
