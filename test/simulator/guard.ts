import { failureOf, StillpointError, type Failure } from '../../shared/domain/errors.ts';
import { formatToken } from '../../shared/domain/token.ts';
import type { Guardian, Undo } from '../../agent/engines/engine.ts';
import type { ServerIdentity } from '../../agent/engines/postgres/server/server-identity.ts';
import type { AgentMember } from '../../agent/agent-member.ts';
import type { FreezeRecords } from '../../agent/state-directory.ts';
import type { Watch } from '../../agent/guard/watch.ts';
import type { UndoKeeper } from '../../agent/undo-keeper.ts';
import type { Logger } from '../../shared/runtime/log.ts';
import type { SimulatedAgent } from './agent.ts';
import type { SimulatedEngine } from './engine.ts';
import type { EngineResult } from '../../shared/protocol/member-machine.ts';
import { LEASE_MS } from './limits.ts';
import { Process } from './process.ts';
import { Broken } from './promises.ts';
import { SILENT_LOG } from './silent.ts';
import type { World } from './world.ts';

/** What a freeze leaves on a member, as the engine saves it before it changes anything. */
interface SimulatedUndo extends Record<string, unknown> {
  readonly server: ServerIdentity;
  /** Of the attempt, for the judge alone. */
  readonly operation: string;
  readonly token: string;
}

/** A guard waits a little longer than the lease, so that the agent's own thaw comes first. */
const SILENCE_MS = LEASE_MS + 250;
/** As agent/guard/guard.ts and main.ts, in the proportion to the lease that they have there. */
const ALIVE_EVERY = 100_000;
const LOOKS_EVERY = 50_000;
/** Until a closed pipe is noticed. */
const NOTICED_WITHIN = 5000;
/** The first pause of the real one is 250 ms; who begins to keep trying, or to abort, tries once more at once. */
const TRIES_WITHIN = 200_000;
const MOST_TRIES = 3;
/** It is as patient as a lease is long, and tries again within half the time for which it could not. */
const UNDONE_WITHIN = 2_500_000;

const log = SILENT_LOG as unknown as Logger;

/** The way to a member's server: one that is held stays, a new one may be turned away, or lead elsewhere. */
class SimulatedGuardian implements Guardian {
  readonly #world: World;
  readonly #engine: SimulatedEngine;
  /** The life of the server that it is connected to. */
  #connectedTo: string | null = null;
  #failedAt: number[] = [];

  constructor(world: World, engine: SimulatedEngine) {
    this.#world = world;
    this.#engine = engine;
  }

  connect(): void {
    this.#connectedTo = this.#engine.identity.startedAt;
  }

  async undo(given: Undo): Promise<string | null> {
    const undo = given as SimulatedUndo;
    await new Promise((resolve) => setTimeout(resolve, this.#world.random.between(1, 4)));
    try {
      this.#reach(undo);
    } catch (error) {
      this.#connectedTo = null;
      this.#failed();
      throw error;
    }
    return null;
  }

  #reach({ server, operation }: SimulatedUndo): void {
    const engine = this.#engine;
    const { isUp, isPoolFull, identity, answering } = engine;
    const isHeld = isUp && this.#connectedTo === identity.startedAt;
    const here = isHeld ? identity : answering;
    if (!isHeld && isPoolFull) throw unreachable('postgres-connections', 'no connection is left');
    if (here === identity && !isUp) throw unreachable('postgres-unreachable', 'nobody listens');
    const unseen = { isOurs: null, systemIdentifier: null };
    if (this.#world.machines.identity.standingOf(server, here, unseen) === 'other')
      throw unreachable('undo-other-server', 'another server answers');
    if (here !== identity)
      return this.#world.tasks.broke(
        new Broken(
          'undone-where-it-was-done',
          `what was done to engine ${engine.index} is undone on another`,
        ),
      );
    this.#connectedTo = identity.startedAt;
    const { current, index } = engine;
    // Armed or frozen: either way this would end it.
    if (current?.openedAt === null && current.operation !== operation)
      this.#world.tasks.broke(
        new Broken(
          'undone-where-it-was-done',
          `${operation} is undone, and engine ${index} is held by ${current.operation}`,
        ),
      );
    engine.open('guard');
  }

  #failed(): void {
    const { now } = this.#world;
    this.#failedAt = [...this.#failedAt.filter((at) => now - at < TRIES_WITHIN), now];
    if (this.#failedAt.length <= MOST_TRIES) return;
    this.#world.tasks.broke(
      new Broken(
        'pauses',
        `an undo of engine ${this.#engine.index} is tried ${this.#failedAt.length} times at once`,
      ),
    );
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** The guard of one life of an agent: a process beside it with the real watch, and connections of its own. */
class SimulatedGuard extends Process {
  readonly #engine: SimulatedEngine;
  readonly #agent: SimulatedAgent;
  readonly #agentsLife: number;
  readonly #isLeft: (operation: string) => boolean;
  #watch: Watch | null = null;
  #expected: SimulatedUndo | null = null;
  #heardAt = 0;

  constructor(world: World, agent: SimulatedAgent, isLeft: (operation: string) => boolean) {
    super(world, `guard ${agent.index}`);
    this.#isLeft = isLeft;
    this.#engine = agent.engine;
    this.#agent = agent;
    this.#agentsLife = agent.life;
    this.#look();
  }

  watch(undo: SimulatedUndo): void {
    this.#tell(() => {
      this.#expected = undo;
      if (this.#watch === null) {
        const guardian = new SimulatedGuardian(this.world, this.#engine);
        guardian.connect();
        const isLeft = (): Promise<boolean> => Promise.resolve(this.#isLeft(undo.operation));
        const { Watch } = this.world.machines.guard;
        this.#watch = new Watch({ member: this.#engine.streamKey, guardian, log, isLeft });
      }
      this.#watch.expect(undo, SILENCE_MS, performance.now());
    });
  }

  unwatch(): void {
    this.#tell(() => {
      this.#expected = null;
      void this.#watch?.close();
      this.#watch = null;
    });
  }

  isAliveSaid(): void {
    this.#tell(() => this.#watch?.messageReceived(performance.now()));
  }

  agentIsGone(): void {
    this.after(this.world.random.between(500, NOTICED_WITHIN), () =>
      this.world.tasks.wake(this, () => void this.#watch?.undoNow().then(() => this.#undone())),
    );
  }

  #tell(happen: () => void): void {
    this.#heardAt = this.world.now;
    this.happen(() => this.world.tasks.wake(this, happen));
  }

  #look(): void {
    this.after(LOOKS_EVERY, () => {
      this.#look();
      if (this.#watch === null) return;
      this.#judgePatience();
      this.world.tasks.wake(this, () => {
        const watch = this.#watch;
        if (watch === null || !watch.isOverdue(performance.now())) return;
        this.#judgeHaste();
        void watch.undoNow().then(() => this.#undone());
      });
    });
  }

  /** It has been able to undo for so long that it must have. */
  #judgePatience(): void {
    const { upSince, isUp, reachableFrom, current, isFenced, index } = this.#engine;
    const { isAlive, isPaused, life, unableSince } = this.#agent;
    const isAble = isAlive && !isPaused && life === this.#agentsLife;
    if (isAble || !isUp || !isFenced || current?.operation !== this.#expected?.operation) return;
    const since = Math.max(upSince, reachableFrom, unableSince, current?.fencedAt ?? 0);
    if (this.world.now - since > UNDONE_WITHIN)
      throw new Broken(
        'thaws-by-itself',
        `engine ${index} is frozen, its agent cannot act, and its guard does not`,
      );
  }

  /** Who was heard a moment ago is not given up. */
  #judgeHaste(): void {
    const { isAlive, isPaused, life } = this.#agent;
    const isLiving = isAlive && !isPaused && life === this.#agentsLife;
    if (isLiving && this.world.now - this.#heardAt < 2 * ALIVE_EVERY)
      this.world.tasks.broke(new Broken('lease-lasts', `${this.name} undoes, and its agent lives`));
  }

  #undone(): void {
    const undo = this.#expected;
    const { current, isFenced } = this.#engine;
    if (undo === null || !isFenced || current?.operation !== undo.operation) return;
    if (formatToken(current.token) === undo.token)
      this.world.tasks.broke(
        new Broken('truth', `${this.name} says that it has undone, and its engine is frozen`),
      );
  }
}

/** All that undoes on one host when its agent cannot: the guard of each of its lives, and each that starts anew. */
export class Undoing {
  readonly #world: World;
  readonly #agent: SimulatedAgent;
  /** On the agent's disk. */
  #record: SimulatedUndo | null = null;
  #guard: SimulatedGuard;
  #keeper: UndoKeeper;
  /** The records are looked at before anything else is heard. */
  isStarting = false;

  constructor(world: World, agent: SimulatedAgent) {
    this.#world = world;
    this.#agent = agent;
    this.#guard = this.#newGuard();
    this.#keeper = this.#newKeeper();
  }

  #newGuard(): SimulatedGuard {
    const isLeft = (operation: string): boolean => this.#record?.operation === operation;
    return new SimulatedGuard(this.#world, this.#agent, isLeft);
  }

  get isLeft(): boolean {
    return this.#keeper.left().size > 0;
  }

  /** Before the engine changes anything. */
  save(operation: string, token: string): void {
    const isFirst = this.#record === null;
    this.#record = { server: this.#agent.engine.identity, operation, token };
    this.#guard.watch(this.#record);
    if (isFirst) this.#showAlive(this.#guard);
  }

  engineAnswered(result: EngineResult): void {
    const isAborted = result.type === 'aborted';
    if (isAborted && result.state === 'stopped') this.#keep();
    else if (isAborted || result.type === 'thawed' || result.type === 'disarmed') {
      this.#record = null;
      this.#guard.unwatch();
    }
  }

  /** For an abort of what an earlier life of the agent has frozen. */
  undoOnce(): Promise<Failure | null> {
    return this.#keeper.undoOnce(this.#agent.engine.streamKey);
  }

  #showAlive(guard: SimulatedGuard): void {
    this.#agent.after(ALIVE_EVERY, () => {
      if (this.#record === null || this.#guard !== guard) return;
      guard.isAliveSaid();
      this.#showAlive(guard);
    });
  }

  agentDied(withItsGuard: boolean): void {
    if (withItsGuard) this.#guard.kill();
    else this.#guard.agentIsGone();
  }

  /** As agent/main.ts: one try for each record, then it serves, and goes on trying. */
  agentStarted(): void {
    this.#guard = this.#newGuard();
    const keeper = this.#newKeeper();
    this.#keeper = keeper;
    this.isStarting = true;
    this.#world.tasks.wake(this.#agent, () => void this.#undoAll(keeper));
  }

  /** An abort has found the server down: its agent keeps trying, and the guard does what it still watches. */
  #keep(): void {
    if (this.#record === null) return;
    this.#world.tasks.wake(this.#agent, () => this.#keeper.keep(this.#agent.engine.streamKey));
    this.#guard.agentIsGone();
    this.#guard = this.#newGuard();
  }

  #newKeeper(): UndoKeeper {
    const { engine } = this.#agent;
    const guardian = new SimulatedGuardian(this.#world, engine);
    const member = engine.streamKey;
    const members = new Map([[member, { name: member, engine: guardian } as unknown as AgentMember]]);
    return new this.#world.machines.undoKeeper.UndoKeeper(members, this.#records(member), log);
  }

  async #undoAll(keeper: UndoKeeper): Promise<void> {
    try {
      await keeper.undoAll();
      this.isStarting = false;
    } catch (error) {
      this.#world.tasks.broke(error as Error);
    }
  }

  #records(member: string): FreezeRecords {
    const record = (): { member: string; undo: SimulatedUndo }[] =>
      this.#record === null ? [] : [{ member, undo: this.#record }];
    return {
      frozenMembers: () => Promise.resolve(record().map((one) => one.member)),
      freezeRecord: () => Promise.resolve(record()[0] ?? null),
      freezeRecords: () => Promise.resolve(record()),
      saveFreeze: () => Promise.resolve(),
      clearFreeze: () => {
        this.#record = null;
        return Promise.resolve();
      },
    };
  }
}

function unreachable(code: string, message: string): StillpointError {
  return new StillpointError(failureOf(new Error(message), { code, hint: 'none' }));
}
