import type { Client } from 'pg';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { Mark } from '../../../shared/domain/grid.ts';
import type { ThawProof } from '../../../shared/domain/messages.ts';
import type { Token } from '../../../shared/domain/token.ts';
import type { Capture, CaptureContext } from '../engine.ts';
import { copyBase, type BaseCopy } from './base-copy.ts';
import { connect } from './connection.ts';
import { ABSENT_STANDBY, armedNames, createFence, type Fence } from './fence.ts';
import { readSubscriptions, storeDirectories, storeJournal } from './collect.ts';
import type { PostgresFacts } from './facts.ts';
import { JournalReceiver } from './journal-receiver.ts';
import { finishedBetween, leaksAmong, parseSnapshot, type Snapshot } from './leak-proof.ts';
import { fileEndingAt, formatLsn, parseLsn, type Lsn } from './lsn.ts';
import { preparedEnded, readPrepared, type Prepared } from './prepared-transactions.ts';
import { restorePointName } from './restore-point.ts';
import { incarnationOf, readServerFacts, type ServerFacts } from './server-facts.ts';
import type { PostgresSettings } from './settings.ts';
import type { PrimaryUndo } from './standby-setting.ts';
import { PostgresGuardian } from './undo.ts';
import { transactionRecords } from './wal-records.ts';

interface Held {
  readonly token: Token;
  readonly incarnation: string;
  readonly snapshot: Snapshot;
  readonly position: Lsn;
  readonly restorePoint: string;
  readonly prepared: readonly Prepared[];
}

const MARK_STATEMENT = `
  SELECT pg_current_snapshot()::text AS snapshot,
         pg_create_restore_point($1)::text AS position,
         to_char(pg_postmaster_start_time() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') AS "startedAt",
         (SELECT coalesce(json_agg(json_build_object('gid', gid, 'database', database, 'owner', owner::text)), '[]')
            FROM pg_prepared_xacts) AS prepared`;

const THAW = {
  name: 'stillpoint_thaw',
  text: `
  SELECT pg_current_snapshot()::text AS snapshot,
         pg_current_wal_insert_lsn()::text AS position,
         to_char(pg_postmaster_start_time() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') AS "startedAt"`,
};

/** Its connections are gone by then, and every wait of it has a bound. */
const OVERTAKEN_ENDS_MS = 12_000;

/** Captures a primary: base copy and journal, and the fence between. */
export class PrimaryCapture implements Capture {
  readonly #settings: PostgresSettings;
  readonly #context: CaptureContext;
  readonly #cancelled = new AbortController();
  readonly #guardian: PostgresGuardian;
  #control: Client | null = null;
  #facts: ServerFacts | null = null;
  #receiver: JournalReceiver | null = null;
  #base: BaseCopy | null = null;
  #preparedBefore: readonly Prepared[] = [];
  #undo: PrimaryUndo | null = null;
  #fence: Fence | null = null;
  #held: Held | null = null;
  /** A call that an abort may overtake: it may be about to open or to change what the abort takes back. */
  #underWay: Promise<void> = Promise.resolve();

  constructor(settings: PostgresSettings, context: CaptureContext) {
    this.#settings = settings;
    this.#context = context;
    this.#guardian = new PostgresGuardian(settings);
  }

  prepare(): Promise<void> {
    return this.#tracked(this.#prepare());
  }

  #tracked<T>(call: Promise<T>): Promise<T> {
    this.#underWay = call.then(
      () => undefined,
      () => undefined,
    );
    return call;
  }

  async #prepare(): Promise<void> {
    const { checkpoint, spoolDirectory, artifacts, progress } = this.#context;
    const control = await connect(this.#settings, { applicationName: 'stillpoint-control' });
    this.#control = control;
    await control.query('SET statement_timeout = 0; SET lock_timeout = 0; SET idle_session_timeout = 0');
    await this.#guardian.open();
    const facts = await readServerFacts(control);
    this.#facts = facts;
    this.#preparedBefore = await readPrepared(control);
    // The journal first: all of it from the start of the base copy belongs to the checkpoint.
    this.#receiver = await JournalReceiver.start({
      settings: this.#settings,
      directory: spoolDirectory,
      segmentBytes: facts.walSegmentSizeBytes,
      slot: `stillpoint_${crypto.randomUUID().replaceAll('-', '').slice(0, 16)}`,
    });
    this.#cancelled.signal.throwIfAborted();
    this.#base = await copyBase({
      settings: this.#settings,
      label: `stillpoint ${checkpoint}`.slice(0, 200),
      artifacts,
      signal: this.#cancelled.signal,
      progress,
      totalBytes: facts.sizeBytes,
    });
  }

  arm(): Promise<{ incarnation: string }> {
    return this.#tracked(this.#arm());
  }

  async #arm(): Promise<{ incarnation: string }> {
    const control = this.#connected();
    const facts = await readServerFacts(control);
    const undo: PrimaryUndo = {
      kind: 'primary',
      original: facts.standbyNames,
      inAutoConf: facts.standbyNamesFile?.endsWith('postgresql.auto.conf') ?? false,
      armed: [armedNames(facts.standbyNames), `FIRST 1 (${ABSENT_STANDBY})`].filter(
        (names) => names !== null,
      ),
    };
    this.#held = null;
    await this.#context.saveUndo(undo);
    this.#undo = undo;
    this.#cancelled.signal.throwIfAborted();
    this.#fence ??= createFence(this.#settings, control, undo);
    await this.#fence.arm();
    // Planned and run once now, so that the freeze finds every catalogue page in memory.
    await control.query(`EXPLAIN ${MARK_STATEMENT.replace('$1', "''")}`);
    await control.query(THAW);
    this.#cancelled.signal.throwIfAborted();
    return { incarnation: incarnationOf(facts) };
  }

  async freeze(token: Token): ReturnType<Capture['freeze']> {
    const fence = this.#armed();
    const control = this.#connected();
    const restorePoint = restorePointName(this.#context.checkpoint, token.attempt);
    await fence.close();
    const fencedAt = performance.now();
    const { rows } = await control.query<{
      snapshot: string;
      position: string;
      startedAt: string;
      prepared: Prepared[];
    }>(MARK_STATEMENT, [restorePoint]);
    const markedAt = performance.now();
    const [row] = rows;
    if (row === undefined) throw new Error('the restore point gave no row');
    const position = parseLsn(row.position);
    const incarnation = incarnationOf({
      startedAt: row.startedAt,
      systemIdentifier: this.#known().systemIdentifier,
    });
    this.#held = {
      token,
      incarnation,
      snapshot: parseSnapshot(row.snapshot),
      position,
      restorePoint,
      prepared: row.prepared,
    };
    return { incarnation, mark: this.#mark(), fencedAt, markedAt };
  }

  async thaw(_token: Token, released: () => void): Promise<ThawProof> {
    const fence = this.#armed();
    const held = this.#held;
    const end = await this.#lookBeforeOpening(fence);
    await fence.open();
    released();
    await fence.disarm();
    await this.#context.saveUndo(null);
    this.#undo = null;
    if (held === null)
      return { type: 'broken', incarnation: end.incarnation, cause: 'it was thawed before it had marked' };
    if (end.broken !== null) {
      return {
        type: 'broken',
        incarnation: end.incarnation,
        cause: `its fence was lost while it was closed: ${end.broken}`,
      };
    }
    const leak = await this.#findLeak(held, end);
    if (leak !== null) return { type: 'broken', incarnation: end.incarnation, cause: leak };
    return { type: 'held', incarnation: end.incarnation };
  }

  async #lookBeforeOpening(
    fence: Fence,
  ): Promise<{ snapshot: Snapshot; position: Lsn; incarnation: string; broken: string | null }> {
    const { rows } = await this.#connected().query<{ snapshot: string; position: string; startedAt: string }>(
      THAW,
    );
    const [row] = rows;
    if (row === undefined) throw new Error('the thaw statement gave no row');
    const { systemIdentifier } = this.#known();
    return {
      snapshot: parseSnapshot(row.snapshot),
      position: parseLsn(row.position),
      incarnation: incarnationOf({ startedAt: row.startedAt, systemIdentifier }),
      broken: fence.broken(),
    };
  }

  /** See leak-proof.ts. The journal is read only where there are suspects: the common case costs one query. */
  async #findLeak(held: Held, end: { snapshot: Snapshot; position: Lsn }): Promise<string | null> {
    const finished = finishedBetween(held.snapshot, end.snapshot);
    if (finished.length === 0) return null;
    const control = this.#connected();
    const { rows } = await control.query<{ xid: string }>(
      `SELECT xid::text FROM unnest($1::text[]) AS xid WHERE pg_xact_status(xid::xid8) = 'committed'`,
      [finished.map(String)],
    );
    const suspects = rows.map(({ xid }) => BigInt(xid));
    if (suspects.length === 0) return null;
    // Asynchronous commits are flushed when their turn comes; a switch makes it come now.
    await control.query('SELECT pg_switch_wal()');
    const receiver = this.#receiving();
    await receiver.reached(end.position);
    const committed = new Set<number>();
    for await (const record of this.#records(held.position, end.position)) {
      if (record.type === 'commit' || record.type === 'commitPrepared') committed.add(record.xid);
    }
    const [leak] = leaksAmong(suspects, committed);
    if (leak === undefined) return null;
    return `transaction ${leak} was committed past the fence: synchronous_commit is off or local there, or its wait was cancelled`;
  }

  async collect(): Promise<{ mark: Mark | null; engineFacts: PostgresFacts }> {
    const held = this.#held;
    const base = this.#base;
    const facts = this.#known();
    if (held === null || base === null) throw new Error('collect before the mark');
    const receiver = this.#receiving();
    // The file really ends there, and everything before the switch is flushed and sent.
    await this.#connected().query('SELECT pg_switch_wal()');
    await receiver.reached(held.position);
    await storeJournal(this.#context.artifacts, receiver, base.start, held.position);
    await storeDirectories(this.#context.artifacts, this.#settings.also);
    const ended = await preparedEnded({
      enabled: facts.maxPrepared > 0,
      before: this.#preparedBefore,
      atMark: held.prepared,
      records: this.#records(base.start, held.position),
    });
    const engineFacts: PostgresFacts = {
      kind: 'primary',
      serverVersion: facts.serverVersion,
      systemIdentifier: facts.systemIdentifier,
      timeline: receiver.timeline,
      walSegmentSizeBytes: facts.walSegmentSizeBytes,
      startPosition: formatLsn(base.start),
      markPosition: this.#mark().position,
      restorePoint: held.restorePoint,
      synchronousStandbyNames: facts.standbyNames,
      synchronousStandbyNamesInAutoConf: facts.standbyNamesFile?.endsWith('postgresql.auto.conf') ?? false,
      port: facts.port,
      listenAddresses: facts.listenAddresses,
      archiving: facts.archiving,
      subscriptions: await readSubscriptions(this.#connected()),
      tablespaces: base.tablespaces,
      outsideFiles: facts.outsideFiles,
      also: this.#settings.also,
      preparedAtMark: ended.atMark,
      preparedEnded: ended.ended,
    };
    return { mark: this.#mark(), engineFacts };
  }

  async abort(): Promise<void> {
    this.#cancelled.abort(
      new StillpointError({
        code: 'aborted',
        message: 'the checkpoint was aborted',
        hint: 'see its first failure',
      }),
    );
    // Our standby goes first: whoever else is in the list then decides alone again, once the setting is back.
    await this.#fence?.drop();
    if (this.#undo !== null) await this.#guardian.undo(this.#undo);
    this.#control?.end().catch(() => undefined);
    await Promise.race([this.#underWay, patience(OVERTAKEN_ENDS_MS)]);
    if (this.#undo !== null) await this.#guardian.undo(this.#undo);
    await this.#context.saveUndo(null);
    this.#undo = null;
    await this.close();
  }

  async close(): Promise<void> {
    await this.#fence?.drop();
    await this.#receiver?.stop();
    await this.#guardian.close();
    this.#control?.end().catch(() => undefined);
  }

  #records(from: Lsn, to: Lsn): ReturnType<typeof transactionRecords> {
    const { directory, timeline, segmentBytes } = this.#receiving();
    return transactionRecords({
      directory,
      timeline,
      segmentBytes,
      serverVersion: this.#known().serverVersion,
      from,
      to,
    });
  }

  #mark(): Mark {
    const held = this.#held;
    if (held === null) throw new Error('no mark yet');
    const { timeline, segmentBytes } = this.#receiving();
    return {
      journalFile: fileEndingAt(held.position, timeline, segmentBytes),
      position: formatLsn(held.position),
      name: held.restorePoint,
    };
  }

  #connected(): Client {
    if (this.#control === null) throw new Error('not prepared');
    return this.#control;
  }

  #known(): ServerFacts {
    if (this.#facts === null) throw new Error('not prepared');
    return this.#facts;
  }

  #receiving(): JournalReceiver {
    if (this.#receiver === null) throw new Error('not prepared');
    return this.#receiver;
  }

  #armed(): Fence {
    if (this.#fence === null) throw new Error('not armed');
    return this.#fence;
  }
}

function patience(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
