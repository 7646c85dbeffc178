import type { MemberCommand } from '../shared/domain/messages.ts';
import type { Clock } from '../shared/runtime/clock.ts';
import type { AgentEvents } from './agents.ts';
import type { AnswerCheck } from './answer-check.ts';
import { CheckpointRun, type AgentStream, type CheckpointRunInput } from './checkpoint-run.ts';

/** Rounds that are looked at together. */
const LOOKED_AT = 8;
/** The best of the last rounds needs more than this share of the best before: it does not get faster any more. */
const AS_FAST_AS_BEFORE = 0.9;
/** Of more members a round would take long, and would teach nothing that these have not. */
const MOST_MEMBERS = 64;

export type RehearsalCheck = Pick<AnswerCheck, 'sent' | 'received'>;

/** A stream to an agent that may take commands for stand-ins. */
export interface RehearsingStream extends AgentStream {
  readonly rehearses: boolean;
  /** Told what stand-ins answer; null: nobody is. */
  rehearsed: AgentEvents['memberAnswered'] | null;
  rehearseMember(member: string, command: MemberCommand): void;
}

type Run = Pick<CheckpointRunInput<RehearsingStream>, 'config' | 'machine' | 'addressOf' | 'streams'>;

/**
 * Goes through whole checkpoints with stand-ins of the members, before the one that counts: with the same loop, machine,
 * codecs, streams and agents, round after round, until its window does not get shorter any more. Nobody is held by it, and
 * nothing is stored: agents answer with stand-ins too. So all that the window needs has run often, and lately, when clients
 * wait for it.
 */
export class WindowRehearsal {
  readonly #run: Run;
  readonly #check: () => RehearsalCheck;
  readonly #windows: number[] = [];
  readonly #over = Promise.withResolvers<void>();
  readonly #mostMs: number;
  #isOver = false;

  /** `run`: what the real one is given. `check`: another one for each round. `mostMs`: it takes no longer. */
  constructor(run: Run, check: () => RehearsalCheck, mostMs: number) {
    this.#run = run;
    this.#check = check;
    this.#mostMs = mostMs;
  }

  /** How long stand-ins were held in each round, in milliseconds. */
  get windows(): readonly number[] {
    return this.#windows;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /**
   * Resolves when it is as fast as it gets, or its time is over, or it is stopped: at once where an agent knows nothing of
   * stand-ins. Never rejects.
   */
  async start(): Promise<void> {
    const timer = setTimeout(() => this.stop(), this.#mostMs);
    if ([...this.#run.streams.values()].every((stream) => stream.rehearses)) this.#begin();
    else this.stop();
    await this.#over.promise;
    clearTimeout(timer);
  }

  /** Nothing is said any more, and nothing heard. Idempotent. */
  stop(): void {
    this.#isOver = true;
    for (const stream of this.#run.streams.values()) stream.rehearsed = null;
    this.#over.resolve();
  }

  #begin(): void {
    if (this.#isOver) return;
    const nothing = (): void => undefined;
    const { signal } = new AbortController();
    const { config, machine, addressOf, streams } = this.#run;
    const input: CheckpointRunInput<StandIns> = {
      machine,
      addressOf,
      config: { ...config, members: someOf(config.members) },
      clock: TIMELESS,
      streams: new Map([...streams].map(([address, stream]) => [address, new StandIns(stream, this)])),
      answerCheck: this.#check(),
      cancellation: { signal, second: signal },
      // A note is of something that went wrong: stand-ins that fail teach nothing.
      progress: { phase: nothing, bytes: nothing, note: () => this.stop() },
      log: { debug: nothing, info: nothing, warn: nothing, error: nothing },
      raisePriority: () => nothing,
      // A stream that is lost is the affair of the run that counts.
      reconnect: () => new Promise(nothing),
      commit: async ({ windowMs }) => void this.#windows.push(windowMs),
    };
    // With a turn of the loop between two rounds: what else there is to do is done.
    new CheckpointRun(input, () => setImmediate(() => this.#ended())).start();
  }

  #ended(): void {
    if (this.#isFast()) this.stop();
    else this.#begin();
  }

  #isFast(): boolean {
    if (this.#windows.length < 2 * LOOKED_AT) return false;
    const last = Math.min(...this.#windows.slice(-LOOKED_AT));
    const before = Math.min(...this.#windows.slice(0, -LOOKED_AT));
    return last > AS_FAST_AS_BEFORE * before;
  }
}

/** Those that are held by another need that one too. */
function someOf<Member extends { readonly name: string; readonly heldBy?: string }>(
  members: readonly Member[],
): Member[] {
  const first = members.slice(0, MOST_MEMBERS);
  const names = new Set(first.map(({ name }) => name));
  return first.filter(({ heldBy }) => heldBy === undefined || names.has(heldBy));
}

/** No deadline comes: a round that hangs ends with the rehearsal. */
const TIMELESS: Clock = {
  now: () => performance.now(),
  alarm: () => ({ set: () => undefined }),
  pause: () => new Promise(() => undefined),
};

/** Those of one agent. */
class StandIns implements AgentStream {
  events: AgentEvents = {};
  readonly isClosed = false;
  readonly #stream: RehearsingStream;
  readonly #rehearsal: Pick<WindowRehearsal, 'isOver' | 'stop'>;

  constructor(stream: RehearsingStream, rehearsal: Pick<WindowRehearsal, 'isOver' | 'stop'>) {
    this.#stream = stream;
    this.#rehearsal = rehearsal;
    stream.rehearsed = (member, answer) => this.events.memberAnswered?.(member, answer);
  }

  command(member: string, command: MemberCommand): void {
    if (!this.#rehearsal.isOver) this.#stream.rehearseMember(member, command);
  }

  /** What an agent says of a stand-in is no reason to end its stream. */
  cut(): void {
    this.#rehearsal.stop();
  }

  close(): void {
    this.#rehearsal.stop();
  }
}
