import { setTimeout as pause } from 'node:timers/promises';
import { StillpointError } from '../../shared/domain/errors.ts';
import type { Attempt, ParticipantDescription } from '../../shared/domain/participant.ts';
import type { Participant } from '../../shared/rpc/participant-client.ts';
import type { TlsFiles } from '../../shared/rpc/tls-files.ts';
import { LiveFiles } from './live-files.ts';
import { read, startReading, type Programs, type Reading } from './programs.ts';
import { Broken, Unjudged } from './promise.ts';
import type { Writers } from './writers.ts';

export interface Pace {
  /** Of leases that are meant to run out. */
  readonly leaseMs: number;
  /** How long it is watched for what must not happen. */
  readonly holdMs: number;
  /** How late what ends by itself may end, and what else a busy machine may delay. */
  readonly graceMs: number;
  /** How long a process may take to be there when it is started. */
  readonly startMs: number;
  /** How long is waited for what must come. */
  readonly patienceMs: number;
}

/** Of leases that are not meant to run out: longer than any check. */
export const LONG_MS = 120_000;
const POLL_MS = 10;

/** The process that is looked at, with what every check needs to look. */
export class Lab {
  readonly target: string;
  readonly participant: Participant;
  readonly description: ParticipantDescription;
  readonly pace: Pace;
  readonly files: LiveFiles;
  readonly programs: Programs;
  /** There is a reader wherever there is a writer. */
  readonly writer: Writers | undefined;
  readonly tls: TlsFiles | undefined;
  readonly sequences: { readonly seed: number; readonly runs: number };
  #epoch: number;
  #attempts = 0;
  readonly #open: Attempt[] = [];

  constructor(input: {
    target: string;
    participant: Participant;
    description: ParticipantDescription;
    pace: Pace;
    programs: Programs;
    writer: Writers | undefined;
    tls?: TlsFiles;
    sequences: { seed: number; runs: number };
    /** Newer than all that the process has seen. */
    epoch: number;
  }) {
    this.target = input.target;
    this.participant = input.participant;
    this.description = input.description;
    this.pace = input.pace;
    this.programs = input.programs;
    this.writer = input.writer;
    this.tls = input.tls;
    this.sequences = input.sequences;
    this.files = new LiveFiles(input.description);
    this.#epoch = input.epoch;
  }

  /** A new operation with a token newer than all before. */
  attempt(operation?: string): Attempt {
    this.#attempts += 1;
    const named = operation ?? `conformance-${this.#epoch}-${this.#attempts}`;
    const token = { epoch: this.#epoch, counter: this.#attempts, attempt: 1 };
    this.#open.push({ operation: named, token });
    return { operation: named, token };
  }

  /** What was attempted since the last time: it may still hold something. */
  takeAttempts(): Attempt[] {
    return this.#open.splice(0);
  }

  async hold(): Promise<void> {
    await pause(this.pace.holdMs);
  }

  /** Asks again until it is so; false when it is not in time. */
  async becomes(isTrue: () => boolean | Promise<boolean>, limitMs = this.pace.patienceMs): Promise<boolean> {
    const end = performance.now() + limitMs;
    while (!(await isTrue())) {
      if (performance.now() > end) return false;
      await pause(POLL_MS);
    }
    return true;
  }

  /** Whether a hold is over by itself in time. */
  async endsByItself(
    kind: 'quiesced' | 'writingSuspended' | 'journalRetained' | 'maintenance',
    leaseMs: number,
  ): Promise<boolean> {
    return await this.becomes(
      async () => !(await this.participant.describe()).held[kind],
      leaseMs + this.pace.graceMs,
    );
  }

  async quiesce(
    attempt: Attempt,
    options: { allowReads?: boolean; timeoutMs?: number; leaseMs?: number } = {},
  ): Promise<void> {
    const { allowReads = true, timeoutMs = 5000, leaseMs = LONG_MS } = options;
    const request = { ...attempt, allowReads, timeoutMs, leaseMs };
    const { quiesced, notQuiesced } = await this.participant.quiesce(request);
    if (!quiesced)
      throw new Unjudged(`it did not come to rest in ${timeoutMs} ms: ${notQuiesced.join(', ')}`);
  }

  /** What is seen while the process rests counts only if it says, when it is resumed, that it did. */
  async whileQuiesced<T>(
    body: (attempt: Attempt) => Promise<T>,
    options: { allowReads?: boolean; operation?: string } = {},
  ): Promise<T> {
    const attempt = this.attempt(options.operation);
    await this.quiesce(attempt, options);
    return await this.#judged(
      () => body(attempt),
      async () => {
        const { held, cause } = await this.participant.resume(attempt);
        return held ? null : `it says that it was not at rest: ${cause}`;
      },
    );
  }

  /** As whileQuiesced, for suspended writing. */
  async whileSuspended<T>(
    body: (operation: string, firstJournalFile: string) => Promise<T>,
    { updatesWaitAfterMs = 0 } = {},
  ): Promise<T> {
    const { operation } = this.attempt();
    const request = { operation, leaseMs: LONG_MS, updatesWaitAfterMs };
    const { firstJournalFile } = await this.participant.suspendWriting(request);
    return await this.#judged(
      () => body(operation, firstJournalFile),
      async () => {
        const ending = { operation, retainJournal: false, leaseMs: LONG_MS };
        const { held } = await this.participant.resumeWriting(ending);
        return held ? null : 'it says that writing was not suspended';
      },
    );
  }

  /** No journal file is removed meanwhile, so that it can be looked at. */
  async whileRetained<T>(body: (operation: string, firstJournalFile: string) => Promise<T>): Promise<T> {
    const { operation } = this.attempt();
    const { firstJournalFile } = await this.participant.suspendWriting({ operation, leaseMs: LONG_MS });
    await this.participant.resumeWriting({ operation, retainJournal: true, leaseMs: LONG_MS });
    try {
      return await body(operation, firstJournalFile);
    } finally {
      await this.participant.releaseJournal({ operation });
    }
  }

  async #judged<T>(body: () => Promise<T>, end: () => Promise<string | null>): Promise<T> {
    const [outcome] = await Promise.allSettled([body()]);
    if (outcome.status === 'rejected' && outcome.reason instanceof Broken && outcome.reason.certain) {
      throw outcome.reason;
    }
    const excuse = await end();
    if (excuse !== null) throw new Unjudged(excuse);
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  }

  /** Expects a refusal with one of the codes; resolves to it. */
  async refusal(what: string, call: Promise<unknown>, ...codes: readonly string[]): Promise<StillpointError> {
    let answer: unknown;
    try {
      answer = await call;
    } catch (error) {
      if (error instanceof StillpointError && codes.includes(error.failure.code)) return error;
      const message = error instanceof Error ? error.message : String(error);
      throw new Broken(`${what}: not refused with ${codes.join(' or ')}, but: ${message}`);
    }
    throw new Broken(`${what}: answered with ${brief(answer)}`);
  }

  /** The rows that are visible. */
  async rows(
    data = this.description.dataDirectory,
    limitMs = this.pace.patienceMs,
  ): Promise<ReadonlySet<number>> {
    return await read(this.programs.reader ?? [], data, limitMs);
  }

  startReading(): Reading {
    return startReading(this.programs.reader ?? [], this.description.dataDirectory);
  }

  /** Waits until so many more writes are acknowledged, of every writer; false when they are not in time. */
  async progress(writes = 20, limitMs = this.pace.patienceMs): Promise<boolean> {
    const { writer } = this;
    if (writer === undefined) return true;
    const before = writer.counts;
    const isThere = (): boolean =>
      writer.counts.every((count, index) => count >= (before[index] ?? 0) + writes / before.length);
    return await this.becomes(() => isThere() || writer.isGone(), limitMs).then(isThere);
  }

  /**
   * The writer stands still, and what it had under way is visible. A process may have logged what it has not yet
   * acknowledged, and a mark then holds more than is visible: without a writer it does not.
   */
  async whileSilent<T>(body: () => Promise<T>): Promise<T> {
    const { writer } = this;
    writer?.pause();
    try {
      let rows = await this.rows();
      const isSettled = async (): Promise<boolean> => {
        const before = rows;
        rows = await this.rows();
        return lacking(rows, before) === null;
      };
      if (!(await this.becomes(isSettled))) throw new Unjudged('others write to it too');
      return await body();
    } finally {
      writer?.goOn();
    }
  }

  /** The writers, when they get on. */
  async busyWriter(): Promise<Writers> {
    const { writer } = this;
    if (writer === undefined) throw new Unjudged('there is no writer');
    writer.restart();
    if (await this.progress()) return writer;
    throw new Unjudged(`the writer does not get on: ${writer.complaint()}`);
  }
}

export function brief(value: unknown): string {
  const text = JSON.stringify(value, (_key, one: unknown) => (typeof one === 'bigint' ? String(one) : one));
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/** Numbers of a that b does not have, in words; null where there are none. */
export function lacking(a: ReadonlySet<number>, b: ReadonlySet<number>): string | null {
  const missing = [...a].filter((number) => !b.has(number)).sort((x, y) => x - y);
  if (missing.length === 0) return null;
  return `${missing.length} (${missing.slice(0, 3).join(', ')}${missing.length > 3 ? ', …' : ''})`;
}
