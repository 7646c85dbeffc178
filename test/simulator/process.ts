import type { Clock } from '../../shared/runtime/clock.ts';
import type { World } from './world.ts';

/**
 * A process on some host: it has a monotonic clock of its own, may be killed and started again, stopped and
 * continued. What is meant for one of its lives is never seen by the next; what comes while it is stopped
 * waits until it goes on.
 */
export class Process {
  readonly world: World;
  readonly name: string;
  isAlive = true;
  isPaused = false;
  wasPaused = false;
  life = 0;
  /** For the code of ours that it runs. */
  readonly clock: Clock = {
    now: () => this.nowMs,
    alarm: (ring) => new Alarm(this, () => this.world.tasks.wake(this, ring)),
    pause: (ms) =>
      this.world.tasks.promise(this, (resolve) => this.after(ms * 1000, () => resolve(undefined))),
  };
  readonly #rate: number;
  readonly #offset: number;
  #waiting: (() => void)[] = [];

  constructor(world: World, name: string) {
    this.world = world;
    this.name = name;
    this.#rate = 1 + world.random.between(-MAX_DRIFT, MAX_DRIFT);
    this.#offset = Math.floor(world.random.between(0, 1e9));
  }

  /** Its own monotonic clock, in milliseconds. */
  get nowMs(): number {
    return (this.world.now * this.#rate + this.#offset) / 1000;
  }

  /** By so much the calendar of its host is wrong: some seconds at most. */
  get clockAheadMs(): number {
    return (this.#offset % 4_000_000) / 1000 - 2000;
  }

  /** Happens in this life, when that much true time has passed and the process is not stopped. */
  after(delay: number, happen: () => void): void {
    const { life } = this;
    this.world.timeline.after(delay, () => {
      if (this.life === life) this.happen(happen);
    });
  }

  /** The same, when its own clock shows this. */
  at(nowMs: number, happen: () => void): void {
    this.after(((nowMs - this.nowMs) * 1000) / this.#rate, happen);
  }

  /** What breaks a promise in what code of ours calls ends the run, however that code takes errors. */
  judged<T>(happens: () => T, otherwise: T): T {
    try {
      return happens();
    } catch (error) {
      this.world.tasks.broke(error as Error);
      return otherwise;
    }
  }

  happen(what: () => void): void {
    if (!this.isAlive) return;
    if (this.isPaused) this.#waiting.push(what);
    else what();
  }

  kill(): void {
    this.isAlive = false;
    this.isPaused = false;
    this.life += 1;
    this.#waiting = [];
  }

  start(): void {
    this.isAlive = true;
  }

  pause(): void {
    this.isPaused = true;
    this.wasPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    const { life } = this;
    for (const [index, happen] of waiting.entries()) {
      if (this.life !== life) return;
      // Stopped again by what it just did.
      if (this.isPaused) return void this.#waiting.unshift(...waiting.slice(index));
      happen();
    }
  }
}

/** No two clocks run apart faster than this. */
export const MAX_DRIFT = 0.01;

/** One timer of a process, for the next deadline of its machine: never more than one is under way. */
class Alarm {
  readonly #process: Process;
  readonly #rings: () => void;
  #plannedMs: number | null = null;
  #wantedMs: number | null = null;
  #life = 0;

  constructor(process: Process, rings: () => void) {
    this.#process = process;
    this.#rings = rings;
  }

  set(deadlineMs: number | null): void {
    this.#wantedMs = deadlineMs;
    if (deadlineMs === null) return;
    if (this.#life !== this.#process.life) this.#plannedMs = null;
    if (this.#plannedMs !== null && this.#plannedMs <= deadlineMs) return;
    this.#life = this.#process.life;
    this.#plannedMs = deadlineMs;
    // As a real timer: what is overdue rings soon, not at this very moment.
    this.#process.at(Math.max(deadlineMs, this.#process.nowMs + 0.5), () => this.#ring(deadlineMs));
  }

  #ring(plannedMs: number): void {
    // An earlier one was planned after this.
    if (this.#plannedMs !== plannedMs) return;
    this.#plannedMs = null;
    const wantedMs = this.#wantedMs;
    if (wantedMs === null) return;
    if (this.#process.nowMs >= wantedMs) this.#rings();
    else this.set(wantedMs);
  }
}
