import { setTimeout as pause } from 'node:timers/promises';
import { StillpointError } from '../../shared/domain/errors.ts';
import type { ParticipantDescription } from '../../shared/domain/participant.ts';
import { connectParticipant, type Participant } from '../../shared/rpc/participant-client.ts';
import type { TlsFiles } from '../../shared/rpc/tls-files.ts';
import { releaseAll } from './holds.ts';
import { missingFor } from './needs.ts';
import { Lab, type Pace } from './lab.ts';
import type { Programs } from './programs.ts';
import { Broken, Unjudged, type ContractPromise, type Result, type Verdict } from './promise.ts';
import { callPromises } from './promises/calls.ts';
import { contentPromises } from './promises/content.ts';
import { describePromises } from './promises/describe.ts';
import { filePromises } from './promises/files.ts';
import { journalPromises } from './promises/journal.ts';
import { leasePromises } from './promises/leases.ts';
import { maintenancePromises } from './promises/maintenance.ts';
import { repeatPromises } from './promises/repeats.ts';
import { restPromises } from './promises/rest.ts';
import { statePromises } from './promises/state.ts';
import { tablePromises } from './promises/table.ts';
import { tokenPromises } from './promises/tokens.ts';
import { waitingPromises } from './promises/waiting.ts';
import { writingPromises } from './promises/writing.ts';
import { startWriters, type Writers } from './writers.ts';

/** Whoever breaks one of these breaks much else by it. */
const FIRST = ['describe-complete', 'calls-of-the-role', 'quiesce-comes-to-rest', 'rest-clients-wait'];
/** Of what does not come to rest, nothing else can be seen. */
const COMES_TO_REST = 'quiesce-comes-to-rest';

/** In the order in which they are tried: what names a fault most exactly comes before what it hides. */
export const PROMISES: readonly ContractPromise[] = [
  ...describePromises,
  ...callPromises,
  ...restPromises,
  ...waitingPromises,
  ...tokenPromises,
  ...journalPromises,
  ...contentPromises,
  ...filePromises,
  ...writingPromises,
  ...maintenancePromises,
  ...statePromises,
  ...leasePromises,
  ...repeatPromises,
  ...tablePromises,
].toSorted((one, other) => rankOf(one.id) - rankOf(other.id));

function rankOf(id: string): number {
  return FIRST.includes(id) ? FIRST.indexOf(id) : FIRST.length;
}

export interface SuiteInput {
  readonly target: string;
  /** For a `host:port`. */
  readonly tls?: TlsFiles;
  readonly programs: Programs;
  readonly pace: Pick<Pace, 'leaseMs' | 'holdMs'> & Partial<Pace>;
  /** How many writers write at once. */
  readonly writers?: number;
  /** The epoch of all tokens: newer than any that the process has seen. */
  readonly epoch: number;
  /** Of the generated sequences: which, and how many. */
  readonly sequences?: { readonly seed: number; readonly runs: number };
  /** Ids to check; all where there are none. */
  readonly only?: readonly string[];
  onVerdict?(verdict: Verdict): void;
  /** Ends the run; what was not looked at is `not-tried`, and the process is released all the same. */
  readonly signal?: AbortSignal;
}

const TIMEOUT_MS = 10_000;
const PACE = { graceMs: 3000, patienceMs: 15_000, startMs: 60_000 };
const WRITERS = 3;
const SEQUENCES = { seed: 1, runs: 30 };
const STUCK_MS = 2000;

/**
 * Checks every promise of the contract that the process's role has, one after the other. The process is released
 * when it resolves or rejects. Rejects when the process cannot be called to begin with.
 */
export async function runSuite(
  input: SuiteInput,
): Promise<{ description: ParticipantDescription | null; verdicts: Verdict[] }> {
  const { target, tls, programs } = input;
  const participant = await connectParticipant({
    target,
    timeoutMs: TIMEOUT_MS,
    ...(tls !== undefined && { tls }),
  });
  const verdicts: Verdict[] = [];
  const tell = (verdict: Verdict): void => {
    verdicts.push(verdict);
    input.onVerdict?.(verdict);
  };
  let writer: Writers | undefined;
  try {
    const description = await firstDescription(participant, tell);
    if (description === null) return { description, verdicts };
    writer = await startWriters(programs, description.dataDirectory, input.writers ?? WRITERS);
    const lab = new Lab({
      ...input,
      pace: { ...PACE, ...input.pace },
      sequences: input.sequences ?? SEQUENCES,
      participant,
      description,
      writer,
    });
    const run = new Run(lab, input.signal);
    for (const promise of PROMISES) {
      if (input.only !== undefined && !input.only.includes(promise.id)) continue;
      try {
        tell(await run.judge(promise));
      } finally {
        await releaseAll(lab);
      }
    }
    return { description, verdicts };
  } finally {
    await writer?.stop();
    participant.close();
  }
}

/** Null where what it says of itself cannot be used: then that is the verdict. */
async function firstDescription(
  participant: Participant,
  tell: (verdict: Verdict) => void,
): Promise<ParticipantDescription | null> {
  try {
    return await participant.describe();
  } catch (error) {
    const promise = describePromises.find(({ id }) => id === 'describe-complete');
    if (!(error instanceof StillpointError) || promise === undefined) throw error;
    if (error.failure.code !== 'participant-contract') throw error;
    tell({ id: promise.id, says: promise.says, result: 'broken', seen: error.failure.message, tookMs: 0 });
    return null;
  }
}

/** One pass through the promises, with what is known of those before. */
class Run {
  readonly #lab: Lab;
  readonly #signal: AbortSignal | undefined;
  readonly #broken: string[] = [];
  /** The broken promise since which writers do not get on. */
  #stuckSince: string | null = null;

  constructor(lab: Lab, signal: AbortSignal | undefined) {
    this.#lab = lab;
    this.#signal = signal;
  }

  async judge(promise: ContractPromise): Promise<Verdict> {
    const { id, says } = promise;
    const from = performance.now();
    const [result, seen] = await this.#look(promise);
    if (result === 'broken') await this.#note(id);
    return { id, says, result, seen, tookMs: performance.now() - from };
  }

  async #look(promise: ContractPromise): Promise<[Result, string]> {
    const { roles, needs = [], excuse } = promise;
    const { role } = this.#lab.description;
    if (!roles.includes(role)) return ['not-applicable', `no promise of a ${role}`];
    const own = excuse?.(this.#lab.description) ?? null;
    if (own !== null) return ['not-applicable', own];
    const hider = this.#hiderOf(promise);
    if (hider !== null) return ['not-applicable', `hidden by ${hider}`];
    for (const need of needs) {
      const missing = await missingFor(this.#lab, need);
      if (missing !== null) return ['not-tried', missing];
    }
    if (this.#signal?.aborted === true) return ['not-tried', 'the run was ended before'];
    try {
      return ['kept', await this.#bounded(promise.check(this.#lab))];
    } catch (error) {
      return this.#blame(error);
    }
  }

  #hiderOf({ hiddenBy = [], needs = [] }: ContractPromise): string | null {
    if (needs.includes('writer') && this.#stuckSince !== null)
      return `${this.#stuckSince}: writers do not get on since`;
    if (this.#broken.includes(COMES_TO_REST)) return COMES_TO_REST;
    if (hiddenBy === 'all') return this.#broken[0] ?? null;
    return this.#broken.find((id) => hiddenBy.includes(id)) ?? null;
  }

  #blame(error: unknown): [Result, string] {
    if (error instanceof Unjudged) return [this.#unjudged, `cannot be judged: ${error.message}`];
    if (error instanceof Broken) return ['broken', error.message];
    if (!(error instanceof StillpointError)) throw error;
    // Of a call that is missing, and of a process that is gone, the first promise tells.
    const isTold = ['participant-unsupported', 'participant-unreachable'].includes(error.failure.code);
    if (isTold && this.#broken.length > 0)
      return ['not-applicable', `hidden by ${this.#broken[0] ?? ''}: ${error.message}`];
    return ['broken', error.message];
  }

  get #unjudged(): Result {
    return this.#broken.length === 0 ? 'not-tried' : 'not-applicable';
  }

  async #note(id: string): Promise<void> {
    this.#broken.push(id);
    const { writer } = this.#lab;
    await releaseAll(this.#lab);
    writer?.restart();
    if (this.#stuckSince === null && !(await this.#lab.progress(1, STUCK_MS))) this.#stuckSince = id;
  }

  async #bounded<T>(work: Promise<T>): Promise<T> {
    const signal = this.#signal;
    if (signal === undefined) return await work;
    const ended = Promise.withResolvers<never>();
    const end = (): void => ended.reject(new Unjudged('the run was ended'));
    signal.addEventListener('abort', end, { once: true });
    try {
      return await Promise.race([work, ended.promise]);
    } finally {
      signal.removeEventListener('abort', end);
      if (signal.aborted) await Promise.race([work.catch(() => undefined), pause(0)]);
    }
  }
}
