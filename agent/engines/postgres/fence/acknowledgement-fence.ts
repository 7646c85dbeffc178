import type { Client } from 'pg';
import { Acknowledger, fenceLost, STANDBY_NAME } from './acknowledger.ts';
import { Canary } from './canary.ts';
import { processIdOf } from '../server/connection.ts';
import type { Fence, FenceContext, LastAcknowledgement } from './fence.ts';
import { formatLsn } from '../journal/lsn.ts';
import { endStanding, STANDING_TIMEOUT_MS } from './standing.ts';
import { standbysHaveTakenUp } from './standby-priorities.ts';
import {
  restoreStandbyNames,
  setStandbyNames,
  standbyNamesInForce,
  whenCheckpointerListens,
} from './standby-setting.ts';
import { raiseServerPriority } from '../server/server-priority.ts';
import { mentionsStandby, parseStandbyNames } from './standby-names.ts';
import { settledInTime, waitUntil } from '../server/wait-until.ts';

/** A commit of our own is held this long at most to see that it waits: clients' commits wait with it. */
const PROOF_MS = 50;
const LISTEN_MS = 5000;

/** We are a synchronous standby, and stop acknowledging. */
export class AcknowledgementFence implements Fence {
  readonly #context: FenceContext;
  readonly #names: string;
  /**
   * The owner's list takes a standby of any name, so ours would count as one of the owner's where ours is not
   * asked for besides. It connects only after the list was changed, and goes before it is changed back.
   */
  readonly #countsAnyway: boolean;
  /** The owner's list asks for us by name: it is not changed. */
  readonly #standing: boolean;
  #acknowledger: Acknowledger | null;
  #canary: Canary | null = null;
  #restorePriority: () => void = () => undefined;

  constructor(context: FenceContext, names: string) {
    this.#context = context;
    this.#names = names;
    this.#standing = context.undo.standing === true;
    this.#countsAnyway = !this.#standing && mentionsStandby(context.undo.original, STANDBY_NAME);
    // The thread takes a while to start, and nobody should wait for that.
    this.#acknowledger = this.#begin();
  }

  async arm(): Promise<void> {
    const { settings, control, signal } = this.#context;
    if (this.#acknowledger === null || this.#acknowledger.lost !== null) {
      await this.#dropAcknowledger();
      // An abort meanwhile has dropped what there was, and would not see a thread that begins now.
      signal.throwIfAborted();
      this.#acknowledger = this.#begin();
    }
    const acknowledger = this.#acknowledger;
    this.#canary ??= await Canary.open(settings, signal);
    if (!this.#countsAnyway && acknowledger.processId === 0) await acknowledger.connect();
    // An answer shows that the thread is up: from the change of the list until it connects commits wait.
    if (this.#countsAnyway) await acknowledger.thaw();
    else await this.#raisePriority(acknowledger);
    if (!this.#standing) await whenCheckpointerListens(control, signal, LISTEN_MS);
    signal.throwIfAborted();
    if (!this.#standing) await setStandbyNames(control, this.#names);
    if (this.#countsAnyway) {
      await acknowledger.connect();
      await this.#raisePriority(acknowledger);
    }
    await waitUntil('the server to take us for a synchronous standby', signal, () => {
      // A commit that began to wait before that is let go by the next word of ours after it.
      acknowledger.release();
      return this.#isSynchronous();
    });
    await waitUntil('commits to wait for us', signal, () => this.#commitWaits());
  }

  // oxlint-disable-next-line require-await -- what it throws is a rejection, as the contract says
  async close(): Promise<LastAcknowledgement> {
    const acknowledger = this.#present();
    return { position: formatLsn(acknowledger.freeze()), processId: acknowledger.processId };
  }

  async open(): Promise<void> {
    const { control, signal, step } = this.#context;
    const acknowledger = this.#present();
    step('open ordered');
    const thawed = await acknowledger.thaw();
    step('acknowledged', thawed.atMs);
    const position = formatLsn(thawed.position);
    await waitUntil('the thaw to be processed', signal, async () => {
      step('open asked');
      const isReleased = await hasAcknowledged(control, position, acknowledger.processId);
      step('open answered');
      this.#mustStream();
      return isReleased;
    });
  }

  release(): void {
    // Where the acknowledger counts in the owner's own list too, its word would go on to release commits that the owner's
    // standbys have not confirmed, once our list is gone. So it is dropped here, and the undo that follows releases them.
    if (this.#countsAnyway) void this.#dropAcknowledger();
    else this.#acknowledger?.release();
  }

  async disarm(): Promise<void> {
    const { control, undo, signal } = this.#context;
    this.#restorePriority();
    if (this.#standing) {
      await this.#dropAcknowledger();
      return endStanding(control);
    }
    // It is open already; disarming late costs less than never, and an abort does not wait.
    await whenCheckpointerListens(control, signal, LISTEN_MS).catch(() => signal.throwIfAborted());
    if (this.#countsAnyway) await this.#dropAcknowledger();
    await restoreStandbyNames(control, undo);
    // With standbys of its own the server waits for them; whether they answer is not ours to judge.
    const hasOwnStandbys = parseStandbyNames(await standbyNamesInForce(control)).method !== 'none';
    if (!hasOwnStandbys && this.#canary !== null)
      await settledInTime('commits not to wait any more', this.#canary.commit());
  }

  broken(): string | null {
    return this.#acknowledger === null ? 'it was not armed' : this.#acknowledger.lost;
  }

  async drop(): Promise<void> {
    this.#canary?.close();
    this.#canary = null;
    await this.#dropAcknowledger();
  }

  #begin(): Acknowledger {
    const { settings, lost } = this.#context;
    return new Acknowledger(settings, lost, this.#standing ? { timeoutMs: STANDING_TIMEOUT_MS } : {});
  }

  async #dropAcknowledger(): Promise<void> {
    const acknowledger = this.#acknowledger;
    this.#restorePriority();
    this.#acknowledger = null;
    await acknowledger?.stop();
  }

  async #raisePriority(acknowledger: Acknowledger): Promise<void> {
    const { settings, control } = this.#context;
    this.#restorePriority();
    this.#restorePriority = await raiseServerPriority(settings.data, [
      processIdOf(control),
      acknowledger.processId,
    ]);
  }

  async #isSynchronous(): Promise<boolean> {
    this.#mustStream();
    return standbysHaveTakenUp(this.#context.control, this.#names, this.#present().processId);
  }

  /**
   * The setting reaches the server's processes one by one, and its checkpointer, which makes commits wait,
   * may be the last. A commit of our own shows that it has it: it must wait while we are silent. The
   * rehearsal also warms every statement of the freeze.
   */
  async #commitWaits(): Promise<boolean> {
    const acknowledger = this.#present();
    const canary = this.#canary;
    if (canary === null) throw fenceLost('it was dropped');
    let returned = false;
    let waits = false;
    let commit: Promise<void> = Promise.resolve();
    try {
      await this.close();
      const until = performance.now() + PROOF_MS;
      commit = canary.commit().finally(() => {
        returned = true;
      });
      commit.catch(() => undefined);
      while (!returned && !waits && performance.now() < until)
        waits = await canary.isWaiting(this.#context.control);
    } finally {
      acknowledger.release();
    }
    await this.open();
    await settledInTime('a commit of our own to return', commit);
    return waits;
  }

  #mustStream(): void {
    const cause = this.broken();
    if (cause !== null) throw fenceLost(cause);
  }

  #present(): Acknowledger {
    if (this.#acknowledger !== null) return this.#acknowledger;
    throw fenceLost('it is not armed');
  }
}

/** Whether the server knows that all up to this position was acknowledged by the standby of this walsender. */
export async function hasAcknowledged(
  control: Client,
  position: string,
  processId: number,
): Promise<boolean> {
  const { rows } = await control.query<{ released: boolean }>({
    name: 'stillpoint_released',
    text: 'SELECT flush_lsn >= $1::pg_lsn AS released FROM pg_stat_get_wal_senders() WHERE pid = $2',
    values: [position, processId],
  });
  return rows[0]?.released ?? false;
}
