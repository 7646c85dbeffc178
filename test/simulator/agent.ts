import type { CheckpointOperation, Listener } from '../../agent/checkpoint-operation.ts';
import type { Surroundings } from '../../agent/surroundings.ts';
import type { ClaimedOperation, ClaimedWork, HostClaim } from '../../agent/host-claim.ts';
import { failureOf } from '../../shared/domain/errors.ts';
import type { MemberAnswer, MemberCommand } from '../../shared/domain/messages.ts';
import type { Token } from '../../shared/domain/token.ts';
import type { decideClaim } from '../../shared/protocol/claim.ts';
import type { MemberEvent, MemberMachineState, MemberStep } from '../../shared/protocol/member-machine.ts';
import { AgentDisk } from './agent-disk.ts';
import { CalledEngine } from './called-engine.ts';
import type { Connection } from './connection.ts';
import type { SimulatedEngine } from './engine.ts';
import { StandInGuard, Undoing, type SimulatedGuard } from './guard.ts';
import { HOLD_MS, LEASE_MS } from './limits.ts';
import { Process } from './process.ts';
import { Broken } from './promises.ts';
import { actsWhenDead, actsWhenStopped } from './silent-agent.ts';
import { SILENT_LOG } from './silent.ts';
import type { World } from './world.ts';

/** When it is looked whether what is kept is still kept. */
const LOOK_EVERY = 500_000;
/** What one operation has on this host. */
interface Work extends ClaimedWork {
  readonly name: string;
  readonly checkpoint: CheckpointOperation;
  readonly restore: null;
  readonly imports: null;
  /** As the machine of its member stands; null before the first command. */
  machine: MemberMachineState | null;
  connection: Connection;
  isEnding: boolean;
  hasEnded: boolean;
}

export type ClaimAnswer =
  | { readonly type: 'granted'; readonly highest: Token | null; readonly resumed: boolean }
  | { readonly type: 'busy' };

/**
 * The daemon of one host with one member: the real claim and the real operation, with a machine whose every step is
 * seen; disk and engine are models, and the guard's process is one where the real undo does not run.
 */
export class SimulatedAgent extends Process {
  readonly index: number;
  readonly engine: SimulatedEngine;
  readonly disk: AgentDisk;
  /** True time and own time of the last word from whoever holds the host. */
  lastWordAt = 0;
  guardLives = true;
  /** When it was killed or stopped last. */
  unableSince = 0;
  /** Of this life. */
  #host: HostClaim<Work>;
  #claimed = new Map<Connection, ClaimedOperation<Work>>();
  #work: Work | null = null;
  /** Freezes that are charged. */
  #charges = 0;
  /** Of this life. */
  #guards: (StandInGuard | SimulatedGuard)[] = [];
  /** How often it was asked to abort: what was being stored before is wanted no more. */
  aborts = 0;
  #made: Undoing | null = null;

  constructor(world: World, index: number, engine: SimulatedEngine) {
    super(world, `agent ${index}`);
    this.index = index;
    this.engine = engine;
    this.disk = new AgentDisk(this);
    this.#host = this.#newHost();
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

  // What coordinators say, as agent/stream-session.ts hears it.

  claimReceived(connection: Connection, operation: string, answer: (answer: ClaimAnswer) => void): void {
    if (this.#undoing?.isStarting ?? false) return answer({ type: 'busy' });
    this.#runs(() => void this.#claim(connection, operation, answer));
  }

  async #claim(
    connection: Connection,
    operation: string,
    answer: (answer: ClaimAnswer) => void,
  ): Promise<void> {
    const holder = connection.coordinator.name;
    let claimed: ClaimedOperation<Work>;
    try {
      claimed = await this.#host.claim({ operation, holder, leaseMs: LEASE_MS }, (ended) =>
        this.#begin(connection, operation, ended),
      );
    } catch (error) {
      if (failureOf(error, { code: 'none', hint: '' }).code === 'grid-busy') return answer({ type: 'busy' });
      return this.world.tasks.broke(error as Error);
    }
    const { work, resumed } = claimed;
    if (work === null) return;
    if (resumed) {
      work.connection = connection;
      this.lastWordAt = this.world.now;
      this.world.note(this.name, 31, 0, () => `${operation} goes on, on a new stream`);
      work.checkpoint.resume(this.#listener(work));
    }
    if (!connection.isOpenAt('agent')) return await claimed.streamClosed();
    this.#claimed.set(connection, claimed);
    answer({ type: 'granted', highest: this.disk.recorded, resumed });
  }

  /** Who has this host, as any stream finds it. */
  get claim(): HostClaim<Work> {
    return this.#host;
  }

  /** Whether a stream that is lost now costs nothing. */
  get hasKeepsake(): boolean {
    return this.#work?.mayBeResumed() ?? false;
  }

  /** As the operation says to the rest of the agent; null where it has nothing of the member. */
  isFrozenFor(operation: string): boolean | null {
    const work = this.#work;
    return work?.name === operation && work.machine !== null
      ? this.#host.frozenMembers().has(this.name)
      : null;
  }

  commandReceived(connection: Connection, command: MemberCommand): void {
    const work = this.#heard(connection);
    if (work === null) return this.#refuse(connection);
    if (!work.isEnding) this.world.checks.commandReceived(this, work.name, command);
    this.#runs(() => {
      work.checkpoint.messageReceived();
      work.checkpoint.receive(this.name, command);
    });
  }

  messageReceived(connection: Connection): void {
    const work = this.#heard(connection);
    if (work === null) return;
    if (!work.isEnding) this.world.checks.messageReceived(this);
    this.#runs(() => work.checkpoint.messageReceived());
  }

  streamClosed(connection: Connection): void {
    const claimed = this.#claimed.get(connection);
    const work = claimed?.work ?? null;
    this.#claimed.delete(connection);
    if (claimed === undefined || work === null || work.hasEnded) return;
    this.world.note(this.name, 21, 0, () => 'stream closed');
    if (!work.isEnding) this.world.checks.streamClosed(this, work.machine?.phase.name ?? null);
    this.#runs(() => void claimed.streamClosed());
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

  /** What the stream holds, whose lease starts anew. */
  #heard(connection: Connection): Work | null {
    const claimed = this.#claimed.get(connection);
    const work = claimed?.work ?? null;
    if (claimed === undefined || work === null || work.hasEnded) return null;
    this.lastWordAt = this.world.now;
    claimed.messageReceived();
    return work;
  }

  /** A stream that lost the host, to a newcomer, stays open and is told so. */
  #refuse(connection: Connection): void {
    const failure = { code: 'not-claimed', message: 'this stream does not hold the grid', hint: 'none' };
    const answer: MemberAnswer = { type: 'refused', failure };
    connection.send('coordinator', () => connection.coordinator.answerReceived(connection, answer));
  }

  /** Code of this process: before time goes on, so does all that waits for no more than its turn. */
  #runs(what: () => void): void {
    this.world.tasks.wake(this, () => this.judged(what, undefined));
  }

  // The claim and the operation, and what they need of the world.

  #newHost(): HostClaim<Work> {
    const { HostClaim } = this.world.machines.hostClaim;
    return new HostClaim<Work>(SILENT_LOG, this.clock, (...asked) =>
      this.judged(() => this.#decide(...asked), { type: 'refuse', holder: 'nobody' }),
    );
  }

  #decide(...asked: Parameters<typeof decideClaim>): ReturnType<typeof decideClaim> {
    const decision = this.world.machines.claim.decideClaim(...asked);
    const [claim, operation] = asked;
    if (claim === null) return decision;
    if (decision.type === 'refuse') this.world.checks.refused(this, claim, operation);
    else if (decision.type === 'resume') this.world.checks.resumed(this, claim, operation);
    else this.world.checks.takenOver(this, claim, operation);
    return decision;
  }

  #listener(work: Work): Listener {
    return {
      answer: (_, answer) => this.judged(() => this.#answer(work, answer), undefined),
      rehearsed() {},
      progress() {},
      letGoAsked: (holder) =>
        work.connection.send('coordinator', () =>
          work.connection.coordinator.letGoAsked(work.connection, holder),
        ),
    };
  }

  #begin(connection: Connection, name: string, ended: () => void): Work {
    this.world.note(this.name, 20, 0, () => `claimed by ${name}`);
    const { CheckpointOperation } = this.world.machines.checkpoint;
    const charges = this.#charges;
    const engine = new CalledEngine(this, name, () => work.machine?.phase ?? null);
    const work: Work = {
      name,
      checkpoint: new CheckpointOperation(
        {
          id: name,
          leaseMs: LEASE_MS,
          surroundings: this.#surroundings(() => work),
          members: new Map([[this.name, { engine }]]),
          descriptions: { get: () => this.engine.description },
          state: this.disk.state(this.#undoing?.records ?? null),
          storeOf: () => ({
            file: () => Promise.reject(new Error('the model of an engine stores by itself')),
            directory: () => undefined,
            symlink: () => undefined,
            finish: ({ token }) => engine.collect(token),
          }),
          log: SILENT_LOG,
          ended,
          undoKeeper: this.#undoing ?? { undoOnce: () => engine.openLeft(), keep: () => undefined },
          happenings: { membersReleased: () => undefined },
          freezeLedger: { refusal: () => null, charge: () => this.#charge() },
          maxLeaseMs: LEASE_MS,
          maxHoldMs: HOLD_MS,
          keepFree: { journal: 0, state: 0, repository: 0 },
          hostRooms: [],
        },
        {
          answer: (member, answer) => this.#listener(work).answer(member, answer),
          rehearsed() {},
          progress() {},
          letGoAsked: (holder) => this.#listener(work).letGoAsked(holder),
        },
      ),
      restore: null,
      imports: null,
      machine: null,
      connection,
      isEnding: false,
      hasEnded: false,
      frozenMembers: () => work.checkpoint.frozenMembers,
      mayHold: () => work.checkpoint.mayHold,
      unfinished: () => work.checkpoint.unfinished,
      mayBeResumed: () => work.checkpoint.mayBeResumed(),
      streamClosed: () => work.checkpoint.streamClosed(),
      end: async () => {
        work.isEnding = true;
        await work.checkpoint.end();
        work.hasEnded = true;
        this.judged(() => this.#ended(work, charges), undefined);
      },
    };
    this.#work = work;
    this.lastWordAt = this.world.now;
    return work;
  }

  #ended(work: Work, charges: number): void {
    if (this.#work === work) this.#work = null;
    this.world.note(this.name, 22, 0, () => `released by ${work.name}`);
    const phase = work.machine?.phase.name ?? 'closed';
    if (phase !== 'closed')
      throw new Broken('claim', `${this.name} has ended ${work.name}, and its member is ${phase}`);
    if (this.#guards.some(({ isLeft }) => !isLeft))
      throw new Broken('ends', `${this.name} has ended ${work.name}, and keeps its guard`);
    if (this.#charges !== charges)
      throw new Broken('truth', `${this.name} has ended ${work.name}, and its freeze is still charged`);
  }

  #surroundings(work: () => Work): Surroundings {
    const { member } = this.world.machines;
    return {
      clock: this.clock,
      time: () => new Date(this.clock.now()),
      machine: {
        ...member,
        initialMember: (...given) => (work().machine = member.initialMember(...given)),
        stepMember: (state, event) =>
          this.judged(() => this.#step(work(), state, event), { state, effects: [] }),
      },
      priority: { raise: () => () => undefined, soon: (putBack) => putBack() },
      reach: () => Promise.resolve(),
      rested: () => undefined,
      startGuard: (operation, heard) => {
        const guard = this.#undoing?.startGuard(operation, heard) ?? new StandInGuard(this, heard);
        this.#guards.push(guard);
        return guard;
      },
    };
  }

  #charge(): Promise<{ held(): void; release(): void; end(): void }> {
    this.#charges += 1;
    let isCharged = true;
    const end = (): void => {
      if (isCharged) this.#charges -= 1;
      isCharged = false;
    };
    return Promise.resolve({ held() {}, release() {}, end });
  }

  #step(work: Work, before: MemberMachineState, event: MemberEvent): MemberStep {
    if (event.type === 'operationEnded') {
      work.isEnding = true;
      this.world.checks.toldToEnd(this);
    }
    if (event.type === 'engineAnswered') this.world.checks.engineAnswered(this, work.name, event.result);
    const stepped = this.world.machines.member.stepMember(before, event);
    work.machine = stepped.state;
    this.world.memberStepped(this, before, event, stepped.state);
    return stepped;
  }

  #answer({ connection, name }: Work, answer: MemberAnswer): void {
    this.world.checks.answered(this, name, answer);
    this.world.note(this.name, 25, answer.type.length, () => `says ${answer.type}`);
    connection.send('coordinator', () => connection.coordinator.answerReceived(connection, answer));
  }

  // What happens to it.

  override kill(): void {
    this.world.note(this.name, 26, 0, () => 'killed');
    this.unableSince = this.world.now;
    super.kill();
    this.#work = null;
    this.#claimed = new Map();
    this.#charges = 0;
    this.#guards = [];
    this.#host = this.#newHost();
    if (this.#undoing !== null) return this.#undoing.agentDied(!this.guardLives);
    actsWhenDead(this);
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
    actsWhenStopped(this);
  }

  override resume(): void {
    this.world.note(this.name, 29, 0, () => 'goes on');
    super.resume();
  }

  /** Without a guard nobody may be frozen: the operation ends as if its coordinator had gone. */
  killGuard(): void {
    this.world.note(this.name, 30, 0, () => 'its guard died');
    this.guardLives = false;
    const guards = this.#guards.splice(0);
    const isWatched = guards.some(({ isLeft }) => !isLeft);
    for (const guard of guards) guard.kill();
    this.happen(() => {
      this.guardLives = true;
      if (isWatched) this.world.checks.guardDied(this, this.#work?.machine?.phase.name ?? null);
    });
  }
}
