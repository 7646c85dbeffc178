import { escapeLiteral, type Client } from 'pg';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { Mark } from '../../../shared/domain/grid.ts';
import type { ThawProof } from '../../../shared/domain/messages.ts';
import type { Token } from '../../../shared/domain/token.ts';
import type { Viewing } from '../../../shared/domain/viewing.ts';
import { reach } from '../../../shared/runtime/hooks.ts';
import { agentDiskError } from '../../disk-error.ts';
import type { Capture, CaptureContext, Undo } from '../engine.ts';
import type { BaseCopy } from './archive-receiver.ts';
import { copyBase } from './base-copy.ts';
import { storeDirectories } from './collect.ts';
import { connect, serverError } from './connection.ts';
import { contractCall } from './contract-call.ts';
import type { PostgresFacts } from './facts.ts';
import { fenceLost } from './acknowledger.ts';
import { createFence } from './create-fence.ts';
import { armedNames, isArmed, type Fence, type LastAcknowledgement } from './fence.ts';
import { PostgresGuardian } from './guardian.ts';
import { findLeak, parseSnapshot, type Sight } from './leak-proof.ts';
import { PREPARE_STATEMENTS, type LookRow } from './look-statements.ts';
import { fileEndingAt, formatLsn, parseLsn } from './lsn.ts';
import { findPendingSettings } from './pending-settings.ts';
import { readPrepared, type Prepared } from './prepared-transactions.ts';
import { primaryFacts } from './primary-facts.ts';
import { ReceivedJournal, serverGone } from './received-journal.ts';
import { restorePointName } from './restore-point.ts';
import { incarnationOf, readServerFacts, type ServerFacts } from './server-facts.ts';
import { ownerOf } from '../restore/owner.ts';
import type { PostgresSettings } from './settings.ts';
import { namesInAutoConf, restoreStandbyNames, type PrimaryUndo } from './standby-setting.ts';
import { TablespaceWatch } from './tablespace-watch.ts';
import { CONTROL_NAME } from './undo.ts';
import {
  readViewing,
  SenderWatch,
  viewingWhileHeld,
  type KnownViewers,
  type SeenSenders,
} from './viewing.ts';
import { settledInTime, waitUntil } from './wait-until.ts';

/** What prepare leaves for the rest. */
interface Capturing {
  readonly control: Client;
  readonly facts: ServerFacts;
  readonly journal: ReceivedJournal;
  readonly base: BaseCopy;
  readonly preparedBefore: readonly Prepared[];
  readonly preparedAfter: readonly Prepared[];
  readonly tablespaces: TablespaceWatch;
}

/** What the server said with the mark, or when the thaw came. */
interface Seen {
  readonly sight: Sight;
  readonly incarnation: string;
  readonly seen: SeenSenders;
}

/** How the server was when it was armed. */
interface Armed {
  readonly sight: Sight;
  readonly viewers: KnownViewers;
}

interface Held {
  readonly sight: Sight;
  readonly watch: SenderWatch;
  readonly mark: Mark;
  readonly incarnation: string;
  /** The owner's setting, as it was when this was armed. */
  readonly undo: PrimaryUndo | null;
}

const STOP_MS = 5000;
/** For a session that is there and does not answer; another one is tried then. */
const DISARM_MS = 1000;

/** Captures a primary: base copy and journal, and the fence between. */
export class PrimaryCapture implements Capture {
  readonly #closed: () => void;
  readonly #settings: PostgresSettings;
  readonly #context: CaptureContext;
  readonly #cancelled = new AbortController();
  readonly #guardian: PostgresGuardian;
  #control: Client | null = null;
  #journal: ReceivedJournal | null = null;
  #prepared: Capturing | null = null;
  #undo: PrimaryUndo | null = null;
  #saving: Promise<void> = Promise.resolve();
  #fence: Fence | null = null;
  /** The setting that the fence was made for. */
  #fenceUndo: PrimaryUndo | null = null;
  #held: Held | null = null;
  #armed: Armed | null = null;
  /** Why the journal is not complete; null as long as it is. */
  #lost: unknown = null;

  constructor(settings: PostgresSettings, context: CaptureContext, closed: () => void) {
    this.#closed = closed;
    this.#settings = settings;
    this.#context = context;
    this.#guardian = new PostgresGuardian(settings);
  }

  prepare(): Promise<void> {
    return this.#working(async () => {
      const { checkpoint, artifacts, progress } = this.#context;
      const { signal } = this.#cancelled;
      const control = await connect(this.#settings, { applicationName: CONTROL_NAME });
      this.#control = control;
      await control.query(PREPARE_STATEMENTS);
      signal.throwIfAborted();
      await this.#guardian.open();
      const facts = await readServerFacts(control);
      signal.throwIfAborted();
      // The journal first: all of it from the start of the base copy belongs to the checkpoint.
      const journal = await ReceivedJournal.open({
        settings: this.#settings,
        facts,
        context: this.#context,
        signal,
        lost: (error) => void this.#journalLost(error),
      });
      this.#journal = journal;
      signal.throwIfAborted();
      const preparedBefore = await readPrepared(control);
      const tablespaces = await TablespaceWatch.begin(this.#settings.name, control);
      const base = await copyBase({
        settings: this.#settings,
        label: `stillpoint ${checkpoint}`.slice(0, 200),
        artifacts,
        signal,
        progress,
        started: (start) => journal.store.startsAt(start),
      });
      const preparedAfter = await readPrepared(control);
      this.#prepared = { control, facts, journal, base, preparedBefore, preparedAfter, tablespaces };
    });
  }

  /** Nothing that comes later could be right: what it costs the server ends now, and the coordinator hears of it. */
  async #journalLost(error: unknown): Promise<void> {
    this.#journal?.release().catch(() => undefined);
    const own = agentDiskError(error, 'the journal cannot be kept');
    // A server that went away takes all of our sessions with it: then that is the cause.
    const failure = serverError(this.#settings, (await serverGone(this.#control)) ?? own);
    if (this.#cancelled.signal.aborted) return;
    this.#lost ??= failure;
    this.#context.lost(failure);
  }

  arm(): Promise<{ incarnation: string; viewing: Viewing }> {
    return this.#working(async () => {
      const { control, journal } = this.#ready();
      const { signal } = this.#cancelled;
      this.#held = null;
      journal.hold();
      const facts = await readServerFacts(control);
      // Written since preflight, perhaps hours ago: what comes now reloads it.
      const [pending] = (await findPendingSettings(control, this.#settings)).problems;
      if (pending !== undefined) throw new StillpointError(pending);
      const inFile = (await namesInAutoConf(control, this.#settings.data))?.at(-1) ?? null;
      // Taken for its owner's, it would be put back at the end, and stay for good.
      if (isArmed(facts.standbyNames) || isArmed(inFile ?? '')) throw armedByOthers(this.#settings.name);
      const undo: PrimaryUndo = {
        kind: 'primary',
        original: facts.standbyNames,
        inAutoConf: inFile !== null,
        ...(inFile !== null && inFile !== facts.standbyNames && { inFile }),
        armed: armedNames(facts.standbyNames),
        server: {
          systemIdentifier: facts.systemIdentifier,
          startedAt: facts.startedAt,
          timeline: journal.receiver.timeline,
        },
      };
      // Its owner may have changed the setting since an earlier attempt.
      if (!sameSetting(this.#fenceUndo, undo)) await this.#dropFence();
      signal.throwIfAborted();
      this.#undo = undo;
      await this.#save(undo);
      signal.throwIfAborted();
      this.#fence ??= createFence({
        settings: this.#settings,
        control,
        undo,
        signal,
        lost: () => void this.#disarmLost(control),
      });
      this.#fenceUndo = undo;
      await this.#fence.arm();
      // Planned and run once now, behind a fence that is not there, so that the freeze finds everything in memory.
      await control.query("EXECUTE stillpoint_mark('', '0/0', 0)");
      const { rows } = await control.query<LookRow>('EXECUTE stillpoint_look(NULL)');
      const viewers = await readViewing(control, this.#settings, facts);
      this.#armed = { sight: this.#seen(rows[0]).sight, viewers };
      signal.throwIfAborted();
      return { incarnation: incarnationOf(facts), viewing: viewers.viewing };
    });
  }

  disarm(): Promise<void> {
    return this.#working(async () => {
      const undo = this.#undo;
      if (undo === null) return;
      // An arm that failed may have come no further than the undo.
      if (this.#fence === null) await restoreStandbyNames(this.#ready().control, undo);
      else await this.#fence.disarm();
      // Whatever of it failed, the next arm begins with a new one.
      await this.#dropFence();
      await this.#save(null);
      this.#undo = null;
    });
  }

  freeze(token: Token): ReturnType<Capture['freeze']> {
    return this.#working(async () => {
      const { receiver } = this.#ready().journal;
      const fence = this.#fence;
      if (fence === null) throw outOfOrder('freeze before arm');
      const name = restorePointName(this.#context.checkpoint, token.attempt);
      const last = await fence.close();
      const fencedAt = performance.now();
      await reach('fenced', this.#settings.name);
      const { sight, incarnation, seen } = await this.#markBehind(fence, last, name);
      const markedAt = performance.now();
      const mark: Mark = {
        journalFile: fileEndingAt(sight.position, receiver.timeline, receiver.segmentBytes),
        position: formatLsn(sight.position),
        name,
      };
      this.#held = {
        sight,
        watch: new SenderWatch(this.#ready().control, seen),
        mark,
        incarnation,
        undo: this.#undo,
      };
      return { incarnation, mark, fencedAt, markedAt };
    });
  }

  /** Asks until the fence holds; in that moment the mark is made. */
  async #markBehind(fence: Fence, last: LastAcknowledgement | null, name: string): Promise<Seen> {
    const { control } = this.#ready();
    const seenBy = last === null ? 'NULL, NULL' : `'${last.position}', ${last.processId}`;
    let row: LookRow | undefined;
    await waitUntil('the last acknowledgement to be taken up', this.#cancelled.signal, async () => {
      const { rows } = await control.query<LookRow>(
        `EXECUTE stillpoint_mark(${escapeLiteral(name)}, ${seenBy})`,
      );
      const cause = fence.broken();
      if (cause !== null) throw fenceLost(cause);
      row = rows[0];
      return row?.position !== null;
    });
    return this.#seen(row);
  }

  thaw(_token: Token, released: () => void): Promise<ThawProof> {
    return this.#working(async () => {
      const { control, journal, facts } = this.#ready();
      const held = this.#held;
      const fence = this.#fence;
      const armed = this.#armed;
      if (fence === null || this.#undo === null) {
        released();
        return { type: 'alreadyResumed', incarnation: incarnationOf(facts), cause: 'it was not frozen' };
      }
      const sinceMark = held?.watch.stop() ?? { senders: [], slots: [], decoded: [] };
      const since = held === null ? 'NULL' : `'${held.mark.position}'`;
      const { rows } = await control.query<LookRow>(`EXECUTE stillpoint_look(${since})`);
      const { sight, incarnation, seen } = this.#seen(rows[0]);
      // Of a fence that was lost the names were put back by ourselves.
      const changed = fence.broken() === null && !this.#undo.armed.includes(rows[0]?.names ?? '');
      const lost = await this.#open(fence, changed, released);
      await this.#save(null);
      this.#undo = null;
      if (held === null || armed === null)
        return { type: 'alreadyResumed', incarnation, cause: 'it was not frozen' };
      if (lost !== null) return { type: 'broken', incarnation, cause: lost };
      const afterwards = await readViewing(control, this.#settings, facts);
      const viewing = viewingWhileHeld({
        atArm: armed.viewers,
        sinceMark,
        atThaw: seen,
        afterwards,
      });
      const { serverVersion } = facts;
      const leak = await findLeak({
        control,
        receiver: journal.receiver,
        serverVersion,
        atArm: armed.sight,
        atMark: held.sight,
        atThaw: sight,
      });
      if (leak !== null) return { type: 'broken', incarnation, cause: leak };
      return { type: 'held', incarnation, viewing };
    });
  }

  /** Opens and disarms. Resolves to what speaks against the fence having held; null where nothing does. */
  async #open(fence: Fence, changed: boolean, released: () => void): Promise<string | null> {
    let cause = changed ? 'somebody changed synchronous_standby_names while it was frozen' : fence.broken();
    let isOpen = false;
    if (fence.broken() === null) {
      try {
        await fence.open();
        isOpen = true;
        released();
      } catch (error) {
        cause ??= fence.broken();
        if (fence.broken() === null) throw error;
      }
    }
    await fence.disarm();
    if (!isOpen) released();
    return cause;
  }

  collect(): Promise<{ mark: Mark | null; engineFacts: PostgresFacts }> {
    return this.#working(async () => {
      const { control, journal, base, tablespaces } = this.#ready();
      const held = this.#held;
      if (held === null) throw outOfOrder('collect before the mark');
      await tablespaces.check(base);
      // The file really ends there, and everything before the switch is flushed and sent.
      await control.query('SELECT pg_switch_wal()');
      await journal.finish(held.sight.position);
      await storeDirectories(this.#context.artifacts, this.#settings.also, await ownerOf(this.#settings));
      const engineFacts = await primaryFacts({
        ...this.#ready(),
        settings: this.#settings,
        owners: held.undo,
        mark: held.mark,
        markPosition: held.sight.position,
      });
      return { mark: held.mark, engineFacts };
    });
  }

  async abort(): Promise<void> {
    this.#cancelled.abort(
      new StillpointError({
        code: 'aborted',
        message: 'the checkpoint was aborted',
        hint: 'see its first failure',
      }),
    );
    this.#fence?.release();
    // Slot, stream and copy cost the server and this host more with every minute; an undo may take its time. The
    // fence stays until it is done: released, it lets every commit go on.
    await this.#stopReceiving();
    await this.#saving.catch(() => undefined);
    if (this.#undo !== null) await this.#guardian.undo(this.#undo);
    await this.#save(null);
    this.#undo = null;
    await this.close();
  }

  async close(): Promise<void> {
    this.#held?.watch.stop();
    await this.#dropFence();
    await this.#stopReceiving();
    await this.#guardian.close();
    this.#control?.end().catch(() => undefined);
    this.#closed();
  }

  /** Its slot goes with its connection, at once; a disk that hangs keeps nobody waiting. */
  async #stopReceiving(): Promise<void> {
    const stopped = this.#journal?.release() ?? Promise.resolve();
    await settledInTime('the journal receiver to stop', stopped, STOP_MS).catch(() => undefined);
  }

  /**
   * The stream that is the fence is gone while the server waits for its word: every commit hangs from now on, and this
   * attempt is lost. So the setting is put back at once, whatever the others of the grid are at; whoever asks for the
   * next step is told. The freeze record stays until then.
   */
  async #disarmLost(control: Client): Promise<void> {
    const undo = this.#undo;
    const isOver = (): boolean => undo === null || this.#undo !== undo || this.#cancelled.signal.aborted;
    while (undo !== null && !isOver()) {
      try {
        return await settledInTime(
          'the setting to be put back',
          restoreStandbyNames(control, undo),
          DISARM_MS,
        );
      } catch {
        // The server was restarted, as a rule: its session is gone with the stream.
        if (isOver()) return;
      }
      const isDone = await this.#guardian.undo(undo).then(
        () => true,
        () => false,
      );
      if (isDone) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async #dropFence(): Promise<void> {
    const fence = this.#fence;
    this.#fence = null;
    await fence?.drop();
  }

  #save(undo: Undo | null): Promise<void> {
    this.#saving = this.#context.saveUndo(undo);
    return this.#saving;
  }

  #seen(row: LookRow | undefined): Seen {
    if (row === undefined || row.position === null) throw new Error('the server said nothing of itself');
    const { systemIdentifier } = this.#ready().facts;
    return {
      sight: { snapshot: parseSnapshot(row.snapshot), position: parseLsn(row.position) },
      incarnation: incarnationOf({ startedAt: row.startedAt, systemIdentifier }),
      seen: { senders: row.senders, slots: row.slots, decoded: row.decoded },
    };
  }

  #ready(): Capturing {
    if (this.#lost !== null) throw this.#lost;
    if (this.#prepared === null) throw outOfOrder('not prepared');
    return this.#prepared;
  }

  #working<T>(work: () => Promise<T>): Promise<T> {
    const { signal } = this.#cancelled;
    return contractCall({ settings: this.#settings, signal, close: () => this.close() }, work);
  }
}

function sameSetting(a: PrimaryUndo | null, b: PrimaryUndo): boolean {
  return a !== null && a.original === b.original && a.inAutoConf === b.inAutoConf && a.inFile === b.inFile;
}

function armedByOthers(member: string): StillpointError {
  return new StillpointError({
    code: 'postgres-armed',
    message: `${member} is armed already: another operation freezes the same server`,
    hint: 'is it a member of another grid too, or of another agent? Let one of them name it, or take their checkpoints at other times',
  });
}

function outOfOrder(message: string): Error {
  return new Error(`a call out of order: ${message}`);
}
