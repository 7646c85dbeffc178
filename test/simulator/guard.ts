import { failureOf, StillpointError, type Failure } from '../../shared/domain/errors.ts';
import { formatToken } from '../../shared/domain/token.ts';
import type { GuardProcess } from '../../agent/guard/guard-process.ts';
import type { FromGuard, ToGuard } from '../../agent/guard/messages.ts';
import type { Watches } from '../../agent/guard/watches.ts';
import type { Guardian, Undo } from '../../agent/engines/engine.ts';
import type { ServerIdentity } from '../../agent/engines/postgres/server/server-identity.ts';
import type { FreezeRecord, FreezeRecords } from '../../agent/state-directory.ts';
import type { UndoKeeper } from '../../agent/undo-keeper.ts';
import type { SimulatedAgent } from './agent.ts';
import type { SimulatedEngine } from './engine.ts';
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

/** An agent shows its guard so often that it lives (agent/guard/guard.ts). */
const ALIVE_EVERY = 500_000;
const JUDGED_EVERY = 50_000;
/** Until a closed pipe is noticed. */
const NOTICED_WITHIN = 5000;
/** The first pause of the real one is 250 ms; who begins to keep trying, or to abort, tries once more at once. */
const TRIES_WITHIN = 200_000;
const MOST_TRIES = 3;
/** It is as patient as a lease is long, and tries again within half the time for which it could not. */
const UNDONE_WITHIN = 2_500_000;

/** The way to a member's server: one that is held stays, a new one may be turned away, or lead elsewhere. */
class SimulatedGuardian implements Guardian {
  readonly #world: World;
  readonly #engine: SimulatedEngine;
  /** The life of the server that it is connected to. */
  #connectedTo: string | null = null;
  #failedAt: number[] = [];
  readonly #pause: (ms: number) => Promise<void>;

  constructor(process: Process, engine: SimulatedEngine) {
    this.#world = process.world;
    this.#pause = (ms) => process.clock.pause(ms);
    this.#engine = engine;
  }

  connect(): void {
    this.#connectedTo = this.#engine.address.identity.startedAt;
  }

  async undo(given: Undo): Promise<string | null> {
    const undo = given as SimulatedUndo;
    await this.#pause(this.#world.random.between(1, 4));
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
    const { isUp, address } = engine;
    const { isPoolFull, identity, answering } = address;
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

/** The process of a guard with the real watches, and connections of its own. */
export class SimulatedGuard extends Process implements GuardProcess {
  readonly gone: Promise<void>;
  readonly #engine: SimulatedEngine;
  readonly #agent: SimulatedAgent;
  readonly #agentsLife: number;
  readonly #heard: (message: FromGuard) => void;
  readonly #watches: Watches;
  #goes: () => void = () => undefined;
  /** Its pipe is closed, or it is gone. */
  isLeft = false;
  readonly #operation: string;
  #wasKilled = false;
  #expected: SimulatedUndo | null = null;
  #heardAt = 0;

  constructor(
    agent: SimulatedAgent,
    operation: string,
    heard: (message: FromGuard) => void,
    isStillLeft: (operation: string) => boolean,
  ) {
    super(agent.world, `guard ${agent.index}`);
    this.#engine = agent.engine;
    this.#operation = operation;
    this.#agent = agent;
    this.#agentsLife = agent.life;
    this.#heard = heard;
    this.gone = agent.world.tasks.promise(agent, (resolve) => (this.#goes = () => resolve(undefined)));
    this.#watches = new this.world.machines.guard.Watches({
      clock: this.clock,
      log: SILENT_LOG,
      openGuardian: () => Promise.resolve(this.#guardian()),
      isLeft: () => Promise.resolve(isStillLeft(this.#expected?.operation ?? '')),
      say: (message) => this.#says(message),
    });
    this.#judge();
  }

  say(message: ToGuard): void {
    if (this.isLeft || !this.isAlive) return;
    this.#heardAt = this.world.now;
    if (message.type === 'watch') this.#expected = message.undo as SimulatedUndo;
    if (message.type === 'unwatch') this.#expected = null;
    this.happen(() => this.world.tasks.wake(this, () => this.#watches.messageReceived(message)));
  }

  hangUp(): void {
    if (this.isLeft) return;
    this.isLeft = true;
    this.after(this.world.random.between(500, NOTICED_WITHIN), () =>
      this.world.tasks.wake(this, () => void this.#watches.agentGone().then(() => this.#exits())),
    );
  }

  override kill(): void {
    this.#wasKilled = true;
    this.#ends();
  }

  #exits(): void {
    this.judged(() => this.#judgeUndone(), undefined);
    this.#ends();
  }

  #ends(): void {
    super.kill();
    this.isLeft = true;
    this.#goes();
  }

  #guardian(): Guardian {
    const guardian = new SimulatedGuardian(this, this.#engine);
    guardian.connect();
    return {
      undo: (undo) => {
        this.judged(() => this.#judgeHaste(), undefined);
        return guardian.undo(undo);
      },
      close: () => guardian.close(),
    };
  }

  #says(message: FromGuard): void {
    if (message.type === 'undone') this.judged(() => this.#judgeUndone(), undefined);
    const agent = this.#agent;
    if (agent.life !== this.#agentsLife || this.isLeft) return;
    agent.happen(() => this.world.tasks.wake(agent, () => this.#heard(message)));
  }

  #judge(): void {
    this.world.timeline.after(JUDGED_EVERY, () => {
      if (this.#wasKilled) return;
      this.#judgePatience();
      // Also of one that has gone by itself: it may have gone too early.
      if (this.isAlive || this.#engine.isFenced) this.#judge();
    });
  }

  /** It has been able to undo for so long that it must have. */
  #judgePatience(): void {
    const { upSince, isUp, address, current, isFenced, index } = this.#engine;
    const { isAlive, isPaused, life, unableSince } = this.#agent;
    const isAble = isAlive && !isPaused && life === this.#agentsLife;
    if (isAble || !isUp || !isFenced || current?.operation !== this.#operation) return;
    const since = Math.max(upSince, address.reachableFrom, unableSince, current?.fencedAt ?? 0);
    if (this.world.now - since > UNDONE_WITHIN)
      throw new Broken(
        'thaws-by-itself',
        `engine ${index} is frozen, its agent cannot act, and its guard does not`,
      );
  }

  /** Who was heard a moment ago is not given up, nor who could always speak. */
  #judgeHaste(): void {
    const { isAlive, isPaused, wasPaused, life } = this.#agent;
    const isLiving = isAlive && !isPaused && life === this.#agentsLife && !this.isLeft;
    const isHeard = this.world.now - this.#heardAt < 2 * ALIVE_EVERY;
    if (isLiving && (isHeard || !wasPaused))
      this.world.tasks.broke(new Broken('lease-lasts', `${this.name} undoes, and its agent lives`));
  }

  #judgeUndone(): void {
    const undo = this.#expected;
    const { current, isFenced } = this.#engine;
    if (undo === null || !isFenced || current?.operation !== undo.operation) return;
    if (formatToken(current.token) === undo.token)
      throw new Broken('truth', `${this.name} says that it has undone, and its engine is frozen`);
  }
}

/** A model of a guard's process, where what it undoes is a model's too: it answers, and goes when it is told to. */
export class StandInGuard implements GuardProcess {
  readonly gone: Promise<void>;
  readonly #agent: SimulatedAgent;
  readonly #heard: (message: FromGuard) => void;
  #goes: () => void = () => undefined;
  isLeft = false;
  #isGone = false;

  constructor(agent: SimulatedAgent, heard: (message: FromGuard) => void) {
    this.#agent = agent;
    this.#heard = heard;
    this.gone = agent.world.tasks.promise(agent, (resolve) => (this.#goes = () => resolve(undefined)));
  }

  say(message: ToGuard): void {
    if (message.type !== 'watch' || this.#isGone) return;
    const { tasks, random } = this.#agent.world;
    this.#agent.after(random.between(20, 500), () => {
      if (!this.#isGone)
        tasks.wake(this.#agent, () => this.#heard({ type: 'watching', member: message.member }));
    });
  }

  hangUp(): void {
    this.isLeft = true;
    this.#agent.after(this.#agent.world.random.between(50, 2000), () => this.kill());
  }

  kill(): void {
    this.isLeft = true;
    this.#isGone = true;
    this.#agent.happen(() => this.#goes());
  }
}

/** All that undoes on one host when its agent cannot: the guard of each of its lives, and each that starts anew. */
export class Undoing {
  readonly #world: World;
  readonly #agent: SimulatedAgent;
  /** On the agent's disk. */
  readonly records: FreezeRecords;
  #record: FreezeRecord | null = null;
  /** Of the life that the agent is in, and those that were left with something to undo. */
  #guards: SimulatedGuard[] = [];
  #keeper: UndoKeeper;
  /** The records are looked at before anything else is heard. */
  isStarting = false;

  constructor(world: World, agent: SimulatedAgent) {
    this.#world = world;
    this.#agent = agent;
    this.records = this.#diskOf(agent.name);
    this.#keeper = this.#newKeeper();
  }

  startGuard(operation: string, heard: (message: FromGuard) => void): SimulatedGuard {
    const isLeft = (asked: string): boolean => this.#record?.operation === asked;
    const guard = new SimulatedGuard(this.#agent, operation, heard, isLeft);
    this.#guards.push(guard);
    return guard;
  }

  get isLeft(): boolean {
    return this.#keeper.left().size > 0;
  }

  undoOnce(member: string): Promise<Failure | null> {
    return this.#keeper.undoOnce(member);
  }

  keep(member: string): void {
    this.#keeper.keep(member);
  }

  killGuards(): void {
    for (const guard of this.#guards) guard.kill();
    this.#guards = [];
  }

  agentDied(withItsGuard: boolean): void {
    if (withItsGuard) return this.killGuards();
    for (const guard of this.#guards) guard.hangUp();
    this.#guards = [];
  }

  /** As agent/main.ts: one try for each record, then it serves, and goes on trying. */
  agentStarted(): void {
    const keeper = this.#newKeeper();
    this.#keeper = keeper;
    this.isStarting = true;
    this.#world.tasks.wake(this.#agent, () => void this.#undoAll(keeper));
  }

  #newKeeper(): UndoKeeper {
    const engine = new SimulatedGuardian(this.#agent, this.#agent.engine);
    const members = new Map([[this.#agent.name, { engine }]]);
    const { UndoKeeper } = this.#world.machines.undoKeeper;
    return new UndoKeeper(members, this.records, SILENT_LOG, this.#agent.clock);
  }

  async #undoAll(keeper: UndoKeeper): Promise<void> {
    try {
      await keeper.undoAll();
      this.isStarting = false;
    } catch (error) {
      this.#world.tasks.broke(error as Error);
    }
  }

  #diskOf(member: string): FreezeRecords {
    const records = (): FreezeRecord[] => (this.#record === null ? [] : [this.#record]);
    return {
      frozenMembers: () => Promise.resolve(records().map(() => member)),
      freezeRecord: () => Promise.resolve(this.#record),
      freezeRecords: () => Promise.resolve(records()),
      saveFreeze: (record) => {
        this.#record = record;
        return Promise.resolve();
      },
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
