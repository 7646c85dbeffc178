import { BY_ITSELF, type Assignment } from '../../shared/domain/assignment.ts';
import { StillpointError } from '../../shared/domain/errors.ts';
import type { MemberAnswer, MemberCommand } from '../../shared/domain/messages.ts';
import { FOR_CHECKPOINT } from '../../shared/domain/purpose.ts';
import type {
  CommitProof,
  CoordinatorEvent,
  CoordinatorState,
  Outcome,
} from '../../shared/protocol/coordinator-machine.ts';
import type { ConfiguredMember, CoordinatorStep } from '../../shared/protocol/coordinator-state.ts';
import type { ClaimAnswer, SimulatedAgent } from './agent.ts';
import { CommandChecks } from './command-checks.ts';
import type { Connection } from './connection.ts';
import { checkEnding } from './ending.ts';
import { Job } from './job.ts';
import { DEADLINES, LEASE_MS, MAX_ARMS, MAX_ATTEMPTS } from './limits.ts';
import { Process } from './process.ts';
import { Broken } from './promises.ts';
import { SILENT_LOG, SILENT_PROGRESS } from './silent.ts';
import { SimulatedStream } from './stream.ts';
import type { Storage } from './storage.ts';
import type { World } from './world.ts';

const CLAIM_TIMEOUT = 2_000_000;
/** `refused`: another holds the grid, or an agent was not reached; nothing was touched. */
export type Ending = Outcome | { readonly kind: 'refused' };

const INTERRUPTED = new StillpointError({ code: 'interrupted', message: 'interrupted', hint: 'none' });

function commitFailed(code: string, message: string): StillpointError {
  return new StillpointError({ code, message, hint: 'none' });
}

/** Whoever comes later takes no longer for it than others have patience for the next. */
function jobOf(coordinator: SimulatedCoordinator, number: number): Job {
  const { hold } = coordinator.world.scenario;
  if (hold === undefined) return new Job(coordinator, FOR_CHECKPOINT, 0);
  if (number === 0) return new Job(coordinator, hold.purpose, hold.worksFor);
  const purpose = hold.others[(number - 1) % hold.others.length] ?? FOR_CHECKPOINT;
  return new Job(coordinator, purpose, Math.min(hold.worksFor, 1_000_000));
}

/** One run of the command: claims every agent, the first before the others, then lets the real driver run. */
export class SimulatedCoordinator extends Process {
  ending: Ending | null = null;
  /** So many calls of the file system had been made when its commit began. */
  commitsFrom = Infinity;
  /** What it has to do after its end is done too. */
  hasExited = false;
  /** Of all members: that they let go. */
  hasProofs = false;
  readonly job: Job;
  readonly startedAt: number;
  readonly #isIgnorant: boolean;
  readonly #cancelled = new AbortController();
  readonly #cancelledTwice = new AbortController();
  #commits = false;
  #hasBegun = false;
  /** The repository is asked before the machine begins. */
  #isAsking = false;
  #driven: ((ending: Ending) => void) | null = null;
  readonly #streams = new Map<string, SimulatedStream>();
  readonly #opened = new Map<Connection, SimulatedStream>();
  readonly #checks: CommandChecks;

  constructor(world: World, number: number, isIgnorant: boolean) {
    super(world, `coordinator ${number}`);
    this.#isIgnorant = isIgnorant;
    this.job = jobOf(this, number);
    this.startedAt = world.now;
    this.#checks = new CommandChecks(this, this.job);
    world.note(this.name, 40, number, () => 'started');
    this.after(world.random.between(200, 2000), () => this.#claimAll());
    this.after(CLAIM_TIMEOUT, () => {
      if (!this.#hasBegun && !this.#isAsking) this.#end({ kind: 'refused' });
    });
  }

  get abortsSince(): number | null {
    return this.#checks.abortsSince;
  }

  get isOver(): boolean {
    return this.ending !== null || !this.isAlive;
  }

  // Preflight, as far as the protocol needs it.

  #claimAll(): void {
    const { agents } = this.world;
    if (agents.some((agent) => !agent.isAlive)) return this.#end({ kind: 'refused' });
    for (const agent of agents) this.#streams.set(agent.name, this.#connect(agent));
    const connections = [...this.#streams.values()].map(({ connection }) => connection);
    let missing = agents.length;
    let highest = this.world.repository.highestCounter;
    const claimed = (answer: ClaimAnswer): void => {
      if (this.#hasBegun || this.isOver) return;
      if (answer.type === 'busy') return this.#end({ kind: 'refused' });
      if (!this.#isIgnorant) highest = Math.max(highest, answer.highest?.counter ?? 0);
      missing -= 1;
      if (missing === agents.length - 1) {
        for (const connection of connections.slice(1)) this.#claim(connection, claimed);
      }
      if (missing > 0) return;
      if (agents.some(({ isLeft }) => isLeft)) this.#end({ kind: 'refused' });
      else this.#ask(highest);
    };
    this.#claim(connections[0] as Connection, claimed);
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
    const { world } = this;
    const { scenario, machines, agents } = world;
    const patience = scenario.isPatient ? null : 3000;
    const { purpose } = this.job;
    const freezeMs = purpose.type === 'quiesce' ? purpose.timeOutMs : DEADLINES.freezeMs;
    this.#hasBegun = true;
    world.repository.sweeper = this.name;
    if (world.storage === null) this.#keepAlive();
    const held = this.job.begin();
    const run = new machines.driver.CheckpointRun<SimulatedStream>(
      {
        config: {
          members: this.#members(),
          checkpoint: this.name,
          purpose,
          maintenance: false,
          allowLogical: scenario.allowsLogical,
          epoch: 0,
          counter,
          leaseMs: LEASE_MS,
          maxAttempts: MAX_ATTEMPTS,
          maxArms: MAX_ARMS,
          deadlines: { ...DEADLINES, freezeMs, prepareMs: patience, collectMs: patience },
        },
        machine: {
          ...machines.coordinator,
          stepCoordinator: (state, event) =>
            this.judged(() => this.#step(state, event), { state, effects: [] }),
        },
        clock: this.clock,
        streams: this.#streams,
        addressOf: new Map(agents.map(({ name }) => [name, name])),
        // Whoever lies is in test/coordinator/lying-agents.test.ts; the weather here repeats what was true once.
        answerCheck: { sent: () => undefined, received: () => null },
        cancellation: { signal: this.#cancelled.signal, second: this.#cancelledTwice.signal },
        progress: SILENT_PROGRESS,
        log: SILENT_LOG,
        raisePriority: () => () => undefined,
        ...(held !== null && { job: held }),
        reconnect: (address) => this.#reconnect(address),
        commit: (proof) => this.world.tasks.promise(this, (...keep) => this.#commit(proof, ...keep)),
      },
      (outcome) => this.judged(() => this.#end(outcome), undefined),
    );
    held?.drives(run);
    this.judged(() => run.start(), undefined);
  }

  /** As preflight finds them, with what each is to do. */
  #members(): readonly ConfiguredMember[] {
    const { agents, machines } = this.world;
    const isCopied = this.job.purpose.type === 'checkpoint';
    const assigned = machines.assignment.assign(agents.map(({ engine }) => engine.description));
    return agents.map(({ name, engine: { kind } }) => {
      const { assignment: whole = BY_ITSELF, heldBy = null } = assigned.get(name) ?? {};
      const assignment: Assignment = isCopied ? whole : { ...whole, part: 'none' };
      return { name, kind, assignment, ...(heldBy !== null && { heldBy }) };
    });
  }

  // What the driver does.

  #step(before: CoordinatorState, event: CoordinatorEvent): CoordinatorStep {
    const stepped = this.world.machines.coordinator.stepCoordinator(before, event);
    if (event.type === 'memberLost') this.#checks.lost(event.member);
    if (event.type === 'memberReconnected') this.#checks.back(event.member);
    if (event.type === 'letGo' && before.phase.name === 'holding') this.job.letsGo();
    this.world.coordinatorStepped(this, before, event, stepped.state);
    for (const effect of stepped.effects) {
      if (effect.type === 'reconnect' && stepped.state.phase.name === 'aborting')
        this.#checks.checkTime('abort');
      if (effect.type !== 'holding') continue;
      this.#checks.jobBegins();
      this.job.told(effect.held.token.attempt);
    }
    return stepped;
  }

  /** A command goes out. */
  sends(connection: Connection, command: MemberCommand): void {
    const member = connection.agent.name;
    this.judged(() => this.#checks.sends(member, command), undefined);
    this.world.note(this.name, 41, command.type.length, () => `to ${member}: ${command.type}`);
    connection.send('agent', () => connection.agent.commandReceived(connection, command));
  }

  #commit(proof: CommitProof, committed: () => void, failed: (error: Error) => void): void {
    const { timeline, random, repository, storage } = this.world;
    this.#commits = true;
    if (storage !== null) return this.#commitReally(storage, proof, committed, failed);
    const survivesItsWriter = random.chance(0.5);
    timeline.after(random.between(100, 10_000), () => {
      if (!this.isAlive && !survivesItsWriter) return;
      if (repository.refuses || repository.sweeper !== this.name) {
        const message = repository.refuses ? 'no space left' : 'what it was to hold was swept';
        return this.happen(() => failed(commitFailed('commit-failed', message)));
      }
      // Durable from here on, whether the coordinator lives to see it or not.
      this.world.note(this.name, 42, proof.token.attempt, () => 'the commit object is durable');
      repository.commits.push({ operation: this.name, proof });
      this.world.checks.committed(this, proof);
      this.world.backups.committed(this);
      this.after(random.between(50, 2000), committed);
    });
  }

  #commitReally(
    storage: Storage,
    proof: CommitProof,
    committed: () => void,
    failed: (error: Error) => void,
  ): void {
    this.judged(() => this.world.checks.committed(this, proof), undefined);
    this.commitsFrom = storage.kernel.calls;
    storage.commit(
      this,
      proof,
      () => {
        this.world.note(this.name, 42, proof.token.attempt, () => 'the commit object is durable');
        this.world.repository.commits.push({ operation: this.name, proof });
        committed();
      },
      ({ code, message }) => failed(commitFailed(code, message)),
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
    for (const stream of this.#streams.values()) stream.close();
    const driven = this.#driven;
    if (driven !== null) this.world.tasks.wake(this, () => driven(ending));
    else if (!this.#isAsking) this.hasExited = true;
  }

  answerReceived(connection: Connection, answer: MemberAnswer): void {
    this.judged(
      () => this.#opened.get(connection)?.events.memberAnswered?.(connection.agent.name, answer),
      undefined,
    );
  }

  /** Somebody who may, says an agent, wants its job to let go. */
  letGoAsked(connection: Connection, holder: string): void {
    this.judged(() => this.#opened.get(connection)?.events.letGoAsked?.(holder), undefined);
  }

  connectionLost(connection: Connection): void {
    if (this.isOver) return;
    if (!this.#hasBegun) return this.#end({ kind: 'refused' });
    this.judged(() => this.#opened.get(connection)?.lost(), undefined);
  }

  #connect(agent: SimulatedAgent): SimulatedStream {
    const stream = new SimulatedStream(this, this.world.connect(this, agent));
    this.#opened.set(stream.connection, stream);
    return stream;
  }

  /** One try. A host that is away is noticed when nothing answers in time. */
  #reconnect(address: string): Promise<{ stream: SimulatedStream; resumed: boolean }> {
    const { world } = this;
    const agent = world.agents.find(({ name }) => name === address) as SimulatedAgent;
    return world.tasks.promise(this, (resolve, reject) =>
      this.after(world.random.between(200, 2000), () => {
        if (!agent.isAlive || world.blocked(agent) !== null) return reject(new Error('not reached'));
        const stream = this.#connect(agent);
        let isAnswered = false;
        const giveUp = (): void => {
          if (isAnswered) return;
          isAnswered = true;
          stream.close();
          reject(new Error('not claimed'));
        };
        this.#claim(stream.connection, (answer) => {
          if (answer.type === 'busy') return giveUp();
          if (isAnswered) return;
          isAnswered = true;
          resolve({ stream, resumed: answer.resumed });
        });
        this.after(CLAIM_TIMEOUT, giveUp);
      }),
    );
  }

  #keepAlive(): void {
    this.after((LEASE_MS / 4) * 1000, () => {
      if (this.isOver) return;
      for (const { connection } of this.#streams.values()) {
        if (connection.isOpenAt('coordinator'))
          connection.send('agent', () => connection.agent.messageReceived(connection));
      }
      this.#keepAlive();
    });
  }

  // What happens to it.

  /** Ctrl-C. */
  cancel(): void {
    this.happen(() => {
      this.world.note(this.name, 44, 0, () => 'Ctrl-C');
      if (!this.#hasBegun) return this.#end({ kind: 'refused' });
      const second = this.#cancelled.signal.aborted;
      (second ? this.#cancelledTwice : this.#cancelled).abort(INTERRUPTED);
      if (second && !this.isOver && !this.#commits)
        throw new Broken('ends', `${this.name} does not stop when it is told twice`);
    });
  }

  /** SIGTERM: its job lets go. */
  terminate(): void {
    this.happen(() => {
      this.world.note(this.name, 48, 0, () => 'SIGTERM');
      this.judged(() => this.job.terminated(), undefined);
    });
  }

  /** A process that dies closes its streams; a host that loses power says nothing. */
  die(isSilent: boolean): void {
    this.world.note(this.name, 45, Number(isSilent), () => (isSilent ? 'lost power' : 'killed'));
    for (const stream of this.#streams.values()) {
      if (isSilent) stream.connection.vanish();
      else stream.close();
    }
    this.kill();
  }
}
