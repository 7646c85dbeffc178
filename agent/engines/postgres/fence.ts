import type { Client } from 'pg';
import { StillpointError } from '../../../shared/domain/errors.ts';
import { Acknowledger, STANDBY_NAME } from './acknowledger.ts';
import { Canary } from './canary.ts';
import type { ConnectionSettings } from './connection.ts';
import { formatLsn } from './lsn.ts';
import { restoreStandbyNames, setStandbyNames, type PrimaryUndo } from './standby-setting.ts';
import { takesAnyStandby, withStandby } from './standby-names.ts';

/**
 * How commits are held back. Armed, the server is one message away from holding every commit; closed, commits
 * are written to the journal, but neither visible nor acknowledged; opened, all that wait return at once.
 */
export interface Fence {
  arm(): Promise<void>;
  /** Resolves when the fence holds. */
  close(): Promise<void>;
  /** Resolves when what waited is released. */
  open(): Promise<void>;
  /** Puts the owner's setting back. */
  disarm(): Promise<void>;
  /** Why it cannot have held without a break; null when nothing speaks against it. */
  broken(): string | null;
  /** Ends threads and connections, whatever the state. The setting is not touched. */
  drop(): Promise<void>;
}

const HOLD_TIMEOUT_MS = 5000;

/** What we put in the setting's place; null: the list is a quorum, and the variant must be used. */
export function armedNames(original: string): string | null {
  return withStandby(original, STANDBY_NAME);
}

/** A standby that does not exist, for the variant. */
export const ABSENT_STANDBY = 'stillpoint_absent';

export function createFence(settings: ConnectionSettings, control: Client, undo: PrimaryUndo): Fence {
  const names = armedNames(undo.original);
  return names === null
    ? new AbsentStandbyFence(settings, control, undo)
    : new AcknowledgementFence(settings, control, undo, names);
}

/** We are a synchronous standby, and stop acknowledging. */
class AcknowledgementFence implements Fence {
  readonly #settings: ConnectionSettings;
  readonly #control: Client;
  readonly #undo: PrimaryUndo;
  readonly #names: string;
  /** With `*` in the owner's list our standby would count outside of the fence too. */
  readonly #connectLate: boolean;
  #acknowledger: Acknowledger | null = null;
  #canary: Canary | null = null;
  #dropped = false;

  constructor(settings: ConnectionSettings, control: Client, undo: PrimaryUndo, names: string) {
    this.#settings = settings;
    this.#control = control;
    this.#undo = undo;
    this.#names = names;
    this.#connectLate = takesAnyStandby(undo.original);
  }

  async arm(): Promise<void> {
    this.#canary ??= this.#kept(await Canary.open(this.#settings), (canary) => canary.close());
    if (this.#acknowledger !== null && this.#acknowledger.lost !== null) this.#acknowledger = null;
    if (!this.#connectLate) await this.#connect();
    await setStandbyNames(this.#control, this.#names);
    await this.#connect();
    await waitUntil('the server to take us for a synchronous standby', () => this.#isSynchronous());
    await this.#proveThatCommitsWait();
  }

  async #connect(): Promise<void> {
    this.#acknowledger ??= this.#kept(
      await Acknowledger.start(this.#settings),
      (acknowledger) => void acknowledger.stop(),
    );
  }

  /** What was opened while an abort came must not outlive it. */
  #kept<T>(opened: T, close: (opened: T) => void): T {
    if (!this.#dropped) return opened;
    close(opened);
    throw dropped();
  }

  async close(): Promise<void> {
    const position = formatLsn(await this.#present().freeze());
    await waitUntil('the last acknowledgement to be processed', async () => {
      const { rows } = await this.#control.query<{ holds: boolean }>({
        name: 'stillpoint_holds',
        text: 'SELECT flush_lsn = $1::pg_lsn AS holds FROM pg_stat_replication WHERE pid = $2',
        values: [position, this.#present().processId],
      });
      return rows[0]?.holds ?? false;
    });
  }

  async open(): Promise<void> {
    const position = formatLsn(await this.#present().thaw());
    await waitUntil('the thaw to be processed', async () => {
      const { rows } = await this.#control.query<{ released: boolean }>({
        name: 'stillpoint_released',
        text: 'SELECT flush_lsn >= $1::pg_lsn AS released FROM pg_stat_replication WHERE pid = $2',
        values: [position, this.#present().processId],
      });
      return rows[0]?.released ?? false;
    });
  }

  async disarm(): Promise<void> {
    if (this.#connectLate) await this.#dropAcknowledger();
    await restoreStandbyNames(this.#control, this.#undo);
  }

  broken(): string | null {
    return this.#acknowledger === null ? 'it was not armed' : this.#acknowledger.lost;
  }

  async drop(): Promise<void> {
    this.#dropped = true;
    this.#canary?.close();
    this.#canary = null;
    await this.#dropAcknowledger();
  }

  async #dropAcknowledger(): Promise<void> {
    const acknowledger = this.#acknowledger;
    this.#acknowledger = null;
    await acknowledger?.stop();
  }

  async #isSynchronous(): Promise<boolean> {
    const { rows } = await this.#control.query<{ sync_state: string }>(
      'SELECT sync_state FROM pg_stat_replication WHERE pid = $1',
      [this.#present().processId],
    );
    return rows[0]?.sync_state === 'sync';
  }

  /**
   * The setting reaches the server's processes one by one. A commit of our own shows that the last of them
   * has it: it must wait while we are silent. The rehearsal also warms every statement of the freeze.
   */
  async #proveThatCommitsWait(): Promise<void> {
    const canary = this.#canary;
    if (canary === null) return;
    await waitUntil('commits to wait for us', async () => {
      let returned = false;
      await this.close();
      const commit = canary.commit().finally(() => {
        returned = true;
      });
      commit.catch(() => undefined);
      let waits = false;
      while (!returned && !waits) waits = await canary.isWaiting(this.#control);
      await this.open();
      await commit;
      return waits;
    });
  }

  #present(): Acknowledger {
    if (this.#acknowledger !== null) return this.#acknowledger;
    throw new StillpointError({
      code: 'fence-lost',
      message: 'the fence is not armed',
      hint: 'create the checkpoint again',
    });
  }
}

/**
 * For quorum lists: the server is told to wait for a standby that does not exist. Slower to close and open,
 * because a reload stands before each.
 */
class AbsentStandbyFence implements Fence {
  readonly #settings: ConnectionSettings;
  readonly #control: Client;
  readonly #undo: PrimaryUndo;
  #canary: Canary | null = null;
  #waiting: Promise<void> | null = null;
  #dropped = false;

  constructor(settings: ConnectionSettings, control: Client, undo: PrimaryUndo) {
    this.#settings = settings;
    this.#control = control;
    this.#undo = undo;
  }

  async arm(): Promise<void> {
    const canary = (this.#canary ??= await Canary.open(this.#settings));
    if (!this.#dropped) return;
    canary.close();
    throw dropped();
  }

  async close(): Promise<void> {
    const canary = this.#canary;
    if (canary === null) throw new Error('close before arm');
    await setStandbyNames(this.#control, `FIRST 1 (${ABSENT_STANDBY})`);
    await waitUntil('commits to wait', async () => {
      let returned = false;
      const commit = canary.commit().finally(() => {
        returned = true;
      });
      commit.catch(() => undefined);
      while (!returned) {
        if (!(await canary.isWaiting(this.#control))) continue;
        this.#waiting = commit;
        return true;
      }
      return false;
    });
  }

  async open(): Promise<void> {
    await restoreStandbyNames(this.#control, this.#undo);
    await this.#waiting;
    this.#waiting = null;
  }

  async disarm(): Promise<void> {
    await restoreStandbyNames(this.#control, this.#undo);
  }

  broken(): string | null {
    return this.#canary === null ? 'it was not armed' : null;
  }

  async drop(): Promise<void> {
    this.#dropped = true;
    this.#canary?.close();
    this.#canary = null;
    this.#waiting?.catch(() => undefined);
  }
}

function dropped(): StillpointError {
  return new StillpointError({
    code: 'aborted',
    message: 'the checkpoint was aborted',
    hint: 'see its first failure',
  });
}

/** Asks the server again and again; each question is a round trip, so there is no need to sleep long. */
async function waitUntil(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  const until = performance.now() + HOLD_TIMEOUT_MS;
  for (let asked = 0; ; asked += 1) {
    if (await isTrue()) return;
    if (performance.now() > until) {
      throw new StillpointError({
        code: 'fence-not-reached',
        message: `waited ${HOLD_TIMEOUT_MS} ms in vain for ${what}`,
        hint: "look at the server's load, its log, and whether its walsender was ended",
      });
    }
    // The first answers come within a fraction of a millisecond; after that something else is slow.
    if (asked > 20) await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
