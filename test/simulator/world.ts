import type {
  CommitProof,
  CoordinatorEvent,
  CoordinatorState,
} from '../../shared/protocol/coordinator-machine.ts';
import type { MemberEvent, MemberMachineState } from '../../shared/protocol/member-machine.ts';
import { SimulatedAgent } from './agent.ts';
import { OperatorsBackups } from './backups.ts';
import { Checks } from './checks.ts';
import { Clients } from './clients.ts';
import { Connection } from './connection.ts';
import { SimulatedCoordinator } from './coordinator.ts';
import { numberOf, type Coverage } from './coverage.ts';
import { SimulatedEngine } from './engine.ts';
import { EventLog } from './event-log.ts';
import { strike } from './faults.ts';
import type { Machines } from './machines.ts';
import { Outsiders } from './outsiders.ts';
import { Random } from './random.ts';
import type { Process } from './process.ts';
import type { Fault, Scenario } from './scenario.ts';
import { Storage } from './storage.ts';
import { Tasks } from './tasks.ts';
import { Timeline } from './timeline.ts';

type Direction = 'toAgent' | 'toCoordinator' | 'both';

/** The repository, as far as the protocol needs it: an exclusive write, durable or refused. */
interface SimulatedRepository {
  readonly commits: { readonly operation: string; readonly proof: CommitProof }[];
  refuses: boolean;
  /** Who holds the grid sweeps what others have stored and not committed: it can be committed no more. */
  sweeper: string | null;
  readonly highestCounter: number;
}

/** What every message goes through. */
export interface Weather {
  loses: boolean;
  duplicates: boolean;
  reorders: boolean;
  isSlow: boolean;
}

/** All that exists in one run, and the only place where time passes and chance is drawn from. */
export class World {
  readonly scenario: Scenario;
  readonly machines: Machines;
  readonly timeline = new Timeline();
  readonly tasks = new Tasks();
  readonly random: Random;
  readonly log: EventLog;
  readonly checks: Checks;
  readonly backups: OperatorsBackups;
  readonly engines: readonly SimulatedEngine[];
  readonly outsiders: Outsiders;
  readonly agents: readonly SimulatedAgent[];
  readonly coordinators: SimulatedCoordinator[] = [];
  readonly weather: Weather = { loses: false, duplicates: false, reorders: false, isSlow: false };
  readonly repository: SimulatedRepository;
  /** The real one, where the scenario wants it. */
  readonly storage: Storage | null;
  readonly #coverage: Coverage;
  readonly #clients: Clients;
  readonly #blocked = new Map<SimulatedAgent, Direction>();
  readonly #connections: Connection[] = [];
  /** A stream was lost when somebody may have been armed, or had nothing to keep yet. */
  isLostLate = false;
  #faults: readonly Fault[];
  /** Of the first job that has the grid. */
  #faultsOfHold: readonly Fault[];
  #isHealed = false;
  #steps = 0;
  #clientsUntil = 0;
  #planned = 0;

  constructor(scenario: Scenario, machines: Machines, coverage: Coverage, isTraced: boolean) {
    this.scenario = scenario;
    this.machines = machines;
    this.random = new Random(scenario.seed + 0x5ee_d);
    this.log = new EventLog(isTraced);
    this.checks = new Checks(this);
    this.#coverage = coverage;
    this.#faults = scenario.faults.filter(({ heldFor }) => heldFor === undefined);
    this.#faultsOfHold = scenario.faults.filter(({ heldFor }) => heldFor !== undefined);
    const engines: SimulatedEngine[] = [];
    for (const [index, model] of scenario.models.entries()) {
      const observed = model === 'observer' ? (engines[0] ?? null) : null;
      engines.push(new SimulatedEngine(this, index, model, observed));
    }
    this.engines = engines;
    const [lead, ...held] = (scenario.domain ?? []).flatMap((member) => engines[member] ?? []);
    for (const one of held) one.isHeldBy(lead ?? one);
    this.outsiders = new Outsiders(this);
    this.agents = engines.map((engine) => new SimulatedAgent(this, engine.index, engine));
    const commits: SimulatedRepository['commits'] = [];
    this.repository = {
      commits,
      refuses: false,
      sweeper: null,
      get highestCounter() {
        return commits.reduce((highest, { proof }) => Math.max(highest, proof.token.counter), 0);
      },
    };
    this.storage = scenario.storage === null ? null : new Storage(this, scenario.storage);
    this.#clients = new Clients(this, scenario.clients);
    this.backups = new OperatorsBackups(this);
  }

  get now(): number {
    return this.timeline.now;
  }

  note(process: string, code: number, value: number, text: () => string): void {
    this.log.note(this.timeline.now, process, code, value, text);
  }

  // What the machines do.

  coordinatorStepped(
    coordinator: SimulatedCoordinator,
    before: CoordinatorState,
    event: CoordinatorEvent,
    after: CoordinatorState,
  ): void {
    const [from, to] = [before.phase.name, after.phase.name];
    if (event.type === 'memberLost' && before.holdSent) this.isLostLate = true;
    const isOpen = coordinator.job.purpose.type === 'freeze' ? 'committing' : 'collecting';
    if (to === isOpen) coordinator.hasProofs = true;
    const isRound =
      before.phase.name === 'freezing' &&
      after.phase.name === 'freezing' &&
      before.phase.round !== after.phase.round;
    const change = from !== to || isRound ? this.#coverage.coordinatorStepped(from, to) : 0;
    this.note(coordinator.name, 80 + numberOf(event), change, () => described(event, from, to));
    this.#stepped();
  }

  memberStepped(
    agent: SimulatedAgent,
    before: MemberMachineState,
    event: MemberEvent,
    after: MemberMachineState,
  ): void {
    const [from, to] = [before.phase.name, after.phase.name];
    const change = from === to ? 0 : this.#coverage.memberStepped(from, to);
    this.note(agent.name, 80 + numberOf(event), change, () => described(event, from, to));
    // With each command comes a word; faults are counted by what else happens.
    if (event.type !== 'messageReceived') this.#stepped();
  }

  #stepped(): void {
    this.#steps += 1;
    for (
      let fault = this.#faults[0];
      fault !== undefined && fault.step <= this.#steps;
      fault = this.#faults[0]
    ) {
      this.#faults = this.#faults.slice(1);
      const next = fault;
      // Not in the middle of a step.
      this.timeline.after(0, () => strike(this, next));
    }
  }

  holdBegan(): void {
    for (const fault of this.#faultsOfHold)
      this.timeline.after(fault.heldFor ?? 0, () => this.#strikes(fault));
    this.#faultsOfHold = [];
    this.backups.holdBegan();
    this.clientsWanted(15_000);
  }

  /** Not when faults have stopped. */
  #strikes(fault: Fault): void {
    if (!this.#isHealed) strike(this, fault);
  }

  // Coordinators.

  /** An ignorant one numbers its checkpoint by the repository alone, as if no host had ever armed a newer token. */
  startCoordinator(delay: number, isIgnorant = false): void {
    this.#planned += 1;
    this.timeline.after(delay, () => {
      this.#planned -= 1;
      this.coordinators.push(new SimulatedCoordinator(this, this.coordinators.length, isIgnorant));
    });
  }

  get isBusy(): boolean {
    const isRunning = this.coordinators.some(({ isAlive, hasExited }) => isAlive && !hasExited);
    return this.#planned > 0 || isRunning || (this.storage?.isBusy ?? false);
  }

  /** All that are alive or were. */
  processes(): Process[] {
    return [...this.agents, ...this.coordinators, ...(this.storage?.operators ?? [])];
  }

  // The network.

  connect(coordinator: SimulatedCoordinator, agent: SimulatedAgent): Connection {
    const connection = new Connection(this, coordinator, agent);
    this.#connections.push(connection);
    return connection;
  }

  connectionsOf(agent: SimulatedAgent): Connection[] {
    return this.#connections.filter((connection) => connection.agent === agent && connection.isUsed);
  }

  blocked(agent: SimulatedAgent): Direction | null {
    return this.#blocked.get(agent) ?? null;
  }

  block(agent: SimulatedAgent, direction: Direction): void {
    this.#blocked.set(agent, direction);
    for (const connection of this.connectionsOf(agent)) connection.hold(direction);
  }

  unblock(agent: SimulatedAgent): void {
    this.#blocked.delete(agent);
    for (const connection of this.connectionsOf(agent)) connection.repair();
  }

  // Clients.

  get clientsAreWanted(): boolean {
    return this.now < this.#clientsUntil;
  }

  clientsWanted(forTime: number): void {
    this.#clientsUntil = Math.max(this.#clientsUntil, this.now + forTime);
    this.#clients.wake();
  }

  /** Everything is as it should be again; nothing more goes wrong. */
  heal(): void {
    this.note('world', 61, 0, () => 'faults stop');
    this.#faults = [];
    this.#faultsOfHold = [];
    this.#isHealed = true;
    Object.assign(this.weather, { loses: false, duplicates: false, reorders: false, isSlow: false });
    this.repository.refuses = false;
    this.storage?.heal();
    for (const agent of this.agents) {
      this.unblock(agent);
      agent.disk.fails = false;
      agent.start();
      if (agent.isPaused) agent.resume();
    }
    this.outsiders.heal();
    for (const engine of this.engines) engine.heal();
    for (const coordinator of this.coordinators) if (coordinator.isPaused) coordinator.resume();
  }
}

function described(event: CoordinatorEvent | MemberEvent, from: string, to: string): string {
  const what =
    event.type === 'commandReceived'
      ? `command ${event.command.type}`
      : event.type === 'answerReceived'
        ? `${event.member} answers ${event.answer.type}`
        : event.type === 'engineAnswered'
          ? `engine answers ${event.result.type}`
          : event.type === 'memberLost' || event.type === 'memberReconnected'
            ? `${event.type} ${event.member}`
            : event.type;
  return from === to ? `${what} (${from})` : `${what}: ${from} → ${to}`;
}
