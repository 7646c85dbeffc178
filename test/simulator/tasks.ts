import type { Process } from './process.ts';

/**
 * Code of processes that waits for promises. Only one process is awake at a time: what its code does until it waits
 * again belongs to it, so that what it calls needs no name of the caller.
 */
export class Tasks {
  readonly #ready: { readonly process: Process; readonly life: number; readonly go: () => void }[] = [];
  #awake: Process | null = null;
  #broken: Error | null = null;

  /** Soon, when nobody else is awake. */
  wake(process: Process, go: () => void): void {
    this.#ready.push({ process, life: process.life, go });
  }

  /** A promise of the process's own that the world keeps: `keep` is given what to call, which counts in this life only. */
  promise<T>(
    process: Process,
    keep: (resolve: (value: T) => void, reject: (error: unknown) => void) => void,
  ): Promise<T> {
    const { life } = process;
    const settle = (go: () => void): void => {
      if (process.life === life) this.wake(process, go);
    };
    return new Promise((resolve, reject) =>
      keep(
        (value) => settle(() => resolve(value)),
        (error) => settle(() => reject(error)),
      ),
    );
  }

  /** Lets who is ready go on, one after the other, each until it waits again. */
  async settle(): Promise<void> {
    for (let next = this.#ready.shift(); next !== undefined; next = this.#ready.shift()) {
      if (next.process.life !== next.life) continue;
      this.#awake = next.process;
      next.go();
      await microtasksRan();
      this.throwIfBroken();
    }
    this.#awake = null;
  }

  get hasReady(): boolean {
    return this.#ready.length > 0;
  }

  /** Null while an event of the world happens that is no code of a process. */
  get awake(): Process | null {
    return this.#awake;
  }

  /** A promise was broken where an error would be taken for another, or be lost: the run ends here. */
  broke(error: Error): void {
    this.#broken ??= error;
  }

  throwIfBroken(): void {
    if (this.#broken !== null) throw this.#broken;
  }
}

/** Resolves when no code can go on without an event: a tick that a microtask asks for comes after the last of them. */
function microtasksRan(): Promise<void> {
  return new Promise((resolve) => queueMicrotask(() => process.nextTick(resolve)));
}
