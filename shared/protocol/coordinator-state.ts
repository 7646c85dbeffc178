import type { Assignment } from '../domain/assignment.ts';
import type { Failure, MemberState, Phase } from '../domain/errors.ts';
import type { FreezeKind, Mark } from '../domain/grid.ts';
import type { MemberAnswer, MemberCommand, ThawProof } from '../domain/messages.ts';
import type { Purpose } from '../domain/purpose.ts';
import type { Token } from '../domain/token.ts';
import type { Viewing } from '../domain/viewing.ts';

export interface ConfiguredMember {
  readonly name: string;
  readonly kind: FreezeKind;
  /** Not set: it stands for itself. */
  readonly assignment?: Assignment;
  /** The lead of its domain, which holds it in its place. Not set: it is not held by another. */
  readonly heldBy?: string;
}

/** What the coordinator's machine is told once, at the start of a checkpoint. Times in milliseconds. */
export interface CoordinatorConfig {
  readonly members: readonly ConfiguredMember[];
  readonly checkpoint: string;
  /** Whether clients' writes are refused while the checkpoint is made. */
  readonly maintenance: boolean;
  /** Not set: a checkpoint. */
  readonly purpose?: Purpose;
  /** Whether consumers of logical replication outside of the grid are no reason against a cut. */
  readonly allowLogical?: boolean;
  readonly epoch: number;
  readonly counter: number;
  readonly leaseMs: number;
  /** Of cuts that could not be proven. */
  readonly maxAttempts: number;
  /** Of arms that failed or were late. */
  readonly maxArms: number;
  readonly deadlines: {
    /** Null: as long as it takes; progress is shown and the person decides. */
    readonly prepareMs: number | null;
    /** For observers to stop showing anything newer. */
    readonly pauseMs: number;
    readonly armMs: number;
    readonly disarmMs: number;
    /** Between an arm that failed and the next; each time twice as long. */
    readonly armAgainMs: number;
    /** For a member whose stream was lost before the first arm to come back. */
    readonly reconnectMs: number;
    readonly freezeMs: number;
    readonly thawMs: number;
    readonly collectMs: number | null;
    readonly abortRetryMs: number;
    /** After this long an unconfirmed abort is reported as it is: members may still be frozen. */
    readonly abortGiveUpMs: number;
  };
}

/** Everything happens to the machine as an event; `now` is one monotonic clock, in milliseconds. */
export type CoordinatorEvent =
  | { readonly type: 'started'; readonly now: number }
  | {
      readonly type: 'answerReceived';
      readonly now: number;
      readonly member: string;
      readonly answer: MemberAnswer;
    }
  /** `mayReturn`: it is the connection that failed, and not what the agent said. Not set: no. */
  | {
      readonly type: 'memberLost';
      readonly now: number;
      readonly member: string;
      readonly failure: Failure;
      readonly mayReturn?: boolean;
    }
  /** `resumed`: its agent has kept the work of this operation. Not set: no. */
  | {
      readonly type: 'memberReconnected';
      readonly now: number;
      readonly member: string;
      readonly resumed?: boolean;
    }
  /** The job lets go of what it holds. */
  | { readonly type: 'letGo'; readonly now: number }
  | { readonly type: 'cancelled'; readonly now: number; readonly failure: Failure }
  | { readonly type: 'committed'; readonly now: number }
  | { readonly type: 'commitFailed'; readonly now: number; readonly failure: Failure }
  | { readonly type: 'timePassed'; readonly now: number };

/** Performed in the order of the list. */
export type CoordinatorEffect =
  | { readonly type: 'send'; readonly member: string; readonly command: MemberCommand }
  /** The member is still needed and its stream is gone: open it anew, then say `memberReconnected`. */
  | { readonly type: 'reconnect'; readonly member: string }
  /** Write the grid manifest, exclusively; then say `committed` or `commitFailed`. */
  | { readonly type: 'commit'; readonly proof: CommitProof }
  /** Everybody is held for the job: what it came for may begin. It lasts until `letGo`. */
  | { readonly type: 'holding'; readonly held: Held }
  /** For people: what went wrong and is tried again. */
  | { readonly type: 'note'; readonly text: string }
  | { readonly type: 'enter'; readonly phase: Phase; readonly attempt: number }
  | { readonly type: 'finish'; readonly outcome: Outcome };

/** What is known while the job holds the grid; that it held is known at the end only. */
export interface Held {
  readonly token: Token;
  readonly marks: readonly { readonly name: string; readonly mark: Mark | null }[];
}

/** All that the protocol knows of a valid cut; the grid manifest is made of it. */
export interface CommitProof {
  readonly token: Token;
  /** From the first fence being asked for to the last being known open, by the coordinator's clock. */
  readonly windowMs: number;
  readonly members: readonly {
    readonly name: string;
    readonly kind: FreezeKind;
    readonly assignment: Assignment;
    /** Null of a member that the lead of its domain held: the lead's stands for it. */
    readonly incarnation: string | null;
    readonly mark: Mark | null;
    readonly fenceMs: number;
    readonly markMs: number;
    readonly thawMs: number;
    readonly manifestDigest: string;
    readonly sizeBytes: number;
    readonly storedBytes: number;
  }[];
}

export type Outcome =
  | { readonly kind: 'committed'; readonly proof: CommitProof }
  /** Every member that could have been touched is confirmed thawed; nothing was committed. */
  | { readonly kind: 'aborted'; readonly failure: Failure }
  /** The cut could not be proven in any attempt; thawed and uncommitted like `aborted`. */
  | { readonly kind: 'invalid'; readonly failure: Failure }
  | { readonly kind: 'maybeFrozen'; readonly failure: Failure };

type MarkedAnswer = Extract<MemberAnswer, { type: 'marked' }>;
type CollectedAnswer = Extract<MemberAnswer, { type: 'collected' }>;
export type Round = 'observer' | 'fenced' | 'instant';

/** One attempt: what is known of it so far. */
export interface Attempt {
  readonly token: Token;
  readonly armed: ReadonlyMap<string, string>;
  /** Who had their journals when they were armed. */
  readonly viewings: ReadonlyMap<string, Viewing>;
  readonly marked: ReadonlyMap<string, MarkedAnswer>;
  /** When the first fenced member was asked to freeze; null before. */
  readonly fencedFrom: number | null;
  readonly released: ReadonlyMap<string, { readonly at: number; readonly thawMs: number }>;
  readonly proofs: ReadonlyMap<string, ThawProof>;
}

export type CoordinatorPhase =
  | { readonly name: 'idle' }
  | { readonly name: 'preparing'; readonly prepared: ReadonlySet<string>; readonly deadline: number | null }
  /** Observers stop showing anything newer. `missing`: who has not, and who has to come back first. */
  | {
      readonly name: 'pausing';
      readonly token: Token;
      readonly missing: ReadonlySet<string>;
      readonly deadline: number;
    }
  | { readonly name: 'arming'; readonly attempt: Attempt; readonly deadline: number }
  /** An arm failed or was late: nobody stays armed while the next is waited for. */
  | {
      readonly name: 'disarming';
      readonly attempt: Attempt;
      readonly failure: Failure;
      readonly disarmed: ReadonlySet<string>;
      readonly deadline: number;
    }
  | { readonly name: 'waiting'; readonly next: number; readonly deadline: number }
  | { readonly name: 'freezing'; readonly round: Round; readonly attempt: Attempt; readonly deadline: number }
  /** Of a quiesce before the thaw, of a freeze after it. Its bound is the agents' own, and the word of the job. */
  | { readonly name: 'holding'; readonly attempt: Attempt }
  | { readonly name: 'thawing'; readonly attempt: Attempt; readonly deadline: number }
  | {
      readonly name: 'collecting';
      readonly attempt: Attempt;
      readonly collected: ReadonlyMap<string, CollectedAnswer>;
      readonly deadline: number | null;
    }
  | { readonly name: 'committing'; readonly proof: CommitProof }
  | {
      readonly name: 'aborting';
      readonly kind: 'aborted' | 'invalid';
      readonly failure: Failure;
      readonly token: Token | null;
      /** Whether anybody could be frozen when it began. */
      readonly mayHold: boolean;
      readonly confirmed: ReadonlyMap<string, MemberState>;
      readonly retryAt: number;
      readonly giveUpAt: number;
    }
  | { readonly name: 'over' };

export interface Away {
  readonly failure: Failure;
  readonly until: number;
}

export interface CoordinatorState {
  readonly config: CoordinatorConfig;
  readonly phase: CoordinatorPhase;
  /** Members whose stream is gone. */
  readonly lost: ReadonlySet<string>;
  /** Those of them that are waited for: before the first arm, each for a while. */
  readonly away: ReadonlyMap<string, Away>;
  /** So many arms have failed or were late. */
  readonly failedArms: number;
  /** Of the first of them. */
  readonly firstArmFailure: Failure | null;
  /** Whether anything was sent by which somebody may be held: an arm, or the prepare of a freeze. */
  readonly holdSent: boolean;
}

export interface CoordinatorStep {
  readonly state: CoordinatorState;
  readonly effects: readonly CoordinatorEffect[];
}
