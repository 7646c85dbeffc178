/** Simulated time: things happen in the order of their moment, and nothing happens in between. */
export class Timeline {
  #now = 0;
  #count = 0;
  readonly #queue: { at: number; order: number; happen: () => void }[] = [];

  get now(): number {
    return this.#now;
  }

  after(delayMs: number, happen: () => void): void {
    this.#queue.push({ at: this.#now + Math.max(0, delayMs), order: this.#count, happen });
    this.#count += 1;
  }

  /** Runs until nothing is left to happen, or the limit is reached. True when it went idle. */
  run(limitMs: number): boolean {
    for (;;) {
      let first = 0;
      if (this.#queue.length === 0) return true;
      for (let index = 1; index < this.#queue.length; index += 1) {
        const [one, other] = [this.#queue[index], this.#queue[first]];
        if (
          one !== undefined &&
          other !== undefined &&
          (one.at < other.at || (one.at === other.at && one.order < other.order))
        )
          first = index;
      }
      const [next] = this.#queue.splice(first, 1);
      if (next === undefined || next.at > limitMs) return false;
      this.#now = next.at;
      next.happen();
    }
  }
}
