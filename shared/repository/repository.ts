import type { BackupSet, EndedBackup, ImageManifest, ImageSummary, Stamp } from '../domain/backup-set.ts';
import type { GridManifest, MemberManifest } from '../domain/manifest.ts';
import { HOLD_PURPOSES, type HoldPurpose } from '../domain/purpose.ts';

/**
 * Where artifacts and manifests live. A directory now; the contract is what another place must promise too.
 *
 * Durable on return: every method that writes resolves only when the bytes survive a power cut (file and
 * directory synced). Write once: nothing is ever overwritten. Nothing refers to what is not yet durable.
 * All methods may be called by several processes on several hosts at once.
 * Rejections are StillpointErrors: `repository-full`, `repository-read-only`, `repository-failed` (anything
 * else the disk says), `repository-missing`, `repository-format`, `repository-damaged`, `repository-busy`
 * (garbage is collected, or this process was taken for dead), `chunk-damaged`, `manifest-damaged`,
 * `decision-damaged`, `bad-manifest` (what is to be written could not be read back), `bad-name`,
 * `checkpoint-missing`, `checkpoint-exists`, `commit-unknown`, and those of backup sets.
 */
export interface Repository {
  /** The repository's identity, equal for every agent and coordinator that uses the same one. */
  readonly id: string;
  readonly location: string;

  /**
   * Rejects `repository-missing` where what lies at the location is not this repository any more: not mounted, or
   * another. Whatever begins something asks it by itself; who keeps a handle for long asks before each use.
   */
  recognise(): Promise<void>;

  freeBytes(): Promise<number>;
  /** What all of it takes, of all grids: every file is looked at. */
  sizeBytes(): Promise<number>;
  /** Writes and removes a small file, so that a read-only or full repository is known in preflight. */
  probe(): Promise<void>;
  /** What time it is where the repository is stored, by a small file that is written and removed. */
  now(): Promise<number>;

  /**
   * Announces a running operation: garbage collection keeps off until it ends or is long silent. Nobody deletes the
   * checkpoint that it reads meanwhile. Rejects `checkpoint-missing` where there is none to be read.
   */
  beginOperation(operation: OperationStart): Promise<OperationLease>;
  /** The checkpoints that running operations read. */
  readers(grid: string): Promise<readonly { checkpoint: string; holder: string }[]>;

  /**
   * A run of this checkpoint begins. Until some checkpoint of the grid is committed, and for seven days at most, by the
   * repository's own time, garbage collection keeps what is stored from now on, so that the next run finds it.
   */
  expectLeftovers(grid: string, checkpoint: string): Promise<void>;
  /** The runs whose leftovers are kept, oldest first. */
  leftovers(grid: string): Promise<Leftover[]>;
  /** They are kept no longer: the next collection removes them. */
  dropLeftovers(grid: string): Promise<void>;

  /** Begins storing one member of one checkpoint. */
  beginMember(grid: string, checkpoint: string): MemberWriter;

  /**
   * Commits: checks that every manifest and chunk named is stored, then writes grid.json exclusively. Keeps
   * garbage collection off by itself meanwhile. Rejects `repository-busy` and takes grid.json back when it
   * finds that it was silent for so long that a collection may have removed what it had looked at. Whatever it
   * rejects with, the checkpoint is not valid; but for `commit-unknown`: then it could not be taken back either.
   */
  commit(manifest: GridManifest): Promise<void>;

  /**
   * Newest first (by epoch and counter). Damaged or half-deleted ones are listed as what they are. What is committed of
   * operations that copy nothing is no checkpoint to restore from: it is listed where its purpose is asked for, and
   * where it is damaged, because it keeps garbage from being collected then. So it is with what was imported: whoever does
   * not ask for it goes by what was made of the living grid.
   */
  list(grid?: string, options?: ListOptions): Promise<CatalogueEntry[]>;
  /** Rejects `checkpoint-missing` / `manifest-damaged`. */
  readCheckpoint(grid: string, checkpoint: string): Promise<GridManifest>;
  /**
   * Verified against the digest that the grid manifest names. Rejects `manifest-damaged`, and `checkpoint-missing`
   * where the checkpoint is deleted meanwhile: what is gone with it is no damage.
   */
  readMember(grid: string, checkpoint: string, member: string, digest: string): Promise<MemberManifest>;
  /** The verified bytes of one file artifact, in order. Rejects `chunk-damaged` and `checkpoint-missing`, likewise. */
  readFile(manifest: MemberManifest, path: string): AsyncIterable<Uint8Array>;

  /**
   * Re-reads every byte. Resolves with all damage found, empty when there is none. With `sizes` the bytes of chunks are
   * not read: every manifest is, and each chunk is looked at, whether it is there and as long as it should be.
   */
  verify(
    grid: string,
    checkpoint: string,
    progress: (bytesDone: number, bytesTotal: number) => void,
    depth?: 'bytes' | 'sizes',
  ): Promise<Damage[]>;

  /** For monitors. The last hundred are kept. */
  recordVerification(grid: string, verification: Verification): Promise<void>;
  lastVerification(grid: string): Promise<Verification | null>;

  /**
   * Commit object first, then manifests, then chunks that nothing refers to. Rerunnable after a crash. While
   * an operation runs the chunks stay, to a later collection. Rejects `manifest-damaged` when another
   * checkpoint cannot be read, so that nobody knows which chunks that one needs; what was to be deleted is then
   * listed as `deleting`. Rejects `repository-busy`, with nothing changed, while an operation reads the checkpoint, and
   * `checkpoint-held` where it is kept for good.
   */
  deleteCheckpoint(grid: string, checkpoint: string): Promise<{ removedBytes: number }>;
  /** Removes an uncommitted checkpoint's leftovers; never touches a committed one. */
  discard(grid: string, checkpoint: string): Promise<void>;
  /**
   * Removes chunks that no checkpoint refers to and that are no leftovers, uncommitted checkpoints, and what is left of deletions. Does
   * nothing while an operation runs. Rejects `manifest-damaged`, with nothing removed, as above.
   */
  collectGarbage(grid: string): Promise<{ removedBytes: number; skipped: boolean }>;

  /**
   * The highest counter and epoch that any checkpoint of this grid, also a damaged one, has had here, and that
   * it was raised to.
   */
  highestNumber(grid: string): Promise<{ epoch: number; counter: number }>;

  /** From now on `highestNumber` has this epoch, or a higher one. Once or again, by one or several: the same. */
  raiseEpoch(grid: string, epoch: number): Promise<void>;

  /**
   * From now on nobody deletes the checkpoint, until it is released. Rejects `checkpoint-held` where it is kept already,
   * and `checkpoint-missing`.
   */
  retain(grid: string, checkpoint: string, retention: Retention): Promise<void>;
  /** Resolves to what was said of it. Rejects `checkpoint-not-held`. */
  release(grid: string, checkpoint: string): Promise<Retention>;
  /** What is kept for good, newest first. One that cannot be read is kept too. */
  retained(grid: string): Promise<Retained[]>;

  /** Before anything of a restore is on a host. Only a repository that knows of a restore decides it. */
  announceRestore(grid: string, restoreId: string, announced: AnnouncedRestore): Promise<void>;
  /** What was announced; null where this repository knows of no such restore. Decides nothing. */
  readRestore(grid: string, restoreId: string): Promise<AnnouncedRestore | null>;

  /**
   * Write-once decision of a restore: the first writer's outcome stands; everyone gets the one that stands.
   * This is how a host that lost its coordinator learns whether the grid went forward or back.
   */
  decideRestore(grid: string, restoreId: string, outcome: RestoreOutcome): Promise<RestoreOutcome>;

  /** Keeps the report of a drill, once. Nothing in the repository depends on it, and no collection removes it. */
  saveDrill(grid: string, drillId: string, report: string): Promise<void>;
  /** The reports that can be read, in no order. One that is damaged is left out: it is history and nothing else. */
  drills(grid: string): Promise<StoredDrill[]>;

  /**
   * A member's own backup begins, or has ended, or its image was read: each once in a set, which the first of them makes.
   * Nothing of an image is in the repository but its manifest. Reject `backup-recorded` where that is recorded already,
   * and `set-deleting`.
   */
  beginBackup(grid: string, set: string, member: string, begun: Stamp): Promise<void>;
  endBackup(grid: string, set: string, member: string, ended: EndedBackup): Promise<void>;
  recordImage(grid: string, set: string, member: string, image: ImageSummary): Promise<void>;
  /** Stores the manifest of an image, by its digest: once or again, the same. */
  saveImage(grid: string, set: string, image: ImageManifest): Promise<{ readonly digest: string }>;
  /** Rejects `set-missing` where there is none with this digest, and `set-damaged`. */
  readImage(grid: string, set: string, digest: string): Promise<ImageManifest>;
  /** In order of their names. Damaged or half-deleted ones are listed as what they are. */
  sets(grid?: string): Promise<SetEntry[]>;
  /** Rejects `set-missing` and `set-damaged`. */
  readSet(grid: string, set: string): Promise<BackupSet>;
  /** Forgets the set. Touches no image. Rerunnable after a crash; rejects `set-missing`. */
  deleteSet(grid: string, set: string): Promise<void>;

  /** Ends worker threads. Idempotent. */
  close(): Promise<void>;
}

/** What is said of a restore before anything of it is on a host. */
export interface AnnouncedRestore {
  readonly checkpoint: string;
  /** Those that have a part of it: nobody else can end it. */
  readonly hosts: readonly string[];
  /** Of the grid, once it is restored; null where a restore of an earlier version does not say. */
  readonly lineage: string | null;
}

export type RestoreOutcome = 'restored' | 'rolledBack';

/** What stands of a restore. */
export interface RestoreDecision extends Pick<AnnouncedRestore, 'lineage'> {
  readonly outcome: RestoreOutcome;
}

/** Why a checkpoint is kept for good. */
export interface Retention {
  readonly reason: string;
  /** User, host and process. */
  readonly by: string;
  /** By the clock of that host. */
  readonly sinceMs: number;
}

export interface Retained extends Retention {
  readonly grid: string;
  readonly checkpoint: string;
}

export interface StoredDrill {
  readonly drillId: string;
  /** As it was saved: whoever reads it looks at what it is. */
  readonly report: string;
}

export interface OperationStart {
  readonly grid: string;
  readonly id: string;
  /** Who it is, for people that have to wait. */
  readonly holder: string;
  /** The committed checkpoint that it reads. */
  readonly reads?: string;
}

export interface Leftover {
  readonly checkpoint: string;
  /** When the run began, and until when what it stored is kept; by the repository's own time. */
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** Every byte of a checkpoint was read. */
export interface Verification {
  readonly checkpoint: string;
  /** By the clock of the host that read it. */
  readonly verifiedAtMs: number;
  readonly durationMs: number;
  readonly bytes: number;
  readonly damagedPlaces: number;
}

export interface OperationLease {
  /** Still ours? False when it was silent for too long and garbage collection took over. */
  refresh(): Promise<boolean>;
  end(): Promise<void>;
}

export interface MemberWriter {
  /** Resolves when all chunks of the file are durable. Concurrent calls are fine; memory is bounded. */
  file(
    entry: { path: string; mode: number; mtimeMs: number },
    content: AsyncIterable<Uint8Array>,
  ): Promise<{ sizeBytes: number; digest: string }>;
  directory(entry: { path: string; mode: number }): void;
  symlink(entry: { path: string; target: string }): void;
  /** Writes members/<member>.json. Artifacts are in order of path. */
  finish(
    manifest: Omit<MemberManifest, 'artifacts'>,
  ): Promise<{ manifestDigest: string; sizeBytes: number; storedBytes: number }>;
}

export interface ListOptions {
  /** Besides checkpoints. Not set: none. */
  readonly purposes?: readonly HoldPurpose[];
  /** Whether also those that were made of archives that somebody brought. Not set: no. */
  readonly imported?: boolean;
}

/** All that is committed. */
export const EVERYTHING: ListOptions = { purposes: HOLD_PURPOSES, imported: true };

export interface CatalogueEntry {
  readonly grid: string;
  readonly checkpoint: string;
  /** `valid`: committed and its manifests are readable (bytes are re-read by `verify` only). */
  readonly state: 'valid' | 'damaged' | 'deleting' | 'uncommitted';
  readonly manifest: GridManifest | null;
  /** What is wrong, where it is not valid. */
  readonly cause: string | null;
}

export interface SetEntry {
  readonly grid: string;
  readonly name: string;
  readonly state: 'readable' | 'damaged' | 'deleting';
  readonly set: BackupSet | null;
  /** What is wrong, where it cannot be read. */
  readonly cause: string | null;
}

export interface Damage {
  readonly member: string | null;
  /** The artifact's path, or the manifest's. */
  readonly file: string;
  readonly cause: string;
}
