import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { RealmCalls, RealmRecord } from './calls.ts';
import { startingState, writeDurably } from './durable.ts';
import { answerOf } from './every.ts';
import type { Gate } from './gate.ts';
import { majorityOf } from './keeper-rules.ts';
import { GridError, Remotes } from './rpc.ts';

const EMPTY: RealmRecord = { definition: undefined, highestEpoch: 0, highestCounter: 0, change: 0 };
/** For one change; who was refused by others gives it back so late. */
const RESERVED_MS = 500;

/**
 * The database of a realm service. Alone it changes it by itself; in a cluster a change is first reserved, then stored,
 * by a majority, so that of two changes at once one is made. Who missed changes takes the newest record there is.
 */
export class RealmStore {
  readonly #live: string;
  readonly #others: readonly string[];
  readonly #gate: Gate;
  readonly #answerMs: number;
  readonly #remotes = new Remotes<RealmCalls>();
  #record = EMPTY;
  #startedWith = EMPTY;
  #reserved = { version: 0, by: '', until: 0 };
  #updates: Promise<unknown> = Promise.resolve();
  #reached: readonly string[] = [];

  constructor(data: string, others: readonly string[], gate: Gate, answerMs: number) {
    this.#live = join(data, 'live');
    this.#others = others;
    this.#gate = gate;
    this.#answerMs = answerMs;
  }

  async begin(): Promise<void> {
    this.#record = (await startingState<RealmRecord>(this.#live, 'realm.json', (record) => record)) ?? EMPTY;
    this.#startedWith = this.#record;
  }

  /** What its own files held. */
  get startedWith(): RealmRecord {
    return this.#startedWith;
  }

  get record(): RealmRecord {
    return this.#record;
  }

  get hasQuorum(): boolean {
    return 1 + this.#reached.length >= this.#majority;
  }

  get quorum(): { running: number; configured: number } {
    return { running: 1 + this.#reached.length, configured: this.#others.length + 1 };
  }

  /** The others of the cluster that answered lately, by address. */
  get reached(): readonly string[] {
    return this.#reached;
  }

  /** Makes one change, after those before it; resolves when it is durable. */
  async update(change: (record: RealmRecord) => Partial<RealmRecord>): Promise<RealmRecord> {
    const update = this.#updates.then(async () => {
      if (this.#others.length > 0) await this.catchUp();
      const before = this.#record;
      const after = { ...before, ...change(before), change: before.change + 1 };
      if (this.#others.length > 0) await this.#reserve(after.change);
      const stored = await Promise.all([this.store(after), ...this.#ask('store', after)]);
      this.#mustBeMajority(stored.filter((answer) => answer?.version === after.change));
      return after;
    });
    this.#updates = update.catch(() => undefined);
    return await update;
  }

  /** Takes the newest record of the cluster; sees who runs. */
  async catchUp(): Promise<void> {
    const answers = await Promise.all(this.#ask('record', {}));
    this.#reached = this.#others.filter((_, index) => answers[index] !== undefined);
    for (const answer of answers) if (answer !== undefined) await this.store(answer.record);
  }

  reserve({ version, by }: { version: number; by: string }): { granted: boolean } {
    const { until, by: holder } = this.#reserved;
    const isFree = holder === by || performance.now() > until;
    if (!isFree || version <= this.#record.change) return { granted: false };
    this.#reserved = { version, by, until: performance.now() + RESERVED_MS };
    return { granted: true };
  }

  async store(record: RealmRecord): Promise<{ version: number }> {
    if (record.change > this.#record.change) {
      await this.#gate.run('a change of the realm', async () => {
        if (record.change <= this.#record.change) return;
        await writeDurably(join(this.#live, 'realm.json'), JSON.stringify(record));
        this.#record = record;
        this.#reserved = { version: 0, by: '', until: 0 };
      });
    }
    return { version: this.#record.change };
  }

  async #reserve(version: number): Promise<void> {
    const request = { version, by: randomUUID() };
    const answers = [this.reserve(request), ...(await Promise.all(this.#ask('reserve', request)))];
    this.#mustBeMajority(answers.filter((answer) => answer?.granted));
  }

  #mustBeMajority({ length }: readonly unknown[]): void {
    if (length >= this.#majority) return;
    throw new GridError(
      'no-quorum',
      `${length} of ${this.#others.length + 1} realm services took it; hint: try again`,
    );
  }

  #ask<Name extends 'store' | 'record' | 'reserve'>(
    name: Name,
    request: Parameters<RealmCalls[Name]>[0],
  ): Promise<ReturnType<RealmCalls[Name]> | undefined>[] {
    return this.#others.map((address) => {
      const call = this.#remotes.to(address).call(name, request as never);
      return answerOf(call as Promise<ReturnType<RealmCalls[Name]>>, this.#answerMs);
    });
  }

  get #majority(): number {
    return majorityOf(this.#others.length + 1);
  }
}
