import { leaseHasEnded, type Lease } from './lease.ts';

/**
 * One operation at a time holds a grid. Every agent keeps its own claim; the coordinator claims the agent
 * with the lowest address first, so of two that come at once, one gets none and leaves the other alone.
 *
 * A coordinator that died without closing its stream (its host lost power, it was stopped) keeps its claim
 * for no longer than its lease: then the next that asks takes the grid over, after the agent has aborted
 * what the old one had begun.
 */
export interface Claim {
  readonly operation: string;
  readonly holder: string;
  readonly lease: Lease;
}

export type ClaimDecision =
  | { readonly type: 'grant' }
  | { readonly type: 'takeOver' }
  | { readonly type: 'refuse'; readonly holder: string };

export function decideClaim(held: Claim | null, operation: string, now: number): ClaimDecision {
  if (held === null) return { type: 'grant' };
  // The same operation on a new stream: its old one is broken, whether we have noticed or not.
  if (held.operation === operation || leaseHasEnded(held.lease, now)) return { type: 'takeOver' };
  return { type: 'refuse', holder: held.holder };
}
