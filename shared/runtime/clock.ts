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

const STARTED_MS = startedMs();

/** What the machine's clock showed when that of this thread began: by the closest of some readings, between two of ours. */
function startedMs(): number {
  const readings = Array.from({ length: 16 }, () => {
    const before = performance.now();
    const machine = Number(process.hrtime.bigint()) / 1e6;
    const after = performance.now();
    return { apartMs: after - before, startedMs: machine - (before + after) / 2 };
  });
  return readings.reduce((one, other) => (other.apartMs < one.apartMs ? other : one)).startedMs;
}

/** Milliseconds of the machine's own monotonic clock: the same for all its processes and their threads. */
export function machineMs(): number {
  return STARTED_MS + performance.now();
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
