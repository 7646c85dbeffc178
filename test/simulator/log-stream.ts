import type { World } from './world.ts';

/** By which an observer gets another's log: a new one after each that broke. */
export class LogStream {
  readonly #world: World;
  /** A number for each; null while it is broken. */
  #current: number | null = 1;
  #streams = 1;
  #brokeAt = -1;

  constructor(world: World) {
    this.#world = world;
  }

  get current(): number | null {
    return this.#current;
  }

  /** The log arrives anyhow, by another way: what an observer shows does not depend on its stream. */
  break(forTime: number): void {
    if (this.#current === null) return;
    this.#current = null;
    this.#brokeAt = this.#world.now;
    this.#world.timeline.after(forTime, () => this.connectAnew());
  }

  connectAnew(): void {
    if (this.#current !== null) return;
    this.#streams += 1;
    this.#current = this.#streams;
  }

  brokeAfter(moment: number): boolean {
    return this.#brokeAt > moment;
  }
}
