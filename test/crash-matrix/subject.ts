import { operationSilenceMs } from '../../shared/protocol/lease.ts';
import type { Shard } from '../lab/causal-clients.ts';
import type { TestGrid } from '../lab/grid.ts';
import type { Hooks } from '../lab/hooks.ts';
import type { GridKind } from './cells.ts';
import type { RestoredGrid } from './restored.ts';

/**
 * The lease of a checkpoint in the matrix. Shorter ones make a loaded machine abort by itself: arming writes to the
 * disk, and what outlives its lease is not waited for.
 */
export const LEASE_SECONDS = 5;
/**
 * From a fault on, nobody may be held for longer: the lease, the engine's own deadline two seconds behind it, and what
 * a loaded machine adds.
 */
export const HELD_AT_MOST_MS = LEASE_SECONDS * 1000 + 2000 + 3000;

/** Before the first arm what was prepared waits for its coordinator this long; it is taken away then. */
export const SETTLES_WITHIN_MS = operationSilenceMs(LEASE_SECONDS * 1000) + 15_000;

/** So often a checkpoint that nothing was done to is begun when a loaded machine makes it abort by itself. */
export const TRIES = 3;

/** A running grid, and what the matrix does to it and asks of it. */
export interface Subject {
  readonly kind: GridKind;
  readonly grid: TestGrid;
  readonly hooks: Hooks;
  /** The member that is held at its moments; it is on the first host, and its process is the engine. */
  readonly member: string;
  readonly shards: readonly Shard[];
  readonly engine: {
    /** Resolves when it is gone. */
    kill(): Promise<void>;
    /** All its processes. */
    stop(): Promise<void>;
    goOn(): Promise<void>;
    /** Starts it if it does not run; resolves when it and those that depend on it are well. */
    start(): Promise<void>;
  };
  /**
   * Every member takes writes again within this time, those of the engine excepted where it does not run. Rejects with
   * the one that does not.
   */
  expectWrites(engineRuns: boolean, withinMs: number): Promise<void>;
  /** Nothing of ours is left on any member or host. */
  expectUntouched(): Promise<void>;
  /** The next checkpoint succeeds; one that aborts by itself is begun again. Resolves to its id. */
  expectNextCheckpoint(): Promise<string>;
  /** Kills everything, and restores a checkpoint to other hosts. */
  restored(checkpoint: string): Promise<RestoredGrid>;
  close(): Promise<void>;
}
