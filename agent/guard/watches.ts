import type { Alarm, Clock } from '../../shared/runtime/clock.ts';
import type { Logger } from '../../shared/runtime/log.ts';
import type { Guardian } from '../engines/engine.ts';
import type { FromGuard, ToGuard } from './messages.ts';
import { Watch } from './watch.ts';

const LOOKS_EVERY_MS = 200;

export interface WatchesInput {
  readonly clock: Clock;
  readonly log: Pick<Logger, 'warn' | 'error'>;
  /** Opens the guard's own way to a member. */
  openGuardian(member: string): Promise<Guardian>;
  /** Whether what is watched is still to be undone, or another has done it. */
  isLeft(member: string): Promise<boolean>;
  say(message: FromGuard): void;
}

/** All that one guard watches: hears its agent, and undoes when the agent says nothing for too long, or is gone. */
export class Watches {
  readonly #input: WatchesInput;
  readonly #watches = new Map<string, Watch>();
  /** The last word on each member: what it takes back is not watched, however late its way to the member opens. */
  readonly #asked = new Map<string, ToGuard>();
  readonly #looks: Alarm;

  constructor(input: WatchesInput) {
    this.#input = input;
    this.#looks = input.clock.alarm(() => this.#look());
    this.#looks.set(input.clock.now() + LOOKS_EVERY_MS);
  }

  /** Any word shows that the agent lives. */
  messageReceived(message: ToGuard): void {
    for (const watch of this.#watches.values()) watch.messageReceived(this.#input.clock.now());
    if (message.type === 'watch') void this.#watch(message);
    else if (message.type === 'unwatch') void this.#unwatch(message.member);
  }

  /** The agent is gone. Resolves when all that is still watched is undone. */
  async agentGone(): Promise<void> {
    this.#looks.set(null);
    const members = [...this.#watches.keys()];
    const undone = this.undoAll();
    if (members.length > 0)
      this.#input.log.warn({ event: 'agentLost', members }, 'the agent is gone: undoing');
    await undone;
  }

  async undoAll(): Promise<void> {
    await Promise.all([...this.#watches.values()].map((watch) => watch.undoNow()));
  }

  #look(): void {
    const { clock, say } = this.#input;
    for (const watch of this.#watches.values()) {
      if (watch.isOverdue(clock.now()))
        void watch.undoNow().then(() => say({ type: 'undone', member: watch.member }));
    }
    this.#looks.set(clock.now() + LOOKS_EVERY_MS);
  }

  async #watch(asked: Extract<ToGuard, { type: 'watch' }>): Promise<void> {
    const { clock, log, say, openGuardian, isLeft } = this.#input;
    const { member, undo, silenceMs } = asked;
    this.#asked.set(member, asked);
    try {
      let watch = this.#watches.get(member);
      if (watch === undefined) {
        const guardian = await openGuardian(member);
        if (this.#asked.get(member) !== asked) return await guardian.close();
        watch = new Watch({ member, guardian, log, clock, isLeft: () => isLeft(member) });
        this.#watches.set(member, watch);
      }
      watch.expect(undo, silenceMs, clock.now());
      say({ type: 'watching', member });
    } catch (error) {
      say({ type: 'refused', member, cause: error instanceof Error ? error.message : String(error) });
    }
  }

  async #unwatch(member: string): Promise<void> {
    this.#asked.delete(member);
    const known = this.#watches.get(member);
    this.#watches.delete(member);
    await known?.close();
  }
}
