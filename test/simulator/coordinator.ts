import type { Failure } from '../../shared/domain/errors.ts';
import type { MemberAnswer, MemberCommand } from '../../shared/domain/messages.ts';
import type {
  CommitProof,
  CoordinatorEffect,
  CoordinatorEvent,
  CoordinatorState,
  Outcome,
} from '../../shared/protocol/coordinator-machine.ts';
import type { ClaimAnswer, SimulatedAgent } from './agent.ts';
import type { Connection } from './connection.ts';
import { checkEnding } from './ending.ts';
import { DEADLINES, LEASE_MS, MAX_ARMS, MAX_ATTEMPTS } from './limits.ts';
import { Alarm, Process } from './process.ts';
import { Broken } from './promises.ts';
import type { Storage } from './storage.ts';
import type { World } from './world.ts';

const CLAIM_TIMEOUT = 2_000_000;
const RECONNECT_EVERY = 250_000;
/** `refused`: another holds the grid, or an agent was not reached; nothing was touched. */
export type Ending = Outcome | { readonly kind: 'refused' };

/** One run of the command: claims every agent, the first before the others, then drives the machine. */
export class SimulatedCoordinator extends Process {
  ending: Ending | null = null;
  /** So many calls of the file system had been made when its commit began. */
  commitsFrom = Infinity;
  /** What it has to do after its end is done too. */
  hasExited = false;
  /** When it first said abort; null before. */
  abortsSince: number | null = null;
  readonly #isIgnorant: boolean;
  #phase: { type: MemberCommand['type'] | null; attempt: number; sinceMs: number } = {
    type: null,
    attempt: 0,
    sinceMs: 0,
  };
  #cancels = 0;
  #commits = false;
  #machine: CoordinatorState | null = null;
  /** The repository is asked before the machine begins. */
  #isAsking = false;
  #driven: ((ending: Ending) => void) | null = null;
  readonly #connections: (Connection | null)[];
  readonly #aborted = new Map<string, number>();
  readonly #reconnecting = new Set<number>();
  readonly #gone = new Set<string>();
  #disarmedAtMs: number | null = null;
  readonly #alarm: Alarm;

  constructor(world: World, number: number, isIgnorant: boolean) {
    super(world, `coordinator ${number}`);
    this.#isIgnorant = isIgnorant;
    this.#connections = world.agents.map(() => null);
    this.#alarm = new Alarm(this, () => this.#step({ type: 'timePassed', now: this.nowMs }));
    world.note(this.name, 40, number, () => 'started');
    this.after(world.random.between(200, 2000), () => this.#claimAll());
    this.after(CLAIM_TIMEOUT, () => {
      if (this.#machine === null && !this.#isAsking) this.#end({ kind: 'refused' });
    });
  }

  get isOver(): boolean {
    return this.ending !== null || !this.isAlive;
  }

  // Preflight, as far as the protocol needs it.

  #claimAll(): void {
    const { agents } = this.world;
    if (agents.some((agent) => !agent.isAlive)) return this.#end({ kind: 'refused' });
    for (const agent of agents) this.#connections[agent.index] = this.world.connect(this, agent);
    let missing = agents.length;
    let highest = this.world.repository.highestCounter;
    const claimed = (answer: ClaimAnswer): void => {
      if (this.#machine !== null || this.isOver) return;
      if (answer.type === 'busy') return this.#end({ kind: 'refused' });
      if (!this.#isIgnorant) highest = Math.max(highest, answer.highest?.counter ?? 0);
      missing -= 1;
      if (missing === agents.length - 1) {
        for (const other of agents.slice(1))
          this.#claim(this.#connections[other.index] as Connection, claimed);
      }
      if (missing > 0) return;
      if (agents.some(({ isLeft }) => isLeft)) this.#end({ kind: 'refused' });
      else this.#ask(highest);
    };
    this.#claim(this.#connections[0] as Connection, claimed);
  }

  /** A model of the repository has nothing to say; the real one is begun, swept, and left at the end. */
  #ask(highest: number): void {
    const { storage } = this.world;
    if (storage === null) return this.#begin(highest + 1);
    this.#isAsking = true;
    this.#keepAlive();
    storage.session(
      this,
      highest,
      (counter) =>
        new Promise((resolve) => {
          this.#driven = resolve;
          if (this.ending === null) this.#begin(counter);
          else resolve(this.ending);
        }),
      () => this.#end({ kind: 'refused' }),
    );
  }

  #claim(connection: Connection, answered: (answer: ClaimAnswer) => void): void {
    connection.sendSafely('agent', () =>
      connection.agent.claimReceived(connection, this.name, (answer) =>
        connection.sendSafely('coordinator', () => answered(answer)),
      ),
    );
  }

  #begin(counter: number): void {
    const patience = this.world.scenario.isPatient ? null : 3000;
    this.#machine = this.world.machines.coordinator.initialCoordinator({
      members: this.world.agents.map(({ name, engine }) => ({ name, kind: engine.kind })),
      checkpoint: this.name,
      maintenance: false,
      allowLogical: this.world.scenario.allowsLogical,
      epoch: 0,
      counter,
      leaseMs: LEASE_MS,
      maxAttempts: MAX_ATTEMPTS,
      maxArms: MAX_ARMS,
      deadlines: { ...DEADLINES, prepareMs: patience, collectMs: patience },
    });
    this.world.repository.sweeper = this.name;
    if (this.world.storage === null) this.#keepAlive();
    this.#step({ type: 'started', now: this.nowMs });
  }

  // The machine and its effects.

  #step(event: CoordinatorEvent): void {
    const before = this.#machine;
    if (before === null || this.isOver) return;
    const { coordinator } = this.world.machines;
    const { state, effects } = coordinator.stepCoordinator(before, event);
    this.#machine = state;
    this.world.coordinatorStepped(this, before, event, state);
    for (const effect of effects) this.#perform(effect);
    this.#alarm.set(this.isOver ? null : coordinator.nextDeadline(state));
  }

  #perform(effect: CoordinatorEffect): void {
    switch (effect.type) {
      case 'send': {
        const connection = this.#connections[this.#indexOf(effect.member)];
        const { command } = effect;
        if (command.type === 'abort') this.#aborts(effect.member);
        this.#checkTime(command.type, 'token' in command ? command.token?.attempt : 0);
        this.#checkArm(effect.member, command.type);
        this.world.note(this.name, 41, command.type.length, () => `to ${effect.member}: ${command.type}`);
        connection?.send('agent', () => connection.agent.commandReceived(connection, command));
        return;
      }
      case 'reconnect':
        if (this.#machine?.phase.name === 'aborting') this.#checkTime('abort');
        return this.#reconnect(this.#indexOf(effect.member));
      case 'commit':
        return this.#commit(effect.proof);
      case 'note':
      case 'enter':
        return;
      case 'finish':
        return this.#end(effect.outcome);
    }
  }

  /** From the first command of a kind to the first of the next; who is lost is connected anew for the abort. */
  #checkTime(type: MemberCommand['type'], attempt = 0): void {
    const { type: last, sinceMs } = this.#phase;
    if (type === last && (type === 'abort' || attempt === this.#phase.attempt)) return;
    const tookMs = this.nowMs - sinceMs;
    this.#phase = { type, attempt, sinceMs: this.nowMs };
    const rounds = new Set(this.world.engines.map(({ kind }) => kind)).size;
    const { pauseMs, armMs, disarmMs, armAgainMs, freezeMs, thawMs } = DEADLINES;
    // With one member there is nobody else to disarm before the pause.
    const betweenMs = type === 'arm' || type === 'pause' ? armAgainMs * 2 ** (MAX_ARMS - 2) : 0;
    const longestMs =
      {
        pause: pauseMs,
        arm: armMs + betweenMs,
        disarm: disarmMs + betweenMs,
        freeze: rounds * freezeMs,
        thaw: thawMs,
      }[last as string] ?? Infinity;
    if (tookMs > longestMs + 2 && !this.wasPaused)
      throw new Broken('in-time', `${this.name} says ${type} ${tookMs} ms after its first ${last}`);
  }

  /** Nobody is armed whose stream is known to be lost, and an arm that failed is not tried again at once. */
  #checkArm(member: string, type: MemberCommand['type']): void {
    if (type === 'disarm') this.#disarmedAtMs ??= this.nowMs;
    if (type !== 'arm' && type !== 'pause') return;
    if (this.#gone.has(member))
      throw new Broken('resumes', `${this.name} says ${type} to ${member}, which is lost`);
    const sinceMs = this.nowMs - (this.#disarmedAtMs ?? -Infinity);
    this.#disarmedAtMs = null;
    if (sinceMs < DEADLINES.armAgainMs)
      throw new Broken('pauses', `${this.name} says ${type} again ${sinceMs} ms after a disarm`);
  }

  #aborts(member: string): void {
    this.abortsSince ??= this.world.now;
    const times = (this.#aborted.get(member) ?? 0) + 1;
    this.#aborted.set(member, times);
    if (times > 2 * (DEADLINES.abortGiveUpMs / DEADLINES.abortRetryMs))
      throw new Broken('pauses', `${this.name} says abort to ${member} for the ${times}th time`);
  }

  #commit(proof: CommitProof): void {
    const { timeline, random, repository, storage } = this.world;
    this.#commits = true;
    if (storage !== null) return this.#commitReally(storage, proof);
    const survivesItsWriter = random.chance(0.5);
    timeline.after(random.between(100, 10_000), () => {
      if (!this.isAlive && !survivesItsWriter) return;
      if (repository.refuses || repository.sweeper !== this.name) {
        const message = repository.refuses ? 'no space left' : 'what it was to hold was swept';
        const failure = { code: 'commit-failed', message, hint: 'none' };
        return this.happen(() => this.#step({ type: 'commitFailed', now: this.nowMs, failure }));
      }
      // Durable from here on, whether the coordinator lives to see it or not.
      this.world.note(this.name, 42, proof.token.attempt, () => 'the commit object is durable');
      repository.commits.push({ operation: this.name, proof });
      this.world.checks.committed(this, proof);
      this.after(random.between(50, 2000), () => this.#step({ type: 'committed', now: this.nowMs }));
    });
  }

  #commitReally(storage: Storage, proof: CommitProof): void {
    this.world.checks.committed(this, proof);
    this.commitsFrom = storage.kernel.calls;
    storage.commit(
      this,
      proof,
      () => {
        this.world.note(this.name, 42, proof.token.attempt, () => 'the commit object is durable');
        this.world.repository.commits.push({ operation: this.name, proof });
        this.#step({ type: 'committed', now: this.nowMs });
      },
      ({ code, message }) => {
        const failure = { code, message, hint: 'none' };
        this.#step({ type: 'commitFailed', now: this.nowMs, failure });
      },
    );
  }

  #end(ending: Ending): void {
    if (this.ending !== null) return;
    this.ending = ending;
    this.world.note(
      this.name,
      43,
      ending.kind.length,
      () => `ends: ${ending.kind}${'failure' in ending ? `, ${ending.failure.message}` : ''}`,
    );
    checkEnding(this.world, this, ending);
    for (const connection of this.#connections) connection?.closeFrom('coordinator');
    const driven = this.#driven;
    if (driven !== null) this.world.storage?.kernel.wake(this, () => driven(ending));
    else if (!this.#isAsking) this.hasExited = true;
  }

  answerReceived(connection: Connection, answer: MemberAnswer): void {
    if (this.#connections[connection.agent.index] !== connection) return;
    this.#step({ type: 'answerReceived', now: this.nowMs, member: connection.agent.name, answer });
  }

  connectionLost(connection: Connection): void {
    if (this.#connections[connection.agent.index] !== connection || this.isOver) return;
    if (this.#machine === null) return this.#end({ kind: 'refused' });
    const failure: Failure = { code: 'agent-lost', message: `lost ${connection.agent.name}`, hint: 'none' };
    const member = connection.agent.name;
    this.#gone.add(member);
    this.#step({ type: 'memberLost', now: this.nowMs, member, failure, mayReturn: true });
  }

  /** Until the agent answers or the run is over. */
  #reconnect(index: number): void {
    if (this.#reconnecting.has(index)) return;
    this.#reconnecting.add(index);
    const agent = this.world.agents[index] as SimulatedAgent;
    const attempt = (): void => {
      if (this.isOver) return;
      if (!agent.isAlive || this.world.blocked(agent) !== null) return this.after(RECONNECT_EVERY, attempt);
      const connection = this.world.connect(this, agent);
      let isAnswered = false;
      const again = (): void => {
        connection.closeFrom('coordinator');
        this.after(RECONNECT_EVERY, attempt);
      };
      this.#claim(connection, (answer) => {
        if (isAnswered) return;
        isAnswered = true;
        if (answer.type === 'busy') return again();
        this.#connections[index]?.closeFrom('coordinator');
        this.#connections[index] = connection;
        this.#reconnecting.delete(index);
        this.#gone.delete(agent.name);
        const { resumed } = answer;
        this.#step({ type: 'memberReconnected', now: this.nowMs, member: agent.name, resumed });
      });
      this.after(CLAIM_TIMEOUT, () => {
        if (isAnswered) return;
        isAnswered = true;
        again();
      });
    };
    this.after(this.world.random.between(200, 2000), attempt);
  }

  #keepAlive(): void {
    this.after((LEASE_MS / 4) * 1000, () => {
      if (this.isOver) return;
      for (const connection of this.#connections) {
        if (connection?.isOpenAt('coordinator') ?? false)
          connection?.send('agent', () => connection.agent.wordReceived(connection));
      }
      this.#keepAlive();
    });
  }

  #indexOf(member: string): number {
    return this.world.agents.findIndex(({ name }) => name === member);
  }

  // What happens to it.

  /** Ctrl-C. */
  cancel(): void {
    this.happen(() => {
      this.world.note(this.name, 44, 0, () => 'Ctrl-C');
      if (this.#machine === null) return this.#end({ kind: 'refused' });
      const failure = { code: 'interrupted', message: 'interrupted', hint: 'none' };
      this.#step({ type: 'cancelled', now: this.nowMs, failure });
      this.#cancels += 1;
      if (this.#cancels === 2 && !this.isOver && !this.#commits)
        throw new Broken('ends', `${this.name} does not stop when it is told twice`);
    });
  }

  /** A process that dies closes its streams; a host that loses power says nothing. */
  die(isSilent: boolean): void {
    this.world.note(this.name, 45, Number(isSilent), () => (isSilent ? 'lost power' : 'killed'));
    for (const connection of this.#connections) {
      if (isSilent) connection?.vanish();
      else connection?.closeFrom('coordinator');
    }
    this.kill();
  }
}
