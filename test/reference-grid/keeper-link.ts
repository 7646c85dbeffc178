import type { CopysetState, Heartbeat, HeartbeatAnswer, KeeperCalls, KeeperState } from './calls.ts';
import { compareStates } from './keeper-rules.ts';
import { answerOf, every, type Repetition } from './every.ts';
import { GridError, Remotes } from './rpc.ts';

export const BEAT_MS = 250;

/**
 * How nodes and proxies stand with the keepers: they tell all of them that they live, and learn the newest state that
 * is effective. What nobody confirmed for the time after which a primary may have been replaced is not relied on.
 */
export class KeeperLink {
  readonly #keepers: () => readonly string[];
  readonly #heartbeat: () => Heartbeat;
  readonly #timeoutMs: number;
  readonly #changed: () => void;
  readonly #remotes = new Remotes<KeeperCalls>();
  #state: KeeperState | undefined;
  #undecided: readonly string[] = [];
  #confirmedAt = -Infinity;
  #beating: Repetition | undefined;

  constructor(
    keepers: () => readonly string[],
    heartbeat: () => Heartbeat,
    timeoutMs: number,
    changed: () => void,
  ) {
    this.#keepers = keepers;
    this.#heartbeat = heartbeat;
    this.#timeoutMs = timeoutMs;
    this.#changed = changed;
  }

  begin(): void {
    this.#beating = every(
      () => BEAT_MS,
      () => this.#beat(),
    );
  }

  /** Tells the keepers at once. */
  now(): void {
    this.#beating?.now();
  }

  async end(): Promise<void> {
    await this.#beating?.stop();
  }

  get state(): KeeperState | undefined {
    return this.#state;
  }

  get undecided(): readonly string[] {
    return this.#undecided;
  }

  get reached(): boolean {
    return performance.now() - this.#confirmedAt < this.#timeoutMs;
  }

  copyset(name: string): CopysetState | undefined {
    return this.#state?.copysets[name];
  }

  /** Throws where nothing may be done on the grid now. */
  mustGovern(): void {
    if (this.#undecided.length > 0) {
      const names = this.#undecided.join(', ');
      throw new GridError('copyset-undecided', `copyset ${names} changed while no quorum of keepers ran`);
    }
    if (!this.reached) throw new GridError('no-keeper', 'no keeper is reached');
  }

  async #beat(): Promise<void> {
    const sentAt = performance.now();
    const heartbeat = this.#heartbeat();
    let missing = this.#keepers().length;
    const undecided: string[] = [];
    const first = Promise.withResolvers<void>();
    for (const address of this.#keepers()) {
      void answerOf(this.#remotes.to(address).call('heartbeat', heartbeat), this.#timeoutMs / 2).then(
        (answer) => {
          if (answer !== undefined) this.#hear(answer, sentAt, undecided);
          missing -= 1;
          if (missing === 0) first.resolve();
        },
      );
    }
    if (missing > 0) await first.promise;
    if (undecided.join() === this.#undecided.join()) return;
    this.#undecided = undecided;
    this.#changed();
  }

  #hear({ state, undecided }: HeartbeatAnswer, sentAt: number, all: string[]): void {
    all.push(...undecided);
    if (state === undefined) return;
    const newer = compareStates(state, this.#state);
    if (newer < 0) return;
    this.#confirmedAt = Math.max(this.#confirmedAt, sentAt);
    if (newer === 0) return;
    this.#state = state;
    this.#changed();
  }
}
