import type { Attempted } from './attempted.ts';
import type { World } from './world.ts';

/** One time in which no database file was to change, as it really was. */
export interface Suspended {
  readonly operation: string;
  readonly since: number;
  /** Null while it lasts. */
  until: number | null;
  by: Attempted['openedBy'] | 'collect' | 'itself' | null;
}

/** What writes a member's database files: all that is in its log, at once, or nothing while it is suspended. */
export class WriteDaemon {
  readonly history: Suspended[] = [];
  /** So much of the log is in the database files. */
  inFiles = 0;
  /** When database files changed. */
  readonly changes: number[] = [];
  readonly #world: World;
  readonly #member: number;
  #logged = 0;

  constructor(world: World, member: number) {
    this.#world = world;
    this.#member = member;
  }

  /** Null while it writes. */
  get suspended(): Suspended | null {
    const last = this.history.at(-1);
    return last?.until === null ? last : null;
  }

  /** The log has grown to this. */
  logged(length: number): void {
    this.#logged = length;
    if (this.suspended === null) this.#write();
  }

  suspend(operation: string): void {
    if (this.suspended?.operation === operation) return;
    this.resume('itself');
    this.history.push({ operation, since: this.#world.now, until: null, by: null });
    this.#world.note(`engine ${this.#member}`, 7, this.inFiles, () => 'its write daemon waits');
  }

  /** Whoever does it. Nothing where it writes already. */
  resume(by: NonNullable<Suspended['by']>): void {
    const { suspended } = this;
    if (suspended === null) return;
    this.#world.checks.resuming(this.#member, suspended);
    suspended.until = this.#world.now;
    suspended.by = by;
    this.#world.note(`engine ${this.#member}`, 8, this.#logged, () => `its write daemon goes on, by ${by}`);
    this.#write();
  }

  #write(): void {
    if (this.inFiles === this.#logged) return;
    this.inFiles = this.#logged;
    this.changes.push(this.#world.now);
  }
}
