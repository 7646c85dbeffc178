import { computerClock, type Clock } from '../../shared/runtime/clock.ts';
import type { Logger } from '../../shared/runtime/log.ts';
import { failureOf } from '../../shared/domain/errors.ts';
import type { Guardian, Undo } from '../engines/engine.ts';
import { GrowingPause } from '../growing-pause.ts';

/** One member that the guard watches: what to undo, and until when the agent may be silent. */
export class Watch {
  readonly member: string;
  readonly #guardian: Guardian;
  readonly #log: Pick<Logger, 'warn' | 'error'>;
  readonly #clock: Clock;
  readonly #isLeft: () => Promise<boolean>;
  #undo: Undo | null = null;
  #silenceMs = 0;
  #heardAt = 0;
  #undoing: Promise<void> | null = null;
  #closed = false;

  /** `isLeft`: whether what is watched is still to be undone, or another has done it. */
  constructor(input: {
    member: string;
    guardian: Guardian;
    log: Pick<Logger, 'warn' | 'error'>;
    isLeft: () => Promise<boolean>;
    clock?: Clock;
  }) {
    this.member = input.member;
    this.#guardian = input.guardian;
    this.#log = input.log;
    this.#isLeft = input.isLeft;
    this.#clock = input.clock ?? computerClock;
  }

  expect(undo: Undo, silenceMs: number, now: number): void {
    this.#undo = undo;
    this.#silenceMs = silenceMs;
    this.#heardAt = now;
  }

  messageReceived(now: number): void {
    this.#heardAt = now;
  }

  isOverdue(now: number): boolean {
    return this.#undo !== null && this.#undoing === null && now - this.#heardAt > this.#silenceMs;
  }

  /** Resolves when the member runs again. Tries for as long as it takes: a server may be restarting. */
  undoNow(): Promise<void> {
    this.#undoing ??= this.#undoUntilDone().finally(() => {
      this.#undoing = null;
    });
    return this.#undoing;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#undo = null;
    await this.#guardian.close();
  }

  async #undoUntilDone(): Promise<void> {
    const pause = new GrowingPause(this.#clock);
    while (this.#undo !== null && !this.#closed) {
      const undo = this.#undo;
      try {
        const words = await this.#guardian.undo(undo);
        if (this.#undo === undo) this.#undo = null;
        this.#log.warn({ event: 'undone', member: this.member }, words ?? 'undone by the guard');
      } catch (error) {
        const failure = failureOf(error, { code: 'agent-failed', hint: "see the agent's log" });
        if (pause.failed(failure))
          this.#log.error(
            { event: 'undoFailed', member: this.member, failure },
            `cannot undo yet: ${failure.message}`,
          );
        await pause.wait();
        // A new agent was faster, and may have frozen anew: this undo would end that.
        if (!(await this.#isLeft()) && this.#undo === undo) this.#undo = null;
      }
    }
  }
}
