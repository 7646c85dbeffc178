import { failureOf, type Failure } from '../shared/domain/errors.ts';
import { computerClock, type Clock } from '../shared/runtime/clock.ts';
import type { Logger } from '../shared/runtime/log.ts';
import type { Engine } from './engines/engine.ts';
import { GrowingPause } from './growing-pause.ts';
import type { FreezeRecords } from './state-directory.ts';

interface Left {
  /** Why it could not be undone yet. */
  failure: Failure;
  /** Resolves when it is undone, or only a person can help. */
  readonly settled: Promise<void>;
}

type MembersToUndo = ReadonlyMap<string, { readonly engine: Pick<Engine, 'undo'> }>;

/** A record that cannot be read, or is of nobody we know. */
const FOR_A_PERSON = ['agent-state-damaged', 'unknown-member'];

/**
 * Undoes what a freeze left on a member: at agent start what a killed predecessor left, later what an abort
 * could not undo because the member's process was down. Tries until it is done; the freeze record stays on
 * disk until then. While a member is left, it may not take part in anything.
 */
export class UndoKeeper {
  readonly #members: MembersToUndo;
  readonly #records: FreezeRecords;
  readonly #log: Pick<Logger, 'warn' | 'error'>;
  readonly #clock: Clock;
  readonly #left = new Map<string, Left>();

  constructor(
    members: MembersToUndo,
    records: FreezeRecords,
    log: Pick<Logger, 'warn' | 'error'>,
    clock: Clock = computerClock,
  ) {
    this.#members = members;
    this.#records = records;
    this.#log = log;
    this.#clock = clock;
  }

  /** The members that are left, and why: also those that the agent file does not name any more. */
  left(): ReadonlyMap<string, Failure> {
    return new Map([...this.#left].map(([member, { failure }]) => [member, failure]));
  }

  /**
   * One try for every freeze record on disk; resolves when each was tried. What could not be undone (its
   * process is down) is kept and tried again until it is.
   */
  async undoAll(): Promise<void> {
    const members = await this.#records.frozenMembers();
    await Promise.all(
      members.map(async (member) => {
        const failure = await this.undoOnce(member);
        if (failure !== null) this.#keep(member, failure);
      }),
    );
  }

  /** Resolves when each is undone, or was found to be one that only a person can end. */
  async done(): Promise<void> {
    await Promise.all([...this.#left.values()].map(({ settled }) => settled));
  }

  /** Null when nothing is left to undo on this member; else why it could not be undone. */
  async undoOnce(member: string): Promise<Failure | null> {
    try {
      const record = await this.#records.freezeRecord(member);
      if (record === null) return null;
      const known = this.#members.get(member);
      if (known === undefined) return unknownMember(member);
      const words = await known.engine.undo(record.undo);
      await this.#records.clearFreeze(member);
      this.#log.warn({ event: 'undone', member }, words ?? 'undone what a freeze had left');
      return null;
    } catch (error) {
      return failureOf(error, { code: 'agent-failed', hint: "see the agent's log" });
    }
  }

  /** Keeps trying in the background. */
  keep(member: string): void {
    this.#keep(member, { code: 'undo-pending', message: 'it is being undone', hint: 'wait a moment' });
  }

  #keep(member: string, failure: Failure): void {
    if (this.#left.has(member)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#left.set(member, { failure, settled: promise });
    void this.#undoUntilDone(member, resolve);
  }

  async #undoUntilDone(member: string, settle: () => void): Promise<void> {
    const pause = new GrowingPause(this.#clock);
    for (;;) {
      const failure = await this.undoOnce(member);
      if (failure === null) break;
      const left = this.#left.get(member);
      if (left !== undefined) left.failure = failure;
      if (pause.failed(failure))
        this.#log.error({ event: 'undoFailed', member, failure }, `cannot undo yet: ${failure.message}`);
      if (FOR_A_PERSON.includes(failure.code)) settle();
      await pause.wait();
    }
    this.#left.delete(member);
    settle();
  }
}

function unknownMember(member: string): Failure {
  return {
    code: 'unknown-member',
    message: `a freeze record names the member ${member}, which the agent file does not`,
    hint: `name it in the agent file again; or look at it by hand (postgres: synchronous_standby_names, paused replay) and remove freezes/${member}.json in the state directory`,
  };
}
