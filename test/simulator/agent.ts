import type { MemberRuntime } from '../../agent/member-runtime.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import type { MemberAnswer, MemberCommand } from '../../shared/domain/messages.ts';
import { formatToken, type Token } from '../../shared/domain/token.ts';
import type { Claim } from '../../shared/protocol/claim.ts';
import type { MemberEvent, MemberMachineState, MemberStep } from '../../shared/protocol/member-machine.ts';
import { CalledEngine } from './called-engine.ts';
import type { Connection } from './connection.ts';
import { ENGINE_DEADLINE, type SimulatedEngine } from './engine.ts';
import { Undoing } from './guard.ts';
import { LEASE_MS } from './limits.ts';
import { Process } from './process.ts';
import { SILENT_LOG } from './silent.ts';
import type { World } from './world.ts';

const SILENCE_MS = 6 * LEASE_MS;
/** When it is looked whether what is kept is still kept. */
const LOOK_EVERY = 500_000;
/** A guard whose agent died thaws within this. */
const GUARD_ACTS = 300_000;
/** A guard whose agent says nothing thaws after this: a little later than the agent itself would. */
const GUARD_PATIENCE = 1_250_000;

/** What one operation has on this host: its claim, and the real runtime of its member from the first command on. */
interface Work {
  connection: Connection;
  claim: Claim;
  runtime: MemberRuntime | null;
  /** As the runtime's machine stands. */
  machine: MemberMachineState | null;
  isEnding: boolean;
  /** Its guard died: what it had is aborted, and it listens to nothing more. */
  isDeaf: boolean;
  whenEnded: (() => void)[];
}

export type ClaimAnswer =
  | { readonly type: 'granted'; readonly highest: Token | null; readonly resumed: boolean }
  | { readonly type: 'busy' };

/** The daemon of one host with one member: claim, the member's runtime, disk, and a guard beside it. */
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
  aborts = 0;
  #made: Undoing | null = null;

  constructor(world: World, index: number, engine: SimulatedEngine) {
    super(world, `agent ${index}`);
    this.index = index;
    this.engine = engine;
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
      runtime: null,
      machine: null,
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
    this.#tell(work, (runtime) => runtime.streamResumed());
    answer({ type: 'granted', highest: this.recorded, resumed: true });
  }

  #mayBeResumed({ runtime, isDeaf }: Work): boolean {
    return runtime !== null && !isDeaf && runtime.mayBeResumed;
  }

  /** Whether a stream that is lost now costs nothing. */
  get hasKeepsake(): boolean {
    return this.#work !== null && this.#mayBeResumed(this.#work);
  }

  /** As its runtime says to the rest of the agent; null where it has nothing of the operation. */
  isFrozenFor(operation: string): boolean | null {
    const work = this.#work;
    return work?.claim.operation === operation ? (work.runtime?.isFrozen ?? null) : null;
  }

  commandReceived(connection: Connection, command: MemberCommand): void {
    const work = this.#held(connection);
    if (work === null) return this.#refuse(connection);
    this.#heard(work);
    if (work.isDeaf) return;
    this.world.checks.commandReceived(this, command);
    work.runtime ??= this.#begin(work);
    this.#tell(work, (runtime) => runtime.receive(command));
  }

  messageReceived(connection: Connection): void {
    const work = this.#held(connection);
    if (work === null) return;
    this.#heard(work);
    this.world.checks.messageReceived(this);
    this.#tell(work, (runtime) => runtime.messageReceived());
  }

  streamClosed(connection: Connection): void {
    const work = this.#work;
    if (work?.connection !== connection) return;
    this.world.note(this.name, 21, 0, () => 'stream closed');
    if (!work.isEnding) this.world.checks.streamClosed(this, work.machine?.phase.name ?? null);
    if (work.isEnding || !this.#mayBeResumed(work)) return this.#end(work, () => undefined);
    this.#tell(work, (runtime) => runtime.streamClosed());
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
    else this.#tell(work, (runtime) => runtime.operationEnded());
  }

  #ended(work: Work): void {
    if (this.#work === work) this.#work = null;
    this.world.note(this.name, 22, 0, () => `released by ${work.claim.operation}`);
    for (const then of work.whenEnded.splice(0)) then();
  }

  // The runtime, and what it needs of the world.

  #tell(work: Work, tell: (runtime: MemberRuntime) => void): void {
    if (work.runtime === null || this.#work !== work) return;
    tell(work.runtime);
    // Before time goes on, so does all in the runtime that waits for no more than its turn.
    this.world.tasks.wake(this, () => undefined);
  }

  #begin(work: Work): MemberRuntime {
    const { machines } = this.world;
    const { operation } = work.claim;
    const engine = new CalledEngine(this, operation, this.#undoing, () => work.machine?.phase ?? null);
    const runtime = new machines.runtime.MemberRuntime({
      machine: {
        ...machines.member,
        initialMember: (...given) => (work.machine = machines.member.initialMember(...given)),
        stepMember: (state, event) =>
          this.judged(() => this.#step(work, state, event), { state, effects: [] }),
      },
      clock: this.clock,
      priority: { raise: () => () => undefined, soon: (putBack) => putBack() },
      reached: () => Promise.resolve(),
      member: this.name,
      kind: this.engine.kind,
      engine,
      operation,
      state: {
        highestToken: () => this.recorded,
        makeSpool: () => Promise.resolve('spool'),
        dropSpool: () => Promise.resolve(),
      },
      store: {
        file: () => Promise.reject(new Error('the model of an engine stores by itself')),
        directory: () => undefined,
        symlink: () => undefined,
        finish: ({ token }) => engine.collect(token),
      },
      log: SILENT_LOG,
      operationSilenceMs: SILENCE_MS,
      leaseMs: LEASE_MS,
      send: (answer) => this.judged(() => this.#answer(work, answer), undefined),
      record: (token) => this.#record(token),
      heldChanged: () => undefined,
      progress: () => undefined,
      lost: () => undefined,
      waitsFor: () => undefined,
      undoLeft: () => this.#undoing?.undoOnce() ?? engine.openLeft(),
      saveUndo: () => Promise.resolve(),
    });
    void runtime.closed.then(() => {
      if (work.isEnding || work.machine?.streamLost === true) this.judged(() => this.#ended(work), undefined);
    });
    return runtime;
  }

  #step(work: Work, before: MemberMachineState, event: MemberEvent): MemberStep {
    if (event.type === 'engineAnswered')
      this.world.checks.engineAnswered(this, work.claim.operation, event.result);
    const stepped = this.world.machines.member.stepMember(before, event);
    work.machine = stepped.state;
    this.world.memberStepped(this, before, event, stepped.state);
    return stepped;
  }

  #record(token: Token): Promise<void> {
    const { random, tasks } = this.world;
    return tasks.promise(this, (recorded, failed) =>
      // A disk that is about to fail takes its time.
      this.after(random.between(20, this.recordFails || random.chance(0.05) ? 20_000 : 800), () => {
        if (this.recordFails) {
          this.recordFails = false;
          return failed(new StillpointError({ code: 'agent-disk', message: 'no space left', hint: 'none' }));
        }
        this.recorded = token;
        this.world.note(this.name, 23, token.attempt, () => `recorded ${formatToken(token)}`);
        recorded(undefined);
      }),
    );
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
      if (work === null || work.isDeaf || work.runtime === null) return;
      work.isDeaf = true;
      this.world.checks.toldToEnd(this);
      this.#tell(work, (runtime) => runtime.operationEnded());
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
}
