import type { CheckpointOperation } from './checkpoint-operation.ts';
import type { ClaimedWork } from './host-claim.ts';
import type { RestoreOperation } from './restore-operation.ts';

/** What a stream has claimed the host for. */
export interface Work extends ClaimedWork {
  readonly checkpoint: CheckpointOperation | null;
  readonly restore: RestoreOperation | null;
}

export function workOf(checkpoint: CheckpointOperation | null, restore: RestoreOperation | null): Work {
  let hasEnded = false;
  return {
    get checkpoint() {
      return hasEnded ? null : checkpoint;
    },
    get restore() {
      return hasEnded ? null : restore;
    },
    frozenMembers: () => checkpoint?.frozenMembers ?? new Set(),
    mayHold: () => checkpoint?.mayHold ?? false,
    unfinished: () => checkpoint?.unfinished ?? new Map(),
    mayBeResumed: () => checkpoint?.mayBeResumed() ?? false,
    streamClosed: () => checkpoint?.streamClosed() ?? false,
    async end() {
      await checkpoint?.end();
      await restore?.end();
      hasEnded = true;
    },
  };
}
