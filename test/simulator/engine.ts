import { BY_ITSELF, type Assignment } from '../../shared/domain/assignment.ts';
import { FOR_CHECKPOINT, type Purpose } from '../../shared/domain/purpose.ts';
import type { Suspension } from '../../shared/domain/messages.ts';
import { formatToken, type Token } from '../../shared/domain/token.ts';
import type { EngineCall, EngineResult } from '../../shared/protocol/member-machine.ts';
import { newAttempt, positionOf, type Attempted } from './attempted.ts';
import { failed, type Answer } from './engine-calls.ts';
import type { Fault } from './scenario.ts';
import { SimulatedServer, TRIED_EVERY } from './server.ts';

type EngineFault = Extract<Fault, { kind: 'engineFails' | 'engineRefuses' | 'engineHangs' | 'engineSlow' }>;

/** The engine opens by itself when nobody who lives has renewed its fence for so long. */
export const ENGINE_DEADLINE = 1_600_000;

/** A call that hangs fails after this at the latest. */
const HANGS = 5_000_000;

/**
 * The software of a member, as far as the protocol knows it: what an agent asks of its server. It tells the truth as far
 * as it knows it, and keeps what really happened.
 */
export class SimulatedEngine extends SimulatedServer {
  readonly faults: EngineFault[] = [];
  /** So many freezes from now will leak. */
  leaks = 0;
  /** What it was last prepared for. */
  assignment: Assignment = BY_ITSELF;
  #purpose: Purpose = FOR_CHECKPOINT;
  /** When its agent said last that it is still to be held. */
  #renewedAt = 0;
  collectedFor: string | null = null;
  /** The operation whose base copy is here. */
  preparedFor: string | null = null;
  readonly #pausedFor = new Set<string>();

  hasPaused(operation: string, token: Token): boolean {
    return this.#pausedFor.has(`${operation} ${formatToken(token)}`);
  }

  // What the agent asks for.

  perform(action: EngineCall, operation: string, answer: Answer): void {
    if (action.type === 'abort') return this.#abort(answer);
    const { timeline, random } = this.world;
    const pending = this.calls.begin(action, answer);
    const fault = this.isUp ? this.#takeFault(action.type) : undefined;
    if (!this.isUp || fault?.kind === 'engineFails' || fault?.kind === 'engineRefuses') {
      const cause = this.isUp ? 'refused' : 'nobody listens';
      return this.calls.later(action, () => {
        if (this.calls.current === pending) this.calls.giveUp(cause, fault?.kind === 'engineRefuses');
      });
    }
    const hangs = fault?.kind === 'engineHangs';
    if (hangs) {
      timeline.after(HANGS, () => {
        if (this.calls.current === pending) this.calls.giveUp('no answer');
      });
      if (random.chance(0.5)) return;
    }
    this.calls.later(
      action,
      () => this.#act(action, operation, answer, hangs),
      fault?.kind === 'engineSlow' ? fault.forTime : 0,
    );
  }

  /** Nothing that was asked before goes on, and nothing that opens the fence meanwhile keeps it from ending. */
  #abort(answer: Answer): void {
    const number = this.calls.abort();
    this.world.timeline.after(this.world.random.between(50, 2000), () => {
      if (number !== this.calls.aborts) return;
      this.open('abort');
      this.preparedFor = null;
      if (!this.isFenced) this.armed = null;
      answer({ type: 'aborted', state: this.isUp ? 'running' : 'stopped' });
    });
  }

  #act(
    action: Exclude<EngineCall, { type: 'abort' }>,
    operation: string,
    answer: Answer,
    hangs: boolean,
  ): void {
    const pending = this.calls.current;
    const done = (result: EngineResult): void => {
      if (!hangs) this.calls.end(pending);
      if (!hangs) answer(result);
    };
    switch (action.type) {
      case 'prepare':
        this.world.checks.begins(this, operation);
        this.preparedFor = operation;
        this.assignment = action.assignment;
        this.#purpose = action.purpose;
        return done({ type: 'prepared' });
      case 'pause':
        if (!this.isPaused) this.shown = this.observed?.log.length ?? 0;
        this.isPaused = true;
        this.#pausedFor.add(`${operation} ${formatToken(action.token)}`);
        return done({ type: 'paused' });
      case 'disarm':
        if (this.isFenced) return this.calls.giveUp('it is fenced');
        this.armed = null;
        this.isPaused = false;
        return done({ type: 'disarmed' });
      case 'arm':
        if (this.isFenced) return this.calls.giveUp('it is still fenced');
        this.#arm(action.token, operation);
        return done({
          type: 'armed',
          incarnation: this.incarnation,
          viewing: this.viewing(),
        });
      case 'freeze':
        return this.#freeze(action, done);
      case 'thaw':
        return this.#thaw(action, done);
      case 'collect':
        if (this.armed !== null) this.armed.collected = true;
        this.collectedFor = operation;
        return done({ type: 'collected', manifestDigest: 'd', sizeBytes: 10, storedBytes: 5 });
    }
  }

  #arm(token: Token, operation: string): void {
    const attempted = newAttempt({
      operation,
      token,
      isSeenByStrangers: this.world.outsiders
        .at(this, this.world.now)
        .some(
          ({ kind, viewer }) =>
            kind === 'stranger' || (viewer.kind === 'logical' && !this.world.scenario.allowsLogical),
        ),
      stream: this.stream.current ?? 0,
    });
    this.armed = attempted;
    this.attempts.push(attempted);
    this.world.clientsWanted(15_000);
  }

  #freeze(action: Extract<EngineCall, { type: 'freeze' }>, answer: Answer): void {
    const armed = this.armed;
    if (armed === null) return answer(failed('freeze: nothing is armed'));
    this.world.checks.closing(this.index, armed, action.token);
    this.close(armed);
    if (this.#purpose.type === 'quiesce') this.#opensByItself(armed);
    this.world.note(
      `engine ${this.index}`,
      1,
      this.log.length,
      () => `fence closed, ${formatToken(action.token)}`,
    );
    if (this.leaks > 0) {
      this.leaks -= 1;
      this.world.timeline.after(this.world.random.between(0, 3000), () => this.#leak(armed));
    }
    const mark = (): void => {
      armed.markedAt = this.world.now;
      armed.cut = this.written.end;
      armed.cutsOfHeld = this.held.map(({ log }) => log.length);
      this.world.note(`engine ${this.index}`, 2, armed.cut, () => `marked at ${armed.cut}`);
      const incarnation = this.incarnation;
      const place = { journalFile: 'j', position: positionOf(armed), name: formatToken(action.token) };
      this.calls.later(action, () =>
        answer({
          type: 'marked',
          incarnation,
          mark: this.model === 'observer' ? null : place,
          fenceMs: 1,
          markMs: 1,
        }),
      );
    };
    if (this.model === 'instant') mark();
    else this.calls.later(action, mark);
  }

  /** What a quiesce holds ends by the engine's own clock, where nobody renews it. */
  #opensByItself(armed: Attempted): void {
    this.renew();
    const look = (): void => {
      if (this.armed !== armed || armed.openedAt !== null) return;
      const silent = this.world.now - this.#renewedAt;
      if (silent >= ENGINE_DEADLINE) this.open('deadline');
      if (this.isFenced) this.world.timeline.after(Math.max(TRIED_EVERY, ENGINE_DEADLINE - silent), look);
    };
    this.world.timeline.after(ENGINE_DEADLINE, look);
  }

  renew(): void {
    this.#renewedAt = this.world.now;
  }

  /** `answer`: a failure, or that it is done. */
  suspendWriting(operation: string, updatesWaitAfterMs: number, answer: Answer): void {
    const action = { type: 'prepare', checkpoint: operation, assignment: this.assignment } as const;
    this.#daemonCall({ ...action, maintenance: false, purpose: this.#purpose }, answer, (done) => {
      this.daemon.suspend(operation, updatesWaitAfterMs);
      done({ type: 'prepared' });
    });
  }

  /** It tells the truth as far as it knows it: a new process knows of no suspension. */
  resumeWriting(
    operation: string,
    token: Token,
    answer: (suspension: Suspension | EngineResult) => void,
  ): void {
    this.#daemonCall({ type: 'collect', token }, answer, () => {
      const last = this.daemon.history.findLast((one) => one.operation === operation);
      const suspension: Suspension =
        last?.until === null ? { held: true } : { held: false, cause: `resumed by ${last?.by ?? 'nobody'}` };
      this.daemon.resume('collect');
      this.calls.end(this.calls.current);
      answer(suspension);
    });
  }

  #daemonCall(
    action: Exclude<EngineCall, { type: 'abort' }>,
    answer: Answer,
    act: (done: (result: EngineResult) => void) => void,
  ): void {
    const pending = this.calls.begin(action, answer);
    this.calls.later(action, () => {
      if (!this.isUp) return this.calls.giveUp('nobody listens');
      act((result) => {
        this.calls.end(pending);
        answer(result);
      });
    });
  }

  /** At once, where it is held. */
  leakNow(): void {
    if (this.armed !== null) this.#leak(this.armed);
  }

  #leak(armed: Attempted): void {
    if (this.armed !== armed || !this.isFenced) return;
    armed.leaked = true;
    this.world.note(`engine ${this.index}`, 3, 0, () => 'something gets past the fence');
    this.shown = this.observed?.log.length ?? 0;
    if (this.observed !== null) this.shownAt.push(this.world.now);
    this.letIn();
    this.show();
  }

  #thaw(action: Extract<EngineCall, { type: 'thaw' }>, answer: Answer): void {
    const armed = this.armed;
    const incarnation = this.incarnation;
    const held =
      armed !== null &&
      formatToken(armed.token) === formatToken(action.token) &&
      armed.markedAt !== null &&
      armed.openedAt === null;
    if (armed !== null) armed.wasThawed = true;
    const leaked = armed?.leaked ?? false;
    const viewing = this.viewing(armed?.markedAt ?? undefined, armed?.stream);
    this.open('thaw');
    answer({ type: 'released', thawMs: 1 });
    // The proof comes a little later: the log must be searched for leaks.
    this.calls.later(action, () => {
      if (!held) {
        const cause = 'it was not held';
        answer({ type: 'thawed', proof: { type: 'alreadyResumed', incarnation, cause } });
      } else if (leaked) {
        answer({
          type: 'thawed',
          proof: { type: 'broken', incarnation, cause: 'a commit got past the fence' },
        });
      } else answer({ type: 'thawed', proof: { type: 'held', incarnation, viewing } });
    });
  }

  // What happens to it.

  /** Its agent's connections are gone with that; what it has changed here stays. */
  agentDied(): void {
    this.calls.giveUp('its agent died');
    this.calls.forgetAborts();
  }

  /** Nothing more goes wrong here; what hung fails. */
  heal(): void {
    this.leaks = 0;
    this.losesAcknowledgements = false;
    this.faults.length = 0;
    this.stream.connectAnew();
    this.start();
  }

  #takeFault(call: EngineCall['type']): EngineFault | undefined {
    if (this.faults.length === 0) return undefined;
    const index = this.faults.findIndex((fault) => fault.call === call);
    return index < 0 ? undefined : this.faults.splice(index, 1)[0];
  }
}
