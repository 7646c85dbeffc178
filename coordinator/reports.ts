import type { Failure } from '../shared/domain/errors.ts';
import type { ImportedArchive } from '../shared/domain/manifest.ts';
import type { Abilities, Purpose } from '../shared/domain/purpose.ts';
import type { NamedAddress } from '../shared/domain/wire.ts';
import type { ProcessorUse, WindowParts } from './trace/window-parts.ts';
import type { EngineName, JournalMap, Role } from '../shared/domain/grid.ts';

/** What commands print with `--output json`: the shapes that scripts read. Times in ms, sizes in bytes. */
export interface CheckpointReport {
  readonly checkpoint: string;
  readonly grid: string;
  readonly epoch: number;
  readonly counter: number;
  readonly journalMap: JournalMap;
  readonly windowMs: number;
  readonly durationMs: number;
  readonly sizeBytes: number;
  readonly storedBytes: number;
  readonly members: readonly {
    readonly name: string;
    readonly host: string;
    readonly role: Role;
    readonly engine: EngineName;
    readonly address: string;
    readonly state: string;
    readonly mark: string | null;
    readonly fenceMs: number;
    readonly markMs: number;
    readonly thawMs: number;
    readonly sizeBytes: number;
    readonly storedBytes: number;
    /** Where it was traced; null where that is not known of this member. */
    readonly window?: WindowParts | null;
  }[];
  readonly absent: readonly string[];
  readonly warnings: readonly string[];
  /** Where it was traced. */
  readonly trace?: TraceReport;
}

/** Where the steps are, and how the main thread of each process was served from the first freeze to the last release. */
export interface TraceReport {
  readonly file: string;
  /** Null where the system does not tell. */
  readonly coordinator: ProcessorUse | null;
  readonly agents: readonly { readonly host: string; readonly processor: ProcessorUse | null }[];
}

export interface ImportReport {
  readonly checkpoint: string;
  readonly grid: string;
  readonly epoch: number;
  readonly counter: number;
  readonly imported: ImportedArchive;
  /** What is in the archive, a line each. */
  readonly content: readonly string[];
  readonly durationMs: number;
  readonly sizeBytes: number;
  readonly storedBytes: number;
  readonly members: readonly {
    readonly name: string;
    readonly host: string;
    readonly role: Role;
    readonly engine: EngineName;
    readonly address: string;
    readonly state: 'imported';
    readonly sizeBytes: number;
    readonly storedBytes: number;
  }[];
  readonly warnings: readonly string[];
}

export interface ExportReport {
  readonly checkpoint: string;
  readonly grid: string;
  readonly member: string;
  /** Absolute. */
  readonly file: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly durationMs: number;
}

export interface SalvageReport {
  readonly checkpoint: string;
  readonly grid: string;
  readonly members: readonly { readonly name: string; readonly host: string; readonly sizeBytes: number }[];
  readonly durationMs: number;
  readonly sizeBytes: number;
  readonly storedBytes: number;
}

/** A prepared transaction that a restored member had, and what became of it. */
export interface PreparedDecision {
  readonly gid: string;
  readonly member: string;
  readonly database: string;
  readonly found: 'prepared';
  /** Null: nobody in the grid had committed it; it is left as it is. */
  readonly decided: 'commit' | null;
  readonly applied: boolean;
  /** What to run by hand; null where nothing is left to do. */
  readonly command: string | null;
  readonly cause?: string;
}

export interface RestoreReport {
  readonly checkpoint: string;
  readonly grid: string;
  /** Of backups that its operator made: the set that has them. */
  readonly set?: string;
  readonly members: readonly {
    readonly name: string;
    readonly from: string;
    /** The operator's own backup that it is built from. */
    readonly image?: string;
    readonly to: string;
    readonly state: string;
  }[];
  /** Processes of the realm whose address changes; `from` is null for one that was absent. */
  readonly relocations: readonly {
    readonly name: string;
    readonly from: string | null;
    readonly to: string;
  }[];
  /** What in the data led to other servers, where it was asked for by --rewrite-addresses. */
  readonly addresses: readonly AddressReport[];
  readonly durationMs: number;
  readonly bytes: number;
  readonly verified: boolean;
  readonly prepared: readonly PreparedDecision[];
  readonly warnings: readonly string[];
}

export interface AddressReport extends NamedAddress {
  readonly member: string;
}

export interface PruneReport {
  /** Oldest first. */
  readonly deleted: readonly string[];
  readonly kept: readonly string[];
  /** Which parts of the rule keep each, in the words of the command's options. */
  readonly keptBy: Readonly<Record<string, readonly string[]>>;
  /** Quiesces, freezes and journal checkpoints: by the same rule, counted apart; what a set needs is kept. */
  readonly holds: Pick<PruneReport, 'deleted' | 'kept' | 'keptBy'>;
  readonly removedBytes: number;
  /** Not deleted this time: a running operation reads it. */
  readonly busy: readonly { readonly checkpoint: string; readonly holder: string }[];
  /** Copies removed on hosts. */
  readonly local: readonly { readonly host: string; readonly checkpoints: readonly string[] }[];
}

export interface FailoverReport {
  readonly grid: string;
  readonly epoch: number;
}

/** An operation that has the grid, or hosts of it. Its token is for those alone whom it was told. */
export interface JobReport {
  /** Null of a restore, and where no member was prepared yet. */
  readonly purpose: Purpose['type'] | null;
  readonly checkpoint: string | null;
  /** Who runs it: user, host and process. */
  readonly holder: string;
  /** When it took its number. ISO 8601 UTC, by the clock of its host. */
  readonly since: string | null;
  /** Those that are claimed for it. */
  readonly hosts: readonly string[];
}

export interface StatusReport {
  readonly grid: string;
  readonly hosts: readonly {
    readonly host: string;
    readonly agent: string;
    readonly reachable: boolean;
    readonly error?: Failure;
  }[];
  readonly members: readonly {
    readonly name: string;
    readonly host: string;
    readonly role: Role;
    readonly copyset: string | null;
    readonly engine: EngineName;
    readonly version: string;
    readonly address: string;
    readonly running: boolean;
    readonly primary: boolean;
    readonly frozen: boolean;
    readonly problems: readonly Failure[];
    readonly warnings: readonly string[];
  }[];
  /** What holds or occupies the grid, as far as hosts answer. */
  readonly jobs: readonly JobReport[];
  /** Of the grid as a whole: what its realm, as far as every host answers, lacks for a checkpoint. */
  readonly problems: readonly Failure[];
  readonly warnings: readonly string[];
  /** Where its age was asked for: the newest valid checkpoint, null where there is none or it cannot be read. */
  readonly newest?: { readonly checkpoint: string; readonly ageSeconds: number } | null;
}

/** A member that stores data, and what it can be held for; why not where it cannot. */
export interface AbleMember extends Abilities {
  readonly name: string;
  readonly host: string;
  readonly engine: EngineName;
}

export interface DoctorReport {
  readonly grid: string;
  readonly healthy: boolean;
  readonly operations: readonly AbleMember[];
  readonly findings: readonly { readonly level: 'problem' | 'warning'; readonly failure: Failure }[];
}
