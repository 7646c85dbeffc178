import { escapeLiteral, type Client } from 'pg';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { Mark } from '../../../shared/domain/grid.ts';
import type { ThawProof } from '../../../shared/domain/messages.ts';
import type { Token } from '../../../shared/domain/token.ts';
import { reach } from '../../../shared/runtime/hooks.ts';
import type { Capture, CaptureContext, Undo } from '../engine.ts';
import type { BaseCopy } from './archive-receiver.ts';
import { copyBase } from './base-copy.ts';
import { storeDirectories, storeJournal } from './collect.ts';
import { connect } from './connection.ts';
import { contractCall } from './contract-call.ts';
import type { PostgresFacts } from './facts.ts';
import { fenceLost } from './acknowledger.ts';
import { armedNames, createFence, type Fence, type LastAcknowledgement } from './fence.ts';
import { PostgresGuardian } from './guardian.ts';
import { JournalReceiver } from './journal-receiver.ts';
import { findLeak, parseSnapshot, type Sight } from './leak-proof.ts';
import { fileEndingAt, formatLsn, parseLsn } from './lsn.ts';
import { readPrepared, type Prepared } from './prepared-transactions.ts';
import { primaryFacts } from './primary-facts.ts';
import { restorePointName } from './restore-point.ts';
import { incarnationOf, readServerFacts, type ServerFacts } from './server-facts.ts';
import type { PostgresSettings } from './settings.ts';
import { restoreStandbyNames, type PrimaryUndo } from './standby-setting.ts';
import { CONTROL_NAME } from './undo.ts';
import { settledInTime, waitUntil } from './wait-until.ts';

/** What prepare leaves for the rest. */
interface Capturing {
  readonly control: Client;
  readonly facts: ServerFacts;
  readonly receiver: JournalReceiver;
  readonly base: BaseCopy;
  readonly preparedBefore: readonly Prepared[];
  readonly preparedAfter: readonly Prepared[];
}

interface Held {
  readonly sight: Sight;
  readonly mark: Mark;
  readonly incarnation: string;
  /** The owner's setting, as it was when this was armed. */
  readonly undo: PrimaryUndo | null;
}

const STOP_MS = 5000;
/** For a session that is there and does not answer; another one is tried then. */
const DISARM_MS = 1000;

const STARTED_AT = `to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') AS "startedAt"`;

/**
 * Parsed and planned long before, so that nothing is looked up in catalogues while clients wait. The mark is made
 * only where the last acknowledgement has been taken up: then the fence holds. The snapshot is from just before, so
 * that a commit let go by that acknowledgement may look as if it had passed the fence; its record lies before the mark.
 */
const PREPARE_STATEMENTS = `
  SET plan_cache_mode = force_generic_plan;
  PREPARE stillpoint_mark(text, pg_lsn, integer) AS
    SELECT pg_current_snapshot()::text AS snapshot,
           CASE WHEN $2 IS NULL OR $2 = (SELECT flush_lsn FROM pg_stat_get_wal_senders() WHERE pid = $3)
                THEN pg_create_restore_point($1)::text END AS position, ${STARTED_AT};
  PREPARE stillpoint_look AS
    SELECT pg_current_snapshot()::text AS snapshot, pg_current_wal_insert_lsn()::text AS position, ${STARTED_AT},
           current_setting('synchronous_standby_names') AS names`;

interface LookRow {
  snapshot: string;
  /** Null: no mark was made, the fence did not hold yet. */
  position: string | null;
  startedAt: string;
  names: string;
}

/** Captures a primary: base copy and journal, and the fence between. */
export class PrimaryCapture implements Capture {
  readonly #closed: () => void;
  readonly #settings: PostgresSettings;
  readonly #context: CaptureContext;
  readonly #cancelled = new AbortController();
  readonly #guardian: PostgresGuardian;
  #control: Client | null = null;
  #receiver: JournalReceiver | null = null;
  #prepared: Capturing | null = null;
  #undo: PrimaryUndo | null = null;
  #saving: Promise<void> = Promise.resolve();
  #fence: Fence | null = null;
  /** The setting that the fence was made for. */
  #fenceUndo: PrimaryUndo | null = null;
  #held: Held | null = null;

  constructor(settings: PostgresSettings, context: CaptureContext, closed: () => void) {
    this.#closed = closed;
    this.#settings = settings;
    this.#context = context;
    this.#guardian = new PostgresGuardian(settings);
  }

  prepare(): Promise<void> {
    return this.#working(async () => {
      const { checkpoint, spoolDirectory, artifacts, progress } = this.#context;
      const { signal } = this.#cancelled;
      const control = await connect(this.#settings, { applicationName: CONTROL_NAME });
      this.#control = control;
      // Nothing of this session waits for a synchronous standby, and nothing ends it while it waits for us.
      await control.query(
        'SET statement_timeout = 0; SET lock_timeout = 0; SET idle_session_timeout = 0; SET synchronous_commit = local',
      );
      await control.query(PREPARE_STATEMENTS);
      signal.throwIfAborted();
      await this.#guardian.open();
      const facts = await readServerFacts(control);
      // The journal first: all of it from the start of the base copy belongs to the checkpoint.
      const receiver = await JournalReceiver.start({
        settings: this.#settings,
        directory: spoolDirectory,
        segmentBytes: facts.walSegmentSizeBytes,
        slot: `stillpoint_${crypto.randomUUID().replaceAll('-', '').slice(0, 16)}`,
      });
      this.#receiver = receiver;
      signal.throwIfAborted();
      const preparedBefore = await readPrepared(control);
      const base = await copyBase({
        settings: this.#settings,
        label: `stillpoint ${checkpoint}`.slice(0, 200),
        artifacts,
        signal,
        progress,
        totalBytes: facts.sizeBytes,
      });
      const preparedAfter = await readPrepared(control);
      this.#prepared = { control, facts, receiver, base, preparedBefore, preparedAfter };
    });
  }

  arm(): Promise<{ incarnation: string }> {
    return this.#working(async () => {
      const { control, receiver } = this.#ready();
      const { signal } = this.#cancelled;
      this.#held = null;
      const facts = await readServerFacts(control);
      const undo: PrimaryUndo = {
        kind: 'primary',
        original: facts.standbyNames,
        inAutoConf: facts.standbyNamesFile?.endsWith('postgresql.auto.conf') ?? false,
        armed: armedNames(facts.standbyNames),
        server: {
          systemIdentifier: facts.systemIdentifier,
          startedAt: facts.startedAt,
          timeline: receiver.timeline,
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
      await control.query("EXECUTE stillpoint_mark('', '0/0', 0); EXECUTE stillpoint_look");
      signal.throwIfAborted();
      return { incarnation: incarnationOf(facts) };
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
      const { receiver } = this.#ready();
      const fence = this.#fence;
      if (fence === null) throw outOfOrder('freeze before arm');
      const name = restorePointName(this.#context.checkpoint, token.attempt);
      const last = await fence.close();
      const fencedAt = performance.now();
      await reach('fenced', this.#settings.name);
      const { sight, incarnation } = await this.#markBehind(fence, last, name);
      const markedAt = performance.now();
      const mark: Mark = {
        journalFile: fileEndingAt(sight.position, receiver.timeline, receiver.segmentBytes),
        position: formatLsn(sight.position),
        name,
      };
      this.#held = { sight, mark, incarnation, undo: this.#undo };
      return { incarnation, mark, fencedAt, markedAt };
    });
  }

  /** Asks until the fence holds; in that moment the mark is made. */
  async #markBehind(
    fence: Fence,
    last: LastAcknowledgement | null,
    name: string,
  ): Promise<{ sight: Sight; incarnation: string }> {
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
      const { control, receiver, facts } = this.#ready();
      const held = this.#held;
      const fence = this.#fence;
      if (fence === null || this.#undo === null) {
        released();
        return { type: 'alreadyResumed', incarnation: incarnationOf(facts), cause: 'it was not frozen' };
      }
      const { rows } = await control.query<LookRow>('EXECUTE stillpoint_look');
      const { sight, incarnation } = this.#seen(rows[0]);
      // Of a fence that was lost the names were put back by ourselves.
      const changed = fence.broken() === null && !this.#undo.armed.includes(rows[0]?.names ?? '');
      const lost = await this.#open(fence, changed, released);
      await this.#save(null);
      this.#undo = null;
      if (held === null) return { type: 'alreadyResumed', incarnation, cause: 'it was not frozen' };
      if (lost !== null) return { type: 'broken', incarnation, cause: lost };
      const { serverVersion } = facts;
      const leak = await findLeak({ control, receiver, serverVersion, atMark: held.sight, atThaw: sight });
      return leak === null ? { type: 'held', incarnation } : { type: 'broken', incarnation, cause: leak };
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
      const { control, receiver, base } = this.#ready();
      const held = this.#held;
      if (held === null) throw outOfOrder('collect before the mark');
      // The file really ends there, and everything before the switch is flushed and sent.
      await control.query('SELECT pg_switch_wal()');
      await receiver.reached(held.sight.position);
      await storeJournal(this.#context.artifacts, receiver, base.start, held.sight.position);
      await storeDirectories(this.#context.artifacts, this.#settings.also);
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
    await this.#dropFence();
    await this.#stopReceiving();
    await this.#guardian.close();
    this.#control?.end().catch(() => undefined);
    this.#closed();
  }

  /** Its slot goes with its connection, at once; a disk that hangs keeps nobody waiting. */
  async #stopReceiving(): Promise<void> {
    const stopped = this.#receiver?.stop() ?? Promise.resolve();
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

  #seen(row: LookRow | undefined): { sight: Sight; incarnation: string } {
    if (row === undefined || row.position === null) throw new Error('the server said nothing of itself');
    const { systemIdentifier } = this.#ready().facts;
    return {
      sight: { snapshot: parseSnapshot(row.snapshot), position: parseLsn(row.position) },
      incarnation: incarnationOf({ startedAt: row.startedAt, systemIdentifier }),
    };
  }

  #ready(): Capturing {
    if (this.#prepared === null) throw outOfOrder('not prepared');
    return this.#prepared;
  }

  #working<T>(work: () => Promise<T>): Promise<T> {
    const { signal } = this.#cancelled;
    return contractCall({ settings: this.#settings, signal, close: () => this.close() }, work);
  }
}

function sameSetting(a: PrimaryUndo | null, b: PrimaryUndo): boolean {
  return a !== null && a.original === b.original && a.inAutoConf === b.inAutoConf;
}

function outOfOrder(message: string): Error {
  return new Error(`a call out of order: ${message}`);
}
