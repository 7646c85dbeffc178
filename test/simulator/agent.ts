import type { MemberAnswer, MemberCommand } from '../../shared/domain/messages.ts';
import { formatToken, type Token } from '../../shared/domain/token.ts';
import type { Claim } from '../../shared/protocol/claim.ts';
import type {
  EngineResult,
  MemberEffect,
  MemberEvent,
  MemberMachineState,
} from '../../shared/protocol/member-machine.ts';
import type { Connection } from './connection.ts';
import { ENGINE_DEADLINE, type SimulatedEngine } from './engine.ts';
import { Undoing } from './guard.ts';
import { LEASE_MS } from './limits.ts';
import { Alarm, Process } from './process.ts';
import type { World } from './world.ts';

const SILENCE_MS = 6 * LEASE_MS;
/** When it is looked whether what is kept is still kept. */
const LOOK_EVERY = 500_000;
/** A guard whose agent died thaws within this. */
const GUARD_ACTS = 300_000;
/** A guard whose agent says nothing thaws after this: a little later than the agent itself would. */
const GUARD_PATIENCE = 1_250_000;

/** What one operation has on this host: its claim, and its member's machine from the first command on. */
interface Work {
  connection: Connection;
  claim: Claim;
  machine: MemberMachineState | null;
  effects: MemberEffect[];
  isPerforming: boolean;
  isEnding: boolean;
  /** Its guard died: what it had is aborted, and it listens to nothing more. */
  isDeaf: boolean;
  whenEnded: (() => void)[];
}

export type ClaimAnswer =
  | { readonly type: 'granted'; readonly highest: Token | null; readonly resumed: boolean }
  | { readonly type: 'busy' };

/** The daemon of one host with one member: claim, member machine, disk, and a guard beside it. */
export class SimulatedAgent extends Process {
  readonly index: number;
  readonly engine: SimulatedEngine;
  /** On disk: the highest token whose record was finished. */
  recorded: Token | null = null;
  recordFails = false;
  /** True time and own time of the last word from whoever holds the host. */
  lastWordAt = 0;
  guardLives = true;
  /** When it was killed or stopped last. */
  unableSince = 0;
  #work: Work | null = null;
  /** How often it was asked to abort: what was being stored before is wanted no more. */
  #aborts = 0;
  #alarm: Alarm;
  #made: Undoing | null = null;

  constructor(world: World, index: number, engine: SimulatedEngine) {
    super(world, `agent ${index}`);
    this.index = index;
    this.engine = engine;
    this.#alarm = this.#newAlarm();
  }

  /** The real one, where the scenario wants it; null: what it does is done by a model. */
  get #undoing(): Undoing | null {
    const { storage, scenario } = this.world;
    if (storage === null || !scenario.undoes) return null;
    this.#made ??= new Undoing(this.world, this);
    return this.#made;
  }

  /** Something of an earlier freeze is still to be undone: nothing new may begin here. */
  get isLeft(): boolean {
    return this.engine.isLeft || (this.#undoing?.isLeft ?? false);
  }

  // What coordinators say.

  claimReceived(connection: Connection, operation: string, answer: (answer: ClaimAnswer) => void): void {
    if (this.#undoing?.isStarting ?? false) return answer({ type: 'busy' });
    const work = this.#work;
    const { claim, lease } = this.world.machines;
    if (work !== null) {
      if (!work.isEnding) {
        const decision = claim.decideClaim(work.claim, operation, this.nowMs, this.#mayBeResumed(work));
        if (decision.type === 'refuse') {
          this.world.checks.refused(this, work.claim, operation);
          return answer({ type: 'busy' });
        }
        if (decision.type === 'resume') return this.#resume(work, connection, operation, answer);
        this.world.checks.takenOver(this, work.claim, operation);
      }
      this.#end(work, () => this.claimReceived(connection, operation, answer));
      return;
    }
    if (!connection.isOpenAt('agent')) return;
    const granted = lease.grantLease(LEASE_MS, this.nowMs);
    this.#work = {
      connection,
      claim: { operation, holder: connection.coordinator.name, lease: granted },
      machine: null,
      effects: [],
      isPerforming: false,
      isEnding: false,
      isDeaf: false,
      whenEnded: [],
    };
    this.lastWordAt = this.world.now;
    this.world.note(this.name, 20, 0, () => `claimed by ${operation}`);
    answer({ type: 'granted', highest: this.recorded, resumed: false });
  }

  #resume(
    work: Work,
    connection: Connection,
    operation: string,
    answer: (answer: ClaimAnswer) => void,
  ): void {
    if (!connection.isOpenAt('agent')) return;
    this.world.checks.resumed(this, work.claim, operation);
    work.connection = connection;
    this.#heard(work);
    this.world.note(this.name, 31, 0, () => `${operation} goes on, on a new stream`);
    this.#dispatch(work, { type: 'streamResumed', now: this.nowMs });
    answer({ type: 'granted', highest: this.recorded, resumed: true });
  }

  #mayBeResumed({ machine, isDeaf }: Work): boolean {
    return machine !== null && !isDeaf && this.world.machines.member.mayBeResumed(machine);
  }

  /** Whether a stream that is lost now costs nothing. */
  get hasKeepsake(): boolean {
    return this.#work !== null && this.#mayBeResumed(this.#work);
  }

  get aborts(): number {
    return this.#aborts;
  }

  commandReceived(connection: Connection, command: MemberCommand): void {
    const work = this.#held(connection);
    if (work === null) return this.#refuse(connection);
    this.#heard(work);
    if (work.isDeaf) return;
    this.world.checks.commandReceived(this, command);
    work.machine ??= this.world.machines.member.initialMember(
      { member: this.name, kind: this.engine.kind, operationSilenceMs: SILENCE_MS },
      this.recorded,
      this.nowMs,
    );
    this.#dispatch(work, { type: 'commandReceived', now: this.nowMs, command });
  }

  wordReceived(connection: Connection): void {
    const work = this.#held(connection);
    if (work === null) return;
    this.#heard(work);
    this.world.checks.wordReceived(this);
    if (work.machine !== null) this.#dispatch(work, { type: 'wordReceived', now: this.nowMs });
  }

  streamClosed(connection: Connection): void {
    const work = this.#work;
    if (work?.connection !== connection) return;
    this.world.note(this.name, 21, 0, () => 'stream closed');
    if (!work.isEnding) this.world.checks.streamClosed(this, work.machine?.phase.name ?? null);
    if (work.isEnding || !this.#mayBeResumed(work)) return this.#end(work, () => undefined);
    this.#dispatch(work, { type: 'streamClosed', now: this.nowMs });
    this.#watchKept(work);
  }

  /** What is kept for a stream that never comes ends when the coordinator was silent for too long. */
  #watchKept(work: Work): void {
    this.after(LOOK_EVERY, () => {
      if (this.#work !== work || work.isEnding || work.machine?.streamLost !== true) return;
      if (!this.wasPaused) this.world.checks.keepsFor(this, this.nowMs - work.machine.heardAt);
      this.#watchKept(work);
    });
  }

  #held(connection: Connection): Work | null {
    const work = this.#work;
    return work === null || work.connection !== connection || work.isEnding ? null : work;
  }

  /** A stream that lost the host, to a newcomer, stays open and is told so. */
  #refuse(connection: Connection): void {
    if (this.#work?.connection === connection) return;
    const failure = { code: 'not-claimed', message: 'this stream does not hold the grid', hint: 'none' };
    const answer: MemberAnswer = { type: 'refused', failure };
    connection.send('coordinator', () => connection.coordinator.answerReceived(connection, answer));
  }

  #heard(work: Work): void {
    this.lastWordAt = this.world.now;
    const lease = this.world.machines.lease.renewLease(work.claim.lease, this.nowMs);
    work.claim = { ...work.claim, lease };
  }

  /** Aborts what is under way; the host is free when that is done. */
  #end(work: Work, then: () => void): void {
    work.whenEnded.push(then);
    if (work.isEnding) return;
    work.isEnding = true;
    this.world.checks.toldToEnd(this);
    if (work.machine === null || work.machine.phase.name === 'closed') this.#ended(work);
    else this.#dispatch(work, { type: 'operationEnded', now: this.nowMs });
  }

  #ended(work: Work): void {
    if (this.#work === work) this.#work = null;
    this.world.note(this.name, 22, 0, () => `released by ${work.claim.operation}`);
    for (const then of work.whenEnded.splice(0)) then();
  }

  // The machine and its effects.

  #dispatch(work: Work, event: MemberEvent): void {
    const before = work.machine;
    if (before === null || this.#work !== work) return;
    const { state, effects } = this.world.machines.member.stepMember(before, event);
    work.machine = state;
    this.world.memberStepped(this, before, event, state);
    work.effects.push(...effects);
    this.#alarm.set(this.world.machines.member.nextMemberDeadline(state));
    if (!work.isPerforming) this.#perform(work);
  }

  /** In their order; a record is on disk before the next begins. */
  #perform(work: Work): void {
    work.isPerforming = true;
    for (let effect = work.effects.shift(); effect !== undefined; effect = work.effects.shift()) {
      if (effect.type === 'record') return this.#record(work, effect.token);
      if (effect.type === 'answer') this.#answer(work, effect.answer);
      else if (effect.type === 'closed') {
        if (work.isEnding || work.machine?.streamLost === true) this.#ended(work);
      } else this.#callEngine(work, effect.call, effect.action);
    }
    work.isPerforming = false;
  }

  #record(work: Work, token: Token): void {
    const { random } = this.world;
    // A disk that is about to fail takes its time.
    this.after(random.between(20, this.recordFails || random.chance(0.05) ? 20_000 : 800), () => {
      if (this.recordFails) {
        this.recordFails = false;
        this.#recordFailed(work);
      } else {
        this.recorded = token;
        this.world.note(this.name, 23, token.attempt, () => `recorded ${formatToken(token)}`);
      }
      this.#perform(work);
    });
  }

  /** As the agent does: an engine call that relied on it is not made. */
  #recordFailed(work: Work): void {
    const failure = { code: 'agent-disk', message: 'no space left', hint: 'none' };
    const relying = work.effects.filter((effect) => effect.type === 'engine');
    work.effects = work.effects.filter((effect) => effect.type !== 'engine');
    for (const { call } of relying) {
      const result: EngineResult = { type: 'failed', failure };
      this.world.checks.engineAnswered(this, work.claim.operation, result);
      this.#dispatch(work, { type: 'engineAnswered', now: this.nowMs, call, result });
    }
  }

  #callEngine(work: Work, call: number, action: Extract<MemberEffect, { type: 'engine' }>['action']): void {
    this.world.note(this.name, 24, call, () => `engine: ${action.type}`);
    this.world.checks.engineCalled(this, work.claim.operation, action);
    const { life } = this;
    if (action.type === 'abort') this.#aborts += 1;
    if (action.type === 'arm' || action.type === 'pause')
      this.#undoing?.save(work.claim.operation, formatToken(action.token));
    const answered = (result: EngineResult): void => {
      this.world.checks.engineAnswered(this, work.claim.operation, result);
      this.#dispatch(work, { type: 'engineAnswered', now: this.nowMs, call, result });
    };
    this.engine.perform(action, work.claim.operation, (result) => {
      if (this.life === life) this.happen(() => this.#undoing?.engineAnswered(result));
      if (this.life !== life) return;
      this.happen(() => {
        if (result.type === 'collected' && this.world.storage !== null) this.#store(work, answered);
        else answered(result);
      });
    });
  }

  /** What the engine has collected goes into the real repository. */
  #store(work: Work, answer: (result: EngineResult) => void): void {
    const { operation } = work.claim;
    const attempted = this.engine.attempts.findLast((one) => one.operation === operation && one.collected);
    if (attempted === undefined) throw new Error(`${this.name} has collected nothing for ${operation}`);
    const aborts = this.#aborts;
    const isWanted = (): boolean => this.#aborts === aborts;
    this.world.storage?.store(this, attempted, isWanted, (result) => {
      if (isWanted()) answer(result);
    });
  }

  #answer(work: Work, answer: MemberAnswer): void {
    const { connection, claim } = work;
    this.world.checks.answered(this, claim.operation, answer);
    this.world.note(this.name, 25, answer.type.length, () => `says ${answer.type}`);
    connection.send('coordinator', () => connection.coordinator.answerReceived(connection, answer));
  }

  // What happens to it.

  override kill(): void {
    this.world.note(this.name, 26, 0, () => 'killed');
    this.unableSince = this.world.now;
    super.kill();
    this.#work = null;
    if (this.#undoing !== null) return this.#undoing.agentDied(!this.guardLives);
    if (this.guardLives) this.#guardActs(this.world.random.between(5000, GUARD_ACTS));
    this.#engineActs();
  }

  /** It undoes what its predecessor left, then listens. */
  override start(): void {
    if (this.isAlive) return;
    super.start();
    this.guardLives = true;
    this.#alarm = this.#newAlarm();
    this.world.note(this.name, 27, 0, () => 'started');
    if (this.#undoing === null) return this.engine.open('agentStart');
    this.engine.agentDied();
    this.#undoing.agentStarted();
  }

  override pause(): void {
    this.world.note(this.name, 28, 0, () => 'stopped');
    this.unableSince = this.world.now;
    super.pause();
    if (this.#undoing !== null) return;
    if (this.guardLives) this.#guardActs(GUARD_PATIENCE);
    this.#engineActs();
  }

  override resume(): void {
    this.world.note(this.name, 29, 0, () => 'goes on');
    super.resume();
  }

  /** Without a guard nobody may be frozen: the operation ends as if its coordinator had gone. */
  killGuard(): void {
    this.world.note(this.name, 30, 0, () => 'its guard died');
    this.guardLives = false;
    this.happen(() => {
      const work = this.#work;
      this.guardLives = true;
      if (work === null || work.isDeaf || work.machine === null) return;
      work.isDeaf = true;
      this.world.checks.toldToEnd(this);
      this.#dispatch(work, { type: 'operationEnded', now: this.nowMs });
    });
  }

  #guardActs(delay: number): void {
    this.#whileSilent(delay, () => this.engine.open('guard'));
  }

  #engineActs(): void {
    this.#whileSilent(ENGINE_DEADLINE, () => this.engine.open('deadline'));
  }

  /** It happens if the agent is as silent then as it is now. A server that is down is asked again. */
  #whileSilent(delay: number, happen: () => void): void {
    const { life, isAlive, isPaused } = this;
    const attempt = (): void => {
      if (this.life !== life || this.isAlive !== isAlive || this.isPaused !== isPaused) return;
      if (!this.engine.isUp) this.world.timeline.after(50_000, attempt);
      else happen();
    };
    this.world.timeline.after(delay, attempt);
  }

  #newAlarm(): Alarm {
    return new Alarm(this, () => {
      const work = this.#work;
      if (work !== null) this.#dispatch(work, { type: 'timePassed', now: this.nowMs });
    });
  }
}
