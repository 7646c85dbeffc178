import { assertNever } from '../shared/domain/assert-never.ts';
import type { Failure } from '../shared/domain/errors.ts';
import { failureOf } from '../shared/domain/errors.ts';
import type { MemberAnswer, MemberCommand } from '../shared/domain/messages.ts';
import type * as coordinatorMachine from '../shared/protocol/coordinator-machine.ts';
import type {
  CommitProof,
  CoordinatorConfig,
  CoordinatorEffect,
  CoordinatorEvent,
  CoordinatorState,
  Held,
  Outcome,
} from '../shared/protocol/coordinator-machine.ts';
import { PHASE_ENTERED, RECEIVED, SENT } from '../shared/domain/trace.ts';
import type { Alarm, Clock } from '../shared/runtime/clock.ts';
import type { Logger } from '../shared/runtime/log.ts';
import type { ProcessTracer } from '../shared/runtime/process-tracer.ts';
import type { AgentEvents } from './agents.ts';
import type { AnswerCheck } from './answer-check.ts';
import type { Cancellation } from './cancellation.ts';
import type { ProgressView } from './progress.ts';

/** What a run needs of the world. The simulator hands in one of its own (test/simulator). */
export interface CheckpointRunInput<Stream extends AgentStream> {
  readonly config: CoordinatorConfig;
  readonly machine: Pick<
    typeof coordinatorMachine,
    'initialCoordinator' | 'stepCoordinator' | 'nextDeadline'
  >;
  readonly clock: Clock;
  /** The stream to every host, by its address; replaced when one is opened anew. */
  readonly streams: Map<string, Stream>;
  /** The address of the agent that has the member. */
  readonly addressOf: ReadonlyMap<string, string>;
  readonly answerCheck: Pick<AnswerCheck, 'sent' | 'received'>;
  readonly cancellation: Cancellation;
  readonly progress: Pick<ProgressView, 'phase' | 'bytes' | 'note'>;
  readonly log: Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;
  /** Not set: nobody has asked for its steps. */
  readonly tracer?: Pick<ProcessTracer, 'note' | 'sample'>;
  /** Raises the priority of this process; what it gives puts that back. */
  raisePriority(): () => void;
  /** `resumed`: the agent has kept the work of this operation. */
  reconnect(address: string): Promise<{ stream: Stream; resumed: boolean }>;
  /** Durable when it resolves. */
  commit(proof: CommitProof): Promise<void>;
  readonly job?: RunningJob;
}

/** Of what lasts until it is let go. */
export interface RunningJob {
  /** Everybody is held. */
  holding(held: Held): void;
  /** Somebody who may wants it to end. */
  letGoAsked(holder: string): void;
  memberFailed(member: string, failure: Failure): void;
  /** Members whose time is over tell so at one moment: so long the first waits, so that the others are heard too. */
  readonly gatherMs: number;
}

/** The stream to one agent. */
export interface AgentStream {
  events: AgentEvents;
  readonly isClosed: boolean;
  command(member: string, command: MemberCommand): void;
  /** Ends it for this reason, of which its events then tell. */
  cut(failure: Failure): void;
  close(): void;
}

const RECONNECT_EVERY_MS = 250;
/** With these it is the connection that failed; any other is what an agent said, or was caught at. */
const OF_THE_CONNECTION = ['agent-lost', 'agent-unreachable'];

/**
 * Drives the coordinator's machine for one checkpoint: what agents say and what time it is become events,
 * the machine's effects become messages. All decisions are the machine's.
 */
export class CheckpointRun<Stream extends AgentStream> {
  readonly #input: CheckpointRunInput<Stream>;
  readonly #finished: (outcome: Outcome) => void;
  readonly #alarm: Alarm;
  #state: CoordinatorState;
  readonly #reconnecting = new Set<string>();
  #over = false;
  #gathered: [string, MemberAnswer][] | null = null;
  #hasGathered = false;
  #restorePriority: (() => void) | null = null;

  /** `finished` is called once, and after it nothing is sent any more. */
  constructor(input: CheckpointRunInput<Stream>, finished: (outcome: Outcome) => void) {
    this.#input = input;
    this.#finished = finished;
    this.#alarm = input.clock.alarm(() => this.#dispatch({ type: 'timePassed', now: this.#now() }));
    this.#state = input.machine.initialCoordinator(input.config);
  }

  start(): void {
    for (const [address, stream] of this.#input.streams) this.#listenTo(address, stream);
    const { signal, second } = this.#input.cancellation;
    const cancel = (): void =>
      this.#dispatch({ type: 'cancelled', now: this.#now(), failure: cancelled(signal) });
    signal.addEventListener('abort', cancel, { once: true });
    second.addEventListener('abort', cancel, { once: true });
    this.#dispatch({ type: 'started', now: this.#now() });
    if (signal.aborted) cancel();
  }

  /** What was held is over when the run has finished with it. Before all is held it is for nobody. */
  letGo(): void {
    this.#dispatch({ type: 'letGo', now: this.#now() });
  }

  /** Aborts everywhere. Where that is under way it goes on: whether it is waited for is for a person to say. */
  cancel(failure: Failure): void {
    if (this.#state.phase.name === 'aborting') return;
    this.#dispatch({ type: 'cancelled', now: this.#now(), failure });
  }

  #now(): number {
    return this.#input.clock.now();
  }

  #listenTo(address: string, stream: Stream): void {
    stream.events = {
      memberAnswered: (member, answer) => {
        const { tracer } = this.#input;
        if (answer.type === 'released') tracer?.sample();
        tracer?.note(RECEIVED[answer.type], member);
        const untrue = this.#input.answerCheck.received(address, member, answer);
        if (untrue !== null) {
          this.#input.log.error({ event: 'agentUntrue', address, member: untrue.member }, untrue.message);
          // Closed, it tells of itself: to every member that it has, with this as the reason.
          return stream.cut(untrue);
        }
        if (answer.type === 'failed') {
          this.#input.progress.note(`${member}: ${answer.failure.message}`);
          this.#input.job?.memberFailed(member, answer.failure);
        }
        this.#hear(member, answer);
      },
      letGoAsked: (holder) => this.#input.job?.letGoAsked(holder),
      progressed: ({ member, bytesDone, bytesTotal, waitsFor }) => {
        if (this.#input.addressOf.get(member) !== address) return;
        if (waitsFor !== '') this.#input.progress.note(`${member}: ${waitsFor}`);
        else if (bytesTotal > 0) this.#input.progress.bytes(member, bytesDone, bytesTotal);
      },
      closed: (failure) => {
        const mayReturn = OF_THE_CONNECTION.includes(failure.code);
        for (const member of this.#membersOf(address)) {
          this.#dispatch({ type: 'memberLost', now: this.#now(), member, failure, mayReturn });
        }
      },
    };
    if (stream.isClosed) stream.events.closed?.(lost(address));
  }

  /** In the order of their coming. What fails is let go of on its host already, and nothing can go forward. */
  #hear(member: string, answer: MemberAnswer): void {
    const gatherMs = this.#input.job?.gatherMs ?? 0;
    if (this.#gathered !== null) this.#gathered.push([member, answer]);
    else if (answer.type !== 'failed' || gatherMs === 0 || this.#hasGathered)
      this.#dispatch({ type: 'answerReceived', now: this.#now(), member, answer });
    else {
      this.#gathered = [[member, answer]];
      this.#hasGathered = true;
      void this.#input.clock.pause(gatherMs).then(() => {
        const gathered = this.#gathered ?? [];
        this.#gathered = null;
        for (const [from, said] of gathered) this.#hear(from, said);
      });
    }
  }

  #membersOf(address: string): string[] {
    return [...this.#input.addressOf].filter(([, of]) => of === address).map(([member]) => member);
  }

  #dispatch(event: CoordinatorEvent): void {
    if (this.#over) return;
    const { machine } = this.#input;
    const stepped = machine.stepCoordinator(this.#state, event);
    this.#state = stepped.state;
    for (const effect of stepped.effects) this.#perform(effect);
    this.#alarm.set(this.#over ? null : machine.nextDeadline(this.#state));
  }

  #perform(effect: CoordinatorEffect): void {
    const { progress, log, streams, addressOf, answerCheck } = this.#input;
    switch (effect.type) {
      case 'send':
        if (effect.command.type === 'arm') this.#restorePriority ??= this.#input.raisePriority();
        this.#input.tracer?.note(SENT[effect.command.type], effect.member);
        streams.get(addressOf.get(effect.member) ?? '')?.command(effect.member, effect.command);
        answerCheck.sent(effect.member, effect.command);
        return;
      case 'reconnect':
        void this.#reconnect(addressOf.get(effect.member) ?? '');
        return;
      case 'commit':
        void this.#commit(effect.proof);
        return;
      case 'holding':
        this.#restorePriority?.();
        this.#input.job?.holding(effect.held);
        return;
      case 'note':
        log.warn({ event: 'triedAgain' }, effect.text);
        progress.note(effect.text);
        return;
      case 'enter':
        if (effect.phase === 'collect') this.#restorePriority?.();
        if (effect.phase === 'freeze') this.#input.tracer?.sample();
        this.#input.tracer?.note(PHASE_ENTERED[effect.phase], '');
        log.info({ event: 'phase', phase: effect.phase, attempt: effect.attempt }, effect.phase);
        progress.phase(null, effect.phase, effect.attempt > 1 ? `attempt ${effect.attempt}` : undefined);
        return;
      case 'finish':
        this.#over = true;
        this.#restorePriority?.();
        this.#finished(effect.outcome);
        return;
      default:
        assertNever(effect);
    }
  }

  async #commit(proof: CommitProof): Promise<void> {
    const failure = await this.#input.commit(proof).then(
      () => null,
      (error: unknown) => failureOf(error, { code: 'commit-failed', hint: 'look at the repository' }),
    );
    const now = this.#now();
    this.#dispatch(failure === null ? { type: 'committed', now } : { type: 'commitFailed', now, failure });
  }

  /** Until the agent answers or the run is over: how long it is worth it, the machine knows. */
  async #reconnect(address: string): Promise<void> {
    if (this.#reconnecting.has(address)) return;
    this.#reconnecting.add(address);
    while (!this.#over) {
      const reached = await this.#input.reconnect(address).catch((error: unknown) => {
        this.#input.log.debug({ event: 'reconnectFailed', address, err: error }, 'agent not reached yet');
        return null;
      });
      if (reached === null) {
        await this.#input.clock.pause(RECONNECT_EVERY_MS);
        continue;
      }
      const { stream, resumed } = reached;
      if (this.#over) return stream.close();
      this.#input.streams.set(address, stream);
      this.#reconnecting.delete(address);
      this.#listenTo(address, stream);
      for (const member of this.#membersOf(address)) {
        this.#dispatch({ type: 'memberReconnected', now: this.#now(), member, resumed });
      }
      return;
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
