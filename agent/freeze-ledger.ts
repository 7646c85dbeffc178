import { EXIT, StillpointError, type Failure } from '../shared/domain/errors.ts';
import {
  allowedAt,
  inherit,
  remainingFreezes,
  remainingMs,
  spend,
  type FreezeBudget,
  type Spending,
} from './freeze-budget.ts';

export interface FreezeLedgerContext {
  readonly budget: FreezeBudget;
  readonly host: string;
  /** What earlier processes left. */
  readonly spent: Spending;
  /** Durable on return. */
  save(spending: Spending): Promise<void>;
  /** Milliseconds of the wall clock; looked at once. */
  wallNow(): number;
  /** Milliseconds of a clock that nobody sets. */
  monotonicNow(): number;
}

/**
 * Keeps the freeze budget of this host across agents that are killed. An attempt is charged with its whole lease,
 * or with all that is left, on disk, before anything is fenced, and corrected when the members run again: a crash
 * in between costs more than was used, never less. One clock counts: the wall's at the start, and from there the
 * monotonic one.
 */
export class FreezeLedger {
  readonly #context: FreezeLedgerContext;
  readonly #startedAt: number;
  readonly #from: number;
  #spending: Spending;
  #saving: Promise<void> = Promise.resolve();

  constructor(context: FreezeLedgerContext) {
    this.#context = context;
    this.#startedAt = context.wallNow();
    this.#from = context.monotonicNow();
    this.#spending = inherit(context.spent, this.#startedAt);
  }

  now(): number {
    return this.#startedAt + this.#context.monotonicNow() - this.#from;
  }

  /** What is left of the budget for the hour. */
  left(): { readonly freezes: number; readonly heldMs: number } {
    const { budget } = this.#context;
    const now = this.now();
    return {
      freezes: remainingFreezes(budget, this.#spending, now),
      heldMs: remainingMs(budget, this.#spending, now),
    };
  }

  /** Why nobody may be frozen now; null where the budget allows it. */
  refusal(): Failure | null {
    const now = this.now();
    const at = allowedAt(this.#context.budget, this.#spending, now);
    return at <= now ? null : budgetSpent(this.#context, at - now);
  }

  /** Durable on return. Rejects `freeze-budget-spent`, and what the disk says. */
  async charge(leaseMs: number): Promise<FreezeCharge> {
    const refusal = this.refusal();
    if (refusal !== null) throw new StillpointError(refusal, EXIT.aborted);
    const at = this.now();
    const allowedMs = remainingMs(this.#context.budget, this.#spending, at);
    const chargedMs = Math.min(leaseMs, allowedMs);
    await this.#spend({ at, freezes: 1, heldMs: chargedMs });
    return new FreezeCharge({
      leaseMs,
      chargedMs,
      allowedMs,
      now: () => this.now(),
      heldTooLong: () => heldTooLong(this.#context),
      // What cannot be corrected now stays on disk as it was charged.
      correct: (heldMs) => void this.#spend({ at, freezes: 0, heldMs }).catch(() => undefined),
    });
  }

  #spend(add: { at: number; freezes: number; heldMs: number }): Promise<void> {
    this.#spending = spend(this.#spending, this.now(), add);
    const saved = this.#saving.then(() => this.#context.save(this.#spending));
    this.#saving = saved.catch(() => undefined);
    return saved;
  }
}

interface FreezeChargeContext {
  readonly leaseMs: number;
  readonly chargedMs: number;
  /** All that the budget had left. */
  readonly allowedMs: number;
  now(): number;
  heldTooLong(): Failure;
  /** Adds to what was charged; negative gives back. */
  correct(heldMs: number): void;
}

/** One attempt at a freeze, while its members may be held. */
export class FreezeCharge {
  readonly #context: FreezeChargeContext;
  #chargedMs: number;
  #heldMs = 0;
  #heldFrom: number | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(context: FreezeChargeContext) {
    this.#context = context;
    this.#chargedMs = context.chargedMs;
  }

  /** A member is held. `exhausted` is called when the budget is used up and one still is. */
  held(exhausted: (failure: Failure) => void): void {
    if (this.#heldFrom !== null) return;
    this.#heldFrom = this.#context.now();
    this.#watch(exhausted);
  }

  /** No member is held any more: what was charged and not used is given back. */
  release(): void {
    if (this.#heldFrom === null) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#heldMs = this.#usedMs();
    this.#heldFrom = null;
    this.#chargeUpTo(this.#heldMs);
  }

  /** The attempt is over, also one in which nobody was held. Idempotent. */
  end(): void {
    this.release();
    this.#chargeUpTo(this.#heldMs);
  }

  #watch(exhausted: (failure: Failure) => void): void {
    const { leaseMs, allowedMs } = this.#context;
    const leftMs = allowedMs - this.#usedMs();
    if (leftMs <= 0) return exhausted(this.#context.heldTooLong());
    // A freeze whose lease is renewed is charged ahead, by half a lease at least.
    if (this.#usedMs() + leaseMs / 2 > this.#chargedMs) this.#chargeUpTo(this.#chargedMs + leaseMs);
    this.#timer = setTimeout(() => this.#watch(exhausted), Math.min(leftMs, leaseMs / 4));
  }

  #usedMs(): number {
    return this.#heldMs + (this.#heldFrom === null ? 0 : this.#context.now() - this.#heldFrom);
  }

  #chargeUpTo(heldMs: number): void {
    if (heldMs !== this.#chargedMs) this.#context.correct(heldMs - this.#chargedMs);
    this.#chargedMs = heldMs;
  }
}

const HINT =
  "find out who freezes this grid so often, the agent's log names each; or raise freezeBudget in the agent file";

function budgetSpent({ host, budget }: FreezeLedgerContext, waitMs: number): Failure {
  const seconds = Math.ceil(waitMs / 1000);
  return {
    code: 'freeze-budget-spent',
    message:
      `the members on ${host} were frozen too often or for too long within an hour ` +
      `(at most ${budget.perHour} times and ${budget.totalMs / 1000} s); the next freeze is allowed in ${seconds} s`,
    hint: HINT,
    host,
    isFinal: true,
  };
}

function heldTooLong({ host, budget }: FreezeLedgerContext): Failure {
  return {
    code: 'freeze-budget-spent',
    message: `the members on ${host} were held until the ${budget.totalMs / 1000} s of an hour were used up, and let go`,
    hint: HINT,
    host,
  };
}
