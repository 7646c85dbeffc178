import type { Client } from 'pg';
import { StillpointError } from '../../../../shared/domain/errors.ts';
import type { ThawProof } from '../../../../shared/domain/messages.ts';
import type { Token } from '../../../../shared/domain/token.ts';
import type { Viewing } from '../../../../shared/domain/viewing.ts';
import { aborted, outOfOrder, type Hold, type HoldContext } from '../../engine.ts';
import { connect } from '../server/connection.ts';
import { contractCall } from '../server/contract-call.ts';
import { PostgresGuardian } from './guardian.ts';
import { incarnationOf, readServerFacts, type ServerFacts } from '../server/server-facts.ts';
import type { PostgresSettings } from '../settings.ts';
import { isHeld, LOOK, notPaused, whyNotPaused, type Look } from './replay-pause.ts';
import { CONTROL_NAME, resumeReplay, type ObserverUndo } from './undo.ts';
import {
  LOOK_AT_SENDERS,
  readViewing,
  SenderWatch,
  viewingWhileHeld,
  type KnownViewers,
  type SeenSenders,
} from '../look/viewing.ts';
import { SavedUndo } from './saved-undo.ts';
import { waitUntil } from '../server/wait-until.ts';

/** Nobody is held while it is waited for; a report on a standby may take that long. */
const PAUSE_MINUTES = 10;
/** What takes no longer is not worth a word. */
const TELL_AFTER_MS = 1000;
/** It was paused before, and is asked once more. */
const FREEZE_MS = 5000;

interface ReplayState extends Look {
  readonly incarnation: string;
  readonly startedAt: string;
  readonly seen: SeenSenders;
}

/**
 * Holds a hot standby still. It shows a commit as soon as it has replayed it, before the fence on its primary
 * lets anybody know: so its replay is paused before anybody is armed, and resumed with the thaw. The freeze only
 * sees that it is still so. It lags for that time.
 */
export class ObserverHold implements Hold {
  readonly #closed: () => void;
  readonly #settings: PostgresSettings;
  readonly #cancelled = new AbortController();
  readonly #guardian: PostgresGuardian;
  #control: Client | null = null;
  #facts: ServerFacts | null = null;
  readonly #undo: SavedUndo<ObserverUndo>;
  readonly #waitsFor: HoldContext['waitsFor'];
  readonly #step: HoldContext['step'];
  #viewers: KnownViewers | null = null;
  #frozen: SenderWatch | null = null;

  constructor(settings: PostgresSettings, context: HoldContext, closed: () => void) {
    this.#closed = closed;
    this.#settings = settings;
    this.#undo = new SavedUndo(context);
    this.#guardian = new PostgresGuardian(settings);
    this.#waitsFor = (cause) => context.waitsFor(cause);
    this.#step = (step, atMs) => context.step(step, atMs);
  }

  prepare(): Promise<void> {
    return this.#working(async () => {
      const control = await connect(this.#settings, { applicationName: CONTROL_NAME });
      this.#control = control;
      await this.#guardian.open();
      this.#facts = await readServerFacts(control);
    });
  }

  pause(): Promise<void> {
    return this.#working(async () => {
      this.#frozen = null;
      await this.#makeUndo();
      await this.#requestPause(PAUSE_MINUTES * 60_000, this.#waitsFor);
    });
  }

  arm(): Promise<{ incarnation: string; viewing: Viewing }> {
    return this.#working(async () => {
      this.#frozen = null;
      const { incarnation } = await this.#makeUndo();
      this.#viewers = await readViewing(this.#connected(), this.#settings, this.known());
      return { incarnation, viewing: this.#viewers.viewing };
    });
  }

  disarm(): Promise<void> {
    return this.#working(async () => {
      if (this.#undo.current?.wasPaused === false) await this.#resume();
      await this.#undo.clear();
    });
  }

  freeze(_token: Token): ReturnType<Hold['freeze']> {
    return this.#working(async () => {
      this.#step('fence asked');
      const { incarnation, seen } = await this.#requestPause(FREEZE_MS, () => undefined);
      this.#step('fence answered');
      this.#step('fence closed');
      this.#frozen = new SenderWatch(this.#connected(), seen);
      const now = performance.now();
      return { incarnation, mark: null, fencedAt: now, markedAt: now };
    });
  }

  /** Durable before the pause that it takes back. What an earlier call of this attempt saw stands. */
  async #makeUndo(): Promise<ReplayState> {
    const replay = await this.#look();
    if (replay.state === 'promoted') throw promoted(this.#settings.name);
    if (this.#undo.current !== null) return replay;
    const { systemIdentifier } = this.known();
    const undo: ObserverUndo = {
      kind: 'observer',
      wasPaused: replay.state !== 'not paused',
      server: { systemIdentifier, startedAt: replay.startedAt, timeline: null },
    };
    this.#cancelled.signal.throwIfAborted();
    await this.#undo.save(undo);
    return replay;
  }

  async #requestPause(timeoutMs: number, waitsFor: (cause: string) => void): Promise<ReplayState> {
    const { signal } = this.#cancelled;
    const control = this.#connected();
    signal.throwIfAborted();
    await control.query('SELECT pg_wal_replay_pause()');
    const from = performance.now();
    let told = '';
    let seen = await this.#look();
    const isPaused = async (): Promise<boolean> => {
      if (!isHeld(seen)) seen = await this.#look();
      if (seen.state === 'promoted') throw promoted(this.#settings.name);
      if (isHeld(seen)) return true;
      if (performance.now() - from < TELL_AFTER_MS) return false;
      const cause = await whyNotPaused(control, seen);
      if (cause !== told) waitsFor(`replay does not pause yet: ${cause}`);
      told = cause;
      return false;
    };
    await waitUntil(`replay of ${this.#settings.name} to pause`, signal, isPaused, timeoutMs).catch(
      (error: unknown) => {
        signal.throwIfAborted();
        if (seen.state !== 'pause requested' || told === '') throw error;
        throw notPaused(this.#settings.name, timeoutMs / 60_000, told);
      },
    );
    return seen;
  }

  thaw(_token: Token, released: () => void): Promise<ThawProof> {
    return this.#working(async () => {
      const sinceMark = this.#frozen?.stop();
      this.#step('look asked');
      const replay = await this.#look();
      this.#step('look answered');
      const { state, incarnation, seen } = replay;
      const atArm = this.#viewers;
      const undo = this.#undo.current;
      this.#step('open asked');
      if (undo?.wasPaused === false) await this.#resume();
      this.#step('open answered');
      released();
      await this.#undo.clear();
      this.#frozen = null;
      if (sinceMark === undefined || undo === null || atArm === null)
        return { type: 'alreadyResumed', incarnation, cause: 'it was not frozen' };
      if (state === 'promoted')
        return { type: 'broken', incarnation, cause: 'it was promoted while it was frozen' };
      if (!isHeld(replay))
        return { type: 'broken', incarnation, cause: 'somebody resumed its replay while it was frozen' };
      const afterwards = await readViewing(this.#connected(), this.#settings, this.known());
      const viewing = viewingWhileHeld({ atArm, sinceMark, atThaw: seen, afterwards });
      return { type: 'held', incarnation, viewing };
    });
  }

  async release(): Promise<void> {
    this.#cancelled.abort(aborted());
    await this.#undo.perform(this.#guardian);
    await this.#close();
  }

  async #close(): Promise<void> {
    this.#frozen?.stop();
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

  async #look(): Promise<ReplayState> {
    const { rows } = await this.#connected().query<
      Look & { startedAt: string } & Pick<SeenSenders, 'senders' | 'writers'>
    >(`${LOOK}, ${LOOK_AT_SENDERS}`);
    const [row] = rows;
    if (row === undefined) throw new Error('the standby said nothing of itself');
    const { systemIdentifier } = this.known();
    const { state, waitsIn, startedAt, senders, writers } = row;
    return {
      state,
      waitsIn,
      startedAt,
      incarnation: incarnationOf({ startedAt, systemIdentifier }),
      // What a paused standby decodes is as old as what it shows.
      seen: { senders, writers, slots: [], decoded: [] },
    };
  }

  /** As of `prepare`. */
  known(): ServerFacts {
    if (this.#facts === null) throw outOfOrder('not prepared');
    return this.#facts;
  }

  #connected(): Client {
    if (this.#control === null) throw outOfOrder('not prepared');
    return this.#control;
  }

  #working<T>(work: () => Promise<T>): Promise<T> {
    const { signal } = this.#cancelled;
    return contractCall({ settings: this.#settings, signal, close: () => this.#close() }, work);
  }
}

function promoted(member: string): StillpointError {
  return new StillpointError({
    code: 'standby-promoted',
    message: `${member} was a hot standby when the checkpoint began, and is a primary now`,
    hint: 'see with stillpoint grid status that its copyset has one primary, and run it again',
    isFinal: true,
  });
}
