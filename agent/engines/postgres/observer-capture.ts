import type { Client } from 'pg';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { ThawProof } from '../../../shared/domain/messages.ts';
import type { Token } from '../../../shared/domain/token.ts';
import type { Capture, CaptureContext, Undo } from '../engine.ts';
import { storeConfiguration, storeDirectories } from './collect.ts';
import { connect } from './connection.ts';
import { contractCall } from './contract-call.ts';
import type { PostgresFacts } from './facts.ts';
import { incarnationOf, readServerFacts, type ServerFacts } from './server-facts.ts';
import { ownerOf } from '../restore/owner.ts';
import type { PostgresSettings } from './settings.ts';
import { CONTROL_NAME, PostgresGuardian, resumeReplay, type ObserverUndo } from './undo.ts';
import { waitUntil } from './wait-until.ts';

const LOOK = `
  SELECT CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() ELSE 'promoted' END AS state,
         to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') AS "startedAt"`;

interface Look {
  readonly state: 'paused' | 'pause requested' | 'not paused' | 'promoted';
  readonly incarnation: string;
}

/**
 * Captures a hot standby. It shows a commit as soon as it has replayed it, before the fence on its primary
 * lets anybody know: so its replay is paused before that fence closes, and resumed with the thaw. Of its
 * data nothing is stored, for its primary's is; of its configuration everything.
 */
export class ObserverCapture implements Capture {
  readonly #closed: () => void;
  readonly #settings: PostgresSettings;
  readonly #context: CaptureContext;
  readonly #cancelled = new AbortController();
  readonly #guardian: PostgresGuardian;
  #control: Client | null = null;
  #facts: ServerFacts | null = null;
  #undo: ObserverUndo | null = null;
  #saving: Promise<void> = Promise.resolve();
  #frozen: string | null = null;

  constructor(settings: PostgresSettings, context: CaptureContext, closed: () => void) {
    this.#closed = closed;
    this.#settings = settings;
    this.#context = context;
    this.#guardian = new PostgresGuardian(settings);
  }

  prepare(): Promise<void> {
    return this.#working(async () => {
      const control = await connect(this.#settings, { applicationName: CONTROL_NAME });
      this.#control = control;
      await control.query('SET statement_timeout = 0; SET lock_timeout = 0; SET idle_session_timeout = 0');
      await this.#guardian.open();
      this.#facts = await readServerFacts(control);
    });
  }

  arm(): Promise<{ incarnation: string }> {
    return this.#working(async () => {
      this.#frozen = null;
      const { state, incarnation } = await this.#look();
      if (state === 'promoted') throw promoted(this.#settings.name);
      const undo: ObserverUndo = { kind: 'observer', wasPaused: state !== 'not paused' };
      this.#cancelled.signal.throwIfAborted();
      this.#undo = undo;
      await this.#save(undo);
      return { incarnation };
    });
  }

  freeze(_token: Token): ReturnType<Capture['freeze']> {
    return this.#working(async () => {
      const { signal } = this.#cancelled;
      await this.#connected().query('SELECT pg_wal_replay_pause()');
      let seen = await this.#look();
      await waitUntil(`replay of ${this.#settings.name} to pause`, signal, async () => {
        if (seen.state !== 'paused') seen = await this.#look();
        if (seen.state === 'promoted') throw promoted(this.#settings.name);
        return seen.state === 'paused';
      });
      const { incarnation } = seen;
      this.#frozen = incarnation;
      const now = performance.now();
      return { incarnation, mark: null, fencedAt: now, markedAt: now };
    });
  }

  thaw(_token: Token, released: () => void): Promise<ThawProof> {
    return this.#working(async () => {
      const { state, incarnation } = await this.#look();
      const frozen = this.#frozen;
      const undo = this.#undo;
      if (undo?.wasPaused === false) await this.#resume();
      released();
      await this.#save(null);
      this.#undo = null;
      this.#frozen = null;
      if (frozen === null || undo === null)
        return { type: 'alreadyResumed', incarnation, cause: 'it was not frozen' };
      if (state === 'promoted')
        return { type: 'broken', incarnation, cause: 'it was promoted while it was frozen' };
      if (state !== 'paused')
        return { type: 'broken', incarnation, cause: 'somebody resumed its replay while it was frozen' };
      return { type: 'held', incarnation };
    });
  }

  collect(): Promise<{ mark: null; engineFacts: PostgresFacts }> {
    return this.#working(async () => {
      const facts = this.#known();
      const owner = await ownerOf(this.#settings);
      await storeConfiguration(this.#context.artifacts, this.#settings.data, owner);
      await storeDirectories(this.#context.artifacts, this.#settings.also, owner);
      return { mark: null, engineFacts: observerFacts(facts, this.#settings) };
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
    await this.#saving.catch(() => undefined);
    if (this.#undo !== null) await this.#guardian.undo(this.#undo);
    await this.#save(null);
    this.#undo = null;
    await this.close();
  }

  async close(): Promise<void> {
    await this.#guardian.close();
    this.#control?.end().catch(() => undefined);
    this.#closed();
  }

  async #resume(): Promise<void> {
    await resumeReplay(this.#connected());
    await waitUntil(
      `replay of ${this.#settings.name} to go on`,
      this.#cancelled.signal,
      async () => (await this.#look()).state !== 'paused',
    );
  }

  #save(undo: Undo | null): Promise<void> {
    this.#saving = this.#context.saveUndo(undo);
    return this.#saving;
  }

  async #look(): Promise<Look> {
    const { rows } = await this.#connected().query<{ state: Look['state']; startedAt: string }>(LOOK);
    const [row] = rows;
    if (row === undefined) throw new Error('the standby said nothing of itself');
    const { systemIdentifier } = this.#known();
    return { state: row.state, incarnation: incarnationOf({ startedAt: row.startedAt, systemIdentifier }) };
  }

  #known(): ServerFacts {
    if (this.#facts === null) throw new Error('a call out of order: not prepared');
    return this.#facts;
  }

  #connected(): Client {
    if (this.#control === null) throw new Error('a call out of order: not prepared');
    return this.#control;
  }

  #working<T>(work: () => Promise<T>): Promise<T> {
    const { signal } = this.#cancelled;
    return contractCall({ settings: this.#settings, signal, close: () => this.close() }, work);
  }
}

function promoted(member: string): StillpointError {
  return new StillpointError({
    code: 'standby-promoted',
    message: `${member} was a hot standby when the checkpoint began, and is a primary now`,
    hint: 'see with stillpoint grid status that its copyset has one primary, and run it again',
  });
}

function observerFacts(facts: ServerFacts, settings: PostgresSettings): PostgresFacts {
  return {
    kind: 'observer',
    serverVersion: facts.serverVersion,
    systemIdentifier: facts.systemIdentifier,
    timeline: 0,
    walSegmentSizeBytes: facts.walSegmentSizeBytes,
    startPosition: null,
    markPosition: null,
    restorePoint: null,
    synchronousStandbyNames: facts.standbyNames,
    synchronousStandbyNamesInAutoConf: facts.standbyNamesFile?.endsWith('postgresql.auto.conf') ?? false,
    port: facts.port,
    listenAddresses: facts.listenAddresses,
    archiving: facts.archiving,
    subscriptions: [],
    tablespaces: [],
    outsideFiles: facts.outsideFiles,
    also: settings.also,
    preparedAtMark: [],
    preparedEnded: [],
  };
}
