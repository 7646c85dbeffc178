import type { Failure } from '../shared/domain/errors.ts';
import type { MemberAnswer, MemberCommand } from '../shared/domain/messages.ts';
import type { AgentEvents } from './agents.ts';
import type { AgentStream } from './checkpoint-run.ts';

/**
 * Keeps the word that a member is prepared until all have said it, and what is done then has been done. To the run it looks
 * as if that word was longer on its way, which it may be at any time: nobody is armed or held yet, every other word passes,
 * and what was not handed on is lost with its stream.
 */
export class PreparedGate {
  readonly #awaited: Set<string>;
  readonly #whenAll: () => Promise<void>;
  #kept: (() => void)[] = [];
  #isOpen = false;

  /** `whenAll` is called once; the gate opens whatever comes of it. */
  constructor(members: readonly string[], whenAll: () => Promise<void>) {
    this.#awaited = new Set(members);
    this.#whenAll = whenAll;
  }

  prepared(member: string, handOn: () => void): void {
    if (this.#isOpen) return handOn();
    this.#kept.push(handOn);
    if (this.#awaited.delete(member) && this.#awaited.size === 0) void this.#open();
  }

  async #open(): Promise<void> {
    await this.#whenAll().catch(() => undefined);
    this.#isOpen = true;
    for (const handOn of this.#kept.splice(0)) handOn();
  }
}

/** A stream whose members' word passes the gate. */
export class GatedStream implements AgentStream {
  readonly #stream: AgentStream;
  readonly #gate: PreparedGate;
  #isLost = false;

  constructor(stream: AgentStream, gate: PreparedGate) {
    this.#stream = stream;
    this.#gate = gate;
  }

  get events(): AgentEvents {
    return this.#stream.events;
  }

  set events(events: AgentEvents) {
    this.#stream.events = {
      ...events,
      memberAnswered: (member, answer) => this.#answered(events, member, answer),
      closed: (failure) => {
        this.#isLost = true;
        events.closed?.(failure);
      },
    };
  }

  get isClosed(): boolean {
    return this.#stream.isClosed;
  }

  command(member: string, command: MemberCommand): void {
    this.#stream.command(member, command);
  }

  cut(failure: Failure): void {
    this.#stream.cut(failure);
  }

  close(): void {
    this.#stream.close();
  }

  #answered(events: AgentEvents, member: string, answer: MemberAnswer): void {
    if (answer.type !== 'prepared') return events.memberAnswered?.(member, answer);
    return this.#gate.prepared(member, () => {
      if (!this.#isLost) events.memberAnswered?.(member, answer);
    });
  }
}
