import type { Approach } from '../../shared/domain/backup-set.ts';
import type { Failure } from '../../shared/domain/errors.ts';
import type { HoldPurpose } from '../../shared/domain/purpose.ts';

// What the commands of backup sets print with `--output json`.

/** How a member's host stood. */
interface StandingReport {
  readonly epoch: number;
  readonly counter: number;
  /** The quiesce or freeze that held the member. */
  readonly heldBy: string | null;
  readonly running: boolean;
}

export interface BegunReport {
  readonly set: string;
  readonly grid: string;
  readonly members: readonly (StandingReport & { readonly name: string; readonly host: string })[];
}

export interface ImageReport {
  readonly name: string;
  readonly digest: string;
  readonly files: number;
  readonly sizeBytes: number;
  readonly firstJournalFile: string | null;
  readonly journalFiles: readonly string[];
}

export interface EndedReport extends StandingReport {
  readonly set: string;
  readonly grid: string;
  readonly member: string;
  readonly host: string;
  readonly image: string;
  /** Null where it is to be read later. */
  readonly read: ImageReport | null;
  /** The set is of members that were all shut down, and whole: what it is restored to. */
  readonly cold: string | null;
}

/** Of a set that was made while a grid was held. */
export interface HeldSetReport {
  readonly set: string;
  readonly images: readonly (ImageReport & { readonly member: string })[];
  /** Why it cannot be restored yet. */
  readonly problems: readonly Failure[];
}

export interface BackupReport {
  readonly member: string;
  readonly begun: StandingReport | null;
  readonly ended: (StandingReport & { readonly type: 'ended' | 'added'; readonly image: string }) | null;
  readonly read: ImageReport | null;
}

export interface JudgedReport {
  readonly checkpoint: string;
  readonly purpose: HoldPurpose | null;
  readonly approach: Approach | null;
  readonly reasons: readonly Failure[];
}

export interface SetReport {
  readonly set: string;
  readonly grid: string;
  readonly backups: readonly BackupReport[];
  /** What it can be restored to, the newest first. */
  readonly restorable: readonly { readonly checkpoint: string; readonly approach: Approach }[];
  /** Of what a member was copied under: where nothing proves that it held to its end. */
  readonly problems: readonly Failure[];
  readonly for?: JudgedReport;
}

export interface SetListReport {
  readonly sets: readonly {
    readonly set: string;
    readonly grid: string;
    readonly state: 'readable' | 'damaged' | 'deleting';
    readonly backups: number;
    /** Ended, and their images read. */
    readonly whole: number;
    readonly sizeBytes: number;
    readonly cause?: string;
  }[];
}
