/** Does the work for every item, at most `limit` at a time. The first failure stops what has not begun; it settles when all that was begun has ended. */
export async function forEachConcurrently<T>(
  items: Iterable<T>,
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  let failed = false;
  const worker = async (): Promise<void> => {
    while (!failed) {
      const next = iterator.next();
      if (next.done === true) return;
      try {
        await work(next.value);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const workers = await Promise.allSettled(Array.from({ length: limit }, worker));
  for (const one of workers) if (one.status === 'rejected') throw one.reason;
}

/** Hands out the results of `read(0)` to `read(count - 1)` in order, with up to `depth` of them under way. */
export async function* readAhead<T>(
  count: number,
  depth: number,
  read: (index: number) => Promise<T>,
): AsyncGenerator<T, void, void> {
  const underWay: Promise<T>[] = [];
  let begun = 0;
  for (let index = 0; index < count; index += 1) {
    for (; begun < count && begun < index + depth; begun += 1) {
      const reading = read(begun);
      // Its rejection is met when its turn comes, or never when the consumer leaves before.
      reading.catch(() => undefined);
      underWay.push(reading);
    }
    yield await (underWay.shift() as Promise<T>);
  }
}

/**
 * Bytes that may be in memory at once. Takers are served in order. A piece larger than the whole budget is
 * let through alone.
 */
export class ByteBudget {
  readonly #totalBytes: number;
  readonly #waiting: { bytes: number; enter: () => void }[] = [];
  #takenBytes = 0;

  constructor(totalBytes: number) {
    this.#totalBytes = totalBytes;
  }

  /** Resolves with the function that gives the bytes back. */
  async take(bytes: number): Promise<() => void> {
    if (this.#waiting.length > 0 || !this.#fits(bytes)) {
      await new Promise<void>((enter) => this.#waiting.push({ bytes, enter }));
    } else {
      this.#takenBytes += bytes;
    }
    return () => this.#giveBack(bytes);
  }

  #giveBack(bytes: number): void {
    this.#takenBytes -= bytes;
    for (let next = this.#waiting[0]; next !== undefined && this.#fits(next.bytes); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#takenBytes += next.bytes;
      next.enter();
    }
  }

  #fits(bytes: number): boolean {
    return this.#takenBytes === 0 || this.#takenBytes + bytes <= this.#totalBytes;
  }
}
