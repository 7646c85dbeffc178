import { EXIT, StillpointError } from '../../../../shared/domain/errors.ts';

/* Why a cluster is not held. Each stands for itself, and the same attempt fails with it again. */

function failure(code: string, message: string, hint: string): StillpointError {
  return new StillpointError({ code, message, hint, isFinal: true }, EXIT.refused);
}

export function aliasPasses({ cache, alias }: { cache: string; alias: string }): StillpointError {
  return failure(
    'infinispan-alias',
    `clients reach cache ${cache} as ${alias} too, and servers refuse nobody who asks by an alias: it cannot be held`,
    'take the alias from the configuration of the cache for as long as checkpoints are made of it',
  );
}

export function connectorPasses(connector: string): StillpointError {
  return failure(
    'infinispan-connector',
    `connector ${connector} speaks what is not known here: whether it would let clients pass cannot be said`,
    'take it from the endpoints of the servers, or ask for support of it',
  );
}

export function notWhole(status: string): StillpointError {
  return failure(
    'infinispan-degraded',
    `the cluster says of itself that it is ${status}`,
    'see the logs of its servers: entries may be missing; a checkpoint needs all of them',
  );
}

export function moving(seconds: number): StillpointError {
  return failure(
    'infinispan-rebalancing',
    `entries are still on their way between servers after ${seconds} s`,
    'wait until the cluster has come to rest, then create the checkpoint again',
  );
}

/** Not for good: an attempt that comes later may find it otherwise. */
export function notAtRest(status: string): StillpointError {
  return new StillpointError({
    code: status === 'HEALTHY_REBALANCING' ? 'infinispan-rebalancing' : 'infinispan-degraded',
    message: `the cluster has come to be ${status} since it was prepared`,
    hint: 'see which server came or went (ISPN000094 in their logs), wait until the cluster is HEALTHY, then create the checkpoint again',
  });
}

export function otherBackup(name: string, seconds: number): StillpointError {
  return failure(
    'infinispan-backup-running',
    `backup ${name} is under way on the server, still after ${seconds} s; it makes one at a time`,
    'wait until it is done, then create the checkpoint again',
  );
}

/** Servers do not say why. `disk`: what is free where they write it, where that is known. */
export function backupFailed(
  url: string,
  disk: { readonly path: string; readonly freeBytes: number } | null,
): StillpointError {
  const free = disk === null ? '' : `; ${megabytes(disk.freeBytes)} are free in ${disk.path} now`;
  return failure(
    'infinispan-backup-failed',
    `the server at ${url} could not make its backup${free}`,
    'its log has the cause: no space left on device, or another backup that was begun on a server of the cluster (ISPN005041)',
  );
}

export function backupGone(url: string): StillpointError {
  return failure(
    'infinispan-backup-failed',
    `the server at ${url} has lost its backup: it was restarted, or somebody deleted it`,
    'create the checkpoint again',
  );
}

export function tooLong(predictedMs: number, entries: number, bound: HoldBound): StillpointError {
  return failure(
    'infinispan-hold-too-long',
    `the clients of the cluster would be refused for some ${inSeconds(predictedMs)} s, for a backup of ${entries} entries; at most ${inSeconds(bound.ms)} s are allowed`,
    bound.remedy,
  );
}

export function tookTooLong(bound: HoldBound): StillpointError {
  return failure(
    'infinispan-hold-too-long',
    `the backup was not done after the ${inSeconds(bound.ms)} s for which the clients of the cluster may be refused`,
    bound.remedy,
  );
}

/** How long a cluster may be held, and what an operator does who wants it held for longer. */
export interface HoldBound {
  readonly ms: number;
  readonly remedy: string;
}

/** What the fence, its proof and its end cost of a lease besides the backup: at all, and for each cache. */
const OF_LEASE_MS = 2000;
const OF_LEASE_CACHE_MS = 8;

export function boundOf(maxHoldSeconds: number, leaseMs: number, caches: number): HoldBound {
  const ms = maxHoldSeconds * 1000;
  const leased = Math.max(leaseMs / 4, leaseMs - OF_LEASE_MS - OF_LEASE_CACHE_MS * caches);
  if (ms <= leased) return { ms, remedy: "raise maxHoldSeconds of the member in the agent's file" };
  return { ms: leased, remedy: 'raise leaseSeconds in the grid file' };
}

function megabytes(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(1)} MB`;
}

function inSeconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}
