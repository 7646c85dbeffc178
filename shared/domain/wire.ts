import type { Approach, ImageSummary, Stamp } from './backup-set.ts';
import type { Failure } from './errors.ts';
import type { DefinedProcess, HostDescription } from './grid.ts';
import type { Warning } from './warning.ts';
import type { MemberAnswer, MemberCommand, MemberProgress } from './messages.ts';
import type { Purpose } from './purpose.ts';
import type { ProcessTrace } from './trace.ts';

/** Raised with every change that an older peer would misread. A mismatch is refused in preflight. */
export const PROTOCOL_VERSION = 7;

/** No member is held, and no host claimed, for longer without word: `leaseSeconds` of the grid file ends there too. */
export const MAX_LEASE_MS = 600_000;

/**
 * What goes over the one stream between a coordinator and an agent, as the rest of the code sees it.
 * shared/rpc turns it into protobuf messages (proto/agent.proto) and back.
 *
 * The first request is `hello`, answered by `welcome`. An operation then claims the host: the agent lets
 * one operation at a time work on its grid. When the stream ends, the agent aborts what it carried.
 * Requests with an `id` are answered once, with the same id.
 */
export type AgentRequest =
  | {
      readonly type: 'hello';
      readonly protocolVersion: number;
      readonly grid: string;
      /** Who asks, for logs and for the other coordinator that is refused: `user@host pid 4711`. */
      readonly holder: string;
    }
  | { readonly type: 'describe'; readonly id: number }
  | { readonly type: 'diagnose'; readonly id: number }
  | {
      readonly type: 'claim';
      readonly id: number;
      readonly operation: string;
      readonly purpose: 'checkpoint' | 'restore';
      /** With no word for this long, another coordinator may take the grid over. */
      readonly leaseMs: number;
      /** The steps of a checkpoint are noted, for `readTrace`. */
      readonly trace?: true;
    }
  /** Word from the coordinator while nothing else is said. */
  | { readonly type: 'keepAlive' }
  /** Ends the claim; nothing of the operation is left. */
  | { readonly type: 'release'; readonly id: number }
  /** Answered at once: both sides walk the way that the freeze will take. */
  | { readonly type: 'rehearse'; readonly id: number }
  /** The checkpoint is committed: what lies of it on this host is finished. */
  | { readonly type: 'settle'; readonly id: number; readonly checkpoint: string }
  /** Removes what lies of these checkpoints on this host; the repository is not touched. */
  | { readonly type: 'dropLocal'; readonly id: number; readonly checkpoints: readonly string[] }
  /** What lies complete of a checkpoint on this host? */
  | { readonly type: 'readLocal'; readonly id: number; readonly checkpoint: string }
  /** Stores it in the repository again; with `metadata` also the members that keep nothing themselves. */
  | {
      readonly type: 'salvage';
      readonly id: number;
      readonly checkpoint: string;
      readonly metadata: boolean;
    }
  /** Tokens of a lower epoch are refused from now on. */
  | { readonly type: 'raiseEpoch'; readonly id: number; readonly epoch: number }
  /** The checkpoints of this host's grid are of this lineage from now on. */
  | { readonly type: 'joinLineage'; readonly id: number; readonly lineage: string }
  /** The steps of the operation that this stream has claimed the host for. Changes nothing. */
  | { readonly type: 'readTrace'; readonly id: number }
  /** Which job holds this host? Changes nothing. */
  | { readonly type: 'askJob'; readonly id: number }
  /** To the job that holds the grid, through any of its agents: let go of it. */
  | {
      readonly type: 'letGo';
      readonly id: number;
      /** The job's token; empty: whichever freeze holds the grid. */
      readonly operation: string;
      /** The agent ends the operation by itself, whoever holds it. */
      readonly force: boolean;
    }
  /** How does the member's host stand, now that its operator's own backup begins, or has ended? Changes nothing. */
  | { readonly type: 'stampMember'; readonly id: number; readonly member: string }
  /** Reads every byte of an image and stores its manifest in the repository. Given up when the stream ends. */
  | {
      readonly type: 'readImage';
      readonly id: number;
      readonly set: string;
      readonly member: string;
      /** Its name in the directory that the agent's file names. */
      readonly image: string;
    }
  /** Could the image be brought to the mark? Changes nothing; fails with what is in the way. */
  | {
      readonly type: 'checkImage';
      readonly id: number;
      readonly member: string;
      readonly checkpoint: string;
      readonly mark: ManifestReference;
      readonly image: ImageReference;
    }
  /**
   * Keeps a document for one of the agent's clusters, and begins what it stands for. Documents go as JSON: what may stand
   * in them shared/documents says, to both sides.
   */
  | {
      readonly type: 'applyDocument';
      readonly id: number;
      readonly document: string;
      /** Of a Restore: the Backup that it names, as it is kept; else empty. */
      readonly backup: string;
    }
  /** The documents after this one (`Kind/name`; empty: from the first), as many as fit into an answer. */
  | { readonly type: 'readDocuments'; readonly id: number; readonly after: string }
  /** Ends what a document is about, and forgets it with all that was made for it. */
  | { readonly type: 'deleteDocument'; readonly id: number; readonly kind: string; readonly name: string }
  | {
      readonly type: 'readDocumentLog';
      readonly id: number;
      readonly kind: string;
      readonly name: string;
      /** In bytes. */
      readonly offset: number;
    }
  /**
   * Reads every byte of an archive that lies in the repository, and stores it as this member's state in `checkpoint`.
   * Commits nothing. Given up when the stream ends.
   */
  | {
      readonly type: 'importArchive';
      readonly id: number;
      readonly member: string;
      readonly checkpoint: string;
      /** The checkpoint, never committed, in which the archive lies as an artifact of the member. */
      readonly given: string;
      /** Of the member's manifest there. */
      readonly digest: string;
    }
  | { readonly type: 'member'; readonly member: string; readonly command: MemberCommand }
  /** While members are prepared: gone through with a stand-in of that member, which holds nobody. */
  | { readonly type: 'rehearseMember'; readonly member: string; readonly command: MemberCommand }
  | { readonly type: 'restore'; readonly id: number; readonly member: string; readonly step: RestoreStep };

/** The operation that a host is claimed for. */
export interface HeldBy {
  /** The job's token: who has it may let go. */
  readonly operation: string;
  readonly holder: string;
  /** Null where no member of this host was prepared yet, and of a restore. */
  readonly checkpoint: string | null;
  readonly purpose: Purpose | null;
}

/** A member that was stored again from a copy on its host. */
export interface SalvagedMember {
  readonly name: string;
  readonly manifestDigest: string;
  readonly sizeBytes: number;
  readonly storedBytes: number;
}

/** A member that was stored from an archive that somebody brought. */
export interface ImportedMember extends Omit<SalvagedMember, 'name'> {
  /** ISO 8601 UTC, by the clock of who wrote the archive; null where it does not say. */
  readonly writtenAt: string | null;
  /** What was left out of it on purpose, in words; null: it is of all that its members held. */
  readonly leftOut: string | null;
  /** What is in it, a line each, for people. */
  readonly content: readonly string[];
}

/** A member manifest of a checkpoint. */
interface ManifestReference {
  readonly member: string;
  readonly digest: string;
}

/** The manifest of an operator's own image, in a set of the repository. */
export interface ImageReference {
  readonly set: string;
  readonly digest: string;
  readonly approach: Approach;
}

/** What builds one restored member. */
export interface StagePlan {
  readonly restoreId: string;
  readonly grid: string;
  readonly checkpoint: string;
  /** Member manifest that the data comes from, by name and digest. */
  readonly source: ManifestReference;
  /** Set where the data is an operator's own image, and is brought to the mark of `source`. */
  readonly image?: ImageReference;
  /** This member's own manifest, where it had one besides. */
  readonly own: ManifestReference | null;
  /** Connection target of the primary to follow, `host:port`; null for a primary. */
  readonly follow: string | null;
}

/** Where addresses of the old grid are from now on. */
export interface AddressMoves {
  /** Of members, `host:port`. */
  readonly members: readonly AddressMove[];
  /** Of hosts, without a port. */
  readonly hosts: readonly AddressMove[];
}

export interface AddressMove {
  readonly from: string;
  readonly to: string;
}

/** What in the data leads to another server, and what becomes of it. */
export interface NamedAddress {
  readonly database: string;
  readonly kind: string;
  readonly name: string;
  readonly from: string;
  /** Empty where it is not changed. */
  readonly to: string;
  readonly state: NamedAddressState;
  /** Why it is not changed; else empty. */
  readonly why: string;
}

/**
 * `left`: it leads to the old grid still. `kept`: it leads to the restored one as it is. `outside`: to neither, as far
 * as is known. `unseen`: nobody could look.
 */
type NamedAddressState = (typeof NAMED_ADDRESS_STATES)[number];
export const NAMED_ADDRESS_STATES = ['changed', 'planned', 'left', 'kept', 'outside', 'unseen'] as const;

export type RestoreStep =
  | { readonly type: 'isRunning' }
  | { readonly type: 'stop' }
  /** What staging would meet; changes nothing. */
  | ({
      readonly type: 'check';
      /** Null: nothing in the data is to be changed. */
      readonly moves: AddressMoves | null;
    } & StagePlan)
  | ({ readonly type: 'stage' } & StagePlan)
  /** Recovers the staged member where no client can reach it, looks at it, and shuts it down again. */
  | {
      readonly type: 'prove';
      /** Prepared transactions that another member of the checkpoint had committed. */
      readonly committed: readonly string[];
      /** The names under which restored standbys will follow this primary. */
      readonly standbys: readonly string[];
      /** Asked while it is proven; only of members whose `check` said that they take questions. */
      readonly questions: readonly Question[];
      /** Null: nothing in the data is to be changed. */
      readonly moves: AddressMoves | null;
    }
  | { readonly type: 'switchIn' }
  | { readonly type: 'start' }
  | { readonly type: 'verify' }
  /** Asked of every member just before the decision: is its part still in hand? */
  | { readonly type: 'ready' }
  /** To the primary realm service, when nothing else of the grid runs: where every process is from now on. */
  | { readonly type: 'relocate'; readonly processes: readonly DefinedProcess[] }
  /** The restore is decided: the member starts as its owner starts it. */
  | { readonly type: 'open' }
  | { readonly type: 'finish' }
  | { readonly type: 'rollBack' }
  /** Rejects unless the agent's file allows drills of the member, its place is empty, and nothing runs there. */
  | { readonly type: 'admitDrill' }
  /** What is restored stays as it is, undecided, when the stream ends: until `end` comes for it. */
  | { readonly type: 'keep' }
  /** For an agent whose coordinator is gone: carries out what the repository says of this restore, now. */
  | { readonly type: 'end'; readonly restoreId: string };

/** Bytes that a restore needs in one file system of a host. */
export interface RestoreRoom {
  readonly fileSystem: string;
  readonly path: string;
  readonly neededBytes: number;
  readonly freeBytes: number;
}

/** What a drill asks of a restored member: one statement in the member's own language, only to read. */
export interface Question {
  readonly name: string;
  readonly statement: string;
  /** Empty: where the member's agent is at home. */
  readonly database: string;
}

export interface Answer {
  readonly name: string;
  /** Rows by lines, columns by tabs. */
  readonly text: string;
  /** Why there is no answer; empty where there is one. */
  readonly error: string;
  readonly durationMs: number;
}

export interface FoundPrepared {
  readonly gid: string;
  readonly database: string;
  readonly committed: boolean;
  /** Why it could not be committed, where it should have been; else empty. */
  readonly cause: string;
  /** What commits it, and what takes it back, by hand there: statements or commands of its engine. */
  readonly byHand: { readonly commit: string; readonly rollback: string };
}

export type RestoreStepResult =
  | { readonly type: 'done'; readonly bytes: number }
  | { readonly type: 'running'; readonly running: boolean }
  | {
      readonly type: 'checked';
      readonly provesInPrivate: boolean;
      readonly warnings: readonly Warning[];
      readonly rooms: readonly RestoreRoom[];
      readonly takesQuestions: boolean;
      readonly addresses: readonly NamedAddress[];
    }
  /** `followsAs`: the name that its primary will know it by; null for one that follows nobody. */
  | { readonly type: 'staged'; readonly bytes: number; readonly followsAs: string | null }
  | {
      readonly type: 'verified';
      readonly checks: readonly string[];
      readonly warnings: readonly Warning[];
      readonly prepared: readonly FoundPrepared[];
      readonly answers: readonly Answer[];
      readonly addresses: readonly NamedAddress[];
    }
  | { readonly type: 'opened'; readonly warnings: readonly Warning[]; readonly problems: readonly string[] };

export type AgentResponse =
  | {
      readonly type: 'welcome';
      readonly protocolVersion: number;
      readonly agentVersion: string;
      readonly host: string;
      readonly grid: string;
    }
  | {
      readonly type: 'described';
      readonly id: number;
      readonly host: HostDescription;
      readonly repositoryId: string;
    }
  | {
      readonly type: 'diagnosed';
      readonly id: number;
      readonly findings: readonly { readonly level: 'problem' | 'warning'; readonly failure: Failure }[];
    }
  /**
   * `resumed`: the work of this operation, whose stream was lost, was kept. `traced`: its steps are noted, and can be read;
   * an older agent does not say it. `rehearses`: it takes `rehearseMember`; an older one does not say that either.
   */
  | {
      readonly type: 'claimed';
      readonly id: number;
      readonly resumed: boolean;
      readonly traced?: true;
      readonly rehearses?: true;
    }
  /** `clockMs`: of the agent's monotonic clock, in the answer to `rehearse`. */
  | { readonly type: 'done'; readonly id: number; readonly clockMs?: number }
  | { readonly type: 'traced'; readonly id: number; readonly trace: ProcessTrace }
  | {
      readonly type: 'job';
      readonly id: number;
      readonly held: HeldBy | null;
      /** The highest number that this agent has ever seen in a token. */
      readonly highestEpoch: number;
      readonly highestCounter: number;
    }
  /** To the job that holds the grid: somebody who may has asked it to let go. */
  | { readonly type: 'letGoAsked'; readonly holder: string }
  | { readonly type: 'stamped'; readonly id: number; readonly stamp: Stamp }
  | { readonly type: 'imageRead'; readonly id: number; readonly image: ImageSummary }
  | {
      readonly type: 'documentApplied';
      readonly id: number;
      /** It was kept already, and nothing has been done. */
      readonly unchanged: boolean;
      readonly document: string;
    }
  | {
      readonly type: 'documents';
      readonly id: number;
      /** Those that the agent keeps documents for. */
      readonly clusters: readonly string[];
      readonly documents: readonly string[];
      readonly more: boolean;
    }
  | {
      readonly type: 'documentLog';
      readonly id: number;
      readonly text: string;
      readonly nextOffset: number;
      /** Nothing will be added to it. */
      readonly ended: boolean;
    }
  | {
      readonly type: 'localCheckpoint';
      readonly id: number;
      /** The commit object, as it lies there; empty: nothing is complete. */
      readonly gridManifest: string;
      /** Of the metadata; empty where the host keeps none. */
      readonly metadataDigest: string;
    }
  | { readonly type: 'salvaged'; readonly id: number; readonly members: readonly SalvagedMember[] }
  | ({ readonly type: 'archiveImported'; readonly id: number } & ImportedMember)
  /** What could not be finished is no harm to the checkpoint in the repository. */
  | { readonly type: 'settled'; readonly id: number; readonly warnings: readonly Warning[] }
  | { readonly type: 'failed'; readonly id: number; readonly failure: Failure }
  | { readonly type: 'memberAnswer'; readonly member: string; readonly answer: MemberAnswer }
  /** Of the stand-in. */
  | { readonly type: 'rehearsed'; readonly member: string; readonly answer: MemberAnswer }
  | { readonly type: 'restored'; readonly id: number; readonly result: RestoreStepResult }
  | { readonly type: 'progress'; readonly progress: MemberProgress }
  /** The stream as a whole is refused (version, role, grid); the agent closes it. */
  | { readonly type: 'rejected'; readonly failure: Failure };
