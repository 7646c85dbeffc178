export interface TraceLine {
  readonly at: number;
  readonly process: string;
  readonly text: string;
}

/**
 * What happened in a run. Its hash is always kept: two runs with the same hash are the same run. The words
 * are kept only when somebody wants to read them.
 */
export class EventLog {
  readonly trace: TraceLine[] = [];
  readonly #isTraced: boolean;
  #low = 0x811c9dc5;
  #high = 0x1b873593;
  count = 0;

  constructor(isTraced: boolean) {
    this.#isTraced = isTraced;
  }

  /** `code` and `value` go into the hash; the text must say no more than they do. */
  note(at: number, process: string, code: number, value: number, text: () => string): void {
    this.count += 1;
    this.#low = Math.imul(this.#low ^ at, 0x01000193) ^ code;
    this.#high = Math.imul(this.#high ^ value ^ (at / 65536), 0x85ebca6b) ^ (this.#low >>> 13);
    this.#low = Math.imul(this.#low ^ (this.#high >>> 11), 0xc2b2ae35);
    if (this.#isTraced) this.trace.push({ at, process, text: text() });
  }

  get hash(): string {
    return [this.#high, this.#low].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('');
  }
}
