import { failureOf, type Failure } from '../../shared/domain/errors.ts';
import type { Held } from '../../shared/protocol/coordinator-machine.ts';
import type { RunningJob } from '../checkpoint-run.ts';
import type { HeldGrid } from './hold-report.ts';

/** What a grid is held for: an operator who copies, or a program that does. */
export interface Occupation {
  /** Everybody is held. Resolves when they may be let go; where it rejects, all is aborted. */
  begin(held: HeldGrid): Promise<void>;
  /** SIGTERM, or somebody elsewhere who may, wants them to be let go. */
  letGoAsked(by: LetGoAsked): void;
  /** They run again, or are aborted. `begin` is not waited for any more; resolves when nothing of it runs. */
  end(outcome: 'proven' | 'failed'): Promise<void>;
}

interface LetGoAsked {
  readonly type: 'signal' | 'elsewhere';
  readonly who: string;
}

/** What a run may be told. */
interface ToldRun {
  letGo(): void;
  cancel(failure: Failure): void;
}

/** Where members tell at one moment why they did not come to rest, so much later is soon enough. */
const GATHER_MS = 250;

/** Between a run that holds the grid and what it is held for. */
export class HeldJob implements RunningJob {
  readonly gatherMs: number;
  readonly failures = new Map<string, Failure>();
  readonly #occupation: Occupation | null;
  readonly #grid: (held: Held) => HeldGrid;
  readonly #reached: () => Promise<void>;
  #run: ToldRun | null = null;
  #heldFrom: number | null = null;
  #heldUntil: number | null = null;
  #wasAskedElsewhere = false;

  constructor(input: {
    readonly occupation: Occupation | null;
    readonly waitsForMembers: boolean;
    readonly grid: (held: Held) => HeldGrid;
    readonly reached: () => Promise<void>;
  }) {
    this.gatherMs = input.waitsForMembers ? GATHER_MS : 0;
    this.#occupation = input.occupation;
    this.#grid = input.grid;
    this.#reached = input.reached;
  }

  drives(run: ToldRun): void {
    this.#run = run;
  }

  /** Between the moment at which all was held and the one at which it was let go; null where it never was. */
  get heldMs(): number | null {
    return this.#heldFrom === null ? null : (this.#heldUntil ?? performance.now()) - this.#heldFrom;
  }

  holding(held: Held): void {
    this.#heldFrom = performance.now();
    void this.#occupy(this.#grid(held));
  }

  async #occupy(held: HeldGrid): Promise<void> {
    try {
      await this.#reached();
      await this.#occupation?.begin(held);
      this.#heldUntil = performance.now();
      this.#run?.letGo();
    } catch (error) {
      this.#run?.cancel(failureOf(error, { code: 'job-failed', hint: 'mend that, and start it again' }));
    }
  }

  /** Every agent passes the word on, and whoever wants it says it until it is done: it is one word. */
  letGoAsked(who: string): void {
    if (this.#wasAskedElsewhere) return;
    this.#wasAskedElsewhere = true;
    this.#letGo({ type: 'elsewhere', who });
  }

  terminated(): void {
    this.#letGo({ type: 'signal', who: 'SIGTERM' });
  }

  /** Before all are held there is nothing to keep: then it is an end like any other. */
  #letGo(by: LetGoAsked): void {
    if (this.#heldFrom === null) this.#run?.cancel(endedEarly(by.who));
    else this.#occupation?.letGoAsked(by);
  }

  memberFailed(member: string, failure: Failure): void {
    if (this.#heldFrom === null && !this.failures.has(member)) this.failures.set(member, failure);
  }
}

function endedEarly(who: string): Failure {
  return {
    code: 'interrupted',
    message: `${who} ended it before all members were held`,
    hint: 'nothing was committed; start it again when you are ready',
  };
}
