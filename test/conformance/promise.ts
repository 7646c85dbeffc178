import type { Role } from '../../shared/domain/grid.ts';
import type { ParticipantDescription } from '../../shared/domain/participant.ts';
import type { Lab } from './lab.ts';

/**
 * What a check cannot do without: programs of the implementer, or a look at the process's files. `socket`: what is
 * started serves the contract too.
 */
export type Need = 'writer' | 'busy' | 'start' | 'socket' | 'files';

/** One sentence of the contract, and how to see from outside whether a process keeps it. */
export interface ContractPromise {
  /** Stable. */
  readonly id: string;
  readonly says: string;
  readonly roles: readonly Role[];
  readonly needs?: readonly Need[];
  /** Promises that say more exactly what is wrong: where one of them is broken, this is hidden. `all`: any that was tried. */
  readonly hiddenBy?: readonly string[] | 'all';
  /** Why it does not concern this process although its role fits; null when it does. */
  excuse?(description: ParticipantDescription): string | null;
  /**
   * Resolves to what was seen when the promise was kept. Throws Broken or Unjudged, or the failure of a call, which
   * breaks the promise too. Each check blames its own promise only: where another one stands in its way, the check is
   * Unjudged, so that a single fault has a single name.
   */
  check(lab: Lab): Promise<string>;
}

export class Broken extends Error {
  /** Counts although the process says that it did not hold. */
  readonly certain: boolean;

  constructor(seen: string, options: { certain?: boolean } = {}) {
    super(seen);
    this.certain = options.certain ?? false;
  }
}

export class Unjudged extends Error {}

/**
 * `not-applicable`: no promise of such a process, or hidden by another that is broken. `not-tried`: it was not looked at,
 * and may be broken.
 */
export type Result = 'kept' | 'broken' | 'not-tried' | 'not-applicable';

export interface Verdict {
  readonly id: string;
  readonly says: string;
  readonly result: Result;
  readonly seen: string;
  readonly tookMs: number;
}

export const EVERY_ROLE: readonly Role[] = ['realm-service', 'state-keeper', 'node', 'proxy'];
/** Those that come to rest. */
export const RESTING_ROLES: readonly Role[] = ['realm-service', 'state-keeper', 'node'];
export const NODE: readonly Role[] = ['node'];
