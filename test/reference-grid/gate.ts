/**
 * What a process comes to rest with. All that makes something visible, acknowledges or journals runs through it
 * under a name; closed, it lets nobody in, and says by name who is still inside.
 */
export class Gate {
  readonly #inside = new Set<{ readonly what: string }>();
  #closed: { readonly allowReads: boolean } | undefined;
  #changed = Promise.withResolvers<void>();
  readonly #onOpen: () => void;

  constructor(onOpen: () => void = () => undefined) {
    this.#onOpen = onOpen;
  }

  get closed(): boolean {
    return this.#closed !== undefined;
  }

  async run<T>(what: string, work: () => T | Promise<T>): Promise<T> {
    while (this.#closed !== undefined) await this.#changed.promise;
    const activity = { what };
    this.#inside.add(activity);
    try {
      return await work();
    } finally {
      this.#inside.delete(activity);
      this.#notify();
    }
  }

  /** As `run`, but goes on while the gate is closed with `allowReads`. */
  async read<T>(what: string, work: () => T | Promise<T>): Promise<T> {
    if (this.#closed?.allowReads === true) return await work();
    return await this.run(what, work);
  }

  /**
   * Lets nobody in any more. Resolves to the names of those still inside at the timeout; then it is open again. Who
   * opens it meanwhile gives the closing up.
   */
  async close(allowReads: boolean, timeoutMs: number): Promise<string[]> {
    const closed = { allowReads };
    this.#closed = closed;
    const late = new Promise<'late'>((resolve) => setTimeout(resolve, timeoutMs, 'late').unref());
    while (this.#inside.size > 0 && this.#closed === closed) {
      if ((await Promise.race([this.#changed.promise, late])) !== 'late') continue;
      const names = [...new Set([...this.#inside].map(({ what }) => what))];
      this.open();
      return names;
    }
    return [];
  }

  open(): void {
    this.#closed = undefined;
    this.#notify();
    this.#onOpen();
  }

  #notify(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers();
    resolve();
  }
}
