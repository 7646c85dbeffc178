import type { Assignment } from './assignment.ts';
import type { Failure, MemberState } from './errors.ts';
import type { Mark } from './grid.ts';
import type { Purpose } from './purpose.ts';
import type { Token } from './token.ts';
import type { Viewing } from './viewing.ts';

/**
 * What the coordinator and one member say to each other during a checkpoint. These are the protocol's
 * words; shared/protocol holds the two machines that speak them, shared/rpc carries them.
 *
 * Order in one attempt: prepare (once per operation) → pause (observers) → arm → freeze → thaw → collect.
 * A member that the lead of its domain holds hears only prepare and collect.
 * An attempt whose arm fails or is late ends with disarm, and the next one begins under a newer token.
 * `abort` is right at any time and is answered until the member is known to run.
 */
export type MemberCommand =
  /**
   * All that takes long and blocks nobody: the base copy. Not repeated for a new attempt. On a new stream it asks
   * again: what is done is answered as done, what runs goes on.
   */
  | {
      readonly type: 'prepare';
      readonly checkpoint: string;
      readonly assignment: Assignment;
      /** Clients' writes are refused from now until the member has collected, or the operation ends. */
      readonly maintenance: boolean;
      /** Not set: a checkpoint. */
      readonly purpose?: Purpose;
    }
  /** Observers only: show nothing newer from now on. Nobody is held by it, so it may take minutes. */
  | { readonly type: 'pause'; readonly token: Token }
  /** Make the token durable, then bring the fence within one message of closing. */
  | { readonly type: 'arm'; readonly token: Token; readonly leaseMs: number }
  /** The attempt is given up before its freeze: be as before the arm. What was prepared stays. */
  | { readonly type: 'disarm'; readonly token: Token }
  /** Fence, then mark. The lease counts from receipt. */
  | { readonly type: 'freeze'; readonly token: Token; readonly leaseMs: number }
  /** Sent only when every member has marked. Let go, prove that it held, disarm. */
  | { readonly type: 'thaw'; readonly token: Token }
  /** Word from the coordinator: the lease of this token starts anew. */
  | { readonly type: 'renew'; readonly token: Token }
  /** Finish copying up to the mark of this token, store, write the member manifest. */
  | { readonly type: 'collect'; readonly token: Token }
  /** Thaw, disarm, remove what was prepared. Token null: nothing was armed yet. */
  | { readonly type: 'abort'; readonly token: Token | null };

/** How a member held between its fence and the thaw. */
export type ThawProof =
  /** Held without a break from fence to thaw, nothing leaked. The only proof that a commit accepts. */
  | {
      readonly type: 'held';
      readonly incarnation: string;
      /** Who had its journal while it was held; absent where its engine hands it to nobody. */
      readonly viewing?: Viewing;
    }
  /** It had let go already when the thaw came: lease, closed stream, guard. */
  | { readonly type: 'alreadyResumed'; readonly incarnation: string; readonly cause: string }
  /** It was held, but something became visible in between, or the process was restarted. */
  | { readonly type: 'broken'; readonly incarnation: string; readonly cause: string };

/** Whether a write daemon was suspended without a break, and why not. */
export type Suspension = { readonly held: true } | { readonly held: false; readonly cause: string };

export type MemberAnswer =
  | { readonly type: 'prepared' }
  | { readonly type: 'paused'; readonly token: Token }
  | {
      readonly type: 'armed';
      readonly token: Token;
      readonly incarnation: string;
      readonly viewing?: Viewing;
    }
  /** As before the arm. Unasked where the arm failed, with the failure; what was prepared stays. */
  | { readonly type: 'disarmed'; readonly token: Token; readonly failure: Failure | null }
  | {
      readonly type: 'marked';
      readonly token: Token;
      readonly incarnation: string;
      /** Null for an observer. */
      readonly mark: Mark | null;
      /** From receipt of the freeze to the fence holding, by the agent's monotonic clock. */
      readonly fenceMs: number;
      /** From the fence holding to the mark. */
      readonly markMs: number;
    }
  /** The fence is open again; the proof follows in `thawed`. */
  | { readonly type: 'released'; readonly token: Token; readonly thawMs: number }
  | { readonly type: 'thawed'; readonly token: Token; readonly proof: ThawProof }
  | {
      readonly type: 'collected';
      readonly token: Token;
      /** SHA-256 of the stored member manifest. */
      readonly manifestDigest: string;
      readonly sizeBytes: number;
      /** New bytes this member added to the repository. */
      readonly storedBytes: number;
      /** Of a freeze: whether no database file has changed since it was prepared. Absent where nothing was to stay so. */
      readonly suspension?: Suspension;
    }
  /** Nothing of this operation is left on the member. `running`, or `stopped` where the process is gone. */
  | { readonly type: 'aborted'; readonly state: MemberState }
  /** The command could not be done. The coordinator aborts everywhere. */
  | { readonly type: 'failed'; readonly failure: Failure; readonly state: MemberState }
  /** The command is not for now: an older token, a freeze after its thaw. Nothing was done. */
  | { readonly type: 'refused'; readonly failure: Failure };

/** Live progress of a member, for people; no decision rests on it. */
export interface MemberProgress {
  readonly member: string;
  readonly phase: string;
  readonly bytesDone: number;
  readonly bytesTotal: number;
  /** What it waits for, in words; empty where it does not wait. */
  readonly waitsFor: string;
}
