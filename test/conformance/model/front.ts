import { setTimeout as pause } from 'node:timers/promises';
import type { HasFault } from './faults.ts';

const LATE_MS = 60;
/** Of each writer when the process rests, counted from when a reader has looked. */
const ANSWERS_LATE_MS = [40, 60, 75] as const;
/** Of a writer for whom it does not come to rest. */
const ANSWERS_AT_LAST_MS = 40;
const LOGS_MS = 25;
const POLL_MS = 3;

/** What clients read and write. */
export interface Rows {
  readonly rows: Set<number>;
  add(row: number): void;
  appendLine(line: string): void;
}

/** Who has lost its connection. */
export class Disconnected extends Error {}

export interface FrontState {
  isAtRest(): boolean;
  isInMaintenance(): boolean;
  isSuspended(): boolean;
  /** Updates wait, for it is suspended for longer than they were to go on. */
  updatesWait(): boolean;
}

/** Where clients come in: in front of all that acknowledges, shows or logs, there is a gate. */
export class Front {
  allowReads = true;
  scans = 0;
  lastWrite = 0;
  readonly #store: Rows;
  readonly #state: FrontState;
  readonly #has: HasFault;
  readonly #waiting: (() => void)[] = [];
  readonly #waitingRows: number[] = [];
  #isStuck = false;
  #isDropping = false;
  #wasInMaintenance = false;
  #unanswered = 0;
  /** Resolves when a reader looks while it rests; a new one for each rest. */
  #readAtRest = Promise.withResolvers<void>();

  constructor(store: Rows, state: FrontState, has: HasFault) {
    this.#store = store;
    this.#state = state;
    this.#has = has;
  }

  /** What cannot come to rest now. */
  get activities(): string[] {
    if (this.#has('never-rests')) return ['a scan'];
    if (this.#has('never-rests-and-does-not-say-what-does-not')) return [''];
    if (this.#has('clients-keep-it-from-resting') && performance.now() - this.lastWrite < 200)
      return ['a write'];
    // Its clients write in step: between two answers there would be nobody to answer late.
    if (this.#has('acknowledges-late') && this.#unanswered === 0) return ['a write'];
    return this.scans > 0 ? ['a scan'] : [];
  }

  /** It goes on. */
  open(by: 'Release' | 'other'): void {
    const isReleased = by === 'Release';
    // Nobody has read at the next rest; whoever still waits for a reader of this one need not.
    this.#readAtRest.resolve();
    this.#readAtRest = Promise.withResolvers();
    if (isReleased && this.#has('lets-nobody-in-after-Release')) this.#isStuck = true;
    if (isReleased && this.#has('forgets-who-waits-at-Release')) return;
    this.#isDropping = isReleased && this.#has('disconnects-who-waits-at-Release');
    this.#waitingRows.length = 0;
    if (this.#has('lets-nobody-in-after-a-rest')) this.#isStuck = true;
    if (this.#has('lets-nobody-in-after-a-rest') || this.#has('forgets-who-waits')) return;
    for (const go of this.#waiting.splice(0)) go();
  }

  async write(row: number): Promise<string> {
    const has = this.#has;
    this.lastWrite = performance.now();
    if (this.#atRest() && has('refuses-in-the-freeze')) return `refused ${row}`;
    if (this.#atRest() && has('refuses-one-of-many-in-the-freeze') && isOfLast(row)) return `refused ${row}`;
    if (this.#atRest() && has('disconnects-who-waits')) throw new Disconnected('connection closed');
    if (this.#atRest() && has('disconnects-one-of-many') && isOfLast(row))
      throw new Disconnected('connection closed');
    if (this.#atRest()) this.#waitingRows.push(row);
    if (this.#atRest() && has('logs-and-shows-and-holds-back-the-answer')) {
      setTimeout(() => this.#store.add(row), LOGS_MS).unref();
      await this.#rest();
      return `written ${row}`;
    }
    if (this.#atRest() && has('logs-what-waits'))
      setTimeout(() => this.#store.appendLine(`# ${row}`), LOGS_MS).unref();
    const leaks =
      has('acknowledges-in-the-freeze') ||
      (has('acknowledges-to-one-of-many-in-the-freeze') && isOfLast(row));
    if (this.#atRest() && leaks) {
      void this.#rest().then(() => this.#store.add(row));
      return `written ${row}`;
    }
    if (this.#atRest() && has('waits-on-a-short-clock')) await Promise.race([this.#rest(), pause(LATE_MS)]);
    else await this.#rest();
    if (this.#state.isSuspended() && has('refuses-while-suspended')) return `refused ${row}`;
    if (this.#state.updatesWait() && has('refuses-updates-where-a-time-is-given')) return `refused ${row}`;
    this.#isStuck ||= this.#state.updatesWait() && has('forgets-who-waits-since-the-time-was-over');
    while (this.#state.updatesWait()) await pause(POLL_MS);
    if (has('stops-clients-while-suspended')) while (this.#state.isSuspended()) await pause(POLL_MS);
    if (has('stops-one-of-many-while-suspended') && isOfLast(row))
      while (this.#state.isSuspended()) await pause(POLL_MS);
    this.#wasInMaintenance ||= this.#state.isInMaintenance();
    if (has('lets-nobody-write-after-maintenance') && this.#wasInMaintenance) this.#isStuck = true;
    if (has('refuses-after-maintenance') && this.#wasInMaintenance) return `refused ${row}`;
    return await this.#written(row);
  }

  async #written(row: number): Promise<string> {
    const has = this.#has;
    const isRefused = this.#state.isInMaintenance();
    if (isRefused && has('waits-in-maintenance')) while (this.#state.isInMaintenance()) await pause(POLL_MS);
    if (isRefused && has('takes-writes-in-maintenance')) {
      this.#store.add(row);
      return `written ${row}`;
    }
    if (isRefused && !has('writes-in-maintenance') && !has('waits-in-maintenance')) return `refused ${row}`;
    this.#store.add(row);
    if (isRefused && has('writes-in-maintenance')) return `refused ${row}`;
    if (has('acknowledges-late')) await this.#answersLate(Math.floor(row / 1_000_000));
    return `written ${row}`;
  }

  async read(): Promise<number[]> {
    const has = this.#has;
    const isAtRest = this.#atRest();
    if (isAtRest) this.#readAtRest.resolve();
    if (isAtRest && this.allowReads && has('refuses-reads-at-rest'))
      throw new Disconnected('refused: at rest');
    if (isAtRest && this.allowReads && has('reads-wait-at-rest')) await this.#rest();
    if (isAtRest && !this.allowReads && has('refuses-reads-that-should-wait'))
      throw new Disconnected('refused: at rest');
    if (this.#state.isInMaintenance() && has('refuses-reads-in-maintenance'))
      throw new Disconnected('refused: in maintenance');
    if (has('reads-wait-in-maintenance')) while (this.#state.isInMaintenance()) await pause(POLL_MS);
    if (this.#state.isInMaintenance() && has('shows-nothing-in-maintenance')) return [];
    if (!this.allowReads && !has('answers-reads-that-should-wait')) {
      if (has('lets-reads-wait-for-a-while')) await Promise.race([this.#rest(), pause(LATE_MS)]);
      else await this.#rest();
    }
    const rows = [...this.#store.rows];
    if (isAtRest && has('shows-less-at-rest')) return rows.slice(0, -5);
    if (isAtRest && has('shows-nothing-at-rest')) return [];
    if (isAtRest && has('forgets-while-it-rests')) this.#store.rows.delete(rows.at(-1) ?? 0);
    if (isAtRest && has('shows-what-waits')) void this.#showWhatWaits();
    return rows;
  }

  /** Whoever comes to wait in this rest is seen by the next reader. */
  async #showWhatWaits(): Promise<void> {
    while (this.#atRest()) {
      for (const row of this.#waitingRows.splice(0)) this.#store.rows.add(row);
      await pause(POLL_MS);
    }
  }

  /** Answers a while after a reader has looked at rest; each writer after another while. */
  async #answersLate(writer: number): Promise<void> {
    this.#unanswered += 1;
    const until = performance.now() + ANSWERS_AT_LAST_MS;
    while (!this.#atRest() && performance.now() < until) await pause(POLL_MS);
    this.#unanswered -= 1;
    if (!this.#atRest()) return;
    // By no clock of its own: a rest may be looked at as late as the machine likes.
    await this.#readAtRest.promise;
    await pause(ANSWERS_LATE_MS[writer % ANSWERS_LATE_MS.length]);
  }

  #atRest(): boolean {
    return this.#state.isAtRest();
  }

  async #rest(): Promise<void> {
    while (this.#atRest() || this.#isStuck) {
      await new Promise<void>((go) => this.#waiting.push(go));
      if (this.#isDropping) throw new Disconnected('connection closed');
    }
  }
}

/** Rows of the last of several writers are numbered from millions on. */
function isOfLast(row: number): boolean {
  return row >= 2_000_000;
}
