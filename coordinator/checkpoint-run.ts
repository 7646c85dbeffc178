import { assertNever } from '../shared/domain/assert-never.ts';
import type { Failure } from '../shared/domain/errors.ts';
import { failureOf } from '../shared/domain/errors.ts';
import {
  initialCoordinator,
  nextDeadline,
  stepCoordinator,
  type CommitProof,
  type CoordinatorConfig,
  type CoordinatorEffect,
  type CoordinatorEvent,
  type Outcome,
} from '../shared/protocol/coordinator-machine.ts';
import { reach } from '../shared/runtime/hooks.ts';
import type { Logger } from '../shared/runtime/log.ts';
import { beUrgent } from '../shared/runtime/urgency.ts';
import type { AgentConnection } from './agents.ts';
import type { AnswerCheck } from './answer-check.ts';
import type { Cancellation } from './cancellation.ts';
import type { ProgressView } from './progress.ts';

export interface CheckpointRunInput {
  readonly config: CoordinatorConfig;
  /** The connection of every host, by its address; replaced when one is opened anew. */
  readonly connections: Map<string, AgentConnection>;
  /** The address of the agent that has the member. */
  readonly addressOf: ReadonlyMap<string, string>;
  readonly answerCheck: AnswerCheck;
  readonly cancellation: Cancellation;
  readonly progress: ProgressView;
  readonly log: Logger;
  /** `resumed`: the agent has kept the work of this operation. */
  reconnect(address: string): Promise<{ connection: AgentConnection; resumed: boolean }>;
  commit(proof: CommitProof): Promise<void>;
}

const RECONNECT_EVERY_MS = 250;
/** With these it is the connection that failed; any other is what an agent said, or was caught at. */
const OF_THE_CONNECTION = ['agent-lost', 'agent-unreachable'];

/**
 * Drives the coordinator's machine for one checkpoint: what agents say and what time it is become events,
 * the machine's effects become messages. All decisions are the machine's.
 */
export function runCheckpoint(input: CheckpointRunInput): Promise<Outcome> {
  return new Promise((resolve) => new CheckpointRun(input, resolve).start());
}

class CheckpointRun {
  readonly #input: CheckpointRunInput;
  readonly #finished: (outcome: Outcome) => void;
  #state: ReturnType<typeof initialCoordinator>;
  #timer: NodeJS.Timeout | null = null;
  readonly #reconnecting = new Set<string>();
  #over = false;
  #calmDown: (() => void) | null = null;

  constructor(input: CheckpointRunInput, finished: (outcome: Outcome) => void) {
    this.#input = input;
    this.#finished = finished;
    this.#state = initialCoordinator(input.config);
  }

  start(): void {
    for (const [address, connection] of this.#input.connections) this.#listenTo(address, connection);
    const { signal, second } = this.#input.cancellation;
    const cancel = (): void =>
      this.#dispatch({ type: 'cancelled', now: performance.now(), failure: cancelled(signal) });
    signal.addEventListener('abort', cancel, { once: true });
    second.addEventListener('abort', cancel, { once: true });
    this.#dispatch({ type: 'started', now: performance.now() });
    if (signal.aborted) cancel();
  }

  #listenTo(address: string, connection: AgentConnection): void {
    connection.events = {
      memberAnswered: (member, answer) => {
        const untrue = this.#input.answerCheck.received(address, member, answer);
        if (untrue !== null) {
          this.#input.log.error({ event: 'agentUntrue', address, member: untrue.member }, untrue.message);
          // Closed, it tells of itself: to every member that it has, with this as the reason.
          return connection.cut(untrue);
        }
        if (answer.type === 'failed') this.#input.progress.note(`${member}: ${answer.failure.message}`);
        this.#dispatch({ type: 'answerReceived', now: performance.now(), member, answer });
      },
      progressed: ({ member, bytesDone, bytesTotal, waitsFor }) => {
        if (this.#input.addressOf.get(member) !== address) return;
        if (waitsFor !== '') this.#input.progress.note(`${member}: ${waitsFor}`);
        else if (bytesTotal > 0) this.#input.progress.bytes(member, bytesDone, bytesTotal);
      },
      closed: (failure) => {
        const mayReturn = OF_THE_CONNECTION.includes(failure.code);
        for (const member of this.#membersOf(address)) {
          this.#dispatch({ type: 'memberLost', now: performance.now(), member, failure, mayReturn });
        }
      },
    };
    if (connection.isClosed) connection.events.closed?.(lost(address));
  }

  #membersOf(address: string): string[] {
    return [...this.#input.addressOf].filter(([, of]) => of === address).map(([member]) => member);
  }

  #dispatch(event: CoordinatorEvent): void {
    if (this.#over) return;
    const stepped = stepCoordinator(this.#state, event);
    this.#state = stepped.state;
    for (const effect of stepped.effects) this.#perform(effect);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const deadline = this.#over ? null : nextDeadline(this.#state);
    if (deadline === null) return;
    const waitMs = Math.max(0, Math.ceil(deadline - performance.now()));
    this.#timer = setTimeout(() => this.#dispatch({ type: 'timePassed', now: performance.now() }), waitMs);
  }

  #perform(effect: CoordinatorEffect): void {
    const { progress, log, connections, addressOf, answerCheck } = this.#input;
    switch (effect.type) {
      case 'send':
        if (effect.command.type === 'arm') this.#calmDown ??= beUrgent();
        connections.get(addressOf.get(effect.member) ?? '')?.command(effect.member, effect.command);
        answerCheck.sent(effect.member, effect.command);
        return;
      case 'reconnect':
        void this.#reconnect(addressOf.get(effect.member) ?? '');
        return;
      case 'commit':
        void this.#commit(effect.proof);
        return;
      case 'note':
        log.warn({ event: 'triedAgain' }, effect.text);
        progress.note(effect.text);
        return;
      case 'enter':
        if (effect.phase === 'collect') this.#calmDown?.();
        log.info({ event: 'phase', phase: effect.phase, attempt: effect.attempt }, effect.phase);
        progress.phase(null, effect.phase, effect.attempt > 1 ? `attempt ${effect.attempt}` : undefined);
        return;
      case 'finish':
        this.#over = true;
        this.#calmDown?.();
        this.#finished(effect.outcome);
        return;
      default:
        assertNever(effect);
    }
  }

  async #commit(proof: CommitProof): Promise<void> {
    try {
      await reach('committing', 'coordinator');
      await this.#input.commit(proof);
      await reach('committed', 'coordinator');
      this.#dispatch({ type: 'committed', now: performance.now() });
    } catch (error) {
      const failure = failureOf(error, { code: 'commit-failed', hint: 'look at the repository' });
      this.#dispatch({ type: 'commitFailed', now: performance.now(), failure });
    }
  }

  /** Until the agent answers or the run is over: how long it is worth it, the machine knows. */
  async #reconnect(address: string): Promise<void> {
    if (this.#reconnecting.has(address)) return;
    this.#reconnecting.add(address);
    while (!this.#over) {
      try {
        const { connection, resumed } = await this.#input.reconnect(address);
        if (this.#over) return connection.close();
        this.#input.connections.set(address, connection);
        this.#reconnecting.delete(address);
        this.#listenTo(address, connection);
        for (const member of this.#membersOf(address)) {
          this.#dispatch({ type: 'memberReconnected', now: performance.now(), member, resumed });
        }
        return;
      } catch (error) {
        this.#input.log.debug({ event: 'reconnectFailed', address, err: error }, 'agent not reached yet');
        await new Promise((resolve) => setTimeout(resolve, RECONNECT_EVERY_MS));
      }
    }
  }
}

function cancelled(signal: AbortSignal): Failure {
  return failureOf(signal.reason, { code: 'interrupted', hint: 'start it again when you are ready' });
}

function lost(address: string): Failure {
  return {
    code: 'agent-lost',
    message: `the connection to the agent at ${address} ended`,
    hint: "look at the agent's log",
  };
}
