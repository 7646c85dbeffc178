import type { Mark } from '../shared/domain/grid.ts';
import type { ThawProof } from '../shared/domain/messages.ts';
import type { Token } from '../shared/domain/token.ts';
import type { Hold, Parts } from './engines/engine.ts';

/**
 * One checkpoint of one member, by its parts: who calls it says what the protocol asks, and here stands in which order
 * hold, journal and copy have their turn. The journal is followed before the copy begins, so that nothing is missing
 * between them, and is whole when the copy is finished. In the end the hold lets go first and waits for nobody.
 */
export class Capture {
  readonly #parts: Parts;
  /** Of the last freeze. */
  #mark: Mark | null = null;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async prepare(): Promise<void> {
    const { hold, journal, copy } = this.#parts;
    await hold.prepare();
    await journal?.follow();
    await copy?.begin();
  }

  async pause(waitsFor: (cause: string) => void): Promise<void> {
    await this.#parts.hold.pause?.(waitsFor);
  }

  arm(token: Token): ReturnType<Hold['arm']> {
    this.#mark = null;
    return this.#parts.hold.arm(token);
  }

  disarm(): Promise<void> {
    return this.#parts.hold.disarm();
  }

  async freeze(token: Token): ReturnType<Hold['freeze']> {
    const frozen = await this.#parts.hold.freeze(token);
    this.#mark = frozen.mark;
    return frozen;
  }

  thaw(token: Token, released: () => void): Promise<ThawProof> {
    return this.#parts.hold.thaw(token, released);
  }

  /**
   * Everything up to the mark is stored. The mark goes into the member manifest; the coordinator has it from the freeze,
   * and a commit is refused where the two differ.
   */
  async collect(): Promise<{ mark: Mark | null; engineFacts: unknown }> {
    const { journal, copy } = this.#parts;
    const mark = this.#mark;
    if (mark !== null) await journal?.finish(mark);
    return { mark, engineFacts: (await copy?.finish(mark)) ?? null };
  }

  /** The end after `collect`. Idempotent. */
  async close(): Promise<void> {
    const { hold, journal } = this.#parts;
    await all([hold.release(), journal?.release()]);
  }

  /**
   * The end without a checkpoint. Right in any state, any number of times. What costs the member or this host something
   * goes at once: when it rejects, only an undo is left to do, or something to remove here.
   */
  async abort(): Promise<void> {
    const { hold, journal, copy } = this.#parts;
    await all([hold.release(), journal?.release(), copy?.abandon()]);
  }
}

/** All have ended when it settles. Rejects with the first that failed. */
async function all(ends: readonly (Promise<void> | undefined)[]): Promise<void> {
  const begun = ends.filter((end) => end !== undefined);
  const failed = (await Promise.allSettled(begun)).find((end) => end.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
