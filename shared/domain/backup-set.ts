import type { HoldPurpose } from './purpose.ts';

/**
 * Three ways to bring operators' own copies of all members to one moment (docs/sharded-cluster.md):
 *
 * `journals`: copies of any time, then the journals up to a journal checkpoint that came after all of them.
 * `quiesce`: copies made while a quiesce held, or with every member shut down; no journal but what is in them.
 * `freeze`: copies made while a freeze held, then the journal that ended at its mark, which is in them.
 */
export type Approach = 'journals' | 'quiesce' | 'freeze';

/** A file, directory or symbolic link of an image. `path` is relative, with `/`. */
export type ImageEntry =
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly mode: number;
      readonly mtimeMs: number;
      readonly sizeBytes: number;
      /** SHA-256, hex. */
      readonly digest: string;
    }
  | { readonly kind: 'directory'; readonly path: string; readonly mode: number }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string };

/** What an agent found in an image when it read every byte of it. */
export interface ImageManifest {
  readonly member: string;
  /** Its name in the directory that the agent's file names. */
  readonly image: string;
  readonly engine: string;
  readonly dataIdentity: string;
  readonly entries: readonly ImageEntry[];
  /** The first journal file that is needed to start from it; null where its engine cannot tell. */
  readonly firstJournalFile: string | null;
  /** The journal files in it, in their order. */
  readonly journalFiles: readonly string[];
  /** The engine's own. JSON. */
  readonly engineFacts: unknown;
}

/** What a set knows of an image once its agent has read it. The manifest itself has this digest. */
export interface ImageSummary {
  readonly digest: string;
  readonly engine: string;
  readonly dataIdentity: string;
  readonly files: number;
  readonly sizeBytes: number;
  readonly firstJournalFile: string | null;
  readonly journalFiles: readonly string[];
}

/** A quiesce or freeze that held a member when somebody looked. */
interface StampedHold {
  /** The job's token. */
  readonly operation: string;
  readonly purpose: HoldPurpose;
  readonly checkpoint: string;
}

/**
 * How a member's host stood at one moment. It orders backups and checkpoints without a clock: a checkpoint's number is
 * durable at every agent before any member is held for it, so one with a higher number than the stamp's came later.
 */
export interface Stamp {
  /** The highest number that the agent had seen. */
  readonly epoch: number;
  readonly counter: number;
  /** Null where the member was not held, or not yet, or no longer. */
  readonly heldBy: StampedHold | null;
  /** Of the member's process; empty where none ran. */
  readonly incarnation: string;
  /** Of a member that was shut down: how its files lay. Every start changes it. Null of one that ran. */
  readonly stoppedAs: string | null;
}

/** The end of a backup, as its operator told it. */
export interface EndedBackup {
  /** `added`: made when nobody told this set of it; the stamp is of the telling, so it ended at some time before. */
  readonly type: 'ended' | 'added';
  readonly image: string;
  readonly stamp: Stamp;
  /** The members of the set whose backups had begun before this one's end was asked for. */
  readonly begunBefore: readonly string[];
}

/** One member's backup in a set. */
export interface Backup {
  readonly member: string;
  /** Null of one that was added. */
  readonly begun: Stamp | null;
  /** Null while it is under way. */
  readonly ended: EndedBackup | null;
  /** Null until its agent has read it. */
  readonly image: ImageSummary | null;
}

/** What operators' own tools copied of the members of a grid, to be restored together. */
export interface BackupSet {
  readonly grid: string;
  readonly name: string;
  /** In order of their members' names. */
  readonly backups: readonly Backup[];
}
