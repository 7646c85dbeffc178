const WINDOW_MS = 10_000;

/** How fast something comes, over the last ten to twenty seconds. */
export class Pace {
  #from = performance.now();
  #count = 0;
  #before = 0;

  add(count: number): void {
    this.#look();
    this.#count += count;
  }

  /** For each millisecond. */
  get now(): number {
    this.#look();
    return (this.#before + this.#count) / (WINDOW_MS + performance.now() - this.#from);
  }

  #look(): void {
    const windows = Math.floor((performance.now() - this.#from) / WINDOW_MS);
    if (windows === 0) return;
    this.#before = windows === 1 ? this.#count : 0;
    this.#count = 0;
    this.#from += windows * WINDOW_MS;
  }
}
