import { failureOf, StillpointError } from '../shared/domain/errors.ts';
import { decideAnnounced } from '../shared/repository/restore-decision.ts';
import type { Repository, RestoreOutcome } from '../shared/repository/repository.ts';
import type { Logger } from '../shared/runtime/log.ts';
import type { AgentMember } from './agent-member.ts';
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
    for (const name of this.#members.keys())
      if (!this.#left.has(name)) await this.#adopt(name).catch((error: unknown) => this.#warn(name, error));
    await this.#tryAll();
  }

  /** What lies beside the data of a member names its restore, also to an agent whose own state is new. */
  async #adopt(name: string): Promise<RestoreRecord | null> {
    const place = await this.#members.get(name)?.engine.restorePlace();
    const left = place?.left ?? null;
    if (left === null) return null;
    if (left.restore === null) throw leftByNobody(name);
    const record = { member: name, ...left.restore, switched: left.switched };
    await this.#state.saveRestore(record);
    this.#left.set(name, record);
    return record;
  }

  /** From now on it is this keeper's to end: nothing is read for that, and nothing can fail. */
  keep(record: RestoreRecord): void {
    this.#left.set(record.member, record);
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#askLater();
  }

  /** Rejects `restore-unfinished` while a restore of the member is left: it may act on it at any moment. */
  mustHaveEnded(member: string): void {
    const record = this.#left.get(member);
    if (record !== undefined) throw notEnded(record, this.#told.get(member));
  }

  /** Ends what is left of this restore for the member now, or rejects with what is in the way. */
  async endNow(member: string, restoreId: string): Promise<void> {
    // One that began before it was asked for may have met what is put right since.
    await this.#underWay.get(member)?.catch(() => undefined);
    const record = this.#left.get(member) ?? (await this.#adopt(member));
    if (record?.restoreId === restoreId) await this.#end(record);
  }

  /**
   * What stands of a restore whose coordinator is gone: where nothing does, it goes back. Where it goes forward, this
   * host's grid is of the restore's lineage on return, before anything of it is opened.
   */
  async decide(record: RestoreRecord): Promise<RestoreOutcome> {
    const { outcome, lineage } = await decideAnnounced(await this.#repository(), record, 'rolledBack');
    if (outcome === 'restored' && lineage !== null) await this.#state.saveLineage(lineage);
    return outcome;
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** What a drill has left undecided waits for a person. */
  #toTry(): RestoreRecord[] {
    return [...this.#left.values()].filter(({ kept }) => kept !== true);
  }

  async #tryAll(): Promise<void> {
    await Promise.all(
      this.#toTry().map((record) => this.#end(record).catch((error) => this.#say(record, error))),
    );
    this.#askLater();
  }

  #askLater(): void {
    this.stop();
    if (this.#toTry().length === 0) return;
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
    const outcome = await this.decide(record);
    const { isThere, left } = await member.engine.restorePlace();
    // Nothing is where something was, or must be by now: that is no end of a restore.
    const mustBeThere = record.replaced === true || (outcome === 'restored' && record.switched);
    if (mustBeThere && !isThere && left === null) throw isAway(record.member);
    await member.engine.recoverRestore(outcome, record.switched);
    await this.#state.clearRestore(record.member);
    this.#left.delete(record.member);
    this.#told.delete(record.member);
    this.#log.warn(
      { event: 'restoreRecovered', member: record.member, outcome },
      `restore ended: ${outcome}`,
    );
  }

  #warn(member: string, error: unknown): void {
    this.#log.error({ event: 'restoreLeft', member }, failureOf(error, { code: 'finish', hint: '' }).message);
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

function notEnded({ member, restoreId, kept }: RestoreRecord, cause: string | undefined): StillpointError {
  if (kept === true) {
    return new StillpointError({
      code: 'drill-kept',
      message: `${member}: drill ${restoreId} is kept there`,
      hint: `tear it down: stillpoint drill --finish ${restoreId}; or go live on it: stillpoint drill --go-live ${restoreId}`,
      member,
    });
  }
  return new StillpointError({
    code: 'restore-unfinished',
    message: `${member}: restore ${restoreId} is not ended yet${cause === undefined ? '' : `: ${cause}`}`,
    hint: `the agent goes on trying; see to its end first: stillpoint restore --finish ${restoreId}`,
    member,
  });
}

function isAway(member: string): StillpointError {
  return new StillpointError({
    code: 'restore-unfinished',
    message: `${member}: neither its data nor what a restore has left of it is in its place`,
    hint: 'is its disk mounted? The agent goes on trying',
    member,
  });
}

function leftByNobody(member: string): StillpointError {
  return new StillpointError({
    code: 'restore-unfinished',
    message: `${member}: an earlier restore was not ended, and its directories do not say which one it was`,
    hint: 'look at the room .stillpoint-… beside its data: see which directory is the one to keep, give it its name, then remove the room',
    member,
  });
}
