import type { Attempted } from './attempted.ts';

/** Why a member may not say that it held in this attempt; null when it did. */
export function whyNotHeld(attempted: Attempted): string | null {
  if (attempted.markedAt === null) return 'it has no mark';
  if (attempted.openedBy !== 'thaw') return `its fence was opened by ${attempted.openedBy ?? 'nobody'}`;
  if (attempted.leaked) return 'something got past its fence';
  if (attempted.leaseEnded) return 'its lease had run out';
  return null;
}

/** The same for its whole part in the attempt: also by the process that was armed. */
export function whyNotProven(attempted: Attempted): string | null {
  return whyNotHeld(attempted) ?? (attempted.restarted ? 'its process was restarted' : null);
}
