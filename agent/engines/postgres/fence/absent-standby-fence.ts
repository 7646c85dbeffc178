import { Canary } from './canary.ts';
import { fenceLost } from './acknowledger.ts';
import type { Fence, FenceContext } from './fence.ts';
import { standbysHaveTakenUp } from './standby-priorities.ts';
import { restoreStandbyNames, setStandbyNames, whenCheckpointerListens } from './standby-setting.ts';
import { settledInTime, waitUntil } from '../server/wait-until.ts';

const LISTEN_MS = 5000;

/**
 * For quorum lists, which others could satisfy without us: the server is told to wait for a standby that does
 * not exist. Slower to close and open, because a reload stands before each.
 */
export class AbsentStandbyFence implements Fence {
  readonly #context: FenceContext;
  readonly #names: string;
  #canary: Canary | null = null;
  #waiting: Promise<void> | null = null;

  constructor(context: FenceContext, names: string) {
    this.#context = context;
    this.#names = names;
  }

  async arm(): Promise<void> {
    const { settings, control, signal } = this.#context;
    this.#canary ??= await Canary.open(settings, signal);
    await whenCheckpointerListens(control, signal, LISTEN_MS);
    signal.throwIfAborted();
  }

  async close(): Promise<null> {
    const { control, signal, step } = this.#context;
    const canary = this.#canary;
    if (canary === null) throw fenceLost('it is not armed');
    step('fence asked');
    await setStandbyNames(control, this.#names);
    // A sender that still has the owner's list would let commits go; a commit begun after the last of them
    // has ours can only wait for the standby that does not exist.
    await waitUntil('the server to drop its own standbys from the list', signal, () =>
      standbysHaveTakenUp(control, this.#names, null),
    );
    await waitUntil('commits to wait', signal, async () => {
      let returned = false;
      const commit = canary.commit().finally(() => {
        returned = true;
      });
      commit.catch(() => undefined);
      while (!returned) {
        signal.throwIfAborted();
        if (!(await canary.isWaiting(control))) continue;
        this.#waiting = commit;
        return true;
      }
      return false;
    });
    step('fence answered');
    return null;
  }

  async open(): Promise<void> {
    const { control, undo, step } = this.#context;
    step('open asked');
    await restoreStandbyNames(control, undo);
    if (this.#waiting !== null) await settledInTime('commits to be released', this.#waiting);
    step('open answered');
    this.#waiting = null;
  }

  /** Only a change of the setting opens this fence: the undo is what lets go. */
  release(): void {
    this.#waiting?.catch(() => undefined);
  }

  async disarm(): Promise<void> {
    await restoreStandbyNames(this.#context.control, this.#context.undo);
  }

  broken(): string | null {
    return this.#canary === null ? 'it was not armed' : null;
  }

  drop(): Promise<void> {
    this.#canary?.close();
    this.#canary = null;
    this.#waiting = null;
    return Promise.resolve();
  }
}
