import type { Logger } from '../shared/runtime/log.ts';
import type { AgentMember } from './checkpoint-operation.ts';
import type { StateDirectory } from './state-directory.ts';

const RETRY_MS = 500;

/**
 * Undoes what a freeze left on a member: at agent start what a killed predecessor left, later what an abort
 * could not undo because the member's process was down. Tries until it is done; the freeze record stays on
 * disk until then. While a member is left, it may not take part in anything.
 */
export class UndoKeeper {
  readonly #members: ReadonlyMap<string, AgentMember>;
  readonly #state: StateDirectory;
  readonly #log: Logger;
  readonly #left = new Map<string, Promise<void>>();

  constructor(members: ReadonlyMap<string, AgentMember>, state: StateDirectory, log: Logger) {
    this.#members = members;
    this.#state = state;
    this.#log = log;
  }

  isLeft(member: string): boolean {
    return this.#left.has(member);
  }

  /**
   * One try for every freeze record on disk; resolves when each was tried. What could not be undone (its
   * process is down) is kept and tried again until it is.
   */
  async undoAll(): Promise<void> {
    const records = await this.#state.freezeRecords();
    await Promise.all(
      records.map(async ({ member }) => {
        if (await this.undoOnce(member)) return;
        this.keep(member);
      }),
    );
  }

  /** True when nothing is left to undo on this member. */
  async undoOnce(member: string): Promise<boolean> {
    const record = (await this.#state.freezeRecords()).find((one) => one.member === member);
    if (record === undefined) return true;
    const known = this.#members.get(member);
    if (known === undefined) {
      this.#log.error(
        { event: 'undoImpossible', member },
        'a freeze record names a member that the agent file does not',
      );
      return false;
    }
    try {
      await known.engine.undo(record.undo);
      await this.#state.clearFreeze(member);
      this.#log.warn({ event: 'undone', member }, 'undone what a freeze had left');
      return true;
    } catch (error) {
      this.#log.error({ event: 'undoFailed', member, err: error }, 'cannot undo yet, trying again');
      return false;
    }
  }

  /** Keeps trying in the background. */
  keep(member: string): void {
    if (this.#left.has(member) || !this.#members.has(member)) return;
    const trying = (async () => {
      while (!(await this.undoOnce(member))) {
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
      }
      this.#left.delete(member);
    })();
    this.#left.set(member, trying);
  }
}
