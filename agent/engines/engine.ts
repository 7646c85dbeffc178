import type { Assignment } from '../../shared/domain/assignment.ts';
import { StillpointError, type Failure } from '../../shared/domain/errors.ts';
import type { DefinedProcess, FreezeKind, Mark, MemberDescription } from '../../shared/domain/grid.ts';
import type { Approach, ImageManifest } from '../../shared/domain/backup-set.ts';
import type { GridManifest, MemberManifest } from '../../shared/domain/manifest.ts';
import type { Suspension, ThawProof } from '../../shared/domain/messages.ts';
import type { Purpose } from '../../shared/domain/purpose.ts';
import type { EngineStep } from '../../shared/domain/trace.ts';
import type { Token } from '../../shared/domain/token.ts';
import type { Viewing } from '../../shared/domain/viewing.ts';
import type { Warning } from '../../shared/domain/warning.ts';
import type {
  AddressMoves,
  Answer,
  FoundPrepared,
  NamedAddress,
  Question,
  RestoreRoom,
} from '../../shared/domain/wire.ts';

/**
 * The contract between the agent and the software a member runs. One folder under agent/engines/ is one
 * implementation; all pass the shared suite in test/engines/engine-suite.ts.
 *
 * A checkpoint is made of a member in parts: a `Hold` keeps it still and lets it go, a `Copy` stores its state, a
 * `Journal` follows what it writes meanwhile. `begin` makes those that the member was assigned; agent/capture.ts calls
 * them: all are prepared, the hold is (paused → armed → frozen → thawed)+, and then journal and copy are finished at the
 * mark. `disarm` stands in the place of freeze and thaw where an arm failed somewhere. In the end all are let go of,
 * always. The member machine calls them in that order, one at a time; only the ends (`release`, `abandon`) may come while
 * another call is under way, which must then end soon (rejecting is right).
 *
 * While frozen (between the start of `freeze` and the end of `thaw`) a call must not wait for anything but
 * the engine itself: no disk of ours, no other member, no lock.
 *
 * Every rejection is a StillpointError whose failure says the fact and the remedy; it needs no host,
 * member or phase: the caller adds them.
 */
export interface Engine {
  /** Looks, changes nothing, never rejects for a server that is down: `running: false` says so. */
  describe(signal: AbortSignal): Promise<MemberDescription>;

  /** Deeper checks for `grid doctor`: privileges, settings, directories. Empty when all is well. */
  diagnose(signal: AbortSignal): Promise<Finding[]>;

  /** What is free on the disk to which the member writes its journal; null where there is none, or it cannot be seen. */
  freeBytes(): Promise<number | null>;

  /** Begins a checkpoint of the member: makes its parts. Touches nothing yet. */
  begin(context: CheckpointContext): Parts;

  /**
   * Puts back what a killed agent left, from the undo it had saved. Called at agent start before it
   * listens, and by the guard. Idempotent; durable on return. Rejects when the member could not be asked, or is
   * not the one that the freeze was of, and then it is called again later. Resolves to null, or to why there was
   * nothing to put back, in words for the log.
   */
  undo(undo: Undo): Promise<string | null>;

  /** Builds, starts, proves and switches a restored member. */
  restoration(context: RestoreContext): Restoration;

  /**
   * Ends a restore that was cut short by the death of the agent, from what is on disk alone: rolls back, or opens
   * and finishes. `switched`: the new data may have been switched in; before that, what runs is not the restore's
   * and goes on. Idempotent.
   */
  recoverRestore(outcome: 'restored' | 'rolledBack', switched: boolean): Promise<void>;

  /** What a restore finds, or has left, in the place of the member's data. Changes nothing. */
  restorePlace(): Promise<RestorePlace>;

  /** Checkpoints beside the member's live data; null where all that is captured goes to the repository alone. */
  readonly localCopies: LocalCopies | null;

  /** What operators' own tools copy of the member; null where the agent's file does not say where that lies. */
  readonly images: Images | null;

  /** Archives that its software writes and restores without us; null where it has none that `traits.archive` names. */
  readonly archives: Archives | null;

  /**
   * The member's own log, which operators read: one line is added to it. Null where it is not ours to write; then the
   * agent's log has these lines. Never called while a member is frozen for an instant.
   */
  readonly messages: ((line: string) => Promise<void>) | null;

  /** Null of a member that holds no definition of the grid. */
  readonly realm: RealmControl | null;

  /** Stops the member's process, cleanly where it can. Idempotent. Resolves when it is gone. */
  stop(signal: AbortSignal): Promise<void>;

  /** Is a process of this member alive on this host, whoever started it? Never a guess: throws if unsure. */
  isRunning(): Promise<boolean>;
}

/** What an engine learned of a member, for the time after the agent's next start. A help: it may be lost. */
export interface MemberMemory {
  /** Null where there is nothing. Never rejects. */
  read(): Promise<unknown>;
  /** JSON. Never rejects. */
  write(learned: unknown): Promise<void>;
}

/** JSON that `undo` understands. Saved durably before anything is changed on the member. */
export type Undo = Readonly<Record<string, unknown>>;

/** What the guard process has of a member: see `openGuardian` of `EngineKind`. */
export interface Guardian {
  /** As `undo` of the engine. */
  undo(undo: Undo): Promise<string | null>;
  close(): Promise<void>;
}

export interface Finding {
  readonly level: 'problem' | 'warning';
  readonly failure: Failure;
}

interface LocalCopies {
  /**
   * The checkpoint is committed: finishes what lies of it there, so that it can be restored from there alone.
   * Durable on return, idempotent. Nothing to do where nothing lies there.
   */
  settle(context: SettleContext): Promise<void>;
  /** What lies complete of a checkpoint there; null where nothing does. Changes nothing. */
  read(checkpoint: string): Promise<LocalCopy | null>;
  /** Removes what lies of these checkpoints there. Idempotent. */
  drop(checkpoints: readonly string[]): Promise<void>;
}

interface RealmControl {
  /**
   * Tells a restored primary realm service where every process of the grid is from now on. Idempotent. Rejects
   * `relocate-unsupported` where the process says that it holds no definition.
   */
  relocate(processes: readonly DefinedProcess[]): Promise<void>;
}

/** Copies that operators made with tools of their own, in the directory that the agent's file names for them. */
export interface Images {
  /**
   * Reads every byte of an image, changes nothing. `name`: of a directory below the one for images, or of a file in it.
   * Rejects `image-missing`, and `image-unfit` where it is no copy of this member that could be started.
   */
  read(name: string, signal: AbortSignal, progress: (bytesDone: number) => void): Promise<ImageManifest>;
  /**
   * An image as a restore's source, with the journal that belongs to it up to the mark. `mark`: the member's manifest of
   * the operation whose mark it is brought to. Rejects before anything is written: `image-changed`, `journal-missing` (not
   * every file from the image to the mark is there), `journal-foreign` (one is there that is not of the image and would
   * be read). Every byte is read again for it; with `signal` it rejects with the signal's reason.
   */
  open(
    image: ImageManifest,
    mark: MemberManifest,
    approach: Approach,
    signal: AbortSignal,
  ): Promise<ArtifactSource>;
}

/** Archives that somebody brings: each is one artifact, and all that a checkpoint of the member would have stored. */
export interface Archives {
  /**
   * Reads every byte of one that lies in a private file, whoever wrote it, and changes nothing. Memory and time are
   * bounded by how large the file is. Rejects with why this member could never be restored from it.
   */
  read(
    archive: { readonly file: string; readonly sizeBytes: number; readonly sha256: string },
    signal: AbortSignal,
    progress: (bytesDone: number) => void,
  ): Promise<ReadArchive>;
}

export interface ReadArchive {
  /** Of the software that wrote it. */
  readonly version: string;
  /** ISO 8601 UTC, by the clock of who wrote it; null where it does not say. */
  readonly writtenAt: string | null;
  /** What was left out of it on purpose, in words; null: it is of all that its members held. */
  readonly leftOut: string | null;
  /** What is in it, a line each, for people. */
  readonly content: readonly string[];
  /** As those of a copy: what a restore needs to know. */
  readonly engineFacts: unknown;
  readonly warnings: readonly Warning[];
}

/** A checkpoint as it lies beside a member's live data. Nothing of it is verified yet but that it is complete. */
export interface LocalCopy {
  /** The commit object, as it lies there. */
  readonly gridManifest: string;
  readonly own: ArtifactSource;
  /** Where this member keeps the metadata: the members that keep nothing themselves. */
  readonly metadata: { readonly digest: string; readonly sources: readonly ArtifactSource[] } | null;
}

/** A committed checkpoint, as the repository has it. */
export interface SettleContext {
  readonly manifest: GridManifest;
  /** The artifacts of any of its members. */
  source(member: string): Promise<ArtifactSource>;
}

/** What one checkpoint does to a member. */
export interface Parts {
  /** Null where the lead of its domain holds the member. */
  readonly hold: Hold | null;
  /** Null where nothing of the member is copied, or its journal alone. */
  readonly copy: Copy | null;
  /** Null where the engine has no journal that is followed apart from the copy, and where none is needed. */
  readonly journal: Journal | null;
  /** Of a freeze, null where the member has no database files that its operator copies meanwhile. Else not set. */
  readonly suspension?: WriteSuspension | null;
  /**
   * Of an operation that copies nothing: the facts that a restore from an operator's own copy will need (`engineFacts`),
   * as they are at the mark. Asked after the thaw. Not set where there are none.
   */
  facts?(mark: Mark | null): Promise<unknown>;
  /** After `facts`: what was found meanwhile, and goes with the operation. */
  warnings?(): readonly Warning[];
}

/** Of a freeze: the member's database files stay as they are, while its clients go on in memory and journal. */
export interface WriteSuspension {
  /** In the prepare, before anybody is armed. Resolves when nothing changes the files any more; nor its journal's removal. */
  suspend(): Promise<void>;
  /** The operator's own copy is made. The hold's `release` ends it too, and proves nothing. */
  resume(): Promise<Suspension>;
}

/** What a checkpoint is begun with. Of the rest each part takes what is its own. */
export type CheckpointContext = HoldContext &
  CopyContext &
  JournalContext & {
    /** `hold` is `lead` or `none` only where the engine declares a domain. */
    readonly assignment: Assignment;
    /** As the member was described before this checkpoint. */
    readonly freezeKind: FreezeKind;
  };

export interface HoldContext {
  readonly checkpoint: string;
  readonly purpose: Purpose;
  /** Refuse clients' writes from `prepare` to the end, however it comes. */
  readonly maintenance: boolean;
  /** How long a freeze may last without word from the coordinator. The engine's own deadline must be longer. */
  leaseMs(): number;
  /**
   * Makes the undo durable in the freeze record and known to the guard; resolves when both hold. Must be
   * awaited before the first change that the undo takes back. `null`: nothing is left to undo.
   */
  saveUndo(undo: Undo | null): Promise<void>;
  /** Of a prepare or a pause that takes long: what it waits for by now, in words. */
  waitsFor(cause: string): void;
  /** The freeze has come to a named moment, at which a test may hold it; awaited with what was done up to there. */
  reach(moment: string): Promise<void>;
  /**
   * The hold has come to this step, now or at that moment of the machine's clock (`machineMs`). For a trace: it costs next
   * to nothing, and nothing at all comes of it.
   */
  step(step: EngineStep, atMs?: number): void;
}

/** What keeps a member still and lets it go. It alone has an undo, for it alone changes what clients meet. */
export interface Hold {
  /**
   * Opens what arming and thawing need. Blocks no client, but for what `maintenance` asks. For a quiesce it may take up to
   * `SETTLE_MS`.
   */
  prepare(): Promise<void>;

  /**
   * Observers that may need long to stop showing anything newer have this: resolves when they do not, before anybody
   * is armed. Nobody is held by it, so it may take minutes. The undo is durable before. Called before every arm; what it
   * did ends with `thaw`, `disarm` or `release`.
   */
  pause?(): Promise<void>;

  /**
   * Brings the fence within one message of closing. Costs clients little; called as late as can be.
   * Called again with a newer token after a broken attempt. Resolves to the incarnation of the process, and
   * to who has its journal now, where an engine hands its journal to others.
   */
  arm(token: Token): Promise<{ incarnation: string; viewing?: Viewing }>;

  /**
   * Asks the server what `freeze` or `thaw` will ask it, as far as that holds nobody and changes nothing. From `prepare` to
   * `arm`, any number of times, also while the copy is under way; what it rejects with is nobody's affair. Not set where
   * there is nothing to ask.
   */
  rehearse?(part: 'freeze' | 'thaw'): Promise<void>;

  /**
   * In the place of a freeze: the attempt was given up. The member is as it was before `arm`, and may be armed again.
   * Also after an `arm` that rejected. Idempotent.
   */
  disarm(): Promise<void>;

  /**
   * Closes the fence, waits until it holds, marks. Stays fenced. Resolves with the monotonic times
   * (performance.now()) at which the fence held and the mark stood. An observer's mark is null.
   * When it rejects, the caller releases: the implementation need not open the fence itself.
   */
  freeze(
    token: Token,
  ): Promise<{ incarnation: string; mark: Mark | null; fencedAt: number; markedAt: number }>;

  /**
   * Opens the fence and disarms. `released` is called at the moment the fence is known to be open; the
   * promise resolves with the proof, which may take longer. Never resolves to `held` unless the same
   * process held from fence to now and nothing that was logged after the mark became visible before the
   * thaw came; with it goes who had the journal at any moment of that time. After it resolves the member is as it was before `arm`. May be called when never frozen.
   */
  thaw(token: Token, released: () => void): Promise<ThawProof>;

  /**
   * The coordinator's word came while a quiesce holds the member: what ends by its own clock counts anew. Not set where
   * nothing does.
   */
  renew?(): void;

  /**
   * Opens, disarms, undoes, closes. Right in any state, any number of times; after `thaw` it ends what copy and journal
   * still needed of it. Resolves when the member runs. Lets go before it waits for anything. When it rejects, only the
   * undo is left to do.
   */
  release(): Promise<void>;
}

export interface CopyContext {
  readonly checkpoint: string;
  readonly maintenance: boolean;
  /** Stores artifacts in the repository. Usable from `begin` to the end of `finish`. */
  readonly artifacts: ArtifactSink;
  readonly progress: (bytesDone: number, bytesTotal: number) => void;
}

/** What stores a member's state. It reads, over the hold's session or its own, and holds nobody. */
export interface Copy {
  /** The long part, before anybody is armed. Blocks no client. The hold is prepared, and the journal followed. */
  begin(): Promise<void>;
  /**
   * Stores what is missing up to the mark, which is the hold's last, after its thaw; everything of the journal up to
   * there is stored already. Resolves to the facts that a restore will need (`engineFacts` of the member manifest), when
   * nothing of the copy is open on this host any more.
   */
  finish(mark: Mark | null): Promise<unknown>;
  /** After `finish`: what was found meanwhile, and goes with the checkpoint. */
  warnings?(): readonly Warning[];
  /**
   * There will be no checkpoint: stops what is under way and drops what it left on this host. Right in any state, also
   * after `finish`, any number of times.
   */
  abandon(): Promise<void>;
}

export interface JournalContext {
  /** A private, empty directory for this checkpoint (journal spool); removed by the agent afterwards. */
  readonly spoolDirectory: string;
  readonly artifacts: ArtifactSink;
  /**
   * What was prepared is lost, or must not go on, and no call is needed to say so: everything ends now, with this
   * cause, and `release` follows. The journal has let go already of what would harm its server.
   */
  lost(error: unknown): void;
}

/** What follows a member's journal, so that nothing is missing between the copy and the mark. */
export interface Journal {
  /** Resolves when all that is written from now on will be had. The hold is prepared; the copy begins later. */
  follow(): Promise<void>;
  /**
   * Stores everything up to the mark. What is behind it is not followed any more. Not called where nothing of the member
   * is stored: then it was followed for the proof of the hold alone.
   */
  finish(mark: Mark): Promise<void>;
  /**
   * What it costs the member or this host (stream, slot) ends at once, and the spool is not used any more. Right in any
   * state, any number of times.
   */
  release(): Promise<void>;
}

/** Where an engine puts what it captures. Paths as in shared/domain/manifest.ts. */
export interface ArtifactSink {
  /** Stores a file from its bytes. Resolves when all its chunks are durable. Concurrent calls are fine. */
  file(
    entry: { path: string; mode: number; mtimeMs: number },
    content: AsyncIterable<Uint8Array>,
  ): Promise<{ sizeBytes: number; digest: string }>;
  directory(entry: { path: string; mode: number }): void;
  symlink(entry: { path: string; target: string }): void;
}

/** Reads a checkpoint's artifacts back. Every byte is verified before it is handed out. */
export interface ArtifactSource {
  readonly manifest: MemberManifest;
  /** Throws `chunk-damaged` with file and member where a digest does not fit; a local copy is not verified here. */
  read(path: string): AsyncIterable<Uint8Array>;
}

export interface RestorePlace {
  /** False where nothing is, for example while its disk is not mounted. True of a member that has no data. */
  readonly isThere: boolean;
  /** Anything at all lies in a directory that a restore would replace. */
  readonly isOccupied: boolean;
  readonly left: LeftRestore | null;
}

interface LeftRestore {
  /** Which one; null where its directories do not say. */
  readonly restore: RestoreName | null;
  readonly switched: boolean;
}

interface RestoreName {
  readonly grid: string;
  readonly restoreId: string;
  readonly repositoryId: string;
}

export interface RestoreContext {
  readonly checkpoint: string;
  /** Where it is not only looked whether it could be. */
  readonly restore?: RestoreName;
  /**
   * The member whose artifacts build this one: its own, its copyset's primary's for an observer, or that of its domain
   * which was copied for all. Its own without any artifact where nobody is copied: then what its owner has put back
   * stays, and the restoration rejects unless that is what stood at the mark.
   */
  readonly source: ArtifactSource;
  /** This member's own artifacts, where it had any (a standby's configuration). */
  readonly own: ArtifactSource | null;
  /** What this member is to be: a primary, or a standby that follows `follow`. */
  readonly follow: string | null;
  readonly progress: (bytesDone: number, bytesTotal: number) => void;
  readonly signal: AbortSignal;
}

/**
 * A restore of one member. `check` stands alone. Where the engine proves in private the order is stage → prove →
 * switchIn → (decision) → open → finish; else it is stage → switchIn → start → verify → (decision) → open → finish.
 * `rollBack` is right at any time before the decision and any number of times, also in a new process after a crash
 * (it works from what is on disk, not from memory). Until `switchIn` the old member may run and is not touched.
 */
export interface Restoration {
  /**
   * Looks at all that a restore needs on this host, and changes nothing. Rejects with what would make it fail. With
   * `moves`, says what in the data would be changed by them, as far as that is known before.
   */
  check(moves: AddressMoves | null): Promise<RestoreCheck>;
  /** Builds the new data directory beside the old one. The old one is not touched. */
  stage(): Promise<{ readonly followsAs: string | null }>;
  /**
   * Proves the staged member in a process that no client can reach, and ends that. What is staged cannot be started
   * by anybody until `open`. Rejects when anything is not as the manifest says.
   */
  prove(input: ProveInput): Promise<VerifiedMember>;
  /** Renames old aside and new in. Durable on return. The member does not run. */
  switchIn(): Promise<void>;
  /** Starts a member that is not proven in private; resolves when it is healthy. */
  start(): Promise<void>;
  /** Proves the started member; rejects when anything is not as the manifest says. */
  verify(): Promise<VerifiedMember>;
  /**
   * The restore is decided: starts the member as its owner does, once, and looks whether it is there, within a
   * bound. Rejects when it does not run. Idempotent.
   */
  open(): Promise<OpenedMember>;
  finish(): Promise<void>;
  /** Stops what was started, puts the old directory back byte for byte, drops the new one. */
  rollBack(): Promise<void>;
}

export interface RestoreCheck {
  readonly provesInPrivate: boolean;
  readonly warnings: readonly Warning[];
  readonly rooms: readonly RestoreRoom[];
  readonly takesQuestions?: boolean;
  readonly addresses?: readonly NamedAddress[];
}

export interface ProveInput {
  /** Prepared transactions that another member of the checkpoint had committed: they are committed here too. */
  readonly committed: readonly string[];
  /** The names under which restored standbys will follow this primary. */
  readonly standbys: readonly string[];
  /** Asked of this member alone, by a user that can only read, within bounds. What has no answer gets one that says so. */
  readonly questions: readonly Question[];
  /** Not null: what in the data leads to the old grid is made to lead to the restored one, and all of it is told. */
  readonly moves: AddressMoves | null;
}

export interface OpenedMember {
  readonly warnings: readonly Warning[];
  /** What keeps it from its work although it runs. */
  readonly problems: readonly string[];
}

export interface VerifiedMember {
  /** What was looked at, in words: `amcheck: 12 indexes`. */
  readonly checks: readonly string[];
  readonly warnings: readonly Warning[];
  /** Prepared transactions that stood at the mark, and which of them were committed now. */
  readonly prepared: readonly FoundPrepared[];
  readonly answers?: readonly Answer[];
  /** What leads to other servers, where it was asked for by `moves`. */
  readonly addresses?: readonly NamedAddress[];
}

/** What a call rejects with that an abort has overtaken. */
export function aborted(): StillpointError {
  return new StillpointError({
    code: 'aborted',
    message: 'the checkpoint was aborted',
    hint: 'see its first failure',
  });
}

/** A part was called when what the call needs is not there: a mistake of ours. */
export function outOfOrder(message: string): Error {
  return new Error(`a call out of order: ${message}`);
}

export function relocateUnsupported(member: string): StillpointError {
  return new StillpointError({
    code: 'relocate-unsupported',
    message: `${member} holds no definition of the grid`,
    hint: 'only a primary realm service is told where processes are',
  });
}
