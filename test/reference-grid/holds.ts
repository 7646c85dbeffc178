import { status } from '@grpc/grpc-js';

/** A refusal as the contract wants it: a gRPC status, and one line for a person. */
export class Refusal extends Error {
  readonly code: status;

  constructor(code: status, fact: string, hint: string) {
    super(`${fact}; hint: ${hint}`);
    this.code = code;
  }
}

export type HoldKind = 'quiesced' | 'writingSuspended' | 'journalRetained' | 'maintenance';

interface Hold {
  readonly kind: HoldKind;
  readonly operation: string;
  readonly attempt: string;
  readonly answer: Promise<unknown>;
  readonly leaseMs: number;
  /** Also called while it is still being taken. */
  readonly end: () => void;
  /** Whether it is held; before, it is being taken. */
  taken: boolean;
  deadline: number;
  timer: NodeJS.Timeout | undefined;
}

export interface Ending {
  readonly held: boolean;
  readonly cause: string;
}

const MAX_TIMER_MS = 2 ** 31 - 1;
const MAX_PAST = 1000;

/** What this process holds back, for one operation at a time, each with a lease by the monotonic clock. */
export class Holds {
  readonly #active = new Map<HoldKind, Hold>();
  /** How holds ended: for calls that come twice, or too late. */
  readonly #past = new Map<string, Ending>();

  get operation(): string {
    return this.#active.values().find(() => true)?.operation ?? '';
  }

  holds(kind: HoldKind, operation = this.operation, attempt?: string): boolean {
    const hold = this.#live(kind);
    if (hold?.taken !== true || hold.operation !== operation) return false;
    return attempt === undefined || hold.attempt === attempt;
  }

  /** Of what is held, or is being taken. */
  attempt(kind: HoldKind): string | undefined {
    return this.#live(kind)?.attempt;
  }

  /** Takes a hold; `begin` answers undefined where it could not be had. A repeat gets the first one's answer. */
  async take<T>(
    {
      kind,
      operation,
      attempt = '',
      leaseMs,
    }: Pick<Hold, 'kind' | 'operation' | 'leaseMs'> & { attempt?: string },
    begin: () => Promise<T | undefined>,
    end: () => void,
  ): Promise<T | undefined> {
    this.mustBeFreeFor(operation);
    const same = this.#live(kind);
    if (same?.attempt === attempt) return (await same.answer) as T;
    if (same !== undefined) {
      throw new Refusal(
        status.FAILED_PRECONDITION,
        `${kind} with token ${same.attempt} already`,
        'resume that first',
      );
    }
    const past = this.#past.get(keyOf(kind, operation, attempt));
    if (past !== undefined) {
      throw new Refusal(
        status.FAILED_PRECONDITION,
        `it was ${kind} for this before: ${past.cause}`,
        'begin a new one',
      );
    }
    const answer = begin();
    const hold: Hold = {
      kind,
      operation,
      attempt,
      leaseMs,
      end,
      answer,
      taken: false,
      deadline: Infinity,
      timer: undefined,
    };
    this.#active.set(kind, hold);
    try {
      const got = await answer;
      if (this.#active.get(kind) !== hold) {
        throw new Refusal(status.ABORTED, 'it was given up while it was begun', 'begin a new one');
      }
      if (got === undefined) this.#active.delete(kind);
      else {
        hold.taken = true;
        this.#count(hold);
      }
      return got;
    } catch (error) {
      if (this.#active.get(kind) === hold) this.#active.delete(kind);
      throw error;
    }
  }

  /** Ends a hold; says whether it was held until now, or how it had ended before. */
  finish(kind: HoldKind, operation: string, attempt = ''): Ending {
    const key = keyOf(kind, operation, attempt);
    const hold = this.#live(kind);
    if (hold?.operation === operation && hold.attempt === attempt) {
      this.#end(
        hold,
        hold.taken ? { held: true, cause: 'it was ended' } : { held: false, cause: 'it was not begun' },
      );
    }
    const past = this.#past.get(key) ?? {
      held: false,
      cause: `it was not ${kind} for this since it started`,
    };
    this.#remember(key, past);
    return past;
  }

  /** Whether such a hold was there, and is over. */
  ended(kind: HoldKind, operation: string, attempt = ''): boolean {
    return !this.holds(kind, operation, attempt) && this.#past.has(keyOf(kind, operation, attempt));
  }

  renew(operation: string): void {
    for (const hold of this.#of(operation)) if (hold.taken) this.#count(hold);
  }

  release(operation: string): void {
    for (const hold of this.#of(operation)) this.#end(hold, { held: false, cause: 'it was released' });
  }

  mustBeFreeFor(operation: string): void {
    for (const kind of this.#active.keys()) this.#live(kind);
    if (this.operation === '' || this.operation === operation) return;
    const hint = 'wait for it to end, or release it';
    throw new Refusal(status.ABORTED, `operation ${this.operation} holds this process`, hint);
  }

  #of(operation: string): Hold[] {
    return [...this.#active.keys()]
      .map((kind) => this.#live(kind))
      .filter((hold) => hold !== undefined)
      .filter((hold) => hold.operation === operation);
  }

  /** A timer may come late, after the machine was busy; the clock decides. */
  #live(kind: HoldKind): Hold | undefined {
    const hold = this.#active.get(kind);
    if (hold === undefined || performance.now() < hold.deadline) return hold;
    this.#end(hold, { held: false, cause: `the lease of ${hold.leaseMs} ms ran out` });
    return undefined;
  }

  #count(hold: Hold): void {
    clearTimeout(hold.timer);
    hold.deadline = performance.now() + hold.leaseMs;
    hold.timer = setTimeout(() => this.#live(hold.kind), Math.min(Math.ceil(hold.leaseMs) + 1, MAX_TIMER_MS));
  }

  #end(hold: Hold, ending: Ending): void {
    clearTimeout(hold.timer);
    this.#active.delete(hold.kind);
    this.#remember(keyOf(hold.kind, hold.operation, hold.attempt), ending);
    hold.end();
  }

  #remember(key: string, ending: Ending): void {
    this.#past.set(key, ending);
    const oldest = this.#past.keys().next().value;
    if (this.#past.size > MAX_PAST && oldest !== undefined) this.#past.delete(oldest);
  }
}

function keyOf(kind: HoldKind, operation: string, attempt: string): string {
  return JSON.stringify([kind, operation, attempt]);
}
