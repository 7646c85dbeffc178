interface Entry<T> {
  readonly at: number;
  readonly value: T;
}

/**
 * What was heard from each member, as a map that never changes. One more entry makes another map and takes the same time
 * however many there are: a grid of a thousand members answers thousands of times while clients wait.
 *
 * Maps that grew out of one another share their entries, and each sees as many of them as there were when it was made.
 */
export class Heard<T> implements ReadonlyMap<string, T> {
  readonly #shared: Map<string, Entry<T>>;
  readonly size: number;

  private constructor(shared: Map<string, Entry<T>>, size: number) {
    this.#shared = shared;
    this.size = size;
  }

  static of<T>(map: ReadonlyMap<string, T>): Heard<T> {
    if (map instanceof Heard) return map as Heard<T>;
    const shared = new Map<string, Entry<T>>();
    for (const [name, value] of map) shared.set(name, { at: shared.size, value });
    return new Heard(shared, shared.size);
  }

  with(name: string, value: T): Heard<T> {
    // What another map has added, or has seen of this member, stays its own.
    if (this.#shared.size !== this.size || this.#shared.has(name))
      return Heard.of(new Map(this).set(name, value));
    this.#shared.set(name, { at: this.size, value });
    return new Heard(this.#shared, this.size + 1);
  }

  has(name: string): boolean {
    return this.#entry(name) !== null;
  }

  get(name: string): T | undefined {
    return this.#entry(name)?.value;
  }

  forEach(each: (value: T, name: string, map: ReadonlyMap<string, T>) => void): void {
    for (const [name, value] of this) each(value, name, this);
  }

  *entries(): MapIterator<[string, T]> {
    for (const [name, { at, value }] of this.#shared) {
      if (at >= this.size) return;
      yield [name, value];
    }
  }

  *keys(): MapIterator<string> {
    for (const [name] of this) yield name;
  }

  *values(): MapIterator<T> {
    for (const [, value] of this) yield value;
  }

  [Symbol.iterator](): MapIterator<[string, T]> {
    return this.entries();
  }

  #entry(name: string): Entry<T> | null {
    const entry = this.#shared.get(name);
    return entry !== undefined && entry.at < this.size ? entry : null;
  }
}
