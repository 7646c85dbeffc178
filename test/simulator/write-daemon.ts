import type { Attempted } from './attempted.ts';
import type { World } from './world.ts';
import type { Effect } from './written.ts';

/** One time in which no database file was to change, as it really was. */
export interface Suspended {
  readonly operation: string;
  readonly since: number;
  /** From then on updates may have to wait until it is over. */
  readonly updatesWaitFrom: number;
  /** Null while it lasts. */
  until: number | null;
  by: Attempted['openedBy'] | 'collect' | 'itself' | null;
}

/**
 * What writes a member's database files: all that is in its log, at once, or nothing while it is suspended. Then what is
 * logged stays in memory, which is bounded: when that is full updates wait, and nothing is written to make room.
 */
export class WriteDaemon {
  readonly history: Suspended[] = [];
  /** What is in the database files, as far into the log as they go. */
  readonly files: Effect[] = [];
  /** When database files changed. */
  readonly changes: number[] = [];
  /** So many updates have room in memory; null: as many as come. */
  readonly room: number | null;
  readonly #world: World;
  readonly #member: number;
  readonly #resumed: () => void;
  #memory: Effect[] = [];

  /** `resumed`: whoever waits for it may go on. */
  constructor(world: World, member: number, resumed: () => void) {
    this.room = world.scenario.hold?.room ?? null;
    this.#world = world;
    this.#member = member;
    this.#resumed = resumed;
  }

  /** Null while it writes. */
  get suspended(): Suspended | null {
    const last = this.history.at(-1);
    return last?.until === null ? last : null;
  }

  /** Updates wait until the suspension is over: memory is full, or they were to go on for so long only. */
  get updatesWait(): boolean {
    const { suspended } = this;
    if (suspended === null) return false;
    const isFull = this.room !== null && this.#memory.length >= this.room;
    return isFull || this.#world.now >= suspended.updatesWaitFrom;
  }

  /** What has just been logged. */
  take(effect: Effect): void {
    this.#memory.push(effect);
    if (this.suspended === null) this.#write();
  }

  suspend(operation: string, updatesWaitAfterMs: number): void {
    if (this.suspended?.operation === operation) return;
    this.resume('itself');
    const { now } = this.#world;
    const updatesWaitFrom = now + updatesWaitAfterMs * 1000;
    this.history.push({ operation, since: now, updatesWaitFrom, until: null, by: null });
    this.#world.note(`engine ${this.#member}`, 7, this.files.length, () => 'its write daemon waits');
  }

  /** Whoever does it. Nothing where it writes already. */
  resume(by: NonNullable<Suspended['by']>): void {
    if (!this.#ends(by)) return;
    this.#write();
    this.#resumed();
  }

  /** It is gone with its process, and all that was in memory with it. */
  crashed(): void {
    this.#ends('crash');
    this.#memory = [];
  }

  /** A start takes from the log what its files do not have. */
  started(log: readonly Effect[]): void {
    this.#memory = log.slice(this.files.length);
    this.#write();
  }

  #ends(by: NonNullable<Suspended['by']>): boolean {
    const { suspended } = this;
    if (suspended === null) return false;
    this.#world.checks.resuming(this.#member, suspended);
    suspended.until = this.#world.now;
    suspended.by = by;
    const held = this.#memory.length;
    this.#world.note(`engine ${this.#member}`, 8, held, () => `its write daemon goes on, by ${by}`);
    return true;
  }

  #write(): void {
    if (this.#memory.length === 0) return;
    this.files.push(...this.#memory);
    this.#memory = [];
    this.changes.push(this.#world.now);
  }
}
