import type { Assignment } from '../domain/assignment.ts';
import type { Failure, MemberState as StateInWords } from '../domain/errors.ts';
import type { FreezeKind, Mark } from '../domain/grid.ts';
import type { MemberAnswer, MemberCommand, Suspension, ThawProof } from '../domain/messages.ts';
import type { Purpose } from '../domain/purpose.ts';
import type { Token } from '../domain/token.ts';
import type { Viewing } from '../domain/viewing.ts';
import type { Lease } from './lease.ts';

export interface MemberConfig {
  readonly member: string;
  readonly kind: FreezeKind;
  /** With no word at all from the coordinator for this long the operation is aborted. */
  readonly operationSilenceMs: number;
  /** Until a freeze is armed with one of its own. */
  readonly leaseMs: number;
}

export type MemberEvent =
  | { readonly type: 'commandReceived'; readonly now: number; readonly command: MemberCommand }
  /** The coordinator's stream ended. */
  | { readonly type: 'streamClosed'; readonly now: number }
  /** The same operation has a new stream. Only where `mayBeResumed`. */
  | { readonly type: 'streamResumed'; readonly now: number }
  /** The grid was taken over, the guard died, or the agent ends. */
  | { readonly type: 'operationEnded'; readonly now: number }
  /** Any message of the coordinator. */
  | { readonly type: 'messageReceived'; readonly now: number }
  | {
      readonly type: 'engineAnswered';
      readonly now: number;
      readonly call: number;
      readonly result: EngineResult;
    }
  /** The guard thawed it, since the agent was silent for too long. */
  | { readonly type: 'guardThawed'; readonly now: number }
  | { readonly type: 'timePassed'; readonly now: number };

export type EngineCall =
  | {
      readonly type: 'prepare';
      readonly checkpoint: string;
      readonly assignment: Assignment;
      readonly maintenance: boolean;
      readonly purpose: Purpose;
    }
  /** Observers only: resolves when nothing newer is shown. */
  | { readonly type: 'pause'; readonly token: Token }
  | { readonly type: 'arm'; readonly token: Token }
  /** Also after an arm that failed. */
  | { readonly type: 'disarm'; readonly token: Token }
  | { readonly type: 'freeze'; readonly token: Token }
  | { readonly type: 'thaw'; readonly token: Token }
  | { readonly type: 'collect'; readonly token: Token }
  /** Never fails: performed until the member runs, or is known to be down. */
  | { readonly type: 'abort' };

export type EngineResult =
  | { readonly type: 'prepared' }
  | { readonly type: 'paused' }
  | { readonly type: 'armed'; readonly incarnation: string; readonly viewing?: Viewing }
  | { readonly type: 'disarmed' }
  | {
      readonly type: 'marked';
      readonly incarnation: string;
      readonly mark: Mark | null;
      readonly fenceMs: number;
      readonly markMs: number;
    }
  | { readonly type: 'released'; readonly thawMs: number }
  | { readonly type: 'thawed'; readonly proof: ThawProof }
  | {
      readonly type: 'collected';
      readonly manifestDigest: string;
      readonly sizeBytes: number;
      readonly storedBytes: number;
      readonly suspension?: Suspension;
    }
  | { readonly type: 'aborted'; readonly state: StateInWords }
  | { readonly type: 'failed'; readonly failure: Failure };

/** Performed in the order of the list: a `record` is durable before any effect after it begins. */
export type MemberEffect =
  | { readonly type: 'record'; readonly token: Token }
  /** Started, not waited for; its results come as `engineAnswered` with this call's number. */
  | { readonly type: 'engine'; readonly call: number; readonly action: EngineCall }
  | { readonly type: 'answer'; readonly answer: MemberAnswer }
  /** The coordinator lives and knows that the member is held: what the engine lets go of by its own clock counts anew. */
  | { readonly type: 'renew' }
  /** The operation is over on this member, and its coordinator gone. */
  | { readonly type: 'closed' };

export type MemberPhase =
  | { readonly name: 'idle' }
  | { readonly name: 'preparing'; readonly call: number }
  | { readonly name: 'prepared' }
  | { readonly name: 'pausing'; readonly call: number; readonly token: Token }
  | { readonly name: 'paused'; readonly token: Token }
  /** `asked`: the attempt was given up meanwhile, and the arm is taken back when it is done. */
  | {
      readonly name: 'arming';
      readonly call: number;
      readonly token: Token;
      readonly lease: Lease;
      readonly asked: boolean;
    }
  | {
      readonly name: 'disarming';
      readonly call: number;
      readonly token: Token;
      readonly failure: Failure | null;
      readonly lease: Lease;
    }
  | { readonly name: 'disarmed'; readonly token: Token }
  | { readonly name: 'armed'; readonly token: Token; readonly incarnation: string; readonly lease: Lease }
  | {
      readonly name: 'freezing';
      readonly call: number;
      readonly token: Token;
      readonly incarnation: string;
      readonly lease: Lease;
    }
  | { readonly name: 'frozen'; readonly token: Token; readonly incarnation: string; readonly lease: Lease }
  | { readonly name: 'thawing'; readonly call: number; readonly token: Token; readonly lease: Lease }
  /** The lease ran out: the member lets go by itself. `asked`: a thaw came meanwhile and waits for the answer. */
  | {
      readonly name: 'releasing';
      readonly call: number;
      readonly token: Token;
      readonly incarnation: string;
      readonly cause: string;
      readonly asked: boolean;
      readonly lease: Lease;
    }
  | { readonly name: 'released'; readonly token: Token; readonly incarnation: string; readonly cause: string }
  | { readonly name: 'thawed'; readonly token: Token; readonly held: boolean }
  | { readonly name: 'collecting'; readonly call: number; readonly token: Token }
  | { readonly name: 'collected'; readonly token: Token }
  /** `closing`: the stream is gone. */
  | { readonly name: 'aborting'; readonly call: number; readonly closing: boolean }
  | { readonly name: 'aborted'; readonly state: StateInWords }
  | { readonly name: 'closed' };

export interface MemberMachineState {
  readonly config: MemberConfig;
  readonly phase: MemberPhase;
  /** The highest token ever recorded here. */
  readonly highest: Token | null;
  /** Whether any arm came in this operation: then its stream is what holds it. */
  readonly wasArmed: boolean;
  readonly maintenance: boolean;
  readonly purpose: Purpose;
  /** Whether it is held by the lead of its domain, and by nothing here. */
  readonly isHeldByLead: boolean;
  /** Of the last freeze that was armed. */
  readonly leaseMs: number;
  /** From the order to close the fence until it is known to be open. */
  readonly isFrozen: boolean;
  /** Since the last arm; of a freeze since it was prepared. */
  readonly guardThawed: boolean;
  /** The stream is gone, and what was prepared is kept for the next one. */
  readonly streamLost: boolean;
  readonly heardAt: number;
  readonly nextCall: number;
  /** First answers, by command and token: a repeated command gets the same again. */
  readonly answers: ReadonlyMap<string, MemberAnswer>;
}

export interface MemberStep {
  readonly state: MemberMachineState;
  readonly effects: readonly MemberEffect[];
}
