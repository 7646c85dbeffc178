import { escapeLiteral, type Client } from 'pg';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { Mark } from '../../../../shared/domain/grid.ts';
import type { ThawProof } from '../../../../shared/domain/messages.ts';
import type { Token } from '../../../../shared/domain/token.ts';
import type { Viewing } from '../../../../shared/domain/viewing.ts';
import { outOfOrder, type Hold, type HoldContext } from '../../engine.ts';
import { fenceLost } from '../fence/acknowledger.ts';
import { isStandbyThere } from '../fence/standing.ts';
import { standingProblems } from '../look/fence-problems.ts';
import { hasAcknowledged } from '../fence/acknowledgement-fence.ts';
import { createFence } from '../fence/create-fence.ts';
import { armedNames, isArmed, type Fence, type LastAcknowledgement } from '../fence/fence.ts';
import { DirtyBuffers } from './dirty-buffers.ts';
import { PostgresGuardian } from './guardian.ts';
import { findLeak, parseSnapshot, type Observation } from './leak-proof.ts';
import type { LookRow } from './look-statements.ts';
import { fileEndingAt, formatLsn, parseLsn } from '../journal/lsn.ts';
import { findPendingSettings } from '../look/pending-settings.ts';
import type { PrimarySession } from '../primary-session.ts';
import { restorePointName } from './restore-point.ts';
import { incarnationOf, readServerFacts } from '../server/server-facts.ts';
import {
  mustListen,
  namesInAutoConf,
  restoreStandbyNames,
  type PrimaryUndo,
} from '../fence/standby-setting.ts';
import {
  readViewing,
  SenderWatch,
  viewingWhileHeld,
  type KnownViewers,
  type SeenSenders,
} from '../look/viewing.ts';
import { SavedUndo } from './saved-undo.ts';
import { settledInTime, waitUntil } from '../server/wait-until.ts';

/** What the server said with the mark, or when the thaw came. */
interface Seen {
  readonly observed: Observation;
  readonly incarnation: string;
  readonly seen: SeenSenders;
}

/** How the server was when it was armed. */
interface Armed {
  readonly observed: Observation;
  readonly viewers: KnownViewers;
}

interface AtMark {
  readonly observed: Observation;
  readonly watch: SenderWatch;
  readonly mark: Mark;
  readonly incarnation: string;
}

const MARK_NOTHING = "EXECUTE stillpoint_mark('', '0/0', 0)";
const LOOK_AT_NOTHING = 'EXECUTE stillpoint_look(NULL)';
/** For a session that is there and does not answer; another one is tried then. */
const DISARM_MS = 1000;

/** Holds a primary still by a fence before its commits. */
export class PrimaryHold implements Hold {
  readonly #session: PrimarySession;
  readonly #checkpoint: string;
  readonly #reach: HoldContext['reach'];
  readonly #step: HoldContext['step'];
  readonly #guardian: PostgresGuardian;
  readonly #closed: () => void;
  readonly #undo: SavedUndo<PrimaryUndo>;
  /** Of a quiesce. */
  readonly #quiesce: { readonly buffers: DirtyBuffers; readonly timeOutMs: number } | null;
  #fence: Fence | null = null;
  /** The setting that the fence was made for. */
  #fenceUndo: PrimaryUndo | null = null;
  #held: AtMark | null = null;
  #armed: Armed | null = null;

  constructor(session: PrimarySession, context: HoldContext, closed: () => void) {
    this.#session = session;
    this.#checkpoint = context.checkpoint;
    this.#reach = (moment) => context.reach(moment);
    this.#step = (step, atMs) => context.step(step, atMs);
    this.#undo = new SavedUndo(context);
    this.#guardian = new PostgresGuardian(session.settings);
    this.#closed = closed;
    const { purpose } = context;
    this.#quiesce =
      purpose.type === 'quiesce'
        ? {
            buffers: new DirtyBuffers(session.settings, session.signal, (cause) => context.waitsFor(cause)),
            timeOutMs: purpose.timeOutMs,
          }
        : null;
  }

  prepare(): Promise<void> {
    return this.#working(async () => {
      await this.#session.open();
      await this.#guardian.open();
      await this.#quiesce?.buffers.prepare();
    });
  }

  arm(): Promise<{ incarnation: string; viewing: Viewing }> {
    return this.#working(async () => {
      const { settings, signal } = this.#session;
      const { control, journal } = this.#session.ready();
      this.#held = null;
      journal.hold();
      const facts = await readServerFacts(control);
      const standing = settings.fence === 'standing';
      // Written since preflight, perhaps hours ago: what comes now reloads it.
      const [pending] = standing ? [] : (await findPendingSettings(control, settings)).problems;
      if (pending !== undefined) throw new StillpointError(pending);
      const inFile = (await namesInAutoConf(control, settings.data))?.at(-1) ?? null;
      if (standing) await this.#mustStand(control, facts.standbyNames);
      // Taken for its owner's, it would be put back at the end, and stay for good.
      else if (isArmed(facts.standbyNames) || isArmed(inFile ?? '')) throw armedByOthers(settings.name);
      const undo: PrimaryUndo = {
        kind: 'primary',
        original: facts.standbyNames,
        inAutoConf: inFile !== null,
        ...(inFile !== null && inFile !== facts.standbyNames && { inFile }),
        ...(standing && { standing }),
        armed: standing ? [] : armedNames(facts.standbyNames),
        server: {
          systemIdentifier: facts.systemIdentifier,
          startedAt: facts.startedAt,
          timeline: journal.receiver.timeline,
        },
      };
      // Its owner may have changed the setting since an earlier attempt.
      if (!sameSetting(this.#fenceUndo, undo)) await this.#dropFence();
      signal.throwIfAborted();
      await this.#undo.save(undo);
      signal.throwIfAborted();
      this.#fence ??= createFence({
        settings,
        control,
        undo,
        signal,
        step: this.#step,
        lost: () => void this.#disarmLost(control),
      });
      this.#fenceUndo = undo;
      await this.#fence.arm();
      // Planned and run once now, behind a fence that is not there, so that the freeze finds everything in memory.
      await control.query(MARK_NOTHING);
      const { rows } = await control.query<LookRow>(LOOK_AT_NOTHING);
      const viewers = await readViewing(control, settings, facts);
      this.#armed = { observed: this.#seen(rows[0]).observed, viewers };
      signal.throwIfAborted();
      return { incarnation: incarnationOf(facts), viewing: viewers.viewing };
    });
  }

  /** Nothing is marked: the acknowledgement that is asked for is nobody's. */
  async rehearse(part: 'freeze' | 'thaw'): Promise<void> {
    const { control } = this.#session.ready();
    if (part === 'freeze') {
      await control.query(MARK_NOTHING);
      return;
    }
    const { rows } = await control.query<LookRow>(LOOK_AT_NOTHING);
    this.#seen(rows[0]);
    await hasAcknowledged(control, '0/0', 0);
  }

  disarm(): Promise<void> {
    return this.#working(async () => {
      const undo = this.#undo.current;
      if (undo === null) return;
      // An arm that failed may have come no further than the undo.
      if (this.#fence === null) await restoreStandbyNames(this.#session.ready().control, undo);
      else await this.#fence.disarm();
      // Whatever of it failed, the next arm begins with a new one.
      await this.#dropFence();
      await this.#undo.clear();
    });
  }

  freeze(token: Token): ReturnType<Hold['freeze']> {
    return this.#working(async () => {
      const { receiver } = this.#session.ready().journal;
      const fence = this.#fence;
      if (fence === null) throw outOfOrder('freeze before arm');
      const name = restorePointName(this.#checkpoint, token.attempt);
      const askedAt = performance.now();
      const last = await fence.close();
      const fencedAt = performance.now();
      this.#step('fence closed');
      await this.#reach('fenced');
      const { observed, incarnation, seen } = await this.#markBehind(fence, last, name);
      const markedAt = performance.now();
      const mark: Mark = {
        journalFile: fileEndingAt(observed.position, receiver.timeline, receiver.segmentBytes),
        position: formatLsn(observed.position),
        name,
      };
      this.#held = {
        observed,
        watch: new SenderWatch(this.#session.ready().control, seen),
        mark,
        incarnation,
      };
      this.#session.owners = this.#undo.current;
      await this.#comeToRest(askedAt);
      return { incarnation, mark, fencedAt, markedAt };
    });
  }

  /** What was written is on disk: an image that is made now has it. */
  async #comeToRest(askedAt: number): Promise<void> {
    if (this.#quiesce === null) return;
    const { buffers, timeOutMs } = this.#quiesce;
    const leftMs = askedAt + timeOutMs - performance.now();
    await buffers.write(this.#session.ready().control, leftMs, timeOutMs);
    // While it was waited for the fence must have held.
    const cause = this.#fence?.broken() ?? null;
    if (cause !== null) throw fenceLost(cause);
  }

  /** Asks until the fence holds; in that moment the mark is made. */
  async #markBehind(fence: Fence, last: LastAcknowledgement | null, name: string): Promise<Seen> {
    const { control } = this.#session.ready();
    const seenBy = last === null ? 'NULL, NULL' : `'${last.position}', ${last.processId}`;
    let row: LookRow | undefined;
    await waitUntil('the last acknowledgement to be taken up', this.#session.signal, async () => {
      this.#step('mark asked');
      const { rows } = await control.query<LookRow>(
        `EXECUTE stillpoint_mark(${escapeLiteral(name)}, ${seenBy})`,
      );
      this.#step('mark answered');
      const cause = fence.broken();
      if (cause !== null) throw fenceLost(cause);
      row = rows[0];
      return row?.position !== null;
    });
    return this.#seen(row);
  }

  thaw(_token: Token, released: () => void): Promise<ThawProof> {
    return this.#working(async () => {
      const { control, journal, facts } = this.#session.ready();
      const held = this.#held;
      const fence = this.#fence;
      const armed = this.#armed;
      const undo = this.#undo.current;
      if (fence === null || undo === null) {
        released();
        return { type: 'alreadyResumed', incarnation: incarnationOf(facts), cause: 'it was not frozen' };
      }
      const sinceMark = held?.watch.stop() ?? { senders: [], writers: [], slots: [], decoded: [] };
      const since = held === null ? 'NULL' : `'${held.mark.position}'`;
      this.#step('look asked');
      const { rows } = await control.query<LookRow>(`EXECUTE stillpoint_look(${since})`);
      this.#step('look answered');
      const { observed, incarnation, seen } = this.#seen(rows[0]);
      // Of a fence that was lost the names were put back by ourselves.
      const inForce = undo.standing === true ? [undo.original] : undo.armed;
      const changed = fence.broken() === null && !inForce.includes(rows[0]?.names ?? '');
      const lost = await this.#open(fence, changed, released);
      await this.#undo.clear();
      if (held === null || armed === null)
        return { type: 'alreadyResumed', incarnation, cause: 'it was not frozen' };
      if (lost !== null) return { type: 'broken', incarnation, cause: lost };
      const afterwards = await readViewing(control, this.#session.settings, facts);
      const viewing = viewingWhileHeld({
        atArm: armed.viewers,
        sinceMark,
        atThaw: seen,
        afterwards,
      });
      const { serverVersion } = facts;
      const leak = await findLeak({
        settings: this.#session.settings,
        control,
        receiver: journal.receiver,
        serverVersion,
        atArm: armed.observed,
        atMark: held.observed,
        atThaw: observed,
      });
      if (leak !== null) return { type: 'broken', incarnation, cause: leak };
      return { type: 'held', incarnation, viewing };
    });
  }

  /** As in preflight, perhaps hours ago; and nobody has our place. */
  async #mustStand(control: Client, names: string): Promise<void> {
    const { settings } = this.#session;
    const [problem] = await standingProblems(control, settings.name, names);
    if (problem !== undefined) throw new StillpointError(problem);
    const isOurs = this.#fence?.broken() === null;
    if (!isOurs && (await isStandbyThere(control))) throw armedByOthers(settings.name);
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

  async release(): Promise<void> {
    this.#session.cancel();
    this.#fence?.release();
    // The fence stays until the undo is done: released, it lets every commit go on.
    await this.#whileItWrites();
    await this.#undo.perform(this.#guardian);
    await this.#close();
  }

  /**
   * Behind a CHECKPOINT of ours the checkpointer takes no setting. With the last synchronous standby taken from the list
   * meanwhile commits would wait for its end: so ours stays in the list, and answers for everybody, as long as it can.
   */
  async #whileItWrites(): Promise<void> {
    const fence = this.#fence;
    const undo = this.#undo.current;
    if (this.#quiesce === null || fence === null || undo?.original !== '' || undo.standing === true) return;
    const isLost = (): boolean => fence.broken() !== null;
    // What cannot be asked is no reason not to undo.
    await this.#guardian.whenCheckpointerListens(isLost).catch(() => undefined);
  }

  async #close(): Promise<void> {
    this.#held?.watch.stop();
    this.#quiesce?.buffers.close();
    await this.#dropFence();
    await this.#guardian.close();
    this.#session.close();
    this.#closed();
  }

  /**
   * The stream that is the fence is gone while the server waits for its word: every commit hangs from now on, and this
   * attempt is lost. So the setting is put back at once, whatever the others of the grid are at; whoever asks for the
   * next step is told. The freeze record stays until then.
   */
  async #disarmLost(control: Client): Promise<void> {
    const undo = this.#undo.current;
    const isOver = (): boolean =>
      undo === null || this.#undo.current !== undo || this.#session.signal.aborted;
    while (undo !== null && !isOver()) {
      try {
        return await settledInTime(
          'the setting to be put back',
          mustListen(control, undo).then(() => restoreStandbyNames(control, undo)),
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

  #seen(row: LookRow | undefined): Seen {
    if (row === undefined || row.position === null) throw new Error('the server said nothing of itself');
    const { systemIdentifier } = this.#session.ready().facts;
    return {
      observed: { snapshot: parseSnapshot(row.snapshot), position: parseLsn(row.position) },
      incarnation: incarnationOf({ startedAt: row.startedAt, systemIdentifier }),
      seen: { senders: row.senders, writers: row.writers, slots: row.slots, decoded: row.decoded },
    };
  }

  #working<T>(work: () => Promise<T>): Promise<T> {
    return this.#session.call(work, () => this.#close());
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
