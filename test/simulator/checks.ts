import type { MemberAnswer, MemberCommand } from '../../shared/domain/messages.ts';
import { compareTokens, formatToken, type Token } from '../../shared/domain/token.ts';
import type { Claim } from '../../shared/protocol/claim.ts';
import type { CommitProof } from '../../shared/protocol/coordinator-machine.ts';
import type { EngineCall, EngineResult, MemberPhase } from '../../shared/protocol/member-machine.ts';
import type { SimulatedAgent } from './agent.ts';
import type { SimulatedCoordinator } from './coordinator.ts';
import { checkCut } from './cut.ts';
import { checkHold, checkUpdateWaits, checkWritten } from './hold-checks.ts';
import type { Attempted } from './attempted.ts';
import type { SimulatedEngine } from './engine.ts';
import type { SimulatedServer } from './server.ts';
import type { Job } from './job.ts';
import { LEASE_MS, MAX_ARMS, MAX_ATTEMPTS } from './limits.ts';
import { MAX_DRIFT } from './process.ts';
import { Broken } from './promises.ts';
import { whyNotHeld } from './truth.ts';
import type { World } from './world.ts';
import type { Suspended } from './write-daemon.ts';
import type { Effect } from './written.ts';

const LEASE = LEASE_MS * 1000;
/** By the slowest clock, and until the engine has done it. */
const LEASE_AT_MOST = LEASE * (1 + 2 * MAX_DRIFT) + 30_000;
const LEASE_AT_LEAST = LEASE * (1 - 2 * MAX_DRIFT);
/** With a guard, an engine's deadline or a slow engine in between. */
const EXCUSED = 3 * LEASE;
/** However often the coordinator says a word. */
const LONGEST = 14 * LEASE;
const SILENCE_AT_MOST_MS = 6 * LEASE_MS * (1 + 2 * MAX_DRIFT) + 100;

/** In these the stream is what holds the operation. */
const ARMED: readonly MemberPhase['name'][] = [
  'arming',
  'armed',
  'freezing',
  'frozen',
  'thawing',
  'releasing',
];

interface Watched {
  /** Somebody or something gave the agent a reason to let go. */
  toldToEnd: boolean;
  /** By its own clock: the last word that renewed its lease, or the start of the call that granted it. */
  renewedMs: number;
  /** The last word: a write daemon waits for no longer than a lease from then on. */
  heardMs: number;
  /** An arm or a freeze is under way, which no word gives more time; but a quiesce. */
  isCalling: boolean;
  /** When each arm and each freeze was first received. */
  readonly granted: Map<string, number>;
  lastFenced: Token | null;
  /** A guard, a slow or restarted engine or a stopped agent may make a freeze longer. */
  isExcused: boolean;
  readonly answers: Map<string, string>;
}

/** Its disk may be writing the token of an arm. In microseconds. */
const AFTER_ITS_DISK = 30_000;

/** What is judged while a run goes on: by true times and what clients saw, never by a machine's own word. */
export class Checks {
  readonly #world: World;
  readonly #watched: readonly Watched[];
  /** By operation: the highest attempt that was armed, and the one in which an arm failed for good. */
  readonly #lastArms = new Map<string, number>();
  readonly #hopelessFrom = new Map<string, number>();

  constructor(world: World) {
    this.#world = world;
    this.#watched = world.scenario.models.map(() => ({
      toldToEnd: false,
      renewedMs: 0,
      heardMs: 0,
      isCalling: false,
      granted: new Map(),
      lastFenced: null,
      isExcused: false,
      answers: new Map(),
    }));
  }

  excuse(member: number): void {
    this.#of(member).isExcused = true;
  }

  // What an agent hears and does.

  commandReceived(agent: SimulatedAgent, operation: string, command: MemberCommand): void {
    if (command.type === 'thaw') this.#checkThaw(agent, operation);
    if (command.type === 'thaw' || command.type === 'disarm' || command.type === 'abort')
      this.toldToEnd(agent);
    this.messageReceived(agent);
    if (command.type !== 'arm' && command.type !== 'freeze') return;
    const key = grantOf(command);
    const watched = this.#of(agent.index);
    if (watched.granted.has(key)) return;
    watched.granted.set(key, agent.nowMs);
    if (command.type === 'arm') watched.toldToEnd = false;
  }

  /** What a quiesce holds is held until its job lets go. */
  #checkThaw({ name }: SimulatedAgent, operation: string): void {
    const job = this.#jobOf(operation);
    if (job?.purpose.type === 'quiesce' && job.heldFrom !== null && job.letGoAt === null)
      throw new Broken('holds', `${name} is to let go, and ${operation} has not let go`);
  }

  messageReceived(agent: SimulatedAgent): void {
    const watched = this.#of(agent.index);
    watched.heardMs = agent.nowMs;
    // A lease that has run out stays so, whoever speaks then.
    if (!watched.isCalling && !this.#leaseIsOver(agent)) watched.renewedMs = agent.nowMs;
  }

  toldToEnd(agent: SimulatedAgent): void {
    this.#of(agent.index).toldToEnd = true;
  }

  streamClosed(agent: SimulatedAgent, phase: MemberPhase['name'] | null): void {
    this.#endsIfArmed(agent, phase, 'its stream is closed');
  }

  guardDied(agent: SimulatedAgent, phase: MemberPhase['name'] | null): void {
    this.#endsIfArmed(agent, phase, 'its guard is gone');
  }

  /** What happens while somebody is armed ends the operation there at once. */
  #endsIfArmed(agent: SimulatedAgent, phase: MemberPhase['name'] | null, cause: string): void {
    if (phase === null || !ARMED.includes(phase)) return;
    this.#endsWithin(AFTER_ITS_DISK, agent, agent.aborts, cause);
  }

  /** In time in which the agent runs: one that was stopped meanwhile has as long again. */
  #endsWithin(time: number, agent: SimulatedAgent, aborts: number, cause: string): void {
    const due = this.#world.now + time;
    agent.after(time, () => {
      if (agent.aborts !== aborts) return;
      if (this.#world.now > due) return this.#endsWithin(time, agent, aborts, cause);
      throw new Broken('thaws-by-itself', `${agent.name} stays armed though ${cause}`);
    });
  }

  resumed(agent: SimulatedAgent, claim: Claim, operation: string): void {
    if (claim.operation !== operation)
      throw new Broken('claim', `${operation} takes up what ${claim.operation} has on ${agent.name}`);
  }

  /** By the slowest clock, from the last word on. */
  keepsFor(agent: SimulatedAgent, silentMs: number): void {
    if (silentMs > SILENCE_AT_MOST_MS)
      throw new Broken('claim', `${agent.name} keeps the work of one who was silent for ${silentMs} ms`);
  }

  /** Nobody is armed before every observer has stopped to show anything newer, for this very attempt. */
  #checkPaused(operation: string, token: Token): void {
    const late = this.#world.engines.find(
      (engine) => engine.kind === 'observer' && !engine.hasPaused(operation, token),
    );
    if (late !== undefined)
      throw new Broken('order', `somebody is armed before engine ${late.index}, an observer, has paused`);
  }

  /** Nobody is armed anew after an arm that failed by a cause that is final. */
  #checkHope({ name }: SimulatedAgent, operation: string, { attempt }: Token): void {
    this.#lastArms.set(operation, Math.max(attempt, this.#lastArms.get(operation) ?? 0));
    if (attempt > (this.#hopelessFrom.get(operation) ?? Infinity))
      throw new Broken('in-vain', `${name} is armed anew, and an arm has failed for good`);
  }

  /** Arms that failed are counted apart. */
  #checkCuts({ name, engine }: SimulatedAgent, operation: string): void {
    const cuts = engine.attempts.filter((one) => one.operation === operation && one.fencedAt !== null);
    if (cuts.length >= MAX_ATTEMPTS)
      throw new Broken('tries-again', `${name} is frozen for more than ${MAX_ATTEMPTS} cuts`);
  }

  engineCalled(agent: SimulatedAgent, operation: string, action: EngineCall): void {
    const watched = this.#of(agent.index);
    if (action.type === 'arm' || action.type === 'freeze') {
      if (agent.disk.recorded === null || compareTokens(agent.disk.recorded, action.token) !== 0) {
        throw new Broken('durable-token', `${agent.name}: ${formatToken(action.token)} is not on its disk`);
      }
      const most = MAX_ATTEMPTS + MAX_ARMS - 1;
      if (action.token.attempt > most)
        throw new Broken('tries-again', `attempt ${action.token.attempt} of ${most} begins`);
      if (agent.engine.holder !== agent.engine)
        throw new Broken('once', `${agent.name} is armed, and the lead of its domain holds it`);
      if (action.type === 'arm') this.#checkHope(agent, operation, action.token);
      if (action.type === 'arm') this.#checkPaused(operation, action.token);
      else this.#checkCuts(agent, operation);
      watched.renewedMs = watched.granted.get(grantOf(action)) ?? agent.nowMs;
      const isQuiesce = this.#jobOf(operation)?.purpose.type === 'quiesce';
      watched.isCalling = action.type === 'arm' || !isQuiesce;
    }
    if (action.type !== 'thaw' && action.type !== 'abort') return;
    const isFreeze = this.#jobOf(operation)?.purpose.type === 'freeze';
    const isSilent = isFreeze && agent.nowMs - watched.heardMs >= LEASE_MS - 0.001;
    const isOver = this.#leaseIsOver(agent) || isSilent;
    if (!watched.toldToEnd && !isOver) {
      throw new Broken(
        'lease-lasts',
        `${agent.name} lets go though nobody asked and its lease has not ended`,
      );
    }
    const { current } = agent.engine;
    if (isOver && current !== null && current.openedAt === null) current.leaseEnded = true;
  }

  engineAnswered(agent: SimulatedAgent, operation: string, result: EngineResult): void {
    const watched = this.#of(agent.index);
    if (result.type === 'failed' && result.failure.isFinal === true)
      this.#hopelessFrom.set(operation, this.#lastArms.get(operation) ?? 0);
    if (result.type === 'failed') watched.toldToEnd = true;
    if (result.type === 'armed') watched.renewedMs = agent.nowMs;
    if (result.type === 'armed' || result.type === 'marked' || result.type === 'failed')
      watched.isCalling = false;
  }

  answered(agent: SimulatedAgent, operation: string, answer: MemberAnswer): void {
    const { engine } = agent;
    if (answer.type === 'prepared' && engine.preparedFor !== operation)
      throw new Broken('truth', `${agent.name} says that it is prepared, and has nothing`);
    if (answer.type === 'aborted' && answer.state === 'running' && engine.isFenced) {
      throw new Broken('truth', `${agent.name} says that it runs, and is frozen`);
    }
    if ((answer.type === 'aborted' || answer.type === 'released') && agent.isFrozenFor(operation) === true)
      throw new Broken(
        'truth',
        `${agent.name} says ${answer.type}, and tells its own host that it is frozen`,
      );
    if (answer.type === 'released' && engine.isFenced) {
      throw new Broken('truth', `${agent.name} says that it is released, and is frozen`);
    }
    if (!('token' in answer) || answer.type === 'released') return;
    const attempted = engine.attempt(answer.token);
    if (answer.type === 'thawed' && answer.proof.type === 'held') {
      const cause = attempted === undefined ? 'it never took part' : whyNotHeld(attempted);
      if (cause !== null) throw new Broken('held', `${agent.name} says that it held: ${cause}`);
    }
    const key = `${operation} ${answer.type} ${formatToken(answer.token)}`;
    const said = JSON.stringify(answer);
    const before = this.#of(agent.index).answers.get(key);
    if (before !== undefined && before !== said) {
      throw new Broken('first-answer', `${agent.name} says ${said} after ${before}`);
    }
    this.#of(agent.index).answers.set(key, said);
  }

  refused(agent: SimulatedAgent, claim: Claim, operation: string): void {
    if (claim.operation === operation)
      throw new Broken('claim', `${agent.name} refuses ${operation}, which holds it`);
    const silent = this.#world.now - agent.lastWordAt;
    if (silent > LEASE_AT_MOST)
      throw new Broken('claim', `${agent.name} is still held by ${claim.holder}, silent for ${silent} µs`);
  }

  takenOver(agent: SimulatedAgent, claim: Claim, operation: string): void {
    const silent = this.#world.now - agent.lastWordAt;
    if (claim.operation !== operation && silent < LEASE_AT_LEAST)
      throw new Broken(
        'claim',
        `${operation} takes ${agent.name} from ${claim.holder}, heard ${silent} µs ago`,
      );
  }

  // What happens to an engine.

  /** What an earlier operation has left is undone before another begins. */
  begins({ index, isFenced, current }: SimulatedEngine, operation: string): void {
    if (this.#world.scenario.undoes && isFenced && current !== null && current.operation !== operation)
      throw new Broken(
        'thaws-by-itself',
        `engine ${index} is still frozen for ${current.operation} when ${operation} begins`,
      );
  }

  closing(member: number, attempted: Attempted, token: Token): void {
    const watched = this.#of(member);
    const agent = this.#world.agents[member] as SimulatedAgent;
    const { recorded } = agent.disk;
    if (agent.isFrozenFor(attempted.operation) === false)
      throw new Broken('truth', `${agent.name} freezes, and tells its own host that nobody is frozen`);
    if (recorded === null || compareTokens(recorded, token) < 0)
      throw new Broken(
        'durable-token',
        `engine ${member} is fenced under ${formatToken(token)}, not on disk`,
      );
    if (watched.lastFenced !== null && compareTokens(token, watched.lastFenced) <= 0)
      throw new Broken(
        'tokens-grow',
        `engine ${member} is fenced under ${formatToken(token)} after ${formatToken(watched.lastFenced)}`,
      );
    watched.lastFenced = token;
    const other = this.#world.engines.find(
      ({ isFenced, current }) => isFenced && current?.operation !== attempted.operation,
    );
    if (other !== undefined)
      throw new Broken('claim', `engines ${member} and ${other.index} are fenced for two operations at once`);
    const seen = this.#world.engines.find((engine) => {
      const { current } = engine;
      return (
        current?.operation === attempted.operation &&
        formatToken(current.token) === formatToken(token) &&
        current.isSeenByStrangers
      );
    });
    if (seen !== undefined)
      throw new Broken(
        'in-vain',
        `engine ${member} is fenced, and somebody whom nobody holds has the log of engine ${seen.index}`,
      );
    const coordinator = this.#world.coordinators.find(({ name }) => name === attempted.operation);
    const kind = coordinator?.ending?.kind;
    if (kind === 'aborted' || kind === 'invalid' || kind === 'committed')
      throw new Broken(
        'thawed-after-the-end',
        `engine ${member} is fenced after ${attempted.operation} ended`,
      );
  }

  opening(member: number, attempted: Attempted): void {
    if (this.#world.engines[member]?.model === 'instant') return;
    this.#checkHowLong(member, attempted);
  }

  #checkHowLong(member: number, attempted: Attempted): void {
    const { now } = this.#world;
    const { engine } = this.#world.agents[member] as SimulatedAgent;
    const silent = this.#silentFor(member, attempted.fencedAt ?? now);
    if (silent > this.#longestSilence(member))
      throw new Broken('thaws-by-itself', `engine ${member} was frozen for ${silent} µs without a word`);
    const fencedAt = Math.max(attempted.fencedAt ?? now, engine.upSince);
    const isQuiesce = this.#jobOf(attempted.operation)?.purpose.type === 'quiesce';
    if (now - fencedAt > LONGEST && !isQuiesce)
      throw new Broken('thaws-by-itself', `engine ${member} was frozen for ${now - fencedAt} µs`);
  }

  /** The same for a write daemon that goes on. */
  resuming(member: number, { since }: Suspended): void {
    const silent = this.#silentFor(member, since);
    if (silent > this.#longestSilence(member))
      throw new Broken('thaws-by-itself', `engine ${member} was suspended for ${silent} µs without a word`);
  }

  /** An update waits before the log though no fence is closed. */
  updateWaits({ index }: SimulatedServer): void {
    const engine = this.#world.engines[index] as SimulatedEngine;
    checkUpdateWaits(this.#world, engine);
  }

  /** Memory is bounded. */
  logged({ index, log, daemon }: SimulatedServer): void {
    const inMemory = log.length - daemon.files.length;
    if (daemon.suspended !== null && daemon.room !== null && inMemory > daemon.room)
      throw new Broken(
        'updates-go-on',
        `engine ${index} has taken ${inMemory} updates, and memory for ${daemon.room}`,
      );
  }

  /** Its writer was told. */
  acknowledged(effect: Effect): void {
    const { log } = this.#world.engines[effect.member] as SimulatedEngine;
    if (effect.place === null || log[effect.place] !== effect)
      throw new Broken('updates-go-on', `engine ${effect.member} has acknowledged what it has not logged`);
  }

  /** Its agent has its write daemon go on because that was asked for: then its job has let go. */
  resumeCalled({ name }: SimulatedAgent, operation: string): void {
    const job = this.#jobOf(operation);
    if (job?.letGoAt === null)
      throw new Broken('holds', `${name} has its write daemon go on, and ${operation} has not let go`);
  }

  #jobOf(operation: string): Job | undefined {
    return this.#world.coordinators.find(({ name }) => name === operation)?.job;
  }

  committed(coordinator: SimulatedCoordinator, proof: CommitProof): void {
    const { commits } = this.#world.repository;
    if (commits.some((one) => one.proof !== proof && compareTokens(one.proof.token, proof.token) >= 0))
      throw new Broken('tokens-grow', `${formatToken(proof.token)} is committed after a newer one`);
    checkCut(this.#world, coordinator, proof);
    checkHold(this.#world, coordinator, proof);
  }

  /** A server that is down holds nobody up. */
  #silentFor(member: number, from: number): number {
    const { now } = this.#world;
    const { engine, lastWordAt } = this.#world.agents[member] as SimulatedAgent;
    return now - Math.max(from, engine.upSince, lastWordAt, Math.min(now, engine.address.reachableFrom));
  }

  #longestSilence(member: number): number {
    return this.#of(member).isExcused ? EXCUSED : LEASE_AT_MOST;
  }

  /** Faults have stopped long ago. */
  atTheEnd(): void {
    for (const engine of this.#world.engines) {
      if (engine.isFenced) throw new Broken('thaws-by-itself', `engine ${engine.index} stays frozen`);
      if (engine.daemon.suspended !== null)
        throw new Broken('thaws-by-itself', `engine ${engine.index} stays suspended`);
      checkWritten(engine);
      if (engine.isPaused) throw new Broken('thaws-by-itself', `engine ${engine.index} stays paused`);
    }
  }

  #leaseIsOver(agent: SimulatedAgent): boolean {
    return agent.nowMs - this.#of(agent.index).renewedMs >= LEASE_MS - 0.001;
  }

  #of(member: number): Watched {
    return this.#watched[member] as Watched;
  }
}

function grantOf({ type, token }: { readonly type: 'arm' | 'freeze'; readonly token: Token }): string {
  return `${type} ${formatToken(token)}`;
}
