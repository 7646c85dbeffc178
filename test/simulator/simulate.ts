import type { FreezeKind } from '../../shared/domain/grid.ts';
import type { MemberAnswer, MemberCommand } from '../../shared/domain/messages.ts';
import { compareTokens, type Token } from '../../shared/domain/token.ts';
import {
  initialCoordinator,
  nextDeadline,
  stepCoordinator,
  type CommitProof,
  type CoordinatorEvent,
  type Outcome,
} from '../../shared/protocol/coordinator-machine.ts';
import {
  initialMember,
  nextMemberDeadline,
  stepMember,
  type MemberEvent,
} from '../../shared/protocol/member-machine.ts';
import { ModelledEngine } from './modelled-engine.ts';
import { Random } from './random.ts';
import { Timeline } from './timeline.ts';

/** What may go wrong on the way. Probabilities are for each message. */
export interface NetworkFaults {
  readonly lose?: number;
  readonly duplicate?: number;
  readonly maxDelayMs?: number;
}

export const LEASE_MS = 1000;
/** Until the guard thaws a member whose agent was killed. */
const GUARD_MS = 300;
const SILENCE_MS = 4 * LEASE_MS;

/** One member: agent, machine and engine. Its disk (`recorded`) and its engine outlive the agent. */
class SimulatedMember {
  readonly name: string;
  readonly kind: FreezeKind;
  readonly engine: ModelledEngine;
  readonly tokensAtFence: (Token | null)[] = [];
  recorded: Token | null = null;
  machine: ReturnType<typeof initialMember>;
  alive = true;
  connected = true;
  life = 0;

  constructor(name: string, kind: FreezeKind, engine: ModelledEngine) {
    this.name = name;
    this.kind = kind;
    this.engine = engine;
    this.machine = initialMember({ member: name, kind, operationSilenceMs: SILENCE_MS }, null);
  }
}

/** A grid in simulated time: both real machines, a network and engines that are models. */
export class SimulatedGrid {
  readonly timeline = new Timeline();
  readonly members: SimulatedMember[];
  readonly #random: Random;
  readonly #network: NetworkFaults;
  readonly commits: { proof: CommitProof; at: number }[] = [];
  #counter = 0;

  constructor(input: {
    seed: number;
    members: readonly { name: string; kind: FreezeKind }[];
    network?: NetworkFaults;
  }) {
    this.#random = new Random(input.seed);
    this.#network = input.network ?? {};
    this.members = input.members.map(
      ({ name, kind }) =>
        new SimulatedMember(name, kind, new ModelledEngine(this.timeline, this.#random, kind)),
    );
  }

  member(name: string): SimulatedMember {
    const found = this.members.find((member) => member.name === name);
    if (found === undefined) throw new Error(`no member ${name}`);
    return found;
  }

  frozenMembers(): string[] {
    return this.members.filter(({ engine }) => engine.isFrozen).map(({ name }) => name);
  }

  createCheckpoint(options: { commitFails?: boolean } = {}): SimulatedCheckpoint {
    this.#counter += 1;
    for (const member of this.members) {
      member.machine = initialMember(
        { member: member.name, kind: member.kind, operationSilenceMs: SILENCE_MS },
        member.recorded,
        this.timeline.now,
      );
      member.connected = member.alive;
      member.life += 1;
    }
    return new SimulatedCheckpoint(
      this,
      this.#random,
      this.#network,
      this.#counter,
      options.commitFails ?? false,
    );
  }

  /** SIGKILL to an agent: its streams close, its guard thaws, nothing it had begun goes on. */
  killAgent(member: SimulatedMember): void {
    if (!member.alive) return;
    member.alive = false;
    member.connected = false;
    member.life += 1;
    member.engine.abandon();
    this.timeline.after(this.#random.between(1, GUARD_MS), () => member.engine.open());
  }

  /** It starts again: undoes what its predecessor left, then listens. */
  startAgent(member: SimulatedMember): void {
    if (member.alive) return;
    member.engine.open();
    member.alive = true;
    member.machine = initialMember(
      { member: member.name, kind: member.kind, operationSilenceMs: SILENCE_MS },
      member.recorded,
      this.timeline.now,
    );
  }
}

/** One run of the coordinator. */
export class SimulatedCheckpoint {
  outcome: Outcome | null = null;
  alive = true;
  readonly id: number;
  readonly #grid: SimulatedGrid;
  readonly #random: Random;
  readonly #network: NetworkFaults;
  readonly #commitFails: boolean;
  #machine: ReturnType<typeof initialCoordinator>;

  constructor(
    grid: SimulatedGrid,
    random: Random,
    network: NetworkFaults,
    counter: number,
    commitFails: boolean,
  ) {
    this.id = counter;
    this.#grid = grid;
    this.#random = random;
    this.#network = network;
    this.#commitFails = commitFails;
    this.#machine = initialCoordinator({
      members: grid.members.map(({ name, kind }) => ({ name, kind })),
      checkpoint: `checkpoint-${counter}`,
      maintenance: false,
      epoch: 0,
      counter,
      leaseMs: LEASE_MS,
      maxAttempts: 3,
      deadlines: {
        prepareMs: 3000,
        armMs: 2000,
        freezeMs: 800,
        thawMs: 2000,
        collectMs: 3000,
        abortRetryMs: 200,
        abortGiveUpMs: 5000,
      },
    });
    this.step({ type: 'started', now: grid.timeline.now });
    this.#keepAlive();
  }

  /** The coordinator is killed: its streams close, now or when somebody notices. */
  kill(): void {
    if (!this.alive) return;
    this.alive = false;
    for (const member of this.#grid.members) this.#closeStream(member);
  }

  /** The stream to a member breaks; both sides notice, each in its own time. */
  loseConnection(member: SimulatedMember): void {
    if (!member.connected) return;
    this.#closeStream(member);
    const failure = { code: 'agent-lost', message: 'lost', hint: 'none' };
    this.#grid.timeline.after(this.#random.between(0, 50), () =>
      this.step({ type: 'memberLost', now: this.#grid.timeline.now, member: member.name, failure }),
    );
  }

  cancel(): void {
    this.step({
      type: 'cancelled',
      now: this.#grid.timeline.now,
      failure: { code: 'interrupted', message: 'interrupted', hint: 'none' },
    });
  }

  step(event: CoordinatorEvent): void {
    if (!this.alive || this.outcome !== null) return;
    const { state, effects } = stepCoordinator(this.#machine, event);
    this.#machine = state;
    const { timeline } = this.#grid;
    for (const effect of effects) {
      if (effect.type === 'send') this.#send(this.#grid.member(effect.member), effect.command);
      else if (effect.type === 'reconnect') this.#reconnect(this.#grid.member(effect.member));
      else if (effect.type === 'finish') this.outcome = effect.outcome;
      else if (effect.type === 'commit') {
        timeline.after(this.#random.between(0, 10), () => {
          if (this.#commitFails)
            return this.step({
              type: 'commitFailed',
              now: timeline.now,
              failure: { code: 'repository-full', message: 'full', hint: 'none' },
            });
          // Durable from here on, whether the coordinator lives to see it or not.
          this.#grid.commits.push({ proof: effect.proof, at: timeline.now });
          this.step({ type: 'committed', now: timeline.now });
        });
      }
    }
    const deadline = nextDeadline(this.#machine);
    if (deadline !== null)
      timeline.after(deadline - timeline.now, () => this.step({ type: 'timePassed', now: timeline.now }));
  }

  #keepAlive(): void {
    this.#grid.timeline.after(LEASE_MS / 4, () => {
      if (!this.alive || this.outcome !== null) return;
      for (const member of this.#grid.members) {
        if (member.connected)
          this.#travel(member, () =>
            this.#toMember(member, { type: 'wordReceived', now: this.#grid.timeline.now }),
          );
      }
      this.#keepAlive();
    });
  }

  #send(member: SimulatedMember, command: MemberCommand): void {
    if (!member.connected) return;
    this.#travel(member, () =>
      this.#toMember(member, { type: 'commandReceived', now: this.#grid.timeline.now, command }),
    );
  }

  #answer(member: SimulatedMember, answer: MemberAnswer): void {
    if (!member.connected) return;
    this.#travel(member, () =>
      this.step({ type: 'answerReceived', now: this.#grid.timeline.now, member: member.name, answer }),
    );
  }

  /** Late, twice, out of order or never. A message of a stream that has ended never arrives. */
  #travel(member: SimulatedMember, arrive: () => void): void {
    const { life } = member;
    const deliver = (): void => {
      this.#grid.timeline.after(this.#random.between(0.1, this.#network.maxDelayMs ?? 2), () => {
        if (member.life === life && member.connected) arrive();
      });
    };
    if (!this.#random.chance(this.#network.lose ?? 0)) deliver();
    if (this.#random.chance(this.#network.duplicate ?? 0)) deliver();
  }

  #toMember(member: SimulatedMember, event: MemberEvent): void {
    if (!member.alive || member.machine.phase.name === 'closed') return;
    const { state, effects } = stepMember(member.machine, event);
    member.machine = state;
    const { timeline } = this.#grid;
    const { life } = member;
    for (const effect of effects) {
      if (effect.type === 'record') {
        if (member.recorded === null || compareTokens(effect.token, member.recorded) > 0)
          member.recorded = effect.token;
      } else if (effect.type === 'answer') this.#answer(member, effect.answer);
      else if (effect.type === 'engine') {
        if (effect.action.type === 'arm') member.tokensAtFence.push(member.recorded);
        member.engine.perform(effect.action, (result) => {
          if (member.alive)
            this.#toMember(member, { type: 'engineAnswered', now: timeline.now, call: effect.call, result });
        });
      }
    }
    const deadline = nextMemberDeadline(member.machine);
    if (deadline !== null) {
      timeline.after(deadline - timeline.now, () => {
        if (member.alive && (member.life === life || member.machine === state))
          this.#toMember(member, { type: 'timePassed', now: timeline.now });
      });
    }
  }

  #closeStream(member: SimulatedMember): void {
    if (!member.connected) return;
    member.connected = false;
    const { machine } = member;
    this.#grid.timeline.after(this.#random.between(0, 50), () => {
      // Of the operation that the stream carried; a new one on a new stream is another's.
      if (member.alive && member.machine.config === machine.config)
        this.#toMember(member, { type: 'streamClosed', now: this.#grid.timeline.now });
    });
  }

  /** The agent ends what the broken stream had left before it takes the operation up on the new one. */
  #reconnect(member: SimulatedMember): void {
    const { timeline } = this.#grid;
    timeline.after(this.#random.between(50, 150), () => {
      if (!this.alive || this.outcome !== null) return;
      const over = member.machine.phase.name === 'closed' || member.machine.phase.name === 'idle';
      if (!member.alive || !over) return this.#reconnect(member);
      member.machine = initialMember(
        { member: member.name, kind: member.kind, operationSilenceMs: SILENCE_MS },
        member.recorded,
        timeline.now,
      );
      member.connected = true;
      member.life += 1;
      this.step({ type: 'memberReconnected', now: timeline.now, member: member.name });
    });
  }
}
