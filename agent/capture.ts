import type { Assignment } from '../shared/domain/assignment.ts';
import { StillpointError } from '../shared/domain/errors.ts';
import type { Mark } from '../shared/domain/grid.ts';
import type { Suspension, ThawProof } from '../shared/domain/messages.ts';
import { FOR_CHECKPOINT, type Purpose } from '../shared/domain/purpose.ts';
import type { Token } from '../shared/domain/token.ts';
import type { CollectedMember } from './collect.ts';
import { aborted, outOfOrder, type Hold, type Parts } from './engines/engine.ts';

/**
 * One checkpoint of one member, by its parts: who calls it says what the protocol asks, and here stands in which order
 * hold, journal and copy have their turn. The journal is followed before the copy begins, so that nothing is missing
 * between them, and is whole when the copy is finished. In the end the hold lets go first and waits for nobody.
 */
export class Capture {
  readonly #parts: Parts;
  readonly #assignment: Assignment;
  readonly #purpose: Purpose;
  #isAborted = false;
  /** Of the last freeze. */
  #mark: Mark | null = null;

  constructor(parts: Parts, assignment: Assignment, purpose: Purpose = FOR_CHECKPOINT) {
    this.#parts = parts;
    this.#assignment = assignment;
    this.#purpose = purpose;
  }

  async prepare(): Promise<void> {
    const { hold, journal, copy, suspension } = this.#parts;
    if (this.#assignment.part === 'journal' && journal === null) throw noJournal();
    await hold?.prepare();
    this.#mustGoOn();
    await journal?.follow();
    this.#mustGoOn();
    await copy?.begin();
    this.#mustGoOn();
    await suspension?.suspend();
  }

  async pause(): Promise<void> {
    await this.#hold().pause?.();
  }

  arm(token: Token): ReturnType<Hold['arm']> {
    this.#mark = null;
    return this.#hold().arm(token);
  }

  async rehearse(part: 'freeze' | 'thaw'): Promise<void> {
    await this.#parts.hold?.rehearse?.(part);
  }

  disarm(): Promise<void> {
    return this.#hold().disarm();
  }

  async freeze(token: Token): ReturnType<Hold['freeze']> {
    const frozen = await this.#hold().freeze(token);
    this.#mark = frozen.mark;
    return frozen;
  }

  thaw(token: Token, released: () => void): Promise<ThawProof> {
    return this.#hold().thaw(token, released);
  }

  /**
   * Everything up to the mark is stored. The mark goes into the member manifest; the coordinator has it from the freeze,
   * and a commit is refused where the two differ.
   */
  async collect(): Promise<Omit<CollectedMember, 'token'> & { readonly suspension?: Suspension }> {
    const { journal, copy, suspension } = this.#parts;
    const assignment = this.#assignment;
    const mark = this.#mark;
    // Before all else: clients may be waiting for it.
    const suspended = await suspension?.resume();
    this.#mustGoOn();
    if (mark !== null && assignment.part !== 'none') await journal?.finish(mark);
    this.#mustGoOn();
    const engineFacts = (await copy?.finish(mark)) ?? (await this.#parts.facts?.(mark)) ?? null;
    const warnings = [...(copy?.warnings?.() ?? []), ...(this.#parts.warnings?.() ?? [])];
    return {
      assignment,
      mark,
      engineFacts,
      warnings,
      ...(this.#purpose.type === 'freeze' && { suspension: suspended ?? { held: true } }),
    };
  }

  renew(): void {
    this.#parts.hold?.renew?.();
  }

  #hold(): Hold {
    if (this.#parts.hold !== null) return this.#parts.hold;
    throw outOfOrder('the lead of its domain holds it');
  }

  /** An abort between two parts: the next must not begin what nobody would end. */
  #mustGoOn(): void {
    if (this.#isAborted) throw aborted();
  }

  /**
   * The end after `collect`. Idempotent. An abort that has overtaken it ends all of it, and may have done so long ago:
   * what stands here then is another operation's.
   */
  async close(): Promise<void> {
    if (this.#isAborted) return;
    const { hold, journal } = this.#parts;
    await all([hold?.release(), journal?.release()]);
  }

  /**
   * The end without a checkpoint. Right in any state, any number of times. What costs the member or this host something
   * goes at once: when it rejects, only an undo is left to do, or something to remove here.
   */
  async abort(): Promise<void> {
    this.#isAborted = true;
    const { hold, journal, copy } = this.#parts;
    await all([hold?.release(), journal?.release(), copy?.abandon()]);
  }
}

function noJournal(): StillpointError {
  return new StillpointError({
    code: 'assignment-unfit',
    message: 'its journal alone was asked for, and its engine has none that is stored apart from a copy',
    hint: 'take a whole checkpoint',
  });
}

/** All have ended when it settles. Rejects with the first that failed. */
async function all(ends: readonly (Promise<void> | undefined)[]): Promise<void> {
  const begun = ends.filter((end) => end !== undefined);
  const failed = (await Promise.allSettled(begun)).find((end) => end.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
