interface Entry {
  readonly at: number;
  readonly order: number;
  readonly happen: () => void;
}

/**
 * Simulated time in whole microseconds: things happen in the order of their moment, those of one moment in
 * the order in which they were planned, and nothing happens in between. A binary heap.
 */
export class Timeline {
  now = 0;
  #count = 0;
  readonly #heap: Entry[] = [];

  after(delay: number, happen: () => void): void {
    const entry: Entry = { at: this.now + (delay > 0 ? Math.ceil(delay) : 0), order: this.#count, happen };
    this.#count += 1;
    const heap = this.#heap;
    let index = heap.length;
    heap.push(entry);
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = heap[above] as Entry;
      if (isBefore(parent, entry)) break;
      heap[index] = parent;
      index = above;
    }
    heap[index] = entry;
  }

  /** What comes next happens. False when nothing does until then: then it is that moment. */
  advance(until: number): boolean {
    const heap = this.#heap;
    const first = heap[0];
    if (first === undefined || first.at > until) {
      this.now = until;
      return false;
    }
    const last = heap.pop() as Entry;
    if (heap.length > 0) this.#sink(last);
    this.now = first.at;
    first.happen();
    return true;
  }

  #sink(entry: Entry): void {
    const heap = this.#heap;
    const { length } = heap;
    let index = 0;
    for (let below = 1; below < length; below = index * 2 + 1) {
      const right = below + 1;
      if (right < length && isBefore(heap[right] as Entry, heap[below] as Entry)) below = right;
      const child = heap[below] as Entry;
      if (isBefore(entry, child)) break;
      heap[index] = child;
      index = below;
    }
    heap[index] = entry;
  }
}

function isBefore(one: Entry, other: Entry): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
