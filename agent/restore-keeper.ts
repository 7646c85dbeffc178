import { failureOf } from '../shared/domain/errors.ts';
import { decideAnnounced } from '../shared/repository/restore-decision.ts';
import type { Repository, RestoreOutcome } from '../shared/repository/repository.ts';
import type { Logger } from '../shared/runtime/log.ts';
import type { AgentMember } from './checkpoint-operation.ts';
import type { RestoreRecord, StateDirectory } from './state-directory.ts';

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;

/**
 * Ends the restores that lost their coordinator, as the decision in their repository says; where there is none
 * yet, this host makes it: rolled back. While the repository cannot be read, or is not the one that the restore
 * was announced in, nothing is known, and so nothing is done but to ask again, with growing pauses.
 */
export class RestoreKeeper {
  readonly #members: ReadonlyMap<string, AgentMember>;
  readonly #state: StateDirectory;
  readonly #repository: () => Promise<Repository>;
  readonly #log: Logger;
  readonly #left = new Map<string, RestoreRecord>();
  readonly #underWay = new Map<string, Promise<void>>();
  readonly #told = new Map<string, string>();
  #timer: NodeJS.Timeout | null = null;
  #pauseMs = FIRST_PAUSE_MS;

  constructor(context: {
    readonly members: ReadonlyMap<string, AgentMember>;
    readonly state: StateDirectory;
    readonly repository: () => Promise<Repository>;
    readonly log: Logger;
  }) {
    this.#members = context.members;
    this.#state = context.state;
    this.#repository = context.repository;
    this.#log = context.log;
  }

  /** One try for what a killed agent left; what cannot be ended yet is tried again until it is. */
  async recover(): Promise<void> {
    for (const record of await this.#state.restoreRecords()) this.#left.set(record.member, record);
    await this.#tryAll();
  }

  /** From now on it is this keeper's to end. */
  async keep(member: string): Promise<void> {
    for (const record of await this.#state.restoreRecords())
      if (record.member === member) this.#left.set(member, record);
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#askLater();
  }

  /** Ends what is left of this restore for the member now, or rejects with what is in the way. */
  async endNow(member: string, restoreId: string): Promise<void> {
    // One that began before it was asked for may have met what is put right since.
    await this.#underWay.get(member)?.catch(() => undefined);
    const record = this.#left.get(member);
    if (record?.restoreId === restoreId) await this.#end(record);
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  async #tryAll(): Promise<void> {
    await Promise.all(
      [...this.#left.values()].map((record) => this.#end(record).catch((error) => this.#say(record, error))),
    );
    this.#askLater();
  }

  #askLater(): void {
    this.stop();
    if (this.#left.size === 0) return;
    this.#timer = setTimeout(() => void this.#tryAll(), this.#pauseMs);
    this.#timer.unref();
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
  }

  /** One at a time for a member. */
  #end(record: RestoreRecord): Promise<void> {
    const running = this.#underWay.get(record.member);
    if (running !== undefined) return running;
    const ending = this.#carryOut(record).finally(() => this.#underWay.delete(record.member));
    this.#underWay.set(record.member, ending);
    return ending;
  }

  async #carryOut(record: RestoreRecord): Promise<void> {
    const member = this.#members.get(record.member);
    if (member === undefined) throw new Error(`the agent file has no member ${record.member}`);
    const outcome: RestoreOutcome = await decideAnnounced(await this.#repository(), record, 'rolledBack');
    await member.engine.recoverRestore(outcome, record.switched);
    await this.#state.clearRestore(record.member);
    this.#left.delete(record.member);
    this.#told.delete(record.member);
    this.#log.warn(
      { event: 'restoreRecovered', member: record.member, outcome },
      `restore ended: ${outcome}`,
    );
  }

  /** The same cause is told once, however often it is met. */
  #say(record: RestoreRecord, error: unknown): void {
    const { message } = failureOf(error, { code: 'finish', hint: '' });
    if (this.#told.get(record.member) === message) return;
    this.#told.set(record.member, message);
    this.#log.error(
      { event: 'restoreLeft', member: record.member, restore: record.restoreId },
      `restore not ended, tried again until it is: ${message}`,
    );
  }
}
