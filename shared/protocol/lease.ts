/**
 * A lease says how long something may last without word from whoever asked for it. It runs on the clock of
 * the one who grants it, from the moment a word was received: clocks of two hosts are never compared, and a
 * word that is still on its way counts for nothing.
 */
export interface Lease {
  readonly leaseMs: number;
  readonly heardAt: number;
}

export function grantLease(leaseMs: number, now: number): Lease {
  return { leaseMs, heardAt: now };
}

export function renewLease(lease: Lease, now: number): Lease {
  return { ...lease, heardAt: now };
}

export function leaseEndsAt(lease: Lease): number {
  return lease.heardAt + lease.leaseMs;
}

export function leaseHasEnded(lease: Lease, now: number): boolean {
  return now >= leaseEndsAt(lease);
}

/** No word from the coordinator for this many leases ends the operation, prepared copies and all. */
const SILENT_LEASES = 6;

/** So long an operation lives without a word, and so long its coordinator tries to come back. */
export function operationSilenceMs(leaseMs: number): number {
  return SILENT_LEASES * leaseMs;
}
