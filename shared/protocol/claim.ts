import { leaseHasEnded, type Lease } from './lease.ts';

/**
 * One operation at a time holds a grid. Every agent keeps its own claim; the coordinator claims the agent
 * with the lowest address first, so of two that come at once, one gets none and leaves the other alone.
 *
 * The same operation may come on a new stream, for its old one is broken, whether the agent has noticed or not. It
 * takes up what was prepared, where nobody was armed yet; else that has been aborted, or is now.
 *
 * A coordinator that died without closing its stream (its host lost power, it was stopped) keeps its claim
 * for no longer than its lease: then the next that asks takes the grid over, after the agent has aborted
 * what the old one had begun, also what it kept for it.
 */
export interface Claim {
  readonly operation: string;
  readonly holder: string;
  readonly lease: Lease;
}

export type ClaimDecision =
  | { readonly type: 'grant' }
  /** On a new stream, with the work as it is. */
  | { readonly type: 'resume' }
  | { readonly type: 'takeOver' }
  | { readonly type: 'refuse'; readonly holder: string };

/** `mayBeResumed`: what the held operation has here may go on under a new stream. */
export function decideClaim(
  held: Claim | null,
  operation: string,
  now: number,
  mayBeResumed = false,
): ClaimDecision {
  if (held === null) return { type: 'grant' };
  if (held.operation === operation) return { type: mayBeResumed ? 'resume' : 'takeOver' };
  if (leaseHasEnded(held.lease, now)) return { type: 'takeOver' };
  return { type: 'refuse', holder: held.holder };
}
