/** A monotonic clock and what rings by it: the computer's, or one that a simulation moves. */
export interface Clock {
  /** Milliseconds since some moment; never goes back. */
  now(): number;
  alarm(ring: () => void): Alarm;
  pause(ms: number): Promise<void>;
}

/** Rings once, at the last moment that it was set to, or a little later; with null not at all. */
export interface Alarm {
  set(atMs: number | null): void;
}

export const computerClock: Clock = {
  now: () => performance.now(),
  alarm: (ring) => new TimerAlarm(ring),
  pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

class TimerAlarm implements Alarm {
  readonly #ring: () => void;
  #timer: NodeJS.Timeout | null = null;

  constructor(ring: () => void) {
    this.#ring = ring;
  }

  set(atMs: number | null): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer =
      atMs === null ? null : setTimeout(this.#ring, Math.max(0, Math.ceil(atMs - performance.now())));
  }
}
