import type { Client } from 'pg';
import { StillpointError } from '../../../shared/domain/errors.ts';
import type { ThawProof } from '../../../shared/domain/messages.ts';
import type { Token } from '../../../shared/domain/token.ts';
import type { Capture, CaptureContext } from '../engine.ts';
import { storeConfiguration, storeDirectories } from './collect.ts';
import { connect } from './connection.ts';
import type { PostgresFacts } from './facts.ts';
import { incarnationOf, readServerFacts, type ServerFacts } from './server-facts.ts';
import type { PostgresSettings } from './settings.ts';
import { PostgresGuardian, resumeReplay, type ObserverUndo } from './undo.ts';

const PAUSE_TIMEOUT_MS = 5000;

/**
 * Captures a hot standby. It shows a commit as soon as it has replayed it, before the fence on its primary
 * lets anybody know: so its replay is paused before that fence closes, and resumed with the thaw. Of its
 * data nothing is stored, for its primary's is; of its configuration everything.
 */
export class ObserverCapture implements Capture {
  readonly #closed: () => void;
  readonly #settings: PostgresSettings;
  readonly #context: CaptureContext;
  readonly #guardian: PostgresGuardian;
  #control: Client | null = null;
  #facts: ServerFacts | null = null;
  #undo: ObserverUndo | null = null;
  #frozen: string | null = null;

  constructor(settings: PostgresSettings, context: CaptureContext, closed: () => void) {
    this.#closed = closed;
    this.#settings = settings;
    this.#context = context;
    this.#guardian = new PostgresGuardian(settings);
  }

  async prepare(): Promise<void> {
    this.#control = await connect(this.#settings, { applicationName: 'stillpoint-control' });
    await this.#guardian.open();
    this.#facts = await readServerFacts(this.#control);
  }

  async arm(): Promise<{ incarnation: string }> {
    const control = this.#connected();
    this.#frozen = null;
    const { rows } = await control.query<{ paused: boolean }>('SELECT pg_is_wal_replay_paused() AS paused');
    const undo: ObserverUndo = { kind: 'observer', wasPaused: rows[0]?.paused ?? false };
    await this.#context.saveUndo(undo);
    this.#undo = undo;
    return { incarnation: incarnationOf(await readServerFacts(control)) };
  }

  async freeze(_token: Token): ReturnType<Capture['freeze']> {
    const control = this.#connected();
    await control.query('SELECT pg_wal_replay_pause()');
    const until = performance.now() + PAUSE_TIMEOUT_MS;
    for (;;) {
      const look = await this.#look();
      if (look.paused) {
        this.#frozen = look.incarnation;
        return {
          incarnation: look.incarnation,
          mark: null,
          fencedAt: performance.now(),
          markedAt: performance.now(),
        };
      }
      if (performance.now() > until) throw notPaused(this.#settings.name);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async thaw(_token: Token, released: () => void): Promise<ThawProof> {
    const look = await this.#look();
    if (this.#undo?.wasPaused === false) await resumeReplay(this.#connected());
    released();
    await this.#context.saveUndo(null);
    this.#undo = null;
    const { incarnation } = look;
    if (this.#frozen === null)
      return { type: 'broken', incarnation, cause: 'it was thawed before it was frozen' };
    if (!look.paused)
      return {
        type: 'broken',
        incarnation,
        cause: 'somebody resumed its replay, or promoted it, while it was frozen',
      };
    return { type: 'held', incarnation };
  }

  async #look(): Promise<{ paused: boolean; incarnation: string }> {
    const { rows } = await this.#connected().query<{ paused: boolean; startedAt: string }>(
      `SELECT CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() = 'paused' ELSE false END AS paused,
              to_char(pg_postmaster_start_time() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') AS "startedAt"`,
    );
    const [row] = rows;
    if (row === undefined) throw new Error('the standby said nothing of itself');
    const systemIdentifier = this.#facts?.systemIdentifier ?? '';
    return { paused: row.paused, incarnation: incarnationOf({ startedAt: row.startedAt, systemIdentifier }) };
  }

  async collect(): Promise<{ mark: null; engineFacts: PostgresFacts }> {
    const facts = this.#facts;
    if (facts === null) throw new Error('collect before prepare');
    await storeConfiguration(this.#context.artifacts, this.#settings.data);
    await storeDirectories(this.#context.artifacts, this.#settings.also);
    return {
      mark: null,
      engineFacts: {
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
        also: this.#settings.also,
        preparedAtMark: [],
        preparedEnded: [],
      },
    };
  }

  async abort(): Promise<void> {
    if (this.#undo !== null) await this.#guardian.undo(this.#undo);
    await this.#context.saveUndo(null);
    this.#undo = null;
    await this.close();
  }

  async close(): Promise<void> {
    await this.#guardian.close();
    this.#control?.end().catch(() => undefined);
    this.#closed();
  }

  #connected(): Client {
    if (this.#control === null) throw new Error('not prepared');
    return this.#control;
  }
}

function notPaused(member: string): StillpointError {
  return new StillpointError({
    code: 'fence-not-reached',
    message: `replay of ${member} did not pause in ${PAUSE_TIMEOUT_MS} ms`,
    hint: 'a query on the standby may conflict with recovery: see pg_stat_activity there',
  });
}
