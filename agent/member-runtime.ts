import { failureOf, StillpointError, type Failure, type MemberState } from '../shared/domain/errors.ts';
import type { MemberCommand } from '../shared/domain/messages.ts';
import { assertNever } from '../shared/domain/assert-never.ts';
import { formatToken } from '../shared/domain/token.ts';
import { isHeldForJob } from '../shared/protocol/member-step.ts';
import type {
  EngineCall,
  EngineResult,
  MemberEffect,
  MemberEvent,
  MemberMachineState,
} from '../shared/protocol/member-machine.ts';
import type { Alarm } from '../shared/runtime/clock.ts';
import { Capture } from './capture.ts';
import type { Engine } from './engines/engine.ts';
import { GrowingPause } from './growing-pause.ts';
import type { MemberRuntimeContext } from './member-runtime-context.ts';
import { messagesOf, type OperationMessages } from './operation-messages.ts';

/**
 * Performs the effects of one member's machine: the machine decides, the runtime acts and tells it what came
 * of it. Effects are performed in their order, and one that makes something durable is awaited before the
 * next begins; engine calls are started and answer later, as events.
 */
export class MemberRuntime {
  readonly closed: Promise<void>;
  readonly #context: MemberRuntimeContext;
  readonly #alarm: Alarm;
  #state: MemberMachineState;
  #capture: Capture | null = null;
  #messages: OperationMessages | null = null;
  #spool: string | null = null;
  /** An abort that comes while its parts are made waits for them: else it would find nothing, and prepare would go on. */
  #opening: Promise<void> = Promise.resolve();
  #effects: MemberEffect[] = [];
  #performing = false;
  /** Its part of the checkpoint is in the repository: what ends then is not given up. */
  #isStored = false;
  #resolveClosed: () => void = () => undefined;
  #abortFailure: Failure | null = null;
  #restorePriority: () => void = () => undefined;

  constructor(context: MemberRuntimeContext) {
    this.#context = context;
    const { member, kind, operationSilenceMs, leaseMs, clock, machine } = context;
    this.#alarm = clock.alarm(() => this.#timePassed());
    this.#state = machine.initialMember(
      { member, kind, operationSilenceMs, leaseMs },
      context.state.highestToken(),
      clock.now(),
    );
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  get isFrozen(): boolean {
    return this.#state.isFrozen;
  }

  get isHeldForJob(): boolean {
    return isHeldForJob(this.#state);
  }

  /** Why an abort that is under way has not ended yet; null where nothing keeps it. */
  get abortFailure(): Failure | null {
    return this.#abortFailure;
  }

  /** As far as its hold can go before it is armed. */
  async rehearse(part: 'freeze' | 'thaw'): Promise<void> {
    if (this.#state.phase.name === 'prepared') await this.#capture?.rehearse(part);
  }

  receive(command: MemberCommand): void {
    this.#dispatch({ type: 'commandReceived', now: this.#now(), command });
    // Only now: clients may be waiting for what it begins.
    if (command.type === 'renew') return;
    const token = 'token' in command && command.token !== null ? formatToken(command.token) : null;
    this.#context.log.info(
      { event: command.type, member: this.#context.member, token },
      `${command.type} received`,
    );
  }

  messageReceived(): void {
    this.#dispatch({ type: 'messageReceived', now: this.#now() });
  }

  streamClosed(): void {
    this.#dispatch({ type: 'streamClosed', now: this.#now() });
  }

  streamResumed(): void {
    this.#dispatch({ type: 'streamResumed', now: this.#now() });
  }

  operationEnded(): void {
    this.#dispatch({ type: 'operationEnded', now: this.#now() });
  }

  get mayBeResumed(): boolean {
    return this.#context.machine.mayBeResumed(this.#state);
  }

  guardThawed(): void {
    this.#dispatch({ type: 'guardThawed', now: this.#now() });
  }

  #now(): number {
    return this.#context.clock.now();
  }

  #dispatch(event: MemberEvent): void {
    const { machine } = this.#context;
    const { isFrozen } = this.#state;
    const stepped = machine.stepMember(this.#state, event);
    this.#state = stepped.state;
    this.#effects.push(...stepped.effects);
    this.#alarm.set(machine.nextMemberDeadline(this.#state));
    if (this.#state.isFrozen !== isFrozen) this.#context.heldChanged();
    if (!this.#performing) void this.#perform();
  }

  /** What a member does by its own clock nobody has asked for: its log is the only place that says why. */
  #timePassed(): void {
    const { name: before } = this.#state.phase;
    this.#dispatch({ type: 'timePassed', now: this.#now() });
    const { name: after } = this.#state.phase;
    if (after === before) return;
    this.#context.log.warn(
      { event: 'outOfTime', member: this.#context.member, phase: before, leaseMs: this.#state.leaseMs },
      `${before} for too long: the lease ran out or the coordinator is silent; the member lets go`,
    );
  }

  async #perform(): Promise<void> {
    this.#performing = true;
    for (let effect = this.#effects.shift(); effect !== undefined; effect = this.#effects.shift()) {
      switch (effect.type) {
        case 'record':
          try {
            await this.#context.record(effect.token, this.#state.leaseMs);
          } catch (error) {
            this.#recordFailed(error);
          }
          break;
        case 'engine':
          void this.#call(effect.call, effect.action);
          break;
        case 'answer':
          this.#context.send(effect.answer);
          break;
        case 'renew':
          this.#capture?.renew();
          break;
        case 'closed':
          this.#alarm.set(null);
          this.#resolveClosed();
          break;
        default:
          assertNever(effect);
      }
    }
    this.#performing = false;
  }

  /** A token that is not on disk must not close a fence: drop the engine call that relied on it. */
  #recordFailed(error: unknown): void {
    const failure = failureOf(error, {
      code: 'agent-disk',
      hint: "look at the disk of the agent's state directory",
    });
    const relying = this.#effects.filter((effect) => effect.type === 'engine');
    this.#effects = this.#effects.filter((effect) => effect.type !== 'engine');
    for (const effect of relying) {
      this.#dispatch({
        type: 'engineAnswered',
        now: this.#now(),
        call: effect.call,
        result: { type: 'failed', failure },
      });
    }
  }

  async #call(call: number, action: EngineCall): Promise<void> {
    const answer = (result: EngineResult): void => {
      this.#dispatch({ type: 'engineAnswered', now: this.#now(), call, result });
    };
    try {
      await this.#act(action, answer);
    } catch (error) {
      const failure = failureOf(error, { code: 'agent-failed', hint: "see the agent's log" });
      this.#context.log.error(
        { event: 'engineFailed', member: this.#context.member, call: action.type, err: error },
        failure.message,
      );
      if (action.type === 'freeze') this.#messages?.notQuiesced(failure);
      answer({ type: 'failed', failure });
    }
  }

  async #act(action: EngineCall, answer: (result: EngineResult) => void): Promise<void> {
    const { engine, priority } = this.#context;
    switch (action.type) {
      case 'prepare':
        this.#opening = this.#openCapture(action);
        await this.#opening;
        this.#messages?.suspending();
        await this.#opened().prepare();
        await this.#context.reach('prepared');
        return answer({ type: 'prepared' });
      case 'pause':
        await this.#opened().pause();
        await this.#context.reach('paused');
        return answer({ type: 'paused' });
      case 'arm': {
        this.#restorePriority();
        this.#restorePriority = priority.raise();
        const armed = await this.#opened().arm(action.token);
        await this.#context.reach('armed');
        return answer({ type: 'armed', ...armed });
      }
      case 'disarm':
        await this.#opened().disarm();
        this.#restorePriority();
        return answer({ type: 'disarmed' });
      case 'freeze': {
        const receivedAt = this.#now();
        this.#messages?.quiescing();
        const held = await this.#opened().freeze(action.token);
        await this.#context.reach('marked');
        const { incarnation, mark, fencedAt, markedAt } = held;
        this.#messages?.quiesced(action.token, mark);
        return answer({
          type: 'marked',
          incarnation,
          mark,
          fenceMs: fencedAt - receivedAt,
          markMs: markedAt - fencedAt,
        });
      }
      case 'thaw': {
        await this.#context.reach('thawing');
        const receivedAt = this.#now();
        this.#messages?.resuming();
        const proof = await this.#opened().thaw(action.token, () => {
          answer({ type: 'released', thawMs: this.#now() - receivedAt });
          priority.soon(this.#restorePriority);
        });
        this.#messages?.resumed(proof);
        await this.#context.reach('released');
        return answer({ type: 'thawed', proof });
      }
      case 'collect': {
        this.#messages?.thawing();
        const { suspension, ...collected } = await this.#opened().collect();
        if (suspension !== undefined) this.#messages?.thawed(suspension);
        const stored = await this.#context.store.finish({ ...collected, token: action.token });
        this.#isStored = true;
        await this.#opened().close();
        await this.#dropSpool();
        await this.#context.reach('collected');
        return answer({ type: 'collected', ...stored, ...(suspension !== undefined && { suspension }) });
      }
      case 'abort':
        return answer({ type: 'aborted', state: await this.#abort(engine) });
      default:
        return assertNever(action);
    }
  }

  #opened(): Capture {
    if (this.#capture !== null) return this.#capture;
    throw new StillpointError({
      code: 'not-prepared',
      message: 'nothing was prepared on this member',
      hint: 'start the checkpoint anew',
    });
  }

  async #openCapture(asked: Extract<EngineCall, { type: 'prepare' }>): Promise<void> {
    const { checkpoint, assignment, maintenance, purpose } = asked;
    const { member, kind, engine, operation, state, store, progress, time, log } = this.#context;
    this.#messages = messagesOf({ name: member, engine }, { purpose, time, log });
    this.#spool = await state.makeSpool(operation, member);
    const parts = engine.begin({
      checkpoint,
      assignment,
      freezeKind: kind,
      maintenance,
      purpose,
      leaseMs: () => this.#state.leaseMs,
      spoolDirectory: this.#spool,
      artifacts: store,
      progress,
      lost: (error) =>
        this.#context.lost(failureOf(error, { code: 'agent-failed', hint: "see the agent's log" })),
      // The guard waits a little longer than the lease, so that the agent's own thaw comes first.
      saveUndo: (undo) => this.#context.saveUndo(undo, this.#state.leaseMs + 1000),
      waitsFor: (cause) => this.#context.waitsFor(cause),
      reach: (moment) => this.#context.reach(moment),
      step: (step, atMs) => this.#context.step?.(step, atMs),
    });
    this.#capture = new Capture(parts, assignment, purpose);
  }

  /**
   * Resolves when the member runs or is known to be down; keeps trying while it can be neither. What the operation had
   * on this host is gone after the first try, whatever becomes of the undo.
   */
  async #abort(engine: Pick<Engine, 'isRunning'>): Promise<MemberState> {
    const { log, member } = this.#context;
    await this.#opening.catch(() => undefined);
    const pause = new GrowingPause(this.#context.clock);
    for (;;) {
      this.#abortFailure = await this.#tryAbort();
      if (this.#abortFailure === null) break;
      if (pause.failed(this.#abortFailure))
        log.error(
          { event: 'abortFailed', member, failure: this.#abortFailure },
          `abort failed, trying again: ${this.#abortFailure.message}`,
        );
      await this.#leaveSpool();
      if (await isDown(engine)) break;
      await pause.wait();
    }
    this.#abortFailure = null;
    this.#restorePriority();
    this.#messages?.over();
    await this.#leaveSpool();
    if (this.#isStored) log.info({ event: 'closed', member }, 'its part is stored, and nothing is left here');
    else log.info({ event: 'aborted', member }, 'nothing of the operation is left');
    return (await isDown(engine)) ? 'stopped' : 'running';
  }

  async #tryAbort(): Promise<Failure | null> {
    try {
      await this.#capture?.abort();
      return this.#capture === null ? await this.#context.undoLeft() : null;
    } catch (error) {
      return failureOf(error, { code: 'agent-failed', hint: "see the agent's log" });
    }
  }

  async #leaveSpool(): Promise<void> {
    await this.#dropSpool().catch((error: unknown) =>
      this.#context.log.warn(
        { event: 'spoolLeft', member: this.#context.member, err: error },
        'spool not removed',
      ),
    );
  }

  async #dropSpool(): Promise<void> {
    if (this.#spool !== null)
      await this.#context.state.dropSpool(this.#context.operation, this.#context.member);
    this.#spool = null;
  }
}

async function isDown(engine: Pick<Engine, 'isRunning'>): Promise<boolean> {
  try {
    return !(await engine.isRunning());
  } catch {
    return false;
  }
}
